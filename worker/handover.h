/* handover.h: idle connections of clients go from a worker that leaves to one that stays, through the mesh. */
#ifndef RENOVATIOND_WORKER_HANDOVER_H
#define RENOVATIOND_WORKER_HANDOVER_H

#include "worker/http/server.h"
#include "worker/worker.h"

/* Takes what others give from now on. Needs w->bus and w->http. */
void handover_open(struct worker *w);
/* For http_options.give; `context` is the worker. */
enum http_gift handover_give(void *context, int fd, const char *client, bool is_fresh);

#endif
