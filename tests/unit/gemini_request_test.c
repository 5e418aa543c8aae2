/* gemini_request_test.c: the bodies of requests, byte for byte, for the families of models; and the table of families. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "worker/gemini/json.h"
#include "worker/gemini/request.h"

static struct role_config role = { .name = "chat", .temperature = "", .thinking = "", .output_tokens = 8192 };

/* The body for these, or only what follows maxOutputTokens. */
static void check_with(
	const struct model_request *rq, enum request_sampling sampling, unsigned refused, const char *expected)
{
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);
	struct models models = { 0 };
	struct request_settings settings = { .role = rq->role,
		.config = &role,
		.family = models_family(text_of(rq->model)),
		.facts = models_facts(&models, text_of(rq->model)),
		.sampling = sampling,
		.has_tools = rq->tool_count > 0 };
	struct buffer out;
	unsigned members;
	size_t at;

	settings.facts->refused = refused;
	buffer_init(&out);
	at = request_write(&out, tokener, rq, &settings, &members);
	if (expected[0] != '{')
		buffer_consume(&out, at);
	cr_assert(text_equals(buffer_text(&out), text_of(expected)), "%s\n--- got\n%.*s\n--- expected\n%s", rq->model,
		TEXT_ARGS(buffer_text(&out)), expected);
	cr_assert_eq(members & MEMBER_TEMPERATURE, strstr(expected, "temperature") != NULL ? MEMBER_TEMPERATURE : 0);
	cr_assert_eq(members & MEMBER_THINKING, strstr(expected, "thinkingConfig") != NULL ? MEMBER_THINKING : 0);
	buffer_fini(&out);
	json_tokener_free(tokener);
}

static void check(const struct model_request *rq, const char *expected)
{
	check_with(rq, SAMPLING_AUTO, 0, expected);
}

static const struct model_tool tools[] = {
	{ "get_price", "Price of one material",
		"{\"type\":\"object\",\"properties\":{\"sku\":{\"type\":\"string\"}},\"required\":[\"sku\"]}" },
	{ "list_tasks", "All \"tasks\"", NULL },
};

#define TOOLS                                                                                                          \
	"\"tools\":[{\"functionDeclarations\":[{\"name\":\"get_price\",\"description\":\"Price of one "                \
	"material\",\"parametersJsonSchema\":"                                                                         \
	"{\"type\":\"object\",\"properties\":{\"sku\":{\"type\":\"string\"}},\"required\":[\"sku\"]}},{\"name\":"      \
	"\"list_tasks\","                                                                                              \
	"\"description\":\"All \\\"tasks\\\"\"}]}],"

Test(gemini_request, a_question_with_tools)
{
	struct model_content contents[] = { { .parts = TEXT("[{\"text\":\"How long does screed dry?\"}]"),
		.is_current = true } };
	struct model_request rq = { .role = MODEL_ROLE_STREAMING,
		.model = "gemini-2.5-flash",
		.system = TEXT("You are \"the\" assistant."),
		.contents = contents,
		.content_count = 1,
		.tools = tools,
		.tool_count = 2 };

	check(&rq, "{\"systemInstruction\":{\"parts\":[{\"text\":\"You are \\\"the\\\" assistant.\"}]}," TOOLS
		   "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}},"
		   "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"How long does screed dry?\"}]}],"
		   "\"generationConfig\":{\"maxOutputTokens\":8192}}");
	rq.no_tool_calls = true;
	rq.system = TEXT_NONE;
	check(&rq, "{" TOOLS "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}},"
		   "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"How long does screed dry?\"}]}],"
		   "\"generationConfig\":{\"maxOutputTokens\":8192}}");
}

