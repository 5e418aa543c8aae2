/* faults_reload_test.c: changes that go wrong or are interrupted: configurations bad in every way, a storm of HUPs, processes killed and stops asked for in the
 * middle of a reload and an upgrade. The real programs; each test its own service. Expected: refused is as if nothing had been asked, the old workers serve,
 * and a stop outranks everything. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/manager.h"
#include "tests/support/talk.h"

TestSuite(faults_reload, .timeout = 300);

#define WAIT_MS 60000 /* for what comes in a moment on a machine that has time */

static uint64_t reloads(const struct scoreboard *board, enum reload_result result)
{
	return SCOREBOARD_GET(board->pool.reloads[result]);
}

struct ending {
	const struct scoreboard *board;
	uint64_t ended; /* reloads before */
};

static uint64_t all_reloads(const struct scoreboard *board)
{
	uint64_t sum = 0;

	for (int i = RELOAD_NONE + 1; i < RELOAD_RESULTS; i++)
		sum += reloads(board, (enum reload_result)i);
	return sum;
}

static bool has_ended(void *arg)
{
	const struct ending *ending = arg;

	return all_reloads(ending->board) > ending->ended;
}

/* Asks for a reload and waits for its end. */
static enum reload_result reload(struct server *s, const struct scoreboard *board)
{
	struct ending ending = { board, all_reloads(board) };

	process_signal(s->supervisor, SIGHUP);
	server_wait(s, has_ended, &ending, "the reload ends", WAIT_MS);
	return (enum reload_result)SCOREBOARD_GET(board->pool.last_reload_result);
}

