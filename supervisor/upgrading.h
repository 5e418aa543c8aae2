/* upgrading.h: what the two halves of an upgrade share: upgrade.c (until the exec) and adoption.c (in the program that comes after). Nobody else includes it;
 * upgrade.h is the outside. */
#ifndef RENOVATIOND_SUPERVISOR_UPGRADING_H
#define RENOVATIOND_SUPERVISOR_UPGRADING_H

#include <limits.h>
#include <sys/stat.h>

#include "supervisor/state.h"
#include "supervisor/upgrade.h"
#include "supervisor/upgrade_check.h"

/* The variable that tells a program that it was exec'd by the one before, and which descriptor its state is. */
#define UPGRADE_MARKER "RENOVATIOND_STATE_FD"

enum upgrade_phase {
	UPGRADE_IDLE,        /* none is under way */
	UPGRADE_CHECKING,    /* the new program's check runs */
	UPGRADE_EXEC_DUE,    /* main shall exec the new program after this turn of the loop */
	UPGRADE_TAKING_OVER, /* this is the new program; its workers are on their way */
	UPGRADE_BACK_DUE     /* main shall exec the old program after this turn */
};

struct upgrade {
	enum upgrade_phase phase;   /* see above */
	char **argv;                /* of main; borrowed */
	char path[PATH_MAX];        /* where the next program is looked for */
	char who[80];               /* asked for it */
	int64_t begun_at_ms;        /* monotonic */
	struct upgrade_check check; /* of the program at `path` */
	upgrade_done_fn *done;      /* NULL = nobody waits */
	void *done_arg;             /* of it */
	struct stat checked;        /* the file whose check runs or was good; all zero when there is none */
	int program_fd;             /* O_PATH of the program that runs; -1 when it cannot be opened */
	struct state *state;        /* that brought us here; NULL after a plain start, and once it is used up */
	int old_options_fd;         /* way back: values of the old workers; -1 = there is none */
	char problem[512];          /* why this program cannot go on, found before the loop; "" = it can */
	char not_applied[256];      /* changed options that keep their old values; for the text */
};

/* The upgrade is over; everything is as it was, or new. Tells the log, the scoreboard, the service manager and who waits. */
void upgrade_settle(struct supervisor *s, bool is_done, const char *text);
/* No way back is needed any more. */
void upgrade_forget_old(struct upgrade *u);

#endif
