/* gemini_sim_agent_test.c: what the simulator says: function calls and their rules by model family, JSON by schema, scripts, and the demo persona. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/sim.h"

#define MODEL "gemini-3.8-flash"
#define PRICE                                                                                                          \
	",\"tools\":[{\"functionDeclarations\":[{\"name\":\"get_price\",\"description\":\"Price of one "               \
	"material\",\"parametersJsonSchema\":"                                                                         \
	"{\"type\":\"object\",\"properties\":{\"sku\":{\"type\":\"string\"}},\"required\":[\"sku\"]}},{\"name\":"      \
	"\"other\"}]}]"

TestSuite(gemini_sim_agent, .timeout = 180);

static const char renovation_tools[] =
	",\"systemInstruction\":{\"parts\":[{\"text\":\"You help homeowners to "
	"renovate.\"}]},\"tools\":[{\"functionDeclarations\":["
	"{\"name\":\"update_session\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"title\":{"
	"\"type\":\"string\"},\"totalBudget\":{\"type\":\"number\"},\"currency\":{\"type\":\"string\"}}}},"
	"{\"name\":\"add_room\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":"
	"\"string\"},\"kind\":{\"type\":\"string\",\"enum\":[\"kitchen\",\"bathroom\",\"other\"]},\"lengthM\":{"
	"\"type\":\"number\"},\"widthM\":{\"type\":\"number\"}},\"required\":[\"name\"]}},"
	"{\"name\":\"add_task\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"title\":{\"type\":"
	"\"string\"},\"priority\":{\"type\":\"string\",\"enum\":[\"low\",\"normal\",\"high\"]}},\"required\":["
	"\"title\"]}},"
	"{\"name\":\"complete_task\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"taskId\":{"
	"\"type\":\"string\",\"format\":\"uuid\"},\"title\":{\"type\":\"string\"}}}},"
	"{\"name\":\"list_tasks\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"status\":{\"type\":"
	"\"string\",\"enum\":[\"todo\",\"done\"]}}}},"
	"{\"name\":\"recommend_product\",\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"name\":{"
	"\"type\":\"string\"},\"price\":{\"type\":\"number\"},\"quantity\":{\"type\":\"integer\"}},\"required\":["
	"\"name\"]}}"
	"]}]";

static struct json_object *post_json(struct sim *s, const char *model, const char *body, int status)
{
	struct reply r = sim_post(s, model, "generateContent", body);
	struct json_object *answer = reply_json(&r);

	cr_assert_eq(r.status, status, "%s", r.body);
	reply_free(&r);
	return answer;
}

/* A conversation under way: the request with a list of contents that grows. */
static struct json_object *conversation_new(const char *question, const char *more)
{
	struct json_object *request = json_tokener_parse(sim_question(question, more));

	cr_assert(request != NULL);
	return request;
}

/* Sends it; appends the model's content and answers every call with `output`. Returns the number of calls; *text_out gets the text (static). */
static int conversation_step(
	struct sim *s, const char *model, struct json_object *request, const char *output, char **text_out)
{
	struct json_object *answer = post_json(s, model, json_object_to_json_string(request), 200);
	struct json_object *content = json_object_at(answer, "candidates.0.content");
	struct json_object *parts = json_object_at(content, "parts");
	struct json_object *responses = json_object_new_array();
	int calls = 0;

	*text_out = must_strdup("");
	for (size_t i = 0; parts != NULL && i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		struct json_object *call = json_object_at(part, "functionCall");

		if (json_at(part, "text") != NULL) {
			free(*text_out);
			*text_out = must_strdup(json_at(part, "text"));
		}
		if (call == NULL)
			continue;
		struct json_object *response = json_tokener_parse(output);

		json_object_object_add(response, "name", json_object_new_string(json_at(call, "name")));
		if (json_at(call, "id") != NULL)
			json_object_object_add(response, "id", json_object_new_string(json_at(call, "id")));
		struct json_object *wrapped = json_object_new_object();
		json_object_object_add(wrapped, "functionResponse", response);
		json_object_array_add(responses, wrapped);
		calls++;
	}
	json_object_array_add(json_object_at(request, "contents"), json_object_get(content));
	struct json_object *turn = json_tokener_parse("{\"role\":\"user\"}");
	json_object_object_add(turn, "parts", responses);
	if (calls > 0)
		json_object_array_add(json_object_at(request, "contents"), turn);
	else
		json_object_put(turn);
	json_object_put(answer);
	return calls;
}

