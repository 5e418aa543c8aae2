/* http_router_test.c: from method and path to a row of the table. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "worker/http/router.h"

#define ID "01a1fe26-70fc-7cec-8518-b75d4f36921d"

static void handle(struct request *rq)
{
	(void)rq;
}

/* clang-format off */
static const struct route routes[] = {
	{ .method = METHOD_GET, .path = "/", .handle = handle },
	{ .method = METHOD_GET, .path = "/health", .handle = handle },
	{ .method = METHOD_GET, .path = "/health/ready", .handle = handle },
	{ .method = METHOD_GET, .path = "/api/rooms/{id}", .handle = handle },
	{ .method = METHOD_PATCH, .path = "/api/rooms/{id}", .handle = handle },
	{ .method = METHOD_DELETE, .path = "/api/rooms/{roomId}", .handle = handle },
	{ .method = METHOD_POST, .path = "/api/rooms/import", .handle = handle },
	{ .method = METHOD_GET, .path = "/api/rooms/{id}/tasks/{task_id}", .handle = handle },
	{ .method = METHOD_GET, .path = "/problems/{code}", .handle = handle },
	{ .method = METHOD_POST, .path = "/api/turns/{id}/tool-calls/{n}/approve", .handle = handle },
	{ .method = METHOD_GET, .path = "/socket.io/", .handle = handle },
	{ .method = METHOD_GET, .path = "/x/{a}/left", .handle = handle },
	{ .method = METHOD_GET, .path = "/x/fixed/right", .handle = handle },
};

static const struct {
	enum method method;
	const char *path;
	int route;         /* index, or the negative of a status */
	const char *param; /* first parameter, or Allow */
} cases[] = {
	{ METHOD_GET, "/", 0, NULL },
	{ METHOD_HEAD, "/", 0, NULL },
	{ METHOD_GET, "/health", 1, NULL },
	{ METHOD_GET, "/health/ready", 2, NULL },
	{ METHOD_GET, "/health/", -404, NULL },
	{ METHOD_GET, "//health", -404, NULL },
	{ METHOD_GET, "/Health", -404, NULL },
	{ METHOD_GET, "/healt", -404, NULL },
	{ METHOD_GET, "/api/rooms/" ID, 3, ID },
	{ METHOD_PATCH, "/api/rooms/" ID, 4, ID },
	{ METHOD_DELETE, "/api/rooms/" ID, 5, ID },
	{ METHOD_DELETE, "/api/rooms/01A1FE26-70FC-7CEC-8518-B75D4F36921D", 5, "01A1FE26-70FC-7CEC-8518-B75D4F36921D" },
	{ METHOD_GET, "/api/rooms/7", -404, NULL },
	{ METHOD_GET, "/api/rooms/", -404, NULL },
	{ METHOD_GET, "/api/rooms", -404, NULL },
	{ METHOD_POST, "/api/rooms/import", 6, NULL },
	{ METHOD_GET, "/api/rooms/import", -405, "POST, OPTIONS" },
	{ METHOD_POST, "/api/rooms/" ID, -405, "GET, HEAD, PATCH, DELETE, OPTIONS" },
	{ METHOD_GET, "/api/rooms/" ID "/tasks/" ID, 7, ID },
	{ METHOD_GET, "/api/rooms/" ID "/tasks/x", -404, NULL },
	{ METHOD_GET, "/problems/not_found", 8, "not_found" },
	{ METHOD_GET, "/problems/a%20%2F%C3%A4", 8, "a /\xc3\xa4" },
	{ METHOD_GET, "/problems/a/b", -404, NULL },
	{ METHOD_GET, "/problems/", -404, NULL },
	{ METHOD_POST, "/api/turns/" ID "/tool-calls/3/approve", 9, ID },
	{ METHOD_GET, "/socket.io/", 10, NULL },
	{ METHOD_GET, "/socket.io", -404, NULL },
	{ METHOD_GET, "/x/fixed/left", 11, "fixed" },
	{ METHOD_GET, "/x/fixed/right", 12, NULL },
	{ METHOD_GET, "/x/other/right", -404, NULL },
	{ METHOD_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", -404, NULL },
	{ METHOD_PUT, "/", -405, "GET, HEAD, OPTIONS" },
};
/* clang-format on */

Test(router, finds_the_row_or_says_why_not)
{
	struct router *router = router_create(routes, COUNT_OF(routes), ROUTER_OPERATOR);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct request rq = { .method = cases[i].method, .raw_path = text_of(cases[i].path) };
		const char *allow = NULL;
		enum error e = router_find(router, &rq, &allow);

		if (cases[i].route < 0) {
			cr_assert_eq(error_status(e), -cases[i].route, "%s", cases[i].path);
			if (cases[i].param != NULL)
				cr_assert_str_eq(allow, cases[i].param);
		} else {
			cr_assert_eq(e, ERROR_NONE, "%s", cases[i].path);
			cr_assert_eq(rq.route, &routes[cases[i].route], "%s", cases[i].path);
			if (cases[i].param != NULL)
				cr_assert(text_equals(rq.params[0], text_of(cases[i].param)), "%s", cases[i].path);
		}
		arena_fini(&rq.arena);
	}
	router_destroy(&router);
	cr_assert_null(router);
	router_destroy(&router);
}

