/* router.h: from method and path to a row of the route table. The table is worker/routes.c's; it is compiled once into a tree at start.
 * Pure after router_create. */
#ifndef RENOVATIOND_WORKER_HTTP_ROUTER_H
#define RENOVATIOND_WORKER_HTTP_ROUTER_H

#include "worker/http/request.h"

enum route_auth {
	AUTH_NONE,     /* anyone; credentials are not even looked at */
	AUTH_OPTIONAL, /* an owner when credentials are there; wrong ones are 401 */
	AUTH_OWNER,    /* an owner; without credentials 404 or 401 as the API says */
	AUTH_MINT,     /* an owner; one is minted when there are no credentials */
	AUTH_ADMIN /* the operator: on the admin listener, or with the admin token; to anyone else the route does not exist */
};

enum route_body {
	BODY_NONE,    /* a body is read and thrown away up to the JSON limit */
	BODY_JSON,    /* application/json, up to http_body_bytes; 415 otherwise */
	BODY_OPTIONAL /* JSON or nothing */
};

typedef void(handler_fn)(struct request *rq);
/* False: it has answered. */
typedef bool(admit_fn)(struct request *rq);

struct route {
	enum method method; /* GET answers HEAD too */
	const char *
		path; /* "/api/sessions/{id}/rooms"; a {name} ending in "id" or called id is a UUID (else 404), others are free text */
	enum route_auth auth;
	enum route_body body;
	handler_fn *handle;
	const char *summary;     /* for OpenAPI */
	const void *detail;      /* the handler's own row (resource, file); borrowed, may be NULL */
	bool is_quiet;           /* logged at debug: what machines ask again and again */
	bool names_conversation; /* its first parameter is the id of a conversation, for the log */
	bool is_probe; /* answered while the pool is drained, too, and on the admin listener: what operators and load balancers ask */
	bool is_on_admin; /* the admin listener serves it too; those of AUTH_ADMIN it always does */
	admit_fn *
		admit; /* asked before credentials are looked at, so that a refusal stores nothing; NULL = all are let in */
};

struct router;

/* Which rows of the table a router has. */
enum router_view {
	ROUTER_PUBLIC,   /* of the main listener: all but AUTH_ADMIN */
	ROUTER_ADMIN,    /* of the admin listener: AUTH_ADMIN and is_on_admin */
	ROUTER_OPERATOR, /* of the main listener for who has the admin token: all */
	ROUTER_VIEWS
};

/* `routes` is borrowed for ever. Two rows that can match the same request are a broken assumption (must). */
struct router *router_create(const struct route *routes, size_t count, enum router_view view);
void router_destroy(struct router **router);

/* Fills rq->route, params, ids. Errors: ERROR_NOT_FOUND; ERROR_METHOD_NOT_ALLOWED, then *allow_out (in the arena) is the Allow field. */
MUST_CHECK enum error router_find(const struct router *router, struct request *rq, const char **allow_out);
/* "GET, HEAD, POST" for the path, for OPTIONS; NULL when nothing is there. */
const char *router_allow(const struct router *router, struct request *rq);

#endif
