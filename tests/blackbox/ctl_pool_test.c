/* ctl_pool_test.c: renovationctl against a running pool: each command does what it says, says what it did, and leaves with the right code. The socket
 * itself is ctl_socket_test.c's part, the live page ctl_top_test.c's. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/server.h"

#define LONG_MS 90000 /* longer than renovationctl itself waits for a pool that changes its size */

static struct server *server;
static char *out, *err;

static void clean(void)
{
	server_end(&server);
	free(out);
	free(err);
}

TestSuite(ctl_pool, .fini = clean, .timeout = 300);

#define CTL(...) ctl((const char *[]) { __VA_ARGS__, NULL })

static int ctl(const char *const arguments[])
{
	free(out);
	free(err);
	return server_ctl(server, arguments, &out, &err, LONG_MS);
}

/* The document of `status --json`; put it. */
static struct json_object *status(void)
{
	struct json_object *document;

	cr_assert_eq(CTL("status", "--json"), EXIT_OK, "%s", err);
	document = json_tokener_parse(out);
	cr_assert_not_null(document, "%s", out);
	return document;
}

static int64_t number_at(const char *path)
{
	struct json_object *document = status();
	int64_t number = json_object_get_int64(json_object_at(document, path));

	json_object_put(document);
	return number;
}

/* What is not there is "null". */
static bool is_at(const char *path, const char *expected)
{
	struct json_object *document = status();
	const char *value = json_object_get_string(json_object_at(document, path));
	bool is_equal = strcmp(value != NULL ? value : "null", expected) == 0;

	json_object_put(document);
	return is_equal;
}

