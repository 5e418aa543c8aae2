/* openapi.h: the description of the whole surface, made from the tables of routes and resources. */
#ifndef RENOVATIOND_WORKER_API_OPENAPI_H
#define RENOVATIOND_WORKER_API_OPENAPI_H

#include "shared/buffer.h"
#include "worker/http/router.h"

/* OpenAPI 3.1 as one JSON document, appended to `out`. Pure. */
void openapi_write(const struct route routes[], size_t count, struct buffer *out);

/* GET /openapi.json: made once per process, with an ETag. Needs openapi_open. */
void openapi_get(struct request *rq);
void openapi_open(const struct route routes[], size_t count);
void openapi_close(void);

#endif
