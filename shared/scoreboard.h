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
#define SCOREBOARD_LAYOUT 1 /* grows with each change of these structs */
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
	_Alignas(64) _Atomic int32_t pid;    /* 0 = free; written by the supervisor */
	_Atomic uint32_t generation;         /* configuration generation; supervisor */
	_Atomic uint64_t epoch;              /* unique for each life of a worker on this host; supervisor */
	_Atomic uint32_t state;              /* enum worker_state; worker, the supervisor for NONE, BOOT and EXITED */
	_Atomic int64_t started_at_us;       /* monotonic; supervisor */
	_Atomic int64_t ready_at_us;         /* monotonic; worker */
	_Atomic int64_t heartbeat_us;        /* monotonic, written every second from the loop; worker */
	_Atomic int64_t loop_lag_us;         /* how late the last heartbeat timer was; worker */
	_Atomic uint32_t connections;        /* open sockets of clients */
	_Atomic uint32_t connections_idle;   /* of these, keep-alive without a request */
	_Atomic uint32_t streams;            /* open event streams */
	_Atomic uint32_t turns;              /* answers this worker is writing */
	_Atomic uint32_t db_idle;            /* database connections without work */
	_Atomic uint32_t db_open;            /* database connections that work */
	_Atomic uint32_t db_waiting;         /* queries waiting for a connection or an answer */
	_Atomic uint64_t log_dropped;        /* lines */
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
