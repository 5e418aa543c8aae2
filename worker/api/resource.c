/* resource.c: the handlers of one row: read, update, remove. Named by routes.c; lists are in listing.c, creates in creation.c.
 * PostgreSQL builds the JSON and decides about versions and ownership in one statement; here the outcome becomes a status. */
#include "config.h"
#include "worker/api/resource.h"

#include "worker/api/call.h"
#include "worker/api/etag.h"

static void on_read(void *arg, enum error e, const struct db_result *r)
{
	struct call *c = arg;

	if (e != ERROR_NONE) {
		call_refused(c, e, r);
		return;
	}
	if (db_result_rows(r) == 0) {
		response_problem(c->rq, ERROR_NOT_FOUND, NULL);
		return;
	}

	struct text etag = db_result_text(r, 0, 0);

	call_tag(c, etag);
	response_header(c->rq, "Cache-Control", "private, no-cache");
	if (etag_is_known(request_header(c->rq, "If-None-Match"), etag))
		response_send(c->rq, 304, NULL, TEXT(""));
	else
		response_json(c->rq, 200, db_result_text(r, 0, 1));
}

void resource_read(struct request *rq)
{
	struct call *c = call_create(rq);

	c->statement = c->resource->read;
	call_submit(c, on_read);
}

static void on_updated(void *arg, enum error e, const struct db_result *r)
{
	struct call *c = arg;

	if (e != ERROR_NONE) {
		call_refused(c, e, r);
	} else if (db_result_rows(r) == 0) {
		response_problem(c->rq, ERROR_NOT_FOUND, NULL);
	} else if (!db_result_bool(r, 0, 0)) {
		response_problem(c->rq, ERROR_PRECONDITION_FAILED, NULL);
	} else {
		call_tag(c, db_result_text(r, 0, 1));
		response_json(c->rq, 200, db_result_text(r, 0, 2));
	}
}

void resource_update(struct request *rq)
{
	struct call *c = call_create(rq);

	c->statement = c->resource->update;
	c->versions = etag_versions(&rq->arena, request_header(rq, "If-Match"));
	if (call_read_body(c, FIELDS_UPDATE))
		call_submit(c, on_updated);
}

static void on_removed(void *arg, enum error e, const struct db_result *r)
{
	struct call *c = arg;

	if (e != ERROR_NONE)
		call_refused(c, e, r);
	else if (db_result_rows(r) == 0)
		response_problem(c->rq, ERROR_NOT_FOUND, NULL);
	else if (db_result_bool(r, 0, 0))
		response_send(c->rq, 204, NULL, TEXT(""));
	else if (c->resource->kept != NULL && db_result_bool(r, 0, 1))
		response_problem(c->rq, ERROR_CONFLICT, c->resource->kept);
	else
		response_problem(c->rq, ERROR_PRECONDITION_FAILED, NULL);
}

void resource_remove(struct request *rq)
{
	struct call *c = call_create(rq);

	c->statement = c->resource->remove;
	c->versions = etag_versions(&rq->arena, request_header(rq, "If-Match"));
	call_submit(c, on_removed);
}
