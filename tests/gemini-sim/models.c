/* The table of served models (state of November 2026) and the capabilities that follow from their generation.
 * Called by service.c, rules.c and generate.c. Models that were shut down are simply not in the table. */
#include "tests/gemini-sim/models.h"

#include <string.h>

// clang-format off
static const struct model models[] = {
	{ .name = "gemini-3.8-flash", .version = "3.8", .display = "Gemini 3.8 Flash", .generation = 38, .level = THINKING_MEDIUM },
	{ .name = "gemini-3.7-flash", .version = "3.7", .display = "Gemini 3.7 Flash", .generation = 37, .level = THINKING_MEDIUM },
	{ .name = "gemini-3.6-flash", .version = "3.6", .display = "Gemini 3.6 Flash", .generation = 36, .minimal = true, .level = THINKING_MEDIUM },
	{ .name = "gemini-3.5-flash-lite", .version = "3.5", .display = "Gemini 3.5 Flash-Lite", .generation = 35, .minimal = true, .level = THINKING_MINIMAL },
	{ .name = "gemini-3.5-flash", .version = "3.5", .display = "Gemini 3.5 Flash", .generation = 35, .minimal = true, .level = THINKING_MEDIUM, .top_k = true },
	{ .name = "gemini-3.1-flash-lite", .version = "3.1", .display = "Gemini 3.1 Flash-Lite", .generation = 31, .minimal = true, .level = THINKING_MINIMAL, .top_k = true },
	{ .name = "gemini-3.1-pro-preview", .version = "3.1-preview", .display = "Gemini 3.1 Pro Preview", .generation = 31, .pro = true, .level = THINKING_HIGH, .top_k = true },
	{ .name = "gemini-3-flash-preview", .version = "3-preview", .display = "Gemini 3 Flash Preview", .generation = 30, .minimal = true, .level = THINKING_HIGH, .top_k = true },
	{ .name = "gemini-4-argon", .version = "4", .display = "Gemini 4 Argon", .generation = 40, .level = THINKING_MEDIUM },
	{ .name = "gemini-2.5-flash", .version = "001", .display = "Gemini 2.5 Flash", .generation = 25, .top_k = true },
	{ .name = "gemini-2.5-pro", .version = "2.5", .display = "Gemini 2.5 Pro", .generation = 25, .pro = true, .top_k = true },
	{ .name = "gemini-2.5-flash-lite", .version = "001", .display = "Gemini 2.5 Flash-Lite", .generation = 25, .top_k = true },
	{ .name = "gemini-flash-latest", .version = "3.8", .display = "Gemini Flash Latest", .answered_by = "gemini-3.8-flash", .generation = 38, .level = THINKING_MEDIUM },
	{ .name = "gemini-flash-lite-latest", .version = "3.5", .display = "Gemini Flash-Lite Latest", .answered_by = "gemini-3.5-flash-lite", .generation = 35, .minimal = true, .level = THINKING_MINIMAL },
	{ .name = "gemini-pro-latest", .version = "3.1-preview", .display = "Gemini Pro Latest", .answered_by = "gemini-3.1-pro-preview", .generation = 31, .pro = true, .level = THINKING_HIGH, .top_k = true },
	{ .name = "gemini-embedding-001", .version = "001", .display = "Gemini Embedding 001", .kind = MODEL_EMBEDDING },
	{ .name = "gemini-embedding-2", .version = "2", .display = "Gemini Embedding 2", .kind = MODEL_EMBEDDING },
};
// clang-format on

const struct model *model_find(const char *name)
{
	for (size_t i = 0; i < model_count(); i++)
		if (strcmp(models[i].name, name) == 0)
			return &models[i];
	return NULL;
}

size_t model_count(void)
{
	return sizeof models / sizeof models[0];
}

const struct model *model_at(size_t index)
{
	return &models[index];
}

static json_object *model_methods(const struct model *model)
{
	static const char *const chat[] = { "generateContent", "countTokens", "createCachedContent",
		"batchGenerateContent" };
	static const char *const embedding[] = { "embedContent", "countTextTokens", "countTokens",
		"asyncBatchEmbedContent" };
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < 4; i++)
		json_object_array_add(list, json_object_new_string(model->kind == MODEL_CHAT ? chat[i] : embedding[i]));
	return list;
}

json_object *model_resource(const struct model *model)
{
	struct text line = { 0 };
	json_object *resource = json_object_new_object();
	text_format(&line, "models/%s", model->name);
	json_put_text(resource, "name", line.bytes);
	json_put_text(resource, "version", model->version);
	json_put_text(resource, "displayName", model->display);
	text_clear(&line);
	text_format(&line, "Stand-in for %s, served by the local simulator", model->display);
	json_put_text(resource, "description", line.bytes);
	text_fini(&line);
	json_put_int(resource, "inputTokenLimit", model->kind == MODEL_CHAT ? 1048576 : 2048);
	json_put_int(resource, "outputTokenLimit", model->kind == MODEL_CHAT ? 65536 : 1);
	json_put(resource, "supportedGenerationMethods", model_methods(model));
	if (model->kind != MODEL_CHAT)
		return resource;
	json_put_int(resource, "temperature", 1);
	json_put(resource, "topP", json_number(0.95));
	if (model->top_k)
		json_put_int(resource, "topK", 64);
	json_put_int(resource, "maxTemperature", 2);
	json_put(resource, "thinking", json_object_new_boolean(1));
	return resource;
}

bool model_takes_level(const struct model *model)
{
	return model->generation >= 30;
}

bool model_sends_ids(const struct model *model)
{
	return model->generation >= 30;
}

bool model_checks_ids(const struct model *model)
{
	return model->generation >= 35;
}

bool model_checks_signatures(const struct model *model)
{
	return model->generation >= 30;
}

bool model_mixes_tools(const struct model *model)
{
	return model->generation >= 30;
}

const char *model_version_of(const struct model *model)
{
	return model->answered_by != NULL ? model->answered_by : model->name;
}
