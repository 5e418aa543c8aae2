/* When a model fails: how often it is asked again, what is repaired on the way, which model goes on, and what clients and operators are told. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/talk.h"

#define FIRST  "gemini-3.5-flash-lite"
#define SECOND "gemini-3.8-flash"

static struct server *server;
static struct talk talk;

static void setup(void)
{
	server = server_start((const char *[]) { "RENOVATIOND_STREAMING_MODELS=" FIRST ", " SECOND, NULL });
	talk_init(&talk, server);
}

static void teardown(void)
{
	talk_fini(&talk);
	server_end(&server);
}

TestSuite(models, .init = setup, .fini = teardown, .timeout = 300);

static void simulate(const char *method, const char *rules)
{
	struct reply r = simulator_request(server, method, "/sim/faults", rules);

	cr_assert_eq(r.status / 100, 2, "%s", r.body);
	reply_free(&r);
}

/* Asks and waits for the end; the turn, to be put. */
static struct json_object *asked(const char *question)
{
	const char *turn = talk_ask(&talk, question, "");
	struct followed f = talk_follow(&talk, turn, "", 60000);

	followed_free(&f);
	return talk_turn(&talk, turn);
}

static size_t calls_so_far(void)
{
	struct json_object *calls = talk_model_calls(&talk);
	size_t count = json_object_array_length(calls);

	json_object_put(calls);
	return count;
}

static struct json_object *ready(int *status_out)
{
	struct reply r = client_request(&talk.client, "GET", "/health/ready", NULL, NULL);
	struct json_object *checks = reply_json(&r);

	*status_out = r.status;
	reply_free(&r);
	return checks;
}

Test(models, each_failure_is_tried_again_as_often_as_it_may_help)
{
	static const struct {
		const char *fault;
		size_t attempts;
		const char *code;
	} cases[] = {
		{ "500", 2, "model_unavailable" },
		{ "504", 2, "model_timeout" },
		{ "finish,reason=MALFORMED_RESPONSE,afterChunks=0", 2, "model_failed" },
		{ "missing_signature", 2, "model_failed" },
		{ "400", 1, "model_failed" },
		{ "502_html", 3, "model_unavailable" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t before;
		struct json_object *turn;

		/* One answer in between, so that no breaker opens; and a new conversation, where no failed question is asked along. */
		talk_fini(&talk);
		talk_init(&talk, server);
		json_object_put(asked("x [sim:repeat=fine]"));
		before = calls_so_far();
		turn = asked(format("x [sim:fault=%s]", cases[i].fault));
		cr_expect_eq(calls_so_far() - before, cases[i].attempts, "%s: %zu attempts", cases[i].fault,
			calls_so_far() - before);
		cr_expect_str_eq(json_at(turn, "error.code"), cases[i].code, "%s: %s", cases[i].fault,
			json_at(turn, "error.code"));
		json_object_put(turn);
	}
}

/* The second request of the turn, the one with the call and its result, is refused. */
static void refuse_signatures(const char *fault)
{
	struct json_object *turn, *calls;
	const char *body;

	simulate("DELETE", NULL);
	simulate("POST",
		format("[{\"match\":{\"method\":\"streamGenerateContent\"},\"skip\":1,\"times\":1,\"fault\":\"%s\"}]",
			fault));
	turn = asked("plan [sim:tool=add_task {\"title\":\"x\"}]");
	cr_expect_str_eq(json_at(turn, "status"), "completed", "%s", fault);
	calls = talk_model_calls(&talk);
	body = json_object_to_json_string(json_object_array_get_idx(calls, json_object_array_length(calls) - 1));
	cr_expect_not_null(strstr(body, "skip_thought_signature_validator"), "%s", fault);
	body = json_object_to_json_string(json_object_array_get_idx(calls, json_object_array_length(calls) - 2));
	cr_expect_null(strstr(body, "skip_thought_signature_validator"), "%s", fault);
	json_object_put(calls);
	json_object_put(turn);
}

Test(models, an_answer_goes_on_without_the_signatures_that_a_model_misses_or_refuses)
{
	refuse_signatures("missing_signature");
	refuse_signatures("400_signature");
	cr_expect_eq(cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.tasks"), 2,
		"and no tool runs twice");
}

Test(models, the_next_model_answers_when_the_first_is_used_up_for_today)
{
	struct json_object *turn, *checks;
	int status;
	int64_t left_s;

	simulate("POST",
		"[{\"match\":{\"model\":\"" FIRST "\",\"method\":\"streamGenerateContent\"},\"fault\":\"429_day\"}]");
	turn = asked("x [sim:repeat=fine]");
	cr_expect_str_eq(json_at(turn, "status"), "completed");
	cr_expect_str_eq(json_at(turn, "model"), SECOND);
	json_object_put(turn);
	checks = ready(&status);
	cr_expect_eq(status, 200);
	cr_expect_str_eq(json_at(checks, "checks.gemini.breakers.0.model"), FIRST);
	cr_expect_str_eq(json_at(checks, "checks.gemini.breakers.0.reason"), "daily_quota");
	left_s = json_object_get_int64(json_object_at(checks, "checks.gemini.breakers.0.retryAfterS"));
	cr_expect(left_s > 3300 && left_s <= 3600, "an hour, not %d s", (int)left_s);
	json_object_put(checks);

	/* Who asks now does not even try the first. */
	simulate("DELETE", NULL);
	turn = asked("x [sim:repeat=fine]");
	cr_expect_str_eq(json_at(turn, "model"), SECOND);
	json_object_put(turn);
}

Test(models, refused_credentials_are_told_to_clients_and_operators)
{
	struct json_object *turn, *checks;
	const char *text;
	int status;

	simulate("POST", "[{\"match\":{\"method\":\"streamGenerateContent\"},\"fault\":\"key_in_message\"}]");
	turn = asked("x");
	cr_expect_str_eq(json_at(turn, "status"), "failed");
	cr_expect_str_eq(json_at(turn, "error.code"), "model_unavailable");
	json_object_put(turn);
	checks = ready(&status);
	text = json_object_to_json_string_ext(checks, JSON_C_TO_STRING_PLAIN);
	cr_expect_str_eq(json_at(checks, "checks.gemini.status"), "credentials_refused", "%s", text);
	cr_expect_str_eq(json_at(checks, "checks.gemini.breakers.0.reason"), "credentials", "%s", text);
	cr_expect_str_eq(json_at(checks, "checks.gemini.breakers.1.reason"), "credentials", "%s", text);
	cr_expect_null(strstr(text, "test-key-not-secret"));
	json_object_put(checks);
}

Test(models, a_turn_that_would_wait_too_long_says_for_how_long)
{
	struct json_object *turn = asked("x [sim:fault=429_minute]");

	cr_expect_str_eq(json_at(turn, "error.code"), "rate_limited");
	cr_expect_eq(json_object_get_int(json_object_at(turn, "error.retryAfter")), 26);
	json_object_put(turn);
}
