/* reload_test.c: HUP: new workers before old ones go, live options without new workers, refusals that change nothing. The real programs; each test its own
 * service. Scaling, draining and the rest of the pool's changes are in pool_test.c. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"

TestSuite(reload, .timeout = 300);

#define DONE     "\"event\":\"reload\",\"result\":\"replaced\""
#define LIVE     "\"event\":\"reload\",\"result\":\"live\""
#define REJECTED "\"event\":\"reload\",\"result\":\"rejected\""
#define FAILED   "\"event\":\"reload\",\"result\":\"failed\""

/* ---- the pool as a set of processes ---------------------------------------------------------------------------- */

struct pool {
	struct server *server;
	pid_t pids[SLOTS_MAX];
	int count;
	int asked; /* requests while waiting */
};

static void pool_look(struct pool *p, struct server *s)
{
	memset(p, 0, sizeof *p);
	p->server = s;
	p->count = server_workers(s, p->pids, SLOTS_MAX);
}

static bool pool_has(const struct pool *p, pid_t pid)
{
	for (int i = 0; i < p->count; i++)
		if (p->pids[i] == pid)
			return true;
	return false;
}

static void expect_same(const struct pool *before)
{
	struct pool now;

	pool_look(&now, before->server);
	cr_expect_eq(now.count, before->count, "%d workers, not %d", now.count, before->count);
	for (int i = 0; i < now.count; i++)
		cr_expect(pool_has(before, now.pids[i]), "worker %d is another", (int)now.pids[i]);
}

/* None of those that were there is, and as many others are; a request in between never fails. */
static bool is_replaced(void *arg)
{
	struct pool *before = arg, now;

	cr_assert_eq(get_status(before->server->port, "/health"), 200, "request %d failed", before->asked);
	before->asked++;
	pool_look(&now, before->server);
	for (int i = 0; i < now.count; i++)
		if (pool_has(before, now.pids[i]))
			return false;
	return now.count == before->count;
}

static bool are_gone(void *arg)
{
	const struct pool *before = arg;

	return pids_are_gone(before->pids, before->count);
}

/* A file for -c that can be written anew. */
static const char *config(const char *text)
{
	const char *path = test_path("renovationd.conf");
	FILE *file = fopen(path, "we");

	must(file != NULL);
	(void)fprintf(file, "%s\n", text);
	must(fclose(file) == 0);
	must(chmod(path, 0644) == 0);
	return path;
}

static struct server *start_with(const char *text, const char *const more[])
{
	const char *extra[16] = { format("RENOVATIOND_TEST_CONFIG=%s", config(text)) };

	for (size_t i = 0; more != NULL && more[i] != NULL && i < 14; i++)
		extra[i + 1] = more[i];
	return server_start(extra);
}

static void reload(struct server *s, const char *text)
{
	(void)config(text);
	process_signal(s->supervisor, SIGHUP);
}

static void wait_log(struct server *s, const char *part)
{
	free(process_wait_error(s->supervisor, part, 60000));
}

/* ---- a new generation ------------------------------------------------------------------------------------------ */

Test(reload, hup_replaces_every_worker_while_requests_go_on)
{
	struct server *s = server_start(NULL);
	struct pool before;

	pool_look(&before, s);
	cr_assert_eq(before.count, 2);
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_replaced, &before, "all workers are others", 60000);
	wait_log(s, DONE);
	/* Gone is not yet reaped and told. */
	log_wait_count(s->supervisor, "\"cause\":\"asked to leave\"", 2, 60000);
	cr_expect_eq(log_count(s->supervisor, "\"msg\":\"worker ended\""), 2, "nobody was killed");
	server_end(&s);
}

Test(reload, an_option_of_workers_comes_in_with_new_ones)
{
	struct server *s = start_with("db_readers = 2;", (const char *[]) { "WORKERS", NULL });
	struct pool before;
	char *line;

	pool_look(&before, s);
	reload(s, "db_readers = 3; workers = 3; log_level = \"debug\"; pid_file = \"/nowhere/pid\";");
	line = process_wait_error(s->supervisor, DONE, 60000);
	cr_expect_not_null(strstr(line, "\"changed_workers\":\"workers, db_readers\""), "%s", line);
	cr_expect_not_null(strstr(line, "\"changed_live\":\"log_level\""), "%s", line);
	cr_expect_not_null(strstr(line, "\"needs_restart\":\"pid_file\""), "%s", line);
	free(line);
	workers_wait(s, before.pids[0], 3, 60000);
	server_end(&s);
}

