/* supervisor.h: the one context of renovationd, and what its files offer each other. main.c makes it; everything runs on one thread and one loop.
 * Slots are places for workers, 0 to SLOTS_MAX-1; a life is one process in a slot and has an epoch. A slot belongs to a generation of the
 * configuration: a reload fills other slots with the next generation before it drains those of the old one. */
#ifndef RENOVATIOND_SUPERVISOR_SUPERVISOR_H
#define RENOVATIOND_SUPERVISOR_SUPERVISOR_H

#include <event2/event.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shared/configuration.h"
#include "shared/inherit.h"
#include "shared/ipc.h"
#include "shared/scoreboard.h"
#include "supervisor/restart.h"

enum supervisor_state {
	SUPERVISOR_STARTING, /* workers are on their way, fewer than the quorum are ready */
	SUPERVISOR_RUNNING,  /* the quorum was reached */
	SUPERVISOR_DEGRADED, /* a storm of deaths, or fewer ready than the quorum */
	SUPERVISOR_STOPPING  /* outranks everything else */
};

/* Who to be after binding; from option user. */
struct identity {
	bool is_change; /* false: stay who we are */
	uid_t uid;
	gid_t gid;
	char name[65]; /* for initgroups and messages */
};

struct supervisor;

struct slot {
	struct supervisor *supervisor; /* whose it is, for callbacks */
	int index;                     /* own place in the array */
	bool is_wanted;                /* the pool wants a worker here */
	pid_t pid;                     /* 0 = nobody */
	uint64_t epoch;                /* of the life that runs */
	uint32_t generation;           /* of the configuration it was started with */
	int control;                   /* our end of its control channel; -1 when nobody */
	struct event *readable;        /* messages from it; NULL when nobody */
	struct event *respawn;         /* timer; pending while the slot waits for its next life */
	bool is_ready;                 /* it said READY */
	bool is_leaving;               /* we asked it to go */
	bool is_draining;              /* it said that it accepts no more */
	bool is_unhealthy;             /* its heartbeat is late, and that was said */
	bool is_new;                   /* started by the change that is under way (rollover.h) */
	bool is_old;                   /* to be replaced by it */
	bool is_hurried;               /* it drains, and was told that its time is over */
	int64_t leave_until_ms;        /* monotonic: a draining worker's time; 0 = it is not draining */
	int killed_with;               /* signal that we sent to end it; 0 = none */
	enum death_cause killed_for;   /* why; DEATH_CAUSES = because it was to leave */
	int64_t killed_at_ms;          /* monotonic */
	int64_t started_at_ms;         /* monotonic */
	int64_t ready_at_ms;           /* monotonic; 0 = not yet */
	uint32_t closed_reports;       /* WORKER_CLOSED messages of its end */
	struct restart_slot restart;   /* its back-off; outlives the lives */
};

/* What a worker is started with; those of one generation have the same. */
struct birth {
	uint32_t generation; /* of the configuration */
	int options_fd;      /* memfd */
	int listener;        /* listening socket */
	const char *program; /* path for exec */
	int program_fd;      /* O_PATH of it, or -1 */
};

struct deaths;
struct history;
struct rollover;
struct control;
struct upgrade;
struct stopping;
struct signals;
struct watch;

