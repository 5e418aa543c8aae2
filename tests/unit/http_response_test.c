/* http_response_test.c: a whole server on loopback: what handlers answer and what clients get; framing, keep-alive, problems, ids, bodies. */
#include "config.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/json.h"
#include "tests/support/httpd.h"

#define HOST "Host: a\r\n"

static int context; /* its address shows that handlers get what the server was opened with */

static void hello(struct request *rq)
{
	cr_assert_eq(request_context(rq), &context);
	response_json(rq, 200, TEXT("{\"hello\":1}"));
}

static void echo(struct request *rq)
{
	response_send(rq, 201, "text/plain", rq->body);
}

static void nothing(struct request *rq)
{
	response_header(rq, "ETag", "\"7\"");
	response_send(rq, request_header(rq, "If-None-Match").bytes != NULL ? 304 : 204, NULL, TEXT_NONE);
}

static void broken(struct request *rq)
{
	response_problem(rq, ERROR_DATABASE_UNAVAILABLE, "Try \"again\"");
}

static void invalid(struct request *rq)
{
	struct field_problem problems[] = {
		{ .path = TEXT("title"), .code = "too_long", .message = TEXT("title must be 1 to 200 characters") },
		{ .path = TEXT("items[2].name"), .code = "unknown", .message = TEXT("nobody knows items[2].name") },
	};

	response_invalid(rq, problems, COUNT_OF(problems));
}

static void inspect(struct request *rq)
{
	struct text query = request_query(rq, "a b"), cookie = request_cookie(rq, "token");

	response_send(rq, 200, "text/plain",
		arena_printf(&rq->arena, "%.*s|%.*s|%s|%s|%s|%s|%.*s|%s|%d", TEXT_ARGS(query), TEXT_ARGS(cookie),
			rq->trace_id, rq->parent_span_id, rq->id, rq->client, TEXT_ARGS(rq->params[0]),
			request_prefers(rq, "text/event-stream") ? "stream" : "json", query.bytes != NULL));
}

static void mint(struct request *rq)
{
	rq->is_new_owner = true;
	rq->owner_token = TEXT("secret");
	response_json(rq, 200, TEXT("{}"));
}

/* clang-format off */
static const struct route routes[] = {
	{ .method = METHOD_GET, .path = "/hello", .handle = hello },
	{ .method = METHOD_POST, .path = "/echo", .body = BODY_JSON, .handle = echo },
	{ .method = METHOD_PUT, .path = "/echo", .body = BODY_OPTIONAL, .handle = echo },
	{ .method = METHOD_POST, .path = "/deaf", .handle = echo },
	{ .method = METHOD_GET, .path = "/nothing", .handle = nothing },
	{ .method = METHOD_GET, .path = "/broken", .handle = broken },
	{ .method = METHOD_GET, .path = "/invalid", .handle = invalid },
	{ .method = METHOD_GET, .path = "/inspect/{word}", .handle = inspect },
	{ .method = METHOD_GET, .path = "/mint", .handle = mint },
};
/* clang-format on */

static struct httpd h;
static struct answer a;

static void setup(void)
{
	httpd_open(&h, routes, COUNT_OF(routes), NULL, &context);
}

static void teardown(void)
{
	httpd_close(&h);
}

TestSuite(response, .init = setup, .fini = teardown);

Test(response, has_what_every_answer_has)
{
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200);
	cr_assert_str_eq(a.body, "{\"hello\":1}");
	cr_assert_str_eq(httpd_field(&a, "Content-Type"), "application/json");
	cr_assert_str_eq(httpd_field(&a, "Content-Length"), "11");
	cr_assert_str_eq(httpd_field(&a, "X-Content-Type-Options"), "nosniff");
	cr_assert_eq(strlen(httpd_field(&a, "X-Request-Id")), 36);
	cr_assert_eq(strlen(httpd_field(&a, "Date")), 29);
	cr_assert_str_eq(httpd_field(&a, "Connection"), "");
}

