/* What a worker does that others have replaced: no idle connection is closed, answers go on where they are streamed, readers are moved one by one, and whatever
 * takes longer than it may is taken over by the new workers without a lost or repeated event. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

TestSuite(drain, .timeout = 300);

#define WAIT_MS 60000
#define NEVER   "600000" /* an option's ms: what shall not end by itself while a test lasts */

/* Half of it comes; its rest when somebody else takes it over, which asks again. */
#define LONG_ANSWER "How long does screed dry? [sim:chunks=20][sim:fault=silence_middle,afterChunks=10]"

struct pool {
	struct server *server;
	pid_t pids[64]; /* of the workers before the reload */
	int count;
};

static int count_alive(const struct pool *p)
{
	int alive = 0;

	for (int i = 0; i < p->count; i++)
		alive += pid_is_alive(p->pids[i]);
	return alive;
}

static bool is_one_left(void *arg)
{
	return count_alive(arg) == 1;
}

static bool are_gone(void *arg)
{
	const struct pool *p = arg;

	return pids_are_gone(p->pids, p->count);
}

/* HUP; the workers of before drain and take no connections any more, others serve. */
static struct pool reload(struct server *s)
{
	struct pool p = { .server = s };
	char *said = process_errors(s->supervisor);
	size_t before = strlen(said);
	int64_t give_up = now_ms() + WAIT_MS;
	bool is_done = false;

	free(said);
	p.count = server_workers(s, p.pids, 64);
	process_signal(s->supervisor, SIGHUP);
	while (!is_done) {
		said = process_errors(s->supervisor);
		is_done = strlen(said) > before && strstr(said + before, "\"result\":\"replaced\"") != NULL;
		cr_assert(now_ms() < give_up, "no reload:\n%.4000s", said + before);
		free(said);
		pause_ms(10);
	}
	workers_wait_leaving(s, p.pids, p.count);
	return p;
}

static struct server *start_with(const char *drain, const char *streams, const char *preload, const char *switches)
{
	return server_start((const char *[]) { format("RENOVATIOND_DRAIN_TIMEOUT_MS=%s", drain),
		format("RENOVATIOND_DRAIN_STREAMS_MS=%s", streams), "RENOVATIOND_HTTP_IDLE_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_GEMINI_FIRST_BYTE_TIMEOUT_MS=" NEVER, "RENOVATIOND_GEMINI_BETWEEN_BYTES_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_GEMINI_ATTEMPT_TIMEOUT_MS=" NEVER, "RENOVATIOND_CHAT_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_CHAT_LEASE_MS=" NEVER, "RENOVATIOND_DB_WAIT_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_HEARTBEAT_KILL_MS=" NEVER, preload, switches, NULL });
}

static struct server *start(const char *drain, const char *streams)
{
	return start_with(drain, streams, NULL, NULL);
}

static struct reply get(struct client *c, const char *path)
{
	return client_request(c, "GET", path, NULL, NULL);
}

static void expect_answer(struct client *c, bool says_close)
{
	struct reply r = get(c, "/health");
	const char *connection = reply_header(&r, "Connection");

	cr_expect_eq(r.status, 200);
	cr_expect_eq(connection != NULL && strcasecmp(connection, "close") == 0, says_close, "%s", r.head);
	reply_free(&r);
}

/* ---- connections ----------------------------------------------------------------------------------------------- */

Test(drain, a_worker_with_nothing_left_leaves_at_once)
{
	struct server *s = start(NEVER, NEVER);
	struct pool old = reload(s);

	wait_until(are_gone, &old, "old workers leave", WAIT_MS);
	server_end(&s);
}

Test(drain, the_next_answer_on_a_kept_connection_says_close_and_new_connections_go_elsewhere)
{
	struct server *s = start(NEVER, NEVER);
	struct client c[6], fresh;
	struct pool old;

	for (int i = 0; i < 6; i++) {
		client_init(&c[i], s->port);
		expect_answer(&c[i], false);
	}
	old = reload(s);
	cr_expect(count_alive(&old) > 0, "whoever has connections stays");
	for (int i = 0; i < 6; i++) {
		client_init(&fresh, s->port);
		expect_answer(&fresh, false);
		client_fini(&fresh);
	}
	for (int i = 0; i < 6; i++) {
		expect_answer(&c[i], true);
		client_fini(&c[i]);
	}
	wait_until(are_gone, &old, "old workers leave with their last connection", WAIT_MS);
	server_end(&s);
}

