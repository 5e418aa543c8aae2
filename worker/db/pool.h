/* pool.h: the connections of one worker and the queries that wait for them. Used inside worker/db only. */
#ifndef RENOVATIOND_WORKER_DB_POOL_H
#define RENOVATIOND_WORKER_DB_POOL_H

#include "worker/db/connection.h"

struct db {
	struct event_base *base;            /* not owned */
	const struct options *options;      /* not owned; LIVE ones change */
	struct scoreboard_slot *slot;       /* not owned; may be NULL in tests */
	struct scoreboard_common *measures; /* not owned; likewise: db_measure */
	struct connection *connections;     /* owned: readers, then writers, then the listener if any */
	int count, readers, writers;        /* of connections; of each kind */
	struct query_list queries;          /* by age: submitted, callback due */
	int query_count;                    /* of them */
	struct query_list waiting[2];       /* by statement kind */
	int waiting_count;                  /* in both */
	struct query_list ended;            /* outcome known, told in the next loop turn */
	struct event *dispatch;             /* runs pool_dispatch at the end of this loop turn when activated */
	struct event *tell;                 /* runs the callbacks of `ended` in the next loop turn */
	struct event *deadline;             /* the oldest query's, or the end of patience with a dead database */
	int64_t deadline_due_ms;            /* when it rings, monotonic */
	struct event *tick;                 /* each second: recycling and silent connections */
	struct event *drained;              /* tells db_drain's caller */
	void (*on_drained)(void *arg);      /* NULL when no drain is under way */
	void *drained_arg;
	void (*on_notify)(void *arg, struct text payload); /* NULL without db_listen */
	void *notify_arg;
	uint64_t reconnects, answered, errors; /* for db_stats */
	int64_t dispatched_us;                 /* monotonic: when pool_dispatch last began */
	bool is_up;                            /* the last attempt to use the database worked */
	bool is_closing;                       /* db_close has begun */
	int64_t down_since_ms;                 /* monotonic; 0 while up */
	int64_t statement_timeout_ms;          /* db_wait_timeout_ms as PostgreSQL was told it */
	int64_t told_since_ms;                 /* monotonic; connections opened before were told another */
};

/* Reads of one batch at most: bounds how long the first answer waits for the rest, as PostgreSQL sends when its buffer is full or at the Sync. */
#define POOL_BATCH_MAX 128
/* Batches on a reader and writes on a writer at a time. Reads of sessions over HTTP, four interleaved rounds on a quiet machine: 32.7 k/s with a second
 * batch on its way, 31.6 k/s without, and a shorter p99. A second write on a connection gains nothing: its commit follows the first's in a row,
 * where another connection would have shared the flush of the log. */
#define POOL_READ_DEPTH  2
#define POOL_WRITE_DEPTH 1
/* Times one query is sent before its fault is taken for its own. */
#define POOL_ATTEMPTS_MAX 4
/* Patience with a database that is away; afterwards queries fail at once. */
#define POOL_PATIENCE_MS 1000

/* Sends what waits at the end of this loop turn. */
void pool_wake(struct db *db);
void pool_dispatch(struct db *db);
/* Called by connection.c. */
void pool_on_ready(struct connection *c);
void pool_on_failed(struct connection *c);                /* could not connect */
void pool_on_lost(struct connection *c, bool is_planned); /* was connected */
/* Has the database been away for longer than anyone should wait? */
bool pool_is_given_up(const struct db *db);
/* Each second. */
void pool_tick(struct db *db);
/* Gauges of the scoreboard. */
void pool_measure(struct db *db);

/* db.c. Puts a query in front of those that wait, to be sent again, or ends it when that makes no sense any more. */
void db_again(struct db *db, struct db_query *q);
/* Calls the callback now with the query's outcome and frees it. From the loop only, never under a public function. */
void db_answer(struct db_query *q);
/* The same in the next loop turn. */
void db_answer_later(struct db_query *q, enum error e);
/* Arms the timer for the earliest deadline. */
void db_watch_deadlines(struct db *db);

/* listen.c: hands on what NOTIFY brought. */
void listen_receive(struct connection *c);

#endif
