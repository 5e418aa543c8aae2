/* Questions that are refused leave nothing behind; those asked twice with one key are one; a chat is opened in the session it names. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/talk.h"

static struct server *server;
static struct talk talk;

static void setup(void)
{
	server = server_start(NULL);
	talk_init(&talk, server);
}

static void teardown(void)
{
	talk_fini(&talk);
	server_end(&server);
}

TestSuite(ask, .init = setup, .fini = teardown, .timeout = 300);

static long made(void)
{
	return cluster_count(server->cluster, server->database,
		"SELECT (SELECT count(*) FROM renovationd.owners) + (SELECT count(*) FROM "
		"renovationd.renovation_sessions) + "
		"(SELECT count(*) FROM renovationd.conversations) + (SELECT count(*) FROM renovationd.chat_messages) + "
		"(SELECT count(*) FROM renovationd.turns)");
}

/* One POST; the answer's status and its problem's code ("" when it is none). An answer's stream is read to its end. */
static int post(struct client *c, const char *path, const char *headers, const char *body, char code_out[64])
{
	struct reply r = client_request(c, "POST", path, headers, body);
	struct json_object *problem = r.body_length > 0 && r.body[0] == '{' ? json_tokener_parse(r.body) : NULL;
	const char *code = problem != NULL ? json_at(problem, "code") : NULL;
	int status = r.status;

	(void)snprintf(code_out, 64, "%s", code != NULL ? code : "");
	if (status == 503)
		cr_expect_not_null(reply_header(&r, "Retry-After"), "%s", path);
	if (status >= 400)
		cr_expect_null(reply_header(&r, "X-Owner-Token"), "%s", path);
	json_object_put(problem);
	reply_free(&r);
	return status;
}

static const char *chat_body(const char *chat, const char *message_id, const char *more)
{
	return format("{\"id\":\"%s\",\"messages\":[{%s\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"x "
		      "[sim:repeat=hi]\"}]}]%s}",
		chat, message_id, more);
}

static const char *messages_path(void)
{
	return format("/api/conversations/%s/messages", talk.conversation);
}

Test(ask, nothing_is_stored_while_no_model_can_be_asked)
{
	char code[64];
	struct client stranger;
	struct reply r = simulator_request(server, "POST", "/sim/faults",
		"[{\"match\":{\"method\":\"streamGenerateContent\"},\"fault\":\"429_day\"}]");
	const char *turn = talk_ask(&talk, "hello", "");
	long before;

	reply_free(&r);
	talk_wait(&talk, turn, "failed", 60000); /* each model of the role has said that it is over for today */
	before = made();
	client_init(&stranger, server->port);
	cr_expect_eq(post(&stranger, "/api/chat", NULL, chat_body("a", "", ""), code), 503);
	cr_expect_str_eq(code, "model_unavailable");
	cr_expect_eq(post(&talk.client, "/api/chat", NULL, chat_body("b", "", ""), code), 503);
	cr_expect_str_eq(code, "model_unavailable");
	cr_expect_eq(post(&talk.client, messages_path(), NULL, "{\"content\":\"x\"}", code), 503);
	cr_expect_str_eq(code, "model_unavailable");
	cr_expect_eq(made(), before, "no owner, session, conversation, message or turn");
	client_fini(&stranger);
}

Test(ask, a_chat_is_opened_in_the_session_it_names)
{
	char code[64];
	struct client other;
	const char *foreign;
	long before;

	cr_expect_eq(post(&talk.client, "/api/chat", NULL,
			     chat_body("mine", "", format(",\"sessionId\":\"%s\"", talk.session)), code),
		200);
	cr_expect_eq(cluster_count(server->cluster, server->database,
			     format("SELECT count(*) FROM renovationd.conversations WHERE chat_key = 'mine' AND NOT "
				    "is_default "
				    "AND session_id = '%s'",
				     talk.session)),
		1);
	client_init(&other, server->port);
	server_owner(server, &other);
	foreign = talk_keep(server_new_session(&other, "Not yours"));
	before = made();
	cr_expect_eq(post(&talk.client, "/api/chat", NULL,
			     chat_body("theirs", "", format(",\"sessionId\":\"%s\"", foreign)), code),
		404);
	cr_expect_eq(
		post(&talk.client, "/api/chat", NULL, chat_body("none", "", ",\"sessionId\":\"nonsense\""), code), 400);
	cr_expect_eq(post(&talk.client, "/api/chat", NULL, chat_body("none", "", ",\"sessionId\":7"), code), 400);
	cr_expect_eq(made(), before);
	client_fini(&other);
}

