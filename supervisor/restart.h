/* restart.h: when a dead worker gets a successor, as pure arithmetic on given times: back-off of one slot, storm and escalation of the pool.
 * Called by pool.c. Starts nothing itself. */
#ifndef RENOVATIOND_SUPERVISOR_RESTART_H
#define RENOVATIOND_SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_STORM_MEMORY 128

struct restart_slot {
	int in_row; /* abnormal ends without 60 s of being ready in between */
};

struct restart_pool {
	int64_t ends_ms[RESTART_STORM_MEMORY]; /* monotonic times of the last abnormal ends, a ring */
	int ends_next;                         /* where the next goes */
	int64_t last_spawn_ms;                 /* of any slot */
	int64_t none_ready_since_ms;           /* 0 = somebody is ready */
	int64_t fork_fails_since_ms;           /* and nobody lives; 0 = the last fork worked */
	int fork_fails;                        /* in a row */
	int fatal_in_row;                      /* fatal-class exits while nobody was ready */
	int last_code; /* of the last abnormal end, one of enum exit_code; 0 = a signal, or another code */
};

/* After an abnormal end: how long the slot waits. `ready_for_ms`: how long that life was ready; `jitter` from -1 to 1. */
int64_t restart_delay_ms(struct restart_slot *slot, int64_t ready_for_ms, double jitter);

void restart_note_end(struct restart_pool *pool, int64_t now_ms, int exit_code, bool is_somebody_ready);
/* More than max(5, 2 x workers) abnormal ends in 60 s. */
bool restart_is_storm(const struct restart_pool *pool, int64_t now_ms, int workers);
/* In a storm: how long until the pool may start one; 0 = now. */
int64_t restart_storm_wait_ms(const struct restart_pool *pool, int64_t now_ms, int workers);

/* fork failed: how long to wait. */
int64_t restart_fork_failed(struct restart_pool *pool, int64_t now_ms);
void restart_forked(struct restart_pool *pool, int64_t now_ms);

/* Called often with who is ready: 0 to go on, else the exit code to give up with. */
int restart_escalate(struct restart_pool *pool, int64_t now_ms, int ready, int alive);

#endif
