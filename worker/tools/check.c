/* check.c: are these arguments what the tool's fields ask for? Models are near misses by nature: 2.0 for 2, "12,500" never, "12.5" for 12.5, eur for EUR.
 * What is plainly meant is taken, the rest is refused with a sentence that the model can act on. Called by executor.c; pure. */
#include "config.h"
#include "worker/tools/tools.h"

#include <ctype.h>
#include <stdio.h>

#include "shared/json.h"

/* A JSON number or the same as text, as plain decimal digits: no exponent, so that a statement reads it exactly. */
static bool read_decimal(const struct json_value *v, char out[40], double *value_out)
{
	struct text t = v->type == JSON_STRING ? v->string : v->raw;
	bool has_digit = false, has_point = false;

	if ((v->type != JSON_NUMBER && v->type != JSON_STRING) || t.length == 0 || t.length >= 32)
		return false;
	memcpy(out, t.bytes, t.length);
	out[t.length] = '\0';
	for (size_t i = 0; i < t.length; i++) {
		char c = out[i];

		if (c == '.' && !has_point)
			has_point = true;
		else if (c >= '0' && c <= '9')
			has_digit = true;
		else if (!(c == '-' && i == 0)) {
			/* An exponent: written again without it. */
			char *end;
			double value = strtod(out, &end);

			if (v->type != JSON_NUMBER || *end != '\0' || value > 1e14 || value < -1e14)
				return false;
			*value_out = value;
			(void)snprintf(out, 40, "%.4f", value);
			return true;
		}
	}
	*value_out = strtod(out, NULL);
	return has_digit;
}

static bool check_text(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	size_t length = v->type == JSON_STRING ? text_code_points(v->string) : 0;

	if (v->type != JSON_STRING || length < (size_t)f->min || length > (size_t)f->max) {
		buffer_printf(problem, "%s must be text of %lld to %lld characters", f->name, (long long)f->min,
			(long long)f->max);
		return false;
	}
	json_write_string(out, v->string);
	return true;
}

static bool check_number(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	char digits[40];
	double value = 0;
	bool is_good = read_decimal(v, digits, &value) && value <= (double)f->max;

	if (f->kind == TOOL_NUMBER)
		is_good = is_good && value > (double)f->min;
	else
		is_good = is_good && value >= (double)f->min;
	if (is_good && f->kind == TOOL_INT)
		is_good = value == (double)(int64_t)value;
	if (!is_good) {
		buffer_printf(problem, "%s must be a number %s %lld and at most %lld", f->name,
			f->kind == TOOL_NUMBER ? "above" : "from", (long long)f->min, (long long)f->max);
		return false;
	}
	if (f->kind == TOOL_INT)
		buffer_printf(out, "%lld", (long long)value);
	else if (f->kind == TOOL_MONEY)
		buffer_printf(out, "\"%.2f\"", value);
	else
		buffer_printf(out, "\"%s\"", digits);
	return true;
}

static bool check_currency(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	char code[3];
	bool is_good = v->type == JSON_STRING && v->string.length == 3;

	for (int i = 0; is_good && i < 3; i++) {
		code[i] = (char)toupper((unsigned char)v->string.bytes[i]);
		is_good = code[i] >= 'A' && code[i] <= 'Z';
	}
	if (!is_good) {
		buffer_printf(problem, "%s must be a currency code of three letters, such as EUR", f->name);
		return false;
	}
	buffer_printf(out, "\"%.3s\"", code);
	return true;
}

static bool check_choice(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	struct text wanted = v->type == JSON_STRING ? v->string : TEXT_NONE;

	if (f->choices[1] != NULL && text_equals_nocase(wanted, TEXT("medium")))
		wanted = TEXT("normal"); /* what models call the middle of low, normal, high */
	for (size_t i = 0; f->choices[i] != NULL; i++)
		if (text_equals_nocase(text_of(f->choices[i]), wanted)) {
			buffer_printf(out, "\"%s\"", f->choices[i]);
			return true;
		}
	buffer_printf(problem, "%s must be one of", f->name);
	for (size_t i = 0; f->choices[i] != NULL; i++)
		buffer_printf(problem, "%s %s", i > 0 ? "," : "", f->choices[i]);
	return false;
}