struct supervisor {
	struct configuration *config;  /* borrowed from main */
	const char *config_file;       /* after -c, read again by a reload; NULL = environment only */
	const struct options *options; /* of it */
	struct event_base *base;       /* owned by main */
	enum supervisor_state state;   /* see above */
	struct identity identity;      /* whom workers run as */
	char worker_program[PATH_MAX]; /* path for exec */
	int worker_program_fd;       /* O_PATH, opened before privileges were dropped: the folder may be root's alone */
	char **environment;          /* of workers: without secrets; owned */
	int listener;                /* the shared listening socket; -1 once closed */
	bool is_listener_adopted;    /* it came from the service manager, who alone can move it */
	char url[300];               /* "http://127.0.0.1:3000" */
	int admin_listener;          /* for the operator; -1 = none */
	char admin_url[128];         /* "http://127.0.0.1:9090" or "unix:/run/renovationd/admin.sock"; "" = none */
	char admin_path[108];        /* of its UNIX socket, removed at the end; "" = none */
	int log_fd;                  /* option log_file, else 2; workers get it as 2 */
	int options_fd;              /* memfd */
	int scoreboard_fd, rings_fd; /* memfds */
	int null_fd;                 /* /dev/null, stdin of workers */
	int lifeline_read;           /* inherited by workers */
	int lifeline_write;          /* ours alone: its end is our death */
	int inbox[SLOTS_MAX];        /* the mesh: read end of each slot */
	int mesh[SLOTS_MAX];         /* write end towards each slot */
	struct scoreboard *board;    /* mapped */
	enum scoreboard_gemini gemini_checked; /* by the preflight; for the board, once there is one */
	uint32_t generation;                   /* newest that serves, from 1 */
	uint64_t last_epoch;                   /* given out */
	int wanted;                   /* workers of the pool: slots with is_wanted, but for the middle of a change */
	int size_by_hand;             /* of the pool, until the next reload; 0 = option workers */
	int quorum;                   /* of them must be ready */
	struct slot slots[SLOTS_MAX]; /* places for workers */
	struct restart_pool restart;  /* storm and escalation */
	struct event *escalation;     /* looks at the pool each half second */
	struct deaths *deaths;        /* who must be told which slot died */
	struct watch *watch;          /* heartbeats */
	struct history *history;      /* rows of the last minutes */
	struct signals *signals;      /* ours */
	struct rollover *rollover;    /* reload, scaling, drain: rollover.h */
	struct control *control;      /* the operator's socket; NULL = none */
	struct upgrade *upgrade;      /* to another program in place: upgrade.h */
	const char *check_layouts;    /* --check for an upgrade: what the asking service has; NULL otherwise */
	struct stopping *stopping;    /* NULL until a stop begins */
	bool was_ready;               /* the quorum was reached once and READY=1 told */
	int64_t started_at_us;        /* wall; when main began */
	int give_up_code;             /* exit code of a stop that was not asked for; 0 = it was */
	bool is_done;                 /* the loop ends after this turn */
	int exit_code;                /* what main returns then */
};

/* signals.c */
void signals_block(void); /* first thing in main: TERM, INT, QUIT and the others wait for us */
enum signals_wait { SIGNALS_READABLE, SIGNALS_TIMEOUT, SIGNALS_STOP };
/* Before the loop runs: waits for `fd` (-1: only for time) or for a stop signal. */
enum signals_wait signals_wait(int fd, int timeout_ms);
MUST_CHECK enum error signals_open(struct supervisor *s);
void signals_close(struct supervisor *s);
void signals_hold(bool is_held); /* while the loop's signals wait in the kernel, an exec loses none */

/* preflight.c */
/* Runs all checks, prints their report, returns the exit code (0: go on), -1 when a stop signal came. */
int preflight_run(struct supervisor *s, bool is_check_only);

/* listeners.c: s->listener and s->url. Returns an exit code, 0 when it listens, -1 when a stop signal came. */
int listeners_open(struct supervisor *s);
/* For a reload: where host and port are, and a listening socket there. NULL, or why not (static). -1 with errno. */
const char *listeners_resolve(const struct options *o, struct sockaddr_storage *address_out, socklen_t *length_out);
int listeners_bind(const struct options *o, const struct sockaddr_storage *address, socklen_t length);
void listeners_replace(struct supervisor *s, int listener); /* takes it, closes the one before */
void listeners_close(struct supervisor *s);
void listeners_name(struct supervisor *s); /* url from the socket */

/* admin_listener.c: s->admin_listener, admin_url and admin_path from option admin_listen; likewise. Before privileges are dropped. */
int admin_listener_open(struct supervisor *s);
void admin_listener_close(struct supervisor *s);

/* privileges.c */
/* Whom to become; adds faults to the configuration. */
void privileges_resolve(struct configuration *c, struct identity *identity_out);
MUST_CHECK enum error privileges_drop(const struct identity *identity);

/* descriptors.c: everything that workers inherit. */
MUST_CHECK enum error descriptors_open(struct supervisor *s);
void descriptors_close(struct supervisor *s);
int descriptor_lift(
	int fd); /* moves it above the agreed numbers, close-on-exec; -1 when that fails (then it is closed) */
MUST_CHECK enum error descriptors_raise_limit(void);

/* pool.c */
MUST_CHECK enum error pool_open(struct supervisor *s);
void pool_start(struct supervisor *s); /* the first workers of a fresh start */
void pool_close(struct supervisor *s);
void pool_stop_spawning(struct supervisor *s);
/* The worker of the slot is dead and reaped; decides about the next. `exit_code` is 128 + signal for a signal. */
void pool_worker_ended(struct supervisor *s, struct slot *slot, bool is_abnormal, int exit_code, int64_t ready_for_ms);
void pool_worker_ready(struct supervisor *s); /* one more is */
int pool_count_ready(const struct supervisor *s);
int pool_count_alive(const struct supervisor *s);
void pool_resize(struct supervisor *s, int workers); /* sets wanted and quorum, starts nothing */
void pool_start_worker(
	struct supervisor *s, struct slot *slot);      /* of the pool's own generation; tries again when fork fails */
