/* listing.c: the handler of lists: one page by keyset, newest place in an opaque cursor. Named by routes.c.
 * The statement gives a row per item with its sort key; a list below a parent gives one row without id when it is empty and none when the parent
 * is not the owner's. */
#include "config.h"
#include "worker/api/resource.h"

#include "worker/api/operation.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100

static void read_limit(struct operation *o)
{
	struct text value = request_query(o->rq, "limit");
	uint64_t limit = LIMIT_DEFAULT;

	if (value.bytes != NULL && (!text_parse_u64(value, &limit) || limit < 1 || limit > LIMIT_MAX))
		fields_problem(&o->problems, TEXT("limit"), "out_of_range", TEXT("limit must be 1 to 100"));
	o->limit = (int)limit;
}

static void read_order(struct operation *o)
{
	struct text value = request_query(o->rq, "order");
	struct text known = TEXT("");

	o->order = o->resource->orders;
	if (value.bytes == NULL)
		return;
	for (const struct resource_order *candidate = o->resource->orders; candidate->name != NULL; candidate++) {
		if (text_equals(value, text_of(candidate->name))) {
			o->order = candidate;
			return;
		}
		known = arena_printf(
			&o->rq->arena, "%.*s%s%s", TEXT_ARGS(known), known.length > 0 ? ", " : "", candidate->name);
	}
	fields_problem(&o->problems, TEXT("order"), "invalid",
		arena_printf(&o->rq->arena, "order must be one of %.*s", TEXT_ARGS(known)));
}

/* Checks the filters and writes the list's own query, by which the next page is asked for and its cursor is sealed. */
static void read_filters(struct operation *o)
{
	struct arena *a = &o->rq->arena;

	o->list = arena_printf(a, "order=%s", o->order->name);
	for (const struct resource_filter *f = o->resource->filters; f != NULL && f->param != NULL; f++) {
		struct text value = request_query(o->rq, f->field->name);

		if (value.bytes != NULL && field_check_text(a, f->field, value, &o->problems))
			o->list = arena_printf(a, "%.*s&%s=%.*s", TEXT_ARGS(o->list), f->field->name, TEXT_ARGS(value));
	}
}

/* A cursor is good for this address, order and filters only. */
static struct text list_name(const struct operation *o)
{
	return arena_printf(&o->rq->arena, "%.*s?%.*s", TEXT_ARGS(o->rq->path), TEXT_ARGS(o->list));
}

static enum error read_cursor(struct operation *o)
{
	struct text value = request_query(o->rq, "cursor");

	o->has_after = value.bytes != NULL;
	if (!o->has_after)
		return ERROR_NONE;
	return cursor_parse(&o->rq->arena, &o->rq->owner, list_name(o), value, &o->after);
}

static void write_next(struct operation *o, const struct db_result *r, struct buffer *out)
{
	struct cursor last = { .key = db_result_text(r, o->limit - 1, 0), .id = db_result_uuid(r, o->limit - 1, 1) };
	struct text next = cursor_format(&o->rq->arena, &o->rq->owner, list_name(o), &last);

	buffer_printf(out, "\"%.*s\"", TEXT_ARGS(next));
	response_header(o->rq, "Link",
		arena_printf(&o->rq->arena, "<%.*s?limit=%d&%.*s&cursor=%.*s>; rel=\"next\"", TEXT_ARGS(o->rq->path),
			o->limit, TEXT_ARGS(o->list), TEXT_ARGS(next))
			.bytes);
}

static void write_page(struct operation *o, const struct db_result *r, struct buffer *out)
{
	int rows = db_result_rows(r);
	int shown = rows > o->limit ? o->limit : rows;

	if (rows == 1 && db_result_is_null(r, 0, 1))
		shown = 0;
	buffer_append_string(out, "{\"data\":[");
	for (int i = 0; i < shown; i++) {
		if (i > 0)
			buffer_append_char(out, ',');
		buffer_append_text(out, db_result_text(r, i, 2));
	}
	buffer_append_string(out, "],\"nextCursor\":");
	if (rows > o->limit)
		write_next(o, r, out);
	else
		buffer_append_string(out, "null");
	buffer_append_char(out, '}');
}

static void on_listed(void *arg, enum error e, const struct db_result *r)
{
	struct operation *o = arg;
	struct buffer page;

	if (e != ERROR_NONE) {
		operation_refused(o, e, r);
		return;
	}
	if (o->resource->has_parent && db_result_rows(r) == 0) {
		response_problem(o->rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	buffer_init(&page);
	write_page(o, r, &page);
	response_header(o->rq, "Cache-Control", "private, no-cache");
	response_json(o->rq, 200, buffer_text(&page));
	buffer_fini(&page);
}

void resource_list(struct request *rq)
{
	struct operation *o = operation_create(rq);

	read_limit(o);
	read_order(o);
	read_filters(o);
	if (!operation_is_valid(o))
		return;

	enum error e = read_cursor(o);

	if (e != ERROR_NONE) {
		response_problem(rq, e, NULL);
		return;
	}
	o->statement = o->order->statement;
	operation_submit(o, on_listed);
}
