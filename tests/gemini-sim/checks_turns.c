/* Checks contents: roles, parts, images, the order of calls and their responses, ids, and thought signatures.
 * Called by checks.c. The messages are those of the real service where they are known. */
#include "tests/gemini-sim/checks.h"

#include <string.h>

#include "tests/gemini-sim/conversation.h"
#include "tests/gemini-sim/signature.h"

struct turns {
	const json_object *contents; /* borrowed */
	const struct model *model;   /* whose rules apply */
	const char *key;             /* for signatures */
	size_t count;                /* of contents */
	size_t turn_start;           /* signatures are checked behind this content */
};

static struct refusal *invalid(const char *message)
{
	return refusal_create(400, "INVALID_ARGUMENT", "%s", message);
}

static size_t count_parts(const json_object *content, const char *member)
{
	const json_object *parts = json_find_list(content, "parts");
	size_t count = 0;
	for (size_t i = 0; i < json_length(parts); i++)
		count += json_find(json_at(parts, i), member) != NULL;
	return count;
}

static bool is_user(const json_object *content)
{
	return strcmp(content_role(content), "user") == 0;
}

static bool has_magic(const char *type, const unsigned char *bytes, size_t length)
{
	if (strcmp(type, "image/png") == 0)
		return length >= 4 && memcmp(bytes, "\x89PNG", 4) == 0;
	if (strcmp(type, "image/jpeg") == 0)
		return length >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0;
	if (strcmp(type, "image/webp") == 0)
		return length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
	if (strcmp(type, "image/heic") == 0 || strcmp(type, "image/heif") == 0)
		return length >= 12 && memcmp(bytes + 4, "ftyp", 4) == 0;
	return strcmp(type, "application/pdf") != 0 || (length >= 4 && memcmp(bytes, "%PDF", 4) == 0);
}

static struct refusal *check_media(const json_object *blob)
{
	static const char *const types[] = { "image/png", "image/jpeg", "image/webp", "image/heic", "image/heif",
		"application/pdf", "text/plain", "audio/wav", "audio/mp3", "audio/mpeg", "video/mp4" };
	unsigned char start[16] = { 0 };
	const char *type = json_find_text(blob, "mimeType");
	const char *encoded = json_find_text(blob, "data");
	bool known = false;
	if (type == NULL || *type == '\0')
		return invalid(
			"* GenerateContentRequest.contents.parts.inline_data.mime_type: mime_type is not specified\n");
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		known = known || strcmp(types[i], type) == 0;
	if (!known)
		return refusal_create(400, "INVALID_ARGUMENT", "Unsupported MIME type: %s", type);
	long length = encoded == NULL ? 0 : base64_decode(encoded, strlen(encoded), start, sizeof start);
	if (length <= 0 || !has_magic(type, start, (size_t)length < sizeof start ? (size_t)length : sizeof start))
		return invalid("Unable to process input image. Please retry or report in "
			       "https://developers.generativeai.google/guide/troubleshooting");
	return NULL;
}

static struct refusal *check_part(const json_object *part, size_t content, size_t index)
{
	static const char *const members[] = { "inlineData", "fileData", "functionCall", "functionResponse",
		"executableCode", "codeExecutionResult", "toolCall", "toolResponse" };
	const char *text = json_find_text(part, "text");
	bool has_data = text != NULL && *text != '\0';
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		has_data = has_data || json_find(part, members[i]) != NULL;
	if (!has_data && json_find_text(part, "thoughtSignature") == NULL)
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.contents[%zu].parts[%zu].data: required oneof field 'data' must have "
			"one initialized "
			"field\n",
			content, index);
	for (size_t i = 2; i < 4; i++) {
		const json_object *call = json_find(part, members[i]);
		const char *name = json_find_text(call, "name");
		if (call != NULL && (name == NULL || *name == '\0'))
			return refusal_create(400, "INVALID_ARGUMENT",
				"* GenerateContentRequest.contents[%zu].parts[%zu].%s.name: [FIELD_INVALID] Name "
				"cannot be empty.\n",
				content, index, i == 2 ? "function_call" : "function_response");
	}
	const json_object *response = json_find(part, "functionResponse");
	if (response != NULL && json_find(response, "response") == NULL)
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.contents[%zu].parts[%zu].function_response.response: response is not "
			"specified\n",
			content, index);
	return json_find(part, "inlineData") != NULL ? check_media(json_find(part, "inlineData")) : NULL;
}

static struct refusal *check_content(const json_object *content, size_t index)
{
	const json_object *parts = json_find_list(content, "parts");
	const char *role = content_role(content);
	struct refusal *refusal = NULL;
	if (strcmp(role, "user") != 0 && strcmp(role, "model") != 0)
		return invalid("Please use a valid role: user, model.");
	if (json_length(parts) == 0)
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.contents[%zu].parts: contents.parts must not be empty.\n", index);
	for (size_t i = 0; refusal == NULL && i < json_length(parts); i++)
		refusal = check_part(json_at(parts, i), index, i);
	if (refusal == NULL && is_user(content) && count_parts(content, "functionCall") > 0)
		refusal = invalid("Please ensure that function call turns have the role model.");
	if (refusal == NULL && !is_user(content) && count_parts(content, "functionResponse") > 0)
		refusal = invalid("Please ensure that function response turns have the role user.");
	return refusal;
}

