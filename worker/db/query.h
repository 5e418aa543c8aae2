/* query.h: one submitted read or write, from db_submit to its answer. Used inside worker/db only. */
#ifndef RENOVATIOND_WORKER_DB_QUERY_H
#define RENOVATIOND_WORKER_DB_QUERY_H

#include <libpq-fe.h>
#include <sys/queue.h>

#include "worker/db/db.h"

enum query_state {
	QUERY_WAITING, /* in db->waiting, nothing of it is on a connection */
	QUERY_SENT,    /* a connection's pipeline holds its entries and owns it */
	QUERY_ENDED    /* in db->ended with its outcome, the callback is due in the next loop turn */
};

struct query_step {
	enum statement statement;
	const char **values; /* param_count of the statement, NUL-terminated copies; NULL entries are NULL */
	int *lengths;        /* bytes, for binary ones */
	int *formats;        /* 0 text, 1 binary; NULL when all are text */
};

struct db_query {
	TAILQ_ENTRY(db_query) by_age;   /* in db->queries while the callback is due */
	TAILQ_ENTRY(db_query) in_queue; /* in db->waiting or db->ended, see state */
	struct db *db;                  /* not owned */
	db_done_fn *done;               /* NULL when nobody waits any more: cancelled or answered by the deadline */
	void *arg;                      /* the caller's */
	int64_t submitted_us;           /* monotonic */
	int64_t deadline_ms;            /* monotonic */
	enum query_state state;
	enum statement_kind kind; /* write for steps */
	bool is_alone;            /* not to share a Sync: the batch it was in failed */
	bool is_retryable;        /* its error left no effect and may not come again: send it once more */
	int attempts;             /* times sent */
	enum error error;         /* outcome so far */
	PGresult *result;         /* of the last step, or of the error; owned; NULL before */
	int step_count;           /* 1, more for db_submit_steps */
	struct query_step steps[];
};

TAILQ_HEAD(query_list, db_query);

/* Copies the parameters. Heap; query_destroy frees. *is_sound_out is false when a text holds a NUL, which PostgreSQL cannot take. */
struct db_query *query_create(const struct db_step steps[], size_t count, bool *is_sound_out);
void query_destroy(struct db_query **query);
/* Forgets the outcome of an attempt. */
void query_reset(struct db_query *q);

#endif
