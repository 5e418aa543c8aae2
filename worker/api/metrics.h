/* metrics.h: the pool's numbers for Prometheus. */
#ifndef RENOVATIOND_WORKER_API_METRICS_H
#define RENOVATIOND_WORKER_API_METRICS_H

#include "worker/http/request.h"

void metrics_get(struct request *rq); /* GET /metrics: Prometheus text, or OpenMetrics when Accept prefers it */

#endif