static bool has(const pid_t *pids, int count, pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* A checker and those that are about to go look like workers, too. */
static bool is_quiet(void *arg)
{
	struct server *s = arg;
	pid_t workers[16];

	return server_workers(s, workers, 16) == 2;
}

/* ---- bad configurations ---------------------------------------------------------------------------------------- */

static char config_path[300], good_text[1200];

static void write_text(const char *text)
{
	FILE *file;

	(void)unlink(config_path);
	(void)rmdir(config_path);
	file = fopen(config_path, "we");
	must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The good configuration and one more line. */
static void write_with(const char *line)
{
	write_text(format("%s%s\n", good_text, line));
}

/* A service that has its database, model and more from a file instead of the environment, which would win. */
static struct server *start_with_file(const char *const extra[])
{
	struct server *s = server_start(extra);
	size_t kept = 0;

	cr_expect_eq(server_stop(s), 0);
	process_end(&s->supervisor);
	(void)snprintf(config_path, sizeof config_path, "%s/renovationd.conf", test_folder());
	(void)snprintf(good_text, sizeof good_text, "database_url = \"%s\";\nworkers = 2;\nboot_timeout_ms = 60000;\n",
		cluster_url(s->cluster, s->database));
	write_text(good_text);
	for (size_t i = 0; s->environment[i] != NULL; i++)
		if (strncmp(s->environment[i], "DATABASE_URL=", 13) == 0 ||
			strncmp(s->environment[i], "WORKERS=", 8) == 0)
			free((char *)(uintptr_t)s->environment[i]);
		else
			s->environment[kept++] = s->environment[i];
	s->environment[kept] = NULL;
	s->supervisor = process_start(
		(const char *[]) { program_path("renovationd"), "-c", config_path, NULL }, s->environment);

	char *line = process_wait_output(s->supervisor, "listening on", 30000);

	s->port = (int)strtol(strrchr(line, ':') + 1, NULL, 10);
	free(line);
	return s;
}

struct bad {
	const char *what;
	const char *line;     /* added to the good configuration, or */
	void (*make)(void);   /* what else stands in its place */
	const char *expected; /* in the refusal */
};

static void try_one(struct server *s, struct scoreboard *board, struct manager *manager, const struct bad *bad)
{
	pid_t before[4], after[4];
	size_t said;

	cr_assert_eq(server_workers(s, before, 4), 2, "%s", bad->what);
	if (bad->line != NULL)
		write_with(bad->line);
	else
		bad->make();
	manager_read(manager);
	said = manager->length;
	cr_expect_eq(reload(s, board), RELOAD_REJECTED, "%s", bad->what);
	cr_expect_not_null(
		strstr(board->pool.last_reload_text, bad->expected), "%s: %s", bad->what, board->pool.last_reload_text);
	/* The service manager is told after the scoreboard, and waits for its last word: until then it has the service reloading. */
	said = manager_wait(manager, "RELOADING=1", said, WAIT_MS);
	(void)manager_wait(manager, "READY=1\nSTATUS=reload REJECTED: ", said, WAIT_MS);
	server_wait(s, is_quiet, s, "what was started for the reload is gone", WAIT_MS);
	cr_assert_eq(server_workers(s, after, 4), 2, "%s", bad->what);
	cr_expect(has(before, 2, after[0]) && has(before, 2, after[1]), "%s: the same workers", bad->what);
	cr_expect_eq(SCOREBOARD_GET(board->pool.generation), 1, "%s", bad->what);
	cr_expect_eq(get_many(s->port, 4), 4, "%s", bad->what);
}

static void try_bad(const struct bad *list, size_t count)
{
	struct manager manager;
	struct scoreboard *board;
	struct server *s;
	uint64_t tried = 0;

	manager_open(&manager, false);
	s = start_with_file((const char *[]) { manager.variable, NULL });
	board = board_open(s);
	/* Two reloads are two seconds apart: the short form tries every second one. */
	for (size_t i = 0; i < count; i += faults_are_whole() ? 1 : 2, tried++)
		try_one(s, board, &manager, &list[i]);
	cr_expect_eq(reloads(board, RELOAD_REJECTED), tried);
	/* None of it has left anything behind. */
	write_text(good_text);
	cr_expect_eq(reload(s, board), RELOAD_REPLACED, "%s", board->pool.last_reload_text);
	cr_expect_eq(get_many(s->port, 4), 4);
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&manager);
}

Test(faults_reload, configurations_that_are_wrong_in_themselves_are_rejected)
{
	static const struct bad list[] = {
		{ "syntax", "workers = ;", NULL, "" },
		{ "an unknown option", "wrokers = 3;", NULL, "wrokers" },
		{ "a wrong type", "http_headers_max = \"many\";", NULL, "http_headers_max" },
		{ "out of range", "http_headers_max = 4000;", NULL, "http_headers_max" },
		{ "an impossible combination", "heartbeat_unhealthy_ms = 9000;\nheartbeat_kill_ms = 3000;", NULL,
			"heartbeat" },
		{ "the same twice", "workers = 3;", NULL, ":4: duplicate" },
	};

	try_bad(list, COUNT_OF(list));
}

static void make_missing(void)
{
	(void)unlink(config_path);
}

static void make_folder(void)
{
	make_missing();
	must(mkdir(config_path, 0755) == 0);
}

/* Of ourselves: not even root reads it. */
static void make_loop(void)
{
	(void)rmdir(config_path);
	make_missing();
	must(symlink(config_path, config_path) == 0);
}

static void make_garbage(void)
{
	FILE *file;
	unsigned seed = 3;

	write_text("");
	file = fopen(config_path, "we");
	must(file != NULL);
	for (int i = 0; i < 4096; i++)
		(void)fputc((int)((seed = seed * 1103515245u + 12345u) >> 16) & 255, file);
	must(fclose(file) == 0);
}

static void make_huge(void)
{
	FILE *file;

	write_text("");
	file = fopen(config_path, "we");
	must(file != NULL);
	(void)fputs("workers = ", file);
	for (int i = 0; i < 10 * 1024 * 1024; i++)
		(void)fputc('(', file);
	must(fclose(file) == 0);
}

static void make_pipe(void)
{
	make_missing();
	must(mkfifo(config_path, 0600) == 0);
}

static void make_endless(void)
{
	make_missing();
	must(symlink("/dev/zero", config_path) == 0);
}

Test(faults_reload, configurations_that_cannot_be_read_are_rejected)
{
	static const struct bad list[] = {
		{ "a missing file", NULL, make_missing, "" },
		{ "a folder", NULL, make_folder, "" },
		{ "a link to itself", NULL, make_loop, "" },
		{ "garbage", NULL, make_garbage, "" },
		{ "ten megabytes of brackets", NULL, make_huge, "" },
		{ "a pipe", NULL, make_pipe, "not a regular file" },
		{ "a file without end", NULL, make_endless, "not a regular file" },
	};

	try_bad(list, COUNT_OF(list));
}

/* To read a secret from a pipe is fine (a shell makes such), as long as somebody writes to it. */
static void make_silent_secret(void)
{
	const char *path = test_path("secret");

	must(mkfifo(path, 0600) == 0);
	write_with(format("gemini_api_key_file = \"%s\";", path));
}

Test(faults_reload, a_secret_that_never_comes_ends_the_reading_after_ten_seconds)
{
	static const struct bad list[] = {
		{ "a pipe that nobody writes to", NULL, make_silent_secret, "took longer than 10 s" },
	};

	if (!faults_are_whole())
		cr_skip_test("whole form only: takes ten seconds");
	try_bad(list, COUNT_OF(list));
}

static void write_url(const char *url)
{
	write_text(format("workers = 2;\ndatabase_url = \"%s\";\n", url));
}

static void make_wrong_scheme(void)
{
	write_url("mysql://nobody@localhost/x");
}

/* Bound and never listened on: nobody else can have it meanwhile. */
static void make_closed_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	write_url(format("postgresql://x:y@127.0.0.1:%d/x", ntohs(address.sin_port)));
}

