/* db_db_test.c: statements over a real server: batches, errors inside them, parameters and types, writes and steps, deadlines, bounds, cancel. */
#include "config.h"

#include "tests/unit/db_fixture.h"

static struct fixture f;

static void set_up(void)
{
	fixture_open(&f, false);
	fixture_connect(&f);
}

static void tear_down(void)
{
	fixture_close(&f);
}

TestSuite(db, .init = set_up, .fini = tear_down, .timeout = 120);

Test(db, the_callback_never_comes_inside_submit)
{
	struct answer a = { .calls = 0 };
	submit_int(&f, SQL_echo, 7, &a);
	cr_assert_eq(a.calls, 0);
	run_until(&f, &a.calls, 1);
	cr_assert_eq(a.number, 7);
}

Test(db, reads_of_one_turn_are_answered_each_with_its_own_row)
{
	static struct answer a[500];
	for (int i = 0; i < 500; i++)
		submit_int(&f, SQL_echo, i, &a[i]);
	run_until(&f, &answers_total, 500);
	for (int i = 0; i < 500; i++) {
		cr_assert_eq(a[i].calls, 1);
		cr_assert_eq(a[i].number, i);
	}
}

Test(db, a_failing_read_does_not_disturb_its_batch)
{
	static struct answer a[64];
	for (int i = 0; i < 64; i++)
		submit_int(&f, SQL_divide, i % 8 == 3 ? 0 : 1, &a[i]);
	run_until(&f, &answers_total, 64);
	for (int i = 0; i < 64; i++) {
		cr_assert_eq(a[i].calls, 1);
		cr_assert_eq(
			a[i].error, i % 8 == 3 ? ERROR_VALIDATION_FAILED : ERROR_NONE, "read %d got %d", i, a[i].error);
	}
}

Test(db, a_statement_that_cannot_be_prepared_fails_alone_and_each_time)
{
	struct answer bad[2] = { { .calls = 0 } }, good[2] = { { .calls = 0 } };
	for (int i = 0; i < 2; i++) {
		submit_none(&f, SQL_missing_table, &bad[i]);
		submit_int(&f, SQL_echo, 5, &good[i]);
	}
	run_until(&f, &answers_total, 4);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(bad[i].error, ERROR_INTERNAL);
		cr_assert_eq(good[i].error, ERROR_NONE);
		cr_assert_eq(good[i].number, 5);
	}
	free(cluster_sql(f.cluster, f.database,
		"CREATE TABLE renovationd.nowhere AS SELECT 11 AS n; GRANT SELECT ON renovationd.nowhere TO PUBLIC"));
	submit_none(&f, SQL_missing_table, &bad[0]);
	run_until(&f, &answers_total, 5);
	cr_assert_eq(bad[0].error, ERROR_NONE);
	cr_assert_eq(bad[0].number, 11);
}

Test(db, a_table_changed_under_prepared_statements_is_no_error)
{
	free(cluster_sql(f.cluster, f.database,
		"CREATE TABLE renovationd.nowhere AS SELECT 11 AS n; GRANT SELECT ON renovationd.nowhere TO PUBLIC"));
	for (int i = 1; i <= 20; i++) {
		struct answer a = { .calls = 0 };
		submit_none(&f, SQL_missing_table, &a);
		run_until(&f, &a.calls, 1);
		cr_assert_eq(a.error, ERROR_NONE);
		if (i == 10)
			free(cluster_sql(
				f.cluster, f.database, "ALTER TABLE renovationd.nowhere ALTER COLUMN n TYPE bigint"));
	}
}

struct types {
	int calls;
	bool has_bytes;
	bool is_null;
};

static const char *const id_text = "01a1fe18-85d0-7f12-9444-83ce3dba2dcc";

