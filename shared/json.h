/* json.h: strict JSON as it crosses our border: a scanner over bytes that copies nothing, and a writer into a buffer.
 * Used where a request, a tool's arguments or a log line is read or made; what PostgreSQL or a model builds is passed through as bytes.
 * Strict means RFC 8259 in valid UTF-8, no duplicate member names, no NUL, no lone surrogates, bounded depth. */
#ifndef RENOVATIOND_SHARED_JSON_H
#define RENOVATIOND_SHARED_JSON_H

#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/text.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
	enum json_type type; /* JSON_OBJECT or JSON_ARRAY have children */
	struct text name;    /* member name, decoded (in the arena); TEXT_NONE for elements and the root */
	struct text raw;     /* the value's own bytes in the input, without surrounding space */
	struct text
		string; /* JSON_STRING: decoded, valid UTF-8 (borrowed from the input when it had no escapes, else in the arena) */
	bool boolean;                    /* JSON_BOOL */
	struct json_value *first, *next; /* children and siblings, in order */
	size_t count;                    /* number of children */
};

#define JSON_DEPTH_MAX 32

/* Parses one whole document. Errors: ERROR_INVALID_JSON; then *problem_out says what and at which byte ("duplicate member \"title\"
 * at byte 17"), owned by the arena. `bytes` must outlive the result. */
MUST_CHECK enum error json_parse(
	struct arena *a, struct text bytes, struct json_value **root_out, const char **problem_out);

/* Borrowed; NULL when absent or when `object` is no object. */
const struct json_value *json_find(const struct json_value *object, const char *name);
/* The decoded string, or TEXT_NONE when absent or of another type. */
struct text json_find_string(const struct json_value *object, const char *name);

/* Appends a quoted, escaped string; bytes that are not UTF-8 become U+FFFD, so the result is always valid JSON. */
void json_write_string(struct buffer *b, struct text string);

#endif