static void make_no_database(void)
{
	write_url(cluster_url(cluster_shared(), "nobody_made_this_one"));
}

static void make_wrong_password(void)
{
	write_url(cluster_tcp_url(cluster_shared(), "postgres", "wrong"));
}

Test(faults_reload, configurations_that_name_what_is_not_there_are_rejected)
{
	static const struct bad list[] = {
		{ "no database url of ours", NULL, make_wrong_scheme, "database" },
		{ "a closed port", NULL, make_closed_port, "database" },
		{ "no such database", NULL, make_no_database, "database" },
		{ "a wrong password", NULL, make_wrong_password, "database" },
		{ "no worker program", "worker_program = \"/nonexistent/worker\";", NULL, "/nonexistent/worker" },
		{ "a worker program that is none", "worker_program = \"/bin/false\";", NULL, "ended with" },
	};

	try_bad(list, COUNT_OF(list));
}

/* ---- load ------------------------------------------------------------------------------------------------------ */

struct load {
	int port;
	atomic_bool is_stopping;
	atomic_int answered, failed, last_failure; /* its status, 0 without an answer */
	pthread_t thread;
};

static void *ask_on(void *arg)
{
	struct load *load = arg;
	struct client c;

	client_init(&c, load->port);
	while (!atomic_load(&load->is_stopping)) {
		struct reply r = client_request(&c, "GET", "/health", NULL, NULL);

		(void)atomic_fetch_add(r.status == 200 ? &load->answered : &load->failed, 1);
		if (r.status != 200)
			atomic_store(&load->last_failure, r.status);
		if (r.status == 0)
			pause_ms(5);
		reply_free(&r);
	}
	client_fini(&c);
	return NULL;
}

static void load_start(struct load *load, int port)
{
	memset(load, 0, sizeof *load);
	load->port = port;
	must(pthread_create(&load->thread, NULL, ask_on, load) == 0);
}

static void load_stop(struct load *load)
{
	atomic_store(&load->is_stopping, true);
	(void)pthread_join(load->thread, NULL);
}

static void expect_none_failed(struct load *load)
{
	cr_expect_eq(atomic_load(&load->failed), 0, "%d of %d failed, the last with %d", atomic_load(&load->failed),
		atomic_load(&load->answered), atomic_load(&load->last_failure));
}

/* ---- a storm of HUPs ------------------------------------------------------------------------------------------- */

