/* pool.c: which connection does what, and what happens when one comes, fails or goes. Called by db.c and, with news, by connection.c.
 * While the database is away one connection alone tries to reach it, so that its return meets no herd. */
#include "config.h"

#include "worker/db/pool.h"

#include "shared/clock.h"
#include "shared/log.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   1000
#define SILENCE_GRACE_MS 5000 /* beyond the time in which the server itself gives a statement up */

/* Even enough for jitter, and different in each process. */
static int random_below(int limit)
{
	static uint64_t state;
	if (state == 0)
		state = (uint64_t)clock_monotonic_us() * 2654435761u + (uintptr_t)&state;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return limit > 0 ? (int)(state % (uint64_t)limit) : 0;
}

static int count_up(const struct db *db)
{
	int up = 0;
	for (int i = 0; i < db->count; i++)
		up += connection_is_up(&db->connections[i]);
	return up;
}

void pool_measure(struct db *db)
{
	if (db->slot == NULL)
		return;
	int open = 0, idle = 0;
	for (int i = 0; i < db->count; i++) {
		open += connection_is_up(&db->connections[i]);
		idle += db->connections[i].state == CONNECTION_READY && db->connections[i].load == 0;
	}
	SCOREBOARD_SET(db->slot->db_open, (uint32_t)open);
	SCOREBOARD_SET(db->slot->db_idle, (uint32_t)idle);
	SCOREBOARD_SET(db->slot->db_waiting, (uint32_t)db->query_count);
}

bool pool_is_given_up(const struct db *db)
{
	return db->down_since_ms != 0 && clock_monotonic_ms() - db->down_since_ms >= POOL_PATIENCE_MS;
}

static void mark_down(struct db *db)
{
	db->is_up = false;
	if (db->down_since_ms != 0)
		return;
	db->down_since_ms = clock_monotonic_ms();
	db_watch_deadlines(db);
}

static void mark_up(struct db *db)
{
	if (db->down_since_ms != 0)
		LOG(LOG_INFO, "database is back", F_INT("down_ms", clock_monotonic_ms() - db->down_since_ms));
	db->is_up = true;
	db->down_since_ms = 0;
}

void pool_on_ready(struct connection *c)
{
	struct db *db = c->db;
	mark_up(db);
	db->reconnects += c->has_been_open;
	if (db->slot != NULL)
		SCOREBOARD_ADD(db->slot->counters.db_reconnects, c->has_been_open);
	c->has_been_open = true;
	for (int i = 0; i < db->count; i++) {
		struct connection *other = &db->connections[i];
		if (other->state == CONNECTION_CLOSED)
			connection_open_later(other, random_below(20));
	}
	pool_measure(db);
	pool_wake(db);
}

static bool is_another_trying(const struct connection *c)
{
	for (int i = 0; i < c->db->count; i++) {
		const struct connection *other = &c->db->connections[i];
		if (other == c)
			continue;
		if (other->state == CONNECTION_CONNECTING || other->state == CONNECTION_SETTING)
			return true;
		if (other->state == CONNECTION_CLOSED && evtimer_pending(other->timer, NULL))
			return true;
	}
	return false;
}

void pool_on_failed(struct connection *c)
{
	if (c->db->is_closing)
		return;
	c->delay_ms = c->delay_ms ? c->delay_ms * 2 : BACKOFF_FIRST_MS;
	if (c->delay_ms > BACKOFF_MAX_MS)
		c->delay_ms = BACKOFF_MAX_MS;
	bool is_down = count_up(c->db) == 0;
	if (is_down)
		mark_down(c->db);
	if (!is_down || !is_another_trying(c))
		connection_open_later(c, c->delay_ms / 2 + random_below(c->delay_ms / 2));
	pool_measure(c->db);
}

void pool_on_lost(struct connection *c, bool is_planned)
{
	if (c->db->is_closing)
		return;
	if (!is_planned && count_up(c->db) == 0)
		mark_down(c->db);
	connection_open_later(c, is_planned ? 0 : random_below(20));
	pool_measure(c->db);
	pool_wake(c->db);
}

void pool_wake(struct db *db)
{
	if (!db->is_closing && db->waiting_count > 0)
		event_active(db->dispatch, EV_TIMEOUT, 0);
}