static bool runs_file(pid_t worker, const char *path)
{
	struct stat file, image;

	return stat(path, &file) == 0 && stat(format("/proc/%d/exe", (int)worker), &image) == 0 &&
	       file.st_ino == image.st_ino && file.st_dev == image.st_dev;
}

Test(reload, a_worker_program_changed_on_disk_comes_in)
{
	const char *program = test_path("worker-copy"), *fresh = test_path("worker-fresh");
	const char *copy[] = { "cp", program_path("renovationd-worker"), program, NULL };
	struct server *s;
	struct pool now;

	cr_assert_eq(process_run(copy, NULL, NULL, NULL, 60000), 0);
	s = server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", program), NULL });
	copy[2] = fresh;
	cr_assert_eq(process_run(copy, NULL, NULL, NULL, 60000), 0);
	cr_assert_eq(rename(fresh, program), 0);
	pool_look(&now, s);
	cr_expect_not(runs_file(now.pids[0], program));
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_replaced, &now, "all workers are others", 60000);
	pool_look(&now, s);
	cr_expect(runs_file(now.pids[0], program));
	cr_expect(runs_file(now.pids[1], program));
	server_end(&s);
}

Test(reload, waves_follow_each_other_when_surge_is_small)
{
	struct server *s = server_start((const char *[]) { "WORKERS=3", "RENOVATIOND_SURGE=1", NULL });
	struct pool before;
	char *all;

	pool_look(&before, s);
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_replaced, &before, "all workers are others", 60000);
	all = process_errors(s->supervisor);

	const char *first_leaves = strstr(all, "worker told to leave"), *last_starts = strstr(all, "\"epoch\":6,");

	cr_expect(first_leaves != NULL && last_starts != NULL && first_leaves < last_starts, "%s", all);
	free(all);
	server_end(&s);
}

/* ---- live options ---------------------------------------------------------------------------------------------- */

static int post_status(struct server *s, size_t length)
{
	struct client c;
	struct reply r;
	char *body = must_alloc(length + 32);
	int status, used = snprintf(body, 32, "{\"title\":\"");

	server_owner(s, &c);
	memset(body + used, 'x', length);
	(void)snprintf(body + (size_t)used + length, 8, "\"}");
	r = client_request(&c, "POST", "/api/sessions", NULL, body);
	status = r.status;
	reply_free(&r);
	client_fini(&c);
	free(body);
	return status;
}

static bool is_too_large(void *arg)
{
	return post_status(arg, 3000) == 413;
}

Test(reload, live_options_take_effect_in_the_same_processes)
{
	struct server *s = start_with("http_body_bytes = 100000;", NULL);
	struct pool before;
	char *line;

	pool_look(&before, s);
	cr_expect_neq(post_status(s, 3000), 413);
	reload(s, "http_body_bytes = 2000;");
	line = process_wait_error(s->supervisor, LIVE, 60000);
	cr_expect_not_null(strstr(line, "\"changed_live\":\"http_body_bytes\""), "%s", line);
	free(line);
	wait_until(is_too_large, s, "the new limit holds", 60000);
	expect_same(&before);
	/* Who is started later has them too. */
	(void)kill(before.pids[0], SIGKILL);
	(void)kill(before.pids[1], SIGKILL);
	wait_until(are_gone, &before, "those of before are dead", 60000);
	workers_wait(s, before.pids[0], 2, 60000);
	cr_expect_eq(post_status(s, 3000), 413);
	server_end(&s);
}

Test(reload, what_needs_a_restart_is_listed_and_left_alone)
{
	struct server *s = start_with("chat_live_turns = 64;", NULL);
	char *line;

	reload(s, "chat_live_turns = 128; surge = 1;");
	line = process_wait_error(s->supervisor, LIVE, 60000);
	cr_expect_not_null(strstr(line, "\"needs_restart\":\"chat_live_turns\""), "%s", line);
	free(line);
	/* It stays different, and stays listed. */
	reload(s, "chat_live_turns = 128; surge = 2;");
	log_wait_count(s->supervisor, LIVE, 2, 60000);
	cr_expect_eq(log_count(s->supervisor, "\"needs_restart\":\"chat_live_turns\""), 2);
	server_end(&s);
}

