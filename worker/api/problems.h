/* problems.h: the pages behind the `type` member of problems. */
#ifndef RENOVATIOND_WORKER_API_PROBLEMS_H
#define RENOVATIOND_WORKER_API_PROBLEMS_H

#include "worker/http/request.h"

void problems_get(struct request *rq); /* GET /problems/{code} */

#endif
