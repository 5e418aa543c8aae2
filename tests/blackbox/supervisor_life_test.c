/* supervisor_life_test.c: workers that die and hang, signals, and the stop in all its forms. The real programs; each test its own service. */
#include "config.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/stop.h"

TestSuite(supervisor_life, .timeout = 300);

#define WAIT_MS 60000

/* ---- deaths ---------------------------------------------------------------------------------------------------- */

#define REPLACED_MS 300 /* what is promised on a machine that does nothing else */
#define SLOWNESS    10  /* by which a machine may be slower */
#define TRIES       4   /* and there is the one that was busy just then */

/* Kills it and waits for its successor, whose number of life is `epoch`. */
static int replace_ms(struct server *s, pid_t worker, int epoch)
{
	int64_t before_ms = now_ms();

	(void)kill(worker, SIGKILL);
	free(process_wait_error(s->supervisor, format("\"epoch\":%d,\"ms\":", epoch), WAIT_MS));
	return (int)(now_ms() - before_ms);
}

Test(supervisor_life, a_killed_worker_is_replaced_at_once_and_its_turns_are_handed_over)
{
	struct server *s = server_start((const char *[]) { "WORKERS=4", NULL });
	int best_ms = INT_MAX, limit_ms = REPLACED_MS * SLOWNESS * (faults_in_sanitizer() ? 3 : 1);
	pid_t workers[8];
	char *line;

	cr_assert_eq(server_workers(s, workers, 8), TRIES);
	/* Each slot has one end that is answered at once. */
	for (int i = 0; i < TRIES && best_ms >= REPLACED_MS; i++) {
		int ms = replace_ms(s, workers[i], TRIES + i + 1);

		best_ms = ms < best_ms ? ms : best_ms;
	}
	cr_expect(best_ms < limit_ms, "READY after %d ms at best", best_ms);
	cr_expect_eq(log_count(s->supervisor, "worker restart delayed"), 0);
	line = process_wait_error(s->supervisor, "\"msg\":\"worker ended\"", WAIT_MS);
	cr_expect_not_null(strstr(line, "\"signal\":\"SIGKILL\""), "%s", line);
	cr_expect_not_null(strstr(line, "killed, not by us"), "%s", line);
	cr_expect((strstr(line, "\"oom_kills\":") != NULL) == (strstr(line, "perhaps out of memory") == NULL), "%s",
		line);
	free(line);
	free(process_wait_error(s->supervisor, "turns of a dead worker handed over", WAIT_MS));
	server_end(&s);
}

Test(supervisor_life, one_dead_worker_is_not_noticed_by_clients)
{
	struct server *s = server_start(NULL);
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	/* Not SIGSEGV, which sanitizers catch. */
	(void)kill(workers[1], SIGABRT);
	for (int i = 0; i < 50; i++)
		cr_expect_eq(get_status(s->port, "/health"), 200, "request %d", i);
	free(process_wait_error(s->supervisor, "\"signal\":\"SIGABRT\"", WAIT_MS));
	server_end(&s);
}

Test(supervisor_life, a_slot_that_keeps_dying_waits_longer_each_time)
{
	struct server *s = server_start((const char *[]) { "WORKERS=1", NULL });

	for (int i = 0; i < 3; i++) {
		pid_t worker;

		free(process_wait_error(s->supervisor, format("\"epoch\":%d,\"ms\":", i + 1), WAIT_MS));
		cr_assert_eq(server_workers(s, &worker, 1), 1);
		(void)kill(worker, SIGKILL);
	}
	free(process_wait_error(s->supervisor, "\"epoch\":4,\"ms\":", WAIT_MS));
	cr_expect_eq(log_count(s->supervisor, "worker restart delayed"), 2, "the first was answered at once");
	server_end(&s);
}

#define STORM_DEATHS   6    /* of three workers */
#define STORM_PAUSE_MS 5000 /* between starts */

struct storm {
	struct server *server;
	pid_t kept; /* the one that lives, so that the service goes on */
};

static int kill_others(const struct storm *storm)
{
	pid_t workers[8];
	int count = server_workers(storm->server, workers, 8), killed = 0;

	for (int i = 0; i < count; i++)
		if (workers[i] != storm->kept) {
			(void)kill(workers[i], SIGKILL);
			killed++;
		}
	return killed;
}

/* So many have ended, and nobody who began before that is left. */
static bool is_storm(void *arg)
{
	const struct storm *storm = arg;
	int deaths = log_count(storm->server->supervisor, "\"msg\":\"worker ended\"");

	return kill_others(storm) == 0 && deaths >= STORM_DEATHS;
}

