/* config_print.c: faults and options as people and programs read them; secrets are never written, only whether they are set.
 * Called by the supervisor (--check, --print-config) and renovationctl config. */
#include "config.h"
#include "shared/configuration.h"

#include <inttypes.h>

#include "shared/json.h"

void configuration_print_faults(const struct configuration *c, FILE *out)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_fault *fault = &c->faults[i];

		(void)fprintf(out, "%s%s: %s\n    -> %s\n", fault->is_warning ? "warning: " : "", fault->where,
			fault->problem, fault->remedy);
	}
}

void configuration_write_faults_json(const struct configuration *c, struct buffer *out)
{
	buffer_append_char(out, '[');
	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_fault *fault = &c->faults[i];

		buffer_append_string(out, i ? ",{\"where\":" : "{\"where\":");
		json_write_string(out, text_of(fault->where));
		buffer_append_string(out, ",\"problem\":");
		json_write_string(out, text_of(fault->problem));
		buffer_append_string(out, ",\"remedy\":");
		json_write_string(out, text_of(fault->remedy));
		buffer_append_string(out, fault->is_warning ? ",\"warning\":true}" : "}");
	}
	buffer_append_char(out, ']');
}

/* A value as libconfig reads it back. */
static void print_value(FILE *out, enum option_kind kind, struct text value)
{
	if (kind == OPTION_KIND_INT) {
		/* libconfig wants the L from 2^31 on. */
		uint64_t number = 0;

		(void)text_parse_u64(value, &number);
		(void)fprintf(out, "%" PRIu64 "%s", number, number > INT32_MAX ? "L" : "");
	} else if (kind == OPTION_KIND_BOOL) {
		(void)fprintf(out, "%.*s", TEXT_ARGS(value));
	} else {
		(void)fputc('"', out);
		for (size_t i = 0; i < value.length; i++) {
			if (value.bytes[i] == '"' || value.bytes[i] == '\\')
				(void)fputc('\\', out);
			(void)fputc(value.bytes[i], out);
		}
		(void)fputc('"', out);
	}
}

void configuration_print(const struct configuration *c, FILE *out)
{
	struct buffer value;

	buffer_init(&value);
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		enum option_kind kind = option_rows[id].kind;

		buffer_clear(&value);
		options_write_value(&c->options, id, &value);
		(void)fprintf(out, "%s = ", option_rows[id].name);
		if (kind == OPTION_KIND_SECRET)
			print_value(out, kind, buffer_length(&value) ? TEXT("********") : TEXT(""));
		else
			print_value(out, kind, buffer_text(&value));
		(void)fprintf(out, ";  # %s\n", c->origins[id]);
	}
	if (value.bytes != NULL)
		explicit_bzero(value.bytes, value.capacity);
	buffer_fini(&value);
}

static void print_sample_row(FILE *out, const struct option_row *row)
{
	static const char *const classes[] = { "Applied by a reload", "A reload replaces the workers",
		"Needs a restart" };

	(void)fprintf(out, "\n# %s.\n# ", row->help);
	if (row->kind == OPTION_KIND_INT)
		(void)fprintf(out, "%" PRId64 " to %" PRId64 "%s%s. ", row->min, row->max, row->unit[0] ? " " : "",
			row->unit);
	if (row->kind == OPTION_KIND_SECRET)
		(void)fprintf(out, "Secret: better in the file named by %s_file. ", row->name);
	(void)fprintf(out, "%s.\n#%s = ", classes[row->class], row->name);
	print_value(out, row->kind, text_of(row->value));
	(void)fprintf(out, ";\n");
}

void configuration_print_sample(FILE *out)
{
	(void)fprintf(out, "# renovationd.conf: every option with its default. Lines read  name = value;  text stands "
			   "in double quotes.\n"
			   "# Each option can also be set by the environment as RENOVATIOND_ and its name in capitals, "
			   "which wins.\n"
			   "# Made by `renovationctl config --defaults`.\n");
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		print_sample_row(out, &option_rows[id]);
}
