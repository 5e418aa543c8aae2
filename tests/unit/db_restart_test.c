/* db_restart_test.c: the database goes away and comes back: in the middle of batches, for longer than patience, from the start, and half-dead. */
#include "config.h"

#include "tests/unit/db_fixture.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"

static struct fixture f;

static void set_up(void)
{
	fixture_open(&f, true);
}

static void tear_down(void)
{
	fixture_close(&f);
	cluster_destroy(&f.cluster);
}

TestSuite(db_restart, .init = set_up, .fini = tear_down, .timeout = 240);

/* Keeps reads and writes going and counts what became of them. */
struct load {
	int in_flight;
	int sent_writes; /* also the next id to write */
	int good, unavailable, other;
	enum error last_other;
	int acknowledged[60000]; /* by id: 1 = answered without error */
	bool is_stopped;
};
static struct load load;

static void submit_load(int id);

static void count_answer(enum error e)
{
	load.in_flight--;
	load.good += e == ERROR_NONE;
	load.unavailable += e == ERROR_DATABASE_UNAVAILABLE || e == ERROR_TIMEOUT;
	if (e != ERROR_NONE && e != ERROR_DATABASE_UNAVAILABLE && e != ERROR_TIMEOUT)
		load.last_other = e;
	load.other += e != ERROR_NONE && e != ERROR_DATABASE_UNAVAILABLE && e != ERROR_TIMEOUT;
}

static void on_read(void *arg, enum error e, const struct db_result *r)
{
	count_answer(e);
	if (e == ERROR_NONE)
		must(db_result_int(r, 0, 0) == (intptr_t)arg);
}

static void on_write(void *arg, enum error e, const struct db_result *r)
{
	(void)r;
	count_answer(e);
	load.acknowledged[(intptr_t)arg] = e == ERROR_NONE;
	if (!load.is_stopped && e == ERROR_NONE)
		submit_load(load.sent_writes);
}

static void submit_load(int id)
{
	struct db_number rooms[2];
	if (load.sent_writes >= (int)COUNT_OF(load.acknowledged))
		return;
	load.sent_writes++;
	load.in_flight += 2;
	struct db_param write[] = { db_int(&rooms[0], id), db_int(&rooms[1], 1) };
	db_submit(f.db, SQL_put, write, on_write, (void *)(intptr_t)id);
	struct db_param read[] = { db_int(&rooms[0], id) };
	db_submit(f.db, SQL_echo, read, on_read, (void *)(intptr_t)id);
}

static void settle(void)
{
	int64_t until_ms = now_ms() + 60000;
	load.is_stopped = true;
	while (load.in_flight > 0) {
		cr_assert(now_ms() < until_ms, "%d unanswered after 60 s", load.in_flight);
		run_for(&f, 10);
	}
}

static void check_nothing_is_lost(void)
{
	int lost = 0;
	char *ids = cluster_sql(f.cluster, f.database,
		"SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM renovationd.test_rows");
	static bool is_stored[COUNT_OF(load.acknowledged)];
	for (char *p = ids; *p;) {
		is_stored[strtol(p, &p, 10)] = true;
		p += *p == ' ';
	}
	free(ids);
	for (int i = 0; i < load.sent_writes; i++)
		lost += load.acknowledged[i] && !is_stored[i];
	cr_assert_eq(lost, 0, "%d acknowledged writes are missing", lost);
	cr_assert_eq(load.other, 0, "%d answers with error %d", load.other, load.last_other);
	cr_assert_gt(load.good, 100);
}

/* Asks again and again until there is an answer: at most for so long. */
static void run_until_back(int limit_ms)
{
	int64_t up_ms = now_ms();
	struct answer back = { .error = ERROR_TIMEOUT };
	while (back.error != ERROR_NONE) {
		cr_assert(now_ms() - up_ms < limit_ms, "not back %d ms after the database", limit_ms);
		back.calls = 0;
		submit_int(&f, SQL_echo, 1, &back);
		run_until(&f, &back.calls, 1);
		run_for(&f, 20);
	}
}

