/* What the homeowner has told so far: rooms, area, budget. Read from the texts of the conversation and its tool results. */
#ifndef GEMINI_SIM_FACTS_H
#define GEMINI_SIM_FACTS_H

#include "tests/gemini-sim/conversation.h"

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
	char name[64];                /* "Kitchen", "Bathroom 2" */
	int count;                    /* how many of this kind were mentioned ("two bedrooms") */
	bool known;                   /* was there before the current question */
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
	double area_m2;     /* 0 = not told */
	double length_m;    /* 0 = not told */
	double width_m;     /* 0 = not told */
	double height_m;    /* 0 = not told */
	double budget;      /* 0 = not told */
	bool budget_is_new; /* told in the current question */
	char currency[4];   /* ISO code; EUR unless told */
	const char *symbol; /* "€", "$", "£" or "CHF "; static */
	int questions;      /* user texts so far, the current one included */
};

void facts_read(struct facts *facts, const struct conversation *conversation);
/* The rooms mentioned in one text. Returns how many; at most `capacity`. */
size_t facts_rooms_in(const char *text, struct fact_room *rooms, size_t capacity);
/* Appends "€15,000". */
void facts_money(const struct facts *facts, double amount, struct text *out);
/* Appends "12 m²" or "12.5 m²". */
void facts_area(double area_m2, struct text *out);

#endif