static bool is_digits(struct text t, size_t from, size_t count)
{
	for (size_t i = from; i < from + count; i++)
		if (i >= t.length || t.bytes[i] < '0' || t.bytes[i] > '9')
			return false;
	return true;
}

/* The shape only; whether there is a 31st of that month the database knows. */
static bool check_time(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	struct text t = v->type == JSON_STRING ? v->string : TEXT("");
	bool is_good = is_digits(t, 0, 4) && is_digits(t, 5, 2) && is_digits(t, 8, 2) && t.bytes[4] == '-' &&
		       t.bytes[7] == '-';

	if (is_good && t.length > 10)
		is_good = (t.bytes[10] == 'T' || t.bytes[10] == ' ') && is_digits(t, 11, 2) && is_digits(t, 14, 2) &&
			  t.length <= 40;
	if (!is_good) {
		buffer_printf(problem, "%s must be a date such as 2026-05-31 or a time such as 2026-05-31T12:00:00Z",
			f->name);
		return false;
	}
	json_write_string(out, t);
	return true;
}

static bool check_id(const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	struct uuid id;

	if (v->type != JSON_STRING || !uuid_parse(v->string, &id)) {
		buffer_printf(problem, "%s must be an id as list_tasks shows it", f->name);
		return false;
	}
	json_write_string(out, v->string);
	return true;
}

static bool check_field(
	const struct tool_field *f, const struct json_value *v, struct buffer *out, struct buffer *problem)
{
	switch (f->kind) {
	case TOOL_TEXT: return check_text(f, v, out, problem);
	case TOOL_INT:
	case TOOL_NUMBER:
	case TOOL_MONEY: return check_number(f, v, out, problem);
	case TOOL_CURRENCY: return check_currency(f, v, out, problem);
	case TOOL_CHOICE: return check_choice(f, v, out, problem);
	case TOOL_TIME: return check_time(f, v, out, problem);
	case TOOL_ID: return check_id(f, v, out, problem);
	}
	return false;
}

static bool check_unknown(const struct tool *tool, const struct json_value *root, struct buffer *problem)
{
	for (const struct json_value *v = root->first; v != NULL; v = v->next) {
		bool is_known = false;

		for (size_t i = 0; i < tool->field_count; i++)
			is_known = is_known || text_equals(text_of(tool->fields[i].name), v->name);
		if (!is_known) {
			buffer_printf(problem, "%s has no argument %.*s", tool->name,
				TEXT_ARGS(text_cut(v->name, TOOL_ECHO_MAX)));
			return false;
		}
	}
	return true;
}

static bool check_members(
	const struct tool *tool, const struct json_value *root, struct buffer *out, struct buffer *problem)
{
	size_t count = 0;

	if (!check_unknown(tool, root, problem))
		return false;
	for (size_t i = 0; i < tool->field_count; i++) {
		const struct tool_field *f = &tool->fields[i];
		const struct json_value *v = json_find(root, f->name);
		bool is_empty = v != NULL && v->type == JSON_STRING && v->string.length == 0;

		if (v == NULL || v->type == JSON_NULL || (is_empty && !f->is_required)) {
			if (f->is_required) {
				buffer_printf(problem, "%s is required", f->name);
				return false;
			}
			continue;
		}
		buffer_printf(out, "%s\"%s\":", count++ > 0 ? "," : "", f->name);
		if (!check_field(f, v, out, problem))
			return false;
	}
	if (count == 0 && tool->needs_one) {
		buffer_printf(problem, "%s needs at least one argument", tool->name);
		return false;
	}
	return true;
}

bool tool_check(const struct tool *tool, struct text arguments, struct buffer *out, struct buffer *problem)
{
	struct arena arena;
	const struct json_value *root;
	struct json_value *parsed = NULL;
	const char *what = NULL;

	arena_init(&arena);

	bool is_good = json_parse(&arena, arguments.length > 0 ? arguments : TEXT("{}"), &parsed, &what) == ERROR_NONE;

	root = parsed;
	if (!is_good || root->type != JSON_OBJECT) {
		buffer_append_string(problem, "the arguments must be one JSON object");
		is_good = false;
	}
	if (is_good) {
		buffer_append_char(out, '{');
		is_good = check_members(tool, root, out, problem);
		buffer_append_char(out, '}');
	}
	arena_fini(&arena);
	return is_good;
}
