/* scoreboard.h: the memory that supervisor and workers share: one slot per worker (its single writer), and the few things that
 * belong to the pool. Made once by the supervisor before the first fork, kept over reloads and upgrades, so plain atomics only: no locks,
 * no pointers. The supervisor checks ranges; a corrupt slot means that worker is sick, never a supervisor crash. */
#ifndef RENOVATIOND_SHARED_SCOREBOARD_H
#define RENOVATIOND_SHARED_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/histogram.h"
#include "shared/inherit.h"
#include "shared/must.h"

#define SCOREBOARD_MAGIC  0x72656e6fu
#define SCOREBOARD_LAYOUT 6 /* grows with each change of these structs */
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
	X(connections_refused) /* told 503, or closed, because too many were open */                                   \
	X(accept_failures)     /* accept failed for want of descriptors or memory */                                   \
	X(streams_opened)                                                                                              \
	X(bytes_in)                                                                                                    \
	X(bytes_out)                                                                                                   \
	X(db_queries) /* statements answered */                                                                        \
	X(db_errors)                                                                                                   \
	X(db_reconnects)                                                                                               \
	X(turns_started)                                                                                               \
	X(turns_completed)                                                                                             \
	X(turns_failed)                                                                                                \
	X(turns_cancelled)                                                                                             \
	X(turns_taken_over)                                                                                            \
	X(model_calls)                                                                                                 \
	X(model_errors)                                                                                                \
	X(tokens_in)                                                                                                   \
	X(tokens_out)                                                                                                  \
	X(cpu_us)      /* processor time of the process, at its last heartbeat */                                      \
	X(log_dropped) /* lines, likewise */

struct scoreboard_counters {
#define X(name) _Atomic uint64_t name;
	SCOREBOARD_COUNTERS(X)
#undef X
};

/* What /proc says of one process, written by itself each second (process_measure). */
struct scoreboard_process {
	_Atomic int64_t resident_bytes; /* pages in memory, shared ones included */
	_Atomic int64_t cpu_us;         /* user and system */
	_Atomic uint32_t fds;           /* open descriptors */
	_Atomic uint32_t fds_max;       /* that it may open */
	_Atomic int64_t fds_at_us;      /* monotonic: when they were counted */
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
	_Atomic uint32_t rings;            /* of the pool that hold an answer's events, as this worker last saw it */
	_Atomic uint32_t rings_max;        /* that there are */
	struct scoreboard_process process; /* of the worker */
	_Atomic int64_t last_request_us;   /* monotonic: when the last request began */
	char last_request[96]; /* its method and route, written before last_request_us; may be torn when read */
	struct scoreboard_counters counters; /* worker */
};

/* ---- measures by name: routes, models, tools ------------------------------------------------------------------------------------
 * Rows belong to names, not to numbers of a program: a worker claims a row for each of its names by hash (scoreboard_claim), so that a newer program with
 * other routes counts on beside an older one, and whoever prints the rows knows neither's tables. Row 0 is that of everything without a row. */
#define ROUTES_MAX        128
#define MODELS_MAX        16
#define TOOLS_MAX         48
#define STOP_PHASES_MAX   8
#define MEASURE_PAGE      4096 /* a slot that was never used has no page in the memfd */
#define MEASURE_UNNAMED   0    /* the row of what has no name */
#define SCOREBOARD_NAME   104
#define EXEMPLAR_FRESH_US 1000000

/* Written once, by whoever claims it, and again with the same bytes by whoever finds it unfinished. Never given back: names come from tables. */
struct scoreboard_name {
	_Alignas(64) _Atomic uint64_t hash; /* of kind and name; 0 = free row */
	_Atomic uint32_t is_named;          /* 1: the strings are whole */
	char kind[12];                      /* a route's method, "" for others */
	char name[SCOREBOARD_NAME];         /* NUL-terminated; a route's template, a model's or a tool's name */
};

/* One value of a histogram and who it was; torn when `sequence` is odd or changes. */
struct scoreboard_exemplar {
	_Atomic uint32_t sequence; /* odd while it is written */
	_Atomic uint32_t bucket;   /* that the value belongs to */
	_Atomic int64_t at_us;     /* monotonic; 0 = none */
	_Atomic int64_t value;     /* in the histogram's unit */
	char trace_id[40];         /* W3C, 32 hex digits and a NUL */
};

