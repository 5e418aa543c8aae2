/* log_field.c: the values of log lines as JSON, without printf, which would be most of a line's cost. Called by log.c and journal.c. */
#include "config.h"
#include "shared/log_field.h"

#include "shared/json.h"

static void append_real(struct buffer *line, double real)
{
	if (!(real >= 0 && real < 1e12)) {
		buffer_printf(line, "%.3f", real);
		return;
	}

	int64_t thousandths = (int64_t)(real * 1000 + 0.5);
	int part = (int)(thousandths % 1000);
	char decimals[4] = { '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10), (char)('0' + part % 10) };

	buffer_append_number(line, thousandths / 1000);
	buffer_append(line, decimals, sizeof decimals);
}

void log_field_append(struct buffer *line, const struct log_field *field)
{
	switch (field->kind) {
	case LOG_KIND_TEXT: json_write_string(line, field->text); break;
	case LOG_KIND_RAW: buffer_append_text(line, field->text); break;
	case LOG_KIND_INT: buffer_append_number(line, field->integer); break;
	case LOG_KIND_REAL: append_real(line, field->real); break;
	case LOG_KIND_BOOL: buffer_append_string(line, field->integer ? "true" : "false"); break;
	}
}
