/* Answers whose writer dies: at any moment another worker goes on, the text is the one that would have been written, readers miss nothing and see nothing twice,
 * tools have their effect exactly once; after the death of the whole host the next start goes on; and a stop in the middle loses nothing. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/faults.h"
#include "tests/support/talk.h"

TestSuite(takeover, .timeout = 300);

#define LONG_ANSWER "How long does screed dry? [sim:chunks=60][sim:delay=25ms]"
#define TWO_TASKS                                                                                                      \
	"Please plan. [sim:tool=add_task {\"title\":\"Call the plumber\"}][sim:tool=add_task {\"title\":\"Order "      \
	"tiles\"}][sim:delay=5ms]"

static void expect_whole(struct talk *t, const char *turn, const struct followed *f)
{
	struct json_object *answer = talk_answer(t, turn), *body = talk_turn(t, turn);

	cr_expect(!f->has_gap, "numbers have a gap:\n%s", f->events);
	cr_expect_str_eq(json_at(answer, "content"), f->text);
	cr_expect_str_eq(json_at(answer, "status"), "complete");
	cr_expect_str_eq(json_at(body, "status"), "completed", "%s", json_object_to_json_string(body));
	cr_expect_str_eq(json_at(body, "lastEventId"), f->last_id);
	json_object_put(answer);
	json_object_put(body);
}

/* What is said without any accident. */
static char *undisturbed(struct server *s, const char *question)
{
	struct talk t;

	talk_init(&t, s);

	struct followed f = talk_follow(&t, talk_ask(&t, question, ""), "", 60000);
	char *text = strdup(f.text);

	followed_free(&f);
	talk_fini(&t);
	return text;
}

