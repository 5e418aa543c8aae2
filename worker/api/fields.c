/* fields.c: checks a JSON object against a table of fields, member by member, and says each fault in one sentence. Called by the resource
 * handlers before the database sees anything. Changes nothing: what passed goes to PostgreSQL as the bytes that came. */
#include "config.h"
#include "worker/api/fields.h"

#include <inttypes.h>

#include "worker/api/formats.h"

struct check {
	struct arena *arena;             /* for messages */
	struct field_problems *problems; /* filled */
	const struct field *field;       /* the row at hand */
	enum fields_mode mode;           /* what the request does */
};

void fields_problem(struct field_problems *problems, struct text path, const char *code, struct text message)
{
	if (problems->count < FIELDS_PROBLEMS_MAX)
		problems->list[problems->count++] = (struct field_problem) { path, code, message };
}

/* Returns false, so that a check can end with it. `rest` continues "<name> ". */
static bool refuse(const struct check *c, const char *code, const char *rest)
{
	fields_problem(
		c->problems, text_of(c->field->name), code, arena_printf(c->arena, "%s %s", c->field->name, rest));
	return false;
}

static bool refuse_range(const struct check *c, const char *code, const char *unit)
{
	return refuse(c, code,
		arena_printf(c->arena, "must be %" PRId64 " to %" PRId64 "%s", c->field->min, c->field->max, unit)
			.bytes);
}

static bool check_length(const struct check *c, struct text value)
{
	int64_t length = (int64_t)text_code_points(value);

	if (length > c->field->max)
		return refuse_range(c, "too_long", " characters");
	if (length < c->field->min)
		return refuse_range(c, "too_short", " characters");
	return true;
}

static bool check_line(const struct check *c, struct text value)
{
	if (!check_length(c, value))
		return false;
	if (c->field->min > 0 && format_is_blank(value))
		return refuse(c, "too_short", "must not be blank");
	return !format_has_control(value) || refuse(c, "invalid", "must be one line without control characters");
}

static bool check_money(const struct check *c, struct text value)
{
	int64_t cents;

	if (!format_parse_decimal(value, 2, &cents))
		return refuse(c, "invalid", "must be a decimal string such as \"15000.00\"");
	if (cents < c->field->min * 100 || cents > c->field->max * 100 + 99)
		return refuse_range(c, "out_of_range", "");
	return true;
}

static bool check_measure(const struct check *c, struct text value)
{
	int64_t scaled, unit = 1;

	for (int i = 0; i < c->field->scale; i++)
		unit *= 10;
	if (!format_parse_decimal(value, c->field->scale, &scaled))
		return refuse(c, "invalid",
			arena_printf(c->arena, "must be a number with at most %d decimal%s", c->field->scale,
				c->field->scale == 1 ? "" : "s")
				.bytes);
	if ((c->field->flags & FIELD_POSITIVE) != 0 && scaled <= 0)
		return refuse(c, "out_of_range", "must be more than 0");
	if (scaled < c->field->min * unit || scaled > c->field->max * unit)
		return refuse_range(c, "out_of_range", "");
	return true;
}

static bool check_int(const struct check *c, struct text value)
{
	int64_t number;

	if (!format_parse_int(value, &number))
		return refuse(c, "wrong_type", "must be a whole number");
	return (number >= c->field->min && number <= c->field->max) || refuse_range(c, "out_of_range", "");
}

static bool check_enum(const struct check *c, struct text value)
{
	struct text known = TEXT("");

	for (const char *const *v = c->field->values; *v != NULL; v++) {
		if (text_equals(value, text_of(*v)))
			return true;
		known = arena_printf(c->arena, "%.*s%s%s", TEXT_ARGS(known), v == c->field->values ? "" : ", ", *v);
	}
	return refuse(c, "invalid", arena_printf(c->arena, "must be one of %.*s", TEXT_ARGS(known)).bytes);
}

static bool check_url(const struct check *c, struct text value)
{
	if ((int64_t)value.length > c->field->max)
		return refuse(c, "too_long",
			arena_printf(c->arena, "must be at most %" PRId64 " bytes", c->field->max).bytes);
	return format_is_url(value) || refuse(c, "invalid", "must be an http or https address");
}

/* What a string holds, for the types that are written as one. */
static bool check_string(const struct check *c, struct text value)
{
	struct uuid id;

	switch (c->field->type) {
	case FIELD_LINE: return check_line(c, value);
	case FIELD_TEXT: return check_length(c, value);
	case FIELD_MONEY: return check_money(c, value);
	case FIELD_MEASURE: return check_measure(c, value);
	case FIELD_ENUM: return check_enum(c, value);
	case FIELD_URL: return check_url(c, value);
	case FIELD_UUID: return uuid_parse(value, &id) || refuse(c, "invalid", "must be a UUID");
	case FIELD_DATETIME:
		return format_is_datetime(value) ||
		       refuse(c, "invalid", "must be a time such as \"2026-11-21T12:00:00Z\"");
	case FIELD_CURRENCY:
		return format_is_currency(value) || refuse(c, "invalid", "must be a currency code such as \"USD\"");
	case FIELD_INT: return check_int(c, value);
	case FIELD_BOOL:
	case FIELD_OBJECT:
	case FIELD_ARRAY: break;
	}
	return refuse(c, "wrong_type", "must not be a string");
}

