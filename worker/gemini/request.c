/* request.c: builds the JSON of one request out of stored parts, tools and the role's row. Called by provider.c.
 * The constant part (instruction, tools) comes first, as the provider caches prefixes. It validates nothing the caller already did. */
#include "config.h"
#include "worker/gemini/request.h"

#include "shared/json.h"
#include "worker/gemini/parts.h"

static void write_system(struct buffer *out, struct text system)
{
	if (system.length == 0)
		return;
	buffer_append_string(out, "\"systemInstruction\":{\"parts\":[{\"text\":");
	json_write_string(out, system);
	buffer_append_string(out, "}]},");
}

static void write_tools(struct buffer *out, const struct model_request *rq)
{
	if (rq->tool_count == 0)
		return;
	buffer_append_string(out, "\"tools\":[{\"functionDeclarations\":[");
	for (size_t i = 0; i < rq->tool_count; i++) {
		const struct model_tool *tool = &rq->tools[i];

		buffer_append_string(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		json_write_string(out, text_of(tool->name));
		buffer_append_string(out, ",\"description\":");
		json_write_string(out, text_of(tool->description));
		if (tool->parameters != NULL) {
			buffer_append_string(out, ",\"parametersJsonSchema\":");
			buffer_append_string(out, tool->parameters);
		}
		buffer_append_char(out, '}');
	}
	buffer_printf(out, "]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"%s\"}},",
		rq->no_tool_calls ? "NONE" : "AUTO");
}

/* Neighbours of one role become one content. An empty one is left out: the API refuses it. */
static void write_contents(struct buffer *out, struct json_tokener *tokener, const struct model_request *rq,
	const struct request_settings *s)
{
	bool has_answered = s->facts->answers_as[0] != '\0', is_foreign = false;
	struct buffer parts;
	int last_role = -1;

	buffer_init(&parts);
	buffer_append_string(out, "\"contents\":[");
	for (size_t i = 0; i < rq->content_count; i++) {
		const struct model_content *content = &rq->contents[i];

		/* Results are as foreign as the calls before them. */
		if (content->role == MESSAGE_ROLE_MODEL)
			is_foreign = !models_is_same(s->facts, content->model);

		struct parts_target target = { .family = has_answered ? models_family(text_of(s->facts->answers_as))
								      : s->family,
			.is_foreign = is_foreign,
			.is_unsigned = content->is_unsigned,
			.is_current = content->is_current };

		buffer_clear(&parts);
		if (!parts_rewrite(tokener, content->parts, &target, &parts) || buffer_length(&parts) == 0)
			continue;
		if ((int)content->role != last_role) {
			buffer_append_string(out, last_role < 0 ? "{\"role\":" : "]},{\"role\":");
			buffer_append_string(out,
				content->role == MESSAGE_ROLE_MODEL ? "\"model\",\"parts\":[" : "\"user\",\"parts\":[");
		} else {
			buffer_append_char(out, ',');
		}
		last_role = (int)content->role;
		buffer_append_text(out, buffer_text(&parts));
	}
	buffer_append_string(out, last_role < 0 ? "]," : "]}],");
	buffer_fini(&parts);
}

static int64_t output_limit(const struct request_settings *s)
{
	int64_t wanted = s->config->output_tokens, most = s->facts->output_limit;

	return most > 0 && wanted > most ? most : wanted;
}

size_t request_write(struct buffer *out, struct json_tokener *tokener, const struct model_request *rq,
	const struct request_settings *s, unsigned *members_out)
{
	bool has_schema = rq->schema.length > 0;

	buffer_append_char(out, '{');
	write_system(out, rq->system);
	/* Before 3.x a response schema and functions exclude each other. */
	if (!has_schema || s->family->is_strict)
		write_tools(out, rq);
	write_contents(out, tokener, rq, s);
	buffer_append_string(out, "\"generationConfig\":{");
	if (has_schema) {
		buffer_append_string(out, "\"responseMimeType\":\"application/json\",\"responseJsonSchema\":");
		buffer_append_text(out, rq->schema);
		buffer_append_char(out, ',');
	}
	buffer_printf(out, "\"maxOutputTokens\":%lld", (long long)output_limit(s));

	size_t settings_at = buffer_length(out);

	*members_out = request_write_settings(out, s);
	return settings_at;
}

/* ---- what a model may refuse ---- */

static bool wants_temperature(const struct request_settings *s)
{
	if (s->config->temperature[0] == '\0' || (s->facts->refused & MEMBER_TEMPERATURE) != 0)
		return false;
	return s->sampling == SAMPLING_ALWAYS || (s->sampling == SAMPLING_AUTO && s->family->honours_sampling);
}

/* THE steps of thinking: the words of the option, their level, and the budget that Google's own OpenAI layer gives them. */
static const struct thinking_step {
	const char *word;
	const char *level;
	int budget;
} steps[] = {
	{ "off", "MINIMAL", 0 },
	{ "minimal", "MINIMAL", 0 },
	{ "low", "LOW", 1024 },
	{ "medium", "MEDIUM", 8192 },
	{ "high", "HIGH", 24576 },
};

#define BUDGET_MIN_PRO 128 /* of models that cannot be stopped from thinking */

static const struct thinking_step *step_of(const char *thinking)
{
	for (size_t i = 0; i < COUNT_OF(steps); i++)
		if (text_equals(text_of(thinking), text_of(steps[i].word)))
			return &steps[i];
	return NULL;
}

/* A budget in the configuration, for a model that takes levels: the step that holds it. */
static const struct thinking_step *step_holding(int64_t budget)
{
	size_t i = 1;

	while (i + 1 < COUNT_OF(steps) && budget > steps[i].budget)
		i++;
	return &steps[i];
}

static bool write_level(struct buffer *out, const struct request_settings *s, const struct thinking_step *step)
{
	bool is_lite_with_tools =
		s->role == MODEL_ROLE_CHAT && s->has_tools && strstr(s->facts->name, "flash-lite") != NULL;
	const char *level = step->level;

	if (step <= &steps[1] && !s->family->has_minimal)
		level = "LOW";
	/* Below it, flash-lite tends to stop half-way through a tool loop. */
	if (is_lite_with_tools && step <= &steps[2])
		level = "MEDIUM";
	buffer_printf(out, ",\"thinkingConfig\":{\"thinkingLevel\":\"%s\"}", level);
	return true;
}

static bool write_budget(struct buffer *out, const struct request_settings *s, int64_t budget)
{
	if (s->family->must_think && budget >= 0 && budget < BUDGET_MIN_PRO)
		budget = BUDGET_MIN_PRO;
	if (!s->family->must_think && budget > 24576)
		budget = 24576;
	buffer_printf(out, ",\"thinkingConfig\":{\"thinkingBudget\":%lld}", (long long)(budget < 0 ? -1 : budget));
	return true;
}

static bool write_thinking(struct buffer *out, const struct request_settings *s)
{
	const char *thinking = s->config->thinking;
	const struct thinking_step *step = step_of(thinking);

	if (thinking[0] == '\0' || (s->facts->refused & MEMBER_THINKING) != 0)
		return false;

	int64_t budget = step != NULL ? step->budget : strtoll(thinking, NULL, 10);

	switch (s->family->thinking) {
	case THINKING_NONE: break;
	case THINKING_BUDGET: return write_budget(out, s, budget);
	case THINKING_LEVEL:
		if (step != NULL)
			return write_level(out, s, step);
		return budget >= 0 && write_level(out, s, step_holding(budget)); /* -1, automatic, is its default */
	}
	return false;
}

unsigned request_write_settings(struct buffer *out, const struct request_settings *s)
{
	unsigned written = 0;

	if (wants_temperature(s)) {
		buffer_printf(out, ",\"temperature\":%s", s->config->temperature);
		written |= MEMBER_TEMPERATURE;
	}
	if (write_thinking(out, s))
		written |= MEMBER_THINKING;
	buffer_append_string(out, "}}");
	return written;
}