static void check_types(void *arg, enum error e, const struct db_result *r)
{
	struct types *t = arg;
	t->calls++;
	cr_assert_eq(e, ERROR_NONE);
	cr_assert_eq(db_result_rows(r), 1);
	if (t->is_null) {
		for (int column = 0; column < (t->has_bytes ? 8 : 7); column++) {
			cr_assert(db_result_is_null(r, 0, column));
			cr_assert_null(db_result_text(r, 0, column).bytes);
		}
		cr_assert_eq(db_result_int(r, 0, 0), 0);
		cr_assert_not(db_result_bool(r, 0, 2));
		cr_assert_eq(db_result_uuid(r, 0, 5).bytes[0], 0);
		return;
	}
	cr_assert_eq(db_result_int(r, 0, 0), -17);
	cr_assert(text_equals(db_result_text(r, 0, 0), TEXT("-17")));
	cr_assert_eq(db_result_int(r, 0, 1), INT64_MIN);
	cr_assert(db_result_bool(r, 0, 2));
	cr_assert(text_equals(db_result_text(r, 0, 2), TEXT("t")));
	cr_assert(text_equals(db_result_text(r, 0, 3), TEXT("K\xc3\xbc"
							    "che; ' \" \\")));
	cr_assert(text_equals(db_result_text(r, 0, 4), TEXT("{ \"a\": 1}")));
	struct uuid id = db_result_uuid(r, 0, 5);
	char text[UUID_TEXT_BYTES];
	uuid_format(&id, text);
	cr_assert_str_eq(text, id_text);
	cr_assert(text_equals(db_result_text(r, 0, 5), text_of(id_text)));
	cr_assert(text_equals(db_result_text(r, 0, 6), TEXT("{\"a\": 1}")));
	if (t->has_bytes)
		cr_assert(text_equals(db_result_text(r, 0, 7), text_span("\0\1\xff\0", 4)));
}

Test(db, every_type_comes_back_as_it_went_in_text_and_binary)
{
	struct types with = { .has_bytes = true }, without = { .has_bytes = false };
	struct db_param params[] = { DB_TEXT(TEXT("-17")), DB_TEXT(TEXT("-9223372036854775808")), DB_TEXT(TEXT("true")),
		DB_TEXT(TEXT("K\xc3\xbc"
			     "che; ' \" \\")),
		DB_TEXT(TEXT("{ \"a\": 1}")), DB_TEXT(text_of(id_text)), DB_TEXT(TEXT("{\"a\":1}")),
		DB_BYTES(text_span("\0\1\xff\0", 4)) };
	db_submit(f.db, SQL_types, params, check_types, &without);
	db_submit(f.db, SQL_types_with_bytes, params, check_types, &with);
	run_until(&f, &without.calls, 1);
	run_until(&f, &with.calls, 1);
}

Test(db, null_goes_in_and_comes_out)
{
	struct types with = { .has_bytes = true, .is_null = true }, without = { .is_null = true };
	struct db_param params[] = { DB_NULL, DB_NULL, DB_NULL, DB_NULL, DB_NULL, DB_NULL, DB_NULL,
		DB_BYTES(TEXT_NONE) };
	db_submit(f.db, SQL_types, params, check_types, &without);
	db_submit(f.db, SQL_types_with_bytes, params, check_types, &with);
	run_until(&f, &without.calls, 1);
	run_until(&f, &with.calls, 1);
}

Test(db, what_is_no_text_is_refused)
{
	struct answer nul = { .calls = 0 }, bytes = { .calls = 0 }, word = { .calls = 0 };
	struct db_param params[] = { DB_NULL, DB_NULL, DB_NULL, DB_TEXT(text_span("a\0b", 3)), DB_NULL, DB_NULL,
		DB_NULL };
	db_submit(f.db, SQL_types, params, on_answer, &nul);
	cr_assert_eq(nul.calls, 0);
	params[3] = DB_TEXT(TEXT("\xff\xfe"));
	db_submit(f.db, SQL_types, params, on_answer, &bytes);
	params[3] = DB_NULL;
	params[0] = DB_TEXT(TEXT("seventeen"));
	db_submit(f.db, SQL_types, params, on_answer, &word);
	run_until(&f, &answers_total, 3);
	cr_assert_eq(nul.error, ERROR_VALIDATION_FAILED);
	cr_assert_eq(bytes.error, ERROR_VALIDATION_FAILED);
	cr_assert_eq(word.error, ERROR_VALIDATION_FAILED);
}

Test(db, a_failed_write_leaves_its_neighbours_alone)
{
	static struct answer a[40];
	for (int i = 0; i < 40; i++)
		submit_ints(&f, SQL_put, i / 2, i, &a[i]);
	run_until(&f, &answers_total, 40);
	for (int i = 0; i < 40; i += 2) {
		struct answer *first = &a[i], *second = &a[i + 1];
		cr_assert_eq((first->error == ERROR_NONE) + (second->error == ERROR_NONE), 1);
		cr_assert_str_eq((first->error == ERROR_CONFLICT ? first : second)->constraint, "test_rows_key");
	}
	cr_assert_eq(cluster_count(f.cluster, f.database, "SELECT count(*) FROM renovationd.test_rows"), 20);
}

