/* creation.c: the handler of creates, and what an Idempotency-Key means for them. Named by routes.c.
 * Effect and record of a key are one statement (sql/queries/common.sql): a repeated key brings the first answer back. Of two at once, the second breaks
 * a unique constraint, is undone as a whole, and is run once more: then it finds the first one's answer. */
#include "config.h"
#include "worker/api/resource.h"

#include <openssl/sha.h>

#include "worker/api/call.h"

#define KEY_MAX 255 /* characters */

/* Printable ASCII, bare or quoted. */
static void read_key(struct call *c)
{
	struct text key = request_header(c->rq, "Idempotency-Key");

	if (key.bytes == NULL)
		return;
	if (key.length >= 2 && key.bytes[0] == '"' && key.bytes[key.length - 1] == '"')
		key = text_span(key.bytes + 1, key.length - 2);

	bool is_good = key.length >= 1 && key.length <= KEY_MAX;

	for (size_t i = 0; is_good && i < key.length; i++)
		is_good = key.bytes[i] > 0x20 && key.bytes[i] < 0x7F;
	if (!is_good)
		fields_problem(&c->problems, TEXT("Idempotency-Key"), "invalid",
			TEXT("Idempotency-Key must be 1 to 255 printable ASCII characters without spaces"));
	c->key = key;
	c->route = arena_printf(&c->rq->arena, "POST %.*s", TEXT_ARGS(c->rq->path));
	(void)SHA256((const unsigned char *)c->rq->body.bytes, c->rq->body.length, c->hash);
}

static void answer_created(struct call *c, const struct db_result *r, bool is_replayed)
{
	char id[UUID_TEXT_BYTES];
	struct uuid row = db_result_uuid(r, 0, 1);

	uuid_format(&row, id);
	response_header(c->rq, "Location", arena_printf(&c->rq->arena, "%s%s", c->resource->path, id).bytes);
	call_tag(c, db_result_text(r, 0, 2));
	if (is_replayed)
		response_header(c->rq, "Idempotent-Replayed", "true");
	response_json(c->rq, 201, db_result_text(r, 0, 3));
}

static void on_created(void *arg, enum error e, const struct db_result *r)
{
	struct call *c = arg;

	if (e == ERROR_CONFLICT && c->key.bytes != NULL && !c->is_retried) {
		c->is_retried = true;
		call_submit(c, on_created);
		return;
	}
	if (e != ERROR_NONE || db_result_rows(r) == 0) {
		call_refused(c, e != ERROR_NONE ? e : ERROR_INTERNAL, r);
		return;
	}

	struct text outcome = db_result_text(r, 0, 0);

	if (text_equals(outcome, TEXT("reused")))
		response_problem(c->rq, ERROR_IDEMPOTENCY_KEY_REUSED, NULL);
	else
		answer_created(c, r, text_equals(outcome, TEXT("replayed")));
}

void resource_create(struct request *rq)
{
	struct call *c = call_create(rq);

	c->statement = c->resource->create;
	read_key(c);
	if (call_read_body(c, FIELDS_CREATE))
		call_submit(c, on_created);
}