struct scoreboard_route {
	_Alignas(64) struct histogram seconds; /* µs from the first byte to the answer; of a stream: to its beginning */
	_Atomic uint64_t statuses[4];          /* answers by class: 2xx 3xx 4xx 5xx */
	_Atomic uint64_t in_flight;            /* now: with their handler, streams included */
	struct scoreboard_exemplar exemplar;   /* of `seconds` */
};

/* How a call of a model ended; the order of enum model_failure, and then what only its caller knows. The text is the label error_type. */
#define SCOREBOARD_OUTCOMES(X)                                                                                         \
	X(OK, "")                                                                                                      \
	X(AUTH, "auth")                                                                                                \
	X(BAD_REQUEST, "bad_request")                                                                                  \
	X(GONE, "model_gone")                                                                                          \
	X(RATE_LIMITED, "rate_limited")                                                                                \
	X(QUOTA_DAY, "quota_day")                                                                                      \
	X(OVERLOADED, "overloaded")                                                                                    \
	X(DOWN, "unavailable")                                                                                         \
	X(SLOW, "timeout")                                                                                             \
	X(EMPTY, "empty")                                                                                              \
	X(BROKEN, "protocol")                                                                                          \
	X(MALFORMED_CALL, "malformed_call")                                                                            \
	X(OTHER, "other")                                                                                              \
	X(CANCELLED, "cancelled")

enum scoreboard_outcome {
#define X(name, text) OUTCOME_##name,
	SCOREBOARD_OUTCOMES(X)
#undef X
		OUTCOMES
};

struct scoreboard_model {
	_Alignas(64) struct histogram seconds[OUTCOMES]; /* µs, each call */
	struct histogram tokens[2];                      /* of each call: input, output */
	struct histogram first_chunk;                    /* µs from the call to the first text or tool call */
	struct histogram next_chunk;                     /* µs between one and the next */
	_Atomic uint64_t retries;                        /* attempts that followed a failed one */
};

struct scoreboard_tool {
	_Alignas(64) struct histogram seconds[2]; /* µs: done, failed */
};

/* The states of a turn, in the order of enum turn_state; its end is none. */
#define SCOREBOARD_TURN_PHASES(X)                                                                                      \
	X(LOADING, "loading")                                                                                          \
	X(WAITING, "waiting")                                                                                          \
	X(ASKING, "asking")                                                                                            \
	X(STREAMING, "streaming")                                                                                      \
	X(SETTLING, "settling")                                                                                        \
	X(STORING, "storing")                                                                                          \
	X(ACTING, "acting")                                                                                            \
	X(FINISHING, "finishing")

enum scoreboard_turn_phase {
#define X(name, text) TURN_PHASE_##name,
	SCOREBOARD_TURN_PHASES(X)
#undef X
		TURN_PHASES
};

struct scoreboard_common {
	_Alignas(64) struct histogram request_bytes; /* header and body as received */
	struct histogram response_bytes;             /* header and body; of a stream: all of it */
	struct histogram streams;                    /* µs that event streams were open */
	struct histogram db_wait;                    /* µs until a statement found a connection */
	struct histogram db_queries[2];              /* µs from the submit to the answer: reads, writes */
	struct histogram turns[3]; /* µs from the question to the stored end: completed, failed, cancelled */
	struct histogram turn_phases[TURN_PHASES]; /* µs in each state */
	struct histogram turn_first_delta;         /* µs from the question to the first text shown */
};

/* One slot's, or the sum of those that are gone. All of it counts up, except routes[].in_flight and the exemplars. */
struct scoreboard_measures {
	_Alignas(MEASURE_PAGE) struct scoreboard_common common;
	struct scoreboard_model models[MODELS_MAX];
	struct scoreboard_tool tools[TOOLS_MAX];
	struct scoreboard_route routes[ROUTES_MAX];
};

/* What the supervisor measures, each second. */
struct scoreboard_service {
	struct scoreboard_process process;               /* of the supervisor */
	_Atomic uint64_t log_dropped;                    /* its own lines */
	_Atomic uint32_t accept_queue;                   /* connections that no worker has taken yet */
	_Atomic uint32_t accept_queue_max;               /* that the kernel keeps at most */
	_Atomic uint32_t waiting;                        /* slots that wait for their next life */
	_Atomic int64_t waiting_longest_ms;              /* until the last of them begins */
	struct scoreboard_name phases[STOP_PHASES_MAX];  /* resources that workers close when they leave */
	struct histogram phase_seconds[STOP_PHASES_MAX]; /* µs that it took, each worker */
	_Atomic uint64_t phase_forced;                   /* things that had to be cut then */
};