Test(db, an_error_that_comes_only_at_the_commit_is_the_writes_error)
{
	struct answer orphan = { .calls = 0 }, check = { .calls = 0 };
	submit_int(&f, SQL_put_child, 4711, &orphan);
	submit_ints(&f, SQL_put, 1, 1000, &check);
	run_until(&f, &answers_total, 2);
	cr_assert_eq(orphan.error, ERROR_CONFLICT);
	cr_assert_str_eq(orphan.constraint, "test_children_parent");
	cr_assert_eq(check.error, ERROR_VALIDATION_FAILED);
	cr_assert_str_eq(check.constraint, "test_rows_small");
	cr_assert_eq(cluster_count(f.cluster, f.database, "SELECT count(*) FROM renovationd.test_children"), 0);
}

static void submit_step_add(int64_t id, int64_t delta, struct answer *a)
{
	struct db_number rooms[2];
	struct db_param lock[] = { db_int(&rooms[0], id) };
	struct db_param set[] = { db_int(&rooms[0], id), db_int(&rooms[1], delta) };
	struct db_step steps[] = { { SQL_lock, lock }, { SQL_set_from, set } };
	db_submit_steps(f.db, steps, 2, on_answer, a);
}

Test(db, steps_lock_a_row_for_the_next_step_so_no_change_is_lost)
{
	static struct answer a[50];
	struct answer put = { .calls = 0 };
	submit_ints(&f, SQL_put, 1, 0, &put);
	run_until(&f, &put.calls, 1);
	for (int i = 0; i < 50; i++)
		submit_step_add(1, 1, &a[i]);
	run_until(&f, &answers_total, 51);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(a[i].error, ERROR_NONE);
	cr_assert_eq(cluster_count(f.cluster, f.database, "SELECT n FROM renovationd.test_rows WHERE id = 1"), 50);
}

Test(db, an_error_in_a_later_step_undoes_the_earlier)
{
	struct answer a = { .calls = 0 };
	struct db_number rooms[2];
	struct db_param put[] = { db_int(&rooms[0], 9), db_int(&rooms[1], 9) };
	struct db_step steps[] = { { SQL_put, put }, { SQL_put, put } };
	db_submit_steps(f.db, steps, 2, on_answer, &a);
	run_until(&f, &a.calls, 1);
	cr_assert_eq(a.error, ERROR_CONFLICT);
	cr_assert_eq(cluster_count(f.cluster, f.database, "SELECT count(*) FROM renovationd.test_rows"), 0);
}

Test(db, a_slow_read_does_not_hold_up_the_reads_of_later_turns)
{
	struct answer slow = { .calls = 0 };
	static struct answer quick[100];
	hold_begin(&f);
	submit_int(&f, SQL_hold, HELD, &slow);
	run_until_held(&f, 1);
	for (int i = 0; i < 100; i++) {
		submit_int(&f, SQL_echo, i, &quick[i]);
		run_until(&f, &quick[i].calls, 1);
		cr_assert_eq(quick[i].error, ERROR_NONE, "read %d got %d", i, quick[i].error);
	}
	cr_assert_eq(slow.calls, 0);
	hold_end(&f);
	run_until(&f, &slow.calls, 1);
	cr_assert_eq(slow.error, ERROR_NONE);
}

Test(db, a_deadline_answers_and_the_late_result_is_dropped)
{
	struct answer slow = { .calls = 0 }, after = { .calls = 0 };
	hold_begin(&f);
	f.options.db_wait_timeout_ms = 150;
	submit_int(&f, SQL_hold, HELD, &slow);
	f.options.db_wait_timeout_ms = 60000;
	run_until(&f, &slow.calls, 1);
	cr_assert_eq(slow.error, ERROR_TIMEOUT);
	hold_end(&f);
	run_until_held(&f, 0);
	run_for(&f, 100);
	cr_assert_eq(slow.calls, 1);
	submit_int(&f, SQL_echo, 3, &after);
	run_until(&f, &after.calls, 1);
	cr_assert_eq(after.number, 3);
}

Test(db, more_than_the_bound_is_refused_at_once)
{
	static struct answer a[30];
	int refused = 0;
	f.options.db_wait_max = 20;
	for (int i = 0; i < 30; i++)
		submit_int(&f, SQL_echo, i, &a[i]);
	run_until(&f, &answers_total, 30);
	for (int i = 0; i < 30; i++)
		refused += a[i].error == ERROR_OVERLOADED;
	cr_assert_eq(refused, 10);
}

Test(db, what_waits_for_a_connection_is_told_apart_from_what_runs)
{
	static struct answer a[5];
	struct db_stats s;

	run_until_open(&f);
	hold_begin(&f);
	for (int i = 0; i < 5; i++)
		submit_ints(&f, SQL_hold_then_put, i, i < 2 ? HELD : FREE, &a[i]);
	cr_expect_eq(db_stats(f.db).waiting, 5);
	run_until_held(&f, 2);
	s = db_stats(f.db);
	cr_expect_eq(s.waiting, 3, "two run, one on each write connection; %d wait", s.waiting);
	cr_expect_eq(s.pending, 5, "%d", s.pending);
	hold_end(&f);
	run_until(&f, &answers_total, 5);
	s = db_stats(f.db);
	cr_expect_eq(s.waiting, 0);
	cr_expect_eq(s.pending, 0);
}

