/* report.h: the preflight's report: one row per check, filled by the checker, handed to the supervisor over a pipe, printed as table and JSON. */
#ifndef RENOVATIOND_SHARED_REPORT_H
#define RENOVATIOND_SHARED_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/must.h"
#include "shared/text.h"

#define REPORT_ROWS_MAX 32

enum report_state { REPORT_OK, REPORT_WARNING, REPORT_FAILED, REPORT_SKIPPED };

struct report_row {
	char name[32]; /* configuration database migrations connections gemini files limits */
	enum report_state state;
	int latency_ms;
	int exit_code; /* for FAILED: what the supervisor exits with (inherit.h); for a WARNING: would, were it required; 0 = nothing failed */
	bool is_transient; /* FAILED, but trying again may help */
	char detail[400];  /* what was found; never a secret */
	char remedy[400];  /* what to do; "" when nothing */
};

struct report {
	struct report_row rows[REPORT_ROWS_MAX];
	int count;
};

/* The next free row, zeroed, named. */
struct report_row *report_add(struct report *r, const char *name);
/* printf into detail or remedy. */
void report_detail(struct report_row *row, const char *format, ...) PRINTF(2, 3);
void report_remedy(struct report_row *row, const char *format, ...) PRINTF(2, 3);

/* The form on the pipe: a line per row, fields separated by tabs, and back. Errors: ERROR_PROTOCOL. */
void report_write(const struct report *r, struct buffer *out);
MUST_CHECK enum error report_read(struct text lines, struct report *r);
/* For people and for programs. */
void report_print_table(const struct report *r, FILE *out);
void report_write_json(const struct report *r, struct buffer *out);
/* 0 when nothing failed; else the code of the gravest row (77, 78 before 69). */
int report_exit_code(const struct report *r);
bool report_is_only_transient(const struct report *r); /* something failed, and all that failed is transient */

#endif
