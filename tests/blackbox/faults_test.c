/* faults_test.c: what users see while things break: processes killed and stopped under load, PostgreSQL gone and back, clients that leave at
 * any byte, a full disk for logs. Expected: nobody's acknowledged words are lost, the service heals by itself, the supervisor stays. */
#include "config.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"

TestSuite(faults, .timeout = 300);

#define WAIT_MS 60000 /* for what comes in a moment on a machine that has time */

/* --- load: threads that write tasks and remember what was acknowledged --------------------------------------------------- */

#define WRITERS          4
#define ACKNOWLEDGED_MAX 200000

struct load {
	struct server *server;
	char token[128];
	atomic_bool is_stopping;
	atomic_int acknowledged; /* answered 201 */
	atomic_int refused;      /* answered 503 */
	atomic_int unanswered;   /* connection refused, reset or cut without an answer */
	atomic_int strange;      /* any other status */
	atomic_int last_strange;
	atomic_llong last_success_ms;
	char (*ids)[40]; /* of acknowledged rows */
	pthread_t threads[WRITERS];
};

static void write_one(struct load *load, struct client *c, int number)
{
	char body[80];

	(void)snprintf(body, sizeof body, "{\"title\":\"task %d\"}", number);

	struct reply r = client_request(c, "POST", "/api/tasks", NULL, body);

	if (r.status == 201) {
		struct json_object *row = json_tokener_parse(r.body);
		int at = atomic_fetch_add(&load->acknowledged, 1);

		must(at < ACKNOWLEDGED_MAX && row != NULL);
		(void)snprintf(load->ids[at], sizeof load->ids[0], "%s", json_at(row, "id"));
		json_object_put(row);
		atomic_store(&load->last_success_ms, now_ms());
	} else if (r.status == 503) {
		atomic_fetch_add(&load->refused, 1);
		pause_ms(5);
	} else if (r.status == 0) {
		atomic_fetch_add(&load->unanswered, 1);
		pause_ms(5);
	} else {
		atomic_store(&load->last_strange, r.status);
		atomic_fetch_add(&load->strange, 1);
	}
	reply_free(&r);
}

static void *writer(void *arg)
{
	struct load *load = arg;
	struct client c;

	client_init(&c, load->server->port);
	c.timeout_ms = WAIT_MS;
	(void)snprintf(c.token, sizeof c.token, "%s", load->token);
	for (int i = 0; !atomic_load(&load->is_stopping); i++)
		write_one(load, &c, i);
	client_fini(&c);
	return NULL;
}

static struct load *load_start(struct server *s)
{
	struct load *load = must_alloc(sizeof *load);
	struct client c;

	load->server = s;
	load->ids = must_alloc(ACKNOWLEDGED_MAX * sizeof load->ids[0]);
	server_owner(s, &c);
	(void)snprintf(load->token, sizeof load->token, "%s", c.token);
	client_fini(&c);
	for (int i = 0; i < WRITERS; i++)
		must(pthread_create(&load->threads[i], NULL, writer, load) == 0);
	return load;
}

static bool has_progress(void *arg)
{
	struct load *load = arg;

	return atomic_load(&load->acknowledged) > 50;
}

static void load_stop(struct load *load)
{
	atomic_store(&load->is_stopping, true);
	for (int i = 0; i < WRITERS; i++)
		(void)pthread_join(load->threads[i], NULL);
}

/* Every acknowledged row is in the database, whatever happened in between. */
static void load_check(struct load *load)
{
	struct server *s = load->server;
	int count = atomic_load(&load->acknowledged);
	struct buffer_like {
		char *sql;
		size_t length;
	} query = { NULL, 0 };
	FILE *out = open_memstream(&query.sql, &query.length);

	must(out != NULL);
	(void)fprintf(
		out, "SELECT count(*) FROM renovationd.tasks WHERE id IN ('00000000-0000-0000-0000-000000000000'");
	for (int i = 0; i < count; i++)
		(void)fprintf(out, ",'%s'", load->ids[i]);
	(void)fprintf(out, ")");
	(void)fclose(out);
	cr_assert_eq(cluster_count(s->cluster, s->database, query.sql), count, "acknowledged writes are missing");
	cr_expect_eq(atomic_load(&load->strange), 0, "an answer with status %d", atomic_load(&load->last_strange));
	free(query.sql);
}