/* One model's circuit breaker, used by chat under the rules in worker/chat/breaker.h. Claimed by CAS on name_hash. */
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
	uint32_t requests;       /* answered; those of the operator (/admin, /metrics) are not counted */
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
	_Atomic uint32_t slot_restarts[SLOTS_MAX];      /* abnormal ends by slot */
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
	char admin_url[128];                            /* where for the operator; "" = nowhere */
	_Atomic uint32_t deaths_next;                   /* row that the next death takes */
	struct scoreboard_death deaths[DEATHS_KEPT];    /* the last ones, a ring */
	_Atomic uint32_t samples_next;                  /* row that the next sample takes */
	struct scoreboard_sample samples[HISTORY_ROWS]; /* the last 15 minutes, a ring */
};

/* How Gemini answered the check of the last start or reload, or the last call since. */
enum scoreboard_gemini {
	SCOREBOARD_GEMINI_UNKNOWN, /* nobody has asked */
	SCOREBOARD_GEMINI_GOOD,
	SCOREBOARD_GEMINI_FAILING,
	SCOREBOARD_GEMINI_REFUSED /* the credentials */
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
	_Atomic uint32_t gemini_state;      /* enum scoreboard_gemini; supervisor after a check, workers after a call */
	_Atomic uint32_t lost;              /* acknowledged work lost at stop (exit 74) */
	_Atomic uint32_t retirements;       /* odd while `retired` and a slot are changed together; supervisor */
	struct scoreboard_pool pool;        /* supervisor */
	struct scoreboard_counters retired; /* counters of workers that are gone; supervisor */
	struct scoreboard_service service;  /* supervisor */
	struct scoreboard_breaker breakers[BREAKERS_MAX];
	struct scoreboard_slot slots[SLOTS_MAX];
	struct scoreboard_name routes[ROUTES_MAX]; /* whose the rows of all slots are */
	struct scoreboard_name models[MODELS_MAX];
	struct scoreboard_name tools[TOOLS_MAX];
	struct scoreboard_measures retired_measures;    /* of workers that are gone; supervisor */
	struct scoreboard_measures measures[SLOTS_MAX]; /* each its worker's */
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

/* The row of a name, claimed when it has none; MEASURE_UNNAMED when there is no row left. Names come from tables, never from requests. */
int scoreboard_claim(struct scoreboard_name *rows, int count, const char *kind, const char *name);
/* Is this row somebody's, and its name whole? */
static inline bool scoreboard_is_named(const struct scoreboard_name *row)
{
	return atomic_load_explicit(&row->is_named, memory_order_acquire) == 1;
}
/* The pool's exact measures. Heap (it is large): the caller frees it. */
MUST_CHECK struct scoreboard_measures *scoreboard_measure(const struct scoreboard *board);
/* The writer's own: `trace_id` is kept for the bucket when that is slower than the one kept, or that is a second old. */
void scoreboard_exemplify(
	struct scoreboard_exemplar *e, int bucket, int64_t value, const char *trace_id, int64_t now_us);

/* Adds a dead worker's counters and measures to `retired` and clears the slot; by the supervisor, after waitpid. */
void scoreboard_retire(struct scoreboard *board, int slot);
/* The same without its counters, which cannot be believed. */
void scoreboard_discard(struct scoreboard *board, int slot);
/* False when the slot of this living worker holds what nobody in his right mind wrote there: then nothing else in it can be believed either. */
bool scoreboard_is_sane(const struct scoreboard *board, int slot, int32_t pid, uint64_t epoch);

/* A counter or gauge of one's own slot: single writer, so no locked instruction. */
#define SCOREBOARD_ADD(field, n)                                                                                       \
	atomic_store_explicit(                                                                                         \
		&(field), atomic_load_explicit(&(field), memory_order_relaxed) + (n), memory_order_relaxed)
#define SCOREBOARD_SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define SCOREBOARD_GET(field)        atomic_load_explicit(&(field), memory_order_relaxed)

#endif