Test(reload, every_accepted_reload_takes_back_the_size_set_by_hand_and_says_so)
{
	struct server *s = start_with("workers = 2; surge = 1;", (const char *[]) { "WORKERS", NULL });
	char *line;

	process_signal(s->supervisor, SIGTTIN);
	workers_wait(s, 0, 3, 60000);
	reload(s, "workers = 2; surge = 2;");
	line = process_wait_error(s->supervisor, LIVE, 60000);
	cr_expect_not_null(strstr(line, "back from 3 workers, set by hand, to 2; "), "%s", line);
	free(line);
	workers_wait(s, 0, 2, 60000);
	/* A refused one takes nothing back. */
	process_signal(s->supervisor, SIGTTOU);
	workers_wait(s, 0, 1, 60000);
	reload(s, "workers = 2; surge = -1;");
	wait_log(s, REJECTED);
	workers_wait(s, 0, 1, 60000);
	reload(s, "workers = 2; surge = 3;");
	wait_log(s, "back from 1 workers, set by hand, to 2; ");
	workers_wait(s, 0, 2, 60000);
	process_signal(s->supervisor, SIGTTIN);
	workers_wait(s, 0, 3, 60000);
	process_signal(s->supervisor, SIGHUP);
	line = process_wait_error(s->supervisor, DONE, 60000);
	cr_expect_not_null(strstr(line, "back from 3 workers, set by hand, to 2; "), "%s", line);
	free(line);
	workers_wait(s, 0, 2, 60000);
	server_end(&s);
}

/* ---- refused --------------------------------------------------------------------------------------------------- */

struct bad {
	const char *text;  /* of the file */
	const char *words; /* in the line that refuses it */
};

/* A port that somebody else listens on. */
static int taken_port(int *fd_out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;

	*fd_out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(*fd_out, (struct sockaddr *)&address, sizeof address) == 0 && listen(*fd_out, 1) == 0);
	must(getsockname(*fd_out, (struct sockaddr *)&address, &length) == 0);
	return ntohs(address.sin_port);
}

Test(reload, every_kind_of_bad_configuration_is_refused_and_changes_nothing)
{
	int other = -1, port = free_port();
	char taken[32];
	const char *good = format("port = %d; http_body_bytes = 5000;", port);
	const struct bad bads[] = {
		{ "log_level = \"info\"\nworkers = ;", "syntax error" },
		{ "wokers = 3;", "did you mean workers?" },
		{ "workers = 9999;", "a whole number from 0 to 48" },
		{ "workers = [1, 2];", "one value was expected" },
		{ "log_level = \"loud\";", "debug, info, warn, error or fatal" },
		{ "heartbeat_unhealthy_ms = 20000;", "is not before the end" },
		{ "shutdown_ms = 1000;", "come one after the other" },
		/* No question for a name server, which may take its time. */
		{ "host = \"no..such..host\";", "cannot resolve" },
		{ "worker_program = \"/nowhere/worker\";", "/nowhere/worker" },
		/* Comes after the listener: the port stays what it is, whoever else has the default one. */
		{ format("port = %d; worker_program = \"/bin/true\";", port),
			"renovationd-worker --check ended with 0 and no report" },
		{ "database_url_file = \"/nowhere/url\";", "cannot read /nowhere/url" },
		{ taken, "in use" },
	};
	struct server *s = start_with(good, (const char *[]) { "PORT", "HOST", NULL });
	struct scoreboard *board = board_open(s);
	struct pool before;

	(void)snprintf(taken, sizeof taken, "port = %d;", taken_port(&other));
	pool_look(&before, s);
	for (size_t i = 0; i < COUNT_OF(bads); i++) {
		int before_it = log_count_both(s->supervisor, "change refused", bads[i].words);

		reload(s, bads[i].text);
		log_wait_count(s->supervisor, REJECTED, (int)i + 1, 60000);
		cr_expect_eq(log_count_both(s->supervisor, "change refused", bads[i].words), before_it + 1, "%s: %s",
			bads[i].text, board->pool.last_reload_text);
		cr_expect_eq(SCOREBOARD_GET(board->pool.reloads[RELOAD_REJECTED]), i + 1);
		cr_expect_eq(SCOREBOARD_GET(board->pool.generation), 1);
		cr_expect_eq(get_status(s->port, "/health/ready"), 200);
	}
	expect_same(&before);
	/* The values are the old ones too. */
	cr_expect_eq(post_status(s, 9000), 413);
	cr_expect_neq(post_status(s, 3000), 413);
	board_close(&board);
	close(other);
	server_end(&s);
}