Test(response, leaves_the_body_out_for_head_204_and_304)
{
	httpd_ask(&h, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200);
	cr_assert_str_eq(httpd_field(&a, "Content-Length"), "11");
	cr_assert_eq(a.length, 0);
	httpd_ask(&h, "GET /nothing HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 204);
	cr_assert_str_eq(httpd_field(&a, "Content-Length"), "");
	httpd_ask(&h, "GET /nothing HTTP/1.1\r\n" HOST "If-None-Match: \"7\"\r\n\r\n", &a);
	cr_assert_eq(a.status, 304);
	cr_assert_str_eq(httpd_field(&a, "ETag"), "\"7\"");
}

Test(response, keeps_or_closes_the_connection_as_the_version_says)
{
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", &a);
	cr_assert(a.is_closed);
	httpd_ask(&h, "GET /hello HTTP/1.0\r\n\r\n", &a);
	cr_assert(a.is_closed);
	httpd_ask(&h, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &a);
	cr_assert_str_eq(httpd_field(&a, "Connection"), "keep-alive");
}

static const struct {
	const char *request;
	int status;
	bool is_closed;
	const char *code;
} refusals[] = {
	{ "GET / HTTP/1.1\nHost: a\n\n", 400, true, "malformed_request" },
	{ "GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400, true, "malformed_request" },
	{ "GET /../hello HTTP/1.1\r\n" HOST "\r\n", 400, true, "malformed_request" },
	{ "GET /none HTTP/1.1\r\n" HOST "\r\n", 404, false, "not_found" },
	{ "POST /none HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 404, false, "not_found" },
	{ "POST /none HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 404, false,
		"not_found" },
	{ "PUT /hello HTTP/1.1\r\n" HOST "\r\n", 405, false, "method_not_allowed" },
	{ "POST /echo HTTP/1.1\r\n" HOST "\r\n", 411, false, "length_required" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n", 413, true, "body_too_large" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 415, false, "unsupported_media_type" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, false,
		"unsupported_media_type" },
	{ "POST /echo HTTP/1.1\r\n" HOST
	  "Content-Type: application/json; charset=latin1\r\nContent-Length: 2\r\n\r\n{}",
		415, false, "unsupported_media_type" },
	{ "POST /echo HTTP/1.1\r\n" HOST
	  "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		415, false, "unsupported_media_type" },
	{ "PUT /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, false,
		"unsupported_media_type" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		400, true, "malformed_request" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true,
		"malformed_request" },
	{ "BREW /pot HTTP/1.1\r\n" HOST "\r\n", 501, true, "not_implemented" },
	{ "GET / HTTP/3.0\r\n" HOST "\r\n", 505, true, "http_version_not_supported" },
	{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: gold\r\n\r\n", 417, true, "expectation_failed" },
};

Test(response, refuses_with_the_right_status_and_goes_on_where_it_can)
{
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		httpd_ask(&h, refusals[i].request, &a);
		cr_assert_eq(a.status, refusals[i].status, "%s: %s", refusals[i].request, a.head);
		cr_assert_eq(a.is_closed, refusals[i].is_closed, "%s", refusals[i].request);
		cr_assert_not_null(strstr(a.body, refusals[i].code), "%s: %s", refusals[i].request, a.body);
		cr_assert_str_eq(httpd_field(&a, "X-Content-Type-Options"), "nosniff");
		cr_assert_eq(strlen(httpd_field(&a, "X-Request-Id")), 36);
	}
}

Test(response, names_the_methods_that_are_allowed)
{
	httpd_ask(&h, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_str_eq(httpd_field(&a, "Allow"), "POST, PUT, OPTIONS");
	httpd_ask(&h, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 204);
	cr_assert_str_eq(httpd_field(&a, "Allow"), "GET, HEAD, OPTIONS");
	httpd_ask(&h, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 204);
	httpd_ask(&h, "OPTIONS /none HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 404);
}

static const char *const options_with_bodies[][2] = {
	{ "OPTIONS /hello HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", "GET, HEAD, OPTIONS" },
	{ "OPTIONS /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
		"POST, PUT, OPTIONS" },
	{ "OPTIONS /hello HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"GET, HEAD, OPTIONS" },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
};

Test(response, answers_options_that_come_with_a_body)
{
	for (size_t i = 0; i < COUNT_OF(options_with_bodies); i++) {
		int fd = httpd_connect(&h);

		httpd_send(&h, fd, text_of(options_with_bodies[i][0]));
		httpd_read(&h, fd, false, &a);
		cr_expect_eq(a.status, 204, "%s: %s", options_with_bodies[i][0], a.head);
		cr_expect_str_eq(httpd_field(&a, "Allow"), options_with_bodies[i][1]);
		/* The body was read away: the next request begins behind it. */
		httpd_send(&h, fd, TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
		httpd_read(&h, fd, false, &a);
		cr_expect_eq(a.status, 200, "after %s", options_with_bodies[i][0]);
		(void)close(fd);
	}
	httpd_ask(&h, "OPTIONS /none HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", &a);
	cr_expect_eq(a.status, 404);
	httpd_ask(&h, "OPTIONS /hello HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", &a);
	cr_expect_eq(a.status, 204, "without asking for the body");
	cr_expect(a.is_closed);
}

Test(response, refuses_headers_beyond_the_limits)
{
	static char request[40000];
	size_t at = (size_t)snprintf(request, sizeof request, "GET /");

	memset(request + at, 'a', 9000);
	httpd_ask(&h, request, &a);
	cr_assert_eq(a.status, 414);
	cr_assert(a.is_closed);
	at = (size_t)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "X: ");
	memset(request + at, 'a', 33000);
	httpd_ask(&h, request, &a);
	cr_assert_eq(a.status, 431);
	at = (size_t)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 100; i++)
		at += (size_t)snprintf(request + at, sizeof request - at, "X: y\r\n");
	(void)snprintf(request + at, sizeof request - at, "\r\n");
	httpd_ask(&h, request, &a);
	cr_assert_eq(a.status, 431);
}

/* ---- bodies --------------------------------------------------------------------------------------------------------------- */

Test(response, gets_bodies_however_they_are_cut)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/json; charset=UTF-8\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\n[1\r\n3;x\r\n,2]\r\n0\r\nT: 1\r\n\r\n",
	};

	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		size_t length = strlen(requests[i]);
		int fd = httpd_connect(&h);

		for (size_t first = 1; first <= length; first++) {
			httpd_send(&h, fd, text_span(requests[i], first));
			httpd_send(&h, fd, text_span(requests[i] + first, length - first));
			httpd_read(&h, fd, false, &a);
			cr_assert_eq(a.status, 201, "cut at %zu: %s", first, a.body);
			cr_assert_str_eq(a.body, "[1,2]", "cut at %zu", first);
		}
		for (size_t at = 0; at < length; at++)
			httpd_send(&h, fd, text_span(requests[i] + at, 1));
		httpd_read(&h, fd, false, &a);
		cr_assert_str_eq(a.body, "[1,2]", "byte by byte");
		(void)close(fd);
	}
}

Test(response, takes_an_empty_body_where_it_is_optional)
{
	httpd_ask(&h, "PUT /echo HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 201);
	cr_assert_eq(a.length, 0);
}

Test(response, throws_a_body_away_that_the_route_does_not_want)
{
	int fd = httpd_connect(&h);

	for (int i = 0; i < 3; i++) {
		httpd_send(&h, fd, TEXT("POST /deaf HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\nwhoever"));
		httpd_read(&h, fd, false, &a);
		cr_assert_eq(a.status, 201);
		cr_assert_eq(a.length, 0);
	}
	(void)close(fd);
}

Test(response, refuses_a_chunked_body_that_grows_too_large)
{
	static char chunk[0x4000 + 8];
	int fd = httpd_connect(&h);

	h.limits.http_body_bytes = 0x10000;
	httpd_send(&h, fd,
		TEXT("POST /echo HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"));
	memcpy(chunk, "4000\r\n", 6);
	memset(chunk + 6, ' ', 0x4000);
	memcpy(chunk + 6 + 0x4000, "\r\n", 2);
	for (int i = 0; i < 5; i++)
		httpd_send(&h, fd, text_span(chunk, sizeof chunk));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 413);
	(void)shutdown(fd, SHUT_WR);
	cr_assert(httpd_is_closed(&h, fd));
	(void)close(fd);
}

Test(response, says_100_only_when_the_body_is_wanted)
{
	int fd = httpd_connect(&h);

	for (int i = 0; i < 2; i++) {
		httpd_send(&h, fd,
			TEXT("POST /echo HTTP/1.1\r\n" HOST
			     "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
		httpd_read(&h, fd, false, &a);
		cr_assert_eq(a.status, 100);
		cr_assert_str_eq(a.head, "HTTP/1.1 100 Continue\r\n\r\n");
		httpd_send(&h, fd, TEXT("{}"));
		httpd_read(&h, fd, false, &a);
		cr_assert_eq(a.status, 201);
	}
	(void)close(fd);
	httpd_ask(&h, "POST /none HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", &a);
	cr_assert_eq(a.status, 404);
	cr_assert(a.is_closed);
	httpd_ask(&h, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", &a);
	cr_assert_eq(a.status, 415);
	httpd_ask(&h, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n", &a);
	cr_assert_eq(a.status, 413);
}

/* ---- problems ------------------------------------------------------------------------------------------------------------- */

static const char problem[] =
	"{\"success\":false,\"error\":\"Try \\\"again\\\"\",\"code\":\"database_unavailable\","
	"\"type\":\"/problems/database_unavailable\",\"title\":\"The database cannot be reached\",\"status\":503,"
	"\"detail\":\"Try \\\"again\\\"\",\"instance\":\"/broken\",\"requestId\":\"my-id\",\"errors\":[]}";

Test(response, writes_a_problem_in_its_one_shape)
{
	httpd_ask(&h, "GET /broken HTTP/1.1\r\n" HOST "X-Request-Id: my-id\r\n\r\n", &a);
	cr_assert_eq(a.status, 503);
	cr_assert_str_eq(a.body, problem);
	cr_assert_str_eq(httpd_field(&a, "Retry-After"), "1");
	cr_assert_str_eq(httpd_field(&a, "Content-Type"), "application/problem+json");
	httpd_ask(&h, "GET /broken HTTP/1.1\r\n" HOST "Accept: application/json\r\n\r\n", &a);
	cr_assert_str_eq(httpd_field(&a, "Content-Type"), "application/json");
	httpd_ask(&h, "GET /broken HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n", &a);
	cr_assert_str_eq(httpd_field(&a, "Content-Type"), "application/problem+json");
}

Test(response, lists_invalid_members_and_leads_with_the_first)
{
	struct json_value *root;
	const char *why;
	struct arena arena = { 0 };

	httpd_ask(&h, "GET /invalid HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 400);
	cr_assert_eq(json_parse(&arena, text_of(a.body), &root, &why), ERROR_NONE);
	cr_assert(text_equals(json_find_string(root, "error"), TEXT("title must be 1 to 200 characters")));
	cr_assert(text_equals(json_find_string(root, "detail"), TEXT("title must be 1 to 200 characters")));
	cr_assert_eq(json_find(root, "errors")->count, 2);
	cr_assert(text_equals(json_find_string(json_find(root, "errors")->first->next, "path"), TEXT("items[2].name")));
	arena_fini(&arena);
}

/* ---- what handlers see ---------------------------------------------------------------------------------------------------- */

Test(request, shows_query_cookie_trace_id_and_preference)
{
	setup();
	httpd_ask(&h,
		"GET /inspect/w%C3%A4?x=1&a+b=%C3%A4+%26&a+b=2 HTTP/1.1\r\n" HOST
		"Cookie: a=b; token=\"t1\"; token=t2\r\nX-Request-Id: r-1\r\nAccept: text/event-stream, "
		"application/json;q=0.9\r\n"
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
		&a);
	cr_assert_str_eq(a.body,
		"\xc3\xa4 &|t1|4bf92f3577b34da6a3ce929d0e0e4736|00f067aa0ba902b7|r-1|127.0.0.1|w\xc3\xa4|stream|1");
	cr_assert_str_eq(httpd_field(&a, "X-Request-Id"), "r-1");
	teardown();
}

#define TEN "0123456789"

static const char *const unsafe_ids[] = { "a b", "a\"b", "a,b", "<x>", "", "\xc3\xa4",
	(TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN) };

Test(request, replaces_an_unsafe_request_id)
{
	setup();
	for (size_t i = 0; i < COUNT_OF(unsafe_ids); i++) {
		char request[512];

		(void)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: %s\r\n\r\n",
			unsafe_ids[i]);
		httpd_ask(&h, request, &a);
		cr_assert_eq(strlen(httpd_field(&a, "X-Request-Id")), 36, "%s", unsafe_ids[i]);
		cr_assert_str_neq(httpd_field(&a, "X-Request-Id"), unsafe_ids[i]);
	}
	teardown();
}

static const char *const bad_traces[] = {
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
	"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
	"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
	"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
	"",
};

Test(request, makes_its_own_trace_when_there_is_none_or_a_bad_one)
{
	setup();
	for (size_t i = 0; i < COUNT_OF(bad_traces); i++) {
		char request[512];

		(void)snprintf(request, sizeof request, "GET /inspect/x HTTP/1.1\r\n" HOST "traceparent: %s\r\n\r\n",
			bad_traces[i]);
		httpd_ask(&h, request, &a);
		cr_assert_eq(strncmp(a.body, "||", 2), 0);
		cr_assert_eq(strspn(a.body + 2, "0123456789abcdef"), 32, "%s", a.body);
		cr_assert_eq(strncmp(a.body + 34, "||", 2), 0, "no parent: %s", a.body);
		cr_assert(strncmp(a.body + 2, "4bf92f", 6) != 0);
	}
	teardown();
}

static const struct {
	const char *accept;
	const char *wanted;
} accepts[] = {
	{ "text/event-stream", "stream" },
	{ "application/json", "json" },
	{ "*/*", "json" },
	{ "", "json" },
	{ "application/json, text/event-stream", "json" },
	{ "text/event-stream, */*", "stream" },
	{ "text/*, application/json;q=0.5", "stream" },
	{ "text/event-stream;q=0.5, application/json;q=0.8", "json" },
	{ "text/event-stream;q=0", "json" },
	{ "text/html, application/xhtml+xml", "json" },
};

Test(request, knows_whether_a_stream_is_preferred)
{
	setup();
	for (size_t i = 0; i < COUNT_OF(accepts); i++) {
		char request[256];

		(void)snprintf(request, sizeof request, "GET /inspect/x HTTP/1.1\r\n" HOST "Accept: %s\r\n\r\n",
			accepts[i].accept);
		httpd_ask(&h, request, &a);
		cr_assert_not_null(strstr(a.body, accepts[i].wanted), "%s: %s", accepts[i].accept, a.body);
	}
	teardown();
}

Test(response, shows_the_token_of_a_new_owner)
{
	httpd_ask(&h, "GET /mint HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_str_eq(httpd_field(&a, "X-Owner-Token"), "secret");
}

Test(response, is_counted)
{
	const struct scoreboard_slot *slot = &h.board->slots[0];

	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	httpd_ask(&h, "GET /none HTTP/1.1\r\n" HOST "\r\n", &a);
	httpd_ask(&h, "GET /broken HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(SCOREBOARD_GET(slot->counters.requests), 3);
	cr_assert_eq(SCOREBOARD_GET(slot->counters.requests_2xx), 1);
	cr_assert_eq(SCOREBOARD_GET(slot->counters.requests_4xx), 1);
	cr_assert_eq(SCOREBOARD_GET(slot->counters.requests_5xx), 1);
	cr_assert_eq(SCOREBOARD_GET(slot->counters.connections_accepted), 3);
	cr_assert_gt(SCOREBOARD_GET(slot->counters.bytes_in), 90);
	cr_assert_gt(SCOREBOARD_GET(slot->counters.bytes_out), 400);
}
