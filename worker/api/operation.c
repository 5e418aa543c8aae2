/* operation.c: from a request to a statement's parameters, and from a database error to a problem the client can use. Called by the generic handlers.
 * Parameters are bound by name, so that a statement takes what it needs in the order it likes. */
#include "config.h"
#include "worker/api/operation.h"

#include "worker/api/etag.h"
#include "worker/http/router.h"
#include "worker/worker.h"

#define RETRY_AFTER_S 1

struct operation *operation_create(struct request *rq)
{
	struct operation *o = arena_alloc(&rq->arena, sizeof *o);

	o->rq = rq;
	o->resource = rq->route->detail;
	must(o->resource != NULL);
	return o;
}

bool operation_is_valid(struct operation *o)
{
	if (o->problems.count == 0)
		return true;
	response_invalid(o->rq, o->problems.list, o->problems.count);
	return false;
}

bool operation_read_body(struct operation *o, enum fields_mode mode)
{
	struct json_value *root;
	const char *problem = NULL;

	o->input = o->rq->body;
	if (o->input.length == 0 && o->rq->route->body == BODY_OPTIONAL)
		return true;

	enum error e = json_parse(&o->rq->arena, o->input, &root, &problem);

	if (e != ERROR_NONE) {
		response_problem(o->rq, e, problem);
		return false;
	}
	(void)fields_check(&o->rq->arena, o->resource->fields, root, mode, &o->problems);
	return operation_is_valid(o);
}

/* Room for the text forms of one statement's parameters. */
struct binding {
	struct db_uuid owner, id, after_id; /* text of ids */
	struct db_number limit;             /* text of the limit */
};

static struct db_param bind_filter(const struct operation *o, const char *name)
{
	for (const struct resource_filter *f = o->resource->filters; f != NULL && f->param != NULL; f++)
		if (strcmp(f->param, name) == 0) {
			struct text value = request_query(o->rq, f->field->name);

			return DB_TEXT(value);
		}
	must(!"a statement wants a parameter that no request has");
	return DB_NULL;
}

static struct db_param bind_param(const struct operation *o, const char *name, struct binding *room)
{
	if (strcmp(name, "owner") == 0)
		return db_uuid(&room->owner, &o->rq->owner);
	if (strcmp(name, "id") == 0 || strcmp(name, "parent") == 0)
		return db_uuid(&room->id, &o->rq->ids[0]);
	if (strcmp(name, "input") == 0)
		return DB_TEXT(o->input);
	if (strcmp(name, "versions") == 0)
		return DB_TEXT(o->versions);
	if (strcmp(name, "after") == 0)
		return o->has_after ? DB_TEXT(o->after.key) : DB_NULL;
	if (strcmp(name, "after_id") == 0)
		return o->has_after ? db_uuid(&room->after_id, &o->after.id) : DB_NULL;
	if (strcmp(name, "limit") == 0)
		return db_int(&room->limit, o->limit + 1); /* one more shows whether there is a next page */
	if (strcmp(name, "route") == 0)
		return DB_TEXT(o->route);
	if (strcmp(name, "idempotency_key") == 0)
		return DB_TEXT(o->key);
	if (strcmp(name, "request_hash") == 0)
		return DB_BYTES(text_span((const char *)o->hash, sizeof o->hash));
	return bind_filter(o, name);
}

void operation_submit(struct operation *o, db_done_fn *done)
{
	const struct statement_row *row = &statement_rows[o->statement];
	struct worker *w = request_context(o->rq);
	struct db_param params[OPERATION_PARAMS_MAX];
	struct binding room;

	must(row->param_count <= OPERATION_PARAMS_MAX);
	for (int i = 0; i < row->param_count; i++)
		params[i] = bind_param(o, row->params[i].name, &room);
	(void)db_submit(w->db, o->statement, params, done, o);
}

static bool ends_with(const char *whole, const char *end)
{
	size_t length = strlen(whole), tail = strlen(end);

	return length >= tail && strcmp(whole + length - tail, end) == 0;
}

static void answer_constraint(struct operation *o, const struct resource_constraint *k)
{
	struct buffer extra;

	if (k->error == ERROR_VALIDATION_FAILED) {
		fields_problem(&o->problems, text_of(k->path), k->code, text_of(k->message));
		(void)operation_is_valid(o);
		return;
	}
	if (k->path == NULL) {
		response_problem(o->rq, k->error, k->message);
		return;
	}
	buffer_init(&extra);
	buffer_printf(&extra, "\"errors\":[{\"path\":\"%s\",\"code\":\"%s\",\"message\":", k->path, k->code);
	json_write_string(&extra, text_of(k->message));
	buffer_append_string(&extra, "}]");
	response_problem_with(o->rq, k->error, k->message, buffer_text(&extra));
	buffer_fini(&extra);
}

/* What PostgreSQL alone can tell: a number inside an object that it cannot hold. */
static void refuse_value(struct operation *o)
{
	fields_problem(&o->problems, TEXT(""), "out_of_range", TEXT("a value is out of range"));
	(void)operation_is_valid(o);
}

void operation_refused(struct operation *o, enum error e, const struct db_result *result)
{
	const char *constraint =
		e == ERROR_CONFLICT || e == ERROR_VALIDATION_FAILED ? db_result_constraint(result) : "";

	for (const struct resource_constraint *k = o->resource->constraints; k != NULL && k->name != NULL; k++)
		if (strcmp(k->name, constraint) == 0) {
			answer_constraint(o, k);
			return;
		}
	if (ends_with(constraint, "_owner_id_fkey")) /* erased since the authenticator looked */
		response_problem(o->rq, ERROR_INVALID_CREDENTIALS, NULL);
	else if (e == ERROR_VALIDATION_FAILED)
		refuse_value(o);
	else if (error_status(e) == 503)
		response_problem_retry(o->rq, e, NULL, RETRY_AFTER_S);
	else
		response_problem(o->rq, e, NULL);
}

void operation_tag(struct operation *o, struct text etag)
{
	char *quoted = arena_alloc(&o->rq->arena, etag.length + 3);

	quoted[0] = '"';
	memcpy(quoted + 1, etag.bytes, etag.length);
	quoted[etag.length + 1] = '"';
	response_header(o->rq, "ETag", quoted);
}