static void conversation_ask(struct json_object *request, const char *question)
{
	struct json_object *turn = json_tokener_parse("{\"role\":\"user\",\"parts\":[{}]}");

	json_object_object_add(json_object_at(turn, "parts.0"), "text", json_object_new_string(question));
	json_object_array_add(json_object_at(request, "contents"), turn);
}

Test(gemini_sim_agent, two_named_things_are_two_calls_and_one_signature)
{
	struct sim *s = sim_start(NULL);
	struct json_object *answer =
		post_json(s, MODEL, sim_question("Use get_price once for A1 and once for B2", PRICE), 200);

	cr_expect_str_eq(json_at(answer, "candidates.0.content.parts.0.functionCall.args.sku"), "A1");
	cr_expect_str_eq(json_at(answer, "candidates.0.content.parts.1.functionCall.args.sku"), "B2");
	cr_expect(json_at(answer, "candidates.0.content.parts.0.thoughtSignature") != NULL);
	cr_expect(json_at(answer, "candidates.0.content.parts.1.thoughtSignature") == NULL);
	cr_expect_str_neq(json_at(answer, "candidates.0.content.parts.0.functionCall.id"),
		json_at(answer, "candidates.0.content.parts.1.functionCall.id"));
	cr_expect_str_eq(json_at(answer, "candidates.0.finishReason"), "STOP");
	cr_expect_str_eq(json_at(answer, "candidates.0.finishMessage"), "Model generated function call(s).");
	json_object_put(answer);
	answer = post_json(s, "gemini-2.5-flash", sim_question("Use get_price for A1", PRICE), 200);
	cr_expect(json_at(answer, "candidates.0.content.parts.0.functionCall.id") == NULL, "2.5 sends no ids");
	json_object_put(answer);
	sim_end(&s);
}

Test(gemini_sim_agent, modes_are_obeyed)
{
	struct sim *s = sim_start(NULL);
	struct json_object *answer = post_json(s, MODEL,
		sim_question("Hello!", PRICE ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\","
					     "\"allowedFunctionNames\":[\"other\"]}}"),
		200);

	cr_expect_str_eq(json_at(answer, "candidates.0.content.parts.0.functionCall.name"), "other");
	json_object_put(answer);
	answer = post_json(s, MODEL,
		sim_question("Use get_price for A1",
			PRICE ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}}"),
		200);
	cr_expect(json_at(answer, "candidates.0.content.parts.0.text") != NULL);
	json_object_put(answer);
	sim_end(&s);
}

/* What a careless client does to the second request, and what 3.x says to it. */
Test(gemini_sim_agent, ids_and_signatures_must_come_back)
{
	static const struct {
		const char *model, *drop, *from,
			*put; /* member to drop (or, with `put`, to replace) in parts.0 of contents `from` */
		int status;
		const char *part;
	} cases[] = {
		{ MODEL, NULL, NULL, NULL, 200, "STOP" },
		{ MODEL, "thoughtSignature", "contents.1.parts.0", NULL, 400, "missing a thought_signature" },
		{ MODEL, "thoughtSignature", "contents.1.parts.0", "skip_thought_signature_validator", 200, "STOP" },
		{ MODEL, "thoughtSignature", "contents.1.parts.0", "QUJDRA==", 400, "Corrupted thought signature" },
		{ MODEL, "id", "contents.2.parts.0.functionResponse", NULL, 400, "does not match functionCall.id" },
		{ MODEL, "id", "contents.2.parts.0.functionResponse", "fc_other", 400,
			"does not match functionCall.id" },
		{ "gemini-3-flash-preview", "id", "contents.2.parts.0.functionResponse", NULL, 200, "STOP" },
		{ "gemini-2.5-flash", "thoughtSignature", "contents.1.parts.0", NULL, 200, "STOP" },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct json_object *request = conversation_new("Use get_price for A1", PRICE);
		char *text;

		cr_assert_eq(conversation_step(
				     s, cases[i].model, request, "{\"response\":{\"output\":{\"price\":12.5}}}", &text),
			1);
		free(text);
		if (cases[i].from != NULL)
			json_object_object_del(json_object_at(request, cases[i].from), cases[i].drop);
		if (cases[i].put != NULL)
			json_object_object_add(json_object_at(request, cases[i].from), cases[i].drop,
				json_object_new_string(cases[i].put));
		struct reply r = sim_post(s, cases[i].model, "generateContent", json_object_to_json_string(request));

		cr_expect_eq(r.status, cases[i].status, "case %zu: %d %s", i, r.status, r.body);
		cr_expect(strstr(r.body, cases[i].part) != NULL, "case %zu: %s", i, r.body);
		reply_free(&r);
		json_object_put(request);
	}
	sim_end(&s);
}

