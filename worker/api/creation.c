/* creation.c: the handler of creates, and what an Idempotency-Key means for them. Named by routes.c.
 * Effect and record of a key are one statement (sql/queries/common.sql): a repeated key brings the first answer back. Of two at once, the second breaks
 * a unique constraint, is undone as a whole, and is run once more: then it finds the first one's answer. */
#include "config.h"
#include "worker/api/resource.h"

#include <openssl/sha.h>

#include "worker/api/operation.h"

static void read_key(struct operation *o)
{
	struct text key = TEXT_NONE;

	if (!request_idempotency_key(o->rq, &key))
		fields_problem(&o->problems, TEXT("Idempotency-Key"), "invalid",
			TEXT("Idempotency-Key must be 1 to 255 printable ASCII characters without spaces"));
	if (key.bytes == NULL)
		return;
	o->key = key;
	o->route = arena_printf(&o->rq->arena, "POST %.*s", TEXT_ARGS(o->rq->path));
	(void)SHA256((const unsigned char *)o->rq->body.bytes, o->rq->body.length, o->hash);
}

static void answer_created(struct operation *o, const struct db_result *r, bool is_replayed)
{
	char id[UUID_TEXT_BYTES];
	struct uuid row = db_result_uuid(r, 0, 1);

	uuid_format(&row, id);
	response_header(o->rq, "Location", arena_printf(&o->rq->arena, "%s%s", o->resource->path, id).bytes);
	operation_tag(o, db_result_text(r, 0, 2));
	if (is_replayed)
		response_header(o->rq, "Idempotent-Replayed", "true");
	response_json(o->rq, 201, db_result_text(r, 0, 3));
}

static void on_created(void *arg, enum error e, const struct db_result *r)
{
	struct operation *o = arg;

	if (e == ERROR_CONFLICT && o->key.bytes != NULL && !o->is_retried) {
		o->is_retried = true;
		operation_submit(o, on_created);
		return;
	}
	if (e != ERROR_NONE || db_result_rows(r) == 0) {
		operation_refused(o, e != ERROR_NONE ? e : ERROR_INTERNAL, r);
		return;
	}

	struct text outcome = db_result_text(r, 0, 0);

	if (text_equals(outcome, TEXT("reused")))
		response_problem(o->rq, ERROR_IDEMPOTENCY_KEY_REUSED, NULL);
	else
		answer_created(o, r, text_equals(outcome, TEXT("replayed")));
}

void resource_create(struct request *rq)
{
	struct operation *o = operation_create(rq);

	o->statement = o->resource->create;
	read_key(o);
	if (operation_read_body(o, FIELDS_CREATE))
		operation_submit(o, on_created);
}