Test(supervisor_life, a_storm_slows_the_restarts_and_leaves_the_healthy_alone)
{
	struct server *s = server_start((const char *[]) { "WORKERS=3", NULL });
	struct storm storm = { .server = s };
	int64_t before_ms;
	pid_t workers[8];
	int before, started, most;

	cr_assert_eq(server_workers(s, workers, 8), 3);
	storm.kept = workers[0];
	wait_until(is_storm, &storm, "six deaths", WAIT_MS);
	before_ms = now_ms();
	before = log_count(s->supervisor, "\"msg\":\"worker started\"");
	cr_expect_eq(get_status(s->port, "/health"), 200);
	free(process_wait_error(s->supervisor, "\"to\":\"degraded\"", WAIT_MS));
	/* Two slots wait, for half a second at most were it not for the storm. */
	pause_ms(2000);
	started = log_count(s->supervisor, "\"msg\":\"worker started\"") - before;
	most = 1 + (int)((now_ms() - before_ms) / STORM_PAUSE_MS);
	cr_expect_leq(started, most, "%d starts where one in five seconds makes %d", started, most);
	cr_expect_eq(get_status(s->port, "/health"), 200);
	cr_expect(pid_is_alive(storm.kept));
	server_end(&s);
}

Test(supervisor_life, a_worker_that_leaves_on_its_own_term_is_replaced)
{
	struct server *s = server_start(NULL);
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	(void)kill(workers[0], SIGTERM);
	free(process_wait_error(s->supervisor, "left unasked", WAIT_MS));
	free(process_wait_error(s->supervisor, "\"epoch\":3,\"ms\":", WAIT_MS));
	server_end(&s);
}

Test(supervisor_life, a_stopped_worker_is_reported_killed_and_replaced_while_the_other_serves)
{
	/* Short, but not so short that a worker is taken for hung because the machine is busy. */
	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=2000", "RENOVATIOND_HEARTBEAT_KILL_MS=6000", NULL });
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	(void)kill(workers[0], SIGSTOP);
	free(process_wait_error(s->supervisor, "\"process_state\":\"T\"", WAIT_MS));
	free(process_wait_error(s->supervisor, "hung, ended by us", WAIT_MS));
	free(process_wait_error(s->supervisor, "\"epoch\":3,\"ms\":", WAIT_MS));
	cr_expect_eq(get_status(s->port, "/health"), 200);
	cr_expect(pid_is_alive(workers[1]), "the other serves on");
	server_end(&s);
}

/* Three seconds are promised; an alarm of their own ends them after ten. */
#define ORPHANS_MS 20000

static bool are_gone(void *arg)
{
	const pid_t *workers = arg;

	return !pid_is_alive(workers[0]) && !pid_is_alive(workers[1]);
}

Test(supervisor_life, workers_leave_when_the_supervisor_is_killed)
{
	struct server *s = server_start(NULL);
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	process_signal(s->supervisor, SIGKILL);
	wait_until(are_gone, workers, "orphans leave", ORPHANS_MS);
	server_end(&s);
}

/* ---- other signals --------------------------------------------------------------------------------------------- */

struct beating {
	const struct scoreboard *board;
	int slots[2];
	int64_t since_us;
};

static bool have_beaten(void *arg)
{
	const struct beating *b = arg;

	return SCOREBOARD_GET(b->board->slots[b->slots[0]].heartbeat_us) > b->since_us &&
	       SCOREBOARD_GET(b->board->slots[b->slots[1]].heartbeat_us) > b->since_us;
}

Test(supervisor_life, signals_of_the_supervisor_do_nothing_to_workers)
{
	static const int signals[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGPIPE };
	struct server *s = server_start(NULL);
	struct scoreboard *board = board_open(s);
	struct beating beating = { .board = board };
	pid_t before[4], after[4];

	cr_assert_eq(server_workers(s, before, 4), 2);
	for (int i = 0; i < 2; i++)
		beating.slots[i] = board_slot(board, before[i]);
	for (size_t i = 0; i < COUNT_OF(signals); i++) {
		(void)kill(before[0], signals[i]);
		(void)kill(before[1], signals[i]);
	}
	beating.since_us = clock_monotonic_us();
	wait_until(have_beaten, &beating, "both live on", WAIT_MS);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(get_status(s->port, "/health"), 200);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1]);
	board_close(&board);
	server_end(&s);
}

/* ---- the stop -------------------------------------------------------------------------------------------------- */

#define STOP_TRIES 5
#define CALM_MS    3000 /* a stop with nothing to do, at most */
#define QUIESCE_MS 250  /* after which the listener does not wait for workers any more */

/* The number of a phase's milliseconds. */
static long phase_ms(struct json_object *report, const char *name)
{
	struct json_object *phases = json_object_at(report, "phases");

	for (size_t i = 0; i < json_object_array_length(phases); i++)
		if (strcmp(json_at(json_object_array_get_idx(phases, i), "name"), name) == 0)
			return json_number_at(json_object_array_get_idx(phases, i), "ms");
	return -1;
}

