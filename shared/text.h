/* text.h: a span of bytes with its length, borrowed from whoever owns them; may hold NUL.
 * Used by parsers and tables everywhere. Owns nothing. */
#ifndef RENOVATIOND_SHARED_TEXT_H
#define RENOVATIOND_SHARED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *bytes; /* borrowed; NULL means absent, "" means empty */
	size_t length;     /* bytes */
};

#define TEXT(literal) ((struct text) { (literal), sizeof(literal) - 1 })
#define TEXT_NONE     ((struct text) { NULL, 0 })
#define TEXT_ARGS(t)  (int)(t).length, ((t).bytes ? (t).bytes : "") /* for "%.*s" */

static inline struct text text_of(const char *string)
{
	return (struct text) { string, string ? strlen(string) : 0 };
}

static inline struct text text_span(const char *bytes, size_t length)
{
	return (struct text) { bytes, length };
}

static inline bool text_equals(struct text a, struct text b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

/* ASCII case only; for header names and tokens. */
static inline bool text_equals_nocase(struct text a, struct text b)
{
	return a.length == b.length && (a.length == 0 || strncasecmp(a.bytes, b.bytes, a.length) == 0);
}

static inline bool text_starts_with(struct text whole, struct text start)
{
	return whole.length >= start.length && memcmp(whole.bytes, start.bytes, start.length) == 0;
}

/* Decimal digits only, no sign, no space. False when it is not a number or does not fit; `value_out` then untouched. */
bool text_parse_u64(struct text digits, uint64_t *value_out);

/* Is it valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)? */
bool text_is_utf8(struct text t);

/* Code points in valid UTF-8. */
size_t text_code_points(struct text t);

/* Its beginning: at most so many bytes of valid UTF-8, and no half code point at the end. */
struct text text_cut(struct text t, size_t bytes_max);

/* All of it to a descriptor that blocks or never fills (a file, a memfd). False with errno when that fails half-way. */
bool text_write(struct text t, int fd);

#endif
