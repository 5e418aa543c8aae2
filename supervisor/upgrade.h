/* upgrade.h: a new renovationd takes over in place: same process id, same workers until the new ones are ready, back to the saved old program when they
 * do not get ready. Called by signals.c (USR2) and control.c. */
#ifndef RENOVATIOND_SUPERVISOR_UPGRADE_H
#define RENOVATIOND_SUPERVISOR_UPGRADE_H

#include "supervisor/supervisor.h"

/* `text` is for people, borrowed for the call. Comes at most once and only where no exec happened before: refused by the new program's check. Who waits
 * for the end asks again after the exec: the pool's last_upgrade_at_us has changed then. */
typedef void upgrade_done_fn(void *arg, bool is_done, const char *text);

/* Asynchronous: checks the renovationd that lies where this one was started from, then execs it. `who` is for the log. False when it cannot begin; then
 * *why_out (static) says so and `done` (may be NULL) does not come. */
bool upgrade_begin(struct supervisor *s, const char *who, upgrade_done_fn *done, void *arg, const char **why_out);
/* `done` of whoever must not be called any more (its connection is gone). */
void upgrade_forget(struct supervisor *s, void *arg);

/* Called by reap.c for each child that is no worker: true when it was ours (the new program's check). */
bool upgrade_child_ended(struct supervisor *s, pid_t pid, int status);
/* Is an upgrade under way: from its beginning to the last of it, over the exec? A reload, scaling and the like are refused meanwhile. */
bool upgrade_is_running(const struct supervisor *s);
/* A stop begins: it outranks us. */
void upgrade_cancel(struct supervisor *s);

/* main.c: the exec happens between two turns of the loop. Returns when it failed, or when something outranked it. */
bool upgrade_is_due(const struct supervisor *s);
void upgrade_exec(struct supervisor *s);

/* main.c, first of all: was this program exec'd by the one before? Then its state is taken, and the log is where it was. Returns an exit code: anything but
 * EXIT_OK ends the start; the workers were told to leave then. `argv` is borrowed. */
int upgrade_open(struct supervisor *s, char **argv);
bool upgrade_is_adopting(const struct supervisor *s);
/* The three steps of a start that adopts, in order: after the configuration was read; in place of preflight, listening, privileges and descriptors; and once
 * the loop has everything. Exit codes as above. */
int upgrade_configure(struct supervisor *s, struct configuration *c);
int upgrade_adopt(struct supervisor *s);
void upgrade_continue(struct supervisor *s);
void upgrade_close(struct supervisor *s);

#endif