/* A connection's name: a new one has another. */
static int own_port(const struct client *c)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;

	return getsockname(c->fd, (struct sockaddr *)&address, &length) == 0 ? ntohs(address.sin_port) : -1;
}

Test(drain, idle_connections_outlive_their_worker)
{
	struct server *s = start("1000", "1000");
	struct client c[20];
	struct pool old;
	char byte;

	for (int i = 0; i < 20; i++) {
		client_init(&c[i], s->port);
		if (i < 10)
			expect_answer(&c[i], false);
		else
			cr_assert(client_connect(&c[i])); /* nothing was asked on it yet */
	}
	old = reload(s);
	wait_until(are_gone, &old, "old workers leave after drain_timeout_ms", WAIT_MS);
	for (int i = 0; i < 20; i++) {
		cr_expect_lt(recv(c[i].fd, &byte, 1, MSG_DONTWAIT), 0, "connection %d was closed", i);

		int port = own_port(&c[i]);

		expect_answer(&c[i], false);
		cr_expect_eq(own_port(&c[i]), port, "connection %d was replaced", i);
		client_fini(&c[i]);
	}
	server_end(&s);
}

Test(drain, questions_are_taken_on_connections_that_a_draining_worker_has)
{
	struct server *s = start(NEVER, NEVER);
	struct talk t;
	struct pool old;

	talk_init(&t, s);
	old = reload(s);
	wait_until(is_one_left, &old, "the worker without a connection leaves", WAIT_MS);

	const char *turn = talk_ask(&t, "How long does screed dry? [sim:chunks=20][sim:delay=20ms]", "");
	struct followed f = talk_follow(&t, turn, "", WAIT_MS);

	cr_expect(f.is_done && !f.has_gap, "last event %s", f.last_id);
	talk_wait(&t, turn, "completed", WAIT_MS);
	followed_free(&f);
	wait_until(are_gone, &old, "the old worker leaves after the answer", WAIT_MS);
	talk_fini(&t);
	server_end(&s);
}

/* ---- streams --------------------------------------------------------------------------------------------------- */

struct followed_turn {
	struct talk *talk;
	const char *id;
	pid_t writer; /* 0: not yet known */
};

struct reading {
	struct stream stream;
	char last[80]; /* newest event's id */
	long number;   /* of it */
	bool is_told;  /* to come back */
	bool is_done;
	bool has_gap;
};

static void take(struct reading *r, const struct stream_event *e)
{
	const char *dot = strchr(e->id, '.');

	if (e->retry_ms >= 0 || (e->data != NULL && strstr(e->data, "data-reconnect") != NULL))
		r->is_told = true;
	if (e->data != NULL && strcmp(e->data, "[DONE]") == 0)
		r->is_done = true;
	if (dot == NULL)
		return;
	r->has_gap = r->has_gap || strtol(dot + 1, NULL, 10) != r->number + 1;
	r->number = strtol(dot + 1, NULL, 10);
	(void)snprintf(r->last, sizeof r->last, "%s", e->id);
}

static void open_reading(struct reading *r, struct talk *t, const char *turn)
{
	const char *from = r->last[0] != '\0' ? format("Last-Event-ID: %s\r\n", r->last) : NULL;

	r->is_told = false;
	stream_open(&r->stream, t->server->port, t->client.token, format("/api/turns/%s/stream", turn), from, NULL);
	cr_assert(r->stream.status == 200 || r->stream.status == 204, "%d", r->stream.status);
	r->stream.client.timeout_ms = WAIT_MS;
	r->is_done = r->stream.status == 204;
}

/* To the end of this connection. */
static void read_on(struct reading *r)
{
	struct stream_event e;

	while (!r->is_done && stream_next(&r->stream, &e)) {
		take(r, &e);
		stream_event_free(&e);
	}
	stream_close(&r->stream);
}