/* Reads as many, from the first; fails the test when there are not so many. */
static void wait_events(struct talk *t, const char *turn, int at_least)
{
	struct stream s;
	struct stream_event e;
	int count = 0;

	stream_open(&s, t->server->port, t->client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	while (count < at_least && stream_next(&s, &e)) {
		count++;
		stream_event_free(&e);
	}
	cr_assert_eq(count, at_least, "only %d of %d events came (status %d)", count, at_least, s.status);
	stream_close(&s);
}

static void kill_writer(struct talk *t, const char *turn)
{
	pid_t writer = talk_writer(t, turn);

	cr_assert(writer > 0, "nobody writes the turn, which is %s", talk_status(t, turn));
	cr_assert_eq(kill(writer, SIGKILL), 0);
}

Test(takeover, killed_writers_text_is_continued_exactly)
{
	/* No lease ends in the time of this test: who goes on has been told of the death. */
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_LEASE_MS=600000", NULL });
	char *expected = undisturbed(s, LONG_ANSWER);
	struct talk t;

	for (int events = 2; events <= 50; events += 12) {
		talk_init(&t, s);
		talk_hush(&t, 0, events + 6); /* it does not end before it is killed, nor does it stand still long */

		const char *turn = talk_ask(&t, LONG_ANSWER, "");

		wait_events(&t, turn, events);
		talk_wait_hushed(&t); /* or the next writer would meet it */
		kill_writer(&t, turn);

		struct followed f = talk_follow(&t, turn, "", 60000);

		cr_expect_str_eq(f.text, expected);
		expect_whole(&t, turn, &f);

		struct followed again = talk_follow(&t, turn, "", 60000);

		cr_expect_str_eq(again.events, f.events, "a replay differs");
		followed_free(&again);
		followed_free(&f);
		talk_fini(&t);
	}
	free(expected);
	server_end(&s);
}

Test(takeover, two_deaths_in_one_answer)
{
	struct server *s = server_start((const char *[]) { "WORKERS=3", NULL });
	char *expected = undisturbed(s, LONG_ANSWER);
	struct talk t;

	talk_init(&t, s);
	talk_hush(&t, 0, 21);
	talk_hush(&t, 1, 27);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	wait_events(&t, turn, 15);
	kill_writer(&t, turn);
	wait_events(&t, turn, 35); /* the last of them are the second writer's */
	talk_wait_hushed(&t);
	kill_writer(&t, turn);

	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect_str_eq(f.text, expected);
	expect_whole(&t, turn, &f);
	followed_free(&f);
	talk_fini(&t);
	free(expected);
	server_end(&s);
}

#define PATIENT "RENOVATIOND_DB_WAIT_TIMEOUT_MS=60000" /* with writes that are held as long as a test needs it */

/* --- death between two instructions ----------------------------------------------------------------------------------------- */

/* Makes the database do this over one kind of write. The function is the superuser's: the product's role may not read the gate. */
static void on_write(struct server *s, const char *table, const char *when, const char *what)
{
	free(cluster_sql(s->cluster, s->database,
		format("CREATE OR REPLACE FUNCTION renovationd.dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY "
		       "DEFINER AS $$ BEGIN %s RETURN NULL; END $$;"
		       "CREATE OR REPLACE TRIGGER dawdle AFTER INSERT OR UPDATE ON renovationd.%s FOR EACH ROW WHEN "
		       "(%s) EXECUTE "
		       "FUNCTION renovationd.dawdle(); SELECT 1",
			what, table, when)));
}

/* The write stops there until the gate opens, so that the writer can be killed while the write is on its way: it still commits. */
static void hold_write(struct server *s, const char *table, const char *when)
{
	free(cluster_sql(s->cluster, s->database,
		"CREATE TABLE IF NOT EXISTS public.gate (is_open boolean); DELETE FROM public.gate; "
		"INSERT INTO public.gate VALUES (false)"));
	on_write(s, table, when,
		"WHILE EXISTS (SELECT FROM public.gate WHERE NOT is_open) LOOP PERFORM pg_sleep(0.01); END LOOP;");
}

static bool is_sleeping(void *arg)
{
	struct server *s = arg;

	return cluster_count(s->cluster, s->database,
		       "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = "
		       "'PgSleep'") > 0;
}

static void kill_during(struct talk *t, const char *turn)
{
	struct server *s = t->server;
	pid_t pids[8];

	wait_until(is_sleeping, s, "the write that is held never came", 30000);
	if (turn != NULL)
		kill_writer(t, turn);
	else
		for (int i = 0, n = server_workers(s, pids, 8); i < n; i++)
			(void)kill(pids[i], SIGKILL);
}

/* The trigger stays and does nothing: dropping it would wait for the very writes that it holds open. */
static void let_write(struct server *s)
{
	free(cluster_sql(s->cluster, s->database, "UPDATE public.gate SET is_open = true"));
}

static void expect_two_tasks(struct talk *t, const char *turn)
{
	struct server *s = t->server;

	cr_expect_eq(cluster_count(s->cluster, s->database,
			     format("SELECT count(*) FROM renovationd.tasks WHERE turn_id = '%s'", turn)),
		2);
	cr_expect_eq(
		cluster_count(s->cluster, s->database,
			format("SELECT count(*) FROM renovationd.tool_calls WHERE turn_id = '%s' AND status = 'ok'",
				turn)),
		2);
	cr_expect_eq(cluster_count(s->cluster, s->database,
			     format("SELECT count(*) FROM renovationd.chat_messages WHERE turn_id = '%s'", turn)),
		2);
}

static void stop_turn(struct talk *t, const char *turn)
{
	struct reply r = client_request(&t->client, "POST", format("/api/turns/%s/cancel", turn), NULL, NULL);

	cr_expect_eq(r.status, 200, "%d %s", r.status, r.body);
	reply_free(&r);
}

struct window {
	const char *table; /* the write that dawdles */
	const char *when;  /* which rows */
};

static void die_in_window(struct server *s, const struct window *w, const char *expected)
{
	struct talk t;

	talk_init(&t, s);
	hold_write(s, w->table, w->when);

	const char *turn = talk_ask(&t, TWO_TASKS, "");

	kill_during(&t, turn);
	let_write(s);

	struct followed f = talk_follow(&t, turn, "", 60000);

	expect_whole(&t, turn, &f);
	expect_two_tasks(&t, turn);
	cr_expect_str_eq(f.text, expected, "%s WHEN %s", w->table, w->when);
	followed_free(&f);
	talk_fini(&t);
}

Test(takeover, death_while_a_step_is_stored)
{
	struct server *s = server_start((const char *[]) { PATIENT, NULL });
	char *expected = undisturbed(s, TWO_TASKS);

	die_in_window(s, &(struct window) { "turn_steps", "NEW.step = 1" }, expected);
	free(expected);
	server_end(&s);
}

Test(takeover, death_between_a_tools_effect_and_its_event)
{
	struct server *s = server_start((const char *[]) { PATIENT, NULL });
	char *expected = undisturbed(s, TWO_TASKS);

	die_in_window(s, &(struct window) { "tool_calls", "NEW.status = 'ok' AND NEW.ordinal = 0" }, expected);
	die_in_window(s, &(struct window) { "tool_calls", "NEW.status = 'ok' AND NEW.ordinal = 1" }, expected);
	free(expected);
	server_end(&s);
}

Test(takeover, death_while_events_are_checkpointed)
{
	struct server *s = server_start((const char *[]) { PATIENT, "RENOVATIOND_CHAT_CHECKPOINT_MS=50", NULL });
	struct talk t;
	char *expected = undisturbed(s, LONG_ANSWER);

	talk_init(&t, s);
	hold_write(s, "turn_chunks", "NEW.from_event > 3");

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	kill_during(&t, turn);
	let_write(s);

	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect_str_eq(f.text, expected);
	expect_whole(&t, turn, &f);
	followed_free(&f);
	talk_fini(&t);
	free(expected);
	server_end(&s);
}

Test(takeover, death_between_the_stored_end_and_its_events)
{
	struct server *s = server_start((const char *[]) { PATIENT, NULL });
	char *expected = undisturbed(s, TWO_TASKS);

	die_in_window(s, &(struct window) { "chat_messages", "NEW.status = 'complete' AND NEW.role = 'assistant'" },
		expected);
	free(expected);
	server_end(&s);
}

Test(takeover, death_between_the_stored_question_and_its_answer)
{
	struct server *s = server_start((const char *[]) { PATIENT, "RENOVATIOND_CHAT_LEASE_MS=2000", NULL });
	struct talk t;

	talk_init(&t, s);
	hold_write(s, "turns", "NEW.status = 'running' AND NEW.attempt = 0");
	cr_assert(client_connect(&t.client));

	const char *body = "{\"content\":\"How long does screed dry?\",\"clientMessageId\":\"q1\"}";
	const char *request = format("POST /api/conversations/%s/messages HTTP/1.1\r\nHost: x\r\nX-Owner-Token: "
				     "%s\r\nContent-Type: application/json\r\n"
				     "Content-Length: %zu\r\n\r\n%s",
		t.conversation, t.client.token, strlen(body), body);

	cr_assert(client_send(&t.client, request, strlen(request)));
	kill_during(&t, NULL);
	let_write(s);
	client_disconnect(&t.client);

	/* The client does not know; it asks again with the same id until somebody answers. */
	struct reply r = { 0 };
	int64_t deadline = now_ms() + 60000;

	do {
		cr_assert(now_ms() < deadline, "asking again gave %d: %s", r.status, r.body);
		reply_free(&r);
		pause_ms(50);
		r = talk_post(&t, "How long does screed dry?", ",\"clientMessageId\":\"q1\"");
	} while (r.status != 200 && r.status != 202);
	cr_expect_eq(r.status, 200, "the first question was not stored: %d %s", r.status, r.body);

	struct json_object *answer = reply_json(&r);
	const char *turn = talk_keep(json_at(answer, "turn.id"));
	struct followed f = talk_follow(&t, turn, "", 60000);

	expect_whole(&t, turn, &f);
	cr_expect_eq(cluster_count(s->cluster, s->database, "SELECT count(*) FROM renovationd.turns"), 1);
	json_object_put(answer);
	followed_free(&f);
	reply_free(&r);
	talk_fini(&t);
	server_end(&s);
}

struct row {
	struct server *server;
	const char *turn;
	const char *condition; /* on it, in SQL */
};

static bool is_so(void *arg)
{
	const struct row *row = arg;

	return cluster_count(row->server->cluster, row->server->database,
		       format("SELECT count(*) FROM renovationd.turns WHERE id = '%s' AND %s", row->turn,
			       row->condition)) == 1;
}

/* The row says that the queued question is being answered, and its writer does not know yet: there is no ring, by which others find the writer. */
Test(takeover, a_stop_that_comes_before_the_writer_has_begun_ends_the_answer)
{
	struct server *s = server_start((const char *[]) { PATIENT, "WORKERS=2", "RENOVATIOND_CHAT_LEASE_MS=600000",
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=200000", "RENOVATIOND_HEARTBEAT_KILL_MS=300000", NULL });
	struct talk t;
	pid_t workers[3], writer;

	workers_wait(s, 0, 2, 30000);
	cr_assert_eq(server_workers(s, workers, 3), 2);
	talk_init(&t, s);
	talk_hush(&t, 0, 3);
	talk_hush(&t, 1, 3);

	const char *first = talk_ask(&t, LONG_ANSWER, ""), *second = talk_ask(&t, LONG_ANSWER, "");
	struct row running = { s, second, "status = 'running'" }, ended = { s, second, "ended_at IS NOT NULL" };

	hold_write(s, "turns", format("NEW.id = '%s' AND NEW.status = 'running'", second));
	stop_turn(&t, first);
	wait_until(is_sleeping, s, "the write that is held never came", 30000);
	pid_freeze(workers[0]);
	pid_freeze(workers[1]);
	let_write(s);
	wait_until(is_so, &running, "the second question is answered", 30000);
	writer = talk_writer(&t, second);
	cr_assert(writer == workers[0] || writer == workers[1], "%d", (int)writer);
	pid_thaw(writer == workers[0] ? workers[1] : workers[0]);
	client_disconnect(&t.client);
	stop_turn(&t, second);
	pid_thaw(writer);
	wait_until(is_so, &ended, "the writer ends it", 30000);
	cr_expect_str_eq(talk_status(&t, second), "cancelled");
	talk_fini(&t);
	server_end(&s);
}

/* --- the whole host --------------------------------------------------------------------------------------------------------- */

Test(takeover, host_death_goes_on_from_the_last_chunk_and_readers_are_rewound)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_LEASE_MS=2000", NULL });
	char *expected = undisturbed(s, LONG_ANSWER);
	struct talk t;
	pid_t pids[8];
	char far[120];

	talk_init(&t, s);
	talk_hush(&t, 0, 52);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	wait_events(&t, turn, 50);

	int count = server_workers(s, pids, 8);

	process_signal(s->supervisor, SIGSTOP); /* or it would start new workers in between */
	for (int i = 0; i < count; i++)
		(void)kill(pids[i], SIGKILL);
	process_signal(s->supervisor, SIGKILL);
	client_disconnect(&t.client);
	server_start_elsewhere(s);
	t.client.port = s->port;
	(void)snprintf(far, sizeof far, "%s.%d", turn, 5000);

	struct followed f = talk_follow(&t, turn, far, 60000);

	cr_expect_eq(f.rewinds, 1, "%d rewinds, %d connections more than one", f.rewinds, f.reconnects);
	followed_free(&f);
	f = talk_follow(&t, turn, "", 60000);
	cr_expect_str_eq(f.text, expected);
	expect_whole(&t, turn, &f);
	followed_free(&f);
	talk_fini(&t);
	free(expected);
	server_end(&s);
}

Test(takeover, stop_in_mid_answer_sends_readers_away_and_the_next_start_goes_on)
{
	struct server *s = server_start(NULL);
	const char *question = "How long does screed dry? [sim:chunks=200][sim:delay=40ms]";
	char *expected = undisturbed(s, question);
	struct talk t;
	struct stream reader;
	struct stream_event e;
	char last[80] = "";
	bool is_told = false;

	talk_init(&t, s);
	talk_hush(&t, 0, 150); /* however late the stop comes, it comes in mid answer */

	const char *turn = talk_ask(&t, question, "");

	stream_open(&reader, s->port, t.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	for (int i = 0; i < 10 && stream_next(&reader, &e); i++)
		stream_event_free(&e);
	process_signal(s->supervisor, SIGTERM);
	while (stream_next(&reader, &e)) {
		if (e.id[0] != '\0')
			(void)snprintf(last, sizeof last, "%s", e.id);
		is_told = is_told || (e.data != NULL && strstr(e.data, "data-reconnect") != NULL);
		stream_event_free(&e);
	}
	cr_expect(is_told, "the reader was not told to come back");
	cr_expect(reader.is_clean, "the stream was cut");
	stream_close(&reader);
	cr_expect_eq(process_wait(s->supervisor, 30000), 0);
	client_disconnect(&t.client);
	server_start_elsewhere(s);
	t.client.port = s->port;

	struct followed rest = talk_follow(&t, turn, last, 60000), all = talk_follow(&t, turn, "", 60000);

	cr_expect_eq(rest.rewinds, 0, "events that were shown are lost");
	cr_expect(!rest.has_gap);
	cr_expect_str_eq(all.text, expected);
	expect_whole(&t, turn, &all);
	followed_free(&rest);
	followed_free(&all);
	talk_fini(&t);
	free(expected);
	server_end(&s);
}

/* --- the database ----------------------------------------------------------------------------------------------------------- */

Test(takeover, database_slower_than_the_model_holds_the_model_up_and_loses_nothing)
{
	const char *question = "Tell me. [sim:words=40000][sim:delay=0ms]";
	struct server *s = server_start(NULL);
	char *expected = undisturbed(s, question);
	struct talk t;

	talk_init(&t, s);
	on_write(s, "turn_chunks", "true", "PERFORM pg_sleep(0.6);");

	struct followed f = talk_follow(&t, talk_ask(&t, question, ""), "", 90000);

	cr_expect_str_eq(f.text, expected);
	cr_expect(!f.has_gap);
	followed_free(&f);
	talk_fini(&t);
	free(expected);
	server_end(&s);
}

Test(takeover, database_restarted_in_mid_answer)
{
	struct cluster *cluster = cluster_create();
	struct server *s = server_start_on(cluster, NULL);
	char *expected = undisturbed(s, LONG_ANSWER);
	struct talk t;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	wait_events(&t, turn, 10);
	cluster_stop(cluster, SIGQUIT);
	pause_ms(300);
	cluster_start(cluster);
	talk_wait(&t, turn, "completed", 60000);

	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect_str_eq(f.text, expected);
	expect_whole(&t, turn, &f);
	followed_free(&f);
	talk_fini(&t);
	free(expected);
	server_end(&s);
	cluster_destroy(&cluster);
}

/* A commit whose confirmation was lost leaves a turn that has a living worker's lease and that this worker knows nothing of. Made here by hand. */
Test(takeover, turn_whose_beginning_was_never_confirmed_is_begun_by_its_own_worker)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_LEASE_MS=2000", NULL });
	struct talk busy, t;

	talk_init(&busy, s);
	talk_init(&t, s);

	const char *running = talk_ask(&busy, "Tell me. [sim:chunks=4000][sim:delay=100ms]", "");
	char *turn = cluster_sql(s->cluster, s->database,
		format("WITH c AS (UPDATE renovationd.conversations SET last_seq = 2, active_turn_id = "
		       "renovationd.uuid7() WHERE id = '%s' RETURNING *), "
		       "q AS (INSERT INTO renovationd.chat_messages (owner_id, conversation_id, session_id, seq, role, "
		       "text, turn_id) "
		       "SELECT owner_id, id, session_id, 1, 'user', 'How long does screed dry?', active_turn_id FROM c "
		       "RETURNING *), "
		       "a AS (INSERT INTO renovationd.chat_messages (owner_id, conversation_id, session_id, seq, role, "
		       "status, turn_id) "
		       "SELECT owner_id, id, session_id, 2, 'assistant', 'streaming', active_turn_id FROM c RETURNING "
		       "*) "
		       "INSERT INTO renovationd.turns (id, owner_id, conversation_id, user_message_id, "
		       "assistant_message_id, status, role, lease_owner, "
		       "lease_until, fence, started_at) SELECT q.turn_id, q.owner_id, q.conversation_id, q.id, a.id, "
		       "'running', 'streaming', "
		       "r.lease_owner, now(), 1, now() FROM q, a, renovationd.turns r WHERE r.id = '%s' RETURNING id",
			t.conversation, running));
	struct followed f = talk_follow(&t, turn, "", 60000);

	expect_whole(&t, turn, &f);
	cr_expect(strlen(f.text) > 20);
	followed_free(&f);
	free(turn);
	talk_fini(&t);
	talk_fini(&busy);
	server_end(&s);
}
