/* exposition.c: families, samples and histograms as text. Called by metrics.c for each row of its table.
 * Numbers are whole or millionths, so nothing here goes through floating point; bounds are written as OpenMetrics wants them ("1.0") in both formats,
 * so that a series keeps its name when the format changes. */
#include "config.h"
#include "shared/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static void append_unsigned(struct buffer *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	buffer_append(out, digits + at, sizeof digits - at);
}

/* Without zeros at the end, but with one digit after the point. */
static void append_micro(struct buffer *out, uint64_t millionths)
{
	char digits[7] = ".000000";
	uint64_t rest = millionths % 1000000;
	size_t length = 7;

	append_unsigned(out, millionths / 1000000);
	for (int i = 6; i > 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	while (length > 2 && digits[length - 1] == '0')
		length--;
	buffer_append(out, digits, length);
}

static void append_bound(struct buffer *out, const struct histogram_bounds *bounds, int i)
{
	if (bounds->scale < 1)
		append_micro(out, (uint64_t)bounds->bounds[i]);
	else {
		append_unsigned(out, (uint64_t)bounds->bounds[i]);
		buffer_append(out, ".0", 2);
	}
}

/* ---- families ------------------------------------------------------------------------------------------------ */

static const char *type_name(const struct exposition *x)
{
	switch (x->metric->type) {
	case COUNTER: return "counter";
	case GAUGE: return "gauge";
	case HISTOGRAM: return "histogram";
	case INFO: return x->is_openmetrics ? "info" : "gauge";
	}
	return "unknown";
}

/* The family's name has the suffix of its samples in the one format and not in the other. */
static const char *suffix_of(const struct metric *metric)
{
	switch (metric->type) {
	case COUNTER: return "_total";
	case INFO: return "_info";
	case GAUGE:
	case HISTOGRAM: return "";
	}
	return "";
}

static void append_help(struct buffer *out, const char *help)
{
	for (; *help != '\0'; help++)
		if (*help == '\n')
			buffer_append(out, "\\n", 2);
		else if (*help == '\\')
			buffer_append(out, "\\\\", 2);
		else if (*help == '"')
			buffer_append(out, "\\\"", 2);
		else
			buffer_append_char(out, *help);
}

static void comment(struct exposition *x, const char *what)
{
	buffer_append_string(x->out, what);
	buffer_append_string(x->out, x->name);
	if (!x->is_openmetrics)
		buffer_append_string(x->out, suffix_of(x->metric));
	buffer_append_char(x->out, ' ');
}

void exposition_family(struct exposition *x, const struct metric *metric)
{
	x->metric = metric;
	x->labels_length = 0;
	(void)snprintf(x->name, sizeof x->name, "%s", metric->name);
	comment(x, "# HELP ");
	append_help(x->out, metric->help);
	comment(x, "\n# TYPE ");
	buffer_append_string(x->out, type_name(x));
	buffer_append_char(x->out, '\n');
	if (!x->is_openmetrics || metric->unit[0] == '\0')
		return;
	comment(x, "# UNIT ");
	buffer_append_string(x->out, metric->unit);
	buffer_append_char(x->out, '\n');
}

/* ---- samples ------------------------------------------------------------------------------------------------- */

static void put(struct exposition *x, const char *bytes, size_t length)
{
	if (x->labels_length + length > sizeof x->labels)
		return;
	memcpy(x->labels + x->labels_length, bytes, length);
	x->labels_length += length;
}

static void put_value(struct exposition *x, const char *value)
{
	/* Each value fits whatever it holds, so that what ends it does too. */
	for (int left = SCOREBOARD_NAME; *value != '\0' && left > 0; value++, left--)
		if (*value == '\\')
			put(x, "\\\\", 2);
		else if (*value == '"')
			put(x, "\\\"", 2);
		else
			put(x, *value >= ' ' && *value <= '~' ? value : "?", 1);
}

void exposition_labels(struct exposition *x, const char *const values[], int count)
{
	const char *names = x->metric->labels;

	must(count <= LABELS_MAX);
	x->labels_length = 0;
	for (int i = 0; i < count; i++) {
		size_t length = strcspn(names, " ");

		must(length > 0);
		if (i > 0)
			put(x, ",", 1);
		put(x, names, length);
		put(x, "=\"", 2);
		put_value(x, values[i]);
		put(x, "\"", 1);
		names += length + (names[length] == ' ');
	}
}

static void begin_sample(struct exposition *x, const char *suffix)
{
	buffer_append_string(x->out, x->name);
	buffer_append_string(x->out, suffix);
	if (x->labels_length > 0) {
		buffer_append_char(x->out, '{');
		buffer_append(x->out, x->labels, x->labels_length);
		buffer_append_char(x->out, '}');
	}
	buffer_append_char(x->out, ' ');
}

void exposition_number(struct exposition *x, uint64_t value)
{
	begin_sample(x, suffix_of(x->metric));
	append_unsigned(x->out, value);
	buffer_append_char(x->out, '\n');
}

void exposition_micro(struct exposition *x, int64_t millionths)
{
	begin_sample(x, suffix_of(x->metric));
	append_micro(x->out, millionths > 0 ? (uint64_t)millionths : 0);
	buffer_append_char(x->out, '\n');
}

/* ---- histograms ---------------------------------------------------------------------------------------------- */

static void append_exemplar(
	struct exposition *x, const struct scoreboard_exemplar *e, const struct histogram_bounds *bounds)
{
	size_t length = strspn(e->trace_id, "0123456789abcdef");

	/* A copy, but made of memory that another process writes. */
	if (length == 0 || length > 32)
		return;
	buffer_append_string(x->out, " # {trace_id=\"");
	buffer_append(x->out, e->trace_id, length);
	buffer_append_string(x->out, "\"} ");
	if (bounds->scale < 1)
		append_micro(x->out, (uint64_t)SCOREBOARD_GET(e->value));
	else
		append_unsigned(x->out, (uint64_t)SCOREBOARD_GET(e->value));
	buffer_append_char(x->out, ' ');
	append_micro(x->out, (uint64_t)(SCOREBOARD_GET(e->at_us) + x->wall_offset_us));
}

static void bucket(struct exposition *x, const struct histogram_bounds *bounds, int i, uint64_t count)
{
	buffer_append_string(x->out, x->name);
	buffer_append_string(x->out, "_bucket{");
	buffer_append(x->out, x->labels, x->labels_length);
	buffer_append_string(x->out, x->labels_length > 0 ? ",le=\"" : "le=\"");
	if (i < bounds->count)
		append_bound(x->out, bounds, i);
	else
		buffer_append_string(x->out, "+Inf");
	buffer_append_string(x->out, "\"} ");
	append_unsigned(x->out, count);
}

void exposition_histogram(struct exposition *x, const struct histogram *h, const struct histogram_bounds *bounds,
	const struct scoreboard_exemplar *exemplar)
{
	bool has_exemplar = x->is_openmetrics && exemplar != NULL && SCOREBOARD_GET(exemplar->at_us) > 0 &&
			    SCOREBOARD_GET(exemplar->value) >= 0;
	uint64_t count = 0;

	for (int i = 0; i <= bounds->count; i++) {
		uint64_t here = SCOREBOARD_GET(h->buckets[i]);

		count += here;
		bucket(x, bounds, i, count);
		/* Counted before its exemplar was written, but perhaps not before we looked. */
		if (has_exemplar && here > 0 && SCOREBOARD_GET(exemplar->bucket) == (uint32_t)i)
			append_exemplar(x, exemplar, bounds);
		buffer_append_char(x->out, '\n');
	}
	begin_sample(x, "_sum");
	if (bounds->scale < 1)
		append_micro(x->out, SCOREBOARD_GET(h->sum));
	else
		append_unsigned(x->out, SCOREBOARD_GET(h->sum));
	buffer_append_char(x->out, '\n');
	begin_sample(x, "_count");
	append_unsigned(x->out, count);
	buffer_append_char(x->out, '\n');
}

void exposition_end(struct exposition *x)
{
	if (x->is_openmetrics)
		buffer_append_string(x->out, "# EOF\n");
}