/* Attempts are at most a second apart: several times that. */
#define BACK_MS 10000

static void restart_under_load(int signal)
{
	fixture_connect(&f);
	for (int i = 0; i < 50; i++)
		submit_load(load.sent_writes);
	run_until(&f, &load.good, 500);
	cluster_stop(f.cluster, signal);
	run_for(&f, 100);
	cluster_start(f.cluster);
	run_until_back(BACK_MS);
	settle();
	check_nothing_is_lost();
}

Test(db_restart, a_fast_stop_under_load_loses_no_acknowledged_write)
{
	restart_under_load(SIGINT);
}

Test(db_restart, an_immediate_stop_under_load_loses_no_acknowledged_write)
{
	restart_under_load(SIGQUIT);
}

Test(db_restart, reads_survive_the_death_of_their_backend)
{
	static struct answer a[40];
	struct answer death = { .calls = 0 };
	fixture_connect(&f);
	for (int i = 0; i < 40; i++) {
		submit_int(&f, SQL_echo, i, &a[i]);
		if (i == 20)
			submit_none(&f, SQL_end_own_backend, &death);
	}
	run_until(&f, &answers_total, 41);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(a[i].error, ERROR_NONE, "read %d got %d", i, a[i].error);
	cr_assert_eq(death.error, ERROR_DATABASE_UNAVAILABLE);
	cr_assert_gt(db_stats(f.db).reconnects, 0);
}

/* How long a query has to wait for no answer, at best: a pause of the machine is not the database code's. */
static int64_t quickest_refusal_ms(int tries)
{
	int64_t quickest_ms = INT64_MAX;
	for (int i = 0; i < tries; i++) {
		struct answer a = { .calls = 0 };
		int64_t start_ms = now_ms();
		submit_int(&f, SQL_echo, 1, &a);
		run_until(&f, &a.calls, 1);
		cr_assert_eq(a.error, ERROR_DATABASE_UNAVAILABLE);
		if (now_ms() - start_ms < quickest_ms)
			quickest_ms = now_ms() - start_ms;
	}
	return quickest_ms;
}

Test(db_restart, a_dead_database_is_answered_quickly_and_found_again)
{
	fixture_connect(&f);
	cluster_stop(f.cluster, SIGINT);
	int64_t first_ms = quickest_refusal_ms(1);
	cr_assert_lt(first_ms, 10000, "%d ms: it is patient for a second", (int)first_ms);
	int64_t second_ms = quickest_refusal_ms(10);
	cr_assert_lt(second_ms, 100, "%d ms at best", (int)second_ms);
	cr_assert_not(db_stats(f.db).is_up);
	cr_assert_gt(db_stats(f.db).down_since_ms, 0);
	cluster_start(f.cluster);
	run_until_back(BACK_MS);
	run_until_open(&f);
}

Test(db_restart, it_opens_without_a_database_and_waits_for_it)
{
	struct answer early = { .calls = 0 };
	cluster_stop(f.cluster, SIGINT);
	cr_assert_eq(db_open(f.base, &f.options, NULL, &f.db), ERROR_NONE);
	submit_int(&f, SQL_echo, 1, &early);
	run_until(&f, &early.calls, 1);
	cr_assert_eq(early.error, ERROR_DATABASE_UNAVAILABLE);
	cluster_start(f.cluster);
	run_until_back(BACK_MS);
}

static pid_t backends[64];
static int backend_count;

/* All connections are there by then: none is served by a process that is started later. */
static void stop_backends(void)
{
	run_until_open(&f);
	backend_count = process_children(f.cluster->server->pid, "postgres", backends, 64);
	for (int i = 0; i < backend_count; i++)
		kill(backends[i], SIGSTOP);
}

static void continue_backends(void)
{
	for (int i = 0; i < backend_count; i++)
		kill(backends[i], SIGCONT);
}