static void read_first(struct reading *r)
{
	struct stream_event e;

	cr_assert(stream_next(&r->stream, &e));
	take(r, &e);
	stream_event_free(&e);
}

static void expect_stored(struct talk *t, const char *turn, const struct reading *r)
{
	struct json_object *body = talk_turn(t, turn);

	cr_expect(r->is_done && !r->has_gap, "last event %s, done %d, gap %d", r->last, r->is_done, r->has_gap);
	cr_expect_str_eq(json_at(body, "status"), "completed");
	cr_expect_str_eq(json_at(body, "lastEventId"), r->last);
	json_object_put(body);
}

/* Asks on a connection that carries the answer too, and reads its first event. */
static void open_asking(struct reading *r, struct talk *t, const char *question)
{
	*r = (struct reading) { .number = 0 };
	stream_open(&r->stream, t->server->port, t->client.token,
		format("/api/conversations/%s/messages", t->conversation), NULL,
		format("{\"content\":\"%s\"}", question));
	cr_assert_eq(r->stream.status, 200);
	r->stream.client.timeout_ms = WAIT_MS;
	read_first(r);
}

/* Up to where the model has fallen silent, and none of it is under way any more. */
static void read_half(struct reading *r, struct talk *t)
{
	const char *delta = "text-delta";
	struct stream_event e;

	for (int texts = 0; texts < 10;) {
		cr_assert(stream_next(&r->stream, &e), "%d of 10 texts of %s", texts, t->conversation);
		texts += e.data != NULL && strstr(e.data, delta) != NULL;
		take(r, &e);
		stream_event_free(&e);
	}
}

/* Read to its end on the connection on which it began. */
static void expect_whole(struct server *s, const struct reading *r)
{
	char *log = process_errors(s->supervisor);
	size_t length = strlen(log), shown = length < 6000 ? length : 6000;

	cr_expect(r->is_done && !r->has_gap && !r->is_told,
		"done %d, gap %d, told to come back %d, last event %s; the log ends in:\n%s", r->is_done, r->has_gap,
		r->is_told, r->last, log + length - shown);
	free(log);
}

Test(drain, an_answer_goes_on_where_it_is_streamed)
{
	struct server *s = start(NEVER, NEVER);
	struct talk t;
	struct reading r;
	struct pool old;

	talk_init(&t, s);
	/* The model answers when the others have gone. */
	pid_freeze(s->simulator->pid);
	open_asking(&r, &t, "How long does screed dry? [sim:chunks=20][sim:delay=20ms]");
	client_disconnect(&t.client);
	old = reload(s);
	wait_until(is_one_left, &old, "only the writer stays", WAIT_MS);
	pid_thaw(s->simulator->pid);
	read_on(&r);
	expect_whole(s, &r);
	wait_until(are_gone, &old, "the writer leaves after its answer", WAIT_MS);
	talk_fini(&t);
	server_end(&s);
}

static long count_sessions(struct server *s, const char *which)
{
	return cluster_count(s->cluster, s->database,
		format("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
		       "pg_backend_pid() "
		       "AND %s",
			which));
}

static bool is_locked(void *arg)
{
	return count_sessions(arg, "query LIKE '%pg_sleep(250)%' AND wait_event = 'PgSleep'") == 1;
}

static bool is_storing(void *arg)
{
	return count_sessions(arg, "wait_event_type = 'Lock'") == 1;
}

static bool has_stored(void *arg)
{
	return count_sessions(arg, "state <> 'idle'") == 0;
}

static pid_t first_alive(const struct pool *p)
{
	for (int i = 0; i < p->count; i++)
		if (pid_is_alive(p->pids[i]))
			return p->pids[i];
	cr_assert(false, "all are gone");
	return 0;
}

static bool is_busy(void *arg)
{
	return atomic_load(&((struct switches *)arg)->is_busy) == 1;
}