Test(ask, an_idempotency_key_stands_in_for_a_missing_client_message_id)
{
	static const char *const bodies[] = { "{\"content\":\"x [sim:repeat=hi]\"}", "{\"content\":\"other\"}" };
	char code[64], *long_key = calloc(1, 256);
	int length = snprintf(long_key, 256, "Idempotency-Key: ");

	cr_expect_eq(post(&talk.client, messages_path(), "Idempotency-Key: k-1\r\n", bodies[0], code), 202);
	cr_expect_eq(post(&talk.client, messages_path(), "Idempotency-Key: k-1\r\n", bodies[0], code), 200,
		"the first answer again");
	cr_expect_eq(post(&talk.client, messages_path(), "Idempotency-Key: k-1\r\n", bodies[1], code), 422);
	cr_expect_str_eq(code, "idempotency_key_reused");
	cr_expect_eq(post(&talk.client, format("/api/sessions/%s/messages", talk.session),
			     "Idempotency-Key: \"k-1\"\r\n", bodies[0], code),
		200);
	cr_expect_eq(cluster_count(server->cluster, server->database,
			     "SELECT count(*) FROM renovationd.chat_messages WHERE role = 'user'"),
		1);
	cr_expect_eq(post(&talk.client, messages_path(), "Idempotency-Key: k-1\r\n",
			     "{\"content\":\"mine [sim:repeat=hi]\",\"clientMessageId\":\"c-1\"}", code),
		202, "an id of its own goes before the key");

	for (int i = 0; i < 2; i++)
		cr_expect_eq(
			post(&talk.client, "/api/chat", "Idempotency-Key: k-2\r\n", chat_body("chat", "", ""), code),
			200);
	cr_expect_eq(post(&talk.client, "/api/chat", "Idempotency-Key: k-2\r\n",
			     chat_body("chat", "\"id\":\"m-2\",", ""), code),
		200);
	cr_expect_eq(
		cluster_count(server->cluster, server->database,
			"SELECT count(*) FROM renovationd.chat_messages m JOIN renovationd.conversations c ON c.id = "
			"m.conversation_id WHERE c.chat_key = 'chat' AND m.role = 'user'"),
		2);

	memset(long_key + length, 'k', 129);
	(void)snprintf(long_key + length + 129, 8, "\r\n");
	cr_expect_eq(post(&talk.client, messages_path(), long_key, bodies[0], code), 400);
	cr_expect_eq(post(&talk.client, "/api/chat", "Idempotency-Key: a b\r\n", chat_body("new", "", ""), code), 400);
	cr_expect_eq(cluster_count(server->cluster, server->database,
			     "SELECT count(*) FROM renovationd.conversations WHERE chat_key = 'new'"),
		0);
	free(long_key);
}

/* Others change the same rows, again and again: PostgreSQL gives this one up each time. */
Test(ask, a_contended_conversation_is_not_a_missing_one)
{
	static const char *const states[] = { "40001", "40P01" };
	char code[64];

	for (int i = 0; i < 2; i++) {
		free(cluster_sql(server->cluster, server->database,
			format("CREATE OR REPLACE FUNCTION renovationd.unlucky() RETURNS trigger LANGUAGE plpgsql AS "
			       "$$ BEGIN RAISE EXCEPTION "
			       "'unlucky' USING ERRCODE = '%s'; END $$; CREATE OR REPLACE TRIGGER unlucky BEFORE "
			       "INSERT ON renovationd.turns "
			       "FOR EACH ROW EXECUTE FUNCTION renovationd.unlucky()",
				states[i])));
		cr_expect_eq(
			post(&talk.client, messages_path(), NULL, "{\"content\":\"x\"}", code), 503, "%s", states[i]);
		cr_expect_str_eq(code, "overloaded");
	}
	free(cluster_sql(server->cluster, server->database, "DROP TRIGGER unlucky ON renovationd.turns"));
	cr_expect_eq(post(&talk.client, messages_path(), NULL, "{\"content\":\"x [sim:repeat=hi]\"}", code), 202);
}
