/* What the simulator needs on top of json-c: look-ups that tolerate anything, and JSON written the way Google writes it. */
#ifndef GEMINI_SIM_JSON_H
#define GEMINI_SIM_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/gemini-sim/text.h"

enum json_style {
	JSON_WIRE,   /* one line, ": " after keys and "," between members: the events of a stream */
	JSON_PRETTY, /* two spaces of indentation, LF: unary answers and error bodies */
};

/* Parses exactly one JSON value. NULL if it is none; then `*offset_out` (may be NULL) says where reading stopped. */
json_object *json_read(const char *bytes, size_t length, size_t *offset_out);

/* Appends `value` (NULL = null). `<`, `>`, `&`, `'` are written as \u escapes as Google's front end does. */
void json_write(struct text *t, const json_object *value, enum json_style style);
/* The same as a fresh string; release with free(). */
char *json_text_of(const json_object *value, enum json_style style);

/* Members of an object, borrowed; NULL (or the fallback) when `object` is no object or the member has another type. */
json_object *json_find(const json_object *object, const char *key);
json_object *json_find_object(const json_object *object, const char *key);
json_object *json_find_list(const json_object *object, const char *key);
const char *json_find_text(const json_object *object, const char *key);
double json_find_number(const json_object *object, const char *key, double fallback);
bool json_find_bool(const json_object *object, const char *key);
/* Length of a list; 0 for anything else. */
size_t json_length(const json_object *list);
/* Element of a list, borrowed; NULL out of range. */
json_object *json_at(const json_object *list, size_t index);

/* Adds members; strings are copied, `value` is taken over. */
void json_put(json_object *object, const char *key, json_object *value);
void json_put_text(json_object *object, const char *key, const char *value);
void json_put_int(json_object *object, const char *key, long long value);
/* A number that is written as `12.5` or `12`, never as 12.499999. */
json_object *json_number(double value);

#endif