Test(router, shows_to_each_what_is_for_them)
{
	static const struct route rows[] = {
		{ .method = METHOD_GET, .path = "/page", .handle = handle },
		{ .method = METHOD_GET, .path = "/probe", .handle = handle, .is_probe = true },
		{ .method = METHOD_GET, .path = "/both", .handle = handle, .is_on_admin = true },
		{ .method = METHOD_GET, .path = "/admin", .handle = handle, .auth = AUTH_ADMIN },
	};
	static const char *const seen[ROUTER_VIEWS] = {
		[ROUTER_PUBLIC] = "1110", [ROUTER_ADMIN] = "0111", [ROUTER_OPERATOR] = "1111"
	};

	for (int view = 0; view < ROUTER_VIEWS; view++) {
		struct router *router = router_create(rows, COUNT_OF(rows), (enum router_view)view);

		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			struct request rq = { .method = METHOD_GET, .raw_path = text_of(rows[i].path) };
			const char *allow = NULL;
			bool is_seen = seen[view][i] == '1';

			cr_expect_eq(router_find(router, &rq, &allow), is_seen ? ERROR_NONE : ERROR_NOT_FOUND, "%s",
				rows[i].path);
			/* What is not for them has no methods either. */
			rq.method = METHOD_POST;
			cr_expect_eq(router_find(router, &rq, &allow),
				is_seen ? ERROR_METHOD_NOT_ALLOWED : ERROR_NOT_FOUND, "%s", rows[i].path);
			arena_fini(&rq.arena);
		}
		router_destroy(&router);
	}
}

Test(router, parses_uuids_and_keeps_the_order_of_parameters)
{
	struct router *router = router_create(routes, COUNT_OF(routes), ROUTER_OPERATOR);
	struct request rq = { .raw_path = TEXT("/api/rooms/" ID "/tasks/01a1fe26-70fc-7cec-8518-000000000000") };
	const char *allow = NULL;
	struct uuid id;

	cr_assert_eq(router_find(router, &rq, &allow), ERROR_NONE);
	cr_assert(uuid_parse(TEXT(ID), &id) && uuid_equals(&id, &rq.ids[0]));
	cr_assert(text_equals(rq.params[1], TEXT("01a1fe26-70fc-7cec-8518-000000000000")));
	arena_fini(&rq.arena);
	router_destroy(&router);
}

Test(router, says_what_a_path_allows)
{
	struct router *router = router_create(routes, COUNT_OF(routes), ROUTER_OPERATOR);
	struct request rq = { .raw_path = TEXT("/api/rooms/" ID) };

	cr_assert_str_eq(router_allow(router, &rq), "GET, HEAD, PATCH, DELETE, OPTIONS");
	rq.raw_path = TEXT("/nothing");
	cr_assert_null(router_allow(router, &rq));
	arena_fini(&rq.arena);
	router_destroy(&router);
}

static const struct route same_path[] = { { .path = "/a/{x}", .handle = handle },
	{ .path = "/a/{y}", .handle = handle } };
static const struct route fixed_and_text[] = { { .path = "/a/b", .handle = handle },
	{ .path = "/a/{y}", .handle = handle } };
static const struct route uuid_and_text[] = { { .path = "/a/{id}", .handle = handle },
	{ .path = "/a/{y}", .handle = handle } };

Test(router, ends_the_program_for_the_same_path_twice, .signal = SIGABRT)
{
	(void)router_create(same_path, 2, ROUTER_OPERATOR);
}

Test(router, ends_the_program_when_text_covers_a_fixed_segment, .signal = SIGABRT)
{
	(void)router_create(fixed_and_text, 2, ROUTER_OPERATOR);
}

Test(router, ends_the_program_when_text_covers_a_uuid, .signal = SIGABRT)
{
	(void)router_create(uuid_and_text, 2, ROUTER_OPERATOR);
}

static const struct route fixed_and_uuid[] = { { .path = "/a/b", .handle = handle },
	{ .path = "/a/{id}", .handle = handle } };

Test(router, takes_a_fixed_segment_beside_a_uuid)
{
	struct router *router = router_create(fixed_and_uuid, 2, ROUTER_OPERATOR);

	router_destroy(&router);
}
