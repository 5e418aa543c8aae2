/* faults_stop_test.c: stops while the database is slow or dead, while clients do not read what they asked for, and in the middle of other changes. The
 * real programs. Expected: each stop ends within its limit, says truly what was cut and lost, and leaves nobody behind. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/manager.h"
#include "tests/support/stop.h"
#include "tests/support/talk.h"

TestSuite(faults_stop, .timeout = 300);

#define WAIT_MS 60000 /* for what comes in a moment on a machine that has time */

/* Short phases end each by itself, about 3 s; the limit of all of them is far away, and who only reaches that one is killed. */
#define LIMIT_MS 30000
#define SHORT_LIMITS                                                                                                   \
	"RENOVATIOND_SHUTDOWN_HTTP_MS=500", "RENOVATIOND_SHUTDOWN_REALTIME_MS=500",                                    \
		"RENOVATIOND_SHUTDOWN_TURNS_MS=500", "RENOVATIOND_SHUTDOWN_DATABASE_MS=1500",                          \
		"RENOVATIOND_SHUTDOWN_GEMINI_MS=500", "RENOVATIOND_SHUTDOWN_MS=30000"

/* A query waits for as long as a test may need to get on. */
#define PATIENT_QUERIES "RENOVATIOND_DB_WAIT_TIMEOUT_MS=60000"

/* ---- the database ---------------------------------------------------------------------------------------------- */

struct frozen {
	pid_t pids[128];
	int count;
};

/* The cluster's processes stop where they are, as on a host whose disk hangs: connections stay open and nobody answers. */
static struct frozen freeze(const struct cluster *cluster)
{
	struct frozen frozen = { .count = 0 };

	frozen.pids[0] = cluster->server->pid;
	(void)kill(frozen.pids[0], SIGSTOP);
	frozen.count = 1 + process_children(cluster->server->pid, "postgres", frozen.pids + 1, 127);
	for (int i = 1; i < frozen.count; i++)
		(void)kill(frozen.pids[i], SIGSTOP);
	return frozen;
}

static void thaw(const struct frozen *frozen)
{
	for (int i = 0; i < frozen->count; i++)
		(void)kill(frozen->pids[i], SIGCONT);
}

/* A write whose answer does not come. */
static void send_write(struct client *c)
{
	char insert[512];

	(void)snprintf(insert, sizeof insert,
		"POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: 13\r\n\r\n{\"title\":\"x\"}",
		c->token);
	cr_assert(client_send(c, insert, strlen(insert)));
}

static bool is_waiting(void *arg)
{
	const struct scoreboard *board = arg;

	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(board->slots[i].db_waiting) > 0)
			return true;
	return false;
}

Test(faults_stop, a_dead_database_cannot_hold_up_a_stop_with_a_write_under_way)
{
	struct cluster *cluster = cluster_create();
	struct server *s = server_start_on(cluster, (const char *[]) { SHORT_LIMITS, PATIENT_QUERIES, NULL });
	struct scoreboard *board = board_open(s);
	struct json_object *report;
	struct frozen frozen;
	struct client c;
	const char *all;

	server_owner(s, &c);
	frozen = freeze(cluster);
	send_write(&c);
	server_wait(s, is_waiting, board, "the write waits", WAIT_MS);
	process_signal(s->supervisor, SIGTERM);

	int code = process_wait(s->supervisor, LIMIT_MS + WAIT_MS);

	thaw(&frozen);
	report = stop_report(s->supervisor);
	all = json_object_to_json_string(report);
	cr_expect_eq(code, 0, "nobody was told that it was stored: %s", all);
	cr_expect_leq(json_number_at(report, "ms"), LIMIT_MS, "%s", all);
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout", "%s", all);
	cr_expect_str_eq(stop_phase_state(report, "database"), "timeout", "%s", all);
	cr_expect_str_eq(json_at(report, "result"), "forced", "%s", all);
	cr_expect_eq(json_number_at(report, "lost"), 0, "%s", all);
	cr_expect_eq(json_number_at(report, "workers_killed"), 0, "the phases end it, not the limit: %s", all);
	json_object_put(report);
	board_close(&board);
	client_fini(&c);
	server_end(&s);
	cluster_destroy(&cluster);
}

static bool is_model_asked(void *arg)
{
	return scoreboard_total(arg).model_calls > 0;
}

/* Asks, and the model says nothing yet: its process stands still. */
static const char *ask_silent_model(struct talk *t, const char *question)
{
	struct scoreboard *board = board_open(t->server);
	const char *turn;

	(void)kill(t->server->simulator->pid, SIGSTOP);
	turn = talk_ask(t, question, "");
	server_wait(t->server, is_model_asked, board, "the model is asked", WAIT_MS);
	board_close(&board);
	return turn;
}

