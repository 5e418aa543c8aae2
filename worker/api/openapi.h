/* openapi.h: the description of the whole surface, made from the tables of routes and resources. */
#ifndef RENOVATIOND_WORKER_API_OPENAPI_H
#define RENOVATIOND_WORKER_API_OPENAPI_H

#include "shared/buffer.h"
#include "worker/http/router.h"

/* The `detail` of the route that shows the description: which routes it is about. */
struct openapi_source {
	const struct route *routes; /* borrowed for ever */
	const size_t *count;        /* borrowed for ever */
};

/* OpenAPI 3.1 as one JSON document, appended to `out`. Pure. */
void openapi_write(const struct route routes[], size_t count, struct buffer *out);

void openapi_get(struct request *rq); /* GET /openapi.json: made at the first request, with an ETag */

#endif
