/* scoreboard.h: the memory that supervisor and workers share: one slot per worker (its single writer), and the few things that
 * belong to the pool. Made once by the supervisor before the first fork, kept over reloads and upgrades, so plain atomics only: no locks,
 * no pointers. The supervisor checks ranges; a corrupt slot means that worker is sick, never a supervisor crash. */
#ifndef RENOVATIOND_SHARED_SCOREBOARD_H
#define RENOVATIOND_SHARED_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/inherit.h"
#include "shared/must.h"

#define SCOREBOARD_MAGIC  0x72656e6fu
#define SCOREBOARD_LAYOUT 3 /* grows with each change of these structs */
#define BREAKERS_MAX      16

enum worker_state {
	WORKER_NONE,     /* the slot is free */
	WORKER_BOOT,     /* exec'd, opening its parts */
	WORKER_READY,    /* accepts connections */
	WORKER_DRAINING, /* finishes what it has, accepts nothing */
	WORKER_CLOSING,  /* closes its parts */
	WORKER_EXITED    /* dead, not yet released by the supervisor */
};

/* Counters only grow within one life of a worker; the supervisor adds a dead worker's to `retired` of the scoreboard. */
#define SCOREBOARD_COUNTERS(X)                                                                                         \
	X(requests)     /* answered requests */                                                                        \
	X(requests_2xx) /* by class */                                                                                 \
	X(requests_3xx)                                                                                                \
	X(requests_4xx)                                                                                                \
	X(requests_5xx)                                                                                                \
	X(connections_accepted)                                                                                        \
	X(bytes_in)                                                                                                    \
	X(bytes_out)                                                                                                   \
	X(db_queries) /* statements answered */                                                                        \
	X(db_errors)                                                                                                   \
	X(turns_started)                                                                                               \
	X(turns_completed)                                                                                             \
	X(turns_failed)                                                                                                \
	X(turns_cancelled)                                                                                             \
	X(turns_taken_over)                                                                                            \
	X(model_calls)                                                                                                 \
	X(model_errors)                                                                                                \
	X(tokens_in)                                                                                                   \
	X(tokens_out)

struct scoreboard_counters {
#define X(name) _Atomic uint64_t name;
	SCOREBOARD_COUNTERS(X)
#undef X
};

struct scoreboard_slot {
	_Alignas(64) _Atomic int32_t pid;  /* 0 = free; written by the supervisor */
	_Atomic uint32_t generation;       /* configuration generation; supervisor */
	_Atomic uint64_t epoch;            /* unique for each life of a worker on this host; supervisor */
	_Atomic uint32_t state;            /* enum worker_state; worker, the supervisor for NONE, BOOT and EXITED */
	_Atomic int64_t started_at_us;     /* monotonic; supervisor */
	_Atomic int64_t ready_at_us;       /* monotonic; worker */
	_Atomic int64_t drain_until_us;    /* monotonic: when it is made to leave; 0 = it does not drain; supervisor */
	_Atomic int64_t heartbeat_us;      /* monotonic, written every second from the loop; worker */
	_Atomic int64_t loop_lag_us;       /* how late the last heartbeat timer was; worker */
	_Atomic uint32_t connections;      /* open sockets of clients */
	_Atomic uint32_t connections_idle; /* of these, keep-alive without a request */
	_Atomic uint32_t streams;          /* open event streams */
	_Atomic uint32_t turns;            /* answers this worker is writing */
	_Atomic uint32_t db_idle;          /* database connections without work */
	_Atomic uint32_t db_open;          /* database connections that work */
	_Atomic uint32_t db_waiting;       /* queries waiting for a connection or an answer */
	_Atomic uint64_t log_dropped;      /* lines */
	_Atomic int64_t last_request_us;   /* monotonic: when the last request began */
	char last_request[96]; /* its method and route, written before last_request_us; may be torn when read */
	struct scoreboard_counters counters; /* worker */
};

