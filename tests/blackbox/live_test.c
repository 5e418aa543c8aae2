/* Options of class LIVE, each part's: a reload changes them in the processes that run, also for what they hold open. */
#include "config.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/must.h"
#include "tests/support/talk.h"

TestSuite(live, .timeout = 300);

static void write_config(const char *text)
{
	FILE *file = fopen(format("%s/renovationd.conf", test_folder()), "w");

	must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static struct server *start(const char *text)
{
	write_config(text);
	return server_start((const char *[]) {
		format("RENOVATIOND_TEST_CONFIG=%s/renovationd.conf", test_folder()), "WORKERS=2", NULL });
}

/* The new configuration; no worker is another afterwards. */
static void change(struct server *s, const char *text)
{
	pid_t before[8], after[8];
	char *said = process_errors(s->supervisor);
	size_t length = strlen(said);
	int64_t give_up = now_ms() + 60000;
	bool is_done = false;
	int count = server_workers(s, before, 8);

	free(said);
	write_config(text);
	process_signal(s->supervisor, SIGHUP);
	/* Both workers say so. */
	while (!is_done) {
		const char *first;

		said = process_errors(s->supervisor);
		first = strstr(said + length, "\"msg\":\"options changed\"");
		is_done = first != NULL && strstr(first + 1, "\"msg\":\"options changed\"") != NULL;
		cr_assert(now_ms() < give_up, "not taken:\n%.4000s", said + length);
		free(said);
		pause_ms(10);
	}
	cr_assert_eq(count, server_workers(s, after, 8));
	for (int i = 0; i < count; i++)
		cr_expect(after[0] == before[i] || after[1] == before[i], "worker %d was replaced", (int)before[i]);
}

static int post(struct client *c, size_t bytes)
{
	char body[8192];
	struct reply r;
	int status;

	must(bytes < sizeof body);
	memset(body, ' ', bytes);
	memcpy(body, "{\"title\":\"x\"}", strlen("{\"title\":\"x\"}"));
	body[bytes] = '\0';
	r = client_request(c, "POST", "/api/tasks", NULL, body);
	status = r.status;
	reply_free(&r);
	return status;
}

static bool closes_within(const struct client *c, int ms)
{
	struct pollfd gone = { .fd = c->fd, .events = POLLIN };
	char byte;

	return poll(&gone, 1, ms) == 1 && recv(c->fd, &byte, 1, MSG_PEEK) <= 0;
}

/* Two connections on each worker or so: whichever it is, both have taken the options. */
Test(live, http_limits_and_timeouts_hold_for_open_connections)
{
	struct server *s = start("http_body_bytes = 65536;");
	struct client c[4], half;
	struct reply r;

	for (int i = 0; i < 4; i++) {
		server_owner(s, &c[i]);
		cr_expect_eq(post(&c[i], 4000), 201);
	}
	change(s, "http_body_bytes = 1024; http_headers_max = 8; http_header_timeout_ms = 300;");
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(post(&c[i], 4000), 413);
		client_disconnect(&c[i]);
	}
	r = client_request(&c[0], "GET", "/health",
		"A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\nH: 1\r\nI: 1\r\nJ: 1\r\n", NULL);
	cr_expect_eq(r.status, 431);
	reply_free(&r);
	client_init(&half, s->port);
	cr_assert(client_connect(&half) && client_send(&half, "GET / HT", 8));
	r = client_receive(&half, false);
	cr_expect_eq(r.status, 408);
	reply_free(&r);
	client_fini(&half);
	for (int i = 0; i < 4; i++)
		client_fini(&c[i]);
	server_end(&s);
}

