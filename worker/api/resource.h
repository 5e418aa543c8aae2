/* resource.h: the generic handlers of resources. A route names one of them and, in `detail`, its row of resources.h. */
#ifndef RENOVATIOND_WORKER_API_RESOURCE_H
#define RENOVATIOND_WORKER_API_RESOURCE_H

#include "worker/http/request.h"

void resource_list(struct request *rq);   /* GET: a page of rows; ?limit ?cursor ?order and the resource's filters */
void resource_create(struct request *rq); /* POST: 201 with Location and ETag; Idempotency-Key */
void resource_read(struct request *rq);   /* GET: one row; If-None-Match */
void resource_update(struct request *rq); /* PATCH, or POST of an action: the row after it; If-Match */
void resource_remove(struct request *rq); /* DELETE: 204; If-Match */

#endif