/* Most processes of the worker program that were there at once. */
static int send_hups(struct server *s, int count)
{
	pid_t workers[64];
	int most = 0;

	for (int i = 0; i < count; i++) {
		process_signal(s->supervisor, SIGHUP);
		pause_ms(10); /* so that each is a signal of its own */

		int there = server_workers(s, workers, 64);

		most = there > most ? there : most;
	}
	return most;
}

Test(faults_reload, a_hundred_hups_in_a_second_are_a_few_reloads_and_no_failed_request)
{
	/* Whoever drains has nothing but what is asked just now, and leaves with its answer. */
	struct server *s = server_start((const char *[]) { "RENOVATIOND_DRAIN_TIMEOUT_MS=20000", NULL });
	struct scoreboard *board = board_open(s);
	struct load load;
	int64_t since_ms = now_ms(), most_reloads;
	int most, hurried;

	load_start(&load, s->port);
	most = send_hups(s, 100);
	/* One that is asked for now ends after all that waited. */
	(void)reload(s, board);
	(void)reload(s, board);
	server_wait(s, is_quiet, s, "the old ones have left", WAIT_MS);
	load_stop(&load);
	/* Two seconds apart, however long a busy machine takes to send them all. */
	most_reloads = (now_ms() - since_ms) / 2000 + 2;
	cr_expect_leq((int64_t)all_reloads(board), most_reloads, "%d reloads", (int)all_reloads(board));
	hurried = log_count(s->supervisor, "\"msg\":\"draining worker hurried\"");
	cr_expect_leq(most, 2 * 4 + hurried,
		"at most a new generation, the one that serves, two that drain and those told to make haste: %d, %d of "
		"these",
		most, hurried);
	expect_none_failed(&load);
	cr_expect_eq(
		reloads(board, RELOAD_FAILED) + reloads(board, RELOAD_REJECTED), 0, "%s", board->pool.last_reload_text);
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- interrupted ----------------------------------------------------------------------------------------------- */

#define MARK "FAULTS_RELOAD_MARK"

/* A worker program that waits while a file is there: as checker, or as worker. */
static const char *hold(const char *what)
{
	return test_path(what);
}

static void set_hold(const char *what, bool is_set)
{
	if (is_set)
		(void)fclose(fopen(hold(what), "we"));
	else
		(void)unlink(hold(what));
}

static struct server *start_held(char mark[64])
{
	const char *script = worker_script(format("case \"$*\" in *--check*) held=%s/check;; *) held=%s/role;; esac\n"
						  "while [ -e $held ]; do sleep 0.02; done",
		test_folder(), test_folder()));

	(void)snprintf(mark, 64, MARK "=%d", (int)getpid());
	return server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", script),
		"RENOVATIOND_BOOT_TIMEOUT_MS=120000", "RENOVATIOND_DRAIN_TIMEOUT_MS=20000",
		"RENOVATIOND_GEMINI_BETWEEN_BYTES_TIMEOUT_MS=600000", mark, NULL });
}

struct held {
	struct server *server;
	pid_t pids[8];
	int count, wanted;
};

/* The shell has the script's name until it becomes the worker. */
static bool are_held(void *arg)
{
	struct held *held = arg;

	held->count = process_children(held->server->supervisor->pid, "worker.sh", held->pids, 8);
	return held->count >= held->wanted;
}

static bool nobody_is_left(void *arg)
{
	pid_t pids[8];

	return processes_marked(arg, pids, 8) == 0;
}

/* Brings the service into the middle of a change: where its checker runs, or where its new workers start. */
static struct held begin_change(struct server *s, int signal, const char *where)
{
	struct held held = { .server = s, .wanted = strcmp(where, "role") == 0 ? 2 : 1 };

	set_hold(where, true);
	process_signal(s->supervisor, signal);
	if (signal == SIGUSR2 && held.wanted == 1) /* the checker is a grandchild then */
		free(process_wait_error(s->supervisor, "\"msg\":\"upgrade begins\"", WAIT_MS));
	else
		server_wait(s, are_held, &held, where, WAIT_MS);
	return held;
}

