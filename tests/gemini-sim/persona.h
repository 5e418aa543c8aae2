/* The demo persona: a renovation adviser that fills rooms, tasks and products in through the declared tools. */
#ifndef GEMINI_SIM_PERSONA_H
#define GEMINI_SIM_PERSONA_H

#include "tests/gemini-sim/answer.h"
#include "tests/gemini-sim/facts.h"

enum intent {
	INTENT_CHAT,     /* nothing recognised: general advice */
	INTENT_GREETING, /* hello */
	INTENT_THANKS,   /* thank you, bye */
	INTENT_IMAGE,    /* a picture is attached */
	INTENT_SETUP,    /* wants to renovate rooms, or names a budget */
	INTENT_ADD_TASK, /* wants something noted as a task */
	INTENT_COMPLETE, /* says that a task is done */
	INTENT_LIST,     /* asks what is left */
	INTENT_PRODUCT,  /* asks for a recommendation */
	INTENT_TOPIC,    /* asks about a subject of phrases.c */
};

struct persona {
	const struct conversation *conversation; /* borrowed */
	struct answer *answer;                   /* borrowed; being filled */
	struct facts facts;                      /* from the whole conversation */
	enum intent intent;                      /* of the current question */
	struct fact_room rooms[FACTS_ROOMS_MAX]; /* mentioned in the current question */
	size_t room_count;
	bool may_call; /* tools are declared and not switched off */
};

/* Whether at least one of the persona's tools is declared. */
bool persona_applies(const json_object *request);
/* Fills `answer` with the next step for this conversation: a lead-in and calls, or a text. */
void persona_answer(struct answer *answer, const struct conversation *conversation);

/* Between persona.c, persona_tools.c and persona_results.c. */
/* Adds the calls that the intent asks for; false if none. */
bool persona_call_tools(struct persona *p);
/* After list_tasks was asked in order to complete a task: adds that call. */
bool persona_call_after_list(struct persona *p);
/* No room was known before the current question. */
bool persona_is_first_setup(const struct persona *p);
/* The open task that the question means; NULL if unclear. */
const struct fact_task *persona_task_meant(const struct persona *p);
/* Fills numbers of the conversation into a sentence; {room} becomes "your kitchen". */
void persona_fill(const struct persona *p, const char *template, struct text *out);
/* Whether this function was called in the current turn. */
bool persona_called(const struct persona *p, const char *name);
/* The text after tool results. */
void persona_say_results(struct persona *p, struct text *out);
/* The budget's usual split and the next question. */
void persona_say_closing(struct persona *p, struct text *out);
/* Name of the room the conversation is about, lower case. */
const char *persona_room_name(const struct persona *p);
const struct room_plan *persona_plan(const struct persona *p);

#endif
