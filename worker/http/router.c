/* router.c: the route table as a tree of path segments. Made once at start from worker/routes.c, read for each request.
 * A segment is fixed, a UUID or free text, looked for in that order and with a step back where that ends nowhere; two rows that the same
 * request could match end the program at start, so the order of rows never matters. */
#include "config.h"
#include "worker/http/router.h"

#include "worker/http/parser.h"

#define SEGMENTS_MAX 16

enum segment_kind { SEGMENT_FIXED, SEGMENT_UUID, SEGMENT_TEXT };

struct node {
	struct text name;                         /* FIXED: the segment; borrowed from the table */
	enum segment_kind kind;                   /* what it matches */
	struct node *children;                    /* owned; first of a list in the order fixed, uuid, text */
	struct node *next;                        /* sibling */
	const struct route *routes[METHOD_COUNT]; /* that end here, by method */
	bool is_end;                              /* any of them is there */
};

struct router {
	struct node root; /* before the first slash */
};

static const char *const method_names[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

/* Takes the segment up to the next slash off `path`, which begins behind a slash; false behind the last. */
static bool next_segment(struct text *path, struct text *segment_out)
{
	if (path->bytes == NULL)
		return false;

	const char *slash = memchr(path->bytes, '/', path->length);
	size_t length = slash != NULL ? (size_t)(slash - path->bytes) : path->length;

	*segment_out = text_span(path->bytes, length);
	*path = slash != NULL ? text_span(slash + 1, path->length - length - 1) : TEXT_NONE;
	return true;
}

static bool ends_with(struct text t, const char *end)
{
	size_t length = strlen(end);

	return t.length >= length && memcmp(t.bytes + t.length - length, end, length) == 0;
}

static enum segment_kind kind_of(struct text segment)
{
	if (segment.length < 3 || segment.bytes[0] != '{' || segment.bytes[segment.length - 1] != '}')
		return SEGMENT_FIXED;

	struct text name = text_span(segment.bytes + 1, segment.length - 2);

	return ends_with(name, "id") || ends_with(name, "Id") ? SEGMENT_UUID : SEGMENT_TEXT;
}

/* ---- building ------------------------------------------------------------------------------------------------------------- */

static struct node *find_child(struct node *parent, struct text name, enum segment_kind kind)
{
	for (struct node *child = parent->children; child != NULL; child = child->next)
		if (child->kind == kind && (kind != SEGMENT_FIXED || text_equals(child->name, name)))
			return child;
	return NULL;
}

static struct node *add_child(struct node *parent, struct text name, enum segment_kind kind)
{
	struct node **link = &parent->children;
	struct node *child = must_alloc(sizeof *child);

	while (*link != NULL && (*link)->kind <= kind)
		link = &(*link)->next;
	child->name = name;
	child->kind = kind;
	child->next = *link;
	*link = child;
	return child;
}

static bool can_be_same(struct text a, struct text b)
{
	enum segment_kind ka = kind_of(a), kb = kind_of(b);
	struct uuid id;

	if (ka == SEGMENT_FIXED && kb == SEGMENT_FIXED)
		return text_equals(a, b);
	if (ka == SEGMENT_FIXED && kb == SEGMENT_UUID)
		return uuid_parse(a, &id);
	if (kb == SEGMENT_FIXED && ka == SEGMENT_UUID)
		return uuid_parse(b, &id);
	return true;
}

static bool is_ambiguous(const struct route *a, const struct route *b)
{
	struct text path_a = text_of(a->path + 1), path_b = text_of(b->path + 1), segment_a, segment_b;

	if (a->method != b->method)
		return false;
	for (;;) {
		bool more_a = next_segment(&path_a, &segment_a), more_b = next_segment(&path_b, &segment_b);

		if (more_a != more_b)
			return false;
		if (!more_a)
			return true;
		if (!can_be_same(segment_a, segment_b))
			return false;
	}
}

static void add_route(struct router *router, const struct route *route)
{
	struct node *node = &router->root;
	struct text path = text_of(route->path + 1), segment;
	int params = 0, segments = 0;

	must(route->path[0] == '/' && route->handle != NULL);
	while (next_segment(&path, &segment)) {
		enum segment_kind kind = kind_of(segment);
		struct node *child = find_child(node, segment, kind);

		params += kind != SEGMENT_FIXED;
		must(params <= REQUEST_PARAMS_MAX && ++segments <= SEGMENTS_MAX);
		node = child != NULL ? child : add_child(node, segment, kind);
	}
	node->routes[route->method] = route;
	node->is_end = true;
}

static bool is_in_view(const struct route *route, enum router_view view)
{
	switch (view) {
	case ROUTER_PUBLIC: return route->auth != AUTH_ADMIN;
	case ROUTER_ADMIN: return route->auth == AUTH_ADMIN || route->is_probe || route->is_on_admin;
	case ROUTER_OPERATOR:
	case ROUTER_VIEWS: break;
	}
	return true;
}

struct router *router_create(const struct route *routes, size_t count, enum router_view view)
{
	struct router *router = must_alloc(sizeof *router);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++)
			must(!is_ambiguous(&routes[i], &routes[j]));
		if (is_in_view(&routes[i], view))
			add_route(router, &routes[i]);
	}
	return router;
}

