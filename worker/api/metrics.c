/* metrics.c: /metrics, the whole pool's numbers from whichever worker is asked, in the format that the scraper wants most. Named by routes.c, for operators
 * only. Asks nobody: it also answers while the database is down. */
#include "config.h"
#include "worker/api/metrics.h"

#include "shared/clock.h"
#include "shared/metrics.h"
#include "worker/http/response.h"
#include "worker/worker.h"

void metrics_get(struct request *rq)
{
	const struct worker *w = request_context(rq);
	bool is_openmetrics = request_prefers_over(rq, "application/openmetrics-text", "text/plain");
	struct buffer out;

	buffer_init(&out);
	metrics_write(w->board, is_openmetrics, clock_monotonic_us(), clock_wall_us(), &out);
	response_header(rq, "Cache-Control", "no-store");
	response_header(rq, "Vary", "Accept");
	response_send(rq, 200, is_openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT, buffer_text(&out));
	buffer_fini(&out);
}