Test(live, deadlines_that_are_set_already_move)
{
	struct server *s = start("http_idle_timeout_ms = 600000; http_sse_ping_ms = 600000;");
	struct client idle[4];
	struct talk t;
	struct stream silent;
	struct stream_event e;

	for (int i = 0; i < 4; i++) {
		struct reply r;

		client_init(&idle[i], s->port);
		r = client_request(&idle[i], "GET", "/health", NULL, NULL);
		cr_expect_eq(r.status, 200);
		reply_free(&r);
	}
	talk_init(&t, s);
	stream_open(&silent, s->port, t.client.token, format("/api/conversations/%s/messages", t.conversation), NULL,
		"{\"content\":\"How long? [sim:first=60s]\"}");
	cr_assert_eq(silent.status, 200);
	cr_assert(stream_next(&silent, &e)); /* start */
	stream_event_free(&e);
	change(s, "http_idle_timeout_ms = 500; http_sse_ping_ms = 200;");
	for (int i = 0; i < 4; i++) {
		cr_expect(closes_within(&idle[i], 60000), "an idle connection has had its new time");
		client_fini(&idle[i]);
	}
	/* Comments come on the stream: its raw bytes are looked at, as stream_next passes over them. */
	struct pollfd readable = { .fd = silent.client.fd, .events = POLLIN };
	char bytes[4096] = "";
	size_t length = 0;

	for (int64_t until = now_ms() + 60000; now_ms() < until && strstr(bytes, ": ping") == NULL;) {
		ssize_t got = poll(&readable, 1, 1000) == 1
				      ? recv(silent.client.fd, bytes + length, sizeof bytes - length - 1, 0)
				      : 0;

		if (got > 0)
			length += (size_t)got;
	}
	cr_expect(strstr(bytes, ": ping") != NULL, "no comment came: %s", bytes);
	stream_close(&silent);
	talk_fini(&t);
	server_end(&s);
}

Test(live, the_number_of_connections_and_whom_to_believe)
{
	struct server *s = start("trusted_proxies = \"192.0.2.1\";");
	struct client c[6];
	struct reply r;
	char *line;
	int refused = 0;

	change(s, "trusted_proxies = \"127.0.0.0/8\"; http_connections_max = 2;");
	for (int i = 0; i < 6; i++) {
		client_init(&c[i], s->port);
		r = client_request(&c[i], "GET", "/api/sessions", "X-Forwarded-For: 203.0.113.7\r\n", NULL);
		refused += r.status == 503;
		reply_free(&r);
	}
	/* Which worker takes which is theirs to say, so one may be full before the other. */
	cr_expect(refused >= 2 && refused <= 4, "two workers take two each at most, %d were refused", refused);
	line = process_wait_error(s->supervisor, "\"client\":\"203.0.113.7\"", 10000);
	free(line);
	for (int i = 0; i < 6; i++)
		client_fini(&c[i]);
	server_end(&s);
}

Test(live, chat_and_model)
{
	struct server *s = start("chat_when_busy = \"enqueue\"; gemini_first_byte_timeout_ms = 60000; chat_lease_ms = "
				 "600000;");
	struct talk t;
	struct reply r;

	talk_init(&t, s);

	const char *first = talk_ask(&t, "How long? [sim:chunks=4000][sim:delay=50ms]", "");
	struct stream begun;
	struct stream_event e;
	bool has_text = false;

	/* The model's first byte has come: the new limit is for the questions after. */
	stream_open(&begun, s->port, t.client.token, format("/api/turns/%s/stream", first), NULL, NULL);
	while (!has_text && stream_next(&begun, &e)) {
		has_text = e.data != NULL && strstr(e.data, "text-delta") != NULL;
		stream_event_free(&e);
	}
	cr_assert(has_text, "no text came");
	stream_close(&begun);
	change(s, "chat_when_busy = \"reject\"; gemini_first_byte_timeout_ms = 300; gemini_attempts = 1; chat_lease_ms "
		  "= 3000;");
	r = talk_post(&t, "And now?", "");
	cr_expect_eq(r.status, 409, "%s", r.body);
	reply_free(&r);
	/* Renewed at once, with the new length. */
	struct talk other;

	talk_init(&other, s);

	const char *late = talk_ask(&other, "How long? [sim:first=200s]", "");

	talk_wait(&other, late, "failed", 30000);
	cr_expect_str_eq(talk_status(&t, first), "running", "what ran goes on");
	r = client_request(&t.client, "POST", format("/api/turns/%s/cancel", first), NULL, "{}");
	cr_expect_eq(r.status / 100, 2);
	reply_free(&r);
	talk_fini(&other);
	talk_fini(&t);
	server_end(&s);
}

/* All the connections that two workers have to the database, with one for reading and one for writing each. */
#define FEW_CONNECTIONS "db_readers = 1; db_writers = 1; "
#define BACKENDS        4

