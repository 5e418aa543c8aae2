/* The faults by name, and the rules that apply them to matching requests. */
#ifndef GEMINI_SIM_FAULTS_H
#define GEMINI_SIM_FAULTS_H

#include "tests/gemini-sim/plan.h"

struct fault_rules;

/* Applies one fault. `params` may be NULL. False if there is no fault of this name. */
bool fault_apply(struct plan *plan, const char *name, const json_object *params, const struct plan_place *place);
bool fault_exists(const char *name);
/* All names with a sentence each, one a line. */
void fault_list(struct text *out);

struct fault_rules *fault_rules_create(void);
void fault_rules_destroy(struct fault_rules **rules);
/* Adds the rules of a JSON list (or one object). Returns what is wrong with them, a static string; NULL if nothing. */
const char *fault_rules_add(struct fault_rules *rules, const json_object *list);
void fault_rules_clear(struct fault_rules *rules);
/* The rules with what is left of them; a new list. */
json_object *fault_rules_show(const struct fault_rules *rules);
/* Applies every rule that matches, using it up. */
void fault_rules_apply(struct fault_rules *rules, struct plan *plan, const char *method, const char *model,
	const char *asked, const struct plan_place *place);

#endif