struct slot *pool_find_free(struct supervisor *s);     /* a slot without worker and without a claim; or NULL */
void pool_fill(struct supervisor *s);                  /* starts what is missing to `wanted` */
struct birth pool_birth(const struct supervisor *s);   /* of the pool's own generation */
void pool_publish(struct supervisor *s);               /* state and numbers to board->pool and to the service manager */
void pool_finish(struct supervisor *s, int exit_code); /* the loop ends after this turn */

/* publish.c */
const char *publish_gemini(
	const struct supervisor *s); /* what is wrong with Gemini, to follow another word: "; …", or "" */

/* channel.c: the control channel of one life. */
MUST_CHECK enum error channel_open(struct supervisor *s, struct slot *slot, int fd);
void channel_close(struct slot *slot);
/* False when the message could not be sent. */
bool channel_send(const struct slot *slot, const struct message *m);
void channel_read_rest(struct supervisor *s, struct slot *slot); /* what a dead worker said last */

/* reap.c */
void reap_all(struct supervisor *s);

/* deaths.c: SLOT_DIED to a ready worker. */
void deaths_open(struct supervisor *s);
void deaths_close(struct supervisor *s);
void deaths_add(struct supervisor *s, int slot, uint64_t epoch);
void deaths_tell(struct supervisor *s);                             /* to whoever is ready now */
void deaths_untold(struct supervisor *s, int slot, uint64_t epoch); /* the one who was told is dead too */
struct state_death;
void deaths_save(
	const struct supervisor *s, struct state_death *list_out); /* STATE_DEATHS_MAX; those nobody may know of */
void deaths_restore(struct supervisor *s, const struct state_death *list);

/* history.c: board->pool.samples and supervisor_beat_us. */
MUST_CHECK enum error history_open(struct supervisor *s);
void history_close(struct supervisor *s);

/* gauges.c: what only we can measure, for the metrics. */
MUST_CHECK enum error gauges_open(struct supervisor *s);
void gauges_close(void);
void gauges_resource_closed(struct supervisor *s, const struct message_closed *closed);

/* watch.c */
MUST_CHECK enum error watch_open(struct supervisor *s);
void watch_adjust(struct supervisor *s); /* the options have changed */
void watch_close(struct supervisor *s);

/* shutdown.c */
void shutdown_begin(struct supervisor *s, int signal); /* first call starts the stop, later ones are told or hurry it */
void shutdown_resource_closed(struct supervisor *s, const struct slot *slot, const struct message_closed *closed);
void shutdown_worker_draining(struct supervisor *s);
void shutdown_worker_gone(struct supervisor *s, const struct slot *slot, uint32_t turns);
void shutdown_free(struct supervisor *s);

/* notify.c: systemd's service manager; nothing when there is none. */
void notify_ready(const struct supervisor *s);
void notify_status(const char *format, ...) PRINTF(1, 2);
void notify_checking(int extend_ms); /* the preflight takes longer */
/* A stop begins that is over in `left_ms` at the latest; the manager is asked not to end us before that, whatever its own limit (sd_notify(3),
 * EXTEND_TIMEOUT_USEC: counted from now, only ever moves a limit later). notify_stop_status says how far it is, and asks again. */
void notify_stopping(int64_t left_ms);
void notify_stop_status(int64_t left_ms, const char *format, ...) PRINTF(2, 3);
/* A reload or an upgrade begins; notify_reloaded says its end, whatever it was. */
void notify_reloading(const char *format, ...) PRINTF(1, 2);
void notify_reloaded(const char *format, ...) PRINTF(1, 2);
/* The manager keeps a copy of the descriptor for our next start (it passes it with this name), or drops it. */
void notify_store(const char *name, int fd);
void notify_unstore(const char *name);
MUST_CHECK enum error notify_open(struct supervisor *s); /* watchdog pings */
void notify_close(void);

/* control.c: the operator's socket: UNIX, stream, JSON lines. */
/* Makes it, before privileges are dropped and before the first worker; it answers once the loop runs. Returns an exit code; EXIT_OK also where there is
 * to be none. */
int control_open(struct supervisor *s);
/* Instead of control_open after an upgrade's exec: `fd` (taken) listens at `path`. */
int control_adopt(struct supervisor *s, int fd, const char *path);
int control_listener_fd(const struct supervisor *s);  /* -1 = there is none */
const char *control_path(const struct supervisor *s); /* "" = there is none */
void control_close(struct supervisor *s);             /* answers those who wait for the end of the stop */

/* pidfile.c */
MUST_CHECK enum error pidfile_open(const char *path);
int pidfile_descriptor(void); /* -1 = none; for the next program of an upgrade */
const char *pidfile_path(void);
void pidfile_adopt(int fd, const char *path); /* from the program before */
void pidfile_close(void);

#endif