/* One model's circuit breaker, used by chat under the rules of the Gemini specification. Claimed by CAS on name_hash. */
struct scoreboard_breaker {
	_Alignas(64) _Atomic uint64_t name_hash; /* of provider and model; 0 = free row */
	char model[64];                          /* NUL-terminated, written once by the claimer */
	_Atomic uint32_t failures;               /* consecutive */
	_Atomic uint32_t window_attempts;        /* within the current 30 s window */
	_Atomic uint32_t window_failures;
	_Atomic int64_t window_start_ms; /* monotonic */
	_Atomic int64_t open_until_ms;   /* monotonic; 0 = closed */
	_Atomic int64_t open_for_ms;     /* length of the last opening, doubles */
	_Atomic uint32_t probing;        /* 1 while one probe is out */
	_Atomic uint32_t reason;         /* why it is open: 0 failures, 1 daily quota, 2 credentials, 3 model gone */
};

enum pool_state {
	POOL_STARTING,  /* fewer workers than the quorum were ever ready */
	POOL_RUNNING,   /* the quorum is ready */
	POOL_DEGRADED,  /* a storm of deaths, or fewer ready than the quorum */
	POOL_RELOADING, /* a new generation is on its way; the old one serves */
	POOL_UPGRADING, /* a new program is on its way; the old workers serve */
	POOL_DRAINED,   /* by request: one worker answers probes, everything else is 503 */
	POOL_STOPPING   /* outranks everything else */
};

/* Why a worker ended without being asked; rows of renovationd_worker_restarts_total. */
enum death_cause {
	DEATH_EXIT,   /* left with a code */
	DEATH_SIGNAL, /* crashed */
	DEATH_OOM,    /* killed for memory */
	DEATH_KILLED, /* SIGKILL that was not ours */
	DEATH_HUNG,   /* no heartbeat: ended by us */
	DEATH_BOOT,   /* not ready in time: ended by us */
	DEATH_CAUSES
};

enum reload_result {
	RELOAD_NONE,     /* there was none yet */
	RELOAD_LIVE,     /* applied to the running workers */
	RELOAD_REPLACED, /* a new generation serves */
	RELOAD_REJECTED, /* the configuration was refused: nothing changed */
	RELOAD_FAILED,   /* the new workers did not get ready: the old ones serve */
	RELOAD_RESULTS
};

/* One abnormal end, as people want to read it afterwards. */
struct scoreboard_death {
	_Atomic int64_t at_us;    /* wall; 0 = empty row */
	uint64_t epoch;           /* of the life */
	int32_t pid;              /* of it */
	uint32_t slot;            /* of it */
	uint32_t generation;      /* of it */
	uint32_t cause;           /* enum death_cause */
	int32_t exit_code;        /* 128 + signal when it died of one */
	uint32_t has_core;        /* 1: the kernel wrote one */
	uint32_t state;           /* enum worker_state when it died */
	int64_t lived_ms;         /* since its start */
	int64_t ready_ms;         /* of these, ready */
	int64_t heartbeat_age_us; /* when it was found dead */
	int64_t loop_lag_us;      /* last known */
	uint32_t connections;     /* open then */
	uint32_t streams;         /* open then */
	uint32_t turns;           /* answers it wrote then; another worker takes them over */
	char last_request[96];    /* method and route of the last request it began; "" = none */
};
#define DEATHS_KEPT 16

/* What the pool did in one span of time; a row per HISTORY_INTERVAL_S, kept for 15 minutes. */
struct scoreboard_sample {
	_Atomic int64_t at_us;   /* wall: end of the span; 0 = empty row */
	uint32_t requests;       /* answered */
	uint32_t errors;         /* of these 5xx */
	uint32_t p50_us, p99_us; /* time to answer, from the histograms */
	uint32_t connections;    /* open at the end */
	uint32_t streams;        /* open at the end */
	uint32_t turns;          /* being written at the end */
	uint32_t workers_ready;  /* at the end */
};
#define HISTORY_INTERVAL_S 5
#define HISTORY_ROWS       180

