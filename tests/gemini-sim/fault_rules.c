/* The rules of /sim/faults: which requests meet which fault, how often, after how many. Called by control.c and service.c.
 * What a fault does is in faults.c. */
#include "tests/gemini-sim/faults.h"

#include <stdlib.h>
#include <string.h>

struct fault_rule {
	char *fault;         /* owned; name */
	char *method;        /* owned; NULL = any */
	char *model;         /* owned; NULL = any */
	char *contains;      /* owned; in the last question; NULL = any */
	json_object *params; /* owned; may be NULL */
	int skip;            /* matching requests still to be let through */
	int times;           /* matching requests still to be hit; -1 = all */
};

struct fault_rules {
	struct fault_rule *rules; /* owned; in the order given */
	size_t count;             /* length of `rules` */
};

struct fault_rules *fault_rules_create(void)
{
	return memory_take(sizeof(struct fault_rules));
}

void fault_rules_clear(struct fault_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		free(rules->rules[i].fault);
		free(rules->rules[i].method);
		free(rules->rules[i].model);
		free(rules->rules[i].contains);
		json_object_put(rules->rules[i].params);
	}
	free(rules->rules);
	*rules = (struct fault_rules) { 0 };
}

void fault_rules_destroy(struct fault_rules **rules)
{
	if (*rules == NULL)
		return;
	fault_rules_clear(*rules);
	free(*rules);
	*rules = NULL;
}

static const char *rule_add(struct fault_rules *rules, const json_object *given)
{
	const char *fault = json_find_text(given, "fault");
	const json_object *match = json_find(given, "match");
	if (fault == NULL || !fault_exists(fault))
		return "unknown fault";
	rules->rules = memory_resize(rules->rules, (rules->count + 1) * sizeof *rules->rules);
	rules->rules[rules->count++] = (struct fault_rule) {
		.fault = memory_copy(fault),
		.method = memory_copy(json_find_text(match, "method")),
		.model = memory_copy(json_find_text(match, "model")),
		.contains = memory_copy(json_find_text(match, "contains")),
		.params = json_object_get(json_find(given, "params")),
		.skip = (int)json_find_number(given, "skip", 0),
		.times = (int)json_find_number(given, "times", -1),
	};
	return NULL;
}

const char *fault_rules_add(struct fault_rules *rules, const json_object *list)
{
	if (json_object_is_type(list, json_type_object))
		return rule_add(rules, list);
	if (!json_object_is_type(list, json_type_array))
		return "a list of rules is wanted";
	const char *wrong = NULL;
	for (size_t i = 0; wrong == NULL && i < json_length(list); i++)
		wrong = rule_add(rules, json_at(list, i));
	return wrong;
}

json_object *fault_rules_show(const struct fault_rules *rules)
{
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < rules->count; i++) {
		json_object *rule = json_object_new_object();
		json_put_text(rule, "fault", rules->rules[i].fault);
		json_put_int(rule, "skip", rules->rules[i].skip);
		json_put_int(rule, "times", rules->rules[i].times);
		json_object_array_add(list, rule);
	}
	return list;
}

static bool rule_matches(const struct fault_rule *rule, const char *method, const char *model, const char *asked)
{
	return (rule->method == NULL || strcmp(rule->method, method) == 0) &&
	       (rule->model == NULL || strcmp(rule->model, model) == 0) &&
	       (rule->contains == NULL || strstr(asked, rule->contains) != NULL);
}

void fault_rules_apply(struct fault_rules *rules, struct plan *plan, const char *method, const char *model,
	const char *asked, const struct plan_place *place)
{
	for (size_t i = 0; i < rules->count; i++) {
		struct fault_rule *rule = &rules->rules[i];
		if (rule->times == 0 || !rule_matches(rule, method, model, asked))
			continue;
		if (rule->skip > 0) {
			rule->skip--;
			continue;
		}
		if (rule->times > 0)
			rule->times--;
		fault_apply(plan, rule->fault, rule->params, place);
	}
}
