/* routes.h: THE table of endpoints. Read by the HTTP server, by OpenAPI and by --print-routes. */
#ifndef RENOVATIOND_WORKER_ROUTES_H
#define RENOVATIOND_WORKER_ROUTES_H

#include "worker/http/router.h"

extern const struct route worker_routes[];
extern const size_t worker_route_count;

#endif