Test(reload, a_file_that_cannot_be_read_is_refused)
{
	struct server *s = start_with("", NULL);
	struct pool before;

	pool_look(&before, s);
	cr_assert_eq(unlink(test_path("renovationd.conf")), 0);
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, REJECTED);
	cr_assert_eq(mkdir(test_path("renovationd.conf"), 0755), 0);
	process_signal(s->supervisor, SIGHUP);
	log_wait_count(s->supervisor, REJECTED, 2, 60000);
	expect_same(&before);
	cr_assert_eq(rmdir(test_path("renovationd.conf")), 0);
	server_end(&s);
}

Test(reload, a_database_that_is_away_refuses_the_reload_and_nothing_else)
{
	struct cluster *cluster = cluster_shared();
	const char *database = cluster_new_database(cluster);
	const char *good = must_strdup(format("database_url = \"%s\";", cluster_url(cluster, database)));
	struct server *s = start_with(good, (const char *[]) { "DATABASE_URL=", NULL });
	struct pool before;

	pool_look(&before, s);
	reload(s, format("database_url = \"%s\";", cluster_url(cluster, "no_such_database")));
	wait_log(s, REJECTED);
	wait_log(s, "no_such_database");
	expect_same(&before);
	cr_expect_eq(get_many(s->port, 10), 10);
	reload(s, good);
	wait_until(is_replaced, &before, "all workers are others", 60000);
	server_end(&s);
	free((char *)(uintptr_t)good);
}

Test(reload, a_parser_that_eats_all_memory_is_refused_and_ends_alone)
{
	struct server *s;
	struct pool before;

	/* A sanitizer needs address space without bounds. */
	if (faults_in_sanitizer())
		cr_skip_test("no bound of memory under a sanitizer");
	s = start_with("", NULL);
	pool_look(&before, s);
	reload(s, "@include \"/dev/zero\"");
	wait_log(s, REJECTED);
	expect_same(&before);
	cr_expect_eq(get_many(s->port, 10), 10);
	server_end(&s);
}

/* ---- a new generation that does not come ----------------------------------------------------------------------- */

#define UNLESS_CHECK "case \"$1\" in --check*) ;; *) if [ -e %s ]; then %s; fi;; esac"

/* The service with an empty configuration and a worker program that does `what` once the file "broken" is there. */
static struct server *start_breakable(const char *what, const char *const more[])
{
	const char *script = worker_script(format(UNLESS_CHECK, test_path("broken"), what));
	const char *extra[15] = { format("RENOVATIOND_WORKER_PROGRAM=%s", script) };

	for (size_t i = 0; more != NULL && more[i] != NULL && i < 13; i++)
		extra[i + 1] = more[i];
	return start_with("", extra);
}

static void break_workers(void)
{
	FILE *file = fopen(test_path("broken"), "we");

	must(file != NULL && fclose(file) == 0);
}

Test(reload, a_new_generation_that_dies_leaves_the_old_one_serving)
{
	struct server *s = start_breakable("exit 3", NULL);
	struct pool before;

	pool_look(&before, s);
	break_workers();
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, FAILED);
	wait_log(s, "exit code 3");
	cr_expect_eq(get_many(s->port, 10), 10);
	expect_same(&before);
	cr_expect_eq(log_count(s->supervisor, "\"to\":\"degraded\""), 0, "that was no storm");
	(void)unlink(test_path("broken"));
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_replaced, &before, "all workers are others", 60000);
	server_end(&s);
}

