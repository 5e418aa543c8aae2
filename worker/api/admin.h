/* admin.h: what the operator gets: the operations page, its files and the state of the pool. Routes of AUTH_ADMIN; to anyone else they do not exist. */
#ifndef RENOVATIOND_WORKER_API_ADMIN_H
#define RENOVATIOND_WORKER_API_ADMIN_H

#include "worker/http/request.h"

void admin_page(struct request *rq);   /* GET /admin */
void admin_asset(struct request *rq);  /* GET /admin/assets/{name} */
void admin_status(struct request *rq); /* GET /admin/status.json */

#endif
