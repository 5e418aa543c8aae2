/* pool_test.c: the pool's other changes: more and fewer workers, drained and back, one worker replaced by hand, by age and by size, logs reopened, deaths
 * written down. The real programs; each test its own service. */
#include "config.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"

TestSuite(pool, .timeout = 300);

static void wait_log(struct server *s, const char *part)
{
	free(process_wait_error(s->supervisor, part, 60000));
}

/* ---- more and fewer -------------------------------------------------------------------------------------------- */

/* Those that we and what we start may use. */
static int cores(void)
{
	cpu_set_t set;

	must(sched_getaffinity(0, sizeof set, &set) == 0);
	return CPU_COUNT(&set);
}

Test(pool, ttin_adds_workers_up_to_four_per_core)
{
	/* Many start side by side. */
	struct server *s = server_start((const char *[]) { "WORKERS=1", "RENOVATIOND_BOOT_TIMEOUT_MS=60000", NULL });
	int most = cores() * 4 < 16 ? cores() * 4 : 0;

	process_signal(s->supervisor, SIGTTIN);
	workers_wait(s, 0, 2, 60000);
	cr_assert(most > 0 || cores() >= 4);
	for (int i = 3; i <= most; i++) {
		process_signal(s->supervisor, SIGTTIN);
		wait_log(s, format("\"to\":%d}", i));
	}
	if (most > 0) {
		process_signal(s->supervisor, SIGTTIN);
		wait_log(s, "are the most");
		workers_wait(s, 0, most, 60000);
	}
	cr_expect_eq(log_count(s->supervisor, "\"to\":\"degraded\""), 0, "a pool that grows is whole meanwhile");
	cr_expect_eq(get_many(s->port, 10), 10);
	server_end(&s);
}

static bool is_third_free(void *arg)
{
	const struct scoreboard *board = arg;

	return SCOREBOARD_GET(board->slots[2].pid) == 0;
}

Test(pool, ttou_drains_the_youngest_and_leaves_one)
{
	struct server *s = server_start((const char *[]) { "WORKERS=3", NULL });
	struct scoreboard *board = board_open(s);

	process_signal(s->supervisor, SIGTTOU);
	workers_wait(s, 0, 2, 60000);
	wait_until(is_third_free, board, "the third was the youngest", 60000);
	cr_expect_eq(SCOREBOARD_GET(board->pool.wanted), 2);
	process_signal(s->supervisor, SIGTTOU);
	workers_wait(s, 0, 1, 60000);
	process_signal(s->supervisor, SIGTTOU);
	wait_log(s, "one worker is the least");
	workers_wait(s, 0, 1, 60000);
	cr_expect_eq(log_count(s->supervisor, "\"level\":\"error\""), 0);
	cr_expect_eq(get_many(s->port, 10), 10);
	/* Until the next reload. */
	process_signal(s->supervisor, SIGHUP);
	workers_wait(s, 0, 3, 60000);
	board_close(&board);
	server_end(&s);
}

Test(pool, a_worker_that_dies_is_replaced_in_a_scaled_pool_too)
{
	struct server *s = server_start((const char *[]) { "WORKERS=1", NULL });
	pid_t pids[4];

	process_signal(s->supervisor, SIGTTIN);
	workers_wait(s, 0, 2, 60000);
	cr_assert_eq(server_workers(s, pids, 4), 2);
	(void)kill(pids[0], SIGKILL);
	workers_wait(s, pids[0], 2, 60000);
	server_end(&s);
}

/* ---- drained --------------------------------------------------------------------------------------------------- */

static bool is_drained(void *arg)
{
	const struct server *s = arg;

	return get_status(s->port, "/health/ready") == 503 && get_status(s->port, "/health/live") == 200;
}

static bool is_ready(void *arg)
{
	const struct server *s = arg;

	return get_status(s->port, "/health/ready") == 200;
}

static bool is_running(void *arg)
{
	const struct scoreboard *board = arg;

	return SCOREBOARD_GET(board->pool.state) == POOL_RUNNING;
}

static bool is_pool_drained(void *arg)
{
	const struct scoreboard *board = arg;

	return SCOREBOARD_GET(board->pool.state) == POOL_DRAINED;
}

static void drain(struct server *s)
{
	process_signal(s->supervisor, SIGWINCH);
	wait_until(is_drained, s, "drained", 60000);
	workers_wait(s, 0, 1, 60000);
	cr_expect_eq(get_status(s->port, "/api/sessions"), 503);
}

