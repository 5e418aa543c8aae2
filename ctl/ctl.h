/* ctl.h: the commands of renovationctl, one function each; main.c has the table. Each gets its own arguments (argv[0] is the command's name) and returns an
 * exit code (shared/inherit.h). */
#ifndef RENOVATIOND_CTL_CTL_H
#define RENOVATIOND_CTL_CTL_H

#include "shared/must.h"

/* What stands beside the command. */
struct ctl {
	const char *file;   /* after -c; NULL = environment only */
	const char *socket; /* after -s; NULL = look for it */
};

typedef int ctl_run_fn(const struct ctl *ctl, int argc, char *argv[]);

/* Without a running service. */
ctl_run_fn ctl_migrate; /* up|down|status [--dry-run] [--to VERSION] */
ctl_run_fn ctl_check;
ctl_run_fn ctl_config; /* [--defaults | --man] */
ctl_run_fn ctl_openapi;

/* Looking at a running service. */
ctl_run_fn ctl_status; /* [--json] */
ctl_run_fn ctl_top;    /* [--once] [--interval SECONDS] */
ctl_run_fn ctl_metrics;

/* Changing it. */
ctl_run_fn ctl_reload;         /* [--wait] */
ctl_run_fn ctl_upgrade;        /* [--wait] */
ctl_run_fn ctl_drain;          /* [--wait] */
ctl_run_fn ctl_resume;         /* [--wait] */
ctl_run_fn ctl_stop;           /* [--wait] [--fast] */
ctl_run_fn ctl_scale;          /* N [--wait] */
ctl_run_fn ctl_restart_worker; /* SLOT [--wait] */
ctl_run_fn ctl_logs;           /* reopen | level LEVEL */

/* Says what is wrong with the usage and how to find help; returns 64. */
int ctl_usage(const char *problem, ...) PRINTF(1, 2);
/* Becomes the program `name` of this package with these arguments (NULL-terminated); returns an exit code only when that fails. `chosen` as in program_find. */
int ctl_become(const char *chosen, const char *name, const char *const arguments[]);

#endif
