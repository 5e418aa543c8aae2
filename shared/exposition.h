/* exposition.h: how metrics are written: Prometheus text 0.0.4 or OpenMetrics 1.0, the same series in both. Pure: bytes into a buffer.
 * Knows families, samples and escapes; what there is to measure is metrics.c's. Sources: the text format's page of Prometheus, the OpenMetrics specification. */
#ifndef RENOVATIOND_SHARED_EXPOSITION_H
#define RENOVATIOND_SHARED_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/histogram.h"
#include "shared/scoreboard.h"

enum metric_type { COUNTER, GAUGE, HISTOGRAM, INFO };

/* A row of metrics.def. */
struct metric {
	const char *name;      /* without _total and _info */
	enum metric_type type; /* decides about the end of its name */
	const char *unit;      /* "seconds", "" = none; the name ends in it */
	const char *labels;    /* their names, with spaces between; "" = none */
	const char *help;      /* one sentence */
};

#define LABELS_MAX 4

struct exposition {
	struct buffer *out;          /* not owned */
	bool is_openmetrics;         /* or Prometheus text */
	const struct metric *metric; /* the family under way */
	char name[96];               /* of it */
	char labels[1024];           /* rendered for the sample under way: name="value",… */
	size_t labels_length;        /* of it */
	int64_t wall_offset_us;      /* wall time minus monotonic time: for exemplars */
};

/* HELP, TYPE and UNIT; samples of that family follow. */
void exposition_family(struct exposition *x, const struct metric *metric);
/* The values of the family's labels for the samples that follow, in the table's order. Strings that need it are escaped; what is longer than fits is cut. */
void exposition_labels(struct exposition *x, const char *const values[], int count);
void exposition_number(struct exposition *x, uint64_t value);
/* A value in millionths: microseconds for a family of seconds. Negative ones are 0. */
void exposition_micro(struct exposition *x, int64_t millionths);
/* All buckets, sum and count; `exemplar` may be NULL. */
void exposition_histogram(struct exposition *x, const struct histogram *h, const struct histogram_bounds *bounds,
	const struct scoreboard_exemplar *exemplar);
/* What ends the document. */
void exposition_end(struct exposition *x);

#endif
