/* commands.h: what renovationd-worker does beside serving: the preflight's checks, migrations, and printing its routes. Each ends the process. */
#ifndef RENOVATIOND_WORKER_COMMANDS_H
#define RENOVATIOND_WORKER_COMMANDS_H

#include <stdbool.h>

/* All return exit codes (shared/inherit.h). */
/* Options at INHERIT_OPTIONS, report to INHERIT_REPORT; `may_migrate`: see db_probe. */
int command_check(bool may_migrate);
int command_migrate(int argc, char *argv[]); /* argv: up|down|status [--dry-run] [--to N]; options at INHERIT_OPTIONS */
int command_print_routes(void);              /* a line per route on standard output */
int command_print_openapi(void);             /* what GET /openapi.json answers, and a line end */

#endif
