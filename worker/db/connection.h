/* connection.h: one connection to PostgreSQL and what is on its way over it. connection.c opens, watches and closes it, pipeline.c sends
 * queries and reads answers, pool.c decides which connection does what. Used inside worker/db only. */
#ifndef RENOVATIOND_WORKER_DB_CONNECTION_H
#define RENOVATIOND_WORKER_DB_CONNECTION_H

#include <event2/event.h>
#include <libpq-fe.h>

#include "worker/db/address.h"
#include "worker/db/query.h"

enum connection_kind { CONNECTION_READER, CONNECTION_WRITER, CONNECTION_LISTENER };

enum connection_state {
	CONNECTION_CLOSED,     /* no socket; its timer (if set) or the pool opens it */
	CONNECTION_CONNECTING, /* libpq is connecting; the timer bounds it */
	CONNECTION_SETTING,    /* our settings are sent and not answered yet */
	CONNECTION_READY,      /* takes work */
	CONNECTION_PINGING,    /* was idle for long: takes work when it has answered; the timer bounds it */
	CONNECTION_RETIRING    /* takes no work, is replaced when what it has is answered */
};

/* One command whose result PostgreSQL owes us, in the order sent. */
struct pipeline_entry {
	enum { ENTRY_SETTING, ENTRY_PREPARE, ENTRY_EXECUTE, ENTRY_SYNC } what;
	int step;               /* PREPARE, EXECUTE: index in query->steps */
	struct db_query *query; /* whose answer it is or belongs to; NULL for our own and for the Sync of reads */
};

struct connection {
	struct db *db;             /* not owned */
	enum connection_kind kind; /* what it is for */
	int index;                 /* number among all connections of the worker, for logs and jitter */
	enum connection_state state;
	PGconn *pg;                     /* owned; NULL when CLOSED */
	struct address_lookup *lookup;  /* owned; while the host's name is looked up */
	struct event *readable;         /* owned; NULL when CLOSED */
	struct event *writable;         /* owned; pending while libpq has unsent bytes */
	struct event *timer;            /* owned; see state */
	struct pipeline_entry *entries; /* owned ring of `capacity` (a power of two) */
	size_t head, count, capacity;
	int syncs;             /* Syncs not answered */
	int load;              /* queries not answered */
	bool is_head_answered; /* the entry at the head has had its result, the NULL after it is due */
	bool is_ended;         /* an answer said that this connection is over */
	bool is_end_announced; /* the server said that it ends this connection: what it has not answered, it has not done */
	uint64_t *prepared; /* owned bit set by statement: PREPARE was sent and has not failed */
	int64_t opened_ms;  /* when it became READY, monotonic */
	int64_t heard_ms;   /* last bytes from the server, monotonic */
	int64_t asked_ms;   /* last time it was given work while it had none, monotonic */
	bool has_been_open; /* was READY at some time: the next success is a reconnect */
	int delay_ms;       /* of the last back-off; 0 after a success */
	int host_turn;      /* which host of a multi-host conninfo is tried first */
};

void connection_init(struct connection *c, struct db *db, enum connection_kind kind, int index);
void connection_fini(struct connection *c);

/* Starts to connect, without blocking; the pool hears how it ended. */
void connection_dial(struct connection *c);
/* Opens again after `delay_ms`. */
void connection_open_later(struct connection *c, int delay_ms);
/* Ends it for `why` (logged, no secret). What was on it goes back to the pool: reads to be sent again, writes to be answered. */
void connection_lose(struct connection *c, const char *why);
/* Asks whether the server is there; READY again when it answers, lost when it does not within a second. */
void connection_ping(struct connection *c);
/* Sends what libpq holds, watches for room when the socket takes no more. */
void connection_push(struct connection *c);

static inline bool connection_is_up(const struct connection *c)
{
	return c->state == CONNECTION_READY || c->state == CONNECTION_PINGING || c->state == CONNECTION_RETIRING;
}

/* pipeline.c. Puts the query's commands on the connection, not the Sync. False when libpq refused, then the connection must be lost. */
MUST_CHECK bool pipeline_send(struct connection *c, struct db_query *q);
/* Ends the batch; `q` is the write that it belongs to, NULL for reads. */
MUST_CHECK bool pipeline_sync(struct connection *c, struct db_query *q);
/* A command of our own without parameters. */
MUST_CHECK bool pipeline_send_setting(struct connection *c, const char *sql);
/* Takes every result that has come. False when the connection must be lost; *why_out (static or libpq's) says why. */
MUST_CHECK bool pipeline_receive(struct connection *c, const char **why_out);
/* Empties the ring of a dead connection. */
void pipeline_abandon(struct connection *c);

#endif
