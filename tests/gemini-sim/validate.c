/* Walks a request along its message table: unknown names, wrong kinds, unknown enum values, bad base64, two members of one
 * oneof. Called by service.c. What depends on meaning (turn order, schemas, ids) is checked later, in rules.c. */
#include "tests/gemini-sim/validate.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PACKAGE "type.googleapis.com/google.ai.generativelanguage.v1beta."

struct walk {
	struct text path;     /* where we are, in snake_case, as in Google's messages */
	struct violations *v; /* what was found */
};

static json_object *walk_message(struct walk *w, const struct message *message, const json_object *value);

void violations_fini(struct violations *v)
{
	json_object_put(v->list);
	v->list = NULL;
	text_fini(&v->message);
}

static void violation_add(struct walk *w, const char *field, char *description)
{
	json_object *violation = json_object_new_object();
	if (*field != '\0')
		json_put_text(violation, "field", field);
	json_put_text(violation, "description", description);
	if (w->v->list == NULL)
		w->v->list = json_object_new_array();
	json_object_array_add(w->v->list, violation);
	if (w->v->message.length > 0)
		text_add(&w->v->message, "\n");
	text_add(&w->v->message, description);
	free(description);
}

static void violation_unknown(struct walk *w, const char *name)
{
	struct text t = { 0 };
	if (w->path.length > 0)
		text_format(&t, "Invalid JSON payload received. Unknown name \"%s\" at '%s': Cannot find field.", name,
			w->path.bytes);
	else
		text_format(&t, "Invalid JSON payload received. Unknown name \"%s\": Cannot find field.", name);
	violation_add(w, text_get(&w->path), text_take(&t));
}

static void violation_value(struct walk *w, const char *type, const json_object *value)
{
	struct text t = { 0 };
	text_format(&t, "Invalid value at '%s' (%s), ", text_get(&w->path), type);
	json_write(&t, value, JSON_WIRE);
	violation_add(w, text_get(&w->path), text_take(&t));
}

static size_t path_push(struct walk *w, const char *camel)
{
	size_t before = w->path.length;
	if (before > 0)
		text_add(&w->path, ".");
	for (; *camel != '\0'; camel++) {
		if (isupper((unsigned char)*camel))
			text_format(&w->path, "_%c", tolower((unsigned char)*camel));
		else
			text_append(&w->path, camel, 1);
	}
	return before;
}

static void path_pop(struct walk *w, size_t before)
{
	w->path.length = before;
	if (w->path.bytes != NULL)
		w->path.bytes[before] = '\0';
}

static bool name_matches(const char *camel, const char *name)
{
	if (strcmp(camel, name) == 0)
		return true;
	for (; *camel != '\0'; camel++, name++) {
		if (isupper((unsigned char)*camel)) {
			if (*name++ != '_' || *name != tolower((unsigned char)*camel))
				return false;
		} else if (*camel != *name) {
			return false;
		}
	}
	return *name == '\0';
}

static const struct field *field_find(const struct message *message, const char *name)
{
	for (const struct field *f = message->fields; f->name != NULL; f++)
		if (name_matches(f->name, name))
			return f;
	return NULL;
}

static json_object *walk_enum(struct walk *w, const struct enumeration *values, const json_object *value)
{
	/* Lower case is read too: schemas are written with `"type":"string"` everywhere. */
	const char *given =
		json_object_is_type(value, json_type_string) ? json_object_get_string((json_object *)value) : "";
	for (size_t i = 0; values->values[i] != NULL; i++) {
		bool lenient = strcmp(values->name, "Type") == 0;
		const char *at = lenient ? find_no_case(given, values->values[i]) : NULL;
		if (strcmp(values->values[i], given) == 0 ||
			(at == given && strlen(given) == strlen(values->values[i])))
			return json_object_new_string(values->values[i]);
	}
	struct text type = { 0 };
	text_format(&type, PACKAGE "%s", values->name);
	violation_value(w, type.bytes, value);
	text_fini(&type);
	return NULL;
}

static json_object *walk_number(struct walk *w, enum field_kind kind, const json_object *value)
{
	const char *type = kind == FIELD_NUMBER ? "TYPE_FLOAT" : kind == FIELD_INT32 ? "TYPE_INT32" : "TYPE_INT64";
	double number = 0;
	if (json_object_is_type(value, json_type_string)) {
		const char *string = json_object_get_string((json_object *)value);
		char *end = NULL;
		number = strtod(string, &end);
		if (*string == '\0' || *end != '\0') {
			violation_value(w, type, value);
			return NULL;
		}
	} else if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)) {
		number = json_object_get_double(value);
	} else {
		violation_value(w, type, value);
		return NULL;
	}
	bool whole = number == floor(number) && (kind != FIELD_INT32 || fabs(number) <= 2147483648.0);
	if (kind != FIELD_NUMBER && !whole) {
		violation_value(w, type, value);
		return NULL;
	}
	return json_number(number);
}

