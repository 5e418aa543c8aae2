/* json.h: the few questions this folder asks of json-c's trees, safe for any input (NULL, other types).
 * json-c is used here and not shared/json.h because a provider's JSON is taken as it comes: duplicates, lone surrogates, NUL. */
#ifndef RENOVATIOND_WORKER_GEMINI_JSON_H
#define RENOVATIOND_WORKER_GEMINI_JSON_H

/* Both libraries have an `enum json_type`; json-c's is only named in its own prototypes. */
#define json_type json_c_type
#include <json-c/json.h>
#undef json_type

#include "shared/buffer.h"
#include "shared/text.h"

#define GEMINI_JSON_DEPTH 64

/* One whole document, or NULL. `tokener` is reset first and can serve again. The caller puts the result. */
static inline struct json_object *json_parse_text(struct json_tokener *tokener, struct text document)
{
	struct json_object *root;

	if (document.length == 0 || document.length > INT32_MAX)
		return NULL;
	json_tokener_reset(tokener);
	root = json_tokener_parse_ex(tokener, document.bytes, (int)document.length);
	if (root != NULL && json_tokener_get_parse_end(tokener) < document.length) {
		size_t end = json_tokener_get_parse_end(tokener);

		while (end < document.length && strchr(" \t\r\n", document.bytes[end]) != NULL &&
			document.bytes[end] != '\0')
			end++;
		if (end < document.length) {
			json_object_put(root);
			root = NULL;
		}
	}
	return root;
}

/* Borrowed; NULL when absent, null, or when `object` is no object. */
static inline struct json_object *json_member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		(void)json_object_object_get_ex(object, name, &value);
	return value;
}

static inline struct text json_string_value(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_string))
		return TEXT_NONE;
	return text_span(json_object_get_string(value), (size_t)json_object_get_string_len(value));
}

static inline struct text json_string(struct json_object *object, const char *name)
{
	return json_string_value(json_member(object, name));
}

/* 0 when absent or no number; numbers in strings are read, as protobuf's JSON writes int64 so. */
static inline int64_t json_integer(struct json_object *object, const char *name)
{
	return json_object_get_int64(json_member(object, name));
}

static inline void json_append(struct buffer *out, struct json_object *value)
{
	size_t length = 0;
	const char *text = json_object_to_json_string_length(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);

	must(text != NULL);
	buffer_append(out, text, length);
}

#endif