static void load_free(struct load **load)
{
	free((*load)->ids);
	free(*load);
	*load = NULL;
}

struct recovery {
	struct load *load;
	long long since_ms;
};

static bool has_succeeded_since(void *arg)
{
	struct recovery *recovery = arg;

	return atomic_load(&recovery->load->last_success_ms) >= recovery->since_ms;
}

struct target {
	struct server *server;
	pid_t old;
};

static bool has_two_workers(void *arg)
{
	struct target *target = arg;
	pid_t pids[8];
	int count = server_workers(target->server, pids, 8);

	for (int i = 0; i < count; i++)
		if (pids[i] == target->old)
			return false;
	return count == 2;
}

Test(faults, killed_workers_lose_nothing_and_are_replaced)
{
	struct server *s = server_start(NULL);
	struct load *load = load_start(s);

	server_wait(s, has_progress, load, "writes are acknowledged", WAIT_MS);
	for (int i = 0; i < 4; i++) {
		pid_t pids[8];
		struct target target = { s, 0 };

		cr_assert_eq(server_workers(s, pids, 8), 2);
		target.old = pids[i % 2];
		(void)kill(target.old, SIGKILL);
		server_wait(s, has_two_workers, &target, "another worker takes the dead one's place", WAIT_MS);
	}

	struct recovery recovery = { load, now_ms() };

	server_wait(s, has_succeeded_since, &recovery, "writes go on", WAIT_MS);
	load_stop(load);
	load_check(load);
	cr_expect(process_is_running(s->supervisor), "the supervisor stays");
	load_free(&load);
	server_end(&s);
}

struct orphans {
	pid_t pids[8];
	int count;
};

static bool are_gone(void *arg)
{
	struct orphans *orphans = arg;

	return pids_are_gone(orphans->pids, orphans->count);
}

Test(faults, killed_supervisor_takes_its_workers_along_and_starts_again)
{
	struct server *s = server_start(NULL);
	struct load *load = load_start(s);
	struct orphans orphans;

	server_wait(s, has_progress, load, "writes are acknowledged", WAIT_MS);
	orphans.count = server_workers(s, orphans.pids, 8);
	process_signal(s->supervisor, SIGKILL);
	(void)process_wait(s->supervisor, WAIT_MS);
	server_wait(s, are_gone, &orphans, "workers leave when their supervisor is gone", WAIT_MS);
	load_stop(load);
	server_start_elsewhere(s);
	load_check(load);
	load_free(&load);
	server_end(&s);
}

Test(faults, stopped_worker_is_found_and_replaced)
{
	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=1000", "RENOVATIOND_HEARTBEAT_KILL_MS=6000", NULL });
	struct target target = { s, 0 };
	pid_t pids[8];

	cr_assert_eq(server_workers(s, pids, 8), 2);
	target.old = pids[0];
	(void)kill(target.old, SIGSTOP);
	server_wait(s, has_two_workers, &target, "the stopped worker is replaced", WAIT_MS);

	struct client c;

	server_owner(s, &c);
	client_fini(&c);
	server_end(&s);
}

/* --- PostgreSQL ------------------------------------------------------------------------------------------------------------ */

static bool is_unready(void *arg)
{
	struct reply r = client_request(arg, "GET", "/health/ready", NULL, NULL);
	bool is_refused = r.status == 503;

	reply_free(&r);
	return is_refused;
}

