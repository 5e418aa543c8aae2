/* db.h: PostgreSQL without blocking: named statements (made from sql/queries) over a few pipelined connections. Reads of one loop turn
 * share a Sync; writes have one each, on their own connections. Called by api, chat, tools, auth and jobs; ignorant of what the rows mean.
 * Source of the rules: PostgreSQL 15 manual, "Pipeline Mode" (libpq) and "Extended Query" (protocol). */
#ifndef RENOVATIOND_WORKER_DB_DB_H
#define RENOVATIOND_WORKER_DB_DB_H

#include <event2/event.h>

#include "shared/error.h"
#include "shared/options.h"
#include "shared/scoreboard.h"
#include "shared/text.h"
#include "shared/uuid.h"
#include "worker/db/statements.h" /* generated: enum statement { SQL_rooms_list, … }, struct statement_row statement_rows[] */

struct db;
struct db_query;  /* one submitted read or write */
struct db_result; /* borrowed during the callback only, unless db_result_ref */

/* One parameter, in order. Everything goes as text except bytea (binary). TEXT_NONE is NULL. */
struct db_param {
	struct text text; /* borrowed until the submit call returns */
	bool is_binary;   /* bytea */
};
#define DB_NULL     ((struct db_param) { { NULL, 0 }, false })
#define DB_TEXT(t)  ((struct db_param) { (t), false })
#define DB_BYTES(t) ((struct db_param) { (t), true })

/* Helpers that format into a caller's small buffer. */
struct db_number {
	char text[24];
};
struct db_param db_int(struct db_number *room, int64_t value);
struct db_uuid {
	char text[UUID_TEXT_BYTES];
};
struct db_param db_uuid(struct db_uuid *room, const struct uuid *id);

/* e is ERROR_NONE with a result; ERROR_CONFLICT for a unique or foreign key violation, ERROR_VALIDATION_FAILED for data exceptions
 * (class 22 and 23514: what our own checks should have caught), both with a result for db_result_constraint; ERROR_DATABASE_UNAVAILABLE (connection lost: a write may or may not have
 * happened), ERROR_OVERLOADED (too many waiting, or each attempt met others who changed the same rows), ERROR_TIMEOUT (deadline), ERROR_INTERNAL (any other SQL error, logged) without. */
typedef void(db_done_fn)(void *arg, enum error e, const struct db_result *result);

MUST_CHECK enum error db_open(
	struct event_base *base, const struct options *options, struct scoreboard_slot *slot, struct db **db_out);

/* Submits one statement; read or write is the statement's own kind. The callback comes exactly once, never inside this call.
 * `params` has as many entries as the statement. Reads interrupted by a lost connection are sent again within their deadline. */
struct db_query *db_submit(
	struct db *db, enum statement statement, const struct db_param params[], db_done_fn *done, void *arg);

/* Several statements as one write: one implicit transaction (one Sync), each with a snapshot of its own, so that a first one may lock rows for the
 * next. The callback gets the result of the last; an error in any undoes all. */
struct db_step {
	enum statement statement;
	const struct db_param *params;
};
struct db_query *db_submit_steps(
	struct db *db, const struct db_step steps[], size_t count, db_done_fn *done, void *arg);

/* The callback will not come. The statement may still run. Sets the handle to NULL. */
void db_cancel(struct db_query **query);

/* Keeps a result beyond its callback; each ref needs its unref, which sets the pointer to NULL. */
const struct db_result *db_result_ref(const struct db_result *r);
void db_result_unref(const struct db_result **r);

/* Results. Column numbers as in the statement's result line. */
int db_result_rows(const struct db_result *r);
struct text db_result_text(
	const struct db_result *r, int row, int column); /* TEXT_NONE for NULL; binary for bytea columns */
int64_t db_result_int(const struct db_result *r, int row, int column); /* 0 for NULL */
bool db_result_bool(const struct db_result *r, int row, int column);
bool db_result_is_null(const struct db_result *r, int row, int column);
struct uuid db_result_uuid(const struct db_result *r, int row, int column); /* zero for NULL */
const char *db_result_constraint(const struct db_result *r); /* name of the violated constraint, "" when none */

struct db_stats {
	int readers, writers; /* configured */
	int open;             /* connected */
	int idle;             /* connected without work */
	int waiting;          /* queries that no connection has taken yet */
	int pending;          /* queries submitted and not answered, these too */
	uint64_t reconnects, queries, errors;
	bool is_up;            /* the last attempt to use the database worked */
	int64_t down_since_ms; /* monotonic; 0 while up */
};
struct db_stats db_stats(const struct db *db);

/* The bus between hosts: calls `on_notify` for each wake-up on channel renovationd, and with an empty payload after each reconnect. */
void db_listen(struct db *db, void (*on_notify)(void *arg, struct text payload), void *arg);

/* Lets what is submitted finish; `done` once, when nothing is left. New submits get ERROR_DATABASE_UNAVAILABLE after db_close only. */
void db_drain(struct db *db, void (*done)(void *arg), void *arg);
/* Asks PostgreSQL to cancel what still runs; for the end of a drain. Returns how many. */
int db_cancel_all(struct db *db);
/* Where times to wait and to answer are counted; nowhere before this. */
void db_measure(struct db *db, struct scoreboard_common *measures);
void db_close(struct db **db);
/* The db_* options may have changed: connections that were told the old ones are replaced one by one. */
void db_options_changed(struct db *db);

#endif
