/* Reads markers out of a question. Called by service.c (to apply them) and generate.c (to leave them out of texts).
 * A marker it does not know is left alone, so that a typo shows up as an answer without the effect. */
#include "tests/gemini-sim/markers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/faults.h"

#define COUNT_SLOTS 1024

struct marker_counts {
	uint64_t keys[COUNT_SLOTS]; /* hash of conversation and marker */
	int counts[COUNT_SLOTS];    /* how often it was met */
	size_t next;                /* slot to be overwritten next */
};

struct marker {
	const char *begin; /* the `[` */
	const char *end;   /* behind the `]` */
	char name[32];     /* "fault" */
	char *value;       /* owned; behind the `=`; "" if none */
};

struct marker_counts *marker_counts_create(void)
{
	return memory_take(sizeof(struct marker_counts));
}

void marker_counts_destroy(struct marker_counts **counts)
{
	free(*counts);
	*counts = NULL;
}

/* How often this was asked before. */
static int marker_count(struct marker_counts *counts, uint64_t key)
{
	for (size_t i = 0; i < COUNT_SLOTS; i++)
		if (counts->keys[i] == key && counts->counts[i] > 0)
			return counts->counts[i]++;
	size_t slot = counts->next++ % COUNT_SLOTS;
	counts->keys[slot] = key;
	counts->counts[slot] = 1;
	return 0;
}

/* The bracket that closes a marker: brackets inside JSON arguments and behind a backslash do not count. */
static const char *marker_close(const char *at)
{
	int depth = 0;
	bool quoted = false;
	for (; *at != '\0'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		else if (*at == '"' && depth > 0)
			quoted = !quoted;
		else if (!quoted && *at == '{')
			depth++;
		else if (!quoted && *at == '}' && depth > 0)
			depth--;
		else if (*at == ']' && depth == 0 && !quoted)
			return at;
	}
	return NULL;
}

/* `\n`, `\]` and `\\` outside of JSON arguments. */
static char *unescape(const char *bytes, size_t length, bool json)
{
	struct text t = { 0 };
	for (size_t i = 0; i < length; i++) {
		if (!json && bytes[i] == '\\' && i + 1 < length) {
			i++;
			text_append(&t, bytes[i] == 'n' ? "\n" : &bytes[i], 1);
		} else {
			text_append(&t, &bytes[i], 1);
		}
	}
	return text_take(&t);
}

static bool marker_next(const char **at, struct marker *marker)
{
	const char *begin = strstr(*at, "[sim:");
	const char *close = begin == NULL ? NULL : marker_close(begin + 1);
	if (close == NULL)
		return false;
	size_t width = strcspn(begin + 5, "=]");
	const char *value = begin + 5 + width + 1;
	marker->begin = begin;
	marker->end = close + 1;
	snprintf(marker->name, sizeof marker->name, "%.*s", (int)width, begin + 5);
	bool given = begin[5 + width] == '=';
	marker->value =
		given ? unescape(value, (size_t)(close - value), strcmp(marker->name, "tool") == 0) : memory_copy("");
	*at = marker->end;
	return true;
}

/* "fault=503,times=2,retryDelay=5s": the name, and the rest as parameters. */
static void apply_fault(
	struct marker_counts *counts, struct plan *plan, char *value, uint64_t hash, const struct plan_place *place)
{
	json_object *params = json_object_new_object();
	uint64_t key = hash_string(hash | 1, value);
	char *rest = NULL;
	char *name = strtok_r(value, ",", &rest);
	for (char *pair = strtok_r(NULL, ",", &rest); pair != NULL; pair = strtok_r(NULL, ",", &rest)) {
		char *equals = strchr(pair, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		pair += strspn(pair, " ");
		json_put_text(params, pair, equals + 1);
	}
	int times = (int)json_find_number(params, "times", 0);
	int skip = (int)json_find_number(params, "skip", 0);
	int met = times > 0 || skip > 0 ? marker_count(counts, key) : 0;
	if (name != NULL && met >= skip && (times == 0 || met < skip + times))
		fault_apply(plan, name, params, place);
	json_object_put(params);
}

static int milliseconds(const char *value)
{
	char *unit = NULL;
	double number = strtod(value, &unit);
	return (int)(strcmp(unit, "s") == 0 ? number * 1000 : number);
}

static void apply_content(struct plan *plan, struct marker *marker)
{
	if (strcmp(marker->name, "delay") == 0) {
		plan->chunk_ms = milliseconds(marker->value);
	} else if (strcmp(marker->name, "first") == 0) {
		plan->first_byte_ms = milliseconds(marker->value);
	} else if (strcmp(marker->name, "words") == 0) {
		plan->words = (int)strtol(marker->value, NULL, 10);
	} else if (strcmp(marker->name, "chunks") == 0) {
		plan->chunks = (int)strtol(marker->value, NULL, 10);
	} else if (strcmp(marker->name, "split") == 0) {
		plan->split_bytes = (int)strtol(marker->value, NULL, 10);
	} else if (strcmp(marker->name, "overlap") == 0) {
		plan->overlap = (int)strtol(marker->value, NULL, 10);
	} else if (strcmp(marker->name, "stamp") == 0) {
		plan->stamp = true;
	} else if (strcmp(marker->name, "tools-forever") == 0) {
		plan->tools_forever = true;
	} else if (strcmp(marker->name, "tool") == 0 && plan->call_count < PLAN_CALLS_MAX) {
		plan->calls[plan->call_count++] = memory_copy(marker->value);
	} else if (strcmp(marker->name, "repeat") == 0) {
		free(plan->repeat);
		plan->repeat = memory_copy(marker->value);
	}
}

void markers_apply(struct marker_counts *counts, struct plan *plan, const char *text, uint64_t hash, bool faults,
	const struct plan_place *place)
{
	struct marker marker;
	while (marker_next(&text, &marker)) {
		if (strcmp(marker.name, "fault") != 0)
			apply_content(plan, &marker);
		else if (faults)
			apply_fault(counts, plan, marker.value, hash, place);
		free(marker.value);
	}
}

char *markers_strip(const char *text)
{
	struct text out = { 0 };
	struct marker marker;
	const char *at = text;
	while (marker_next(&at, &marker)) {
		text_append(&out, text, (size_t)(marker.begin - text));
		text = marker.end;
		free(marker.value);
	}
	text_add(&out, text);
	while (out.length > 0 && isspace((unsigned char)out.bytes[out.length - 1]))
		out.bytes[--out.length] = '\0';
	return text_take(&out);
}