/* What holds for each clean stop. False when this machine was too busy for it to be a quick one. */
static bool is_calm_stop(struct json_object *report)
{
	static const char *const phases[] = { "http", "database", "gemini", "logs" };
	const char *text = json_object_to_json_string(report), *listener = stop_phase_state(report, "listener");

	cr_expect_str_eq(json_at(report, "result"), "clean", "%s", text);
	for (size_t i = 0; i < COUNT_OF(phases); i++)
		cr_expect_str_eq(stop_phase_state(report, phases[i]), "done", "%s", text);
	cr_expect_eq(json_number_at(report, "lost"), 0, "%s", text);
	cr_expect(strcmp(listener, "done") == 0 ||
			  (strcmp(listener, "timeout") == 0 && phase_ms(report, "listener") >= QUIESCE_MS),
		"%s", text);
	return strcmp(listener, "done") == 0 && json_number_at(report, "ms") < CALM_MS;
}

static bool refuses(void *arg)
{
	const int *port = arg;
	struct client c;
	bool is_connected;

	client_init(&c, *port);
	is_connected = client_connect(&c);
	client_fini(&c);
	return !is_connected;
}

static void stop_with(int signal)
{
	int port, reserved = reserve_port(&port);
	struct server *s = server_start((const char *[]) { format("PORT=%d", port), NULL });
	bool is_calm = false;

	for (int i = 0; i < STOP_TRIES && !is_calm; i++) {
		struct json_object *report;

		if (i > 0)
			server_start_again(s);
		process_signal(s->supervisor, signal);
		cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
		report = stop_report(s->supervisor);
		is_calm = is_calm_stop(report);
		cr_expect_eq(log_count(s->supervisor, "\"event\":\"shutdown_report\""), 1);
		cr_expect(refuses(&port));
		cr_expect(is_calm || i + 1 < STOP_TRIES, "never quick: %s", json_object_to_json_string(report));
		json_object_put(report);
	}
	close(reserved);
	server_end(&s);
}

Test(supervisor_life, term_stops_cleanly)
{
	stop_with(SIGTERM);
}

Test(supervisor_life, int_stops_cleanly)
{
	stop_with(SIGINT);
}

Test(supervisor_life, quit_stops_cleanly)
{
	stop_with(SIGQUIT);
}

/* One that neither finishes its request nor goes, with a worker already. */
static void hold_request(struct server *s, struct client *c)
{
	static const char half[] =
		"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";

	client_init(c, s->port);
	cr_assert(client_connect(c));
	cr_assert(client_send(c, half, sizeof half - 1));
	connections_wait(s, 1, WAIT_MS);
}

Test(supervisor_life, a_second_term_changes_nothing_and_new_clients_are_refused_meanwhile)
{
	int port, reserved = reserve_port(&port);
	struct server *s = server_start((const char *[]) {
		format("PORT=%d", port), "RENOVATIOND_SHUTDOWN_HTTP_MS=40000", "RENOVATIOND_SHUTDOWN_MS=60000", NULL });
	struct json_object *report;
	struct client c;

	hold_request(s, &c);
	process_signal(s->supervisor, SIGTERM);
	wait_until(refuses, &port, "new clients are refused", WAIT_MS);
	process_signal(s->supervisor, SIGTERM);
	free(process_wait_error(s->supervisor, "already stopping", WAIT_MS));
	/* It goes on as long as the client does. */
	cr_expect(process_is_running(s->supervisor));
	client_disconnect(&c);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	report = stop_report(s->supervisor);
	cr_expect_str_eq(stop_phase_state(report, "http"), "done", "%s", json_object_to_json_string(report));
	cr_expect_str_eq(json_at(report, "result"), "clean", "%s", json_object_to_json_string(report));
	client_fini(&c);
	json_object_put(report);
	close(reserved);
	server_end(&s);
}

Test(supervisor_life, a_client_that_does_not_go_is_cut_and_skips_no_other_phase)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=1500", NULL });
	struct json_object *report;
	struct client c;
	const char *text;

	hold_request(s, &c);
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	report = stop_report(s->supervisor);
	text = json_object_to_json_string(report);
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout", "%s", text);
	cr_expect_str_eq(stop_phase_state(report, "database"), "done", "a late resource skips nobody: %s", text);
	cr_expect_str_eq(json_at(report, "result"), "forced", "%s", text);
	cr_expect_eq(json_number_at(report, "workers_killed"), 0, "%s", text);
	cr_expect_geq(json_number_at(report, "ms"), 1400, "%s", text);
	client_fini(&c);
	json_object_put(report);
	server_end(&s);
}

