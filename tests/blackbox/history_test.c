/* Long conversations: what of them goes to the model, seen in the requests that the simulator got; and answers given again, which stand beside the first. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/talk.h"

#define BUDGET_BYTES 8000 /* 2,000 tokens of four bytes */

static struct server *server;
static struct talk talk;

static void setup(void)
{
	server = server_start((const char *[]) { "RENOVATIOND_CHAT_HISTORY_TOKENS=2000", NULL });
	talk_init(&talk, server);
}

static void teardown(void)
{
	talk_fini(&talk);
	server_end(&server);
}

TestSuite(history, .init = setup, .fini = teardown, .timeout = 300);

/* 250 questions and their answers of so many letters each, in the talk's conversation; every `calls_every`th answer called a tool. */
static const char past[] =
	"WITH c AS (SELECT id, owner_id, session_id FROM renovationd.conversations WHERE id = '%s'), "
	"x AS (SELECT g, g %% %d = 0 AS calls, renovationd.uuid7() AS q, renovationd.uuid7() AS a, renovationd.uuid7() "
	"AS t "
	"FROM generate_series(1, 250) g), "
	"q AS (INSERT INTO renovationd.chat_messages (id, owner_id, conversation_id, session_id, seq, role, text, "
	"turn_id) "
	"SELECT q, owner_id, c.id, session_id, 2 * g - 1, 'user', 'question ' || g || repeat(' x', %d), t FROM x, c), "
	"a AS (INSERT INTO renovationd.chat_messages (id, owner_id, conversation_id, session_id, seq, parent_id, role, "
	"text, turn_id) "
	"SELECT a, owner_id, c.id, session_id, 2 * g, q, 'assistant', 'answer ' || g || repeat(' y', %d), t FROM x, "
	"c), "
	"t AS (INSERT INTO renovationd.turns (id, owner_id, conversation_id, user_message_id, assistant_message_id, "
	"status, role, "
	"model, finish_reason) SELECT t, owner_id, c.id, q, a, 'completed', 'streaming', 'gemini-3.5-flash-lite', "
	"'stop' FROM x, c), "
	"s AS (INSERT INTO renovationd.turn_steps (turn_id, step, model_parts) SELECT t, 1, "
	"jsonb_build_array(jsonb_build_object("
	"'functionCall', jsonb_build_object('id', 'fc_' || g, 'name', 'add_task', 'args', jsonb_build_object('title', "
	"'x')))) "
	"FROM x WHERE calls UNION ALL SELECT t, 2, jsonb_build_array(jsonb_build_object('text', 'answer ' || g || "
	"repeat(' y', %d))) "
	"FROM x), k AS (INSERT INTO renovationd.tool_calls (owner_id, turn_id, step, ordinal, provider_call_id, tool, "
	"args, args_hash, "
	"status, result) SELECT owner_id, t, 1, 0, 'fc_' || g, 'add_task', '{}', '', 'ok', '{\"output\": {}}' FROM x, "
	"c WHERE calls) "
	"UPDATE renovationd.conversations SET last_seq = 500 FROM c WHERE conversations.id = c.id RETURNING 1";

static void talk_have_past(int calls_every, int letters)
{
	char sql[4096];

	(void)snprintf(sql, sizeof sql, past, talk.conversation, calls_every, letters / 2, letters / 2, letters / 2);
	free(cluster_sql(server->cluster, server->database, sql));
}

/* The contents of the request that asks this, which is the newest. Borrowed from *calls_out. */
static struct json_object *ask_and_see(struct json_object **calls_out)
{
	const char *turn = talk_ask(&talk, "and now [sim:repeat=fine]", "");

	talk_wait(&talk, turn, "completed", 60000); /* the simulator refuses calls without results */
	*calls_out = talk_model_calls(&talk);
	cr_assert_gt(json_object_array_length(*calls_out), 0);
	return json_object_at(
		json_object_array_get_idx(*calls_out, json_object_array_length(*calls_out) - 1), "body.contents");
}