static void let_model_speak(struct talk *t)
{
	(void)kill(t->server->simulator->pid, SIGCONT);
}

/* The question was stored: the next start answers it. */
static void expect_answered_by_next(struct server *s, struct talk *t, const char *turn)
{
	client_disconnect(&t->client);
	/* As if its lease had been waited for. */
	free(cluster_sql(s->cluster, s->database,
		"UPDATE renovationd.turns SET lease_until = now() - interval '1 s' WHERE status = 'running'"));
	server_start_elsewhere(s);
	t->client.port = s->port;
	talk_wait(t, turn, "completed", WAIT_MS);
}

Test(faults_stop, text_that_a_dead_database_did_not_take_is_reported_as_lost_with_74)
{
	struct cluster *cluster = cluster_create();
	struct server *s = server_start_on(cluster,
		(const char *[]) { SHORT_LIMITS, PATIENT_QUERIES, "RENOVATIOND_CHAT_CHECKPOINT_MS=100", NULL });
	struct json_object *report;
	struct frozen frozen;
	struct stream reader;
	struct stream_event e;
	struct talk t;
	int seen = 0;

	talk_init(&t, s);

	const char *turn = ask_silent_model(&t,
		"How long does screed dry? [sim:chunks=60][sim:delay=5ms][sim:fault=silence_middle,afterChunks=50]");

	stream_open(&reader, s->port, t.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	frozen = freeze(cluster);
	let_model_speak(&t);
	/* Shown to the reader, in no table. */
	for (; seen < 20 && stream_next(&reader, &e); seen++)
		stream_event_free(&e);
	cr_assert_eq(seen, 20, "events before the stream ended: %d", seen);
	process_signal(s->supervisor, SIGTERM);

	int code = process_wait(s->supervisor, LIMIT_MS + WAIT_MS);

	thaw(&frozen);
	stream_close(&reader);
	report = stop_report(s->supervisor);
	cr_expect_eq(code, EXIT_WORK_LOST, "%s", json_object_to_json_string(report));
	cr_expect_leq(json_number_at(report, "ms"), LIMIT_MS);
	cr_expect_str_eq(json_at(report, "result"), "lost");
	cr_expect_geq(json_number_at(report, "lost"), 1);
	json_object_put(report);
	expect_answered_by_next(s, &t, turn);
	talk_fini(&t);
	server_end(&s);
	cluster_destroy(&cluster);
}

Test(faults_stop, a_database_that_answers_late_is_waited_for_and_all_is_stored)
{
	struct cluster *cluster = cluster_create();
	struct manager manager;
	struct server *s;
	struct json_object *report;
	struct frozen frozen;
	struct talk t;

	manager_open(&manager, false);
	s = server_start_on(
		cluster, (const char *[]) { manager.variable, PATIENT_QUERIES, "RENOVATIOND_SHUTDOWN_HTTP_MS=1000",
				 "RENOVATIOND_SHUTDOWN_REALTIME_MS=1000", "RENOVATIOND_SHUTDOWN_TURNS_MS=1000",
				 "RENOVATIOND_SHUTDOWN_DATABASE_MS=60000", "RENOVATIOND_SHUTDOWN_MS=100000", NULL });
	talk_init(&t, s);

	const char *turn = ask_silent_model(&t, "How long does screed dry? [sim:chunks=60][sim:delay=5ms]");

	frozen = freeze(cluster);
	process_signal(s->supervisor, SIGTERM);
	/* Later than the sockets' phase, earlier than the end of the database's. */
	(void)manager_wait(&manager, "STATUS=stopping (database)", 0, WAIT_MS);
	for (int64_t end_ms = now_ms() + 1000; now_ms() < end_ms; pause_ms(20))
		cr_assert(process_is_running(s->supervisor), "it waits for its database");
	thaw(&frozen);
	cr_expect_eq(process_wait(s->supervisor, 100000), 0);
	report = stop_report(s->supervisor);
	cr_expect_str_eq(stop_phase_state(report, "database"), "done", "%s", json_object_to_json_string(report));
	cr_expect_eq(json_number_at(report, "lost"), 0, "%s", json_object_to_json_string(report));
	json_object_put(report);
	let_model_speak(&t);
	expect_answered_by_next(s, &t, turn);
	talk_fini(&t);
	server_end(&s);
	manager_close(&manager);
	cluster_destroy(&cluster);
}

Test(faults_stop, a_second_int_ends_a_stop_that_waits_for_a_dead_database)
{
	if (!faults_are_whole())
		cr_skip_test("whole form only: another cluster of its own");

	struct cluster *cluster = cluster_create();
	struct server *s = server_start_on(cluster,
		(const char *[]) { "RENOVATIOND_SHUTDOWN_DATABASE_MS=20000", "RENOVATIOND_SHUTDOWN_HTTP_MS=500",
			"RENOVATIOND_SHUTDOWN_REALTIME_MS=500", "RENOVATIOND_SHUTDOWN_TURNS_MS=500",
			"RENOVATIOND_SHUTDOWN_MS=40000", PATIENT_QUERIES, NULL });
	struct scoreboard *board = board_open(s);
	struct frozen frozen;
	struct client c;

	server_owner(s, &c);
	frozen = freeze(cluster);
	send_write(&c);
	server_wait(s, is_waiting, board, "the write waits", WAIT_MS);
	process_signal(s->supervisor, SIGTERM);
	log_wait_count(s->supervisor, "\"msg\":\"stop begins\"", 1, WAIT_MS);
	process_signal(s->supervisor, SIGINT);
	/* A second or two, not the database's twenty. */
	cr_expect_eq(process_wait(s->supervisor, 12000), 0);
	thaw(&frozen);
	board_close(&board);
	client_fini(&c);
	server_end(&s);
	cluster_destroy(&cluster);
}

/* ---- readers --------------------------------------------------------------------------------------------------- */

#define DEAF_READERS 20
#define DEAF_ASKERS  4
#define PIPELINED    400 /* answers of some hundred KiB each: more than any kernel keeps for a socket */

static void connect_deaf(struct client *c, int port)
{
	int room = 1;

	client_init(c, port);
	cr_assert(client_connect(c));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

struct flow {
	const struct scoreboard *board;
	uint64_t bytes;
	int64_t since_ms;
};

/* Nothing more goes out: all that could be written was, and the rest waits for who does not read. */
static bool is_stuck(void *arg)
{
	struct flow *flow = arg;
	uint64_t bytes = scoreboard_total(flow->board).bytes_out;

	if (bytes != flow->bytes) {
		flow->bytes = bytes;
		flow->since_ms = now_ms();
	}
	return bytes > 0 && now_ms() - flow->since_ms > 500;
}

Test(faults_stop, clients_that_never_read_are_cut_and_hold_up_nobody)
{
	static const char question[] = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server *s =
		server_start((const char *[]) { SHORT_LIMITS, "RENOVATIOND_HTTP_WRITE_TIMEOUT_MS=600000", NULL });
	struct scoreboard *board = board_open(s);
	struct client deaf[DEAF_READERS + DEAF_ASKERS];
	struct flow flow = { .board = board };
	struct json_object *report;
	struct talk t;
	char request[600];

	talk_init(&t, s);

	const char *turn = talk_ask(&t, "Tell me. [sim:words=20000][sim:delay=0ms]", "");
	int length = snprintf(request, sizeof request,
		"GET /api/turns/%s/stream HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\nAccept: "
		"text/event-stream\r\n\r\n",
		turn, t.client.token);

	for (int i = 0; i < DEAF_READERS + DEAF_ASKERS; i++)
		connect_deaf(&deaf[i], s->port);
	for (int i = 0; i < DEAF_READERS; i++)
		cr_assert(client_send(&deaf[i], request, (size_t)length));
	for (int i = 0; i < DEAF_ASKERS * PIPELINED; i++)
		cr_assert(client_send(&deaf[DEAF_READERS + i % DEAF_ASKERS], question, sizeof question - 1));
	talk_wait(&t, turn, "completed", WAIT_MS);
	server_wait(s, is_stuck, &flow, "nothing more can be written", WAIT_MS);
	cr_expect_eq(get_many(s->port, 10), 10, "others are served all the same");
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, LIMIT_MS + WAIT_MS), 0);
	report = stop_report(s->supervisor);
	cr_expect_leq(json_number_at(report, "ms"), LIMIT_MS);
	cr_expect_eq(json_number_at(report, "lost"), 0);
	cr_expect_eq(json_number_at(report, "workers_killed"), 0, "%s", json_object_to_json_string(report));
	cr_expect_geq(json_number_at(report, "forced"), DEAF_ASKERS, "who did not read was cut: %s",
		json_object_to_json_string(report));
	cr_expect_str_eq(stop_phase_state(report, "http"), "timeout");
	cr_expect_str_eq(stop_phase_state(report, "database"), "done");
	json_object_put(report);
	for (int i = 0; i < DEAF_READERS + DEAF_ASKERS; i++)
		client_fini(&deaf[i]);
	board_close(&board);
	talk_fini(&t);
	server_end(&s);
}
