/* change.h: what the files of the roll-over share: rollover.c (queue, begin, end), reload.c with reader.c and proposal.c (a new configuration), waves.c (new workers
 * before old ones go), leavers.c (those that go), scale.c, recycle.c, logs.c. Nobody else includes it; rollover.h is the outside. */
#ifndef RENOVATIOND_SUPERVISOR_CHANGE_H
#define RENOVATIOND_SUPERVISOR_CHANGE_H

#include <sys/socket.h>

#include "shared/buffer.h"
#include "shared/options_diff.h"
#include "supervisor/rollover.h"
#include "supervisor/upgrade.h"

enum change_kind { CHANGE_NONE, CHANGE_RELOAD, CHANGE_DRAIN, CHANGE_RESUME, CHANGE_REPLACE, CHANGE_TAKE_OVER };

enum change_step {
	STEP_IDLE,     /* no change is under way */
	STEP_READING,  /* a child reads and checks the configuration */
	STEP_CHECKING, /* the worker program's --check runs with it */
	STEP_STARTING, /* new workers are on their way, wave by wave */
	STEP_RETURNING /* a later wave failed: workers of before come back */
};

/* Who is told how a change ended. */
struct waiter {
	rollover_done_fn *done; /* called once */
	void *arg;              /* of it */
	struct waiter *next;    /* in no particular order */
};

struct change {
	enum change_kind kind;  /* NONE: this place is empty */
	char who[80];           /* asked for it first; for the log */
	int slot;               /* REPLACE: whose worker */
	struct waiter *waiters; /* owned */
};

/* A configuration that was read and is not yet served with. */
struct proposal {
	bool is_set;                     /* `config` holds something */
	struct configuration config;     /* options and origins; owned */
	struct buffer faults;            /* its faults and warnings as JSON; kept after it was taken */
	char refusal[400];               /* its first fault; "" = none */
	bool is_compared;                /* `diff` means something */
	struct options_diff diff;        /* against the running ones */
	struct sockaddr_storage address; /* where host and port are; resolved by the reader */
	socklen_t address_length;        /* of it; 0 = not resolved */
	int listener;                    /* the new one, -1: the old stays; owned */
	int options_fd;                  /* memfd for its workers; owned */
	int program_fd;                  /* O_PATH; owned; -1 when it cannot be opened */
	char program[PATH_MAX];          /* worker program for exec */
	enum scoreboard_gemini gemini;   /* what the check found with it; UNKNOWN: it did not ask */
};

struct rollover {
	struct supervisor *supervisor; /* whose it is */
	enum change_step step;         /* of `now` */
	struct change now;             /* under way */
	struct change next;            /* waits */
	struct waiter *telling;        /* are being told how it ended */
	struct waiter *overtaken;      /* to be told that theirs will not happen */
	int64_t begun_ms;              /* monotonic; of `now`, or of the last */
	bool has_started;              /* `now`, or the last, started workers */
	bool is_announced;             /* the service manager was told RELOADING=1 and waits for READY=1 */
	struct event *begin;           /* timer: `next` starts */
	struct event *deadline;        /* timer: of the step */
	/* reload.c */
	pid_t child;              /* reader or checker; 0 = none */
	int child_options;        /* memfd that the reader fills; -1 */
	int child_report;         /* memfd that either fills; -1 */
	struct proposal proposal; /* what the reader found */
	/* waves.c */
	struct birth birth;    /* of the workers being started */
	int needed;            /* not yet started and ready */
	int promoted;          /* new ones that took a place already */
	int64_t wave_until_ms; /* monotonic; the wave must be ready then; 0 = no wave runs */
	int64_t stalled_ms;    /* monotonic; since when no slot is free; 0 = one was */
	char why[400];         /* the first fault of a wave; "" = none */
	/* scale.c and the rest */
	bool is_drained;     /* one worker answers probes only */
	int size;            /* workers when not drained */
	int undone_size;     /* set by hand, and what `now` takes back; 0 = nothing */
	int log_level;       /* asked for by hand; -1 = the option's */
	struct event *tick;  /* each half second: leavers, recycling */
	int64_t recycled_ms; /* monotonic; last look at age and memory */
	char refusal[400];   /* why the last reload was refused; "" = it was not */
};