/* What the supervisor says of the pool as a whole; it is the only writer. Kept over upgrades. */
struct scoreboard_pool {
	_Atomic uint32_t state;                         /* enum pool_state */
	_Atomic uint32_t generation;                    /* newest that serves */
	_Atomic uint32_t wanted;                        /* workers of it */
	_Atomic uint32_t is_drained;                    /* 1: workers of `generation` answer probes only */
	_Atomic int32_t supervisor_pid;                 /* of the process that writes here */
	_Atomic int64_t supervisor_beat_us;             /* monotonic; each second */
	_Atomic uint64_t restarts[DEATH_CAUSES];        /* abnormal ends by cause */
	_Atomic uint64_t reloads[RELOAD_RESULTS];       /* by result */
	_Atomic uint64_t upgrades[2];                   /* failed, done */
	_Atomic uint32_t last_reload_result;            /* enum reload_result */
	_Atomic int64_t last_reload_at_us;              /* wall; 0 = none yet */
	_Atomic int64_t last_reload_ms;                 /* how long it took */
	_Atomic int64_t last_upgrade_at_us;             /* wall; 0 = none yet */
	_Atomic uint32_t last_upgrade_done;             /* 1: done, 0: rolled back or refused */
	char last_reload_text[512];                     /* what changed, or why it was refused; for people */
	char last_upgrade_text[512];                    /* likewise */
	char version[32];                               /* of the supervisor */
	char url[128];                                  /* where it listens */
	_Atomic uint32_t deaths_next;                   /* row that the next death takes */
	struct scoreboard_death deaths[DEATHS_KEPT];    /* the last ones, a ring */
	_Atomic uint32_t samples_next;                  /* row that the next sample takes */
	struct scoreboard_sample samples[HISTORY_ROWS]; /* the last 15 minutes, a ring */
};

struct scoreboard {
	uint32_t magic;                      /* SCOREBOARD_MAGIC */
	uint32_t layout;                     /* SCOREBOARD_LAYOUT */
	_Atomic uint64_t instance;           /* random, one per start of the supervisor; part of every lease */
	_Atomic int64_t started_at_us;       /* wall */
	_Atomic int64_t stop_at_us;          /* monotonic T0 of the stop that is under way; 0 = none */
	_Atomic uint32_t stop_fast;          /* 1: all deadlines are cut to 1 s */
	_Atomic uint32_t is_serving;         /* quorum reached and not draining */
	_Atomic uint64_t restarts;           /* abnormal ends of workers */
	_Atomic uint64_t retry_tokens_milli; /* the pool's budget of model retries */
	_Atomic int64_t retry_refilled_ms;   /* monotonic */
	_Atomic uint32_t
		gemini_state; /* result of preflight or last call: 0 unknown, 1 good, 2 failing, 3 credentials refused */
	_Atomic uint32_t lost;              /* acknowledged work lost at stop (exit 74) */
	_Atomic uint32_t retirements;       /* odd while `retired` and a slot are changed together; supervisor */
	struct scoreboard_pool pool;        /* supervisor */
	struct scoreboard_counters retired; /* counters of workers that are gone; supervisor */
	struct scoreboard_breaker breakers[BREAKERS_MAX];
	struct scoreboard_slot slots[SLOTS_MAX];
};

/* A new one in a memfd (close-on-exec), or the inherited one. Errors: ERROR_SYSTEM, ERROR_PROTOCOL (other layout). */
MUST_CHECK enum error scoreboard_create(int *fd_out, struct scoreboard **board_out);
MUST_CHECK enum error scoreboard_map(int fd, struct scoreboard **board_out);
void scoreboard_unmap(struct scoreboard **board);

/* The pool's exact totals: all slots and `retired`. */
struct scoreboard_totals {
#define X(name) uint64_t name;
	SCOREBOARD_COUNTERS(X)
#undef X
	uint32_t connections, connections_idle, streams, turns; /* now */
	uint32_t workers_ready;
};
struct scoreboard_totals scoreboard_total(const struct scoreboard *board);

/* Adds a dead worker's counters to `retired` and clears the slot; by the supervisor, after waitpid. */
void scoreboard_retire(struct scoreboard *board, int slot);

/* A counter or gauge of one's own slot: single writer, so no locked instruction. */
#define SCOREBOARD_ADD(field, n)                                                                                       \
	atomic_store_explicit(                                                                                         \
		&(field), atomic_load_explicit(&(field), memory_order_relaxed) + (n), memory_order_relaxed)
#define SCOREBOARD_SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define SCOREBOARD_GET(field)        atomic_load_explicit(&(field), memory_order_relaxed)

#endif
