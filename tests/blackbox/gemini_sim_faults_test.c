/* gemini_sim_faults_test.c: every fault of the simulator by its three switches, and every request that must be refused. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/sim.h"

#define MODEL  "gemini-3.8-flash"
#define STREAM "/v1beta/models/" MODEL ":streamGenerateContent?alt=sse"

TestSuite(gemini_sim_faults, .timeout = 180);

Test(gemini_sim_faults, errors_have_their_status_and_details)
{
	static const struct {
		const char *fault;
		int status;
		const char *part;
	} cases[] = {
		{ "429_minute", 429, "\"retryDelay\": \"26s\"" },
		{ "429_minute", 429, "PerMinute" },
		{ "429_half_second", 429, "\"retryDelay\": \"0.5s\"" },
		{ "429_day", 429, "GenerateRequestsPerDayPerProjectPerModel-FreeTier" },
		{ "429_no_details", 429, "RESOURCE_EXHAUSTED" },
		{ "400", 400, "INVALID_ARGUMENT" },
		{ "400_key", 400, "API_KEY_INVALID" },
		{ "400_region", 400, "FAILED_PRECONDITION" },
		{ "401", 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED" },
		{ "403", 403, "SERVICE_DISABLED" },
		{ "key_in_message", 403, SIM_KEY },
		{ "404", 404, "models/" MODEL " is not found" },
		{ "404_new_users", 404, "no longer available to new users" },
		{ "408", 408, "error" },
		{ "413", 413, "error" },
		{ "499", 499, "CANCELLED" },
		{ "500", 500, "INTERNAL" },
		{ "502_html", 502, "<!DOCTYPE html>" },
		{ "503", 503, "overloaded" },
		{ "503_demand", 503, "high demand" },
		{ "504", 504, "DEADLINE_EXCEEDED" },
		{ "empty_body", 200, "" },
		{ "500_empty", 500, "" },
		{ "garbage", 200, "not JSON" },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		static const char *const methods[] = { "generateContent", "streamGenerateContent?alt=sse" };

		for (size_t m = 0; m < 2; m++) {
			struct reply r = sim_post(
				s, MODEL, methods[m], sim_question(format("[sim:fault=%s]", cases[i].fault), ""));

			cr_expect_eq(r.status, cases[i].status, "%s: %d", cases[i].fault, r.status);
			cr_expect(strstr(r.body, cases[i].part) != NULL, "%s: %s", cases[i].fault, r.body);
			reply_free(&r);
		}
	}
	struct reply r = sim_post(s, MODEL, "generateContent", sim_question("[sim:fault=429_header]", ""));
	cr_expect_str_eq(reply_header(&r, "Retry-After"), "7");
	cr_expect(strstr(r.body, "details") == NULL);
	reply_free(&r);
	sim_end(&s);
}

Test(gemini_sim_faults, rules_match_skip_and_run_out)
{
	struct sim *s = sim_start(NULL);
	static const int expected[] = { 200, 503, 503, 200 };

	sim_fault(s, "[{\"match\":{\"method\":\"generateContent\",\"model\":\"" MODEL
		     "\",\"contains\":\"kitchen\"},\"skip\":1,\"times\":2,\"fault\":\"503\"}]");
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		struct reply other = sim_post(s, MODEL, "generateContent", sim_question("Hello!", ""));
		struct reply r = sim_post(s, MODEL, "generateContent", sim_question("my kitchen", ""));

		cr_expect_eq(other.status, 200);
		cr_expect_eq(r.status, expected[i], "request %zu: %d", i, r.status);
		reply_free(&other);
		reply_free(&r);
	}
	sim_fault(s, "[{\"fault\":\"500\"}]");
	struct reply r = sim_request(s, "DELETE", "/sim/faults", NULL, NULL);
	reply_free(&r);
	r = sim_post(s, MODEL, "generateContent", sim_question("Hello!", ""));
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	r = sim_request(s, "POST", "/sim/faults", NULL, "[{\"fault\":\"nonsense\"}]");
	cr_expect_eq(r.status, 400);
	reply_free(&r);
	sim_end(&s);
}

Test(gemini_sim_faults, a_marker_can_strike_a_number_of_times)
{
	struct sim *s = sim_start((const char *[]) { "--fault", "index_missing", NULL });
	static const int expected[] = { 503, 503, 200, 200 };

	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		struct reply r =
			sim_post(s, MODEL, "generateContent", sim_question("[sim:fault=503,times=2] Hello", ""));

		cr_expect_eq(r.status, expected[i], "request %zu: %d", i, r.status);
		cr_expect(strstr(r.body, "\"index\"") == NULL, "--fault applies to all");
		reply_free(&r);
	}
	sim_end(&s);
}

Test(gemini_sim_faults, streams_fail_in_the_middle)
{
	static const struct {
		const char *fault, *error, *rest; /* status of the error event; what is left behind the events */
	} cases[] = {
		{ "error_framed,afterChunks=3", "UNAVAILABLE", "" },
		{ "error_framed,afterChunks=3,code=429,message=slow down", "RESOURCE_EXHAUSTED", "" },
		{ "error_raw_tail,afterChunks=3", "", "{\r\n  \"error\": {\r\n    \"code\": 503,\r\n" },
		{ "eof,afterChunks=3", "", "" },
		{ "malformed_event,afterChunks=3", "", "data: {\"candidates\"" },
		{ "half_event,afterChunks=3", "", "data: {\"candidates\"" },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct sim_answer a = sim_stream(
			s, MODEL, sim_question(format("[sim:chunks=9][sim:fault=%s]", cases[i].fault), ""), NULL);

		cr_expect_eq(a.status, 200);
		cr_expect_eq(a.texts, 3, "%s: %d texts", cases[i].fault, a.texts);
		cr_expect_str_eq(a.finish, "", "%s: %s", cases[i].fault, a.finish);
		cr_expect_str_eq(a.error, cases[i].error);
		cr_expect_eq(
			strncmp(a.rest, cases[i].rest, strlen(cases[i].rest)), 0, "%s: %s", cases[i].fault, a.rest);
		cr_expect_eq(*a.rest == '\0', *cases[i].rest == '\0', "%s: %s", cases[i].fault, a.rest);
		sim_answer_free(&a);
	}
	sim_end(&s);
}

