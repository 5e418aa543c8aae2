/* ctl.h: the commands of renovationctl, one function each; main.c has the table. Each gets its own arguments (argv[0] is the command's name) and returns an
 * exit code (shared/inherit.h). */
#ifndef RENOVATIOND_CTL_CTL_H
#define RENOVATIOND_CTL_CTL_H

#include "shared/must.h"

int ctl_migrate(const char *file, int argc, char *argv[]); /* up|down|status [--dry-run] [--to VERSION] */
int ctl_check(const char *file, int argc, char *argv[]);
int ctl_config(const char *file, int argc, char *argv[]); /* [--defaults] */

/* Says what is wrong with the usage and how to find help; returns 64. */
int ctl_usage(const char *problem, ...) PRINTF(1, 2);

#endif