Test(db, a_cancelled_query_is_never_heard_of_again)
{
	struct answer waiting = { .calls = 0 }, sent = { .calls = 0 }, refused = { .calls = 0 }, other = { .calls = 0 };
	struct db_query *q = submit_int(&f, SQL_echo, 1, &waiting);
	db_cancel(&q);
	cr_assert_null(q);
	hold_begin(&f);
	q = submit_int(&f, SQL_hold, HELD, &sent);
	run_until_held(&f, 1);
	db_cancel(&q);
	struct db_param nul[] = { DB_TEXT(text_span("1\0", 2)) };
	q = db_submit(f.db, SQL_echo, nul, on_answer, &refused);
	db_cancel(&q);
	submit_int(&f, SQL_echo, 2, &other);
	run_until(&f, &other.calls, 1);
	hold_end(&f);
	run_until_held(&f, 0);
	run_for(&f, 200);
	cr_assert_eq(waiting.calls + sent.calls + refused.calls, 0);
	cr_assert_eq(db_stats(f.db).pending, 0);
}

static void on_drained(void *arg)
{
	++*(int *)arg;
}

Test(db, a_drain_waits_for_what_runs_and_cancel_all_shortens_it)
{
	struct answer slow = { .calls = 0 };
	int drained = 0;
	hold_begin(&f);
	submit_int(&f, SQL_hold, HELD, &slow);
	run_until_held(&f, 1);
	db_drain(f.db, on_drained, &drained);
	run_for(&f, 50);
	cr_assert_eq(drained, 0);
	cr_assert_eq(db_cancel_all(f.db), 1);
	run_until(&f, &drained, 1);
	cr_assert_eq(slow.error, ERROR_TIMEOUT);
}

Test(db, a_drain_with_nothing_to_do_is_told_later)
{
	int drained = 0;
	db_drain(f.db, on_drained, &drained);
	cr_assert_eq(drained, 0);
	run_until(&f, &drained, 1);
}

Test(db, closing_answers_everything_once)
{
	struct answer slow = { .calls = 0 }, waiting = { .calls = 0 };
	hold_begin(&f);
	submit_int(&f, SQL_hold, HELD, &slow);
	run_until_held(&f, 1);
	submit_int(&f, SQL_echo, 1, &waiting);
	db_close(&f.db);
	cr_assert_null(f.db);
	cr_assert_eq(slow.calls, 1);
	cr_assert_eq(slow.error, ERROR_DATABASE_UNAVAILABLE);
	cr_assert_eq(waiting.calls, 1);
}

/* Its preparation and its execution are both under way on the connection that is given up. */
Test(db, closing_forgets_what_was_cancelled)
{
	struct answer cancelled = { .calls = 0 };
	struct db_query *q;
	hold_begin(&f);
	q = submit_int(&f, SQL_hold, HELD, &cancelled);
	run_until_held(&f, 1);
	db_cancel(&q);
	db_close(&f.db);
	cr_assert_eq(cancelled.calls, 0);
}

static const struct db_result *kept;

static void keep(void *arg, enum error e, const struct db_result *r)
{
	cr_assert_eq(e, ERROR_NONE);
	kept = db_result_ref(r);
	++*(int *)arg;
}

Test(db, a_result_can_be_kept)
{
	int calls = 0;
	struct db_number room;
	db_submit(f.db, SQL_echo, (struct db_param[]) { db_int(&room, 42) }, keep, &calls);
	run_until(&f, &calls, 1);
	cr_assert_eq(db_result_int(kept, 0, 0), 42);
	db_result_unref(&kept);
	cr_assert_null(kept);
}

static void on_notify(void *arg, struct text payload)
{
	if (text_equals(payload, TEXT("turns")))
		++*(int *)arg;
}

Test(db, notifications_of_others_arrive)
{
	int heard = 0;
	struct answer wake = { .calls = 0 };
	db_listen(f.db, on_notify, &heard);
	run_until_listening(&f);
	free(cluster_sql(f.cluster, f.database, "SELECT pg_notify('renovationd', 'turns')::text"));
	run_until(&f, &heard, 1);
	struct db_param params[] = { DB_TEXT(TEXT("turns")) };
	db_submit(f.db, SQL_wake, params, on_answer, &wake);
	run_until(&f, &heard, 2);
	run_until(&f, &wake.calls, 1);
}