Test(gemini_sim_faults, connections_end_as_told)
{
	struct sim *s = sim_start(NULL);
	bool reset = false;
	char *raw = sim_raw(
		s, STREAM, sim_question("[sim:chunks=9][sim:delay=5ms][sim:fault=rst,afterChunks=3]", ""), &reset);

	cr_expect(reset, "no RST");
	cr_expect(strstr(raw, "data: ") != NULL && strstr(raw, "\r\n0\r\n\r\n") == NULL);
	free(raw);
	raw = sim_raw(s, STREAM, sim_question("[sim:chunks=9][sim:fault=cut,afterChunks=3]", ""), &reset);
	cr_expect(!reset && strstr(raw, "\r\n0\r\n\r\n") == NULL, "not cut");
	free(raw);
	raw = sim_raw(s, STREAM, sim_question("[sim:chunks=9][sim:fault=eof,afterChunks=3]", ""), &reset);
	cr_expect(!reset && strstr(raw, "\r\n0\r\n\r\n") != NULL, "not ended properly");
	free(raw);
	raw = sim_raw(s, STREAM, sim_question("[sim:fault=rst_before]", ""), &reset);
	cr_expect(reset && *raw == '\0');
	free(raw);
	raw = sim_raw(s, STREAM, sim_question("[sim:fault=close]", ""), &reset);
	cr_expect(!reset && *raw == '\0');
	free(raw);
	sim_end(&s);
}

Test(gemini_sim_faults, silence_lasts_until_the_client_leaves)
{
	static const char *const faults[] = { "silence", "silence_headers", "silence_middle" };
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		struct client c;
		const char *body = sim_question(format("[sim:chunks=4][sim:fault=%s]", faults[i]), "");
		const char *head = format("POST " STREAM
					  " HTTP/1.1\r\nHost: x\r\nx-goog-api-key: k\r\nContent-Length: %zu\r\n\r\n",
			strlen(body));

		client_init(&c, s->port);
		cr_assert(client_connect(&c) && client_send(&c, head, strlen(head)) &&
			  client_send(&c, body, strlen(body)));
		sim_wait_open(s, 1);
		cr_expect_eq(sim_stat(s, "open"), 1, "%s did not last", faults[i]);
		client_fini(&c);
		sim_wait_open(s, 0);
	}
	sim_end(&s);
}

static struct json_object *event_at(const struct sim_answer *a, int index)
{
	return json_object_array_get_idx(a->list, (size_t)(index < 0 ? a->events + index : index));
}

