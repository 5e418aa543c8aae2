/* spawn.h: fork and exec of our own programs with descriptors at agreed numbers and nothing else. */
#ifndef RENOVATIOND_SUPERVISOR_SPAWN_H
#define RENOVATIOND_SUPERVISOR_SPAWN_H

#include "supervisor/supervisor.h"

struct spawn_descriptor {
	int from; /* ours, above the agreed numbers; borrowed */
	int to;   /* where the child finds it */
};

#define SPAWN_DESCRIPTORS_MAX (16 + SLOTS_MAX)

struct spawn_plan {
	struct spawn_descriptor descriptors[SPAWN_DESCRIPTORS_MAX]; /* beside 0, 1 and 2 */
	int count;                                                  /* of them */
	const char *argv[16];                                       /* NULL-terminated; [0] is the name */
	const char *program;                                        /* path; NULL = the supervisor's worker_program */
	int program_fd;                                             /* O_PATH of `program`, or -1 */
	bool is_worker; /* writes its pid into this slot of the scoreboard and gets a process group of its own */
	struct scoreboard_slot *board_slot; /* of a worker */
};

void spawn_add(struct spawn_plan *plan, int from, int to);
/* fork with all signals blocked, so that none meets a handler of ours in the child: it sets its own dispositions before it lets them in. Logs and stdio
 * are flushed first. Returns as fork does; the parent's mask is as before. */
pid_t spawn_fork(void);
/* In the child, after any change of user (which undoes it): it gets `signal` when the parent dies, and leaves now if the parent is already dead. */
void spawn_die_with(pid_t parent, int signal);
/* Starts the worker program. Returns its pid, or -1 with errno. */
pid_t spawn_run(const struct supervisor *s, const struct spawn_plan *plan);
/* The environment of workers: ours without what options come from. Owned by the caller; the strings are borrowed from environ. */
char **spawn_environment(void);

/* Starts a worker in an empty slot with a new epoch; the slot then has a pid and a control channel. Errors: ERROR_SYSTEM (errno says what). */
MUST_CHECK enum error spawn_worker(struct supervisor *s, struct slot *slot, const struct birth *birth);

#endif
