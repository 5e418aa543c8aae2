/* Questions that are refused, and how. */
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

TestSuite(ask, .init = setup, .fini = teardown, .timeout = 120);

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

static const char *messages_path(void)
{
	return format("/api/conversations/%s/messages", talk.conversation);
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
