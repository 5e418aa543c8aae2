/* health.h: is the process alive, is it ready, how is it? Prebuilt or probed at most once a second, however often it is asked. */
#ifndef RENOVATIOND_WORKER_API_HEALTH_H
#define RENOVATIOND_WORKER_API_HEALTH_H

#include "shared/buffer.h"
#include "worker/http/request.h"
#include "worker/worker.h"

struct health;

/* Starts the timer that keeps /health current. Needs w->db, w->board, w->slot; w->provider may be NULL until the first request. */
struct health *health_open(struct worker *w);
void health_close(struct health **health);

void health_get(struct request *rq);    /* GET /health: 200 while the process runs */
void health_live(struct request *rq);   /* GET /health/live, /livez */
void health_ready(struct request *rq);  /* GET /health/ready, /readyz: 200 or 503 with checks */
void health_status(struct request *rq); /* GET /health/status: uptime, memory, pool, workers, features */

/* "gemini":{…}, the same for readiness and status. */
void health_write_gemini(struct buffer *out, const struct worker *w);

#endif
