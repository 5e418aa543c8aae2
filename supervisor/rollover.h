/* rollover.h: one generation of workers follows another: reload, scaling, drain and resume, the restart of one slot. A new worker is ready before an
 * old one is told to leave. One change at a time: a stop outranks all, an upgrade outranks a reload, a second reload waits (one at most; later ones join it).
 * Called by signals.c and by control.c, which answers its client when `done` comes. */
#ifndef RENOVATIOND_SUPERVISOR_ROLLOVER_H
#define RENOVATIOND_SUPERVISOR_ROLLOVER_H

#include "shared/scoreboard.h"
#include "supervisor/supervisor.h"

/* How a change ended. */
struct rollover_outcome {
	enum reload_result result; /* RELOAD_NONE when it was overtaken (a stop, an upgrade) */
	uint32_t generation;       /* that serves now */
	int64_t ms;                /* how long it took */
	const char *text; /* for people: what changed, or the first fault with its place; borrowed for the call */
	const char *changed_live;    /* names of options, comma-separated, "" = none; borrowed for the call */
	const char *changed_workers; /* likewise */
	const char *needs_restart;   /* changed in the file but not applied */
	const char *faults_json;     /* array of the faults of a rejected configuration; "" = none */
};
typedef void rollover_done_fn(void *arg, const struct rollover_outcome *outcome);

/* Each is asynchronous: `done` (may be NULL) comes exactly once, from the loop, never inside the call. `who` is for the log ("SIGHUP", "uid 0 pid 17").
 * False when it cannot begin; then *why_out (static) says so and `done` does not come. */
bool rollover_reload(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out);
/* Pool of `workers` from now on, over an upgrade too, until the next reload reads the option again. */
bool rollover_scale(struct supervisor *s, int workers, const char *who, const char **why_out);
/* All workers leave; one that answers probes only takes their place. */
bool rollover_drain(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out);
bool rollover_resume(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out);
/* A new worker takes the place of the one in `slot`. */
bool rollover_replace(
	struct supervisor *s, int slot, const char *who, rollover_done_fn *done, void *arg, const char **why_out);
/* After an upgrade's exec: every worker there is belongs to an older generation and serves on; a new generation of as many workers as were set by hand, else as the options say,
 * takes their place as in a reload. The configuration is s->config as it stands (the upgrade checked it); a reload has nothing to do with it. On failure the new
 * workers are gone or told to go, and s->generation and the old workers are as before. The caller writes the pool's last_upgrade fields, not this. */
bool rollover_take_over(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out);
/* An exec is next: whatever change is under way is given up as it stands (its `done` comes with RELOAD_NONE); slots keep their flags. Nothing when there is none. */
void rollover_abandon(struct supervisor *s);
/* `done` of whoever must not be called any more (its connection is gone). */
void rollover_forget(struct supervisor *s, void *arg);

/* Opens option log_file anew and hands it to all workers; the old one stays when that fails. */
bool rollover_reopen_logs(struct supervisor *s, const char *who, const char **why_out);
/* Until the next reload or restart. */
void rollover_log_level(struct supervisor *s, int level, const char *who);

/* A stop begins: the change under way ends, its workers are the stop's to tell. */
void rollover_stop(struct supervisor *s);
bool rollover_is_busy(const struct supervisor *s); /* a change is under way or waits */
bool rollover_is_drained(const struct supervisor *s);

/* From channel.c, pool.c and reap.c. */
void rollover_worker_ready(struct supervisor *s, struct slot *slot);
/* A worker that the change under way started is dead. */
void rollover_new_worker_ended(struct supervisor *s, const struct slot *slot, int exit_code);
bool rollover_child_ended(struct supervisor *s, pid_t pid, int status); /* false: not one of ours */

MUST_CHECK enum error rollover_open(struct supervisor *s);
void rollover_close(struct supervisor *s);

#endif
