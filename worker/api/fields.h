/* fields.h: what a member of a resource may hold, and the check of a JSON object against a table of such rows. Pure: JSON value and table in,
 * list of problems out. Used by the resource handlers for validation and by OpenAPI for the schemas. */
#ifndef RENOVATIOND_WORKER_API_FIELDS_H
#define RENOVATIOND_WORKER_API_FIELDS_H

#include "shared/arena.h"
#include "shared/json.h"
#include "worker/http/response.h" /* struct field_problem */

enum field_type {
	FIELD_LINE, /* one line of text: no control characters, not blank when min > 0; min..max code points */
	FIELD_TEXT, /* text of several lines; min..max code points */
	FIELD_INT,  /* whole number, min..max */
	FIELD_BOOL, /* true or false */
	FIELD_MONEY, /* decimal string, at most 2 decimals: "15000.00"; min..max whole units; never a JSON number, so that nobody rounds */
	FIELD_MEASURE,  /* number or decimal string, at most `scale` decimals; min..max */
	FIELD_ENUM,     /* one of `values` */
	FIELD_UUID,     /* reference to another row of the owner */
	FIELD_DATETIME, /* RFC 3339 with a zone */
	FIELD_CURRENCY, /* ISO 4217: three capital letters */
	FIELD_URL,      /* http or https; at most max bytes */
	FIELD_OBJECT,   /* any JSON object, at most max bytes */
	FIELD_ARRAY     /* any JSON array, at most max bytes */
};

#define FIELD_REQUIRED    1u  /* on create */
#define FIELD_NULLABLE    2u  /* null clears it */
#define FIELD_READ        4u  /* shown, never taken */
#define FIELD_POSITIVE    8u  /* MEASURE: more than 0 */
#define FIELD_CREATE_ONLY 16u /* taken by a create, read-only afterwards */

struct field {
	const char *name;          /* camelCase member; NULL ends a table */
	enum field_type type;      /* how it is checked and described */
	unsigned flags;            /* FIELD_REQUIRED … */
	int64_t min, max;          /* see the type */
	int scale;                 /* MEASURE: decimals */
	const char *const *values; /* ENUM: ends with NULL */
	const char *help;          /* one phrase for OpenAPI */
};

enum fields_mode { FIELDS_CREATE, FIELDS_UPDATE };

#define FIELDS_PROBLEMS_MAX 32 /* more are not listed */

struct field_problems {
	struct field_problem list[FIELDS_PROBLEMS_MAX];
	size_t count;
};

/* Adds what is wrong with `body`; true when nothing is. Texts live in the arena or the table. */
bool fields_check(struct arena *a, const struct field fields[], const struct json_value *body, enum fields_mode mode,
	struct field_problems *problems);
void fields_problem(struct field_problems *problems, struct text path, const char *code, struct text message);
/* One value given as text (a filter in the query). */
bool field_check_text(struct arena *a, const struct field *field, struct text value, struct field_problems *problems);

#endif