Test(pool, winch_drains_and_each_way_back_works)
{
	static const int ways[] = { SIGTTIN, SIGHUP };
	struct server *s = server_start(NULL);
	struct scoreboard *board = board_open(s);

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		drain(s);
		wait_until(is_pool_drained, board, "the pool says so", 60000);
		process_signal(s->supervisor, ways[i]);
		wait_until(is_ready, s, "resumed", 60000);
		workers_wait(s, 0, 2, 60000);
		wait_until(is_running, board, "running again", 60000);
		cr_expect_eq(SCOREBOARD_GET(board->pool.is_drained), 0);
		cr_expect_eq(get_many(s->port, 10), 10);
	}
	board_close(&board);
	server_end(&s);
}

Test(pool, a_drained_service_survives_its_worker_and_stops_cleanly)
{
	struct server *s = server_start(NULL);
	pid_t worker;

	drain(s);
	cr_assert_eq(server_workers(s, &worker, 1), 1);
	(void)kill(worker, SIGKILL);
	workers_wait(s, worker, 1, 60000);
	wait_until(is_drained, s, "drained still", 60000);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- one worker ------------------------------------------------------------------------------------------------ */

Test(pool, one_worker_is_replaced_by_hand_and_the_other_stays)
{
	struct server *s = server_start(NULL);
	pid_t before[4], after[4];
	char *out = NULL;

	cr_assert_eq(server_workers(s, before, 4), 2);
	cr_expect_eq(server_ctl(s, (const char *[]) { "restart-worker", "0", NULL }, &out, NULL, 60000), 0, "%s", out);
	wait_log(s, "\"event\":\"replace\",\"result\":\"replaced\"");
	workers_wait(s, 0, 2, 60000);
	cr_assert_eq(server_workers(s, after, 4), 2);

	int kept = 0;

	for (int i = 0; i < 2; i++)
		kept += after[i] == before[0] || after[i] == before[1];
	cr_expect_eq(kept, 1);
	cr_expect_neq(server_ctl(s, (const char *[]) { "restart-worker", "40", NULL }, NULL, NULL, 60000), 0);
	free(out);
	server_end(&s);
}

struct ages {
	struct server *server;
	pid_t before[2];
};

static bool are_others(void *arg)
{
	struct ages *ages = arg;
	pid_t now[8];
	int count = server_workers(ages->server, now, 8);

	cr_assert(count <= 3, "more than one at a time: %d processes", count);
	cr_assert_eq(get_status(ages->server->port, "/health"), 200);
	for (int i = 0; i < count; i++)
		if (now[i] == ages->before[0] || now[i] == ages->before[1])
			return false;
	return true;
}

Test(pool, workers_are_replaced_when_they_are_old)
{
	struct ages ages = { server_start((const char *[]) { "RENOVATIOND_WORKER_AGE_MAX_S=2", NULL }), { 0 } };

	cr_assert_eq(server_workers(ages.server, ages.before, 2), 2);
	wait_until(are_others, &ages, "both were replaced", 60000);
	wait_log(ages.server, "\"who\":\"worker_age_max_s\"");
	cr_expect_eq(log_count(ages.server->supervisor, "\"level\":\"error\""), 0);
	server_end(&ages.server);
}

Test(pool, workers_are_replaced_when_they_are_large)
{
	struct ages ages = { server_start((const char *[]) { "RENOVATIOND_WORKER_MEMORY_MAX_MIB=1", NULL }), { 0 } };

	cr_assert_eq(server_workers(ages.server, ages.before, 2), 2);
	wait_until(are_others, &ages, "both were replaced", 60000);
	wait_log(ages.server, "\"who\":\"worker_memory_max_mib\"");
	server_end(&ages.server);
}

/* ---- those that leave ------------------------------------------------------------------------------------------ */

static void reload(struct server *s)
{
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, "\"event\":\"reload\",\"result\":\"replaced\"");
}

static pid_t only_worker(struct server *s)
{
	pid_t worker;

	cr_assert_eq(server_workers(s, &worker, 1), 1);
	return worker;
}

