/* Reads a conversation out of a request. Called by service.c before anything is decided about the answer.
 * It judges nothing: wrong turn orders are refused in rules.c. */
#include "tests/gemini-sim/conversation.h"

#include <stdlib.h>
#include <string.h>

const char *content_role(const json_object *content)
{
	const char *role = json_find_text(content, "role");
	return role == NULL || *role == '\0' ? "user" : role;
}

const json_object *content_at(const struct conversation *c, size_t index)
{
	return index < c->count ? json_at(c->contents, index) : NULL;
}

static void content_join(const json_object *content, struct text *out, const char *separator)
{
	const json_object *parts = json_find_list(content, "parts");
	for (size_t i = 0; i < json_length(parts); i++) {
		const json_object *part = json_at(parts, i);
		const json_object *text = json_find(part, "text");
		if (text == NULL || json_find_bool(part, "thought"))
			continue;
		if (out->length > 0)
			text_add(out, separator);
		text_append(out, json_object_get_string((json_object *)text), (size_t)json_object_get_string_len(text));
	}
}

void content_text(const json_object *content, struct text *out)
{
	content_join(content, out, "");
}

void content_lines(const json_object *content, struct text *out)
{
	content_join(content, out, "\n");
}

static char *last_text(const json_object *content)
{
	const json_object *parts = json_find_list(content, "parts");
	for (size_t i = json_length(parts); i > 0; i--)
		if (json_find_text(json_at(parts, i - 1), "text") != NULL)
			return memory_copy(json_find_text(json_at(parts, i - 1), "text"));
	return memory_copy("");
}

bool content_has(const json_object *content, const char *member)
{
	const json_object *parts = json_find_list(content, "parts");
	for (size_t i = 0; i < json_length(parts); i++)
		if (json_find(json_at(parts, i), member) != NULL)
			return true;
	return false;
}

const json_object *declaration_at(const json_object *request, size_t index)
{
	const json_object *tools = json_find_list(request, "tools");
	for (size_t t = 0; t < json_length(tools); t++) {
		const json_object *list = json_find_list(json_at(tools, t), "functionDeclarations");
		if (index < json_length(list))
			return json_at(list, index);
		index -= json_length(list);
	}
	return NULL;
}

const json_object *declaration_find(const json_object *request, const char *name, size_t *count_out)
{
	size_t index = 0;
	const json_object *declaration;
	const json_object *found = NULL;
	while ((declaration = declaration_at(request, index)) != NULL) {
		const char *declared = json_find_text(declaration, "name");
		if (found == NULL && name != NULL && declared != NULL && strcmp(declared, name) == 0)
			found = declaration;
		index++;
	}
	if (count_out != NULL)
		*count_out = index;
	return found;
}

const json_object *declaration_schema(const json_object *declaration)
{
	const json_object *schema = json_find_object(declaration, "parametersJsonSchema");
	return schema != NULL ? schema : json_find_object(declaration, "parameters");
}

static uint64_t hash_part(uint64_t hash, const json_object *part)
{
	static const char *const members[] = { "functionCall", "functionResponse" };
	static const char *const values[] = { "name", "args", "response" };
	const char *text = json_find_text(part, "text");
	if (text != NULL && !json_find_bool(part, "thought"))
		hash = hash_string(hash, text);
	for (size_t m = 0; m < 2; m++) {
		const json_object *call = json_find(part, members[m]);
		for (size_t v = 0; call != NULL && v < 3; v++) {
			json_object *value = json_find(call, values[v]);
			if (value != NULL)
				hash = hash_string(hash, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
		}
	}
	return hash;
}

static uint64_t conversation_hash(const struct conversation *c)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < c->count; i++) {
		const json_object *parts = json_find_list(json_at(c->contents, i), "parts");
		hash = hash_string(hash, content_role(json_at(c->contents, i)));
		for (size_t p = 0; p < json_length(parts); p++)
			hash = hash_part(hash, json_at(parts, p));
	}
	return hash;
}

/* The words a server uses that takes over a cut answer: they must name both the act and the place. */
static bool asks_to_continue(const char *text)
{
	const char *act = find_no_case(text, "continue");
	return act != NULL && act - text < 200 && find_no_case(text, "exactly") != NULL &&
	       (find_no_case(text, "stopped") != NULL || find_no_case(text, "left off") != NULL ||
		       find_no_case(text, "ended") != NULL || find_no_case(text, "cut off") != NULL);
}

static void detect_continuation(struct conversation *c)
{
	if (c->count < 3)
		return;
	const json_object *last = json_at(c->contents, c->count - 1);
	const json_object *before = json_at(c->contents, c->count - 2);
	struct text asked = { 0 };
	struct text prefix = { 0 };
	content_text(last, &asked);
	if (strcmp(content_role(before), "model") == 0 && !content_has(before, "functionCall") &&
		asks_to_continue(text_get(&asked))) {
		content_text(before, &prefix);
		c->continuing = true;
		c->count -= 2;
		free(c->prefix);
		c->prefix = text_take(&prefix);
	}
	text_fini(&asked);
}

void conversation_init(struct conversation *c, const json_object *request)
{
	struct text asked = { 0 };
	*c = (struct conversation) { .request = request, .contents = json_find_list(request, "contents") };
	c->count = json_length(c->contents);
	c->prefix = memory_copy("");
	detect_continuation(c);
	for (size_t i = c->count; i > 0; i--) {
		const json_object *content = json_at(c->contents, i - 1);
		if (strcmp(content_role(content), "user") != 0 || content_has(content, "functionResponse"))
			continue;
		c->turn_start = i - 1;
		c->images = content_has(content, "inlineData") || content_has(content, "fileData");
		content_lines(content, &asked);
		c->marked = last_text(content);
		break;
	}
	c->asked = text_take(&asked);
	if (c->marked == NULL)
		c->marked = memory_copy("");
	c->answering_tools = c->count > 0 && content_has(json_at(c->contents, c->count - 1), "functionResponse");
	c->hash = conversation_hash(c);
}

void conversation_fini(struct conversation *c)
{
	free(c->prefix);
	free(c->asked);
	free(c->marked);
	*c = (struct conversation) { 0 };
}