/* The one of [first, first + count) that takes work and has least of it; asks sleepers whether they are there. */
static struct connection *choose(struct db *db, int first, int count, int depth)
{
	int64_t sleeper_ms = clock_monotonic_ms() - db->options->db_ping_idle_s * 1000;
	struct connection *best = NULL;
	for (int i = first; i < first + count; i++) {
		struct connection *c = &db->connections[i];
		if (c->state != CONNECTION_READY || c->syncs >= depth)
			continue;
		if (c->count == 0 && c->heard_ms < sleeper_ms)
			connection_ping(c);
		else if (best == NULL || c->load < best->load)
			best = c;
	}
	return best;
}

static struct db_query *take_waiting(struct db *db, enum statement_kind kind)
{
	struct db_query *q = TAILQ_FIRST(&db->waiting[kind]);
	if (q != NULL) {
		TAILQ_REMOVE(&db->waiting[kind], q, in_queue);
		db->waiting_count--;
		if (db->measures != NULL && q->attempts == 0)
			(void)histogram_observe(
				&db->measures->db_wait, &histogram_queries, db->dispatched_us - q->submitted_us);
	}
	return q;
}

static void finish_batch(struct connection *c, bool is_sent, struct db_query *write)
{
	if (is_sent && pipeline_sync(c, write))
		connection_push(c);
	else
		connection_lose(c, PQerrorMessage(c->pg));
}

static void send_reads(struct connection *c)
{
	struct db *db = c->db;
	bool is_sent = true;
	for (int sent = 0; is_sent && sent < POOL_BATCH_MAX; sent++) {
		struct db_query *next = TAILQ_FIRST(&db->waiting[STATEMENT_READ]);
		if (next == NULL || (next->is_alone && sent > 0))
			break;
		bool is_alone = next->is_alone;
		is_sent = pipeline_send(c, take_waiting(db, STATEMENT_READ));
		if (is_alone)
			break;
	}
	finish_batch(c, is_sent, NULL);
}

void pool_dispatch(struct db *db)
{
	struct connection *c;
	db->dispatched_us = clock_monotonic_us();
	while (!TAILQ_EMPTY(&db->waiting[STATEMENT_READ]) && (c = choose(db, 0, db->readers, POOL_READ_DEPTH)) != NULL)
		send_reads(c);
	while (!TAILQ_EMPTY(&db->waiting[STATEMENT_WRITE]) &&
		(c = choose(db, db->readers, db->writers, POOL_WRITE_DEPTH)) != NULL) {
		struct db_query *q = take_waiting(db, STATEMENT_WRITE);
		bool is_sent = pipeline_send(c, q);
		finish_batch(c, is_sent, is_sent ? q : NULL);
	}
	pool_measure(db);
}

static bool is_old(const struct connection *c, int64_t now_ms)
{
	/* Spread over a tenth of the age, so that not all are replaced in one second. */
	int64_t age_ms = c->db->options->db_recycle_s * 1000;

	return now_ms - c->opened_ms > age_ms + age_ms / 10 * c->index / c->db->count ||
	       c->opened_ms < c->db->told_since_ms;
}

/* Replaces the oldest connection that is due, one at a time, so that the others carry its work meanwhile. */
static void recycle(struct db *db, int64_t now_ms)
{
	struct connection *oldest = NULL;
	for (int i = 0; i < db->count; i++) {
		struct connection *c = &db->connections[i];
		if (c->state != CONNECTION_READY && c->state != CONNECTION_PINGING)
			return;
		if (c->state == CONNECTION_READY && (oldest == NULL || c->opened_ms < oldest->opened_ms))
			oldest = c;
	}
	if (oldest == NULL || !is_old(oldest, now_ms))
		return;
	oldest->state = CONNECTION_RETIRING;
	if (oldest->count == 0)
		connection_lose(oldest, "replaced by a new one");
}

void pool_tick(struct db *db)
{
	int64_t now_ms = clock_monotonic_ms();
	int64_t silence_ms = db->options->db_wait_timeout_ms + SILENCE_GRACE_MS;
	for (int i = 0; i < db->count; i++) {
		struct connection *c = &db->connections[i];
		int64_t last_ms = c->heard_ms > c->asked_ms ? c->heard_ms : c->asked_ms;
		if (connection_is_up(c) && c->count > 0 && now_ms - last_ms > silence_ms)
			connection_lose(c, "no answer for longer than a statement may take");
	}
	recycle(db, now_ms);
	pool_measure(db);
}