/* The writer learns that the end is stored in the very turn of its loop in which it is to look for readers to move: both wait until it looks at events again. */
static void end_while_busy(struct server *s, struct switches *switches, pid_t writer)
{
	int64_t until;

	wait_until(is_storing, s, "the end of the answer is being stored", WAIT_MS);
	atomic_store(&switches->busy_pid, (int)writer);
	wait_until(is_busy, switches, "the writer's loop does nothing", WAIT_MS);
	free(cluster_sql(s->cluster, s->database,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(250)%' AND "
		"pid <> pg_backend_pid() AND datname = current_database()"));
	wait_until(has_stored, s, "the end of the answer is stored", WAIT_MS);
	for (until = now_ms() + 500; now_ms() < until;)
		pause_ms(10);
	atomic_store(&switches->busy_pid, 0);
}

Test(drain, an_answer_that_ends_when_readers_are_moved_ends_where_it_is_streamed)
{
	struct switches *switches;
	struct server *s;
	struct process *holder;
	struct talk t;
	struct reading r;
	struct pool old;

	if (faults_in_sanitizer())
		cr_skip_test("nothing can be preloaded before a sanitizer");
	switches = switches_open();
	s = start_with(NEVER, NEVER, switches_preload(), switches_file());
	holder = process_start(
		(const char *[]) { "psql", cluster_url(s->cluster, s->database), "-c",
			"begin; lock table renovationd.turn_steps in share mode; select pg_sleep(250)", NULL },
		NULL);
	wait_until(is_locked, s, "the table is locked", WAIT_MS);
	talk_init(&t, s);
	open_asking(&r, &t, "How long does screed dry?");
	client_disconnect(&t.client);
	old = reload(s);
	wait_until(is_one_left, &old, "only the writer stays", WAIT_MS);
	end_while_busy(s, switches, first_alive(&old));
	read_on(&r);
	expect_whole(s, &r);
	process_end(&holder);
	talk_fini(&t);
	server_end(&s);
}

Test(drain, an_answer_that_takes_too_long_is_taken_over_at_once)
{
	struct server *s = start(NEVER, "1000");
	struct talk t;
	struct reading r = { .number = 0 };
	struct pool old;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	client_disconnect(&t.client);
	open_reading(&r, &t, turn);
	read_half(&r, &t);
	old = reload(s);
	for (int i = 0; !r.is_done && i < 10; i++) {
		read_on(&r);
		cr_expect(r.is_done || r.is_told, "cut off without a word after %s", r.last);
		if (!r.is_done)
			open_reading(&r, &t, turn);
	}
	wait_until(are_gone, &old, "the old writer leaves before the answer is whole", WAIT_MS);
	expect_stored(&t, turn, &r);
	cr_expect_eq(cluster_count(s->cluster, s->database,
			     format("SELECT attempt FROM renovationd.turns WHERE id = '%s'", turn)),
		1, "one worker took it over");
	talk_fini(&t);
	server_end(&s);
}

#define READERS 15 /* at each of two workers */

/* Readers at one worker: the other takes no connection meanwhile. */
static void open_at_other(struct reading *r, struct talk *t, const char *turn, pid_t frozen)
{
	pid_freeze(frozen);
	for (int i = 0; i < READERS; i++) {
		open_reading(&r[i], t, turn);
		read_first(&r[i]);
	}
	pid_thaw(frozen);
}

