/* Asking and reading: what is stored, streamed and replayed; questions while an answer is written; cancel; the model's failures; tools; the useChat routes. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

static struct server *server;
static struct talk talk;

static void setup(void)
{
	/* No lease is renewed in the time of a test: a writer hears of a cancel from the worker that was asked. A reader may be as slow as it likes. */
	server = server_start((const char *[]) { "RENOVATIOND_CHAT_MAX_CALLS=10", "RENOVATIOND_CHAT_LEASE_MS=600000",
		"RENOVATIOND_HTTP_WRITE_TIMEOUT_MS=600000", NULL });
	talk_init(&talk, server);
}

static void teardown(void)
{
	talk_fini(&talk);
	server_end(&server);
}

TestSuite(chat, .init = setup, .fini = teardown, .timeout = 300);

#define ENDLESS_ANSWER "Tell me. [sim:chunks=4000][sim:delay=50ms]" /* ends no test by itself */

static char *member(struct json_object *object, const char *path)
{
	const char *found = json_at(object, path);

	return strdup(found != NULL ? found : "");
}

static char *turn_member(const char *turn, const char *path)
{
	struct json_object *body = talk_turn(&talk, turn);
	char *text = member(body, path);

	json_object_put(body);
	return text;
}

#define EXPECT_TURN(turn, path, expected)                                                                              \
	do {                                                                                                           \
		char *found_ = turn_member(turn, path);                                                                \
		cr_expect_str_eq(found_, expected, "%s is %s, not %s", path, found_, expected);                        \
		free(found_);                                                                                          \
	} while (0)

#define EXPECT_ANSWER(turn, path, expected)                                                                            \
	do {                                                                                                           \
		struct json_object *answer_ = talk_answer(&talk, turn);                                                \
		char *found_ = member(answer_, path);                                                                  \
		cr_expect_str_eq(found_, expected, "%s is %s, not %s", path, found_, expected);                        \
		free(found_);                                                                                          \
		json_object_put(answer_);                                                                              \
	} while (0)

/* --- asking and reading ----------------------------------------------------------------------------------------------------- */

Test(chat, question_and_answer_are_stored_as_streamed)
{
	const char *turn = talk_ask(&talk, "How long does screed dry?", ",\"clientMessageId\":\"m-1\"");
	struct followed f = talk_follow(&talk, turn, "", 60000), again = talk_follow(&talk, turn, "", 60000);
	struct json_object *answer = talk_answer(&talk, turn);

	cr_expect(!f.has_gap);
	cr_expect_str_eq(again.events, f.events);
	cr_expect_str_eq(json_at(answer, "content"), f.text);
	cr_expect_str_eq(json_at(answer, "status"), "complete");
	cr_expect(strlen(f.text) > 20);
	cr_expect_str_eq(json_at(answer, "parts.0.type"), "step-start");
	cr_expect_str_eq(json_at(answer, "parts.1.text"), f.text);
	cr_expect(json_object_get_int(json_object_at(answer, "usage.outputTokens")) > 0);
	EXPECT_TURN(turn, "status", "completed");
	EXPECT_TURN(turn, "finishReason", "stop");
	EXPECT_TURN(turn, "lastEventId", f.last_id);
	json_object_put(answer);
	followed_free(&f);
	followed_free(&again);
}

Test(chat, answer_goes_on_without_readers)
{
	const char *turn = talk_ask(&talk, "Tell me. [sim:chunks=40][sim:delay=10ms]", "");

	client_disconnect(&talk.client);
	talk_wait(&talk, turn, "completed", 60000);

	struct followed f = talk_follow(&talk, turn, "", 60000);

	EXPECT_ANSWER(turn, "content", f.text);
	followed_free(&f);
}

Test(chat, stream_is_the_answer_to_the_question_when_asked_for)
{
	struct stream s;
	char *text, last[80];

	stream_open(&s, server->port, talk.client.token, format("/api/sessions/%s/messages", talk.session), NULL,
		"{\"content\":\"How long does screed dry?\"}");
	cr_assert_eq(s.status, 200, "%d", s.status);
	cr_expect_not_null(strstr(s.head, "x-vercel-ai-ui-message-stream: v1"));
	cr_expect_not_null(strstr(s.head, "no-transform"));
	free(stream_rest(&s, &text, last));
	cr_expect(s.is_clean);
	cr_expect(strlen(text) > 20);
	free(text);
	stream_close(&s);
}