static bool are_only_old(void *arg)
{
	struct pool *before = arg, now;

	pool_look(&now, before->server);
	return now.count == before->count &&
	       process_children(before->server->supervisor->pid, "sleep", now.pids, 8) == 0;
}

Test(reload, a_new_generation_that_hangs_is_ended_at_boot_timeout)
{
	struct server *s = start_breakable("exec sleep 300", NULL);
	struct pool before;

	pool_look(&before, s);
	break_workers();
	/* The new ones have as long as their own configuration says; those that are to get ready have the usual time. */
	reload(s, "boot_timeout_ms = 1500; db_readers = 3;");
	wait_log(s, FAILED);
	wait_log(s, "not ready within boot_timeout_ms (1500 ms)");
	wait_until(are_only_old, &before, "the new ones are gone", 60000);
	expect_same(&before);
	server_end(&s);
}

/* Three workers, all of the first generation: whoever was of the second has left. */
static bool is_first_back(void *arg)
{
	const struct scoreboard *board = arg;
	int count = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		if (SCOREBOARD_GET(board->slots[i].pid) == 0)
			continue;
		if (SCOREBOARD_GET(board->slots[i].generation) != 1)
			return false;
		count += SCOREBOARD_GET(board->slots[i].state) == WORKER_READY;
	}
	return count == 3;
}

Test(reload, a_later_wave_that_fails_brings_workers_of_before_back)
{
	/* The third new worker fails: two of three are replaced by then. */
	const char *fail =
		format("echo x >> %s; test $(wc -l < %s) -eq 3 && exit 3", test_path("starts"), test_path("starts"));
	struct server *s = start_breakable(fail, (const char *[]) { "WORKERS=3", "RENOVATIOND_SURGE=1", NULL });
	struct scoreboard *board = board_open(s);

	break_workers();
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, FAILED);
	wait_log(s, "workers of before come back");
	wait_until(is_first_back, board, "workers of before", 60000);
	cr_expect_eq(get_many(s->port, 10), 10);
	cr_expect_eq(SCOREBOARD_GET(board->pool.generation), 1);
	board_close(&board);
	(void)unlink(test_path("broken"));
	server_end(&s);
}

/* ---- many reloads ---------------------------------------------------------------------------------------------- */

static bool is_replaceable(void *arg)
{
	/* Refused while a change is under way or waits. */
	for (int slot = 0; slot < 8; slot++)
		if (server_ctl(arg, (const char *[]) { "restart-worker", format("%d", slot), NULL }, NULL, NULL,
			    60000) == 0)
			return true;
	return false;
}

static int count_begun(struct server *s)
{
	return log_count_both(s->supervisor, "change begins", "\"event\":\"reload\"");
}

Test(reload, a_hundred_hups_are_a_few_reloads)
{
	struct server *s = server_start(NULL);
	int64_t first_ms = now_ms();
	int begun, all;

	/* The others come while the first is under way, or later. */
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, "change begins");
	for (int i = 1; i < 100; i++)
		process_signal(s->supervisor, SIGHUP);
	/* Whoever is answered now finds them all taken: one more may wait, whatever is under way. */
	cr_expect_eq(server_ctl(s, (const char *[]) { "status", NULL }, NULL, NULL, 60000), 0);
	begun = count_begun(s);
	log_wait_count(s->supervisor, DONE, 2, 60000);
	wait_until(is_replaceable, s, "no reload waits any more", 60000);
	workers_wait(s, 0, 2, 60000);
	all = count_begun(s);
	cr_expect(all <= begun + 1, "%d reloads, of these %d before the last HUP was taken", all, begun);
	cr_expect((all - 1) * 2000 <= now_ms() - first_ms, "%d reloads in %d ms", all, (int)(now_ms() - first_ms));
	cr_expect_eq(log_count(s->supervisor, DONE), all);
	cr_expect_eq(get_many(s->port, 10), 10);
	server_end(&s);
}

/* A connection to one of the generation that serves, whose workers these are. */
static void hold_newest(struct server *s, struct client *held, struct pool *serving)
{
	struct reply r;

	pool_look(serving, s);
	client_init(held, s->port);
	r = client_request(held, "GET", "/health", NULL, NULL);
	cr_expect_eq(r.status, 200);
	cr_expect_not(r.is_closed, "%s", r.head);
	reply_free(&r);
}

