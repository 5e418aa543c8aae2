/* report.c: the rows of a preflight: filled by printf, carried over a pipe as lines of tab-separated fields, shown as table and JSON.
 * Called by the checker (worker) and the supervisor. Does not decide what is checked. */
#include "config.h"
#include "shared/report.h"

#include <stdarg.h>

#include "shared/inherit.h"
#include "shared/json.h"

static const char *const state_names[] = { "ok", "warning", "failed", "skipped" };

struct report_row *report_add(struct report *r, const char *name)
{
	must(r->count < REPORT_ROWS_MAX);

	struct report_row *row = &r->rows[r->count++];

	memset(row, 0, sizeof *row);
	(void)snprintf(row->name, sizeof row->name, "%s", name);
	return row;
}

/* A row is one line of fields: what would break it becomes a space. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20)
			*text = ' ';
}

void report_detail(struct report_row *row, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(row->detail, sizeof row->detail, format, arguments);
	va_end(arguments);
	clean(row->detail);
}

void report_remedy(struct report_row *row, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(row->remedy, sizeof row->remedy, format, arguments);
	va_end(arguments);
	clean(row->remedy);
}

void report_write(const struct report *r, struct buffer *out)
{
	for (int i = 0; i < r->count; i++) {
		const struct report_row *row = &r->rows[i];

		buffer_printf(out, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", row->name, state_names[row->state], row->latency_ms,
			row->exit_code, row->is_transient, row->detail, row->remedy);
	}
}

static struct text take_field(struct text *rest, char end)
{
	const char *stop = memchr(rest->bytes, end, rest->length);

	if (stop == NULL)
		return TEXT_NONE;

	struct text taken = text_span(rest->bytes, (size_t)(stop - rest->bytes));

	*rest = text_span(stop + 1, rest->length - taken.length - 1);
	return taken;
}

static bool take_number(struct text *rest, int *value_out)
{
	uint64_t value;

	if (!text_parse_u64(take_field(rest, '\t'), &value) || value > INT32_MAX)
		return false;
	*value_out = (int)value;
	return true;
}

static bool take_state(struct text *rest, enum report_state *state_out)
{
	struct text word = take_field(rest, '\t');

	for (size_t i = 0; i < COUNT_OF(state_names); i++)
		if (text_equals(word, text_of(state_names[i]))) {
			*state_out = (enum report_state)i;
			return true;
		}
	return false;
}

static void copy(char *to, size_t room, struct text from)
{
	(void)snprintf(to, room, "%.*s", TEXT_ARGS(from));
	clean(to);
}

static bool take_row(struct text *rest, struct report_row *row)
{
	int transient;
	struct text text = take_field(rest, '\t');

	if (text.bytes == NULL || text.length == 0)
		return false;
	copy(row->name, sizeof row->name, text);
	if (!take_state(rest, &row->state) || !take_number(rest, &row->latency_ms) ||
		!take_number(rest, &row->exit_code) || !take_number(rest, &transient))
		return false;
	row->is_transient = transient != 0;
	text = take_field(rest, '\t');
	if (text.bytes == NULL)
		return false;
	copy(row->detail, sizeof row->detail, text);
	text = take_field(rest, '\n');
	if (text.bytes == NULL)
		return false;
	copy(row->remedy, sizeof row->remedy, text);
	return true;
}

enum error report_read(struct text lines, struct report *r)
{
	while (lines.length > 0) {
		struct report_row row = { .exit_code = 0 };

		if (r->count == REPORT_ROWS_MAX || !take_row(&lines, &row))
			return ERROR_PROTOCOL;
		r->rows[r->count++] = row;
	}
	return ERROR_NONE;
}

void report_print_table(const struct report *r, FILE *out)
{
	int width = 5;

	for (int i = 0; i < r->count; i++)
		if ((int)strlen(r->rows[i].name) > width)
			width = (int)strlen(r->rows[i].name);
	(void)fprintf(out, "%-*s  %-7s  %8s  %s\n", width, "check", "result", "time", "found");
	for (int i = 0; i < r->count; i++) {
		const struct report_row *row = &r->rows[i];

		(void)fprintf(out, "%-*s  %-7s  %5d ms  %s\n", width, row->name, state_names[row->state],
			row->latency_ms, row->detail);
		if (row->remedy[0])
			(void)fprintf(out, "%-*s  %-7s  %8s  -> %s\n", width, "", "", "", row->remedy);
	}
}

void report_write_json(const struct report *r, struct buffer *out)
{
	buffer_append_char(out, '[');
	for (int i = 0; i < r->count; i++) {
		const struct report_row *row = &r->rows[i];

		buffer_printf(out, "%s{\"name\":", i ? "," : "");
		json_write_string(out, text_of(row->name));
		buffer_printf(out, ",\"state\":\"%s\",\"latency_ms\":%d,\"detail\":", state_names[row->state],
			row->latency_ms);
		json_write_string(out, text_of(row->detail));
		buffer_append_string(out, ",\"remedy\":");
		json_write_string(out, text_of(row->remedy));
		buffer_append_char(out, '}');
	}
	buffer_append_char(out, ']');
}

/* What nobody can wait away comes first; among equals the earlier row, and the database's is the first. */
static int gravity(int exit_code)
{
	switch (exit_code) {
	case EXIT_REFUSED: return 4;
	case EXIT_CONFIG_WRONG: return 3;
	case EXIT_UNAVAILABLE: return 1;
	default: return 2;
	}
}

int report_exit_code(const struct report *r)
{
	int worst = EXIT_OK;

	for (int i = 0; i < r->count; i++) {
		int code = r->rows[i].exit_code;

		if (r->rows[i].state != REPORT_FAILED)
			continue;
		if (code == EXIT_OK)
			code = EXIT_STORM;
		if (worst == EXIT_OK || gravity(code) > gravity(worst))
			worst = code;
	}
	return worst;
}

bool report_is_only_transient(const struct report *r)
{
	bool has_failed = false;

	for (int i = 0; i < r->count; i++) {
		if (r->rows[i].state != REPORT_FAILED)
			continue;
		if (!r->rows[i].is_transient)
			return false;
		has_failed = true;
	}
	return has_failed;
}
