/* Instructions inside a question: [sim:fault=503] [sim:delay=20ms] [sim:words=200] … */
#ifndef GEMINI_SIM_MARKERS_H
#define GEMINI_SIM_MARKERS_H

#include "tests/gemini-sim/plan.h"

/* Counts how often each marked fault was applied to one conversation, for `times=` and `skip=`. */
struct marker_counts;
struct marker_counts *marker_counts_create(void);
void marker_counts_destroy(struct marker_counts **counts);

/* Applies all markers of `text`. With `faults` false (a continuation) only those about rhythm and content.
 * `hash` names the conversation. */
void markers_apply(struct marker_counts *counts, struct plan *plan, const char *text, uint64_t hash, bool faults,
	const struct plan_place *place);
/* The text without its markers; a new string. */
char *markers_strip(const char *text);

#endif
