/* listing.c: the handler of lists: one page by keyset, newest place in an opaque cursor. Named by routes.c.
 * The statement gives a row per item with its sort key; a list below a parent gives one row without id when it is empty and none when the parent
 * is not the owner's. */
#include "config.h"
#include "worker/api/resource.h"

#include "worker/api/call.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100

static void read_limit(struct call *c)
{
	struct text value = request_query(c->rq, "limit");
	uint64_t limit = LIMIT_DEFAULT;

	if (value.bytes != NULL && (!text_parse_u64(value, &limit) || limit < 1 || limit > LIMIT_MAX))
		fields_problem(&c->problems, TEXT("limit"), "out_of_range", TEXT("limit must be 1 to 100"));
	c->limit = (int)limit;
}

static void read_order(struct call *c)
{
	struct text value = request_query(c->rq, "order");
	struct text known = TEXT("");

	c->order = c->resource->orders;
	if (value.bytes == NULL)
		return;
	for (const struct resource_order *o = c->resource->orders; o->name != NULL; o++) {
		if (text_equals(value, text_of(o->name))) {
			c->order = o;
			return;
		}
		known = arena_printf(
			&c->rq->arena, "%.*s%s%s", TEXT_ARGS(known), known.length > 0 ? ", " : "", o->name);
	}
	fields_problem(&c->problems, TEXT("order"), "invalid",
		arena_printf(&c->rq->arena, "order must be one of %.*s", TEXT_ARGS(known)));
}

/* Checks the filters and writes the list's own query, by which the next page is asked for and its cursor is sealed. */
static void read_filters(struct call *c)
{
	struct arena *a = &c->rq->arena;

	c->list = arena_printf(a, "order=%s", c->order->name);
	for (const struct resource_filter *f = c->resource->filters; f != NULL && f->param != NULL; f++) {
		struct text value = request_query(c->rq, f->field->name);

		if (value.bytes != NULL && field_check_text(a, f->field, value, &c->problems))
			c->list = arena_printf(a, "%.*s&%s=%.*s", TEXT_ARGS(c->list), f->field->name, TEXT_ARGS(value));
	}
}

/* A cursor is good for this address, order and filters only. */
static struct text list_name(const struct call *c)
{
	return arena_printf(&c->rq->arena, "%.*s?%.*s", TEXT_ARGS(c->rq->path), TEXT_ARGS(c->list));
}

static enum error read_cursor(struct call *c)
{
	struct text value = request_query(c->rq, "cursor");

	c->has_after = value.bytes != NULL;
	if (!c->has_after)
		return ERROR_NONE;
	return cursor_parse(&c->rq->arena, &c->rq->owner, list_name(c), value, &c->after);
}

static void write_next(struct call *c, const struct db_result *r, struct buffer *out)
{
	struct cursor last = { .key = db_result_text(r, c->limit - 1, 0), .id = db_result_uuid(r, c->limit - 1, 1) };
	struct text next = cursor_format(&c->rq->arena, &c->rq->owner, list_name(c), &last);

	buffer_printf(out, "\"%.*s\"", TEXT_ARGS(next));
	response_header(c->rq, "Link",
		arena_printf(&c->rq->arena, "<%.*s?limit=%d&%.*s&cursor=%.*s>; rel=\"next\"", TEXT_ARGS(c->rq->path),
			c->limit, TEXT_ARGS(c->list), TEXT_ARGS(next))
			.bytes);
}

static void write_page(struct call *c, const struct db_result *r, struct buffer *out)
{
	int rows = db_result_rows(r);
	int shown = rows > c->limit ? c->limit : rows;

	if (rows == 1 && db_result_is_null(r, 0, 1))
		shown = 0;
	buffer_append_string(out, "{\"data\":[");
	for (int i = 0; i < shown; i++) {
		if (i > 0)
			buffer_append_char(out, ',');
		buffer_append_text(out, db_result_text(r, i, 2));
	}
	buffer_append_string(out, "],\"nextCursor\":");
	if (rows > c->limit)
		write_next(c, r, out);
	else
		buffer_append_string(out, "null");
	buffer_append_char(out, '}');
}

static void on_listed(void *arg, enum error e, const struct db_result *r)
{
	struct call *c = arg;
	struct buffer page;

	if (e != ERROR_NONE) {
		call_refused(c, e, r);
		return;
	}
	if (c->resource->has_parent && db_result_rows(r) == 0) {
		response_problem(c->rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	buffer_init(&page);
	write_page(c, r, &page);
	response_header(c->rq, "Cache-Control", "private, no-cache");
	response_json(c->rq, 200, buffer_text(&page));
	buffer_fini(&page);
}

void resource_list(struct request *rq)
{
	struct call *c = call_create(rq);

	read_limit(c);
	read_order(c);
	read_filters(c);
	if (!call_is_valid(c))
		return;

	enum error e = read_cursor(c);

	if (e != ERROR_NONE) {
		response_problem(rq, e, NULL);
		return;
	}
	c->statement = c->order->statement;
	call_submit(c, on_listed);
}