Test(pool, a_draining_worker_that_hangs_is_ended_like_any_other)
{
	struct server *s = server_start((const char *[]) { "WORKERS=1", "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=2000",
		"RENOVATIOND_HEARTBEAT_KILL_MS=5000", "RENOVATIOND_DRAIN_TIMEOUT_MS=600000", NULL });
	pid_t worker = only_worker(s);
	struct client held;
	struct reply r;

	/* An idle connection keeps it. */
	client_init(&held, s->port);
	r = client_request(&held, "GET", "/health", NULL, NULL);
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	reload(s);
	cr_assert(pid_is_alive(worker));
	(void)kill(worker, SIGSTOP);
	wait_log(s,
		format("\"worker_pid\":%d,\"epoch\":1,\"generation\":1,\"cause\":\"hung, ended by us\"", (int)worker));
	workers_wait(s, worker, 1, 60000);
	cr_expect_eq(
		log_count_both(s->supervisor, "\"msg\":\"worker started\"", "\"slot\":0,"), 1, "it has no successor");
	client_fini(&held);
	server_end(&s);
}

Test(pool, a_draining_worker_is_hurried_and_then_killed_when_its_time_is_over)
{
	struct server *s = server_start((const char *[]) { "WORKERS=1", "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=500000",
		"RENOVATIOND_HEARTBEAT_KILL_MS=600000", "RENOVATIOND_DRAIN_TIMEOUT_MS=1000",
		"RENOVATIOND_DRAIN_STREAMS_MS=1000", "RENOVATIOND_SHUTDOWN_DATABASE_MS=100",
		"RENOVATIOND_SHUTDOWN_HTTP_MS=500", "RENOVATIOND_SHUTDOWN_REALTIME_MS=500",
		"RENOVATIOND_SHUTDOWN_TURNS_MS=500", "RENOVATIOND_SHUTDOWN_MS=1000", NULL });
	struct scoreboard *board = board_open(s);

	/* It never hears that it is to leave. */
	pid_freeze(only_worker(s));
	reload(s);
	wait_log(s, "its time to drain is over");
	wait_log(s, "it did not leave in time");
	workers_wait(s, 0, 1, 60000);
	cr_expect_eq(SCOREBOARD_GET(board->pool.deaths[0].at_us), 0, "we ended it");
	board_close(&board);
	server_end(&s);
}

/* ---- logs ------------------------------------------------------------------------------------------------------ */

struct log_file {
	struct server *server;
	const char *path;
	const char *words;
};

static bool has_words(void *arg)
{
	const struct log_file *file = arg;
	FILE *in = fopen(file->path, "re");
	char line[8192];
	bool is_found = false;

	/* A request, so that workers have something to say. */
	(void)get_status(file->server->port, "/health/ready");
	while (in != NULL && !is_found && fgets(line, sizeof line, in) != NULL)
		is_found = strstr(line, file->words) != NULL;
	if (in != NULL)
		(void)fclose(in);
	return is_found;
}

static void wait_file(struct server *s, const char *path, const char *words)
{
	struct log_file file = { s, path, words };

	wait_until(has_words, &file, format("%s in %s", words, path), 60000);
}

Test(pool, usr1_opens_the_log_file_anew_for_everybody)
{
	const char *folder = must_strdup(test_path("logs")), *path = must_strdup(format("%s/it.log", folder));
	const char *rotated = must_strdup(format("%s.1", path));
	struct server *s;

	must(mkdir(folder, 0755) == 0);
	s = server_start((const char *[]) { format("LOG_FILE=%s", path), "LOG_LEVEL=debug", NULL });
	wait_file(s, path, "service ready");
	cr_assert_eq(rename(path, rotated), 0);
	process_signal(s->supervisor, SIGUSR1);
	wait_file(s, path, "log file reopened");
	process_signal(s->supervisor, SIGHUP);
	wait_file(s, path, "\"service\":\"renovationd-worker\"");
	/* Where the new file cannot be made, the old one goes on. */
	cr_assert_eq(rename(folder, format("%s.away", folder)), 0);
	process_signal(s->supervisor, SIGUSR1);
	wait_file(s, format("%s.away/it.log", folder), "cannot open the log file again");
	cr_expect_eq(get_many(s->port, 5), 5);
	server_end(&s);
	free((char *)(uintptr_t)folder);
	free((char *)(uintptr_t)path);
	free((char *)(uintptr_t)rotated);
}

static bool are_gone(void *arg)
{
	const pid_t *two = arg;

	return !pid_is_alive(two[0]) && !pid_is_alive(two[1]);
}

struct talker {
	struct server *server;
	pid_t worker;
};

/* A line that only level debug has, from this worker. */
static bool has_debugged(void *arg)
{
	const struct talker *t = arg;

	(void)get_status(t->server->port, "/health/ready");
	return log_count_both(t->server->supervisor, "\"level\":\"debug\"", format("\"pid\":%d,", (int)t->worker)) > 0;
}