Test(db_restart, a_server_that_stands_still_is_given_up_and_left)
{
	struct answer stuck = { .calls = 0 }, after = { .calls = 0 };
	fixture_connect(&f);
	stop_backends();
	f.options.db_wait_timeout_ms = 300;
	submit_int(&f, SQL_echo, 1, &stuck);
	run_until(&f, &stuck.calls, 1);
	cr_assert_eq(stuck.error, ERROR_TIMEOUT);
	f.options.db_wait_timeout_ms = 60000;
	continue_backends();
	submit_int(&f, SQL_echo, 2, &after);
	run_until(&f, &after.calls, 1);
	cr_assert_eq(after.error, ERROR_NONE);
}

Test(db_restart, an_idle_connection_is_tested_before_it_is_used)
{
	struct answer a = { .calls = 0 };
	f.options.db_ping_idle_s = 1;
	fixture_connect(&f);
	run_until_open(&f);
	run_for(&f, 1500);
	stop_backends();
	submit_ints(&f, SQL_put, 1, 1, &a);
	run_for(&f, 300);
	cr_assert_eq(a.calls, 0);
	continue_backends();
	run_until(&f, &a.calls, 1);
	cr_assert_eq(a.error, ERROR_NONE);
}

Test(db_restart, old_connections_are_replaced_under_load_and_nobody_notices)
{
	f.options.db_recycle_s = 1;
	fixture_connect(&f);
	run_until_open(&f);
	char *before = cluster_sql(f.cluster, f.database,
		"SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE application_name = "
		"'renovationd'");
	for (int i = 0; i < 4; i++)
		submit_load(load.sent_writes);
	char sql[512];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_stat_activity WHERE pid IN (%s)", before);
	run_until_count(&f, sql, 0);
	settle();
	cr_assert_eq(load.unavailable + load.other, 0, "%d without the database, %d other errors, the last %d",
		load.unavailable, load.other, load.last_other);
	check_nothing_is_lost();
	free(before);
}

static int wakes;

static void on_notify(void *arg, struct text payload)
{
	(void)arg;
	wakes += payload.length == 0;
}

Test(db_restart, listening_goes_on_after_a_restart_and_says_that_it_was_away)
{
	fixture_connect(&f);
	db_listen(f.db, on_notify, NULL);
	run_until_listening(&f);
	run_for(&f, 50);
	cr_assert_eq(wakes, 0);
	cluster_stop(f.cluster, SIGINT);
	run_for(&f, 50);
	cluster_start(f.cluster);
	run_until(&f, &wakes, 1);
}

/* The host's name and a second host: names are looked up beside the loop, a dead host costs only its own attempt. */
static void connect_by(const char *hosts, const char *ports)
{
	char url[400];
	snprintf(url, sizeof url, "postgresql:///%s?host=%s&port=%s&user=renovationd&password=secret", f.database,
		hosts, ports);
	free(f.options.database_url);
	f.options.database_url = must_strdup(url);
	fixture_connect(&f);
}

Test(db_restart, a_host_is_found_by_its_name)
{
	char port[16];
	snprintf(port, sizeof port, "%d", f.cluster->port);
	connect_by("localhost", port);
}

Test(db_restart, a_name_that_does_not_exist_and_a_closed_port_are_passed_over)
{
	char ports[64];
	snprintf(ports, sizeof ports, "1,%d,%d", free_port(), f.cluster->port);
	connect_by("nowhere.invalid,127.0.0.1,localhost", ports);
}

Test(db_restart, a_host_that_stays_silent_is_passed_over)
{
	char ports[64];
	int silent = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	cr_assert_eq(bind(silent, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(silent, 16), 0);
	cr_assert_eq(getsockname(silent, (struct sockaddr *)&address, &length), 0);
	snprintf(ports, sizeof ports, "%d,%d", ntohs(address.sin_port), f.cluster->port);
	f.options.db_connect_timeout_ms = 1000;
	connect_by("127.0.0.1,127.0.0.1", ports);
	close(silent);
}

Test(db_restart, closing_while_a_name_is_looked_up_is_harmless)
{
	free(f.options.database_url);
	f.options.database_url = must_strdup("postgresql://renovationd@nowhere.invalid/x");
	cr_assert_eq(db_open(f.base, &f.options, NULL, &f.db), ERROR_NONE);
}
