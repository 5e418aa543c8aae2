/* log_field.h: one named value of a log line, and its form as JSON. Made by the F_ macros in LOG() and by tables of rows; used by log.c for lines and by
 * journal.c for entries. */
#ifndef RENOVATIOND_SHARED_LOG_FIELD_H
#define RENOVATIOND_SHARED_LOG_FIELD_H

#include "shared/buffer.h"

enum log_kind { LOG_KIND_TEXT, LOG_KIND_INT, LOG_KIND_REAL, LOG_KIND_BOOL, LOG_KIND_RAW };

struct log_field {
	const char *name;   /* member name: snake_case, no escapes needed */
	enum log_kind kind; /* which of the following is meant */
	struct text
		text;    /* TEXT: escaped by us, invalid UTF-8 replaced; RAW: JSON already; NONE leaves the field out */
	int64_t integer; /* INT, BOOL */
	double real;     /* REAL, written with 3 decimals */
};

#define F_TEXT(n, t) ((struct log_field) { .name = (n), .kind = LOG_KIND_TEXT, .text = (t) })
#define F_STR(n, s)  ((struct log_field) { .name = (n), .kind = LOG_KIND_TEXT, .text = text_of(s) })
#define F_INT(n, i)  ((struct log_field) { .name = (n), .kind = LOG_KIND_INT, .integer = (int64_t)(i) })
#define F_REAL(n, r) ((struct log_field) { .name = (n), .kind = LOG_KIND_REAL, .real = (r) })
#define F_BOOL(n, b) ((struct log_field) { .name = (n), .kind = LOG_KIND_BOOL, .integer = (b) })
#define F_RAW(n, t)  ((struct log_field) { .name = (n), .kind = LOG_KIND_RAW, .text = (t) })

/* A text of NONE: the line does without it. */
static inline bool log_field_is_absent(const struct log_field *field)
{
	return (field->kind == LOG_KIND_TEXT || field->kind == LOG_KIND_RAW) && field->text.bytes == NULL;
}

/* The value as JSON. */
void log_field_append(struct buffer *line, const struct log_field *field);

#endif
