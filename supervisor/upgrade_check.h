/* upgrade_check.h: is the program on disk fit to take over? Runs `renovationd --check --check-layout …` of it beside the loop. Called by upgrade.c. */
#ifndef RENOVATIOND_SUPERVISOR_UPGRADE_CHECK_H
#define RENOVATIOND_SUPERVISOR_UPGRADE_CHECK_H

#include "supervisor/supervisor.h"

/* `problem`: NULL when it is fit; else one sentence for people, borrowed for the call. */
typedef void upgrade_checked_fn(struct supervisor *s, const char *problem);

struct upgrade_check {
	pid_t pid;                  /* of the program, leader of a process group; 0 = none runs */
	int report;                 /* read end of its pipe; -1 when none runs */
	bool is_late;               /* it was killed for taking too long */
	struct event *limit;        /* timer */
	upgrade_checked_fn *done;   /* comes once, from the loop */
	struct supervisor *service; /* for callbacks */
};

/* Errors: ERROR_SYSTEM (errno); then `done` does not come. */
MUST_CHECK enum error upgrade_check_start(struct supervisor *s, struct upgrade_check *check, const char *program,
	char *const argv[], upgrade_checked_fn *done);
/* False when it was another child. */
bool upgrade_check_ended(struct upgrade_check *check, pid_t pid, int status);
void upgrade_check_cancel(struct upgrade_check *check); /* `done` does not come any more */

#endif