Test(gemini_sim_faults, answers_of_strange_shape)
{
	static const struct {
		const char *fault, *finish, *has; /* finishReason; a path that the last event has */
		const char *lacks;                /* a path that it lacks */
		int texts;                        /* events with a text */
	} cases[] = {
		{ "empty_stop", "STOP", "candidates.0.content.role", "candidates.0.content.parts", 0 },
		{ "empty_stop_no_content", "STOP", "candidates.0.finishReason", "candidates.0.content", 0 },
		{ "empty_stop_signature", "STOP", "candidates.0.content.parts.0.thoughtSignature", "promptFeedback",
			0 },
		{ "malformed_call", "MALFORMED_FUNCTION_CALL", "candidates.0.finishMessage",
			"candidates.0.content.parts", 0 },
		{ "unexpected_tool_call", "UNEXPECTED_TOOL_CALL", "candidates.0.finishMessage",
			"candidates.0.content.parts", 0 },
		{ "blocked", "", "promptFeedback.blockReason", "candidates", 0 },
		{ "safety,afterChunks=2", "SAFETY", "usageMetadata.totalTokenCount", "candidates.0.content", 2 },
		{ "recitation,afterChunks=2", "RECITATION", "candidates.0.finishReason", "candidates.0.content", 2 },
		{ "max_tokens,afterChunks=2", "MAX_TOKENS", "candidates.0.finishReason", "candidates.0.content", 2 },
		{ "finish,reason=LANGUAGE", "LANGUAGE", "candidates.0.content.parts", "promptFeedback", 4 },
		{ "usage_uncounted", "STOP", "usageMetadata.promptTokenCount", "usageMetadata.candidatesTokenCount",
			4 },
		{ "usage_absent", "STOP", "modelVersion", "usageMetadata", 4 },
		{ "finish_separate", "STOP", "candidates.0.content.role", "candidates.0.content.parts", 4 },
		{ "chunk_after_finish", "STOP", "usageMetadata.candidatesTokenCount", "candidates", 4 },
		{ "signature_empty_text", "STOP", "candidates.0.content.parts.0.thoughtSignature", "promptFeedback",
			4 },
		{ "index_missing", "STOP", "candidates.0.content", "candidates.0.index", 4 },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct sim_answer a = sim_stream(
			s, MODEL, sim_question(format("[sim:chunks=4][sim:fault=%s]", cases[i].fault), ""), NULL);

		cr_assert_gt(a.events, 0, "%s: no events: %s", cases[i].fault, a.rest);
		cr_expect_str_eq(a.finish, cases[i].finish, "%s: %s", cases[i].fault, a.finish);
		cr_expect_eq(a.texts, cases[i].texts, "%s: %d texts", cases[i].fault, a.texts);
		cr_expect(json_object_at(event_at(&a, -1), cases[i].has) != NULL, "%s lacks %s: %s", cases[i].fault,
			cases[i].has, json_object_to_json_string(event_at(&a, -1)));
		cr_expect(json_object_at(event_at(&a, -1), cases[i].lacks) == NULL, "%s has %s", cases[i].fault,
			cases[i].lacks);
		sim_answer_free(&a);
	}
	sim_end(&s);
}

Test(gemini_sim_faults, usage_versions_and_delimiters_vary)
{
	struct sim *s = sim_start(NULL);
	struct sim_answer a =
		sim_stream(s, MODEL, sim_question("[sim:chunks=4][sim:fault=usage_missing_middle]", ""), NULL);

	cr_expect(json_object_at(event_at(&a, 1), "usageMetadata") == NULL &&
		  json_object_at(event_at(&a, -1), "usageMetadata") != NULL);
	sim_answer_free(&a);
	a = sim_stream(
		s, MODEL, sim_question("[sim:chunks=4][sim:fault=model_version,version=gemini-9-zinc]", ""), NULL);
	cr_expect_str_eq(json_at(event_at(&a, 0), "modelVersion"), "gemini-9-zinc");
	sim_answer_free(&a);
	a = sim_stream(s, MODEL, sim_question("[sim:chunks=4][sim:fault=delimiter_lf]", ""), "\n\n");
	cr_expect_eq(a.texts, 4);
	sim_answer_free(&a);
	a = sim_stream(s, MODEL, sim_question("[sim:chunks=4][sim:fault=delimiter_cr]", ""), "\r\r");
	cr_expect_eq(a.texts, 4);
	sim_answer_free(&a);
	sim_end(&s);
}

