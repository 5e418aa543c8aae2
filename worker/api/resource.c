/* resource.c: the handlers of one row: read, update, remove. Named by routes.c; lists are in listing.c, creates in creation.c.
 * PostgreSQL builds the JSON and decides about versions and ownership in one statement; here the outcome becomes a status. */
#include "config.h"
#include "worker/api/resource.h"

#include "worker/api/operation.h"
#include "worker/api/etag.h"

static void on_read(void *arg, enum error e, const struct db_result *r)
{
	struct operation *o = arg;

	if (e != ERROR_NONE) {
		operation_refused(o, e, r);
		return;
	}
	if (db_result_rows(r) == 0) {
		response_problem(o->rq, ERROR_NOT_FOUND, NULL);
		return;
	}

	struct text etag = db_result_text(r, 0, 0);

	operation_tag(o, etag);
	response_header(o->rq, "Cache-Control", "private, no-cache");
	if (etag_is_known(request_header(o->rq, "If-None-Match"), etag))
		response_send(o->rq, 304, NULL, TEXT(""));
	else
		response_json(o->rq, 200, db_result_text(r, 0, 1));
}

void resource_read(struct request *rq)
{
	struct operation *o = operation_create(rq);

	o->statement = o->resource->read;
	operation_submit(o, on_read);
}

static void on_updated(void *arg, enum error e, const struct db_result *r)
{
	struct operation *o = arg;

	if (e != ERROR_NONE) {
		operation_refused(o, e, r);
	} else if (db_result_rows(r) == 0) {
		response_problem(o->rq, ERROR_NOT_FOUND, NULL);
	} else if (!db_result_bool(r, 0, 0)) {
		response_problem(o->rq, ERROR_PRECONDITION_FAILED, NULL);
	} else {
		operation_tag(o, db_result_text(r, 0, 1));
		response_json(o->rq, 200, db_result_text(r, 0, 2));
	}
}

void resource_update(struct request *rq)
{
	struct operation *o = operation_create(rq);

	o->statement = o->resource->update;
	o->versions = etag_versions(&rq->arena, request_header(rq, "If-Match"));
	if (operation_read_body(o, FIELDS_UPDATE))
		operation_submit(o, on_updated);
}

static void on_removed(void *arg, enum error e, const struct db_result *r)
{
	struct operation *o = arg;

	if (e != ERROR_NONE)
		operation_refused(o, e, r);
	else if (db_result_rows(r) == 0)
		response_problem(o->rq, ERROR_NOT_FOUND, NULL);
	else if (db_result_bool(r, 0, 0))
		response_send(o->rq, 204, NULL, TEXT(""));
	else if (o->resource->kept != NULL && db_result_bool(r, 0, 1))
		response_problem(o->rq, ERROR_CONFLICT, o->resource->kept);
	else
		response_problem(o->rq, ERROR_PRECONDITION_FAILED, NULL);
}

void resource_remove(struct request *rq)
{
	struct operation *o = operation_create(rq);

	o->statement = o->resource->remove;
	o->versions = etag_versions(&rq->arena, request_header(rq, "If-Match"));
	operation_submit(o, on_removed);
}
