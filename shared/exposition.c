/* exposition.c: families, samples and histograms as text. Called by metrics.c for each row of its table.
 * Numbers are whole or millionths, so nothing here goes through floating point; bounds are written as OpenMetrics wants them ("1.0") in both formats,
 * so that a series keeps its name when the format changes. */
#include "config.h"
#include "shared/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------- */

#define NUMBER_BYTES 32 /* the longest number, with its point */

static char *put_unsigned(char *at, uint64_t value)
{
	char digits[20];
	size_t first = sizeof digits;

	do
		digits[--first] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	memcpy(at, digits + first, sizeof digits - first);
	return at + sizeof digits - first;
}

/* Without zeros at the end, but with one digit after the point. */
static char *put_micro(char *at, uint64_t millionths)
{
	uint64_t rest = millionths % 1000000;
	char *end = put_unsigned(at, millionths / 1000000);

	*end = '.';
	for (int i = 6; i > 0; i--, rest /= 10)
		end[i] = (char)('0' + rest % 10);
	for (at = end + 2, end += 7; end > at && end[-1] == '0';)
		end--;
	return end;
}

static char *put_scaled(char *at, const struct histogram_bounds *bounds, uint64_t value)
{
	return bounds->scale < 1 ? put_micro(at, value) : put_unsigned(at, value);
}

static char *put_bound(char *at, const struct histogram_bounds *bounds, int i)
{
	if (i == bounds->count) {
		memcpy(at, "+Inf", 4);
		return at + 4;
	}
	at = put_scaled(at, bounds, (uint64_t)bounds->bounds[i]);
	if (bounds->scale < 1)
		return at;
	memcpy(at, ".0", 2);
	return at + 2;
}

static void append_unsigned(struct buffer *out, uint64_t value)
{
	char *at = buffer_reserve(out, NUMBER_BYTES);

	buffer_grown(out, (size_t)(put_unsigned(at, value) - at));
}

static void append_micro(struct buffer *out, uint64_t millionths)
{
	char *at = buffer_reserve(out, NUMBER_BYTES);

	buffer_grown(out, (size_t)(put_micro(at, millionths) - at));
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

	char *at = buffer_reserve(x->out, NUMBER_BYTES);

	buffer_grown(x->out, (size_t)(put_scaled(at, bounds, (uint64_t)SCOREBOARD_GET(e->value)) - at));
	buffer_append_char(x->out, ' ');
	append_micro(x->out, (uint64_t)(SCOREBOARD_GET(e->at_us) + x->wall_offset_us));
}

/* What all buckets of a histogram begin with; they are most of a document. */
static size_t bucket_prefix(const struct exposition *x, char out[sizeof x->name + sizeof x->labels + 16])
{
	size_t name = strlen(x->name), at = name;

	memcpy(out, x->name, name);
	memcpy(out + at, "_bucket{", 8);
	at += 8;
	memcpy(out + at, x->labels, x->labels_length);
	at += x->labels_length;
	if (x->labels_length > 0)
		out[at++] = ',';
	memcpy(out + at, "le=\"", 4);
	return at + 4;
}

static void bucket(
	struct exposition *x, struct text prefix, const struct histogram_bounds *bounds, int i, uint64_t count)
{
	char *start = buffer_reserve(x->out, prefix.length + 2 * NUMBER_BYTES + 3), *at = start;

	memcpy(at, prefix.bytes, prefix.length);
	at = put_bound(at + prefix.length, bounds, i);
	memcpy(at, "\"} ", 3);
	at = put_unsigned(at + 3, count);
	buffer_grown(x->out, (size_t)(at - start));
}

void exposition_histogram(struct exposition *x, const struct histogram *h, const struct histogram_bounds *bounds,
	const struct scoreboard_exemplar *exemplar)
{
	bool has_exemplar = x->is_openmetrics && exemplar != NULL && SCOREBOARD_GET(exemplar->at_us) > 0 &&
			    SCOREBOARD_GET(exemplar->value) >= 0;
	char prefix[sizeof x->name + sizeof x->labels + 16];
	size_t length = bucket_prefix(x, prefix);
	uint64_t count = 0;

	for (int i = 0; i <= bounds->count; i++) {
		uint64_t here = SCOREBOARD_GET(h->buckets[i]);

		count += here;
		bucket(x, text_span(prefix, length), bounds, i, count);
		/* Counted before its exemplar was written, but perhaps not before we looked. */
		if (has_exemplar && here > 0 && SCOREBOARD_GET(exemplar->bucket) == (uint32_t)i)
			append_exemplar(x, exemplar, bounds);
		buffer_append_char(x->out, '\n');
	}
	begin_sample(x, "_sum");

	char *at = buffer_reserve(x->out, NUMBER_BYTES);

	buffer_grown(x->out, (size_t)(put_scaled(at, bounds, SCOREBOARD_GET(h->sum)) - at));
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