static void wait_for(const char *path, const char *value)
{
	int64_t give_up = now_ms() + LONG_MS;

	while (!is_at(path, value)) {
		cr_assert(now_ms() < give_up, "%s never became %s: %s", path, value, out);
		pause_ms(5);
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

/* A configuration file of this test's own, and the server with it. */
static const char *start_with_file(const char *text)
{
	const char *path = format("%s/ctl-%d.conf", test_folder(), (int)getpid());

	write_file(path, text);
	server = server_start((const char *[]) { format("RENOVATIOND_TEST_CONFIG=%s", path), NULL });
	return path;
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

Test(ctl_pool, status_in_json_is_what_the_kernel_says)
{
	pid_t pids[8];
	struct json_object *document, *workers;
	int count;

	server = server_start(NULL);
	document = status();
	count = server_workers(server, pids, 8);
	workers = json_object_at(document, "workers");
	cr_expect_str_eq(json_at(document, "state"), "running");
	cr_expect_str_eq(json_at(document, "version"), PACKAGE_VERSION);
	cr_expect_str_eq(json_at(document, "url"), format("http://127.0.0.1:%d", server->port));
	cr_expect_eq(json_object_get_int(json_object_at(document, "pid")), server->supervisor->pid);
	cr_expect_eq(json_object_get_int(json_object_at(document, "wanted")), 2);
	cr_expect_eq(json_object_get_int(json_object_at(document, "ready")), 2);
	cr_assert_eq((int)json_object_array_length(workers), count);
	for (int i = 0; i < count; i++) {
		struct json_object *worker = json_object_array_get_idx(workers, (size_t)i);
		int pid = json_object_get_int(json_object_at(worker, "pid")), found = 0;

		for (int j = 0; j < count; j++)
			found += pids[j] == pid;
		cr_expect_eq(found, 1, "no worker has pid %d", pid);
		cr_expect_str_eq(json_at(worker, "state"), "ready");
		cr_expect(json_object_is_type(json_object_at(worker, "db.open"), json_type_int));
		cr_expect_not(json_object_get_boolean(json_object_at(worker, "is_sick")));
	}
	json_object_put(document);
}

Test(ctl_pool, status_for_people_has_a_line_for_each_worker)
{
	struct client c;
	struct reply r;

	server = server_start(NULL);
	server_owner(server, &c);
	r = client_request(&c, "GET", "/api/sessions", NULL, NULL);
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	client_fini(&c);
	cr_assert_eq(CTL("status"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "running"), "%s", out);
	cr_expect_not_null(strstr(out, "2 of 2 ready"), "%s", out);
	cr_expect_not_null(strstr(out, "GET /api/sessions"), "%s", out);
	cr_expect_null(strchr(out, '\033'), "no colours where there is no terminal");
}

Test(ctl_pool, metrics_are_those_of_prometheus)
{
	server = server_start(NULL);
	cr_assert_eq(CTL("metrics"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "# TYPE renovationd_build_info gauge\n"), "%.500s", out);
	cr_expect_not_null(strstr(out, PACKAGE_VERSION));
}

Test(ctl_pool, openapi_needs_no_service_and_is_what_the_server_serves)
{
	struct client c;
	struct reply r;
	struct json_object *printed, *served;

	server = server_start(NULL);
	cr_assert_eq(process_run((const char *[]) { program_path("renovationctl"), "openapi", NULL }, NULL, &out, &err,
			     LONG_MS),
		EXIT_OK, "%s", err);
	client_init(&c, server->port);
	r = client_request(&c, "GET", "/openapi.json", NULL, NULL);
	served = reply_json(&r);
	printed = json_tokener_parse(out);
	cr_expect(json_object_equal(printed, served));
	json_object_put(printed);
	json_object_put(served);
	reply_free(&r);
	client_fini(&c);
}

/* ---- changing ------------------------------------------------------------------------------------------------ */

Test(ctl_pool, reload_replaces_the_workers_and_says_so)
{
	pid_t before[8], after[8];
	int64_t generation;

	server = server_start(NULL);
	generation = number_at("generation");
	(void)server_workers(server, before, 8);
	cr_assert_eq(CTL("reload", "--wait"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "serves"), "%s", out);
	cr_expect_gt(number_at("generation"), generation);
	wait_for("workers.2.pid", "null");
	(void)server_workers(server, after, 8);
	cr_expect(after[0] != before[0] && after[0] != before[1], "%d of %d and %d", (int)after[0], (int)before[0],
		(int)before[1]);
	cr_expect(is_at("reloads.last.result", "replaced"), "%s", out);
}

Test(ctl_pool, a_reload_lists_what_changed_by_what_became_of_it)
{
	const char *path = start_with_file("chat_max_steps = 5;\n");

	write_file(path, "chat_max_steps = 6;\nworker_age_max_s = 1000;\nchat_live_turns = 77;\n");
	cr_assert_eq(CTL("reload", "--wait"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "applied to the running workers: "), "%s", out);
	cr_expect_not_null(strstr(out, "chat_max_steps"), "%s", out);
	cr_expect_not_null(strstr(out, "needs a restart: chat_live_turns"), "%s", out);
}

Test(ctl_pool, a_rejected_reload_is_78_and_names_each_fault_with_its_place)
{
	const char *path = start_with_file("chat_max_steps = 5;\n");
	int64_t generation = number_at("generation");

	write_file(path, "chat_max_steps = 5000;\nno_such_option = 1;\n");
	cr_expect_eq(CTL("reload", "--wait"), EXIT_CONFIG_WRONG, "%s%s", out, err);
	cr_expect_not_null(strstr(err, ".conf:1"), "%s", err);
	cr_expect_not_null(strstr(err, ".conf:2"), "%s", err);
	cr_expect_not_null(strstr(err, "no_such_option"), "%s", err);
	cr_expect_eq(number_at("generation"), generation);
	cr_expect(is_at("reloads.last.result", "rejected"), "%s", out);
}

Test(ctl_pool, scale_changes_the_number_of_workers)
{
	server = server_start(NULL);
	cr_expect_eq(CTL("scale", "3", "--wait"), EXIT_OK, "%s", err);
	cr_expect_eq(number_at("ready"), 3);
	cr_expect_eq(CTL("scale", "1", "--wait"), EXIT_OK, "%s", err);
	cr_expect_eq(number_at("wanted"), 1);
	cr_expect_eq(CTL("scale", "0"), EXIT_USAGE_WRONG);
	cr_expect_eq(CTL("scale", "many"), EXIT_USAGE_WRONG);
}

Test(ctl_pool, restart_worker_replaces_that_one_alone)
{
	int64_t first, second;

	server = server_start((const char *[]) { "WORKERS=2", NULL });
	first = number_at("workers.0.pid");
	second = number_at("workers.1.pid");
	cr_expect_eq(CTL("restart-worker", "0", "--wait"), EXIT_OK, "%s", err);
	wait_for("workers.2.pid", "null");
	cr_expect_not(pid_is_alive((pid_t)first));
	cr_expect(pid_is_alive((pid_t)second));
	cr_expect_eq(number_at("ready"), 2);
	cr_expect_eq(CTL("restart-worker", "63"), EXIT_USAGE_WRONG);
	cr_expect_not_null(strstr(err, "no worker"), "%s", err);
}

static int health_status(const char *path)
{
	struct client c;
	struct reply r;
	int code;

	client_init(&c, server->port);
	r = client_request(&c, "GET", path, NULL, NULL);
	code = r.status;
	reply_free(&r);
	client_fini(&c);
	return code;
}

static bool is_ready_for_clients(void *arg)
{
	(void)arg;
	return health_status("/health/ready") == 200;
}

Test(ctl_pool, drain_sends_clients_away_and_resume_takes_them_back)
{
	server = server_start(NULL);
	cr_assert_eq(CTL("drain", "--wait"), EXIT_OK, "%s", err);
	wait_for("workers.1.pid", "null");
	cr_expect(is_at("state", "drained"), "%s", out);
	cr_expect_eq(health_status("/health/live"), 200);
	cr_expect_eq(health_status("/health/ready"), 503);
	cr_expect_eq(CTL("status"), EXIT_OK);
	cr_expect_not_null(strstr(out, "drained"), "%s", out);
	cr_assert_eq(CTL("resume", "--wait"), EXIT_OK, "%s", err);
	wait_for("state", "running");
	wait_for("workers.2.pid", "null");
	/* The database has 800 ms to answer, which may be too short on a slow machine. */
	wait_until(is_ready_for_clients, NULL, "the service says that it is ready", LONG_MS);
}

Test(ctl_pool, an_upgrade_keeps_the_pid_and_its_end_is_awaited)
{
	pid_t pid;

	server = server_start(NULL);
	pid = server->supervisor->pid;
	cr_assert_eq(CTL("upgrade", "--wait"), EXIT_OK, "%s%s", out, err);
	cr_expect_not_null(strstr(out, format("pid %d", (int)pid)), "%s", out);
	cr_expect_eq(number_at("pid"), pid);
	cr_expect_eq(number_at("upgrades.done"), 1);
	cr_expect(process_is_running(server->supervisor));
	cr_expect_eq(CTL("stop", "--wait"), EXIT_OK, "%s", err);
	cr_expect_eq(process_wait(server->supervisor, LONG_MS), 0);
	cr_expect_neq(access(server->control, F_OK), 0, "the socket made by the old program is removed by the new one");
}

Test(ctl_pool, logs_change_their_level_and_their_file)
{
	const char *path = format("%s/ctl-%d.log", test_folder(), (int)getpid());
	const char *aside = format("%s.1", path);
	struct stat status;

	server = server_start((const char *[]) { format("LOG_FILE=%s", path), NULL });
	cr_expect_eq(CTL("logs", "level", "debug"), EXIT_OK, "%s", err);
	cr_expect_eq(CTL("logs", "level", "loud"), EXIT_USAGE_WRONG);
	cr_assert_eq(rename(path, aside), 0, "%s", strerror(errno));
	cr_expect_eq(CTL("logs", "reopen"), EXIT_OK, "%s", err);
	cr_expect_eq(stat(path, &status), 0, "there is a new file");
}

Test(ctl_pool, who_changed_something_is_in_the_log)
{
	char *errors;

	server = server_start(NULL);
	cr_expect_eq(CTL("scale", "1"), EXIT_OK, "%s", err);
	free(process_wait_error(server->supervisor, "control command", LONG_MS));
	errors = process_errors(server->supervisor);
	cr_expect_not_null(strstr(errors, "\"command\":\"scale\",\"argument\":\"1\""), "%s", errors);
	cr_expect_not_null(strstr(errors, format("\"peer_uid\":%d", (int)getuid())), "%s", errors);
	free(errors);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

Test(ctl_pool, stop_with_wait_leaves_with_the_services_own_code)
{
	server = server_start(NULL);
	cr_expect_eq(CTL("stop", "--wait"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "stopped after"), "%s", out);
	cr_expect_eq(process_wait(server->supervisor, LONG_MS), EXIT_OK);
	cr_expect_eq(CTL("status"), EXIT_UNAVAILABLE);
	cr_expect_not_null(strstr(err, "is it running?"), "%s", err);
}

static void start_slow_to_stop(struct client *c)
{
	server =
		server_start((const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=100000", "RENOVATIOND_SHUTDOWN_MS=200000",
			"RENOVATIOND_HTTP_BODY_TIMEOUT_MS=200000", "RENOVATIOND_HTTP_BODY_RATE_MIN=0", NULL });
	server_owner(server, c);
	/* A request that does not arrive keeps a worker in its sockets phase. */
	cr_assert(client_hold_request(c, "/api/sessions"));
}

Test(ctl_pool, a_stop_that_ends_without_a_word_is_70)
{
	struct process *stop;
	struct client c;

	start_slow_to_stop(&c);
	stop = process_start(
		(const char *[]) { program_path("renovationctl"), "-s", server->control, "stop", "--wait", NULL },
		NULL);
	free(process_wait_output(stop, "stopping", LONG_MS));
	process_signal(server->supervisor, SIGKILL);
	cr_expect_eq(process_wait(stop, LONG_MS), EXIT_STORM, "%d", stop->exit_status);
	process_end(&stop);
	client_fini(&c);
}

Test(ctl_pool, it_answers_while_the_service_stops_and_refuses_changes)
{
	struct client c;

	start_slow_to_stop(&c);
	cr_assert_eq(CTL("stop"), EXIT_OK, "%s", err);
	cr_expect(is_at("state", "stopping"), "%s", out);
	cr_assert_eq(CTL("status"), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "phase "), "%s", out);
	cr_expect_eq(CTL("reload"), EXIT_ADDRESS_IN_USE, "%s%s", out, err);
	cr_expect_not_null(strstr(err, "stopping"), "%s", err);
	cr_expect_eq(CTL("stop", "--fast", "--wait"), EXIT_OK, "%s", err);
	(void)process_wait(server->supervisor, LONG_MS);
	client_fini(&c);
}

static bool shows_empty_pool(void)
{
	cr_assert_eq(CTL("status"), EXIT_OK, "%s", err);
	return strstr(out, "degraded") != NULL && strstr(out, "0 of 2 ready") != NULL && strstr(out, "died ") != NULL;
}

/* Its first workers are good, those that follow end at once: the pool has none, and answers. After 30 s of that it gives up: nothing here may be slow. */
Test(ctl_pool, it_answers_with_no_worker_at_all)
{
	const char *program = format("%s/worker-%d.sh", test_folder(), (int)getpid());
	const char *mark = format("%s.broken", program);
	pid_t pids[8];
	int count;

	write_file(program,
		format("#!/bin/sh\n[ ! -e %s ] || exit 1\nexec %s \"$@\"\n", mark, program_path("renovationd-worker")));
	cr_assert_eq(chmod(program, 0755), 0);
	server = server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", program), NULL });
	write_file(mark, "");
	count = server_workers(server, pids, 8);
	for (int i = 0; i < count; i++)
		(void)kill(pids[i], SIGKILL);
	for (int64_t give_up = now_ms() + LONG_MS; !shows_empty_pool(); pause_ms(5))
		cr_assert(now_ms() < give_up, "%s%s", out, err);
	cr_expect_gt(number_at("restarts.killed"), 0);
	cr_expect_eq(CTL("metrics"), EXIT_OK, "%s", err);
	cr_expect_eq(CTL("stop", "--wait"), EXIT_OK, "%s", err);
	(void)process_wait(server->supervisor, LONG_MS);
}