/* When the last byte came to this machine's end of the connection, whenever it is read. */
static int64_t arrived_ms(const struct reading *r)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	cr_assert_eq(getsockopt(r->stream.client.fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	return now_ms() - (int64_t)info.tcpi_last_data_recv;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Each is told, and that one after the other: a stop of the machine may join two of them, not all. */
static void expect_one_by_one(struct reading *r)
{
	int64_t told[READERS];
	struct stream_event e;
	int apart = 0;

	for (int i = 0; i < READERS; i++) {
		while (!r[i].is_told && stream_next(&r[i].stream, &e)) {
			take(&r[i], &e);
			stream_event_free(&e);
		}
		cr_assert(r[i].is_told, "reader %d was not told to move", i);
		told[i] = arrived_ms(&r[i]);
	}
	qsort(told, READERS, sizeof *told, compare);
	for (int i = 1; i < READERS; i++)
		apart += told[i] - told[i - 1] >= 5;
	cr_expect(apart >= READERS / 2, "%d of %d came apart, all within %d ms", apart, READERS,
		(int)(told[READERS - 1] - told[0]));
}

static pid_t other_than(const struct pool *p, pid_t worker)
{
	cr_assert(p->count == 2 && (p->pids[0] == worker || p->pids[1] == worker), "%d writes", (int)worker);
	return p->pids[0] == worker ? p->pids[1] : p->pids[0];
}

static bool has_writer(void *arg)
{
	struct followed_turn *turn = arg;

	turn->writer = talk_writer(turn->talk, turn->id);
	return turn->writer != 0;
}

Test(drain, readers_of_answers_that_others_write_are_moved_one_by_one)
{
	struct server *s = start(NEVER, NEVER);
	struct talk t;
	struct followed_turn turn = { .talk = &t };
	struct pool old = { .server = s };
	static struct reading stay[READERS], move[READERS];

	talk_init(&t, s);
	old.count = server_workers(s, old.pids, 64);
	/* The model answers when they have moved. */
	pid_freeze(s->simulator->pid);
	turn.id = talk_ask(&t, "How long does screed dry? [sim:chunks=20]", "");
	client_disconnect(&t.client);
	wait_until(has_writer, &turn, "somebody writes it", WAIT_MS);
	open_at_other(move, &t, turn.id, turn.writer);
	open_at_other(stay, &t, turn.id, other_than(&old, turn.writer));
	(void)reload(s);
	expect_one_by_one(move);
	pid_thaw(s->simulator->pid);
	for (int i = 0; i < READERS; i++) {
		read_on(&stay[i]);
		cr_expect(stay[i].is_done && !stay[i].is_told, "reader %d of the writer stayed", i);
		expect_stored(&t, turn.id, &stay[i]);
		/* Those that were told come back and see the rest. */
		for (int j = 0; !move[i].is_done && j < 10; j++) {
			read_on(&move[i]);
			cr_expect(move[i].is_done || move[i].is_told, "cut off without a word after %s", move[i].last);
			if (!move[i].is_done)
				open_reading(&move[i], &t, turn.id);
		}
		expect_stored(&t, turn.id, &move[i]);
	}
	talk_fini(&t);
	server_end(&s);
}

/* ---- sooner ---------------------------------------------------------------------------------------------------- */

/* An answer that does not end where it is written keeps its writer, whose pid comes back. */
static void start_long_drain(struct server *s, struct talk *t, struct pool *old, struct reading *r)
{
	talk_init(t, s);
	open_asking(r, t, LONG_ANSWER);
	read_half(r, t);
	client_disconnect(&t->client);
	*old = reload(s);
	cr_assert_gt(count_alive(old), 0);
}

static void signal_old(const struct pool *old, int signal)
{
	for (int i = 0; i < old->count; i++)
		if (pid_is_alive(old->pids[i]))
			(void)kill(old->pids[i], signal);
}

static void expect_sooner(struct server *s, int signal, int within_ms)
{
	struct talk t;
	struct pool old;
	struct reading r;

	start_long_drain(s, &t, &old, &r);
	signal_old(&old, signal);
	wait_until(are_gone, &old, "a draining worker that is told to stop leaves", within_ms);
	/* By itself: nobody had to kill it. */
	log_wait_count(s->supervisor, "\"generation\":1,\"cause\":\"asked to leave\"", old.count, WAIT_MS);
	stream_close(&r.stream);
	talk_fini(&t);
	server_end(&s);
}

/* At most two generations drain side by side: the third hurries the first, whose clients lose nothing by it. */
Test(drain, the_oldest_of_three_gives_everything_away)
{
	struct server *s = start(NEVER, NEVER);
	struct client idle;
	struct talk t;
	struct pool first, later;
	struct reading r;
	const char *turn;
	char byte;

	start_long_drain(s, &t, &first, &r);
	turn = talk_keep(r.last);
	*strchr((char *)(uintptr_t)turn, '.') = '\0';
	client_init(&idle, s->port);
	expect_answer(&idle, false);
	for (int i = 0; i < 2; i++) {
		later = reload(s);
		cr_expect(later.count > 0);
	}
	wait_until(are_gone, &first, "the first generation leaves", WAIT_MS);
	for (int i = 0; !r.is_done && i < 10; i++) {
		read_on(&r);
		cr_expect(r.is_done || r.is_told, "cut off without a word after %s", r.last);
		if (!r.is_done)
			open_reading(&r, &t, turn);
	}
	expect_stored(&t, turn, &r);
	cr_expect_lt(recv(idle.fd, &byte, 1, MSG_DONTWAIT), 0, "an idle connection stays open");
	expect_answer(&idle, true);
	client_fini(&idle);
	talk_fini(&t);
	server_end(&s);
}

Test(drain, term_turns_a_drain_into_a_stop)
{
	expect_sooner(start(NEVER, NEVER), SIGTERM, WAIT_MS);
}

Test(drain, quit_ends_a_drain_in_a_second)
{
	/* As a stop it would take minutes. */
	struct server *s = server_start((const char *[]) { "RENOVATIOND_DRAIN_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_DRAIN_STREAMS_MS=" NEVER, "RENOVATIOND_GEMINI_BETWEEN_BYTES_TIMEOUT_MS=" NEVER,
		"RENOVATIOND_SHUTDOWN_TURNS_MS=300000", "RENOVATIOND_SHUTDOWN_REALTIME_MS=300000",
		"RENOVATIOND_SHUTDOWN_HTTP_MS=300000", "RENOVATIOND_SHUTDOWN_MS=" NEVER, NULL });

	expect_sooner(s, SIGQUIT, 30000);
}

Test(drain, the_service_stops_while_workers_drain)
{
	struct server *s = start(NEVER, NEVER);
	struct talk t;
	struct pool old;
	struct reading r;

	start_long_drain(s, &t, &old, &r);
	cr_expect_eq(server_stop(s), 0);
	cr_expect(are_gone(&old));
	stream_close(&r.stream);
	talk_fini(&t);
	server_end(&s);
}

/* ---- drained --------------------------------------------------------------------------------------------------- */

static int status_of(struct server *s, const char *path, bool expects_close)
{
	struct client c;
	struct reply r;
	int status;

	client_init(&c, s->port);
	r = get(&c, path);
	status = r.status;
	if (expects_close) {
		cr_expect(reply_header(&r, "Retry-After") != NULL, "%s", r.head);
		cr_expect_str_eq(reply_header(&r, "Connection"), "close");
	}
	reply_free(&r);
	client_fini(&c);
	return status;
}

static bool is_drained(void *arg)
{
	return status_of(arg, "/api/sessions", false) == 503;
}

static bool is_resumed(void *arg)
{
	return status_of(arg, "/health/ready", false) == 200;
}

Test(drain, a_drained_pool_answers_probes_and_refuses_the_rest)
{
	struct server *s = start(NEVER, NEVER);

	process_signal(s->supervisor, SIGWINCH);
	wait_until(is_drained, s, "the pool is drained", WAIT_MS);
	/* Those of before still serve. */
	workers_wait(s, 0, 1, WAIT_MS);
	cr_expect_eq(status_of(s, "/health", false), 200);
	cr_expect_eq(status_of(s, "/health/live", false), 200);
	cr_expect_eq(status_of(s, "/livez", false), 200);
	cr_expect_eq(status_of(s, "/health/ready", false), 503);
	cr_expect_eq(status_of(s, "/", true), 503);
	cr_expect_eq(status_of(s, "/nowhere", true), 503);
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_resumed, s, "the pool is back", WAIT_MS);
	cr_expect_eq(status_of(s, "/nowhere", false), 404);
	server_end(&s);
}

/* The service is ready, only this worker is not: a balancer that asks on an old connection must not take the host out for a reload. */
Test(drain, a_probe_on_an_old_connection_hears_that_the_service_is_ready)
{
	struct server *s = start(NEVER, NEVER);
	struct client c;
	struct reply r;

	client_init(&c, s->port);
	r = get(&c, "/health/ready");
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	(void)reload(s);
	r = get(&c, "/health/ready");
	cr_expect_eq(r.status, 200, "%s", r.body);
	cr_expect_str_eq(reply_header(&r, "Connection"), "close");
	reply_free(&r);
	client_fini(&c);
	server_end(&s);
}