Test(gemini_sim_agent, each_call_needs_its_response)
{
	struct sim *s = sim_start(NULL);
	struct json_object *request = conversation_new("Use get_price for A1 and B2", PRICE);
	char *text;

	cr_assert_eq(conversation_step(s, "gemini-2.5-flash", request, "{\"response\":{}}", &text), 2);
	free(text);
	json_object_array_del_idx(json_object_at(request, "contents.2.parts"), 1, 1);
	struct reply r = sim_post(s, "gemini-2.5-flash", "generateContent", json_object_to_json_string(request));
	cr_expect(
		r.status == 400 && strstr(r.body, "number of function response parts is equal") != NULL, "%s", r.body);
	reply_free(&r);
	json_object_put(request);
	sim_end(&s);
}

Test(gemini_sim_agent, calls_can_be_marked_and_spread)
{
	struct sim *s = sim_start(NULL);
	struct sim_answer a = sim_stream(s, MODEL,
		sim_question("[sim:tool=get_price {\"sku\":\"]x\"}][sim:fault=parallel_calls_spread]", PRICE), NULL);

	cr_expect_eq(json_object_array_length(a.calls), 2);
	cr_expect_eq(a.events, 2);
	cr_expect_str_eq(json_at(json_object_array_get_idx(a.calls, 0), "args.sku"), "]x");
	cr_expect_str_neq(json_at(json_object_array_get_idx(a.calls, 0), "id"),
		json_at(json_object_array_get_idx(a.calls, 1), "id"));
	sim_answer_free(&a);

	struct json_object *request = conversation_new("[sim:tools-forever] price?", PRICE);
	for (int i = 0; i < 4; i++) {
		char *text;

		cr_expect_eq(conversation_step(s, MODEL, request, "{\"response\":{}}", &text), 1, "round %d", i);
		free(text);
	}
	json_object_put(request);
	sim_end(&s);
}