Test(chat, readers_on_all_workers_see_the_same)
{
	const char *turn = talk_ask(&talk, "Tell me. [sim:chunks=60][sim:delay=10ms]", "");
	struct stream readers[12];
	char *first = NULL;

	for (size_t i = 0; i < COUNT_OF(readers); i++)
		stream_open(
			&readers[i], server->port, talk.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	for (size_t i = 0; i < COUNT_OF(readers); i++) {
		char *events = stream_rest(&readers[i], NULL, NULL);

		cr_expect(readers[i].is_clean, "reader %zu (status %d) was cut after %s", i, readers[i].status, events);
		if (first == NULL)
			first = strdup(events);
		cr_expect_str_eq(events, first);
		free(events);
		stream_close(&readers[i]);
	}
	free(first);
}

Test(chat, coming_back_after_any_event_gives_the_rest)
{
	const char *turn = talk_ask(&talk, "Tell me. [sim:chunks=30][sim:delay=2ms]", "");
	struct followed all = talk_follow(&talk, turn, "", 60000);

	for (int n = 1; n < all.count; n += 3) {
		struct followed rest = talk_follow(&talk, turn, format("%s.%d", turn, n), 60000);
		size_t length = strlen(rest.events), whole = strlen(all.events);

		cr_expect_eq(rest.count, all.count - n);
		cr_expect(length < whole && strcmp(all.events + whole - length, rest.events) == 0, "after %d", n);
		followed_free(&rest);
	}
	followed_free(&all);
}

static int first_rewind(const char *turn, const char *last, int *status_out)
{
	struct stream s;
	struct stream_event e;
	int to = -1;

	stream_open(&s, server->port, talk.client.token, format("/api/turns/%s/stream", turn),
		format("Last-Event-ID: %s\r\n", last), NULL);
	*status_out = s.status;
	if (s.status == 200 && stream_next(&s, &e)) {
		struct json_object *part = e.data != NULL && e.data[0] == '{' ? json_tokener_parse(e.data) : NULL;

		if (part != NULL && strcmp(json_at(part, "type"), "data-rewind") == 0) {
			to = json_object_get_int(json_object_at(part, "data.to"));
			cr_expect_str_eq(e.id, "");
		}
		json_object_put(part);
		stream_event_free(&e);
	}
	stream_close(&s);
	return to;
}

Test(chat, last_event_id_is_taken_as_promised)
{
	const char *turn = talk_ask(&talk, "Hello", "");
	struct followed f = talk_follow(&talk, turn, "", 60000);
	const char *other = talk_ask(&talk, "Hello again", "");
	int status;

	(void)first_rewind(turn, f.last_id, &status);
	cr_expect_eq(status, 204, "the last event of a finished turn gives %d", status);
	cr_expect_eq(first_rewind(turn, "nonsense", &status), 0);
	cr_expect_eq(first_rewind(turn, format("%s.3", other), &status), 0);
	cr_expect_eq(first_rewind(turn, format("%s.-1", turn), &status), 0);
	cr_expect_eq(first_rewind(turn, format("%s.99999", turn), &status), f.count);
	cr_expect_eq(status, 200);
	followed_free(&f);
}

Test(chat, stream_after_the_chunks_retention_comes_from_the_stored_message)
{
	const char *turn = talk_ask(&talk, "Plan. [sim:tool=add_task {\"title\":\"x\"}]", "");
	struct followed f = talk_follow(&talk, turn, "", 60000);
	struct stream s;
	struct stream_event e;
	char *text = strdup("");
	bool is_done = false, has_tool = false;

	free(cluster_sql(server->cluster, server->database, "DELETE FROM renovationd.turn_chunks; SELECT 1"));
	for (int64_t deadline = now_ms() + 60000; !is_done;) {
		cr_assert(now_ms() < deadline, "the ring stays, or the stream has no end: %s", text);
		stream_open(&s, server->port, talk.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
		free(text);
		text = strdup("");
		for (bool has_id = false; stream_next(&s, &e); stream_event_free(&e)) {
			if (e.data == NULL)
				continue;

			struct json_object *part = e.data[0] == '{' ? json_tokener_parse(e.data) : NULL;
			const char *delta = part != NULL ? json_at(part, "delta") : NULL;

			has_id = has_id || e.id[0] != '\0';
			is_done = part == NULL && !has_id;
			has_tool = has_tool ||
				   (part != NULL && strcmp(json_at(part, "type"), "tool-output-available") == 0);
			if (delta != NULL) {
				text = realloc(text, strlen(text) + strlen(delta) + 1);
				memcpy(text + strlen(text), delta, strlen(delta) + 1);
			}
			json_object_put(part);
		}
		stream_close(&s);
		pause_ms(200); /* until then the ring lingers */
	}
	cr_expect_str_eq(text, f.text);
	cr_expect(has_tool);
	free(text);
	followed_free(&f);
}

Test(chat, slow_reader_gets_everything_and_holds_up_nobody)
{
	const char *turn = talk_ask(&talk, "Tell me. [sim:words=60000][sim:delay=0ms]", "");
	struct stream slow;

	stream_open(&slow, server->port, talk.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	talk_wait(&talk, turn, "completed", 60000);

	struct followed f = talk_follow(&talk, turn, "", 60000);
	char *text, *events = stream_rest(&slow, &text, NULL);

	cr_expect_str_eq(text, f.text);
	cr_expect_str_eq(events, f.events);
	free(text);
	free(events);
	stream_close(&slow);
	followed_free(&f);
}

static int ask_status(const char *body, char code_out[64])
{
	struct reply r = client_request(
		&talk.client, "POST", format("/api/conversations/%s/messages", talk.conversation), NULL, body);
	struct json_object *problem = r.body_length > 0 && r.body[0] == '{' ? json_tokener_parse(r.body) : NULL;
	const char *code = problem != NULL ? json_at(problem, "code") : NULL;
	int status = r.status;

	(void)snprintf(code_out, 64, "%s", code != NULL ? code : "");
	json_object_put(problem);
	reply_free(&r);
	return status;
}

Test(chat, bad_questions_are_refused)
{
	static const struct {
		const char *body;
		int status;
		const char *code;
	} cases[] = {
		{ "{}", 400, "validation_failed" },
		{ "{\"content\":\"\"}", 400, "validation_failed" },
		{ "{\"content\":5}", 400, "validation_failed" },
		{ "{\"content\":\"a\\u0000b\"}", 400, "invalid_json" },
		{ "{\"content\":\"\\ud800\"}", 400, "invalid_json" },
		{ "{\"content\":\"\xff\"}", 400, "invalid_json" },
		{ "{\"content\":\"x\",\"colour\":1}", 400, "validation_failed" },
		{ "{\"content\":\"x\",\"whenBusy\":\"later\"}", 400, "validation_failed" },
		{ "{\"content\":\"x\",\"clientMessageId\":\"\"}", 400, "validation_failed" },
		{ "{\"content\":\"x\",\"clientMessageId\":\"a\\nb\"}", 400, "validation_failed" },
		{ "[1]", 400, "validation_failed" },
		{ "{", 400, "invalid_json" },
	};
	char code[64], *long_text = malloc(32002 + 32), *body = malloc(32100);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		cr_expect_eq(ask_status(cases[i].body, code), cases[i].status, "%s", cases[i].body);
		cr_expect_str_eq(code, cases[i].code, "%s: %s", cases[i].body, code);
	}
	memset(long_text, 'x', 32001);
	long_text[32001] = '\0';
	(void)snprintf(body, 32100, "{\"content\":\"%s\"}", long_text);
	cr_expect_eq(ask_status(body, code), 400);
	long_text[32000] = '\0';
	(void)snprintf(body, 32100, "{\"content\":\"%s\"}", long_text);
	cr_expect_eq(ask_status(body, code), 202);
	free(long_text);
	free(body);
}

Test(chat, same_client_message_id_is_one_question)
{
	struct reply first = talk_post(&talk, "Hello there", ",\"clientMessageId\":\"same\"");
	struct reply second = talk_post(&talk, "Hello there", ",\"clientMessageId\":\"same\"");
	struct reply third = talk_post(&talk, "Other words", ",\"clientMessageId\":\"same\"");
	struct json_object *a = reply_json(&first), *b = reply_json(&second);

	cr_expect_eq(first.status, 202);
	cr_expect_eq(second.status, 200);
	cr_expect_str_eq(reply_header(&second, "Idempotent-Replayed"), "true");
	cr_expect_str_eq(json_at(a, "turn.id"), json_at(b, "turn.id"));
	cr_expect_str_eq(json_at(a, "message.id"), json_at(b, "message.id"));
	cr_expect_eq(third.status, 409);
	cr_expect_not_null(strstr(third.body, "client_message_id_reused"));
	json_object_put(a);
	json_object_put(b);
	reply_free(&first);
	reply_free(&second);
	reply_free(&third);
}

Test(chat, other_owners_see_nothing)
{
	const char *turn = talk_ask(&talk, "Hello", "");
	struct client other;
	static const char *const paths[][2] = { { "GET", "/api/turns/%s" }, { "GET", "/api/turns/%s/stream" },
		{ "POST", "/api/turns/%s/cancel" } };

	client_init(&other, server->port);
	server_owner(server, &other);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		char path[128];

		(void)snprintf(path, sizeof path,
			i == 0   ? "/api/turns/%s"
			: i == 1 ? "/api/turns/%s/stream"
				 : "/api/turns/%s/cancel",
			turn);

		struct reply r = client_request(&other, paths[i][0], path, NULL, NULL);

		cr_expect_eq(r.status, 404, "%s %s gave %d", paths[i][0], path, r.status);
		reply_free(&r);
	}
	struct reply r = client_request(&other, "POST", format("/api/conversations/%s/messages", talk.conversation),
		NULL, "{\"content\":\"x\"}");

	cr_expect_eq(r.status, 404);
	reply_free(&r);
	client_fini(&other);
	talk_wait(&talk, turn, "completed", 60000);
}

/* --- more questions than answers -------------------------------------------------------------------------------------------- */

Test(chat, questions_wait_their_turn)
{
	const char *turns[4];

	process_signal(server->simulator, SIGSTOP); /* the first is not answered before all are asked */
	turns[0] = talk_ask(&talk, "one [sim:repeat=answer 1][sim:delay=50ms]", "");
	for (int i = 1; i < 4; i++)
		turns[i] = talk_ask(&talk, format("more [sim:repeat=answer %d]", i + 1), "");
	cr_expect_str_eq(talk_status(&talk, turns[0]), "running");
	for (int i = 1; i < 4; i++)
		cr_expect_str_eq(talk_status(&talk, turns[i]), "queued");
	process_signal(server->simulator, SIGCONT);
	for (int i = 0; i < 4; i++) {
		struct followed f = talk_follow(&talk, turns[i], "", 60000);

		cr_expect_str_eq(f.text, format("answer %d", i + 1));
		followed_free(&f);
	}
	cr_expect_eq(cluster_count(server->cluster, server->database,
			     format("SELECT queued_turns + (active_turn_id IS NOT NULL)::int FROM "
				    "renovationd.conversations WHERE id = '%s'",
				     talk.conversation)),
		0);
	cr_expect_eq(cluster_count(server->cluster, server->database,
			     "SELECT count(*) FROM renovationd.turns a JOIN renovationd.chat_messages p ON p.id = "
			     "a.user_message_id, "
			     "renovationd.turns b JOIN renovationd.chat_messages q ON q.id = b.user_message_id WHERE "
			     "q.seq > p.seq AND "
			     "b.started_at < a.ended_at"),
		0);
}

Test(chat, busy_conversation_can_refuse_fill_up_and_be_interrupted)
{
	const char *running = talk_ask(&talk, ENDLESS_ANSWER, "");
	char code[64];

	cr_expect_eq(ask_status("{\"content\":\"x\",\"whenBusy\":\"reject\"}", code), 409);
	cr_expect_str_eq(code, "turn_in_progress");
	for (int i = 0; i < 7; i++)
		(void)talk_ask(&talk, "short [sim:repeat=ok]", "");

	const char *urgent = talk_ask(&talk, "stop that [sim:repeat=at once]", ",\"whenBusy\":\"interrupt\"");

	talk_wait(&talk, running, "cancelled", 30000);
	talk_wait(&talk, urgent, "completed", 60000);
	(void)talk_ask(&talk, ENDLESS_ANSWER, "");
	for (int i = 0; i < 8; i++)
		(void)talk_ask(&talk, "short [sim:repeat=ok]", "");
	cr_expect_eq(ask_status("{\"content\":\"x\"}", code), 409);
	cr_expect_str_eq(code, "too_many_queued");
}

/* --- cancel ----------------------------------------------------------------------------------------------------------------- */

static int64_t simulator_stat(const char *name)
{
	struct reply r = simulator_request(server, "GET", "/sim/stats", NULL);
	struct json_object *stats = reply_json(&r);
	int64_t value = json_object_get_int64(json_object_at(stats, name));

	json_object_put(stats);
	reply_free(&r);
	return value;
}

static bool no_call_is_open(void *arg)
{
	(void)arg;
	return simulator_stat("open") == 0;
}

/* Whether the rest of a stream has an abort. */
static bool ends_with_abort(struct stream *s)
{
	struct stream_event e;
	bool has_abort = false;

	while (stream_next(s, &e)) {
		has_abort = has_abort || (e.data != NULL && strstr(e.data, "\"abort\"") != NULL);
		stream_event_free(&e);
	}
	return has_abort;
}

Test(chat, cancel_stops_the_model_and_keeps_the_text)
{
	for (int round = 0; round < 4; round++) { /* connections land on either worker */
		const char *turn = talk_ask(&talk, ENDLESS_ANSWER, "");
		struct stream s;
		struct stream_event e;
		struct client other;

		stream_open(&s, server->port, talk.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
		for (int i = 0; i < 8 && stream_next(&s, &e); i++)
			stream_event_free(&e);
		client_init(&other, server->port);
		(void)snprintf(other.token, sizeof other.token, "%s", talk.client.token);

		struct reply r = client_request(&other, "POST", format("/api/turns/%s/cancel", turn), NULL, NULL);

		cr_expect_eq(r.status, 200);
		cr_expect_not_null(strstr(r.body, "\"cancelled\""), "%s", r.body);
		reply_free(&r);
		client_fini(&other);

		cr_expect(ends_with_abort(&s) && s.is_clean);
		stream_close(&s);

		struct followed f = talk_follow(&talk, turn, "", 60000);

		EXPECT_ANSWER(turn, "content", f.text);
		EXPECT_ANSWER(turn, "status", "partial");
		cr_expect(strlen(f.text) > 0);
		followed_free(&f);
		r = client_request(&talk.client, "POST", format("/api/turns/%s/cancel", turn), NULL, NULL);
		cr_expect_eq(r.status, 200);
		reply_free(&r);
	}
	wait_until(no_call_is_open, NULL, "the model's calls are cancelled", 30000);
	cr_expect_eq(simulator_stat("closedEarly"), 4);
}

Test(chat, queued_question_can_be_cancelled)
{
	(void)talk_ask(&talk, ENDLESS_ANSWER, "");

	const char *waiting = talk_ask(&talk, "never asked", "");
	struct reply r = client_request(&talk.client, "POST", format("/api/turns/%s/cancel", waiting), NULL, NULL);

	cr_expect_eq(r.status, 200);
	cr_expect_str_eq(talk_status(&talk, waiting), "cancelled");
	reply_free(&r);

	struct stream s;

	stream_open(&s, server->port, talk.client.token, format("/api/turns/%s/stream", waiting), NULL, NULL);
	cr_expect(ends_with_abort(&s));
	stream_close(&s);
}

/* --- the model's moods ------------------------------------------------------------------------------------------------------ */

struct mood {
	const char *question;
	const char *status;  /* of the turn */
	const char *finish;  /* its finishReason */
	const char *code;    /* of turn.error; "" = none */
	const char *message; /* status of the answer */
};

Test(chat, models_failures_have_the_outcome_promised)
{
	static const struct mood moods[] = {
		{ "x [sim:fault=503,times=2][sim:repeat=fine]", "completed", "stop", "", "complete" },
		{ "x [sim:fault=429_half_second,times=1][sim:repeat=fine]", "completed", "stop", "", "complete" },
		{ "x [sim:fault=429_minute]", "failed", "error", "rate_limited", "failed" },
		{ "x [sim:fault=400_context]", "failed", "error", "model_failed", "failed" },
		{ "x [sim:chunks=20][sim:fault=error_framed,afterChunks=5]", "failed", "error", "model_unavailable",
			"partial" },
		{ "x [sim:chunks=20][sim:fault=eof,afterChunks=5]", "failed", "error", "model_failed", "partial" },
		{ "x [sim:fault=empty_stop,times=1][sim:repeat=fine]", "completed", "stop", "", "complete" },
		{ "x [sim:fault=empty_stop]", "failed", "error", "model_failed", "failed" },
		{ "x [sim:fault=malformed_call,times=1][sim:repeat=fine]", "completed", "stop", "", "complete" },
		{ "x [sim:fault=max_tokens]", "completed", "length", "", "complete" },
		{ "x [sim:fault=safety]", "completed", "content-filter", "", "partial" },
		{ "x [sim:fault=blocked]", "completed", "content-filter", "", "complete" },
		{ "x [sim:tools-forever]", "completed", "length", "", "complete" },
		{ "x [sim:repeat=still here]", "completed", "stop", "", "complete" },
	};

	for (size_t i = 0; i < COUNT_OF(moods); i++) {
		const struct mood *m = &moods[i];

		/* A new conversation: questions without an answer go to the model again with the next one. */
		talk_fini(&talk);
		talk_init(&talk, server);

		const char *turn = talk_ask(&talk, m->question, "");
		struct followed f = talk_follow(&talk, turn, "", 60000);

		cr_log_info("%s", m->question);
		EXPECT_TURN(turn, "status", m->status);
		EXPECT_TURN(turn, "finishReason", m->finish);
		EXPECT_TURN(turn, "error.code", m->code);
		EXPECT_ANSWER(turn, "status", m->message);
		EXPECT_ANSWER(turn, "content", f.text);
		cr_expect(strstr(f.events, "\"finish\"") != NULL, "%s", m->question);
		cr_expect_eq(strstr(f.events, "\"type\":\"error\"") != NULL, m->code[0] != '\0', "%s", m->question);
		followed_free(&f);
	}
}

/* However long the test takes from here on. */
static void keep_breakers_open(void)
{
	struct scoreboard *board = board_open(server);

	for (int i = 0; i < BREAKERS_MAX; i++)
		if (atomic_load(&board->breakers[i].open_until_ms) != 0)
			atomic_store(&board->breakers[i].open_until_ms, now_ms() + 600000);
	board_close(&board);
}

Test(chat, open_breaker_refuses_at_once_and_stores_nothing)
{
	struct reply sim = simulator_request(server, "POST", "/sim/faults",
		"[{\"match\":{\"method\":\"streamGenerateContent\"},\"fault\":\"503\"}]");
	char code[64] = "";
	int status = 0;

	reply_free(&sim);
	for (int i = 0; i < 12 && status != 503; i++) {
		struct reply r = talk_post(&talk, "hello", "");
		struct json_object *body = reply_json(&r);

		status = r.status;
		if (status == 202) {
			struct followed f = talk_follow(&talk, json_at(body, "turn.id"), "", 60000);

			followed_free(&f);
		}
		json_object_put(body);
		reply_free(&r);
	}
	cr_assert_eq(status, 503, "no breaker opens: %d", status);
	keep_breakers_open();

	long before =
		cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.chat_messages");
	int64_t requests = simulator_stat("requests");

	cr_expect_eq(ask_status("{\"content\":\"hello\"}", code), 503);
	cr_expect_eq(simulator_stat("requests"), requests, "a model was asked");
	cr_expect_str_eq(code, "model_unavailable");
	cr_expect_eq(cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.chat_messages"),
		before);
}

/* --- tools ------------------------------------------------------------------------------------------------------------------ */

static long rows(const char *what)
{
	return cluster_count(server->cluster, server->database, format("SELECT count(*) FROM renovationd.%s", what));
}

Test(chat, persona_sets_up_the_project_with_tools)
{
	const char *turn = talk_ask(&talk, "I want to renovate my kitchen, about 12 m2, budget 15000 EUR", "");
	struct followed f = talk_follow(&talk, turn, "", 60000);

	cr_expect(rows("renovation_rooms") == 1);
	cr_expect(rows("tasks") >= 2);
	cr_expect(rows("product_recommendations") >= 1);
	cr_expect(rows("renovation_sessions WHERE total_budget = 15000 AND currency = 'EUR'") == 1);
	cr_expect(strstr(f.events, "tool-output-error") == NULL, "%s", f.events);
	cr_expect(strstr(f.events, "tool-input-available") < strstr(f.events, "tool-output-available"));
	followed_free(&f);
}

Test(chat, tools_take_near_misses_and_refuse_the_rest)
{
	static const struct {
		const char *call;
		const char *error; /* part of errorText; NULL: it works */
	} cases[] = {
		{ "add_room {\"name\":\"Bath\",\"lengthM\":2.0,\"widthM\":\"1.5\"}", NULL },
		{ "add_room {\"name\":\"BATH\"}", NULL },
		{ "add_room {\"name\":\"Attic\",\"lengthM\":-1}", "lengthM must be a number" },
		{ "add_task {\"title\":\"Tile\",\"priority\":\"HIGH\",\"room\":\"bath\",\"dueAt\":\"2026-12-24\"}",
			NULL },
		{ "add_task {\"title\":\"\"}", "title must be text" },
		{ "add_task {\"title\":\"y\",\"dueAt\":\"2026-02-31\"}", "out of range" },
		{ "update_session {\"totalBudget\":\"1234.5\",\"currency\":\"eur\"}", NULL },
		{ "update_session {\"currency\":\"EURO\"}", "three letters" },
		{ "complete_task {\"title\":\"tile\"}", NULL },
		{ "complete_task {\"title\":\"no such\"}", "no such task" },
		{ "recommend_product {\"name\":\"Tap\",\"price\":9.99}", NULL },
		{ "recommend_product {\"name\":\"tap\",\"price\":8}", NULL },
		{ "list_tasks {}", NULL },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *turn = talk_ask(&talk, format("x [sim:tool=%s]", cases[i].call), "");
		struct followed f = talk_follow(&talk, turn, "", 60000);

		cr_expect_eq(strstr(f.events, "tool-output-error") != NULL, cases[i].error != NULL, "%s:\n%s",
			cases[i].call, f.events);
		if (cases[i].error != NULL)
			cr_expect_not_null(strstr(f.events, cases[i].error), "%s:\n%s", cases[i].call, f.events);
		EXPECT_TURN(turn, "status", "completed");
		followed_free(&f);
	}
	cr_expect_eq(rows("renovation_rooms"), 1);
	cr_expect_eq(rows("product_recommendations"), 1);
	cr_expect_eq(rows("tasks WHERE status = 'done' AND priority = 'high' AND room_id IS NOT NULL"), 1);
	cr_expect_eq(rows("renovation_sessions WHERE total_budget = 1234.50 AND currency = 'EUR'"), 1);
}

Test(chat, too_many_calls_are_refused_one_by_one)
{
	char script[2000] = "[{\"steps\":[";

	for (int i = 0; i < 12; i++)
		(void)snprintf(script + strlen(script), sizeof script - strlen(script),
			"%s{\"call\":{\"name\":\"add_task\",\"args\":{\"title\":\"t%d\"}}}", i > 0 ? "," : "", i);
	(void)snprintf(script + strlen(script), sizeof script - strlen(script), "]}]");

	struct reply sim = simulator_request(server, "POST", "/sim/script", script);

	cr_assert(sim.status / 100 == 2, "%s", sim.body);
	reply_free(&sim);

	const char *turn = talk_ask(&talk, "plan", "");
	struct followed f = talk_follow(&talk, turn, "", 60000);

	cr_expect_eq(rows("tasks"), 10);
	cr_expect_not_null(strstr(f.events, "too_many_calls"));
	EXPECT_TURN(turn, "status", "completed");
	followed_free(&f);
}

Test(chat, history_and_signatures_go_back_to_the_model)
{
	for (int i = 0; i < 3; i++) {
		const char *turn = talk_ask(&talk, format("step %d [sim:tool=add_task {\"title\":\"t%d\"}]", i, i), "");
		struct followed f = talk_follow(&talk, turn, "", 60000);

		EXPECT_TURN(turn, "status",
			"completed"); /* the simulator refuses a history without its signatures and ids */
		followed_free(&f);
	}
	cr_expect_eq(rows("tasks"), 3);
}

/* --- useChat ---------------------------------------------------------------------------------------------------------------- */

Test(chat, use_chat_routes_ask_follow_and_stop)
{
	struct stream s;
	char *text = NULL;
	struct reply r;

	stream_open(&s, server->port, talk.client.token, "/api/chat", NULL,
		"{\"id\":\"Ab12\",\"trigger\":\"submit-message\",\"messages\":[{\"id\":\"u1\",\"role\":\"user\","
		"\"parts\":[{\"type\":\"text\",\"text\":\"x [sim:repeat=hi]\"}]}]}");
	cr_assert_eq(s.status, 200);
	free(stream_rest(&s, &text, NULL));
	cr_expect_str_eq(text, "hi");
	free(text);
	stream_close(&s);
	r = client_request(&talk.client, "GET", "/api/chat/Ab12/stream", NULL, NULL);
	cr_expect_eq(r.status, 204);
	reply_free(&r);
	r = client_request(&talk.client, "POST", "/api/chat/Ab12/stop", NULL, NULL);
	cr_expect_eq(r.status, 204);
	reply_free(&r);
	stream_open(&s, server->port, talk.client.token, "/api/chat", NULL,
		"{\"id\":\"Ab12\",\"trigger\":\"regenerate-message\",\"messages\":[]}");
	cr_assert_eq(s.status, 200);
	free(stream_rest(&s, &text, NULL));
	cr_expect_str_eq(text, "hi");
	free(text);
	stream_close(&s);

	struct stream again;
	struct stream_event e;

	stream_open(&s, server->port, talk.client.token, "/api/chat", NULL,
		"{\"id\":\"Ab12\",\"messages\":[{\"id\":\"u2\",\"role\":\"user\",\"parts\":[{\"type\":\"text\","
		"\"text\":\"" ENDLESS_ANSWER "\"}]}],\"extra\":1}");
	cr_assert(stream_next(&s, &e));
	stream_event_free(&e);
	stream_open(&again, server->port, talk.client.token, "/api/chat/Ab12/stream", NULL, NULL);
	cr_expect_eq(again.status, 200);
	r = client_request(&talk.client, "POST", "/api/chat/Ab12/stop", NULL, NULL);
	cr_expect_eq(r.status, 200);
	reply_free(&r);

	char *one = stream_rest(&again, NULL, NULL);

	cr_expect_not_null(strstr(one, "\"start\""));
	cr_expect_not_null(strstr(one, "\"abort\""));
	free(one);
	stream_close(&s);
	stream_close(&again);
}

/* --- tracing ----------------------------------------------------------------------------------------------------------------- */

Test(chat, the_trace_of_a_question_goes_on_to_the_model)
{
	static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
	struct reply r = client_request(&talk.client, "POST",
		format("/api/conversations/%s/messages", talk.conversation),
		format("traceparent: 00-%s-b7ad6b7169203331-01\r\n", trace), "{\"content\":\"[sim:repeat=traced]\"}");

	cr_assert_eq(r.status, 202);

	struct json_object *asked = reply_json(&r);

	talk_wait(&talk, json_at(asked, "turn.id"), "completed", 60000);
	json_object_put(asked);
	reply_free(&r);

	struct reply log = simulator_request(server, "GET", "/sim/log", NULL);

	cr_expect_not_null(strstr(log.body, format("00-%s-", trace)), "the model's calls carry the trace");
	cr_expect_null(strstr(log.body, "b7ad6b7169203331"), "with a span of their own");
	reply_free(&log);
}