static bool says(struct json_object *contents, const char *what)
{
	return strstr(json_object_to_json_string_ext(contents, JSON_C_TO_STRING_PLAIN), what) != NULL;
}

static void expect_whole(struct json_object *contents)
{
	size_t count = json_object_array_length(contents);

	cr_expect_str_eq(json_at(contents, "0.role"), "user");
	cr_expect_not_null(json_at(contents, "0.parts.0.text"), "the history begins with a question");
	cr_expect_str_eq(json_at(contents, format("%zu.parts.0.text", count - 1)), "and now [sim:repeat=fine]");
	for (size_t i = 0; i < count; i++) {
		const char *call = json_at(contents, format("%zu.parts.0.functionCall.id", i));
		const char *result = json_at(contents, format("%zu.parts.0.functionResponse.id", i + 1));

		if (call != NULL)
			cr_expect(result != NULL && strcmp(call, result) == 0, "call %s has no result", call);
	}
}

Test(history, long_conversation_goes_to_the_model_within_its_budget_and_in_whole_exchanges)
{
	struct json_object *calls, *contents;
	size_t bytes = 0;

	talk_have_past(2, 60);
	contents = ask_and_see(&calls);
	for (size_t i = 0; i < json_object_array_length(contents); i++)
		bytes += strlen(json_object_to_json_string_ext(
				 json_object_at(contents, format("%zu.parts", i)), JSON_C_TO_STRING_PLAIN)) -
			 2;
	cr_expect_leq(bytes, BUDGET_BYTES);
	cr_expect_geq(bytes, BUDGET_BYTES / 2, "only %zu bytes", bytes);
	cr_expect(says(contents, "answer 250 ") && says(contents, "question 250 "));
	cr_expect(!says(contents, "question 1 "), "the oldest is left out");
	expect_whole(contents);
	json_object_put(calls);
}

Test(history, newest_ten_messages_go_to_the_model_whatever_their_size_and_tools)
{
	struct json_object *calls, *contents;

	talk_have_past(1, 6000);
	contents = ask_and_see(&calls);
	for (int n = 246; n <= 250; n++)
		cr_expect(says(contents, format("question %d ", n)) && says(contents, format("answer %d ", n)),
			"%d is missing", n);
	cr_expect(!says(contents, "question 245 "), "and no more than that");
	expect_whole(contents);
	json_object_put(calls);
}

/* --- answers given again ----------------------------------------------------------------------------------------------------- */

/* Through the useChat route; the status, and with 200 the text. */
static int chat_again(const char *chat, const char *message, char text_out[64])
{
	struct stream s;
	char *text = NULL;
	int status;

	stream_open(&s, server->port, talk.client.token, "/api/chat", NULL,
		format("{\"id\":\"%s\",\"trigger\":\"regenerate-message\"%s}", chat, message));
	status = s.status;
	text_out[0] = '\0';
	if (status == 200) {
		free(stream_rest(&s, &text, NULL));
		(void)snprintf(text_out, 64, "%s", text);
		free(text);
	}
	stream_close(&s);
	return status;
}

static void chat_ask(const char *chat, const char *id, const char *text)
{
	struct stream s;

	stream_open(&s, server->port, talk.client.token, "/api/chat", NULL,
		format("{\"id\":\"%s\",\"messages\":[{\"id\":\"%s\",\"role\":\"user\",\"parts\":[{\"type\":\"text\","
		       "\"text\":\"%s\"}]}]}",
			chat, id, text));
	cr_assert_eq(s.status, 200, "%s: %d", text, s.status);
	free(stream_rest(&s, NULL, NULL));
	stream_close(&s);
}

static struct json_object *messages_of_chat(const char *chat)
{
	char *id = cluster_sql(server->cluster, server->database,
		format("SELECT id FROM renovationd.conversations WHERE chat_key = '%s'", chat));
	struct reply r =
		client_request(&talk.client, "GET", format("/api/conversations/%s/messages?order=asc", id), NULL, NULL);
	struct json_object *page = reply_json(&r);