Test(gemini_sim_agent, json_satisfies_either_kind_of_schema)
{
	static const char *const schemas[] = {
		",\"generationConfig\":{\"responseMimeType\":\"application/"
		"json\",\"responseJsonSchema\":{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\","
		"\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/"
		"item\"}},\"room\":{\"type\":\"string\"},\"area_m2\":{\"type\":[\"number\",\"null\"]}},\"required\":["
		"\"room\",\"items\"],\"propertyOrdering\":[\"room\",\"area_m2\",\"items\"],\"$defs\":{\"item\":{"
		"\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"qty\":{\"type\":\"number\"}}}}}}",
		",\"generationConfig\":{\"responseMimeType\":\"application/"
		"json\",\"responseSchema\":{\"type\":\"OBJECT\",\"properties\":{\"items\":{\"type\":\"ARRAY\","
		"\"minItems\":\"1\",\"items\":{\"type\":\"OBJECT\",\"properties\":{\"name\":{\"type\":\"STRING\"},"
		"\"qty\":{\"type\":\"NUMBER\"}}}},\"room\":{\"type\":\"STRING\"},\"area_m2\":{\"type\":\"NUMBER\","
		"\"nullable\":true}},\"required\":[\"room\",\"items\"],\"propertyOrdering\":[\"room\",\"area_m2\","
		"\"items\"]}}",
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(schemas); i++) {
		struct json_object *answer =
			post_json(s, MODEL, sim_question("Bathroom 6 m2, new tiles", schemas[i]), 200);
		const char *text = json_at(answer, "candidates.0.content.parts.0.text");
		struct json_object *value = json_tokener_parse(text);

		cr_assert(value != NULL, "%s", text);
		cr_expect(json_object_is_type(json_object_at(value, "room"), json_type_string));
		cr_expect(json_object_is_type(json_object_at(value, "items.0.name"), json_type_string));
		cr_expect(json_object_at(value, "items.0.qty") != NULL);
		cr_expect_lt(strstr(text, "\"room\""), strstr(text, "\"area_m2\""));
		cr_expect_lt(strstr(text, "\"area_m2\""), strstr(text, "\"items\""));
		json_object_put(value);
		json_object_put(answer);
	}
	struct json_object *answer = post_json(s, MODEL, sim_question("[sim:fault=cut_json] x", schemas[0]), 200);
	cr_expect_str_eq(json_at(answer, "candidates.0.finishReason"), "MAX_TOKENS");
	cr_expect(json_tokener_parse(json_at(answer, "candidates.0.content.parts.0.text")) == NULL,
		"the JSON must be cut");
	json_object_put(answer);
	sim_end(&s);
}

Test(gemini_sim_agent, scripts_are_used_up_in_order_and_can_be_continued)
{
	struct sim *s = sim_start(NULL);
	struct reply r = sim_request(s, "POST", "/sim/script", NULL,
		"[{\"contains\":\"roof\",\"steps\":[{\"text\":[\"The \",\"roof "
		"\"]},{\"text\":\"leaks.\",\"delayMs\":1}]},"
		"{\"steps\":[{\"text\":\"Calling.\"},{\"call\":{\"name\":\"get_price\",\"args\":{\"sku\":\"Z9\"}}}]},"
		"{\"steps\":[{\"text\":[\"a\",\"b\"]},{\"fault\":\"eof\"},{\"text\":\"c\"}]}]");

	cr_assert_eq(r.status, 204, "%s", r.body);
	reply_free(&r);
	struct sim_answer a = sim_stream(s, MODEL, sim_question("What about the price?", ""), NULL);
	cr_expect_str_eq(a.text, "Calling.");
	cr_expect_str_eq(json_at(json_object_array_get_idx(a.calls, 0), "args.sku"), "Z9");
	sim_answer_free(&a);
	a = sim_stream(s, MODEL, sim_question("What about the roof?", ""), NULL);
	cr_expect_str_eq(a.text, "The roof leaks.");
	cr_expect_eq(a.texts, 3);
	sim_answer_free(&a);
	a = sim_stream(s, MODEL, sim_question("cut", ""), NULL);
	cr_expect_str_eq(a.text, "ab");
	cr_expect_str_eq(a.finish, "");
	sim_answer_free(&a);
	a = sim_stream(s, MODEL,
		"{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"cut\"}]},{\"role\":\"model\",\"parts\":[{"
		"\"text\":\"ab\"}]},{\"role\":\"user\",\"parts\":[{\"text\":"
		"\"Continue exactly where your previous message stopped.\"}]}]}",
		NULL);
	cr_expect_str_eq(a.text, "c");
	cr_expect_str_eq(a.finish, "STOP");
	sim_answer_free(&a);
	sim_end(&s);
}