static void expect_whole(struct server *s)
{
	workers_wait(s, 0, 2, WAIT_MS);
	cr_expect_eq(get_many(s->port, 10), 10);
}

Test(faults_reload, a_checker_killed_during_a_reload_rejects_it)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct scoreboard *board = board_open(s);
	struct ending ending = { board, all_reloads(board) };
	struct load load;
	struct held held;

	load_start(&load, s->port);
	held = begin_change(s, SIGHUP, "check");
	(void)kill(held.pids[0], SIGKILL);
	server_wait(s, has_ended, &ending, "the reload ends", WAIT_MS);
	cr_expect_eq(reloads(board, RELOAD_REJECTED), 1);
	cr_expect_not_null(strstr(board->pool.last_reload_text, "SIGKILL"), "%s", board->pool.last_reload_text);
	set_hold("check", false);
	expect_whole(s);
	load_stop(&load);
	expect_none_failed(&load);
	cr_expect_eq(SCOREBOARD_GET(board->pool.generation), 1);
	cr_expect_eq(reload(s, board), RELOAD_REPLACED, "the next one goes through");
	board_close(&board);
	server_end(&s);
}

Test(faults_reload, a_new_worker_killed_during_a_reload_ends_it_and_the_old_serve)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct scoreboard *board = board_open(s);
	struct ending ending = { board, all_reloads(board) };
	pid_t before[4];
	struct load load;
	struct held held;

	cr_assert_eq(server_workers(s, before, 4), 2);
	load_start(&load, s->port);
	held = begin_change(s, SIGHUP, "role");
	(void)kill(held.pids[0], SIGKILL);
	server_wait(s, has_ended, &ending, "the reload ends", WAIT_MS);
	cr_expect_eq(reloads(board, RELOAD_FAILED), 1);
	set_hold("role", false);
	expect_whole(s);
	load_stop(&load);
	expect_none_failed(&load);
	cr_expect(pid_is_alive(before[0]) && pid_is_alive(before[1]), "the old ones never left");
	cr_expect_eq(SCOREBOARD_GET(board->pool.generation), 1);
	cr_expect_eq(reload(s, board), RELOAD_REPLACED, "the next one goes through");
	board_close(&board);
	server_end(&s);
}

Test(faults_reload, an_old_worker_killed_during_a_reload_does_not_stop_it)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct scoreboard *board = board_open(s);
	struct ending ending = { board, all_reloads(board) };
	pid_t before[4];

	cr_assert_eq(server_workers(s, before, 4), 2);
	(void)begin_change(s, SIGHUP, "role");
	(void)kill(before[0], SIGKILL);
	log_wait_count(s->supervisor, "\"signal\":\"SIGKILL\"", 1, WAIT_MS);
	cr_expect_eq(get_many(s->port, 10), 10, "the other old one serves");
	set_hold("role", false);
	server_wait(s, has_ended, &ending, "the reload ends", WAIT_MS);
	cr_expect_eq(reloads(board, RELOAD_REPLACED), 1, "%s", board->pool.last_reload_text);
	server_wait(s, is_quiet, s, "the old ones have left", WAIT_MS);
	expect_whole(s);
	board_close(&board);
	server_end(&s);
}

/* Signal `second` comes in the middle of the change that `first` began. */
static void interrupt(int first, const char *where, int second, int expected)
{
	if (!faults_are_whole() && first == SIGHUP && second == SIGTERM)
		cr_skip_test("whole form only: the tests of reloads have it, too");

	char mark[64];
	struct server *s = start_held(mark);

	(void)begin_change(s, first, where);
	cr_expect_eq(get_many(s->port, 5), 5, "the old ones serve meanwhile");
	process_signal(s->supervisor, second);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), expected, "%s", where);
	if (second != SIGKILL)
		cr_expect_eq(log_count(s->supervisor, "\"event\":\"shutdown_report\""), 1);
	wait_until(nobody_is_left, mark, "nobody is left", WAIT_MS);
	set_hold(where, false);
	server_start_elsewhere(s);
	expect_whole(s);
	server_end(&s);
}

