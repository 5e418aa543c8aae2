/* operation.h: one request to a resource on its way through the database: what the client sent, checked, and how it becomes a statement's parameters.
 * Shared by the generic handlers; lives in the request's arena. */
#ifndef RENOVATIOND_WORKER_API_OPERATION_H
#define RENOVATIOND_WORKER_API_OPERATION_H

#include "worker/api/cursor.h"
#include "worker/api/resources.h"
#include "worker/db/db.h"
#include "worker/http/response.h"

#define OPERATION_PARAMS_MAX 10 /* of one statement */

struct operation {
	struct request *rq;                 /* owner of the memory */
	const struct resource *resource;    /* the route's detail */
	enum statement statement;           /* what is asked of the database */
	struct field_problems problems;     /* found so far */
	struct text input;                  /* the body, checked; TEXT_NONE without one */
	struct text versions;               /* If-Match as "{…}"; TEXT_NONE when any is fine */
	int limit;                          /* list: rows of a page */
	const struct resource_order *order; /* list */
	struct text list;                   /* list: which one, for cursors; also its query without the cursor */
	struct cursor after;                /* list: where the page begins */
	bool has_after;                     /* is there one? */
	struct text key;                    /* create: Idempotency-Key, TEXT_NONE without one */
	struct text route;                  /* create: what the key is for, e.g. "POST /api/sessions" */
	unsigned char hash[32];             /* create: sha256 of the body */
	bool is_retried;                    /* create: the statement was run again because of its key */
};

struct operation *operation_create(struct request *rq);
/* Reads the body against the resource's fields. False: the problem is answered. */
bool operation_read_body(struct operation *o, enum fields_mode mode);
/* Answers the problems found, if any; true when there were none. */
bool operation_is_valid(struct operation *o);
/* Binds the statement's parameters by their names and submits it. */
void operation_submit(struct operation *o, db_done_fn *done);
/* Answers a failed statement by the resource's constraints. */
void operation_refused(struct operation *o, enum error e, const struct db_result *result);
/* Adds the ETag field. */
void operation_tag(struct operation *o, struct text etag);

#endif