static const char *expected_type(enum field_type type)
{
	switch (type) {
	case FIELD_LINE:
	case FIELD_TEXT:
	case FIELD_ENUM:
	case FIELD_UUID:
	case FIELD_DATETIME:
	case FIELD_CURRENCY:
	case FIELD_URL: return "must be a string";
	case FIELD_MONEY: return "must be a decimal string such as \"15000.00\"";
	case FIELD_INT: return "must be a whole number";
	case FIELD_MEASURE: return "must be a number";
	case FIELD_BOOL: return "must be true or false";
	case FIELD_OBJECT: return "must be an object";
	case FIELD_ARRAY: return "must be an array";
	}
	return "has a wrong type";
}

static bool is_written_as(enum field_type type, enum json_type json)
{
	switch (type) {
	case FIELD_INT: return json == JSON_NUMBER;
	case FIELD_BOOL: return json == JSON_BOOL;
	case FIELD_MEASURE: return json == JSON_NUMBER || json == JSON_STRING;
	case FIELD_OBJECT: return json == JSON_OBJECT;
	case FIELD_ARRAY: return json == JSON_ARRAY;
	case FIELD_LINE:
	case FIELD_TEXT:
	case FIELD_MONEY:
	case FIELD_ENUM:
	case FIELD_UUID:
	case FIELD_DATETIME:
	case FIELD_CURRENCY:
	case FIELD_URL: return json == JSON_STRING;
	}
	return false;
}

static bool check_value(const struct check *c, const struct json_value *value)
{
	if ((c->field->flags & FIELD_READ) != 0 ||
		((c->field->flags & FIELD_CREATE_ONLY) != 0 && c->mode == FIELDS_UPDATE))
		return refuse(c, "read_only", "is read-only");
	if (value->type == JSON_NULL)
		return (c->field->flags & FIELD_NULLABLE) != 0 ||
		       refuse(c, "wrong_type", expected_type(c->field->type));
	if (!is_written_as(c->field->type, value->type))
		return refuse(c, "wrong_type", expected_type(c->field->type));
	if (value->type == JSON_STRING)
		return check_string(c, value->string);
	if (value->type == JSON_NUMBER)
		return c->field->type == FIELD_INT ? check_int(c, value->raw) : check_measure(c, value->raw);
	if (value->type != JSON_BOOL && (int64_t)value->raw.length > c->field->max)
		return refuse(c, "too_long",
			arena_printf(c->arena, "must be at most %" PRId64 " bytes", c->field->max).bytes);
	return true;
}

static const struct field *find_field(const struct field fields[], struct text name)
{
	for (const struct field *f = fields; f->name != NULL; f++)
		if (text_equals(text_of(f->name), name))
			return f;
	return NULL;
}

#define UNKNOWN_NAME_MAX 64 /* bytes of a client's own word that we repeat */

static void refuse_unknown(struct arena *a, struct text name, struct field_problems *problems)
{
	if (name.length > UNKNOWN_NAME_MAX) {
		name.length = UNKNOWN_NAME_MAX;
		while (name.length > 0 && !text_is_utf8(name))
			name.length--;
	}
	fields_problem(problems, name, "unknown", arena_printf(a, "%.*s is not a member here", TEXT_ARGS(name)));
}

bool fields_check(struct arena *a, const struct field fields[], const struct json_value *body, enum fields_mode mode,
	struct field_problems *problems)
{
	size_t before = problems->count;
	struct check c = { .arena = a, .problems = problems, .mode = mode };

	if (body->type != JSON_OBJECT) {
		fields_problem(problems, TEXT(""), "wrong_type", TEXT("the body must be a JSON object"));
		return false;
	}
	for (const struct json_value *member = body->first; member != NULL; member = member->next) {
		c.field = find_field(fields, member->name);
		if (c.field == NULL)
			refuse_unknown(a, member->name, problems);
		else
			(void)check_value(&c, member);
	}
	for (c.field = fields; mode == FIELDS_CREATE && c.field->name != NULL; c.field++)
		if ((c.field->flags & FIELD_REQUIRED) != 0 && json_find(body, c.field->name) == NULL)
			(void)refuse(&c, "required", "is required");
	return problems->count == before;
}

bool field_check_text(struct arena *a, const struct field *field, struct text value, struct field_problems *problems)
{
	struct check c = { .arena = a, .problems = problems, .field = field };

	return text_is_utf8(value) ? check_string(&c, value) : refuse(&c, "invalid", "must be valid UTF-8");
}