Test(faults_reload, a_term_while_a_reload_is_checked_stops_at_once)
{
	interrupt(SIGHUP, "check", SIGTERM, 0);
}

Test(faults_reload, a_term_while_new_workers_of_a_reload_start_stops_at_once)
{
	interrupt(SIGHUP, "role", SIGTERM, 0);
}

Test(faults_reload, a_supervisor_killed_while_a_reload_is_checked_leaves_nobody)
{
	interrupt(SIGHUP, "check", SIGKILL, 128 + SIGKILL);
}

Test(faults_reload, a_supervisor_killed_while_new_workers_of_a_reload_start_leaves_nobody)
{
	interrupt(SIGHUP, "role", SIGKILL, 128 + SIGKILL);
}

Test(faults_reload, a_term_while_an_upgrade_is_checked_stops_at_once)
{
	interrupt(SIGUSR2, "check", SIGTERM, 0);
}

Test(faults_reload, a_term_while_new_workers_of_an_upgrade_start_stops_at_once)
{
	interrupt(SIGUSR2, "role", SIGTERM, 0);
}

Test(faults_reload, a_supervisor_killed_while_an_upgrade_is_checked_leaves_nobody)
{
	interrupt(SIGUSR2, "check", SIGKILL, 128 + SIGKILL);
}

Test(faults_reload, a_supervisor_killed_while_new_workers_of_an_upgrade_start_leaves_nobody)
{
	interrupt(SIGUSR2, "role", SIGKILL, 128 + SIGKILL);
}

static bool has_upgrade_ended(void *arg)
{
	const struct scoreboard *board = arg;

	return SCOREBOARD_GET(board->pool.upgrades[0]) + SCOREBOARD_GET(board->pool.upgrades[1]) > 0;
}