/* publish.c */
void publish_write_status(const struct supervisor *s, char *text, size_t room);

/* waiters.c */
bool waiters_add(struct waiter **list, rollover_done_fn *done, void *arg);       /* false: too many */
void waiters_tell(struct waiter **list, const struct rollover_outcome *outcome); /* and frees them */
void waiters_join(struct waiter **to, struct waiter **from);
void waiters_forget(struct waiter **list, const void *arg);

/* rollover.c */
extern const char *const change_names[]; /* by kind, for the log */
/* Ends the change under way. `text` may be a member of it. */
void change_end(struct supervisor *s, enum reload_result result, const char *text);
void change_set_deadline(struct rollover *r, int64_t ms);
/* False when the change cannot be queued; then *why_out says so. */
bool change_ask(struct supervisor *s, enum change_kind kind, int slot, const char *who, rollover_done_fn *done,
	void *arg, const char **why_out);

/* reload.c: reads and checks the configuration, then waves_begin or change_end. */
void reload_begin(struct supervisor *s);
void reload_child_ended(struct supervisor *s, int status);
void reload_timed_out(struct supervisor *s);
void reload_abort(struct supervisor *s); /* ends the child, forgets the proposal */

/* reader.c: the child that parses. */
/* Starts it; it fills both memfds and leaves with 0. Returns its pid, or -1 with errno. */
pid_t reader_start(struct supervisor *s, int options_fd, int report_fd);
/* What it left. Errors: ERROR_PROTOCOL. */
MUST_CHECK enum error reader_take(int options_fd, int report_fd, struct proposal *proposal);

/* proposal.c */
void proposal_init(struct proposal *p);
void proposal_fini(struct proposal *p);
/* Compares with what runs, keeps what needs a restart, opens the worker program and packs the options for workers. Errors: ERROR_SYSTEM (errno). */
MUST_CHECK enum error proposal_compare(struct supervisor *s, struct proposal *p);
bool proposal_is_live(const struct proposal *p); /* something differs, and all of it can be told to running workers */
/* The supervisor serves with it from now on; the proposal is empty then, but for its diff. */
void proposal_adopt(struct supervisor *s, struct proposal *p);
/* Tells every worker the live options of the supervisor's memfd. */
void proposal_tell_workers(struct supervisor *s);

/* waves.c */
/* Starts `count` workers and then retires all others of the pool, or only that of the change's slot. Ends the change itself. */
void waves_begin(struct supervisor *s, const struct birth *birth, int count);
void waves_ready(struct supervisor *s, struct slot *slot);
void waves_failed(struct supervisor *s, const char *why);
void waves_timed_out(struct supervisor *s);
void waves_forget(struct supervisor *s); /* what it started stays as it is, no change owns it */
void waves_drop(struct supervisor *s);   /* what it started goes, unless it took a place */
uint32_t waves_next_generation(const struct supervisor *s);

/* leavers.c */
void leavers_add(struct supervisor *s, struct slot *slot); /* its worker drains; the pool wants none there */
void leavers_tick(struct supervisor *s);
bool leavers_are_there(const struct supervisor *s);
void leavers_hurry(struct supervisor *s); /* all that drain: within the deadlines of a stop */

/* scale.c */
int scale_most(const struct supervisor *s); /* workers that TTIN may reach */
/* Starts what is missing, or has the youngest drain. */
void scale_to(struct supervisor *s, int workers);
/* As many as were set by hand, else option workers. */
int scale_wanted(const struct supervisor *s);
/* A reload was accepted: what was set by hand is no more; the outcome will say so. */
void scale_forget(struct supervisor *s);

/* recycle.c */
void recycle_tick(struct supervisor *s);

/* logs.c */
void logs_worker_ready(struct supervisor *s, const struct slot *slot); /* tells it the level that was set by hand */

#endif