static void free_children(struct node *node)
{
	for (struct node *child = node->children; child != NULL;) {
		struct node *next = child->next;

		free_children(child);
		free(child);
		child = next;
	}
}

void router_destroy(struct router **router)
{
	if (*router == NULL)
		return;
	free_children(&(*router)->root);
	free(*router);
	*router = NULL;
}

/* ---- finding -------------------------------------------------------------------------------------------------------------- */

struct search {
	struct request *rq;            /* gets params and ids */
	enum method method;            /* wanted; METHOD_COUNT only gathers */
	const struct route *found;     /* NULL until found */
	bool allowed[METHOD_COUNT];    /* by the ends that were passed */
	bool is_known;                 /* some end was passed */
	struct text raw[SEGMENTS_MAX]; /* the path's segments as sent */
	size_t count;                  /* of them */
};

static bool take_param(struct search *s, const struct node *node, struct text raw, int param)
{
	struct request *rq = s->rq;

	if (raw.length == 0 || param >= REQUEST_PARAMS_MAX)
		return false;
	if (node->kind == SEGMENT_UUID && !uuid_parse(raw, &rq->ids[param]))
		return false;
	if (memchr(raw.bytes, '%', raw.length) == NULL) {
		rq->params[param] = raw;
		return true;
	}

	char *decoded = arena_alloc(&rq->arena, raw.length);
	size_t length;

	if (!parser_decode(raw, false, decoded, &length))
		return false;
	rq->params[param] = text_span(decoded, length);
	return true;
}

static bool end_search(struct search *s, const struct node *node)
{
	if (!node->is_end)
		return false;
	s->is_known = true;
	for (int m = 0; m < METHOD_COUNT; m++)
		s->allowed[m] = s->allowed[m] || node->routes[m] != NULL;
	if (s->method == METHOD_COUNT)
		return false;
	s->found = node->routes[s->method];
	if (s->found == NULL && s->method == METHOD_HEAD)
		s->found = node->routes[METHOD_GET];
	return s->found != NULL;
}

static bool descend(struct search *s, const struct node *node, size_t depth, int param)
{
	if (depth == s->count)
		return end_search(s, node);
	for (const struct node *child = node->children; child != NULL; child = child->next) {
		struct text raw = s->raw[depth];
		bool is_param = child->kind != SEGMENT_FIXED;

		if (is_param ? !take_param(s, child, raw, param) : !text_equals(child->name, raw))
			continue;
		if (descend(s, child, depth + 1, param + is_param))
			return true;
	}
	return false;
}

static void run_search(const struct router *router, struct search *s)
{
	struct text path = s->rq->raw_path, segment;

	if (path.length == 0 || path.bytes[0] != '/')
		return;
	path = text_span(path.bytes + 1, path.length - 1);
	while (next_segment(&path, &segment)) {
		if (s->count == SEGMENTS_MAX)
			return;
		s->raw[s->count++] = segment;
	}
	(void)descend(s, &router->root, 0, 0);
}

static const char *format_allow(const struct search *s)
{
	char list[64] = "";
	size_t used = 0;

	for (int m = 0; m < METHOD_COUNT; m++) {
		bool is_allowed = s->allowed[m] || m == METHOD_OPTIONS || (m == METHOD_HEAD && s->allowed[METHOD_GET]);
		size_t length = strlen(method_names[m]);

		if (!is_allowed)
			continue;
		must(used + length + 2 < sizeof list);
		if (used > 0) {
			memcpy(list + used, ", ", 2);
			used += 2;
		}
		memcpy(list + used, method_names[m], length);
		used += length;
	}
	return arena_strndup(&s->rq->arena, list, used);
}

enum error router_find(const struct router *router, struct request *rq, const char **allow_out)
{
	struct search s = { .rq = rq, .method = rq->method };

	run_search(router, &s);
	if (s.found != NULL) {
		rq->route = s.found;
		return ERROR_NONE;
	}
	if (!s.is_known)
		return ERROR_NOT_FOUND;
	*allow_out = format_allow(&s);
	return ERROR_METHOD_NOT_ALLOWED;
}

const char *router_allow(const struct router *router, struct request *rq)
{
	struct search s = { .rq = rq, .method = METHOD_COUNT };

	run_search(router, &s);
	return s.is_known ? format_allow(&s) : NULL;
}
