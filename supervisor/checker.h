/* checker.h: `renovationd-worker --check`: what needs the libraries of workers is checked by the worker program. Used by preflight.c and reload.c. */
#ifndef RENOVATIOND_SUPERVISOR_CHECKER_H
#define RENOVATIOND_SUPERVISOR_CHECKER_H

#include "shared/report.h"
#include "supervisor/supervisor.h"

struct checker {
	const char *program; /* path; NULL = the supervisor's worker_program */
	int program_fd;      /* O_PATH of it, or -1 */
	int options_fd;      /* memfd with what is to be checked, above the agreed numbers; borrowed */
	int report_fd;       /* the report is written there; likewise */
	bool is_for_start;   /* pending migrations may be applied (development only) */
};

/* Its pid, or -1 with errno. */
pid_t checker_start(struct supervisor *s, const struct checker *checker);
/* Adds the rows of its report; one called "checker" when it brought none. `status` is waitpid's. */
void checker_judge(struct report *r, struct text lines, int status);
/* What the report says of Gemini: enum scoreboard_gemini. */
enum scoreboard_gemini checker_gemini(const struct report *r);
/* The same as checker_judge for a report that was written to a memfd. */
void checker_take(int report_fd, int status, struct report *r);
/* Adds a failed row "checker". */
void checker_failed(struct report *r, int exit_code, const char *what);

#endif
