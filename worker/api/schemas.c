/* schemas.c: field tables as JSON Schema. Called by openapi.c. Knows nothing of routes. */
#include "config.h"
#include "worker/api/schemas.h"

#include <stdio.h>

#include "worker/api/writer.h"

#define MONEY_PATTERN    "^(0|[1-9][0-9]{0,11})([.][0-9]{1,2})?$"
#define CURRENCY_PATTERN "^[A-Z]{3}$"

static const char *json_type(const struct field *f, enum schema_kind kind)
{
	switch (f->type) {
	case FIELD_INT: return "integer";
	case FIELD_BOOL: return "boolean";
	case FIELD_OBJECT: return "object";
	case FIELD_ARRAY: return "array";
	case FIELD_MEASURE: return kind == SCHEMA_SHOWN ? "number" : NULL;
	case FIELD_LINE:
	case FIELD_TEXT:
	case FIELD_MONEY:
	case FIELD_ENUM:
	case FIELD_UUID:
	case FIELD_DATETIME:
	case FIELD_CURRENCY:
	case FIELD_URL: return "string";
	}
	return "string";
}

static void write_type(struct buffer *out, const struct field *f, enum schema_kind kind)
{
	const char *type = json_type(f, kind);
	bool is_nullable = (f->flags & FIELD_NULLABLE) != 0;

	if (type != NULL && !is_nullable) {
		write_string(out, "type", type);
		return;
	}
	write_open(out, "type", '[');
	if (type != NULL) {
		write_string(out, NULL, type);
	} else { /* a measure may come as number or as decimal string */
		write_string(out, NULL, "number");
		write_string(out, NULL, "string");
	}
	if (is_nullable)
		write_string(out, NULL, "null");
	write_close(out, ']');
}

static void write_values(struct buffer *out, const struct field *f)
{
	write_open(out, "enum", '[');
	for (const char *const *v = f->values; *v != NULL; v++)
		write_string(out, NULL, *v);
	if ((f->flags & FIELD_NULLABLE) != 0)
		write_raw(out, NULL, "null");
	write_close(out, ']');
}

static void write_bounds(struct buffer *out, const struct field *f, enum schema_kind kind)
{
	switch (f->type) {
	case FIELD_LINE:
	case FIELD_TEXT:
		if (kind != SCHEMA_SHOWN && f->min > 0)
			write_int(out, "minLength", f->min);
		if (f->max > 0)
			write_int(out, "maxLength", f->max);
		break;
	case FIELD_INT:
		write_int(out, "minimum", f->min);
		write_int(out, "maximum", f->max);
		break;
	case FIELD_MEASURE:
		write_int(out, (f->flags & FIELD_POSITIVE) != 0 ? "exclusiveMinimum" : "minimum", f->min);
		write_int(out, "maximum", f->max);
		break;
	case FIELD_MONEY: write_string(out, "pattern", MONEY_PATTERN); break;
	case FIELD_CURRENCY: write_string(out, "pattern", CURRENCY_PATTERN); break;
	case FIELD_ENUM: write_values(out, f); break;
	case FIELD_UUID: write_string(out, "format", "uuid"); break;
	case FIELD_DATETIME: write_string(out, "format", "date-time"); break;
	case FIELD_URL:
		write_string(out, "format", "uri");
		write_int(out, "maxLength", f->max);
		break;
	case FIELD_ARRAY: write_raw(out, "items", "{}"); break;
	case FIELD_BOOL:
	case FIELD_OBJECT: break;
	}
}

void schema_write_field(struct buffer *out, const char *name, const struct field *f, enum schema_kind kind)
{
	write_open(out, name, '{');
	write_type(out, f, kind);
	write_bounds(out, f, kind);
	if (f->help != NULL)
		write_string(out, "description", f->help);
	write_close(out, '}');
}

static bool is_taken(const struct field *f, enum schema_kind kind)
{
	if (kind == SCHEMA_SHOWN)
		return true;
	return (f->flags & FIELD_READ) == 0 && (kind == SCHEMA_CREATE || (f->flags & FIELD_CREATE_ONLY) == 0);
}

static bool is_required(const struct field *f, enum schema_kind kind)
{
	return kind == SCHEMA_SHOWN || (kind == SCHEMA_CREATE && (f->flags & FIELD_REQUIRED) != 0);
}

static void write_object(struct buffer *out, const struct resource *r, enum schema_kind kind)
{
	static const char *const suffixes[] = { "", "Create", "Update" };
	char name[80];
	bool has_required = false;

	must(snprintf(name, sizeof name, "%s%s", r->title, suffixes[kind]) < (int)sizeof name);
	write_open(out, name, '{');
	write_string(out, "type", "object");
	if (kind != SCHEMA_SHOWN)
		write_raw(out, "additionalProperties", "false");
	for (const struct field *f = r->fields; f->name != NULL; f++)
		has_required = has_required || (is_taken(f, kind) && is_required(f, kind));
	if (has_required) {
		write_open(out, "required", '[');
		for (const struct field *f = r->fields; f->name != NULL; f++)
			if (is_taken(f, kind) && is_required(f, kind))
				write_string(out, NULL, f->name);
		write_close(out, ']');
	}
	write_open(out, "properties", '{');
	for (const struct field *f = r->fields; f->name != NULL; f++)
		if (is_taken(f, kind))
			schema_write_field(out, f->name, f, kind);
	write_close(out, '}');
	write_close(out, '}');
}

static void write_page(struct buffer *out, const struct resource *r)
{
	write_separator(out);
	buffer_printf(out,
		"\"%sPage\":{\"type\":\"object\",\"required\":[\"data\",\"nextCursor\"],\"properties\":{"
		"\"data\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/%s\"}},"
		"\"nextCursor\":{\"type\":[\"string\",\"null\"],\"description\":\"Where the next page begins\"}}}",
		r->title, r->title);
}

static const char problem_schema[] =
	"{\"type\":\"object\",\"description\":\"RFC "
	"9457\",\"required\":[\"success\",\"error\",\"code\",\"type\",\"title\","
	"\"status\",\"detail\",\"instance\",\"requestId\"],\"properties\":{\"success\":{\"const\":false},"
	"\"error\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"},"
	"\"type\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"title\":{\"type\":\"string\"},"
	"\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},\"instance\":{\"type\":\"string\"},"
	"\"requestId\":{\"type\":\"string\"},\"errors\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
	"\"required\":[\"path\",\"code\",\"message\"],\"properties\":{\"path\":{\"type\":\"string\"},"
	"\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}}}}}";

/* Several rows of the table show the same thing: the first of a title speaks for all. */
static bool is_first(int id)
{
	for (int i = 0; i < id; i++)
		if (strcmp(resources[i].title, resources[id].title) == 0)
			return false;
	return true;
}

void schemas_write(struct buffer *out)
{
	write_raw(out, "Problem", problem_schema);
	for (int id = 0; id < RESOURCE_COUNT; id++) {
		const struct resource *r = &resources[id];

		if (!is_first(id))
			continue;
		write_object(out, r, SCHEMA_SHOWN);
		if (r->orders != NULL)
			write_page(out, r);
		if (r->constraints == NULL && r->path == NULL)
			continue; /* nothing is taken */
		write_object(out, r, SCHEMA_CREATE);
		write_object(out, r, SCHEMA_UPDATE);
	}
}
