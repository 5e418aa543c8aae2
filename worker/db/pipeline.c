/* pipeline.c: queries onto a connection in libpq's pipeline mode, and their results off it, in order (PostgreSQL manual, "Pipeline Mode").
 * Called by connection.c and pool.c. An error makes the server skip the rest up to the next Sync: skipped reads are sent again alone; a write has
 * a Sync of its own and is answered only when that is: the commit happens there. */
#include "config.h"

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/db/pool.h"
#include "worker/db/result.h"

static struct pipeline_entry *entry_push(struct connection *c)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? c->capacity * 2 : 64;
		struct pipeline_entry *entries = must_alloc(capacity * sizeof *entries);
		for (size_t i = 0; i < c->count; i++)
			entries[i] = c->entries[(c->head + i) & (c->capacity - 1)];
		free(c->entries);
		c->entries = entries;
		c->capacity = capacity;
		c->head = 0;
	}
	return &c->entries[(c->head + c->count++) & (c->capacity - 1)];
}

static struct pipeline_entry *entry_head(struct connection *c)
{
	return c->count ? &c->entries[c->head] : NULL;
}

static void entry_pop(struct connection *c)
{
	c->head = (c->head + 1) & (c->capacity - 1);
	c->count--;
	c->is_head_answered = false;
}

static bool prepared_has(const struct connection *c, enum statement s)
{
	return c->prepared[s / 64] >> (s % 64) & 1;
}

static void prepared_set(struct connection *c, enum statement s, bool is_prepared)
{
	uint64_t bit = UINT64_C(1) << (s % 64);
	c->prepared[s / 64] = is_prepared ? c->prepared[s / 64] | bit : c->prepared[s / 64] & ~bit;
}

static bool send_step(struct connection *c, struct db_query *q, int step)
{
	const struct query_step *s = &q->steps[step];
	const struct statement_row *row = &statement_rows[s->statement];
	if (!prepared_has(c, s->statement)) {
		/* Lazily: most connections never see most statements, and the first use pays less than a millisecond. */
		if (!PQsendPrepare(c->pg, row->name, row->sql, row->param_count, row->param_oids))
			return false;
		prepared_set(c, s->statement, true);
		*entry_push(c) = (struct pipeline_entry) { .what = ENTRY_PREPARE, .query = q, .step = step };
	}
	if (!PQsendQueryPrepared(c->pg, row->name, row->param_count, s->values, s->lengths, s->formats, row->is_binary))
		return false;
	*entry_push(c) = (struct pipeline_entry) { .what = ENTRY_EXECUTE, .query = q, .step = step };
	return true;
}

bool pipeline_send(struct connection *c, struct db_query *q)
{
	q->state = QUERY_SENT;
	q->attempts++;
	c->load++;
	query_reset(q);
	for (int i = 0; i < q->step_count; i++) {
		if (!send_step(c, q, i)) {
			/* Its last entry may be missing: give it one, so that pipeline_abandon meets it exactly once. */
			*entry_push(c) = (struct pipeline_entry) {
				.what = q->kind == STATEMENT_READ ? ENTRY_EXECUTE : ENTRY_SYNC, .query = q, .step = i
			};
			return false;
		}
	}
	return true;
}

bool pipeline_sync(struct connection *c, struct db_query *q)
{
	*entry_push(c) = (struct pipeline_entry) { .what = ENTRY_SYNC, .query = q };
	if (c->syncs++ == 0)
		c->asked_ms = clock_monotonic_ms();
	return PQpipelineSync(c->pg) == 1;
}

bool pipeline_send_setting(struct connection *c, const char *sql)
{
	if (!PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0))
		return false;
	*entry_push(c) = (struct pipeline_entry) { .what = ENTRY_SETTING };
	return true;
}

/* The query has all it will get from this connection. */
static void query_settle(struct connection *c, struct db_query *q)
{
	c->load--;
	if (q->error != ERROR_NONE && q->is_retryable && q->attempts < POOL_ATTEMPTS_MAX) {
		q->is_alone = true;
		db_again(c->db, q);
		return;
	}
	db_answer(q);
}

static void on_error(struct connection *c, struct pipeline_entry *entry, PGresult *res)
{
	enum result_fate fate;
	enum error e = result_classify(res, &fate);
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	if (fate == FATE_LOST) {
		c->is_ended = true;
		c->is_end_announced =
			sqlstate != NULL && (strncmp(sqlstate, "57P", 3) == 0 || strcmp(sqlstate, "25006") == 0);
		return;
	}
	struct db_query *q = entry->query;
	if (entry->what == ENTRY_SETTING || q == NULL) {
		LOG(LOG_ERROR, "database refused a command of our own", F_STR("sqlstate", sqlstate),
			F_STR("reason", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)));
		return;
	}
	const struct statement_row *row = &statement_rows[q->steps[entry->step].statement];
	if (result_is_stale_statement(res)) {
		/* Other statements may be stale too; this connection's are all forgotten, and a fresh one is taken soon. */
		prepared_set(c, q->steps[entry->step].statement, false);
		if (strcmp(sqlstate, "26000") != 0)
			c->state = c->state == CONNECTION_READY ? CONNECTION_RETIRING : c->state;
	}
	if (e == ERROR_INTERNAL || e == ERROR_DATABASE_UNAVAILABLE)
		LOG(fate == FATE_RETRY ? LOG_INFO : LOG_ERROR, "statement failed", F_STR("statement", row->name),
			F_STR("source", row->source), F_STR("sqlstate", sqlstate),
			F_STR("reason", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)));
	PQclear(q->result);
	q->result = res;
	q->error = e;
	q->is_retryable = fate == FATE_RETRY;
}

