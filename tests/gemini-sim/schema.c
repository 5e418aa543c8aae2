/* Satisfies schemas: for JSON answers (responseSchema, responseJsonSchema) and for the arguments of function calls.
 * Called by generate.c and the persona. It does not validate requests, and ignores `pattern` as the real service does. */
#include "tests/gemini-sim/schema.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_LIMIT 12
#define SIZE_LIMIT  10000

struct make {
	const json_object *root; /* for $ref */
	const char *subject;     /* words of the question */
	uint64_t seed;           /* varies numbers and choices */
	int depth;               /* nesting so far; optional members end at the limit */
};

static json_object *make_value(struct make *m, const json_object *schema, const char *name);
static json_object *fit_value(struct make *m, const json_object *schema, json_object *wanted);

static const json_object *resolve(const struct make *m, const json_object *schema)
{
	static const char *const choices[] = { "anyOf", "oneOf", "allOf" };
	for (int hop = 0; hop < 16; hop++) {
		const char *ref = json_find_text(schema, "$ref");
		const json_object *next = NULL;
		if (ref != NULL && strcmp(ref, "#") == 0)
			next = m->root;
		if (ref != NULL && starts_with(ref, "#/$defs/"))
			next = json_find(json_find(m->root, "$defs"), ref + strlen("#/$defs/"));
		if (ref != NULL && starts_with(ref, "#/definitions/"))
			next = json_find(json_find(m->root, "definitions"), ref + strlen("#/definitions/"));
		for (size_t i = 0; next == NULL && ref == NULL && i < 3; i++)
			next = json_at(json_find_list(schema, choices[i]), 0);
		if (next == NULL)
			return schema;
		schema = next;
	}
	return schema;
}

/* One of string number integer boolean array object null; "" when the schema leaves it open. */
static const char *type_of(const json_object *schema)
{
	static const char *const names[] = { "string", "number", "integer", "boolean", "array", "object", "null" };
	const json_object *type = json_find(schema, "type");
	const char *given = json_find_text(schema, "type");
	for (size_t i = 0; given == NULL && i < json_length(type); i++) {
		const char *one = json_object_get_string(json_at(type, i));
		if (strcasecmp(one, "null") != 0)
			given = one;
	}
	for (size_t i = 0; given != NULL && i < sizeof names / sizeof names[0]; i++)
		if (strcasecmp(given, names[i]) == 0)
			return names[i];
	if (json_find(schema, "properties") != NULL)
		return "object";
	if (json_find(schema, "items") != NULL || json_find(schema, "prefixItems") != NULL)
		return "array";
	return json_find(schema, "enum") != NULL ? "string" : "";
}

static uint64_t make_seed(const struct make *m, const char *name)
{
	return hash_string(m->seed == 0 ? 1 : m->seed, name);
}

/* A length or count of a schema, bounded: nobody needs to wait for a million items. */
static size_t size_limit(const json_object *schema, const char *key, double fallback)
{
	return (size_t)fmin(fmax(json_find_number(schema, key, fallback), 0), SIZE_LIMIT);
}

static json_object *make_number(struct make *m, const json_object *schema, const char *name, bool integer)
{
	double low = json_find_number(schema, "minimum", 1);
	double high = json_find_number(schema, "maximum", fmax(low + 19, 20));
	double span = high > low ? fmin(high - low, 100) : 0;
	double value = low + (double)(make_seed(m, name) % 1000) / 1000 * span;
	double step = json_find_number(schema, "multipleOf", 0);
	if (integer || step >= 1 || span >= 10)
		value = ceil(value) > high ? floor(value) : ceil(value);
	else
		value = round(value * 10) / 10 > high ? value : round(value * 10) / 10;
	if (step > 0)
		value = ceil(value / step) * step;
	return json_number(value);
}

static const char *make_formatted(const json_object *schema)
{
	// clang-format off
	static const char *const formats[][2] = {
		{ "date-time", "2027-03-01T09:00:00Z" }, { "date", "2027-03-01" }, { "time", "09:00:00" },
		{ "duration", "P2D" }, { "uuid", "01936f5e-8a4c-7000-8000-000000000001" }, { "email", "anna@example.com" },
		{ "uri", "https://example.com/item" }, { "hostname", "example.com" }, { "ipv4", "192.0.2.1" },
	};
	// clang-format on
	const char *format = json_find_text(schema, "format");
	for (size_t i = 0; format != NULL && i < sizeof formats / sizeof formats[0]; i++)
		if (strcasecmp(format, formats[i][0]) == 0)
			return formats[i][1];
	return NULL;
}