struct backends {
	struct server *server;
	char since[64]; /* of PostgreSQL's clock */
};

static bool are_all_newer(void *arg)
{
	const struct backends *b = arg;

	return cluster_count(b->server->cluster, b->server->database,
		       format("SELECT count(*) FILTER (WHERE backend_start > '%s') - 1000 * count(*) FILTER (WHERE "
			      "backend_start <= '%s') FROM pg_stat_activity WHERE datname = current_database() AND "
			      "application_name = 'renovationd'",
			       b->since, b->since)) == BACKENDS;
}

Test(live, database_connections_are_told_their_new_limits)
{
	struct server *s = start(FEW_CONNECTIONS "db_wait_timeout_ms = 60000;");
	struct backends b = { .server = s, .since = "-infinity" };
	struct client c;
	char *now;

	/* No connection that is still being made has the old limit and counts as new. */
	wait_until(are_all_newer, &b, "the workers have their connections", 60000);
	now = cluster_sql(s->cluster, s->database, "SELECT now()");
	(void)snprintf(b.since, sizeof b.since, "%s", now);
	free(now);
	server_owner(s, &c);
	change(s, FEW_CONNECTIONS "db_wait_timeout_ms = 700;");
	/* One after the other they are replaced by connections with the new statement_timeout. */
	wait_until(are_all_newer, &b, "all connections are new", 60000);
	free(cluster_sql(s->cluster, s->database,
		"CREATE FUNCTION renovationd.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
		"pg_sleep(200); "
		"RETURN NEW; END $$; CREATE TRIGGER dawdle BEFORE INSERT ON renovationd.tasks FOR EACH ROW EXECUTE "
		"FUNCTION renovationd.dawdle(); SELECT 1"));
	/* The old limit is longer than a client waits. */
	cr_expect_eq(post(&c, 100), 503);
	client_fini(&c);
	server_end(&s);
}

static bool has_chores(void *arg)
{
	const struct server *s = arg;
	char *said = process_errors(s->supervisor);
	int count = 0;

	for (const char *at = said; (at = strstr(at, "\"msg\":\"chore done\"")) != NULL; at++)
		count++;
	free(said);
	return count >= 6;
}

Test(live, log_level_and_chores)
{
	struct server *s = start("upkeep_interval_s = 86400;");

	change(s, "upkeep_interval_s = 1; log_level = \"debug\";");
	wait_until(has_chores, s, "chores are done each second", 60000);
	server_end(&s);
}

Test(live, a_hung_worker_is_judged_by_the_new_times)
{
	struct server *s = start("heartbeat_unhealthy_ms = 300000; heartbeat_kill_ms = 600000;");
	pid_t pids[8];

	/* Long enough for a worker that is only slow. */
	change(s, "heartbeat_unhealthy_ms = 2000; heartbeat_kill_ms = 4000;");
	cr_assert_eq(server_workers(s, pids, 8), 2);
	cr_assert_eq(kill(pids[0], SIGSTOP), 0);
	free(process_wait_error(s->supervisor, format("\"worker_pid\":%d,\"silent_ms\":", (int)pids[0]), 60000));
	server_end(&s);
}

Test(live, deadlines_of_stop_and_drain)
{
	struct server *s = start("shutdown_http_ms = 60000; shutdown_realtime_ms = 60000; shutdown_turns_ms = 60000; "
				 "shutdown_ms = 200000; drain_timeout_ms = 600000; drain_streams_ms = 600000;");
	struct talk t;
	struct stream open;

	talk_init(&t, s);
	change(s, "shutdown_http_ms = 1000; shutdown_realtime_ms = 1000; shutdown_turns_ms = 1000; shutdown_ms = "
		  "20000; drain_timeout_ms = 1000; drain_streams_ms = 1000;");
	stream_open(&open, s->port, t.client.token, format("/api/conversations/%s/messages", t.conversation), NULL,
		"{\"content\":\"How long? [sim:chunks=4000][sim:delay=50ms]\"}");
	cr_assert_eq(open.status, 200);
	cr_expect_eq(server_stop(s), 0); /* which waits less long than the old deadlines are */
	stream_close(&open);
	talk_fini(&t);
	server_end(&s);
}