Test(gemini_sim_agent, the_persona_sets_up_a_kitchen_and_follows_up)
{
	struct sim *s = sim_start(NULL);
	struct json_object *request =
		conversation_new("I want to renovate my kitchen, about 12 m2, budget 15000", renovation_tools);
	char *text;
	int calls = conversation_step(s, MODEL, request, "{\"response\":{\"ok\":true}}", &text);
	struct json_object *parts = json_object_at(request, "contents.1.parts");
	int rooms = 0, tasks = 0, products = 0, sessions = 0;

	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		const char *name = json_at(part, "functionCall.name");

		rooms += name != NULL && strcmp(name, "add_room") == 0 &&
			 strcmp(json_at(part, "functionCall.args.kind"), "kitchen") == 0;
		tasks += name != NULL && strcmp(name, "add_task") == 0 &&
			 json_object_at(part, "functionCall.args.description") == NULL;
		products += name != NULL && strcmp(name, "recommend_product") == 0;
		sessions += name != NULL && strcmp(name, "update_session") == 0 &&
			    json_object_get_double(json_object_at(part, "functionCall.args.totalBudget")) == 15000;
	}
	cr_expect(calls <= 16 && rooms == 1 && tasks >= 3 && tasks <= 5 && products >= 1 && sessions == 1, "%s",
		json_object_to_json_string(parts));
	free(text);

	cr_expect_eq(
		conversation_step(s, MODEL, request, "{\"response\":{}}", &text), 0, "after results there is text");
	cr_expect(strstr(text, "€15,000") != NULL && strstr(text, "12 m²") != NULL && strstr(text, "\n\n") != NULL &&
			  strchr(text, '?') != NULL,
		"%s", text);
	free(text);

	conversation_ask(request, "mark the measuring task done");
	cr_expect_eq(conversation_step(s, MODEL, request, "{\"response\":{\"ok\":true}}", &text), 1);
	cr_expect(strstr(json_object_to_json_string(request), "complete_task") != NULL);
	free(text);
	cr_expect_eq(conversation_step(s, MODEL, request, "{\"response\":{}}", &text), 0);
	cr_expect(strstr(text, "Measure the kitchen") != NULL, "%s", text);
	free(text);

	conversation_ask(request, "what is left?");
	cr_expect_eq(
		conversation_step(s, MODEL, request,
			"{\"response\":{\"tasks\":[{\"id\":\"1\",\"title\":\"Paint the wall\",\"status\":\"todo\"}]}}",
			&text),
		1);
	free(text);
	cr_expect_eq(conversation_step(s, MODEL, request, "{\"response\":{}}", &text), 0);
	cr_expect(strstr(text, "Paint the wall") != NULL, "%s", text);
	free(text);

	conversation_ask(request, "add a bathroom");
	cr_expect_gt(conversation_step(s, MODEL, request, "{\"response\":{\"error\":\"not now\"}}", &text), 3);
	free(text);
	cr_expect_eq(conversation_step(s, MODEL, request, "{\"response\":{}}", &text), 0);
	cr_expect(strstr(text, "not now") != NULL, "%s", text);
	free(text);
	json_object_put(request);
	sim_end(&s);
}

Test(gemini_sim_agent, questions_get_paragraphs_with_numbers_of_the_conversation)
{
	static const struct {
		const char *question, *part;
	} cases[] = {
		{ "Hello!", "renovation" },
		{ "Do I need a permit?", "permit" },
		{ "How much will my kitchen of 10 m2 cost with 20000 euros?", "€2,000 per square metre" },
		{ "How long does it take to redo 10 m²?", "weeks" },
		{ "Which tiles should I take?", "R10" },
		{ "What paint?", "litres" },
		{ "thanks", "welcome" },
	};
	struct sim *s = sim_start(NULL);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct sim_answer a = sim_stream(s, MODEL, sim_question(cases[i].question, ""), NULL);

		cr_expect(strstr(a.text, cases[i].part) != NULL, "%s: %s", cases[i].question, a.text);
		cr_expect(strstr(a.text, "\n\n") != NULL);
		cr_expect(strchr(a.text, '{') == NULL, "a placeholder was left: %s", a.text);
		sim_answer_free(&a);
	}
	struct sim_answer a = sim_stream(s, MODEL,
		"{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/"
		"png\",\"data\":\"iVBORw0KGgo=\"}},{\"text\":\"What needs repair here?\"}]}]}",
		NULL);
	cr_expect(strstr(a.text, "window") != NULL, "%s", a.text);
	sim_answer_free(&a);
	sim_end(&s);
}