Test(pool, the_log_level_set_by_hand_is_that_of_later_workers_until_a_reload)
{
	struct server *s = server_start(NULL);
	pid_t before[4], after[4];

	cr_expect_eq(server_ctl(s, (const char *[]) { "logs", "level", "debug", NULL }, NULL, NULL, 60000), 0);
	wait_log(s, "log level set by hand");
	cr_assert_eq(server_workers(s, before, 4), 2);
	(void)kill(before[0], SIGKILL);
	workers_wait(s, before[0], 2, 60000);
	cr_assert_eq(server_workers(s, after, 4), 2);
	for (int i = 0; i < 2; i++) {
		struct talker talker = { s, after[i] };

		wait_until(has_debugged, &talker, "each worker says more", 60000);
	}
	reload(s);
	wait_until(are_gone, after, "the old workers have left", 60000);
	workers_wait(s, 0, 2, 60000);
	cr_expect_eq(get_many(s->port, 20), 20);
	cr_assert_eq(server_workers(s, after, 4), 2);
	for (int i = 0; i < 2; i++)
		cr_expect_eq(log_count_both(s->supervisor, "\"level\":\"debug\"", format("\"pid\":%d,", (int)after[i])),
			0, "worker %d still says more", (int)after[i]);
	server_end(&s);
}

/* ---- deaths ---------------------------------------------------------------------------------------------------- */

struct deaths_wanted {
	const struct scoreboard *board;
	int count;
};

static bool are_written(void *arg)
{
	const struct deaths_wanted *wanted = arg;
	int count = 0;

	for (int i = 0; i < DEATHS_KEPT; i++)
		count += SCOREBOARD_GET(wanted->board->pool.deaths[i].at_us) != 0;
	return count == wanted->count;
}

Test(pool, deaths_are_written_down_with_their_cause)
{
	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=2000", "RENOVATIOND_HEARTBEAT_KILL_MS=5000", NULL });
	struct scoreboard *board = board_open(s);
	struct deaths_wanted wanted = { board, 1 };
	const struct scoreboard_death *death = board->pool.deaths;
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		cr_expect_eq(get_status(s->port, "/health/ready"), 200);
	cr_assert_eq(server_workers(s, pids, 4), 2);
	(void)kill(pids[0], SIGKILL);
	wait_until(are_written, &wanted, "the first death", 60000);
	cr_expect_eq(death[0].cause, DEATH_KILLED);
	cr_expect_eq(death[0].exit_code, 128 + SIGKILL);
	cr_expect_eq(death[0].pid, pids[0]);
	cr_expect_eq(death[0].generation, 1);
	cr_expect_eq(death[0].state, WORKER_READY);
	cr_expect(death[0].ready_ms > 0 && death[0].lived_ms >= death[0].ready_ms);
	workers_wait(s, pids[0], 2, 60000);
	(void)kill(pids[1], SIGSTOP);
	wanted.count = 2;
	wait_until(are_written, &wanted, "the second death", 60000);
	cr_expect_eq(death[1].cause, DEATH_HUNG);
	cr_expect(death[1].heartbeat_age_us >= 5000000, "%lld us", (long long)death[1].heartbeat_age_us);
	/* Counted a moment later than written down, and before it has a successor. */
	workers_wait(s, pids[1], 2, 60000);
	cr_expect_eq(SCOREBOARD_GET(board->pool.restarts[DEATH_KILLED]), 1);
	cr_expect_eq(SCOREBOARD_GET(board->pool.restarts[DEATH_HUNG]), 1);
	board_close(&board);
	server_end(&s);
}

Test(pool, workers_asked_to_leave_are_no_deaths)
{
	struct server *s = server_start(NULL);
	struct scoreboard *board = board_open(s);

	process_signal(s->supervisor, SIGHUP);
	log_wait_count(s->supervisor, "\"cause\":\"asked to leave\"", 2, 60000);
	for (int i = 0; i < DEATH_CAUSES; i++)
		cr_expect_eq(SCOREBOARD_GET(board->pool.restarts[i]), 0);
	cr_expect_eq(SCOREBOARD_GET(board->pool.deaths[0].at_us), 0);
	cr_expect_eq(SCOREBOARD_GET(board->pool.reloads[RELOAD_REPLACED]), 1);
	board_close(&board);
	server_end(&s);
}