/* A result for the entry at the head, which takes it. */
static void on_result(struct connection *c, PGresult *res)
{
	struct pipeline_entry *entry = entry_head(c);
	struct db_query *q = entry->query;
	ExecStatusType status = PQresultStatus(res);
	bool was_answered = c->is_head_answered;
	bool is_last_of_read = entry->what == ENTRY_EXECUTE && q->kind == STATEMENT_READ;
	c->is_head_answered = true;
	if (status == PGRES_PIPELINE_ABORTED) {
		if (entry->what == ENTRY_PREPARE)
			prepared_set(c, q->steps[entry->step].statement, false);
		if (is_last_of_read) {
			entry->query = NULL;
			if (q->error == ERROR_NONE) {
				q->is_retryable = true;
				q->error = ERROR_INTERNAL;
				q->attempts--; /* another's fault */
			}
			query_settle(c, q);
		}
		PQclear(res);
		return;
	}
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		if (entry->what != ENTRY_EXECUTE) {
			PQclear(res);
			return;
		}
		PQclear(q->result);
		q->result = res;
	} else {
		if (entry->what == ENTRY_PREPARE)
			prepared_set(c, q->steps[entry->step].statement, false);
		on_error(c, entry, res);
		if (q == NULL || q->result != res)
			PQclear(res);
		if (c->is_ended && was_answered)
			c->is_end_announced = false; /* between this answer and the next, the commit may have begun */
		if (c->is_ended)
			return; /* pipeline_abandon takes it from here */
	}
	if (is_last_of_read) {
		entry->query = NULL;
		query_settle(c, q);
	}
}

static void on_sync(struct connection *c)
{
	struct pipeline_entry *entry = entry_head(c);
	must(entry->what == ENTRY_SYNC);
	struct db_query *q = entry->query;
	c->syncs--;
	entry_pop(c);
	if (q != NULL)
		query_settle(c, q);
}

bool pipeline_receive(struct connection *c, const char **why_out)
{
	/* Even when it fails: what came before the end of the stream may hold answers, the outcome of a write among them. */
	bool is_open = PQconsumeInput(c->pg) == 1;
	if (is_open)
		c->heard_ms = clock_monotonic_ms();
	while (c->count > 0 && (!is_open || !PQisBusy(c->pg))) {
		PGresult *res = PQgetResult(c->pg);
		if (res == NULL) {
			if (!c->is_head_answered)
				break;
			if (entry_head(c)->what != ENTRY_SYNC)
				entry_pop(c);
			else
				c->is_head_answered = false;
			continue;
		}
		if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			on_sync(c);
			continue;
		}
		on_result(c, res);
		if (c->is_ended) {
			*why_out = c->is_end_announced ? "the server ended it" : PQerrorMessage(c->pg);
			return false;
		}
	}
	*why_out = PQerrorMessage(c->pg);
	return is_open && PQstatus(c->pg) != CONNECTION_BAD;
}

/* Has the server done nothing of the write whose Sync is at this position, for sure? So it is when it said that it ends before it answered a
 * command ahead of that Sync; when only the Sync was open, the commit may have happened. */
static bool is_untouched(const struct connection *c, size_t position)
{
	return c->is_end_announced && position > 0;
}

void pipeline_abandon(struct connection *c)
{
	const struct db_query *first = c->count ? entry_head(c)->query : NULL;
	/* From the newest to the oldest, as db_again puts each in front. */
	for (size_t i = c->count; i-- > 0;) {
		struct pipeline_entry *entry = &c->entries[(c->head + i) & (c->capacity - 1)];
		struct db_query *q = entry->query;
		bool is_last = q != NULL && entry->what == (q->kind == STATEMENT_READ ? ENTRY_EXECUTE : ENTRY_SYNC);
		if (!is_last)
			continue;
		/* Its older entries must not be looked at again: one that was cancelled is gone after this. */
		for (size_t k = i; k-- > 0;) {
			struct pipeline_entry *older = &c->entries[(c->head + k) & (c->capacity - 1)];
			if (older->query != q)
				break;
			older->query = NULL;
		}
		query_reset(q);
		if (q != first) /* only the one at work can be what ended the connection */
			q->attempts--;
		if ((q->kind == STATEMENT_READ || is_untouched(c, i)) && q->attempts < POOL_ATTEMPTS_MAX)
			db_again(c->db, q);
		else
			db_answer_later(q, ERROR_DATABASE_UNAVAILABLE);
	}
	c->head = c->count = 0;
	c->syncs = c->load = 0;
	c->is_head_answered = c->is_ended = c->is_end_announced = false;
}
