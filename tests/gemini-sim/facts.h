/* What the homeowner has told so far: rooms, area, budget. Read from the texts of the conversation and its tool results. */
#ifndef GEMINI_SIM_FACTS_H
#define GEMINI_SIM_FACTS_H

#include "tests/gemini-sim/conversation.h"
#include "tests/gemini-sim/measures.h"

#define FACTS_ROOMS_MAX 12
#define FACTS_TASKS_MAX 64

struct room_kind {
	const char *kind;     /* as enums name it: "kitchen" */
	const char *name;     /* as people write it: "Kitchen" */
	const char *words[5]; /* what mentions it; ends with NULL */
	double area_m2;       /* assumed where nothing was said */
	double share;         /* of the budget, when several rooms share it */
};

struct fact_room {
	const struct room_kind *kind; /* from the table */
	char name[64];                /* "Kitchen" */
	int count;                    /* how many of this kind were mentioned ("two bedrooms") */
	bool known;                   /* was there before the current question */
	struct measures measures;     /* told together with it, or right after it */
};

struct fact_task {
	char title[128]; /* as the tool knows it */
	char id[64];     /* as the tool's answer named it; "" if never seen */
	bool done;       /* completed, as far as the history shows */
};

struct facts {
	struct fact_room rooms[FACTS_ROOMS_MAX]; /* mentioned in the conversation, in order */
	size_t room_count;
	struct fact_task tasks[FACTS_TASKS_MAX]; /* from calls and results in the history */
	size_t task_count;
	struct sum budget;             /* 0 = not told */
	const struct room_kind *focus; /* kind of the room in question; NULL = none */
	bool budget_is_new;            /* told in the current question */
	int questions;                 /* user texts so far, the current one included */
};

void facts_read(struct facts *facts, const struct conversation *conversation);
/* The room of this kind; NULL if it was never mentioned. */
const struct fact_room *facts_room(const struct facts *facts, const struct room_kind *kind);
/* What the conversation is about: the first room of the current question, else the last one mentioned; NULL if none. */
const struct fact_room *facts_focus(const struct facts *facts);
/* What a room may cost: its part of the budget by the weight of its kind; 0 if no budget is known. */
double facts_room_budget(const struct facts *facts, const struct fact_room *room);
/* The rooms mentioned in one text. Returns how many; at most `capacity`. */
size_t facts_rooms_in(const char *text, struct fact_room *rooms, size_t capacity);
/* Appends "€15,000". */
void facts_money(const struct facts *facts, double amount, struct text *out);
/* Appends "12 m²" or "12.5 m²". */
void facts_area(double area_m2, struct text *out);

#endif
