/* What the demo persona knows about renovating: plans for rooms, paragraphs for topics, and filling numbers into them. */
#ifndef GEMINI_SIM_PHRASES_H
#define GEMINI_SIM_PHRASES_H

#include "tests/gemini-sim/facts.h"

struct plan_task {
	const char *title;       /* "{room}" is filled in */
	const char *description; /* likewise */
	const char *priority;    /* low, medium, high */
};

struct plan_product {
	const char *name, *category, *vendor, *url; /* invented goods of invented vendors */
	double price;                               /* each, in whole currency units */
	double per_m2;                              /* quantity for each m² of floor; 0 = one piece */
	const char *rationale;                      /* one sentence */
};

struct room_plan {
	const char *kind;                /* of the room table; NULL = any other */
	struct plan_task tasks[5];       /* in the order of work */
	struct plan_product products[2]; /* fitting examples */
	const char *split;               /* how a budget is usually divided; placeholders */
	const char *question;            /* what to ask next */
};

struct topic {
	const char *words[9];      /* any of them brings the topic up; ends with NULL */
	const char *paragraphs[4]; /* with placeholders; ends with NULL */
	const char *question;      /* what to ask next */
};

const struct room_plan *phrases_plan(const char *kind);
/* The topic that a text brings up most; NULL if none. */
const struct topic *phrases_topic(const char *text);
/* Appends `template` with {room} {area} {budget} {tiles} {paint} {walls} {sym} (currency sign)
 * {each} (what is there for each square metre) and {NN%} (share of the budget). */
void phrases_fill(const char *template, const struct facts *facts, const char *room, struct text *out);
/* About `words` words of sensible text, exactly that many, the same for the same arguments. */
void phrases_words(int words, uint64_t seed, struct text *out);

#endif