static void restart_database(int signal, bool with_pause)
{
	struct cluster *cluster = cluster_create();
	struct server *s = server_start_on(cluster, NULL);
	struct load *load = load_start(s);

	server_wait(s, has_progress, load, "writes are acknowledged", WAIT_MS);
	cluster_stop(cluster, signal);
	if (with_pause) {
		struct client c;

		client_init(&c, s->port);
		server_wait(s, is_unready, &c, "readiness tells that the database is gone", WAIT_MS);

		struct reply r = client_request(&c, "GET", "/health/live", NULL, NULL);

		cr_expect_eq(r.status, 200, "live without its database");
		reply_free(&r);
		client_fini(&c);
	}
	cluster_start(cluster);

	struct recovery recovery = { load, now_ms() };

	server_wait(s, has_succeeded_since, &recovery, "service is back", WAIT_MS);

	long long took = now_ms() - recovery.since_ms;

	load_stop(load);
	/* Connections are tried again at least each second; the rest is for a machine that is busy with other things. */
	cr_expect_leq(took, 10000, "service came back %lld ms after the database", took);
	cr_expect_eq(atomic_load(&load->unanswered), 0, "%d requests got no answer", atomic_load(&load->unanswered));
	load_check(load);
	load_free(&load);
	server_end(&s);
	cluster_destroy(&cluster);
}

Test(faults, database_restarted_under_load)
{
	restart_database(SIGINT, false);
}

Test(faults, database_stopped_for_a_while_under_load)
{
	restart_database(SIGQUIT, true);
}

Test(faults, database_killed_under_load)
{
	restart_database(SIGKILL, false);
}

/* --- clients ----------------------------------------------------------------------------------------------------------------- */

static bool is_only_one_connected(void *arg)
{
	const struct scoreboard *board = arg;
	unsigned connections = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		connections += SCOREBOARD_GET(board->slots[i].connections);
	return connections <= 1;
}

Test(faults, client_gone_at_every_byte_of_an_exchange)
{
	struct server *s = server_start(NULL);
	struct scoreboard *board = board_open(s);
	struct client c;
	pid_t before[8], after[8];
	char request[600];

	server_owner(s, &c);

	int length = snprintf(request, sizeof request,
		"POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: 18\r\n\r\n{\"title\":\"leaving\"}",
		c.token);
	int workers = server_workers(s, before, 8);

	for (int bytes = 0; bytes <= length; bytes++) {
		struct client leaver;
		struct linger cut = { 1, 0 };

		client_init(&leaver, s->port);
		cr_assert(client_connect(&leaver));
		(void)client_send(&leaver, request, (size_t)bytes);
		if (bytes % 2 == 0) /* every other one leaves with a reset */
			(void)setsockopt(leaver.fd, SOL_SOCKET, SO_LINGER, &cut, sizeof cut);
		client_fini(&leaver);
	}

	/* Connections are taken in their order: when this one is answered, all before it were taken; then they are to end. */
	cr_expect_eq(get_many(s->port, 1), 1);
	server_wait(s, is_only_one_connected, board, "all who left are forgotten", WAIT_MS);

	struct reply r = client_request(&c, "GET", "/api/tasks", NULL, NULL);

	cr_expect_eq(r.status, 200);
	reply_free(&r);
	cr_expect_eq(server_workers(s, after, 8), workers);
	for (int i = 0; i < workers; i++) {
		bool is_there = false;

		for (int j = 0; j < workers; j++)
			is_there = is_there || before[i] == after[j];
		cr_expect(is_there, "worker %d ended", (int)before[i]);
	}
	client_fini(&c);
	board_close(&board);
	server_end(&s);
}

/* --- logs ---------------------------------------------------------------------------------------------------------------------- */

Test(faults, full_disk_for_logs_stops_nothing)
{
	struct server *s = server_start((const char *[]) { "LOG_FILE=/dev/full", "LOG_LEVEL=debug", NULL });
	struct client c;

	server_owner(s, &c);
	for (int i = 0; i < 200; i++) {
		struct reply r = client_request(&c, "GET", "/api/sessions", NULL, NULL);

		cr_assert_eq(r.status, 200);
		reply_free(&r);
	}
	client_fini(&c);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