Test(gemini_request, a_round_of_two_calls_goes_back_verbatim)
{
	struct model_content contents[] = {
		{ .parts = TEXT("[{\"text\":\"Prices?\"}]"), .is_current = true },
		{ .role = MESSAGE_ROLE_MODEL,
			.model = TEXT("gemini-3.5-flash-lite"),
			.parts = TEXT("[{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"get_price\",\"args\":{\"sku\":"
				      "\"A1\"}},\"thoughtSignature\":\"Q2lBQg==\"},"
				      "{\"functionCall\":{\"id\":\"fc_2\",\"name\":\"get_price\",\"args\":{\"sku\":"
				      "\"B2\"}}}]"),
			.is_current = true },
		{ .parts = TEXT("[{\"functionResponse\":{\"id\":\"fc_1\",\"name\":\"get_price\",\"response\":{"
				"\"output\":12.5}}}]"),
			.is_current = true },
		{ .parts = TEXT("[{\"functionResponse\":{\"id\":\"fc_2\",\"name\":\"get_price\",\"response\":{"
				"\"error\":\"unknown\"}}}]"),
			.is_current = true },
		{ .role = MESSAGE_ROLE_MODEL,
			.model = TEXT("gemini-3.5-flash-lite"),
			.parts = TEXT("[]"),
			.is_current = true },
	};
	struct model_request rq = { .role = MODEL_ROLE_STREAMING,
		.model = "models/gemini-3.5-flash-lite",
		.contents = contents,
		.content_count = 5 };

	check(&rq,
		"{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Prices?\"}]},{\"role\":\"model\",\"parts\":["
		"{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"get_price\",\"args\":{\"sku\":\"A1\"}},"
		"\"thoughtSignature\":\"Q2lBQg==\"},"
		"{\"functionCall\":{\"id\":\"fc_2\",\"name\":\"get_price\",\"args\":{\"sku\":\"B2\"}}}]},{\"role\":"
		"\"user\",\"parts\":["
		"{\"functionResponse\":{\"id\":\"fc_1\",\"name\":\"get_price\",\"response\":{\"output\":12.5}}},"
		"{\"functionResponse\":{\"id\":\"fc_2\",\"name\":\"get_price\",\"response\":{\"error\":\"unknown\"}}}]}"
		"],"
		"\"generationConfig\":{\"maxOutputTokens\":8192}}");
}

Test(gemini_request, a_schema_excludes_functions_before_3)
{
	struct model_content contents[] = { { .parts = TEXT("[{\"text\":\"x\"}]") } };
	struct model_request rq = { .role = MODEL_ROLE_STRUCTURED,
		.model = "gemini-2.5-flash",
		.contents = contents,
		.content_count = 1,
		.tools = tools,
		.tool_count = 2,
		.schema = TEXT("{\"type\":\"object\"}") };

	check(&rq, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"generationConfig\":{"
		   "\"responseMimeType\":"
		   "\"application/json\",\"responseJsonSchema\":{\"type\":\"object\"},\"maxOutputTokens\":8192}}");
}

#define LEVEL(l)  ",\"thinkingConfig\":{\"thinkingLevel\":\"" l "\"}}}"
#define BUDGET(n) ",\"thinkingConfig\":{\"thinkingBudget\":" n "}}}"

static const struct {
	const char *model, *thinking, *expected;
	enum model_role role;
	bool has_tools;
} thinkings[] = {
	{ "gemini-2.5-flash", "off", BUDGET("0"), MODEL_ROLE_STREAMING, false },
	{ "gemini-2.5-flash", "minimal", BUDGET("0"), MODEL_ROLE_STREAMING, false },
	{ "gemini-2.5-flash", "low", BUDGET("1024"), MODEL_ROLE_CHAT, false },
	{ "gemini-2.5-flash", "-1", BUDGET("-1"), MODEL_ROLE_CHAT, false },
	{ "gemini-2.5-flash", "99999", BUDGET("24576"), MODEL_ROLE_CHAT, false },
	{ "gemini-2.5-pro", "off", BUDGET("128"), MODEL_ROLE_CHAT, false },
	{ "gemini-2.0-flash", "low", "}}", MODEL_ROLE_CHAT, false },
	{ "gemini-3.5-flash-lite", "minimal", LEVEL("MINIMAL"), MODEL_ROLE_STREAMING, true },
	{ "gemini-3.5-flash-lite", "low", LEVEL("LOW"), MODEL_ROLE_CHAT, false },
	{ "gemini-3.5-flash-lite", "low", LEVEL("MEDIUM"), MODEL_ROLE_CHAT, true },
	{ "gemini-3.5-flash-lite", "high", LEVEL("HIGH"), MODEL_ROLE_CHAT, true },
	{ "gemini-3.6-flash", "off", LEVEL("MINIMAL"), MODEL_ROLE_STRUCTURED, false },
	{ "gemini-3.8-flash", "off", LEVEL("LOW"), MODEL_ROLE_STRUCTURED, false },
	{ "gemini-3.8-flash", "minimal", LEVEL("LOW"), MODEL_ROLE_STREAMING, false },
	{ "gemini-3.1-pro-preview", "minimal", LEVEL("LOW"), MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "medium", LEVEL("MEDIUM"), MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "0", LEVEL("LOW"), MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "5000", LEVEL("MEDIUM"), MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "50000", LEVEL("HIGH"), MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "-1", "}}", MODEL_ROLE_STREAMING, false },
	{ "gemini-4-argon", "", "}}", MODEL_ROLE_STREAMING, false },
};

