/* call.c: from a request to a statement's parameters, and from a database error to a problem the client can use. Called by the generic handlers.
 * Parameters are bound by name, so that a statement takes what it needs in the order it likes. */
#include "config.h"
#include "worker/api/call.h"

#include "worker/api/etag.h"
#include "worker/http/router.h"
#include "worker/worker.h"

#define RETRY_AFTER_S 1

struct call *call_create(struct request *rq)
{
	struct call *c = arena_alloc(&rq->arena, sizeof *c);

	c->rq = rq;
	c->resource = rq->route->detail;
	must(c->resource != NULL);
	return c;
}

bool call_is_valid(struct call *c)
{
	if (c->problems.count == 0)
		return true;
	response_invalid(c->rq, c->problems.list, c->problems.count);
	return false;
}

bool call_read_body(struct call *c, enum fields_mode mode)
{
	struct json_value *root;
	const char *problem = NULL;

	c->input = c->rq->body;
	if (c->input.length == 0 && c->rq->route->body == BODY_OPTIONAL)
		return true;

	enum error e = json_parse(&c->rq->arena, c->input, &root, &problem);

	if (e != ERROR_NONE) {
		response_problem(c->rq, e, problem);
		return false;
	}
	(void)fields_check(&c->rq->arena, c->resource->fields, root, mode, &c->problems);
	return call_is_valid(c);
}

/* Room for the text forms of one statement's parameters. */
struct binding {
	struct db_uuid owner, id, after_id; /* text of ids */
	struct db_number limit;             /* text of the limit */
};

static struct db_param bind_filter(const struct call *c, const char *name)
{
	for (const struct resource_filter *f = c->resource->filters; f != NULL && f->param != NULL; f++)
		if (strcmp(f->param, name) == 0) {
			struct text value = request_query(c->rq, f->field->name);

			return DB_TEXT(value);
		}
	must(!"a statement wants a parameter that no request has");
	return DB_NULL;
}

static struct db_param bind_param(const struct call *c, const char *name, struct binding *room)
{
	if (strcmp(name, "owner") == 0)
		return db_uuid(&room->owner, &c->rq->owner);
	if (strcmp(name, "id") == 0 || strcmp(name, "parent") == 0)
		return db_uuid(&room->id, &c->rq->ids[0]);
	if (strcmp(name, "input") == 0)
		return DB_TEXT(c->input);
	if (strcmp(name, "versions") == 0)
		return DB_TEXT(c->versions);
	if (strcmp(name, "after") == 0)
		return c->has_after ? DB_TEXT(c->after.key) : DB_NULL;
	if (strcmp(name, "after_id") == 0)
		return c->has_after ? db_uuid(&room->after_id, &c->after.id) : DB_NULL;
	if (strcmp(name, "limit") == 0)
		return db_int(&room->limit, c->limit + 1); /* one more shows whether there is a next page */
	if (strcmp(name, "route") == 0)
		return DB_TEXT(c->route);
	if (strcmp(name, "idempotency_key") == 0)
		return DB_TEXT(c->key);
	if (strcmp(name, "request_hash") == 0)
		return DB_BYTES(text_span((const char *)c->hash, sizeof c->hash));
	return bind_filter(c, name);
}

void call_submit(struct call *c, db_done_fn *done)
{
	const struct statement_row *row = &statement_rows[c->statement];
	struct worker *w = request_context(c->rq);
	struct db_param params[CALL_PARAMS_MAX];
	struct binding room;

	must(row->param_count <= CALL_PARAMS_MAX);
	for (int i = 0; i < row->param_count; i++)
		params[i] = bind_param(c, row->params[i].name, &room);
	(void)db_submit(w->db, c->statement, params, done, c);
}

static bool ends_with(const char *whole, const char *end)
{
	size_t length = strlen(whole), tail = strlen(end);

	return length >= tail && strcmp(whole + length - tail, end) == 0;
}

static void answer_constraint(struct call *c, const struct resource_constraint *k)
{
	struct buffer extra;

	if (k->error == ERROR_VALIDATION_FAILED) {
		fields_problem(&c->problems, text_of(k->path), k->code, text_of(k->message));
		(void)call_is_valid(c);
		return;
	}
	if (k->path == NULL) {
		response_problem(c->rq, k->error, k->message);
		return;
	}
	buffer_init(&extra);
	buffer_printf(&extra, "\"errors\":[{\"path\":\"%s\",\"code\":\"%s\",\"message\":", k->path, k->code);
	json_write_string(&extra, text_of(k->message));
	buffer_append_string(&extra, "}]");
	response_problem_with(c->rq, k->error, k->message, buffer_text(&extra));
	buffer_fini(&extra);
}

/* What PostgreSQL alone can tell: a number inside an object that it cannot hold. */
static void refuse_value(struct call *c)
{
	fields_problem(&c->problems, TEXT(""), "out_of_range", TEXT("a value is out of range"));
	(void)call_is_valid(c);
}

void call_refused(struct call *c, enum error e, const struct db_result *result)
{
	const char *constraint =
		e == ERROR_CONFLICT || e == ERROR_VALIDATION_FAILED ? db_result_constraint(result) : "";

	for (const struct resource_constraint *k = c->resource->constraints; k != NULL && k->name != NULL; k++)
		if (strcmp(k->name, constraint) == 0) {
			answer_constraint(c, k);
			return;
		}
	if (ends_with(constraint, "_owner_id_fkey")) /* erased since the authenticator looked */
		response_problem(c->rq, ERROR_INVALID_CREDENTIALS, NULL);
	else if (e == ERROR_VALIDATION_FAILED)
		refuse_value(c);
	else if (error_status(e) == 503)
		response_problem_retry(c->rq, e, NULL, RETRY_AFTER_S);
	else
		response_problem(c->rq, e, NULL);
}

void call_tag(struct call *c, struct text etag)
{
	response_header(c->rq, "ETag", arena_printf(&c->rq->arena, "\"%.*s\"", TEXT_ARGS(etag)).bytes);
}