static json_object *make_string(struct make *m, const json_object *schema, const char *name)
{
	// clang-format off
	static const char *const hints[][2] = {
		{ "currency", "EUR" }, { "url", "https://example.com/item" }, { "email", "anna@example.com" },
		{ "unit", "m²" }, { "colour", "warm white" }, { "color", "warm white" }, { "room", "Kitchen" },
		{ "material", "oak" }, { "language", "en" }, { "country", "DE" }, { "date", "2027-03-01" },
	};
	// clang-format on
	const char *value = make_formatted(schema);
	for (size_t i = 0; value == NULL && i < sizeof hints / sizeof hints[0]; i++)
		if (find_no_case(name, hints[i][0]) != NULL)
			value = hints[i][1];
	struct text t = { 0 };
	if (value != NULL)
		text_add(&t, value);
	else if (*m->subject != '\0')
		text_format(&t, "%.*s", (int)strcspn(m->subject, "\n"), m->subject);
	else
		text_format(&t, "Sample %s", *name != '\0' ? name : "text");
	size_t least = size_limit(schema, "minLength", 0);
	size_t most = size_limit(schema, "maxLength", 120);
	while (t.length < least)
		text_add(&t, "·");
	if (t.length > most) {
		while (most > 0 && ((unsigned char)t.bytes[most] & 0xC0) == 0x80)
			most--;
		t.length = most;
	}
	json_object *string = json_object_new_string_len(text_get(&t), (int)t.length);
	text_fini(&t);
	return string;
}

static json_object *make_list(struct make *m, const json_object *schema, const char *name)
{
	json_object *list = json_object_new_array();
	const json_object *fixed = json_find_list(schema, "prefixItems");
	const json_object *items = json_find_object(schema, "items");
	size_t least = size_limit(schema, "minItems", 0);
	size_t most = size_limit(schema, "maxItems", 1e6);
	size_t count = json_length(fixed) > 0 ? json_length(fixed) : 2;
	if (m->depth > DEPTH_LIMIT)
		count = 0;
	count = count < least ? least : count > most ? most : count;
	for (size_t i = 0; i < count; i++) {
		const json_object *item = json_at(fixed, i) != NULL ? json_at(fixed, i) : items;
		uint64_t seed = m->seed;
		m->seed += i;
		json_object_array_add(list, item == NULL ? json_object_new_string("item") : make_value(m, item, name));
		m->seed = seed;
	}
	return list;
}

static bool is_listed(const json_object *list, const char *name)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (strcmp(json_object_get_string(json_at(list, i)), name) == 0)
			return true;
	return false;
}

static void make_member(struct make *m, json_object *out, const json_object *schema, const char *key)
{
	const json_object *member = json_find(json_find(schema, "properties"), key);
	bool required = is_listed(json_find_list(schema, "required"), key);
	if (member != NULL && json_find(out, key) == NULL && (required || m->depth < DEPTH_LIMIT / 2))
		json_put(out, key, make_value(m, member, key));
}

static json_object *make_object(struct make *m, const json_object *schema)
{
	json_object *out = json_object_new_object();
	const json_object *order = json_find_list(schema, "propertyOrdering");
	for (size_t i = 0; i < json_length(order); i++)
		make_member(m, out, schema, json_object_get_string(json_at(order, i)));
	json_object *properties = json_find_object(schema, "properties");
	if (properties != NULL) {
		json_object_object_foreach(properties, key, member)
		{
			(void)member;
			make_member(m, out, schema, key);
		}
	}
	return out;
}

static json_object *make_value(struct make *m, const json_object *schema, const char *name)
{
	schema = resolve(m, schema);
	const json_object *choices = json_find_list(schema, "enum");
	if (json_find(schema, "const") != NULL)
		return json_object_get(json_find(schema, "const"));
	if (json_length(choices) > 0)
		return json_object_get(json_at(choices, make_seed(m, name) % json_length(choices)));
	const char *type = type_of(schema);
	json_object *value = NULL;
	m->depth++;
	if (strcmp(type, "object") == 0)
		value = make_object(m, schema);
	else if (strcmp(type, "array") == 0)
		value = make_list(m, schema, name);
	else if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
		value = make_number(m, schema, name, type[0] == 'i');
	else if (strcmp(type, "boolean") == 0)
		value = json_object_new_boolean(make_seed(m, name) % 2 == 0);
	else if (strcmp(type, "null") != 0)
		value = make_string(m, schema, name);
	m->depth--;
	return value;
}