Test(faults_reload, a_new_worker_killed_during_an_upgrade_takes_it_back_and_the_old_serve)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct scoreboard *board = board_open(s);
	pid_t before[4];
	struct load load;
	struct held held;

	cr_assert_eq(server_workers(s, before, 4), 2);
	load_start(&load, s->port);
	held = begin_change(s, SIGUSR2, "role");
	(void)kill(held.pids[0], SIGKILL);
	server_wait(s, has_upgrade_ended, board, "the upgrade ends", WAIT_MS);
	cr_expect_eq(SCOREBOARD_GET(board->pool.upgrades[0]), 1, "%s", board->pool.last_upgrade_text);
	set_hold("role", false);
	expect_whole(s);
	load_stop(&load);
	expect_none_failed(&load);
	cr_expect(pid_is_alive(before[0]) && pid_is_alive(before[1]), "the old ones never left");
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_reload, an_old_worker_killed_during_an_upgrade_does_not_stop_it)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct scoreboard *board = board_open(s);
	pid_t before[4];

	cr_assert_eq(server_workers(s, before, 4), 2);
	(void)begin_change(s, SIGUSR2, "role");
	(void)kill(before[0], SIGKILL);
	log_wait_count(s->supervisor, "\"signal\":\"SIGKILL\"", 1, WAIT_MS);
	cr_expect_eq(get_many(s->port, 10), 10, "the other old one serves");
	set_hold("role", false);
	server_wait(s, has_upgrade_ended, board, "the upgrade ends", WAIT_MS);
	cr_expect_eq(SCOREBOARD_GET(board->pool.upgrades[1]), 1, "%s", board->pool.last_upgrade_text);
	server_wait(s, is_quiet, s, "the old ones have left", WAIT_MS);
	expect_whole(s);
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_reload, an_old_worker_that_hangs_while_it_drains_is_ended_and_has_no_successor)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=1000",
		"RENOVATIOND_HEARTBEAT_KILL_MS=6000", "RENOVATIOND_DRAIN_TIMEOUT_MS=600000", NULL });
	struct scoreboard *board = board_open(s);
	struct client kept[8];
	pid_t before[4], after[8];

	cr_assert_eq(server_workers(s, before, 4), 2);
	/* Idle connections keep both old workers. */
	for (int i = 0; i < 8; i++) {
		struct reply r;

		client_init(&kept[i], s->port);
		r = client_request(&kept[i], "GET", "/health", NULL, NULL);
		cr_assert_eq(r.status, 200);
		reply_free(&r);
	}
	cr_expect_eq(reload(s, board), RELOAD_REPLACED);
	for (int i = 0; i < 2; i++)
		(void)kill(before[i], SIGSTOP);
	for (int i = 0; i < 8; i++)
		client_fini(&kept[i]);
	server_wait(s, is_quiet, s, "those that hang are gone", WAIT_MS);
	cr_assert_eq(server_workers(s, after, 8), 2);
	cr_expect_not(has(before, 2, after[0]) || has(before, 2, after[1]));
	expect_whole(s);
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_reload, a_fork_that_fails_refuses_reload_and_upgrade_in_words)
{
	if (faults_in_sanitizer())
		cr_skip_test("a sanitizer's library must come first, so that none can be put before libc");

	struct switches *switches = switches_open();
	struct server *s = server_start((const char *[]) { switches_preload(), switches_file(), NULL });
	struct scoreboard *board = board_open(s);

	atomic_store(&switches->fork_failures, 1);
	cr_expect_eq(reload(s, board), RELOAD_REJECTED);
	cr_expect_not_null(strstr(board->pool.last_reload_text, "Resource temporarily unavailable"), "%s",
		board->pool.last_reload_text);
	atomic_store(&switches->fork_failures, 1);
	process_signal(s->supervisor, SIGUSR2);
	log_wait_count(s->supervisor, "\"msg\":\"no upgrade\"", 1, WAIT_MS);
	cr_expect_eq(atomic_load(&switches->forks_failed), 2);
	expect_whole(s);
	cr_expect_eq(reload(s, board), RELOAD_REPLACED, "the next one goes through");
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- the worker that writes an answer -------------------------------------------------------------------------- */

static bool is_written_by_other(void *arg)
{
	struct {
		struct talk *talk;
		const char *turn;
		pid_t dead;
	} *writing = arg;
	pid_t writer = talk_writer(writing->talk, writing->turn);

	return writer != 0 && writer != writing->dead;
}

static void kill_writer_during(int signal)
{
	char mark[64];
	struct server *s = start_held(mark);
	struct json_object *answer;
	struct followed f;
	struct talk t;
	struct {
		struct talk *talk;
		const char *turn;
		pid_t dead;
	} writing = { .talk = &t };

	talk_init(&t, s);
	/* The model stops in the middle and says nothing more until another worker asks it to go on. */
	writing.turn = talk_ask(&t,
		"How long does screed dry? [sim:chunks=60][sim:delay=5ms][sim:fault=silence_middle,afterChunks=30]",
		"");
	talk_wait(&t, writing.turn, "running", WAIT_MS);
	(void)begin_change(s, signal, "role");
	writing.dead = talk_writer(&t, writing.turn);
	cr_assert_neq(writing.dead, 0);
	(void)kill(writing.dead, SIGKILL);
	server_wait(s, is_written_by_other, &writing, "another worker goes on with the answer", WAIT_MS);
	set_hold("role", false);
	f = talk_follow(&t, writing.turn, "", WAIT_MS);
	answer = talk_answer(&t, writing.turn);
	cr_expect_not(f.has_gap);
	cr_expect_str_eq(json_at(answer, "content"), f.text);
	cr_expect_str_eq(json_at(answer, "status"), "complete");
	json_object_put(answer);
	followed_free(&f);
	talk_fini(&t);
	server_wait(s, is_quiet, s, "the old ones have left", WAIT_MS);
	expect_whole(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_reload, the_writer_of_an_answer_killed_during_a_reload_has_a_successor)
{
	kill_writer_during(SIGHUP);
}

Test(faults_reload, the_writer_of_an_answer_killed_during_an_upgrade_has_a_successor)
{
	kill_writer_during(SIGUSR2);
}