Test(gemini_request, thinking_is_said_as_each_family_takes_it)
{
	struct model_content contents[] = { { .parts = TEXT("[{\"text\":\"x\"}]") } };

	for (size_t i = 0; i < COUNT_OF(thinkings); i++) {
		struct model_request rq = { .role = thinkings[i].role,
			.model = thinkings[i].model,
			.contents = contents,
			.content_count = 1,
			.tools = tools,
			.tool_count = thinkings[i].has_tools ? 2 : 0 };

		role.thinking = thinkings[i].thinking;
		check(&rq, thinkings[i].expected);
	}
}

Test(gemini_request, temperature_is_sent_to_those_who_honour_it)
{
	struct model_content contents[] = { { .parts = TEXT("[{\"text\":\"x\"}]") } };
	struct model_request rq = { .role = MODEL_ROLE_VISION, .contents = contents, .content_count = 1 };
	static const struct {
		const char *model;
		enum request_sampling sampling;
		unsigned refused;
		bool is_sent;
	} cases[] = {
		{ "gemini-2.5-flash", SAMPLING_AUTO, 0, true },
		{ "gemini-3.5-flash", SAMPLING_AUTO, 0, true },
		{ "gemini-3.5-flash-lite", SAMPLING_AUTO, 0, false },
		{ "gemini-3.6-flash", SAMPLING_AUTO, 0, false },
		{ "gemini-3.8-flash", SAMPLING_AUTO, 0, false },
		{ "gemini-flash-latest", SAMPLING_AUTO, 0, false },
		{ "gemini-3.8-flash", SAMPLING_ALWAYS, 0, true },
		{ "gemini-2.5-flash", SAMPLING_NEVER, 0, false },
		{ "gemini-2.5-flash", SAMPLING_ALWAYS, MEMBER_TEMPERATURE, false },
	};

	role.temperature = "0.3";
	role.thinking = "";
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		rq.model = cases[i].model;
		check_with(
			&rq, cases[i].sampling, cases[i].refused, cases[i].is_sent ? ",\"temperature\":0.3}}" : "}}");
	}
}

Test(gemini_request, families_follow_from_names)
{
	static const struct {
		const char *model, *label;
		bool is_strict, honours_sampling;
	} names[] = {
		{ "gemini-2.5-flash", "2.5", false, true },
		{ "models/gemini-2.5-pro-preview-06-05", "2.5", false, true },
		{ "gemini-3-flash-preview", "3.0", true, true },
		{ "gemini-3.1-flash-lite", "3.0", true, true },
		{ "gemini-3.5-flash", "3.0", true, true },
		{ "gemini-3.5-flash-lite", "3.6", true, false },
		{ "gemini-3.5-flash-lite-preview-09", "3.6", true, false },
		{ "gemini-3.7-flash", "newest", true, false },
		{ "gemini-4-argon", "newest", true, false },
		{ "", "newest", true, false },
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const struct model_family *family = models_family(text_of(names[i].model));

		cr_assert_str_eq(family->label, names[i].label, "%s", names[i].model);
		cr_assert_eq(family->is_strict, names[i].is_strict, "%s", names[i].model);
		cr_assert_eq(family->honours_sampling, names[i].honours_sampling, "%s", names[i].model);
		cr_assert_eq(provider_model_is_strict(names[i].model), names[i].is_strict);
	}
}

Test(gemini_request, a_model_is_known_by_its_name_and_the_name_it_answers_under)
{
	static struct models models;
	struct model_facts *facts = models_facts(&models, TEXT("models/gemini-flash-latest"));
	char name[32];

	cr_assert_eq(facts, models_facts(&models, TEXT("gemini-flash-latest")));
	cr_assert(models_is_same(facts, TEXT("gemini-flash-latest")));
	cr_assert_not(models_is_same(facts, TEXT("gemini-3.8-flash")));
	(void)snprintf(facts->answers_as, sizeof facts->answers_as, "gemini-3.8-flash");
	cr_assert(models_is_same(facts, TEXT("models/gemini-3.8-flash")));
	cr_assert_not(models_is_same(facts, TEXT_NONE));
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof name, "model-%d", i);
		cr_assert_str_eq(models_facts(&models, text_of(name))->name, name);
	}
}
