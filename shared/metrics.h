/* metrics.h: what the pool has done and how it is, for Prometheus: a pure function of the scoreboard, so that any worker answers for all of them and the
 * supervisor does so without any. Used by a worker's /metrics and by the supervisor's control socket. */
#ifndef RENOVATIOND_SHARED_METRICS_H
#define RENOVATIOND_SHARED_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/scoreboard.h"

#define METRICS_TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Appends the whole document: Prometheus text 0.0.4, or OpenMetrics 1.0. The times are those of the call, monotonic and wall. */
void metrics_write(
	const struct scoreboard *board, bool is_openmetrics, int64_t now_us, int64_t wall_us, struct buffer *out);

#endif
