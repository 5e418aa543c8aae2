/* Counts tokens, about four bytes each; images cost what the model's generation says.
 * Called by answer.c for usageMetadata and by service.c for countTokens. */
#include "tests/gemini-sim/tokens.h"

#include <stdlib.h>
#include <string.h>

int tokens_total(const struct tokens *tokens)
{
	return tokens->text + tokens->image + tokens->document;
}

int tokens_of_text(const char *text)
{
	return (int)((strlen(text) + 3) / 4);
}

int tokens_of_json(const json_object *value)
{
	return value == NULL
		       ? 0
		       : tokens_of_text(json_object_to_json_string_ext((json_object *)value, JSON_C_TO_STRING_PLAIN));
}

static int tokens_of_image(const json_object *request, const struct model *model)
{
	const char *resolution = json_find_text(json_find(request, "generationConfig"), "mediaResolution");
	if (model->generation < 30)
		return resolution != NULL && ends_with(resolution, "LOW") ? 64 : 258;
	if (resolution != NULL && ends_with(resolution, "LOW"))
		return 280;
	return resolution != NULL && ends_with(resolution, "MEDIUM") ? 560 : 1120;
}

static void tokens_add_part(
	struct tokens *tokens, const json_object *request, const json_object *part, const struct model *model)
{
	static const char *const structured[] = { "functionCall", "functionResponse", "executableCode",
		"codeExecutionResult", "toolCall", "toolResponse" };
	const char *text = json_find_text(part, "text");
	const json_object *media = json_find(part, "inlineData");
	if (media == NULL)
		media = json_find(part, "fileData");
	if (text != NULL)
		tokens->text += tokens_of_text(text);
	for (size_t i = 0; i < sizeof structured / sizeof structured[0]; i++)
		tokens->text += tokens_of_json(json_find(part, structured[i]));
	if (media == NULL)
		return;
	const char *type = json_find_text(media, "mimeType");
	if (type != NULL && strcmp(type, "application/pdf") == 0)
		tokens->document += 258;
	else
		tokens->image += tokens_of_image(request, model);
}

struct tokens tokens_of_request(const json_object *request, const struct model *model)
{
	struct tokens tokens = { 0 };
	const json_object *contents = json_find_list(request, "contents");
	for (size_t i = 0; i < json_length(contents); i++) {
		const json_object *parts = json_find_list(json_at(contents, i), "parts");
		for (size_t p = 0; p < json_length(parts); p++)
			tokens_add_part(&tokens, request, json_at(parts, p), model);
	}
	const json_object *system = json_find_list(json_find(request, "systemInstruction"), "parts");
	for (size_t p = 0; p < json_length(system); p++)
		tokens_add_part(&tokens, request, json_at(system, p), model);
	tokens.text += tokens_of_json(json_find(request, "tools"));
	return tokens;
}

json_object *tokens_details(const struct tokens *tokens)
{
	const struct {
		const char *modality;
		int count;
	} rows[] = { { "TEXT", tokens->text }, { "IMAGE", tokens->image }, { "DOCUMENT", tokens->document } };
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < 3; i++) {
		if (rows[i].count == 0)
			continue;
		json_object *row = json_object_new_object();
		json_put_text(row, "modality", rows[i].modality);
		json_put_int(row, "tokenCount", rows[i].count);
		json_object_array_add(list, row);
	}
	return list;
}