Test(reload, a_third_generation_that_drains_forces_the_oldest_out)
{
	/* None leaves by itself while this lasts. */
	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_DRAIN_TIMEOUT_MS=600000", "RENOVATIOND_HTTP_IDLE_TIMEOUT_MS=600000", NULL });
	struct pool serving;
	struct client held[3];

	for (int i = 0; i < 3; i++) {
		/* Idle connections are what a drain waits for. */
		hold_newest(s, &held[i], &serving);
		process_signal(s->supervisor, SIGHUP);
		log_wait_count(s->supervisor, DONE, i + 1, 60000);
		/* New connections go to the newest generation only. */
		workers_wait_leaving(s, serving.pids, serving.count);
	}
	wait_log(s, "a third generation drains");
	log_wait_count(s->supervisor, "\"generation\":1,\"cause\":\"asked to leave\"", 2, 60000);
	cr_expect_eq(get_many(s->port, 10), 10);
	for (int i = 0; i < 3; i++)
		client_fini(&held[i]);
	server_end(&s);
}

Test(reload, a_draining_worker_that_is_killed_has_no_successor_and_its_turns_are_handed_over)
{
	struct server *s = server_start((const char *[]) { "WORKERS=1", "RENOVATIOND_DRAIN_TIMEOUT_MS=600000", NULL });
	struct client held;
	struct pool before, now;
	struct reply r;

	pool_look(&before, s);
	client_init(&held, s->port);
	r = client_request(&held, "GET", "/health", NULL, NULL);
	reply_free(&r);
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, DONE);
	cr_assert(pid_is_alive(before.pids[0]), "it waits for the idle connection");
	(void)kill(before.pids[0], SIGKILL);
	wait_log(s, "turns of a dead worker handed over");
	pool_look(&now, s);
	cr_expect_eq(now.count, 1);
	cr_expect_eq(log_count(s->supervisor, "worker started"), 2);
	client_fini(&held);
	server_end(&s);
}

/* ---- the address ----------------------------------------------------------------------------------------------- */

static bool is_open(int port)
{
	struct client c;
	bool is_connected;

	client_init(&c, port);
	is_connected = client_connect(&c);
	client_fini(&c);
	return is_connected;
}

struct ports {
	int before, after;
};

/* There is no moment at which neither answers. */
static bool has_moved(void *arg)
{
	const struct ports *ports = arg;
	bool is_old_open = is_open(ports->before);

	cr_assert(is_old_open || is_open(ports->after), "neither port is open");
	return !is_old_open && get_status(ports->after, "/health/ready") == 200;
}

Test(reload, another_port_is_open_before_the_old_one_is_closed)
{
	struct ports ports = { free_port(), free_port() };
	struct server *s = start_with(format("port = %d;", ports.before), (const char *[]) { "PORT", NULL });
	struct client kept;
	struct reply r;

	cr_assert_eq(s->port, ports.before);
	client_init(&kept, ports.before);
	r = client_request(&kept, "GET", "/health", NULL, NULL);
	reply_free(&r);
	reload(s, format("port = %d;", ports.after));
	wait_until(has_moved, &ports, "the service has moved", 60000);
	/* A connection made at the old address is served on. */
	r = client_request(&kept, "GET", "/health", NULL, NULL);
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	client_fini(&kept);
	s->port = ports.after;
	server_end(&s);
}

/* ---- the service manager --------------------------------------------------------------------------------------- */

struct words {
	int fd;
	char *all; /* heard so far */
	const char *wanted;
};

static bool was_said(void *arg)
{
	struct words *words = arg;
	char *more = notify_read(words->fd);
	size_t before = strlen(words->all);

	words->all = must_realloc(words->all, before + strlen(more) + 1);
	memcpy(words->all + before, more, strlen(more) + 1);
	free(more);
	return strstr(words->all, words->wanted) != NULL;
}

static void wait_words(struct words *words, const char *wanted)
{
	words->wanted = wanted;
	wait_until(was_said, words, wanted, 60000);
}