static struct refusal *check_order(const struct turns *t, size_t index)
{
	const json_object *content = json_at(t->contents, index);
	const json_object *before = index > 0 ? json_at(t->contents, index - 1) : NULL;
	const json_object *next = json_at(t->contents, index + 1);
	size_t calls = count_parts(content, "functionCall");
	if (calls > 0 && (before == NULL || !is_user(before)))
		return invalid("Please ensure that function call turn comes immediately after a user turn or after a "
			       "function response turn.");
	if (count_parts(content, "functionResponse") > 0 &&
		(before == NULL || count_parts(before, "functionCall") == 0))
		return invalid(
			"Please ensure that function response turn comes immediately after a function call turn.");
	if (calls > 0 && next != NULL && count_parts(next, "functionResponse") == 0)
		return invalid(
			"Please ensure that function response turn comes immediately after a function call turn.");
	if (calls > 0 && next != NULL && count_parts(next, "functionResponse") != calls)
		return invalid("Please ensure that the number of function response parts is equal to the number of "
			       "function call parts of "
			       "the function call turn.");
	return NULL;
}

static bool has_response_id(const json_object *content, const char *id)
{
	const json_object *parts = json_find_list(content, "parts");
	for (size_t i = 0; i < json_length(parts); i++) {
		const json_object *response = json_find(json_at(parts, i), "functionResponse");
		const char *given = json_find_text(response, "id");
		if (response != NULL && strcmp(given != NULL ? given : "", id) == 0)
			return true;
	}
	return false;
}

/* From 3.5 on each call's id must come back; a call without one wants a response without one. */
static struct refusal *check_ids(const struct turns *t, size_t index)
{
	const json_object *parts = json_find_list(json_at(t->contents, index), "parts");
	const json_object *next = json_at(t->contents, index + 1);
	if (!model_checks_ids(t->model) || next == NULL)
		return NULL;
	for (size_t i = 0; i < json_length(parts); i++) {
		const json_object *call = json_find(json_at(parts, i), "functionCall");
		const char *id = json_find_text(call, "id");
		if (call != NULL && !has_response_id(next, id != NULL ? id : ""))
			return invalid("functionResponse.id does not match functionCall.id");
	}
	return NULL;
}

static struct refusal *missing_signature(const char *name, size_t position)
{
	return refusal_create(400, "INVALID_ARGUMENT",
		"Function call is missing a thought_signature in functionCall parts. This is required for tools to "
		"work correctly, and missing "
		"thought_signature may lead to degraded model performance. Additional data, function call "
		"`default_api:%s` , position %zu. "
		"Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
		name, position);
}

/* The first call of each step must be signed by this model and key; what is signed besides must be ours too. */
static struct refusal *check_signatures(const struct turns *t, size_t index)
{
	const json_object *content = json_at(t->contents, index);
	const json_object *parts = json_find_list(content, "parts");
	bool first = true;
	if (!model_checks_signatures(t->model) || index < t->turn_start || is_user(content))
		return NULL;
	for (size_t i = 0; i < json_length(parts); i++) {
		const char *name = json_find_text(json_find(json_at(parts, i), "functionCall"), "name");
		const char *signature = json_find_text(json_at(parts, i), "thoughtSignature");
		if (name != NULL && first && (signature == NULL || *signature == '\0'))
			return missing_signature(name, index + 1);
		if (signature != NULL && *signature != '\0') {
			enum signature_verdict verdict =
				signature_check(signature, t->model, t->key, name != NULL ? name : "");
			if (verdict == SIGNATURE_FOREIGN || verdict == SIGNATURE_CORRUPT)
				return invalid("Corrupted thought signature.");
		}
		first = first && name == NULL;
	}
	return NULL;
}

static size_t find_turn_start(const json_object *contents)
{
	for (size_t i = json_length(contents); i > 0; i--)
		if (is_user(json_at(contents, i - 1)) && count_parts(json_at(contents, i - 1), "functionResponse") == 0)
			return i - 1;
	return 0;
}

struct refusal *check_contents(const json_object *request, const struct model *model, const char *key)
{
	const json_object *contents = json_find_list(request, "contents");
	struct turns t = { .contents = contents, .model = model, .key = key, .count = json_length(contents) };
	struct refusal *refusal = NULL;
	if (t.count == 0)
		return invalid("* GenerateContentRequest.contents: contents is not specified\n");
	t.turn_start = find_turn_start(contents);
	for (size_t i = 0; refusal == NULL && i < t.count; i++)
		refusal = check_content(json_at(contents, i), i);
	for (size_t i = 0; refusal == NULL && i < t.count; i++) {
		refusal = check_order(&t, i);
		if (refusal == NULL && count_parts(json_at(contents, i), "functionCall") > 0)
			refusal = check_ids(&t, i);
		if (refusal == NULL)
			refusal = check_signatures(&t, i);
	}
	if (refusal == NULL && !is_user(json_at(contents, 0)))
		refusal = invalid("Please ensure that multiturn requests begin with a user turn.");
	if (refusal == NULL && !is_user(json_at(contents, t.count - 1)))
		refusal = invalid(t.count == 1 ? "Please ensure that single turn requests end with a user role or the "
						 "role field is empty."
					       : "Please ensure that multiturn requests end with a user turn or a "
						 "function response turn.");
	return refusal;
}
