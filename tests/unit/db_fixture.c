/* db_fixture.c: see the header. Used by the tests of worker/db only. */
#include "config.h"

#include "tests/unit/db_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>

#include "shared/clock.h"
#include "shared/must.h"

int answers_total;

void fixture_open(struct fixture *f, bool is_own)
{
	memset(f, 0, sizeof *f);
	f->cluster = is_own ? cluster_create() : cluster_shared();
	f->database = cluster_new_database(f->cluster);
	free(cluster_sql(f->cluster, f->database,
		"CREATE SCHEMA renovationd; GRANT ALL ON SCHEMA renovationd TO PUBLIC;"
		"CREATE TABLE renovationd.test_rows (id int CONSTRAINT test_rows_key PRIMARY KEY, n int CONSTRAINT "
		"test_rows_small CHECK (n < 1000));"
		"CREATE TABLE renovationd.test_children (parent int CONSTRAINT test_children_parent"
		" REFERENCES renovationd.test_rows (id) DEFERRABLE INITIALLY DEFERRED);"
		"GRANT ALL ON ALL TABLES IN SCHEMA renovationd TO PUBLIC"));
	f->base = event_base_new();
	options_init(&f->options);
	free(f->options.database_url);
	f->options.database_url = must_strdup(cluster_url(f->cluster, f->database));
	f->options.db_readers = 2;
	f->options.db_writers = 2;
	/* Deadlines are for the tests that are about them: a slow machine does not run into these. */
	f->options.db_wait_timeout_ms = 60000;
	f->options.db_connect_timeout_ms = 30000;
	answers_total = 0;
}

void fixture_connect(struct fixture *f)
{
	struct answer first = { .calls = 0 };
	cr_assert_eq(db_open(f->base, &f->options, NULL, &f->db), ERROR_NONE);
	submit_int(f, SQL_echo, 1, &first);
	run_until(f, &first.calls, 1);
	cr_assert_eq(first.error, ERROR_NONE);
	answers_total = 0;
}

void fixture_close(struct fixture *f)
{
	hold_end(f);
	db_close(&f->db);
	event_base_free(f->base);
	options_fini(&f->options);
}

void on_answer(void *arg, enum error e, const struct db_result *r)
{
	struct answer *a = arg;
	a->calls++;
	a->error = e;
	a->order = ++answers_total;
	snprintf(a->constraint, sizeof a->constraint, "%s", db_result_constraint(r));
	if (e != ERROR_NONE)
		return;
	a->rows = db_result_rows(r);
	if (a->rows > 0 && !db_result_is_null(r, 0, 0))
		a->number = strtoll(db_result_text(r, 0, 0).bytes, NULL, 10);
}

static void run_once(struct fixture *f)
{
	struct timeval tv = { 0, 5000 };
	event_base_loopexit(f->base, &tv);
	event_base_loop(f->base, EVLOOP_ONCE);
}

#define DEADLINE_MS 60000

void run_until(struct fixture *f, const int *count, int wanted)
{
	int64_t until_ms = now_ms() + DEADLINE_MS;
	while (*count < wanted) {
		cr_assert(now_ms() < until_ms, "%d of %d after %d ms", *count, wanted, DEADLINE_MS);
		run_once(f);
	}
}

void run_until_count(struct fixture *f, const char *sql, long wanted)
{
	int64_t until_ms = now_ms() + DEADLINE_MS;
	long count;
	while ((count = cluster_count(f->cluster, f->database, sql)) != wanted) {
		cr_assert(now_ms() < until_ms, "%ld, not %ld, after %d ms: %s", count, wanted, DEADLINE_MS, sql);
		run_for(f, 5);
	}
}

void run_until_open(struct fixture *f)
{
	int64_t until_ms = now_ms() + DEADLINE_MS;
	int wanted = f->options.db_readers + f->options.db_writers;
	while (db_stats(f->db).open < wanted || !db_stats(f->db).is_up) {
		cr_assert(now_ms() < until_ms, "%d of %d are open after %d ms, up: %d", db_stats(f->db).open, wanted,
			DEADLINE_MS, db_stats(f->db).is_up);
		run_once(f);
	}
}

void run_until_listening(struct fixture *f)
{
	run_until_count(f,
		"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND "
		"state = 'idle'",
		1);
}

void run_for(struct fixture *f, int ms)
{
	int64_t until_ms = now_ms() + ms;
	for (int turns = 0; turns < 5 || now_ms() < until_ms; turns++)
		run_once(f);
}

void hold_begin(struct fixture *f)
{
	f->holder = PQconnectdb(cluster_url(f->cluster, f->database));
	cr_assert_eq(PQstatus(f->holder), CONNECTION_OK, "%s", PQerrorMessage(f->holder));
	PGresult *result = PQexec(f->holder, "SELECT pg_advisory_lock(1)");
	cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQerrorMessage(f->holder));
	PQclear(result);
}

void run_until_held(struct fixture *f, int count)
{
	run_until_count(f,
		"SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' "
		"AND "
		"NOT granted AND datname = current_database()",
		count);
}

void hold_end(struct fixture *f)
{
	if (f->holder != NULL)
		PQfinish(f->holder);
	f->holder = NULL;
}

struct db_query *submit_int(struct fixture *f, enum statement s, int64_t a, struct answer *answer)
{
	struct db_number room;
	return db_submit(f->db, s, (struct db_param[]) { db_int(&room, a) }, on_answer, answer);
}

struct db_query *submit_ints(struct fixture *f, enum statement s, int64_t a, int64_t b, struct answer *answer)
{
	struct db_number rooms[2];
	return db_submit(
		f->db, s, (struct db_param[]) { db_int(&rooms[0], a), db_int(&rooms[1], b) }, on_answer, answer);
}

struct db_query *submit_none(struct fixture *f, enum statement s, struct answer *answer)
{
	return db_submit(f->db, s, NULL, on_answer, answer);
}
