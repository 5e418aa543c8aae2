/* JSON reading and writing for the simulator, on top of json-c. Called by everything that touches a body.
 * It does not know the Gemini messages; those are in messages.c. */
#include "tests/gemini-sim/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* json-c 0.18 (Debian 13) takes every byte above 0x7f for a control character when it is strict. */
#define NOT_STRICT_VERSION 0x1200

json_object *json_read(const char *bytes, size_t length, size_t *offset_out)
{
	struct json_tokener *tokener = json_tokener_new_ex(128);
	int strict = json_c_version_num() == NOT_STRICT_VERSION ? 0 : JSON_TOKENER_STRICT;
	json_tokener_set_flags(tokener, strict | JSON_TOKENER_VALIDATE_UTF8);
	json_object *value = json_tokener_parse_ex(tokener, bytes, (int)length);
	size_t end = json_tokener_get_parse_end(tokener);
	bool whole = json_tokener_get_error(tokener) == json_tokener_success && value != NULL;
	json_tokener_free(tokener);
	while (whole && end < length && strchr(" \t\r\n", bytes[end]) != NULL && bytes[end] != '\0')
		end++;
	if (offset_out != NULL)
		*offset_out = end;
	if (whole && end == length)
		return value;
	json_object_put(value);
	return NULL;
}

static void json_write_string(struct text *t, const char *string, size_t length)
{
	size_t plain = 0;
	text_append(t, "\"", 1);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)string[i];
		if (c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' && c != '\'' && c != 0x7f)
			continue;
		text_append(t, string + plain, i - plain);
		plain = i + 1;
		if (c == '"' || c == '\\')
			text_format(t, "\\%c", c);
		else if (c == '\n')
			text_append(t, "\\n", 2);
		else if (c == '\t')
			text_append(t, "\\t", 2);
		else if (c == '\r')
			text_append(t, "\\r", 2);
		else
			text_format(t, "\\u%04x", c);
	}
	text_append(t, string + plain, length - plain);
	text_append(t, "\"", 1);
}

static void json_line(struct text *t, enum json_style style, int depth)
{
	if (style == JSON_PRETTY)
		text_format(t, "\n%*s", 2 * depth, "");
}

static void json_write_at(struct text *t, const json_object *value, enum json_style style, int depth);

static void json_write_object(struct text *t, const json_object *value, enum json_style style, int depth)
{
	bool first = true;
	text_append(t, "{", 1);
	json_object_object_foreach((json_object *)value, key, member)
	{
		if (!first)
			text_append(t, ",", 1);
		first = false;
		json_line(t, style, depth + 1);
		json_write_string(t, key, strlen(key));
		text_append(t, ": ", 2);
		json_write_at(t, member, style, depth + 1);
	}
	if (!first)
		json_line(t, style, depth);
	text_append(t, "}", 1);
}

static void json_write_list(struct text *t, const json_object *value, enum json_style style, int depth)
{
	size_t length = json_length(value);
	text_append(t, "[", 1);
	for (size_t i = 0; i < length; i++) {
		if (i > 0)
			text_append(t, ",", 1);
		json_line(t, style, depth + 1);
		json_write_at(t, json_at(value, i), style, depth + 1);
	}
	if (length > 0)
		json_line(t, style, depth);
	text_append(t, "]", 1);
}

static void json_write_at(struct text *t, const json_object *value, enum json_style style, int depth)
{
	switch (json_object_get_type(value)) {
	case json_type_object: json_write_object(t, value, style, depth); return;
	case json_type_array: json_write_list(t, value, style, depth); return;
	case json_type_string:
		json_write_string(
			t, json_object_get_string((json_object *)value), (size_t)json_object_get_string_len(value));
		return;
	case json_type_null:
	case json_type_boolean:
	case json_type_double:
	case json_type_int:
		text_add(t, json_object_to_json_string_ext((json_object *)value, JSON_C_TO_STRING_PLAIN));
		return;
	}
}

void json_write(struct text *t, const json_object *value, enum json_style style)
{
	json_write_at(t, value, style, 0);
}

char *json_text_of(const json_object *value, enum json_style style)
{
	struct text t = { 0 };
	json_write(&t, value, style);
	return text_take(&t);
}

json_object *json_find(const json_object *object, const char *key)
{
	json_object *member = NULL;
	if (!json_object_is_type(object, json_type_object))
		return NULL;
	json_object_object_get_ex(object, key, &member);
	return member;
}

json_object *json_find_object(const json_object *object, const char *key)
{
	json_object *member = json_find(object, key);
	return json_object_is_type(member, json_type_object) ? member : NULL;
}

json_object *json_find_list(const json_object *object, const char *key)
{
	json_object *member = json_find(object, key);
	return json_object_is_type(member, json_type_array) ? member : NULL;
}

const char *json_find_text(const json_object *object, const char *key)
{
	json_object *member = json_find(object, key);
	return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

double json_find_number(const json_object *object, const char *key, double fallback)
{
	json_object *member = json_find(object, key);
	if (json_object_is_type(member, json_type_int) || json_object_is_type(member, json_type_double) ||
		json_object_is_type(member, json_type_string))
		return json_object_get_double(member);
	return fallback;
}

bool json_find_bool(const json_object *object, const char *key)
{
	return json_object_get_boolean(json_find(object, key));
}

size_t json_length(const json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

json_object *json_at(const json_object *list, size_t index)
{
	return index < json_length(list) ? json_object_array_get_idx(list, index) : NULL;
}

void json_put(json_object *object, const char *key, json_object *value)
{
	json_object_object_add(object, key, value);
}

void json_put_text(json_object *object, const char *key, const char *value)
{
	json_put(object, key, json_object_new_string(value));
}

void json_put_int(json_object *object, const char *key, long long value)
{
	json_put(object, key, json_object_new_int64(value));
}

json_object *json_number(double value)
{
	if (value == floor(value) && fabs(value) < 1e15)
		return json_object_new_int64((int64_t)value);
	char spelling[40];
	snprintf(spelling, sizeof spelling, "%.10g", value);
	return json_object_new_double_s(value, spelling);
}
