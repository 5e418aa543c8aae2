/* db.c: the database as the rest of the worker sees it: submit, cancel, deadlines, drain, numbers. Called by api, chat, tools, auth and jobs.
 * It leaves connections to pool.c and the protocol to pipeline.c. */
#include "config.h"

#include "worker/db/db.h"

#include <pthread.h>
#include <signal.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/db/pool.h"
#include "worker/db/result.h"

static void set_timer(struct event *timer, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	event_add(timer, &tv);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void check_drained(struct db *db)
{
	if (db->on_drained != NULL && db->query_count == 0 && !db->is_closing)
		event_active(db->drained, EV_TIMEOUT, 0);
}

/* The caller hears of it now or never: it is no longer among those that wait. */
static db_done_fn *take_callback(struct db_query *q)
{
	db_done_fn *done = q->done;
	if (done != NULL) {
		q->done = NULL;
		TAILQ_REMOVE(&q->db->queries, q, by_age);
		q->db->query_count--;
	}
	return done;
}

static void count_answer(struct db *db, const struct db_query *q, enum error e)
{
	bool is_error = e != ERROR_NONE && e != ERROR_CONFLICT && e != ERROR_VALIDATION_FAILED;
	db->answered++;
	db->errors += is_error;
	if (db->slot) {
		SCOREBOARD_ADD(db->slot->counters.db_queries, 1);
		SCOREBOARD_ADD(db->slot->counters.db_errors, is_error);
	}
	/* What was refused at once would hide how long the others took. */
	if (db->measures != NULL && (q->attempts > 0 || e == ERROR_TIMEOUT))
		(void)histogram_observe(&db->measures->db_queries[q->kind == STATEMENT_WRITE], &histogram_queries,
			clock_monotonic_us() - q->submitted_us);
}

void db_answer(struct db_query *q)
{
	struct db *db = q->db;
	enum error e = q->error;
	void *arg = q->arg;
	db_done_fn *done = take_callback(q);
	const struct db_result *result = NULL;
	if (q->result && (e == ERROR_NONE || e == ERROR_CONFLICT || e == ERROR_VALIDATION_FAILED)) {
		result = result_create(q->result, &statement_rows[q->steps[q->step_count - 1].statement]);
		q->result = NULL;
	}
	if (done != NULL)
		count_answer(db, q, e);
	query_destroy(&q);
	if (done != NULL) {
		done(arg, e, result);
		check_drained(db);
	}
	db_result_unref(&result);
}

void db_answer_later(struct db_query *q, enum error e)
{
	if (q->done == NULL) {
		query_destroy(&q);
		return;
	}
	q->error = e;
	q->state = QUERY_ENDED;
	TAILQ_INSERT_TAIL(&q->db->ended, q, in_queue);
	set_timer(q->db->tell, 0);
}

/* Only those that are there now: a callback that submits again and fails again waits for the next turn. */
static void tell_ended(evutil_socket_t fd, short what, void *arg)
{
	struct db *db = arg;
	(void)fd, (void)what;
	struct db_query *last = TAILQ_LAST(&db->ended, query_list), *q;
	while ((q = TAILQ_FIRST(&db->ended)) != NULL) {
		bool is_last = q == last;
		TAILQ_REMOVE(&db->ended, q, in_queue);
		db_answer(q);
		if (is_last)
			break;
	}
	pool_measure(db);
}

void db_again(struct db *db, struct db_query *q)
{
	if (q->done == NULL) {
		query_destroy(&q);
	} else if (db->is_closing) {
		db_answer_later(q, ERROR_DATABASE_UNAVAILABLE);
	} else {
		query_reset(q);
		q->state = QUERY_WAITING;
		TAILQ_INSERT_HEAD(&db->waiting[q->kind], q, in_queue);
		db->waiting_count++;
	}
}

/* ---- deadlines ---------------------------------------------------------------------------------- */

static void leave_waiting(struct db_query *q)
{
	TAILQ_REMOVE(&q->db->waiting[q->kind], q, in_queue);
	q->db->waiting_count--;
}

/* Nobody waits for it any more; what a connection holds of it is dropped when it comes. */
static void expire(struct db_query *q)
{
	void *arg = q->arg;
	struct db *db = q->db;
	if (q->state == QUERY_WAITING) {
		leave_waiting(q);
		q->error = ERROR_TIMEOUT;
		db_answer(q);
		return;
	}
	if (q->state == QUERY_ENDED)
		return;
	db_done_fn *done = take_callback(q);
	count_answer(db, q, ERROR_TIMEOUT);
	done(arg, ERROR_TIMEOUT, NULL);
	check_drained(db);
}

static void give_up_waiting(struct db *db)
{
	for (int kind = 0; kind < 2; kind++) {
		struct db_query *q;
		while ((q = TAILQ_FIRST(&db->waiting[kind])) != NULL) {
			leave_waiting(q);
			db_answer_later(q, ERROR_DATABASE_UNAVAILABLE);
		}
	}
}

void db_watch_deadlines(struct db *db)
{
	struct db_query *oldest = TAILQ_FIRST(&db->queries);
	if (oldest == NULL)
		return;
	int64_t now_ms = clock_monotonic_ms(), next_ms = oldest->deadline_ms;
	if (db->down_since_ms != 0 && db->waiting_count > 0 && db->down_since_ms + POOL_PATIENCE_MS < next_ms)
		next_ms = db->down_since_ms + POOL_PATIENCE_MS;
	db->deadline_due_ms = next_ms;
	set_timer(db->deadline, next_ms - now_ms + 1);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct db *db = arg;
	(void)fd, (void)what;
	if (pool_is_given_up(db))
		give_up_waiting(db);
	int64_t now_ms = clock_monotonic_ms();
	struct db_query *q;
	while ((q = TAILQ_FIRST(&db->queries)) != NULL && q->deadline_ms <= now_ms && q->state != QUERY_ENDED)
		expire(q);
	db_watch_deadlines(db);
	pool_measure(db);
}

/* ---- submit and cancel -------------------------------------------------------------------------- */

static enum error refusal(const struct db *db)
{
	if (db->is_closing || pool_is_given_up(db))
		return ERROR_DATABASE_UNAVAILABLE;
	if (db->waiting_count >= db->options->db_wait_max)
		return ERROR_OVERLOADED;
	return ERROR_NONE;
}

static struct db_query *submit(struct db *db, const struct db_step steps[], size_t count, enum statement_kind kind,
	db_done_fn *done, void *arg)
{
	must(done != NULL && count > 0);
	bool is_sound;
	struct db_query *q = query_create(steps, count, &is_sound);
	q->db = db;
	q->kind = kind;
	q->done = done;
	q->arg = arg;
	q->submitted_us = clock_monotonic_us();
	q->deadline_ms = q->submitted_us / 1000 + db->options->db_wait_timeout_ms;
	TAILQ_INSERT_TAIL(&db->queries, q, by_age);
	db->query_count++;
	enum error e = is_sound ? refusal(db) : ERROR_VALIDATION_FAILED;
	if (e != ERROR_NONE) {
		db_answer_later(q, e);
		return q;
	}
	TAILQ_INSERT_TAIL(&db->waiting[kind], q, in_queue);
	db->waiting_count++;
	event_active(db->dispatch, EV_TIMEOUT, 0);
	if (!evtimer_pending(db->deadline, NULL) || q->deadline_ms < db->deadline_due_ms)
		db_watch_deadlines(db);
	return q;
}

struct db_query *db_submit(
	struct db *db, enum statement statement, const struct db_param params[], db_done_fn *done, void *arg)
{
	struct db_step step = { statement, params };
	must((unsigned)statement < SQL_COUNT);
	return submit(db, &step, 1, statement_rows[statement].kind, done, arg);
}

struct db_query *db_submit_steps(struct db *db, const struct db_step steps[], size_t count, db_done_fn *done, void *arg)
{
	return submit(db, steps, count, STATEMENT_WRITE, done, arg);
}

void db_cancel(struct db_query **query)
{
	struct db_query *q = *query;
	*query = NULL;
	if (q == NULL)
		return;
	struct db *db = q->db;
	take_callback(q);
	switch (q->state) {
	case QUERY_WAITING:
		leave_waiting(q);
		query_destroy(&q);
		break;
	case QUERY_ENDED:
		TAILQ_REMOVE(&db->ended, q, in_queue);
		query_destroy(&q);
		break;
	case QUERY_SENT: break; /* its connection frees it with its last answer */
	}
	check_drained(db);
}

/* ---- open, drain, close ------------------------------------------------------------------------- */

static void on_dispatch(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pool_dispatch(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pool_tick(arg);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct db *db = arg;
	(void)fd, (void)what;
	void (*done)(void *) = db->on_drained;
	if (done == NULL || db->query_count > 0)
		return;
	db->on_drained = NULL;
	done(db->drained_arg);
}

static struct event *make_event(struct db *db, short what, event_callback_fn fn)
{
	struct event *e = event_new(db->base, -1, what, fn, db);
	must(e != NULL);
	return e;
}

enum error db_open(
	struct event_base *base, const struct options *options, struct scoreboard_slot *slot, struct db **db_out)
{
	char *fault = NULL;
	PQconninfoOption *parsed = PQconninfoParse(options->database_url, &fault);
	PQfreemem(fault); /* may quote the password: not shown */
	if (parsed == NULL)
		return ERROR_CONFIG;
	PQconninfoFree(parsed);

	struct db *db = must_alloc(sizeof *db);
	db->base = base;
	db->options = options;
	db->slot = slot;
	db->is_up = true;
	db->statement_timeout_ms = options->db_wait_timeout_ms;
	TAILQ_INIT(&db->queries);
	TAILQ_INIT(&db->ended);
	TAILQ_INIT(&db->waiting[STATEMENT_READ]);
	TAILQ_INIT(&db->waiting[STATEMENT_WRITE]);
	db->dispatch = make_event(db, 0, on_dispatch);
	db->tell = make_event(db, 0, tell_ended);
	db->deadline = make_event(db, 0, on_deadline);
	db->drained = make_event(db, 0, on_drained);
	db->tick = make_event(db, EV_PERSIST, on_tick);
	set_timer(db->tick, 1000);
	db->readers = (int)options->db_readers;
	db->writers = options_db_writers(options);
	db->connections = must_alloc((size_t)(db->readers + db->writers + 1) * sizeof *db->connections);
	for (; db->count < db->readers + db->writers; db->count++)
		connection_init(&db->connections[db->count], db,
			db->count < db->readers ? CONNECTION_READER : CONNECTION_WRITER, db->count);
	for (int i = 0; i < db->count; i++)
		connection_dial(&db->connections[i]);
	*db_out = db;
	return ERROR_NONE;
}

void db_options_changed(struct db *db)
{
	if (db->statement_timeout_ms == db->options->db_wait_timeout_ms)
		return;
	db->statement_timeout_ms = db->options->db_wait_timeout_ms;
	db->told_since_ms = clock_monotonic_ms();
}

void db_measure(struct db *db, struct scoreboard_common *measures)
{
	db->measures = measures;
}

struct db_stats db_stats(const struct db *db)
{
	struct db_stats s = { .readers = db->readers,
		.writers = db->writers,
		.waiting = db->waiting_count,
		.pending = db->query_count,
		.reconnects = db->reconnects,
		.queries = db->answered,
		.errors = db->errors,
		.is_up = db->is_up,
		.down_since_ms = db->down_since_ms };
	for (int i = 0; i < db->count; i++) {
		const struct connection *c = &db->connections[i];
		s.open += connection_is_up(c);
		s.idle += c->state == CONNECTION_READY && c->load == 0;
	}
	return s;
}

void db_drain(struct db *db, void (*done)(void *arg), void *arg)
{
	/* Again: a drain became a stop. */
	must(db->on_drained == NULL || (db->on_drained == done && db->drained_arg == arg));
	db->on_drained = done;
	db->drained_arg = arg;
	check_drained(db);
}

struct cancels {
	int count;
	PGcancel *list[];
};

/* PQcancel connects and waits for the server: not in the loop. It needs nothing but its PGcancel. */
static void *send_cancels(void *arg)
{
	struct cancels *cancels = arg;
	char reason[256];
	for (int i = 0; i < cancels->count; i++) {
		(void)PQcancel(cancels->list[i], reason, sizeof reason);
		PQfreeCancel(cancels->list[i]);
	}
	free(cancels);
	return NULL;
}

int db_cancel_all(struct db *db)
{
	int queries = 0;
	struct cancels *cancels = must_alloc(sizeof *cancels + (size_t)db->count * sizeof cancels->list[0]);
	for (int i = 0; i < db->count; i++) {
		struct connection *c = &db->connections[i];
		PGcancel *cancel = c->load > 0 ? PQgetCancel(c->pg) : NULL;
		if (cancel == NULL)
			continue;
		cancels->list[cancels->count++] = cancel;
		queries += c->load;
	}
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_t thread;
	if (pthread_create(&thread, NULL, send_cancels, cancels) == 0)
		pthread_detach(thread);
	else
		send_cancels(cancels);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return queries;
}

void db_close(struct db **db_in)
{
	struct db *db = *db_in;
	*db_in = NULL;
	if (db == NULL)
		return;
	db->is_closing = true;
	for (int i = 0; i < db->count; i++)
		pipeline_abandon(&db->connections[i]);
	give_up_waiting(db);
	while (!TAILQ_EMPTY(&db->ended))
		tell_ended(-1, 0, db);
	for (int i = 0; i < db->count; i++)
		connection_fini(&db->connections[i]);
	db->count = 0;
	pool_measure(db);
	free(db->connections);
	event_free(db->dispatch);
	event_free(db->tell);
	event_free(db->deadline);
	event_free(db->tick);
	event_free(db->drained);
	free(db);
}