	reply_free(&r);
	free(id);
	return page;
}

static void expect_message(struct json_object *page, int at, const char *role, const char *content, const char *parent)
{
	const char *found = json_at(page, format("data.%d.parentId", at));

	cr_expect_str_eq(json_at(page, format("data.%d.role", at)), role);
	cr_expect_str_eq(json_at(page, format("data.%d.content", at)), content);
	cr_expect_str_eq(found != NULL ? found : "", parent);
}

Test(history, an_answer_given_again_is_a_sibling_and_the_first_one_stays)
{
	struct json_object *page, *calls;
	char text[64], first[64];
	size_t last;

	chat_ask("c1", "u1", "one [sim:repeat=first]");
	chat_ask("c1", "u2", "two [sim:repeat=second]");
	page = messages_of_chat("c1");
	(void)snprintf(first, sizeof first, "%s", json_at(page, "data.0.id"));
	cr_expect_eq(chat_again("c1", "", text), 200);
	cr_expect_str_eq(text, "second", "without a message it is the newest question");
	cr_expect_eq(chat_again("c1", format(",\"messageId\":\"%s\"", json_at(page, "data.1.id")), text), 200);
	cr_expect_str_eq(text, "first", "an answer's id names its question");
	cr_expect_eq(chat_again("c1", ",\"messageId\":\"u1\"", text), 200);
	cr_expect_str_eq(text, "first", "so does the client's id of the question");
	cr_expect_eq(
		chat_again("c1", ",\"messages\":[{\"id\":\"u1\",\"role\":\"user\"},{\"role\":\"assistant\"}]", text),
		200);
	cr_expect_str_eq(text, "first", "and the last question that the client shows");
	json_object_put(page);

	page = messages_of_chat("c1");
	cr_expect_eq(json_object_array_length(json_object_at(page, "data")), 8);
	expect_message(page, 0, "user", "one [sim:repeat=first]", "");
	expect_message(page, 1, "assistant", "first", first);
	expect_message(page, 3, "assistant", "second", format("%s", json_at(page, "data.2.id")));
	expect_message(page, 4, "assistant", "second", format("%s", json_at(page, "data.2.id")));
	expect_message(page, 5, "assistant", "first", first);
	expect_message(page, 6, "assistant", "first", first);
	expect_message(page, 7, "assistant", "first", first);
	json_object_put(page);

	/* The model is told one answer to each question. */
	chat_ask("c1", "u3", "three [sim:repeat=third]");
	calls = talk_model_calls(&talk);
	last = json_object_array_length(calls) - 1;
	cr_expect_eq(json_object_array_length(json_object_at(calls, format("%zu.body.contents", last))), 5);
	json_object_put(calls);
}

static long made(void)
{
	return cluster_count(server->cluster, server->database,
		"SELECT (SELECT count(*) FROM renovationd.renovation_sessions) + (SELECT count(*) FROM "
		"renovationd.conversations) + "
		"(SELECT count(*) FROM renovationd.chat_messages) + (SELECT count(*) FROM renovationd.turns)");
}

Test(history, nothing_is_made_to_answer_what_was_never_asked)
{
	char text[64];
	long before;

	chat_ask("c1", "u1", "one [sim:repeat=first]");
	before = made();
	cr_expect_eq(chat_again("unknown", "", text), 404);
	cr_expect_eq(chat_again("c1", ",\"messageId\":\"nobody's\"", text), 404);
	cr_expect_eq(chat_again("c1", ",\"messages\":[{\"id\":\"never came\",\"role\":\"user\"}]", text), 404,
		"not an answer to another question");
	cr_expect_eq(chat_again("c1", ",\"messageId\":\"00000000-0000-7000-8000-000000000000\"", text), 404);
	cr_expect_eq(made(), before);
}
