/* Checks what depends on meaning: limits of generationConfig, thinking by model family, the two kinds of schema.
 * Called by service.c after validate.c found the names and kinds in order. Turns are in checks_turns.c, tools in checks_tools.c. */
#include "tests/gemini-sim/checks.h"

#include <string.h>

static struct refusal *invalid(const char *message)
{
	return refusal_create(400, "INVALID_ARGUMENT", "%s", message);
}

static struct refusal *check_numbers(const json_object *config)
{
	double tokens = json_find_number(config, "maxOutputTokens", 1);
	double temperature = json_find_number(config, "temperature", 1);
	double top_p = json_find_number(config, "topP", 0.5);
	if (tokens < 1 || tokens > 65536)
		return refusal_create(400, "INVALID_ARGUMENT",
			"Unable to submit request because it has a maxOutputTokens value of %.0f but the supported "
			"range is from 1 "
			"(inclusive) to 65537 (exclusive). Update the value and try again.",
			tokens);
	if (temperature < 0 || temperature > 2)
		return invalid("* GenerateContentRequest.generation_config.temperature: temperature must be in the "
			       "range [0.0, 2.0].\n");
	if (top_p < 0 || top_p > 1)
		return invalid(
			"* GenerateContentRequest.generation_config.top_p: top_p must be in the range [0.0, 1.0].\n");
	if (json_length(json_find_list(config, "stopSequences")) > 5)
		return invalid("* GenerateContentRequest.generation_config.stop_sequences: the number of "
			       "stop_sequences must not exceed 5.\n");
	if (json_find_number(config, "candidateCount", 1) != 1)
		return invalid("Multiple candidates is not enabled for this model");
	return NULL;
}

static struct refusal *check_thinking(const json_object *thinking, const struct model *model)
{
	const char *level = json_find_text(thinking, "thinkingLevel");
	bool has_budget = json_find(thinking, "thinkingBudget") != NULL;
	double budget = json_find_number(thinking, "thinkingBudget", -1);
	if (level != NULL && has_budget)
		return invalid("You can only set only one of thinking budget and thinking level.");
	if (level != NULL && !model_takes_level(model))
		return invalid("Thinking level is not supported for this model.");
	if (level != NULL && strcmp(level, "MINIMAL") == 0 && !model->minimal)
		return invalid("Thinking level MINIMAL is not supported for this model. Please retry with other "
			       "thinking level.");
	if (!has_budget)
		return NULL;
	if (budget == 0 && (model->pro || model->generation >= 35))
		return invalid("Budget 0 is invalid. This model only works in thinking mode.");
	if (budget < -1 || budget > (model->pro ? 32768 : 24576))
		return refusal_create(400, "INVALID_ARGUMENT",
			"The thinking budget %.0f is invalid. Please choose a value between %d and %d.", budget,
			model->pro ? 128 : 0, model->pro ? 32768 : 24576);
	return NULL;
}

static bool is_one_of(const char *value, const char *const *allowed)
{
	for (; *allowed != NULL; allowed++)
		if (strcmp(value, *allowed) == 0)
			return true;
	return false;
}

static struct refusal *check_schemas(const json_object *request, const struct model *model)
{
	const json_object *config = json_find(request, "generationConfig");
	const char *type = json_find_text(config, "responseMimeType");
	bool openapi = json_find(config, "responseSchema") != NULL;
	bool schema = json_find(config, "responseJsonSchema") != NULL;
	bool json = type != NULL && strcmp(type, "application/json") == 0;
	if (type != NULL && *type != '\0' &&
		!is_one_of(type, (const char *const[]) { "text/plain", "application/json", "application/xml",
					 "application/yaml", "text/x.enum", NULL }))
		return invalid("* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are "
			       "`text/plain`, "
			       "`application/json`, `application/xml`, `application/yaml` and `text/x.enum`.\n");
	if (openapi && schema)
		return invalid("Only one of response_schema and response_json_schema can be set.");
	if (schema && !json)
		return invalid("response_json_schema requires response_mime_type to be application/json.");
	if (openapi && !json && (type == NULL || strcmp(type, "text/x.enum") != 0))
		return invalid("* GenerateContentRequest.generation_config.response_schema: only allowed with "
			       "response_mime_type "
			       "application/json or text/x.enum\n");
	if (json && json_length(json_find_list(request, "tools")) > 0 && !model_mixes_tools(model))
		return invalid("Function calling with a response mime type: 'application/json' is unsupported");
	return NULL;
}

static struct refusal *check_system(const json_object *request)
{
	const json_object *system = json_find(request, "systemInstruction");
	const json_object *parts = json_find_list(system, "parts");
	for (size_t i = 0; i < json_length(parts); i++)
		if (json_find_text(json_at(parts, i), "text") == NULL)
			return invalid("* GenerateContentRequest.system_instruction.parts: system instruction only "
				       "supports text parts\n");
	if (system != NULL && json_length(parts) == 0)
		return invalid("* GenerateContentRequest.system_instruction.parts: must not be empty.\n");
	return NULL;
}

static struct refusal *check_safety(const json_object *request)
{
	const json_object *list = json_find_list(request, "safetySettings");
	for (size_t i = 0; i < json_length(list); i++) {
		const char *category = json_find_text(json_at(list, i), "category");
		if (category == NULL)
			return invalid(
				"* GenerateContentRequest.safety_settings.category: category is not specified\n");
		for (size_t k = 0; k < i; k++)
			if (strcmp(json_find_text(json_at(list, k), "category"), category) == 0)
				return invalid("* GenerateContentRequest.safety_settings: only one setting per "
					       "category is allowed\n");
	}
	return NULL;
}

static struct refusal *check_cached(const json_object *request)
{
	if (json_find_text(request, "cachedContent") == NULL)
		return NULL;
	if (json_find(request, "systemInstruction") != NULL || json_find(request, "tools") != NULL ||
		json_find(request, "toolConfig") != NULL)
		return invalid("CachedContent can not be used with GenerateContent request setting system_instruction, "
			       "tools or tool_config.");
	return refusal_create(403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)");
}

struct refusal *check_request(const json_object *request, const struct model *model, const char *key)
{
	const json_object *config = json_find(request, "generationConfig");
	struct refusal *refusal = check_contents(request, model, key);
	if (refusal == NULL)
		refusal = check_system(request);
	if (refusal == NULL)
		refusal = check_numbers(config);
	if (refusal == NULL)
		refusal = check_thinking(json_find(config, "thinkingConfig"), model);
	if (refusal == NULL)
		refusal = check_schemas(request, model);
	if (refusal == NULL)
		refusal = check_tools(request, model);
	if (refusal == NULL)
		refusal = check_safety(request);
	if (refusal == NULL)
		refusal = check_cached(request);
	return refusal;
}