Test(gemini_sim_faults, malformed_requests_are_refused)
{
	static const struct {
		const char *body, *part;
	} cases[] = {
		{ "{\"contents\":", "Invalid JSON payload received." },
		{ "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"frobnicate\":1}",
			"Unknown name \\\"frobnicate\\\": Cannot find field." },
		{ "{\"contents\":[{\"parts\":[{\"txt\":\"a\"}]}]}",
			"Unknown name \\\"txt\\\" at \\u0027contents[0].parts[0]\\u0027" },
		{ "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":"
		  "\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"const\":"
		  "\"x\"}}}}]}]}",
			"Unknown name \\\"const\\\" at "
			"\\u0027tools[0].function_declarations[0].parameters.properties[0].value\\u0027: Cannot find "
			"field." },
		{ "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{\"thinkingConfig\":{"
		  "\"thinkingLevel\":\"EXTREME\"}}}",
			"ThinkingLevel), \\\"EXTREME\\\"" },
		{ "{\"contents\":[]}", "contents is not specified" },
		{ "{\"contents\":[{\"role\":\"assistant\",\"parts\":[{\"text\":\"a\"}]}]}",
			"Please use a valid role: user, model." },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[]}]}", "must not be empty" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"\"}]}]}", "required oneof field" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\",\"inlineData\":{\"mimeType\":\"image/"
		  "png\",\"data\":\"iVBORw0KGgo=\"}}]}]}",
			"oneof field" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/"
		  "png\",\"data\":\"***\"}}]}]}",
			"Base64 decoding failed" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/"
		  "jpeg\",\"data\":\"iVBORw0KGgo=\"}}]}]}",
			"Unable to process input image" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},{\"role\":\"model\",\"parts\":[{"
		  "\"text\":\"b\"}]}]}",
			"end with a user" },
		{ "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},{\"role\":\"user\",\"parts\":[{"
		  "\"text\":\"a\"}]}]}",
			"begin with a user" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}"
		  "]}]}",
			"immediately after a function call turn" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{"
		  "\"thinkingConfig\":{\"thinkingLevel\":\"LOW\",\"thinkingBudget\":5}}}",
			"only one of thinking budget and thinking level" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{"
		  "\"thinkingConfig\":{\"thinkingLevel\":\"MINIMAL\"}}}",
			"MINIMAL is not supported" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{"
		  "\"responseJsonSchema\":{\"type\":\"object\"}}}",
			"application/json" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{"
		  "\"responseMimeType\":\"application/"
		  "json\",\"responseJsonSchema\":{\"type\":\"object\"},\"responseSchema\":{\"type\":\"STRING\"}}}",
			"Only one of" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"tools\":[{"
		  "\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":\"OBJECT\",\"properties\":{}}}]}]"
		  "}",
			"should be non-empty for OBJECT type" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"tools\":[{"
		  "\"functionDeclarations\":[{\"name\":\"1f\"}]}]}",
			"Invalid function name" },
		{ "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"toolConfig\":{"
		  "\"functionCallingConfig\":{\"mode\":\"ANY\"}}}",
			"without function_declarations" },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct reply r = sim_post(s, MODEL, "generateContent", cases[i].body);

		cr_expect_eq(r.status, 400, "case %zu: %d %s", i, r.status, r.body);
		cr_expect(strstr(r.body, cases[i].part) != NULL, "case %zu: %s is not in %s", i, cases[i].part, r.body);
		reply_free(&r);
	}
	sim_end(&s);
}

Test(gemini_sim_faults, both_spellings_and_lone_objects_are_read)
{
	static const char *const bodies[] = {
		"{\"contents\":{\"parts\":{\"text\":\"a\"}},\"system_instruction\":{\"parts\":{\"text\":\"b\"}},"
		"\"generation_config\":{\"max_output_tokens\":\"900\",\"stop_sequences\":\"x\"}}",
		"{\"contents\":[{\"parts\":[{\"inline_data\":{\"mime_type\":\"image/"
		"png\",\"data\":\"iVBORw0KGgo=\"}}]}],\"tools\":{\"function_declarations\":{\"name\":\"f\","
		"\"parameters_json_schema\":{\"type\":\"object\",\"properties\":{}}}}}",
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		struct reply r = sim_post(s, MODEL, "generateContent", bodies[i]);

		cr_expect_eq(r.status, 200, "%s", r.body);
		reply_free(&r);
	}
	sim_end(&s);
}

Test(gemini_sim_faults, a_refused_member_is_named_until_it_is_left_out)
{
	struct sim *s = sim_start((const char *[]) { "--fault", "refuse_sampling", "--fault", "refuse_level", NULL });
	struct reply r =
		sim_post(s, MODEL, "generateContent", sim_question("a", ",\"generationConfig\":{\"temperature\":0.5}"));

	cr_expect(r.status == 400 && strstr(r.body, "temperature") != NULL);
	reply_free(&r);
	r = sim_post(s, MODEL, "generateContent",
		sim_question("a", ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"LOW\"}}"));
	cr_expect(r.status == 400 && strstr(r.body, "Thinking level") != NULL);
	reply_free(&r);
	r = sim_post(s, MODEL, "generateContent", sim_question("a", ""));
	cr_expect_eq(r.status, 200);
	reply_free(&r);
	sim_end(&s);
}
