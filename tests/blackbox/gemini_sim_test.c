/* gemini_sim_test.c: the simulator's wire: framing, forms of an answer, keys, models, counting, determinism, continuation. The rest of the suite
 * trusts the simulator, so it is held to the same facts as the client. Faults and content are in gemini_sim_faults_test.c and gemini_sim_agent_test.c. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/sim.h"

#define MODEL  "gemini-3.8-flash"
#define STREAM "/v1beta/models/" MODEL ":streamGenerateContent?alt=sse"

TestSuite(gemini_sim, .timeout = 180);

static void expect(struct sim *s, const char *what, struct reply r, int status, const char *part)
{
	(void)s;
	cr_expect_eq(r.status, status, "%s: status %d, body %s", what, r.status, r.body);
	cr_expect(part == NULL || strstr(r.body, part) != NULL, "%s: %s is not in %s", what, part, r.body);
	reply_free(&r);
}

static char *unary_text(struct sim *s, const char *body)
{
	struct reply r = sim_post(s, MODEL, "generateContent", body);
	struct json_object *answer = reply_json(&r);
	const char *text = json_at(answer, "candidates.0.content.parts.0.text");
	char *copy = must_strdup(text != NULL ? text : "");

	json_object_put(answer);
	reply_free(&r);
	return copy;
}

Test(gemini_sim, events_are_one_data_line_and_two_crlf)
{
	struct sim *s = sim_start(NULL);
	char *raw = sim_raw(s, STREAM, sim_question("Tell me about tiles", ""), NULL);
	char *body = strstr(raw, "\r\n\r\n");

	cr_assert(body != NULL && strstr(raw, "HTTP/1.1 200 OK\r\n") == raw);
	cr_expect(strstr(raw, "\r\nContent-Type: text/event-stream\r\n") != NULL);
	cr_expect(strstr(raw, "\r\nContent-Disposition: attachment\r\n") != NULL);
	cr_expect(strstr(raw, "\r\nTransfer-Encoding: chunked\r\n") != NULL);
	cr_expect(strstr(raw, "\r\nServer-Timing: gfet4t7; dur=") != NULL);
	cr_expect(strstr(raw, "\r\nX-Content-Type-Options: nosniff\r\n") != NULL);
	for (const char *event = strstr(body, "data: "); event != NULL; event = strstr(event + 1, "\r\ndata: ")) {
		const char *end = strstr(event, "\r\n\r\n");

		cr_expect(end != NULL && memchr(event + 2, '\n', (size_t)(end - event - 2)) == NULL,
			"an event of several lines");
	}
	cr_expect(strstr(body, "[DONE]") == NULL && strstr(body, "event:") == NULL && strstr(body, "\nid:") == NULL);
	cr_expect(strstr(body, "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"") != NULL,
		"not Google's spacing");
	free(raw);
	sim_end(&s);
}

Test(gemini_sim, every_chunk_has_usage_and_one_response_id)
{
	struct sim *s = sim_start(NULL);
	struct sim_answer a = sim_stream(s, MODEL, sim_question("Tell me about paint", ""), NULL);
	struct sim_answer b = sim_stream(s, MODEL, sim_question("Tell me about paint", ""), NULL);
	const char *id = json_at(json_object_array_get_idx(a.list, 0), "responseId");

	cr_assert_gt(a.events, 5);
	for (int i = 0; i < a.events; i++) {
		struct json_object *event = json_object_array_get_idx(a.list, (size_t)i);
		bool is_last = i == a.events - 1;

		cr_expect_str_eq(json_at(event, "responseId"), id);
		cr_expect_str_eq(json_at(event, "modelVersion"), MODEL);
		cr_expect(json_object_at(event, "usageMetadata.promptTokenCount") != NULL);
		cr_expect_eq(json_object_at(event, "usageMetadata.candidatesTokenCount") != NULL, is_last);
		cr_expect_eq(json_at(event, "candidates.0.finishReason") != NULL, is_last);
	}
	cr_expect_str_eq(a.finish, "STOP");
	cr_expect_str_eq(a.rest, "");
	cr_expect_str_neq(json_at(json_object_array_get_idx(b.list, 0), "responseId"), id, "two answers share an id");
	cr_expect_str_eq(a.text, b.text);
	cr_expect_eq(a.events, b.events);
	sim_answer_free(&a);
	sim_answer_free(&b);
	sim_end(&s);
}

Test(gemini_sim, stream_and_unary_say_the_same)
{
	static const char *const questions[] = { "Hello!", "How much will my kitchen cost? 12 m2, 15000",
		"Say é and 💡 [sim:words=120]", "hm" };
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(questions); i++) {
		struct sim_answer a = sim_stream(s, MODEL, sim_question(questions[i], ""), NULL);
		char *text = unary_text(s, sim_question(questions[i], ""));

		cr_expect_str_eq(a.text, text);
		free(text);
		sim_answer_free(&a);
	}
	sim_end(&s);
}

Test(gemini_sim, without_alt_sse_a_json_array_is_streamed)
{
	struct sim *s = sim_start(NULL);
	struct reply r = sim_post(s, MODEL, "streamGenerateContent", sim_question("Hello!", ""));
	struct json_object *list = reply_json(&r);

	cr_expect(json_object_is_type(list, json_type_array) && json_object_array_length(list) > 2);
	cr_expect_str_eq(reply_header(&r, "Content-Type"), "application/json; charset=UTF-8");
	json_object_put(list);
	reply_free(&r);
	r = sim_post(s, MODEL, "streamGenerateContent", "{}");
	cr_expect_eq(r.status, 400);
	cr_expect_eq(r.body[0], '[');
	reply_free(&r);
	sim_end(&s);
}

Test(gemini_sim, error_of_a_streaming_call_is_json_typed_as_events)
{
	struct sim *s = sim_start(NULL);
	struct reply r = sim_post(s, MODEL, "streamGenerateContent?alt=sse", "{\"contents\":[]}");
	struct json_object *error = reply_json(&r);

	cr_expect_eq(r.status, 400);
	cr_expect_str_eq(reply_header(&r, "Content-Type"), "text/event-stream");
	cr_expect_str_eq(json_at(error, "error.status"), "INVALID_ARGUMENT");
	json_object_put(error);
	reply_free(&r);
	sim_end(&s);
}

Test(gemini_sim, key_is_checked_before_anything_else)
{
	struct sim *s = sim_start((const char *[]) { "--api-key", "right", NULL });
	static const char *const paths[] = { "/v1beta/models/" MODEL ":generateContent",
		"/v1beta/models/nothing:generateContent", "/v1beta/models/" MODEL ":countTokens", STREAM };

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		expect(s, paths[i], sim_request(s, "POST", paths[i], "x-goog-api-key: \r\n", "{broken"), 403,
			"PERMISSION_DENIED");
		expect(s, paths[i], sim_request(s, "POST", paths[i], "x-goog-api-key: wrong\r\n", "{broken"), 400,
			"\"API_KEY_INVALID\"");
	}
	expect(s, "get", sim_request(s, "GET", "/v1beta/models/" MODEL, "x-goog-api-key: right\r\n", NULL), 200,
		"supportedGenerationMethods");
	expect(s, "query", sim_request(s, "GET", "/v1beta/models?key=right", "x-goog-api-key: right\r\n", NULL), 200,
		"models/" MODEL);
	sim_end(&s);
}

Test(gemini_sim, models_are_listed_in_pages_and_unknown_ones_are_404)
{
	struct sim *s = sim_start(NULL);
	char path[128] = "/v1beta/models?pageSize=5";
	int pages = 0, count = 0;

	for (bool more = true; more; pages++) {
		struct reply r = sim_request(s, "GET", path, NULL, NULL);
		struct json_object *page = reply_json(&r);
		const char *token = json_at(page, "nextPageToken");

		count += (int)json_object_array_length(json_object_at(page, "models"));
		more = token != NULL && pages < 20;
		if (more)
			(void)snprintf(path, sizeof path, "/v1beta/models?pageSize=5&pageToken=%s", token);
		json_object_put(page);
		reply_free(&r);
	}
	cr_expect(pages > 2 && count > 10, "%d pages, %d models", pages, count);
	expect(s, "get", sim_request(s, "GET", "/v1beta/models/gemini-1.5-pro", NULL, NULL), 404, "NOT_FOUND");
	expect(s, "post", sim_post(s, "gemini-2.0-flash", "generateContent", sim_question("Hi", "")), 404,
		"models/gemini-2.0-flash is not found for API version v1beta, or is not supported for "
		"generateContent.");
	expect(s, "method", sim_post(s, MODEL, "embedContent", "{}"), 404, "is not supported for embedContent");
	sim_end(&s);
}

Test(gemini_sim, counting_agrees_with_the_prompt_count)
{
	struct sim *s = sim_start(NULL);
	const char *inner = "\"systemInstruction\":{\"parts\":[{\"text\":\"Be brief and "
			    "kind.\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"How long does "
			    "screed dry?\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}}]}]";
	struct reply counted = sim_post(s, MODEL, "countTokens",
		format("{\"generateContentRequest\":{\"model\":\"models/" MODEL "\",%s}}", inner));
	struct reply answered = sim_post(s, MODEL, "generateContent", format("{%s}", inner));
	struct json_object *count = reply_json(&counted), *answer = reply_json(&answered);

	cr_expect_eq(json_object_get_int(json_object_at(count, "totalTokens")),
		json_object_get_int(json_object_at(answer, "usageMetadata.promptTokenCount")));
	cr_expect(strstr(answered.body, "\"IMAGE\"") != NULL && strstr(counted.body, "\"IMAGE\"") != NULL);
	cr_expect_gt(json_object_get_int(json_object_at(count, "totalTokens")), 1000, "an image costs more");
	json_object_put(count);
	json_object_put(answer);
	reply_free(&counted);
	reply_free(&answered);
	expect(s, "contents", sim_post(s, MODEL, "countTokens", sim_question("Hi there", "")), 200,
		"\"totalTokens\": 2");
	sim_end(&s);
}

Test(gemini_sim, embeddings_have_the_length_asked_for)
{
	struct sim *s = sim_start(NULL);
	struct reply r = sim_post(s, "gemini-embedding-001", "embedContent",
		"{\"model\":\"models/gemini-embedding-001\",\"content\":{\"parts\":[{\"text\":\"oak "
		"floor\"}]},\"outputDimensionality\":8}");
	struct json_object *answer = reply_json(&r);

	cr_expect_eq(json_object_array_length(json_object_at(answer, "embedding.values")), 8);
	json_object_put(answer);
	reply_free(&r);
	expect(s, "batch",
		sim_post(s, "gemini-embedding-001", "batchEmbedContents",
			"{\"requests\":[{\"model\":\"models/"
			"gemini-embedding-001\",\"content\":{\"parts\":[{\"text\":\"a\"}]},\"outputDimensionality\":2}]"
			"}"),
		200, "\"embeddings\"");
	sim_end(&s);
}

Test(gemini_sim, a_cut_answer_is_continued_exactly)
{
	static const char *const questions[] = { "Which tiles for my kitchen of 12 m2?", "Write [sim:chunks=40]",
		"x [sim:repeat=a “b” ★ 💡 é end]" };
	struct sim *s = sim_start(NULL);

	for (size_t q = 0; q < COUNT_OF(questions); q++) {
		struct sim_answer whole = sim_stream(s, MODEL, sim_question(questions[q], ""), NULL);
		size_t length = strlen(whole.text);

		for (size_t cut = 1; cut <= length; cut += cut < 20 ? 1 : 97) {
			if (((unsigned char)whole.text[cut] & 0xC0) == 0x80)
				continue;
			struct json_object *request = json_tokener_parse(sim_question(questions[q], ""));
			struct json_object *contents = json_object_at(request, "contents");
			struct json_object *prefix = json_tokener_parse("{\"role\":\"model\",\"parts\":[{}]}");

			json_object_object_add(json_object_at(prefix, "parts.0"), "text",
				json_object_new_string_len(whole.text, (int)cut));
			json_object_array_add(contents, prefix);
			json_object_array_add(contents,
				json_tokener_parse("{\"role\":\"user\",\"parts\":[{\"text\":\"Continue exactly where "
						   "your previous message stopped. Do not repeat anything.\"}]}"));
			struct sim_answer rest =
				sim_stream(s, "gemini-2.5-flash", json_object_to_json_string(request), NULL);

			cr_expect_str_eq(rest.text, whole.text + cut, "cut at %zu of question %zu", cut, q);
			sim_answer_free(&rest);
			json_object_put(request);
		}
		sim_answer_free(&whole);
	}
	sim_end(&s);
}

Test(gemini_sim, the_seam_overlaps_on_request)
{
	struct sim *s = sim_start((const char *[]) { "--overlap", "3", NULL });
	struct sim_answer a = sim_stream(s, MODEL,
		"{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"[sim:repeat=abcdé "
		"fgh]\"}]},{\"role\":\"model\",\"parts\":[{\"text\":\"abcdé\"}]},"
		"{\"role\":\"user\",\"parts\":[{\"text\":\"Continue exactly where your previous message "
		"stopped.\"}]}]}",
		NULL);

	cr_expect_str_eq(a.text, "cdé fgh");
	sim_answer_free(&a);
	sim_end(&s);
}

Test(gemini_sim, random_tcp_splits_change_nothing)
{
	struct sim *s = sim_start(NULL);
	char *whole = unary_text(s, sim_question("[sim:words=60] é 💡", ""));
	struct sim_answer a = sim_stream(s, MODEL, sim_question("[sim:words=60] é 💡", ""), NULL);
	struct sim_answer b = sim_stream(s, MODEL, sim_question("[sim:words=60] é 💡", ", \"store\": true"), NULL);

	cr_expect_str_eq(a.text, whole);
	sim_answer_free(&b);
	sim_fault(s, "[{\"fault\":\"split\",\"params\":{\"bytes\":3}}]");
	b = sim_stream(s, MODEL, sim_question("[sim:words=60] é 💡", ""), NULL);
	cr_expect_str_eq(b.text, whole);
	cr_expect_eq(b.events, a.events);
	sim_answer_free(&a);
	sim_answer_free(&b);
	free(whole);
	sim_end(&s);
}

Test(gemini_sim, limits_cut_the_answer)
{
	struct sim *s = sim_start(NULL);
	const char *config = ",\"generationConfig\":{\"maxOutputTokens\":10,\"thinkingConfig\":{\"thinkingBudget\":0}}";
	struct reply r = sim_post(s, "gemini-2.5-flash", "generateContent", sim_question("[sim:words=100]", config));
	struct json_object *answer = reply_json(&r);

	cr_expect_str_eq(json_at(answer, "candidates.0.finishReason"), "MAX_TOKENS");
	cr_expect_leq(strlen(json_at(answer, "candidates.0.content.parts.0.text")), 40);
	json_object_put(answer);
	reply_free(&r);
	r = sim_post(s, "gemini-3.1-pro-preview", "generateContent",
		sim_question("[sim:words=100]", ",\"generationConfig\":{\"maxOutputTokens\":10}"));
	cr_expect(strstr(r.body, "\"MAX_TOKENS\"") != NULL && strstr(r.body, "\"text\"") == NULL,
		"thinking must use it up: %s", r.body);
	reply_free(&r);
	char *text = unary_text(s, sim_question("[sim:repeat=one two STOP three]",
					   ",\"generationConfig\":{\"stopSequences\":[\"STOP\"]}"));
	cr_expect_str_eq(text, "one two ");
	free(text);
	sim_end(&s);
}

Test(gemini_sim, the_log_hides_the_key_and_knows_who_left_early)
{
	struct sim *s = sim_start(NULL);
	struct client c;

	client_init(&c, s->port);
	cr_assert(client_connect(&c));
	const char *body = sim_question("[sim:chunks=4000][sim:delay=50ms]", "");
	const char *head = format("POST " STREAM " HTTP/1.1\r\nHost: x\r\nx-goog-api-key: " SIM_KEY
				  "\r\nContent-Length: %zu\r\n\r\n",
		strlen(body));
	cr_assert(client_send(&c, head, strlen(head)) && client_send(&c, body, strlen(body)));
	sim_wait_open(s, 1);
	client_disconnect(&c);
	sim_wait_open(s, 0);
	client_fini(&c);
	cr_expect_eq(sim_stat(s, "closedEarly"), 1);

	struct reply log = sim_request(s, "GET", "/sim/log", NULL, NULL);
	struct json_object *entry = json_tokener_parse(log.body);

	cr_expect_str_eq(json_at(entry, "outcome"), "client closed");
	cr_expect_str_eq(json_at(entry, "method"), "streamGenerateContent");
	cr_expect(json_object_get_boolean(json_object_at(entry, "keyOk")));
	cr_expect(json_object_is_type(json_object_at(entry, "closedAfterMs"), json_type_int));
	cr_expect(json_object_at(entry, "body.contents.0") != NULL);
	cr_expect(strstr(log.body, SIM_KEY) == NULL, "the log shows the key");
	json_object_put(entry);
	reply_free(&log);
	sim_end(&s);
}