Test(reload, the_service_manager_hears_of_each_step)
{
	const char *path = test_path("notify.sock");
	struct words words = { notify_listen(path), must_strdup(""), NULL };
	struct server *s = start_with("", (const char *[]) { format("NOTIFY_SOCKET=%s", path), NULL });

	wait_words(&words, "READY=1");
	words.all[0] = '\0';
	process_signal(s->supervisor, SIGHUP);
	wait_words(&words, "READY=1");
	cr_expect_not_null(strstr(words.all, "RELOADING=1\nMONOTONIC_USEC="), "%s", words.all);
	words.all[0] = '\0';
	reload(s, "workers = \"many\";");
	wait_words(&words, "READY=1");
	wait_words(&words, "STATUS=reload REJECTED: ");
	cr_expect_not_null(strstr(words.all, "renovationd.conf:1"), "%s", words.all);
	cr_expect_not_null(strstr(words.all, "serving config gen 2"), "%s", words.all);
	free(words.all);
	close(words.fd);
	server_end(&s);
}

/* ---- a stop meanwhile ------------------------------------------------------------------------------------------ */

struct sleepers {
	struct server *server;
	int wanted;
	pid_t pids[8];
	int count;
};

static bool are_sleeping(void *arg)
{
	struct sleepers *sleepers = arg;

	sleepers->count = process_children(sleepers->server->supervisor->pid, "sleep", sleepers->pids, 8);
	return sleepers->count == sleepers->wanted;
}

static bool are_ended(void *arg)
{
	const struct sleepers *sleepers = arg;

	return pids_are_gone(sleepers->pids, sleepers->count);
}

/* In time: else it would be another exit code. */
static void expect_stop(struct server *s, struct sleepers *sleepers)
{
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, 60000), 0);
	wait_until(are_ended, sleepers, "nothing that it started outlives it", 60000);
	free(process_wait_error(s->supervisor, "\"result\":\"overtaken\"", 60000));
}

Test(reload, term_while_new_workers_start_stops_them_too)
{
	struct server *s =
		start_breakable("exec sleep 300", (const char *[]) { "RENOVATIOND_BOOT_TIMEOUT_MS=600000", NULL });
	struct sleepers sleepers = { .server = s, .wanted = 2 };

	break_workers();
	process_signal(s->supervisor, SIGHUP);
	wait_until(are_sleeping, &sleepers, "new workers are on their way", 60000);
	/* They do not listen to us, and are ended with the rest. */
	expect_stop(s, &sleepers);
	server_end(&s);
}

Test(reload, term_during_the_check_ends_it)
{
	const char *script = worker_script(
		format("case \"$1\" in --check) if [ -e %s ]; then exec sleep 300; fi;; esac", test_path("broken")));
	struct server *s = server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", script), NULL });
	struct sleepers sleepers = { .server = s, .wanted = 1 };

	break_workers();
	process_signal(s->supervisor, SIGHUP);
	wait_until(are_sleeping, &sleepers, "the check runs", 60000);
	/* The loop goes on meanwhile. */
	cr_expect_eq(get_many(s->port, 5), 5);
	expect_stop(s, &sleepers);
	server_end(&s);
}

Test(reload, hup_during_a_stop_is_ignored)
{
	/* The stop lasts as long as the request, and that until we let go of it. */
	struct server *s =
		server_start((const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=60000", "RENOVATIOND_SHUTDOWN_MS=120000",
			"RENOVATIOND_HTTP_BODY_RATE_MIN=0", "RENOVATIOND_HTTP_BODY_TIMEOUT_MS=120000", NULL });
	struct client c;
	static const char half[] = "POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";

	client_init(&c, s->port);
	cr_assert(client_connect(&c) && client_send(&c, half, sizeof half - 1));
	cr_expect_eq(get_many(s->port, 2), 2);
	process_signal(s->supervisor, SIGTERM);
	wait_log(s, "stop begins");
	process_signal(s->supervisor, SIGHUP);
	wait_log(s, "\"msg\":\"signal ignored\"");
	client_fini(&c);
	cr_expect_eq(process_wait(s->supervisor, 60000), 0);
	cr_expect_eq(log_count(s->supervisor, "change begins"), 0);
	server_end(&s);
}