#define LONG_STOP_MS 100000

Test(supervisor_life, a_second_int_is_fast)
{
	struct server *s = server_start(
		(const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=60000", "RENOVATIOND_SHUTDOWN_MS=100000", NULL });
	struct json_object *report;
	struct client c;
	const char *text;

	hold_request(s, &c);
	process_signal(s->supervisor, SIGTERM);
	free(process_wait_error(s->supervisor, "stop begins", WAIT_MS));
	process_signal(s->supervisor, SIGINT);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	report = stop_report(s->supervisor);
	text = json_object_to_json_string(report);
	cr_expect_lt(json_number_at(report, "ms"), LONG_STOP_MS / 4, "%s", text);
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout", "%s", text);
	/* A second and a half is all that a worker has, on a busy machine too. */
	if (json_number_at(report, "workers_killed") == 0)
		cr_expect_str_eq(stop_phase_state(report, "database"), "done", "%s", text);
	client_fini(&c);
	json_object_put(report);
	server_end(&s);
}

/* Between the kill and the alarm that ends the stop there is a tenth of it: so much the supervisor may stand still. */
Test(supervisor_life, a_worker_that_hangs_is_killed_and_the_exit_is_0_because_it_held_nothing)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_SHUTDOWN_MS=12000", NULL });
	struct json_object *report;
	pid_t workers[4];
	const char *text;

	cr_assert_eq(server_workers(s, workers, 4), 2);
	(void)kill(workers[0], SIGSTOP);
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	report = stop_report(s->supervisor);
	text = json_object_to_json_string(report);
	cr_expect_str_eq(json_at(report, "result"), "forced", "%s", text);
	cr_expect_eq(json_number_at(report, "workers_killed"), 1, "%s", text);
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout", "one worker never closed it: %s", text);
	cr_expect_leq(json_number_at(report, "ms"), 12000, "%s", text);
	json_object_put(report);
	server_end(&s);
}

/* Other tests lock things in other databases of the cluster. */
#define OF_TASKS                                                                                                       \
	"relation = 'renovationd.tasks'::regclass and database = (select oid from pg_database where datname = "        \
	"current_database())"

static bool is_locked(void *arg)
{
	const struct server *s = arg;

	return cluster_count(s->cluster, s->database,
		       "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and " OF_TASKS) >
	       0;
}

static bool is_waiting(void *arg)
{
	const struct server *s = arg;

	return cluster_count(s->cluster, s->database, "select count(*) from pg_locks where not granted and " OF_TASKS) >
	       0;
}

Test(supervisor_life, a_query_that_hangs_is_cancelled_and_holds_up_nobody)
{
	static const char pattern[] =
		"POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: 13\r\n\r\n{\"title\":\"x\"}";
	/* Queries are cancelled after four fifths of the database's time; the rest is for the answer. */
	struct server *s = server_start(
		(const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=500", "RENOVATIOND_SHUTDOWN_REALTIME_MS=500",
			"RENOVATIOND_SHUTDOWN_TURNS_MS=500", "RENOVATIOND_SHUTDOWN_DATABASE_MS=8000",
			"RENOVATIOND_SHUTDOWN_MS=30000", "RENOVATIOND_DB_WAIT_TIMEOUT_MS=600000", NULL });
	struct process *holder =
		process_start((const char *[]) { "psql", cluster_url(s->cluster, s->database), "-c",
				      "begin; lock table renovationd.tasks; select pg_sleep(250)", NULL },
			NULL);
	struct json_object *report;
	struct client c;
	char insert[512];

	server_owner(s, &c);
	wait_until(is_locked, s, "the table is locked", WAIT_MS);
	(void)snprintf(insert, sizeof insert, pattern, c.token);
	cr_assert(client_send(&c, insert, strlen(insert)));
	wait_until(is_waiting, s, "the insert waits", WAIT_MS);
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	report = stop_report(s->supervisor);
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout");
	cr_expect_str_eq(stop_phase_state(report, "database"), "done", "%s", json_object_to_json_string(report));
	cr_expect_str_eq(stop_phase_state(report, "gemini"), "done");
	cr_expect_eq(json_number_at(report, "workers_killed"), 0);
	json_object_put(report);
	client_fini(&c);
	/* It would not notice that its client is gone. */
	free(cluster_sql(s->cluster, s->database,
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query "
		"like "
		"'%pg_sleep(250)%' and pid <> pg_backend_pid()"));
	process_end(&holder);
	server_end(&s);
}

Test(supervisor_life, a_stop_while_workers_boot_is_clean)
{
	struct server *s = server_start(NULL);
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	(void)kill(workers[0], SIGKILL);
	free(process_wait_error(s->supervisor, "\"epoch\":3,\"generation\"", WAIT_MS));
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	server_end(&s);
}