json_object *schema_make(const json_object *schema, const char *subject, uint64_t seed)
{
	struct make m = { .root = schema, .subject = subject, .seed = seed };
	return make_value(&m, schema, "");
}

/* Words that mean the same in different vocabularies. */
static const char *synonym(const char *word)
{
	static const char *const pairs[][2] = { { "medium", "normal" }, { "normal", "medium" }, { "open", "todo" },
		{ "todo", "open" }, { "high", "urgent" } };
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if (strcasecmp(pairs[i][0], word) == 0)
			return pairs[i][1];
	return word;
}

/* "High", "high-priority" and "HIGH" are all meant by an enum value "high". */
static json_object *fit_enum(const json_object *choices, const json_object *wanted)
{
	const char *word = json_object_get_string((json_object *)wanted);
	for (int pass = 0; word != NULL && pass < 3; pass++) {
		word = pass == 2 ? synonym(word) : word;
		for (size_t i = 0; i < json_length(choices); i++) {
			const char *choice = json_object_get_string(json_at(choices, i));
			if (choice == NULL)
				continue;
			if (strcasecmp(choice, word) == 0 || (pass >= 1 && (find_no_case(choice, word) != NULL ||
										   find_no_case(word, choice) != NULL)))
				return json_object_get(json_at(choices, i));
		}
	}
	return NULL;
}

static json_object *fit_number(const json_object *schema, json_object *wanted, bool integer)
{
	double value = json_object_get_double(wanted);
	if (json_object_is_type(wanted, json_type_string) && !isdigit((unsigned char)json_object_get_string(wanted)[0]))
		return NULL;
	value = fmin(
		fmax(value, json_find_number(schema, "minimum", value)), json_find_number(schema, "maximum", value));
	return json_number(integer ? round(value) : value);
}

static json_object *fit_string(const json_object *schema, json_object *wanted)
{
	const char *string = json_object_get_string(wanted);
	const char *format = json_find_text(schema, "format");
	size_t most = size_limit(schema, "maxLength", 1e6);
	size_t length = strlen(string);
	if (format != NULL && strcmp(format, "uuid") == 0 && (length != 36 || string[8] != '-'))
		return NULL;
	while (length > most || (length > 0 && ((unsigned char)string[length] & 0xC0) == 0x80))
		length--;
	return length == 0 ? NULL : json_object_new_string_len(string, (int)length);
}

static json_object *fit_object(struct make *m, const json_object *schema, json_object *wanted)
{
	json_object *out = json_object_new_object();
	json_object *properties = json_find_object(schema, "properties");
	if (properties == NULL)
		return out;
	json_object_object_foreach(properties, key, member)
	{
		json_object *value = json_find(wanted, key);
		json_object *fitted = value == NULL ? NULL : fit_value(m, member, value);
		if (fitted == NULL && is_listed(json_find_list(schema, "required"), key))
			fitted = make_value(m, member, key);
		if (fitted != NULL)
			json_put(out, key, fitted);
	}
	return out;
}

static json_object *fit_value(struct make *m, const json_object *schema, json_object *wanted)
{
	schema = resolve(m, schema);
	const char *type = type_of(schema);
	if (json_length(json_find_list(schema, "enum")) > 0)
		return fit_enum(json_find_list(schema, "enum"), wanted);
	if (strcmp(type, "object") == 0)
		return json_object_is_type(wanted, json_type_object) ? fit_object(m, schema, wanted) : NULL;
	if (strcmp(type, "array") == 0) {
		json_object *list = json_object_new_array();
		size_t count = json_object_is_type(wanted, json_type_array) ? json_length(wanted) : 1;
		for (size_t i = 0; i < count; i++) {
			json_object *element =
				json_object_is_type(wanted, json_type_array) ? json_at(wanted, i) : wanted;
			const json_object *items = json_find_object(schema, "items");
			json_object *fitted = items == NULL ? json_object_get(element) : fit_value(m, items, element);
			if (fitted != NULL)
				json_object_array_add(list, fitted);
		}
		return list;
	}
	if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
		return fit_number(schema, wanted, type[0] == 'i');
	if (strcmp(type, "string") == 0)
		return fit_string(schema, wanted);
	return json_object_get(wanted);
}

json_object *schema_fit(const json_object *schema, json_object *wanted, const char *subject)
{
	struct make m = { .root = schema, .subject = subject, .seed = 1 };
	json_object *out = schema == NULL ? json_object_new_object() : fit_object(&m, resolve(&m, schema), wanted);
	json_object_put(wanted);
	return out;
}

bool schema_declares(const json_object *schema, const char *property)
{
	return json_find(json_find(schema, "properties"), property) != NULL;
}