static json_object *walk_bytes(struct walk *w, const json_object *value)
{
	if (!json_object_is_type(value, json_type_string)) {
		violation_value(w, "TYPE_BYTES", value);
		return NULL;
	}
	const char *string = json_object_get_string((json_object *)value);
	size_t length = (size_t)json_object_get_string_len(value);
	if (base64_decode(string, length, NULL, 0) < 0) {
		struct text t = { 0 };
		text_format(&t, "Invalid value at '%s' (TYPE_BYTES), Base64 decoding failed for \"%.60s\"",
			text_get(&w->path), string);
		violation_add(w, text_get(&w->path), text_take(&t));
		return NULL;
	}
	return json_object_get((json_object *)value);
}

static json_object *walk_map(struct walk *w, const struct message *message, const json_object *value)
{
	if (!json_object_is_type(value, json_type_object)) {
		violation_value(w, "Map", value);
		return NULL;
	}
	json_object *out = json_object_new_object();
	size_t index = 0;
	json_object_object_foreach((json_object *)value, key, member)
	{
		size_t before = w->path.length;
		text_format(&w->path, "[%zu].value", index++);
		json_put(out, key, walk_message(w, message, member));
		path_pop(w, before);
	}
	return out;
}

static json_object *walk_kind(struct walk *w, const json_object *value, json_type type, const char *name)
{
	if (json_object_is_type(value, type))
		return json_object_get((json_object *)value);
	violation_value(w, name, value);
	return NULL;
}

static json_object *walk_value(struct walk *w, const struct field *field, const json_object *value)
{
	switch (field->kind) {
	case FIELD_TEXT: return walk_kind(w, value, json_type_string, "TYPE_STRING");
	case FIELD_BOOL: return walk_kind(w, value, json_type_boolean, "TYPE_BOOL");
	case FIELD_STRUCT: return walk_kind(w, value, json_type_object, "type.googleapis.com/google.protobuf.Struct");
	case FIELD_BYTES: return walk_bytes(w, value);
	case FIELD_NUMBER:
	case FIELD_INT32:
	case FIELD_INT64: return walk_number(w, field->kind, value);
	case FIELD_ENUM: return walk_enum(w, field->values, value);
	case FIELD_MESSAGE: return walk_message(w, field->message, value);
	case FIELD_MAP: return walk_map(w, field->message, value);
	case FIELD_VALUE: return json_object_get((json_object *)value);
	}
	return NULL;
}

static json_object *walk_list(struct walk *w, const struct field *field, const json_object *value)
{
	json_object *list = json_object_new_array();
	size_t count = json_object_is_type(value, json_type_array) ? json_length(value) : 1;
	for (size_t i = 0; i < count; i++) {
		size_t before = w->path.length;
		const json_object *element = json_object_is_type(value, json_type_array) ? json_at(value, i) : value;
		if (element != value)
			text_format(&w->path, "[%zu]", i);
		json_object *checked = walk_value(w, field, element);
		if (checked != NULL)
			json_object_array_add(list, checked);
		path_pop(w, before);
	}
	return list;
}

static void check_oneof(
	struct walk *w, const struct message *message, const struct field *field, const json_object *out)
{
	for (const struct field *other = message->fields; field->oneof > 0 && other->name != NULL; other++) {
		if (other->oneof != field->oneof || other == field || json_find(out, other->name) == NULL)
			continue;
		struct text t = { 0 };
		text_format(&t, "Invalid value at '%s' (oneof), oneof field 'data' is already set. Cannot set '%s'",
			text_get(&w->path), field->name);
		violation_add(w, text_get(&w->path), text_take(&t));
		return;
	}
}

static json_object *walk_message(struct walk *w, const struct message *message, const json_object *value)
{
	json_object *out = json_object_new_object();
	if (!json_object_is_type(value, json_type_object)) {
		struct text type = { 0 };
		text_format(&type, PACKAGE "%s", message->name);
		violation_value(w, type.bytes, value);
		text_fini(&type);
		return out;
	}
	json_object_object_foreach((json_object *)value, key, member)
	{
		const struct field *field = field_find(message, key);
		if (field == NULL) {
			violation_unknown(w, key);
			continue;
		}
		if (member == NULL && field->kind != FIELD_VALUE) /* null means unset */
			continue;
		check_oneof(w, message, field, out);
		size_t before = path_push(w, field->name);
		json_object *checked = field->repeated ? walk_list(w, field, member) : walk_value(w, field, member);
		path_pop(w, before);
		if (checked != NULL)
			json_put(out, field->name, checked);
	}
	return out;
}

json_object *validate_message(const struct message *message, const json_object *value, struct violations *v)
{
	struct walk w = { .v = v };
	json_object *out = walk_message(&w, message, value);
	text_fini(&w.path);
	return out;
}
