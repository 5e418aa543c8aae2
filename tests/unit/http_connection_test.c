/* http_connection_test.c: what a server does when clients are slow, silent, gone, too many, or ask ahead; streams; draining; balance. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "tests/support/httpd.h"
#include "worker/http/internal.h"
#include "worker/http/sse.h"

#define HOST       "Host: a\r\n"
#define BIG_BYTES  (24 * 1024 * 1024) /* more than loopback sockets hold */
#define PENDED_MAX 4

static struct request *pended[PENDED_MAX]; /* requests that the test answers itself */
static int pended_count;
static authenticated_fn *authenticated; /* of the request that waits for its owner */
static struct request *unauthenticated;
static struct {
	struct request *rq;
	struct sse *sse;
	int writables, gones;
} stream;
static int handled;

static void hello(struct request *rq)
{
	handled++;
	response_json(rq, 200, TEXT("{}"));
}

static void pend(struct request *rq)
{
	cr_assert(pended_count < PENDED_MAX);
	pended[pended_count++] = rq;
}

static void big(struct request *rq)
{
	char *body = calloc(1, BIG_BYTES);

	response_send(rq, 200, "application/octet-stream", text_span(body, BIG_BYTES));
	free(body);
}

static void on_writable(void *arg)
{
	(void)arg;
	stream.writables++;
}

static void on_gone(void *arg)
{
	(void)arg;
	stream.gones++;
}

static void start_stream(struct request *rq)
{
	struct stream_events events = { .on_writable = on_writable, .on_gone = on_gone };

	stream.rq = rq;
	response_stream_start(rq, 200, "text/plain", &events);
}

static void start_sse(struct request *rq)
{
	struct stream_events events = { .on_writable = on_writable, .on_gone = on_gone };

	stream.rq = rq;
	stream.sse = sse_start(rq, true, &events);
	sse_retry(stream.sse, 1500);
	sse_event(stream.sse, TEXT("t.1"), TEXT("{\"type\":\"start\"}"));
	sse_event(stream.sse, TEXT_NONE, TEXT("[DONE]"));
}

static bool turn_away(struct request *rq)
{
	response_problem_retry(rq, ERROR_OVERLOADED, NULL, 7);
	return false;
}

/* clang-format off */
static const struct route routes[] = {
	{ .method = METHOD_GET, .path = "/hello", .handle = hello },
	{ .method = METHOD_GET, .path = "/pend", .handle = pend },
	{ .method = METHOD_POST, .path = "/pend", .handle = pend },
	{ .method = METHOD_GET, .path = "/big", .handle = big },
	{ .method = METHOD_GET, .path = "/stream", .handle = start_stream },
	{ .method = METHOD_GET, .path = "/sse", .handle = start_sse },
	{ .method = METHOD_GET, .path = "/owned", .auth = AUTH_OWNER, .handle = hello },
	{ .method = METHOD_POST, .path = "/owned", .auth = AUTH_OWNER, .body = BODY_JSON, .handle = hello },
	{ .method = METHOD_POST, .path = "/full", .auth = AUTH_MINT, .body = BODY_JSON, .handle = hello, .admit = turn_away },
};
/* clang-format on */

/* "Bearer good" at once, "Bearer later" when the test says, everything else refused. */
static void authenticate(struct request *rq, authenticated_fn *done)
{
	struct text token = request_header(rq, "Authorization");

	if (text_equals(token, TEXT("Bearer later"))) {
		unauthenticated = rq;
		authenticated = done;
	} else if (text_equals(token, TEXT("Bearer good"))) {
		rq->has_owner = true;
		done(rq, ERROR_NONE, NULL);
	} else {
		done(rq, ERROR_INVALID_CREDENTIALS, "No such token");
	}
}

static struct httpd h;
static struct answer a;

static void setup(void)
{
	httpd_open(&h, routes, COUNT_OF(routes), authenticate, NULL);
}

static void teardown(void)
{
	httpd_close(&h);
}

TestSuite(connection, .init = setup, .fini = teardown);

static bool is_pended(void *arg)
{
	return pended_count >= *(int *)arg;
}

static void wait_pended(int count)
{
	cr_assert(httpd_wait(&h, is_pended, &count));
}

static bool is_left(void *arg)
{
	return SCOREBOARD_GET(h.board->slots[0].connections) == *(unsigned *)arg;
}

static bool is_accepted(void *arg)
{
	(void)arg;
	return SCOREBOARD_GET(h.board->slots[0].counters.connections_accepted) > 0;
}

static void wait_connections(unsigned count)
{
	cr_assert(httpd_wait(&h, is_left, &count), "%u connections", SCOREBOARD_GET(h.board->slots[0].connections));
}

static int ask(const char *request)
{
	int fd = httpd_connect(&h);

	httpd_send(&h, fd, text_of(request));
	return fd;
}

static bool is_streaming(void *arg)
{
	(void)arg;
	return SCOREBOARD_GET(h.board->slots[0].streams) > 0;
}

static void wait_stream(void)
{
	cr_assert(httpd_wait(&h, is_streaming, NULL));
}

/* ---- asking ahead --------------------------------------------------------------------------------------------------------- */

Test(connection, answers_pipelined_requests_in_order)
{
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: r1\r\n\r\n"
		     "POST /pend HTTP/1.1\r\n" HOST "X-Request-Id: r2\r\nContent-Length: 2\r\n\r\nab"
		     "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: r3\r\n\r\n"
		     "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\nX-Request-Id: r4\r\n\r\n"
		     "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: r5\r\n\r\n");

	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "X-Request-Id"), "r1");
	wait_pended(1);
	cr_assert_eq(handled, 1, "the next one waits for the answer of this one");
	response_json(pended[0], 200, TEXT("{\"n\":2}"));
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "X-Request-Id"), "r2");
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "X-Request-Id"), "r3");
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "X-Request-Id"), "r4");
	cr_assert(a.is_closed, "and nothing after a close");
	(void)close(fd);
}

Test(connection, answers_thousands_of_pipelined_requests)
{
	enum { COUNT = 3000 };
	static const char request[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
	char *many = malloc(COUNT * sizeof request);
	int fd = httpd_connect(&h);

	for (int i = 0; i < COUNT; i++)
		memcpy(many + (size_t)i * (sizeof request - 1), request, sizeof request - 1);
	httpd_send(&h, fd, text_span(many, COUNT * (sizeof request - 1)));
	for (int i = 0; i < COUNT; i++) {
		httpd_read(&h, fd, false, &a);
		cr_assert_eq(a.status, 200, "answer %d", i);
	}
	free(many);
	(void)close(fd);
}

Test(connection, holds_only_so_much_of_a_client_that_asks_ahead)
{
	static char flood[1 << 20];
	int fd = ask("GET /pend HTTP/1.1\r\n" HOST "\r\n");
	size_t sent = 0;

	wait_pended(1);
	memset(flood, 'x', sizeof flood);
	for (int quiet = 0; quiet < 50 && sent < 64 * sizeof flood;) {
		ssize_t step = send(fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL);

		httpd_turn(&h);
		sent += step > 0 ? (size_t)step : 0;
		quiet = step > 0 ? 0 : quiet + 1;
	}
	cr_assert_lt(sent, 32 * sizeof flood, "the kernel's buffers fill, ours do not");
	response_json(pended[0], 200, TEXT("{}"));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fd);
	wait_connections(0);
}

Test(connection, takes_a_header_larger_than_one_read_where_options_allow_it)
{
	enum { LENGTH = 150000 };
	static char field[LENGTH];
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "X: ");

	h.limits.http_headers_bytes = 200000;
	memset(field, 'x', sizeof field);
	httpd_send(&h, fd, text_span(field, sizeof field));
	httpd_send(&h, fd, TEXT("\r\n\r\n"));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fd);
}

/* ---- clients that go ------------------------------------------------------------------------------------------------------ */

Test(connection, answers_a_client_that_has_shut_its_side)
{
	int fd = ask("GET /pend HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");

	(void)shutdown(fd, SHUT_WR);
	wait_pended(1);
	for (int i = 0; i < 20; i++)
		httpd_turn(&h);
	response_json(pended[0], 200, TEXT("{}"));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200, "also what it asked ahead");
	cr_assert(httpd_is_closed(&h, fd));
	(void)close(fd);
	wait_connections(0);
}

Test(connection, lets_a_handler_answer_although_the_client_is_gone)
{
	int fd = ask("GET /pend HTTP/1.1\r\n" HOST "\r\n");
	struct linger reset = { .l_onoff = 1 };

	wait_pended(1);
	cr_assert(response_is_open(pended[0]));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	(void)close(fd);
	wait_connections(0);
	cr_assert_not(response_is_open(pended[0]));
	response_header(pended[0], "X", "y");
	response_json(pended[0], 200, TEXT("{}"));
	httpd_turn(&h);
}

Test(connection, survives_a_client_gone_at_every_byte)
{
	static const char request[] =
		"POST /owned HTTP/1.1\r\n" HOST
		"Authorization: Bearer good\r\nContent-Type: application/json\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";

	for (size_t length = 0; length < sizeof request; length++) {
		for (int is_reset = 0; is_reset < 2; is_reset++) {
			int fd = httpd_connect(&h);
			struct linger reset = { .l_onoff = is_reset };

			httpd_send(&h, fd, text_span(request, length));
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
			(void)close(fd);
		}
	}
	wait_connections(0);
	cr_assert_geq(handled, 1);
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200);
}

static const char *const last_words[] = {
	"GET /hello HTTP/1.1\r\n" HOST "\r\n",
	"GET /hello HTTP/1.1\r\n\r\n",
	"POST /pend HTTP/1.1\r\n" HOST "Content-Length: 9999999\r\n\r\n",
	"POST /pend HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz",
	"POST /none HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\na",
	"POST /owned HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n"
	"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
	"POST /owned HTTP/1.1\r\n" HOST
	"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\nGET /stream HTTP/1.1\r\n" HOST "\r\n",
};

/* Everything is there to be read, and nothing can be sent any more. */
Test(connection, survives_a_client_that_resets_before_it_is_answered)
{
	for (size_t i = 0; i < COUNT_OF(last_words); i++) {
		int fd = httpd_connect(&h);
		struct linger reset = { .l_onoff = 1 };

		cr_assert_gt(send(fd, last_words[i], strlen(last_words[i]), MSG_NOSIGNAL), 0);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		(void)close(fd);
		for (int turn = 0; turn < 5; turn++)
			httpd_turn(&h);
		wait_connections(0);
	}
	if (stream.rq != NULL)
		response_stream_end(stream.rq);
	httpd_turn(&h);
}

Test(connection, tells_a_writer_when_all_it_wrote_is_taken)
{
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");

	wait_stream();
	stream.writables = 0;
	response_stream_write(stream.rq, TEXT("hello"));
	cr_assert_gt(response_stream_pending(stream.rq), 0);
	cr_assert_eq(stream.writables, 0, "never from inside a write");
	httpd_turn(&h);
	cr_assert_eq(stream.writables, 1);
	cr_assert_eq(response_stream_pending(stream.rq), 0);
	response_stream_end(stream.rq);
	(void)close(fd);
}

Test(connection, tells_a_stream_once_that_its_reader_is_gone)
{
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");
	struct linger reset = { .l_onoff = 1 };

	wait_stream();
	cr_assert_eq(SCOREBOARD_GET(h.board->slots[0].streams), 1);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	(void)close(fd);
	wait_connections(0);
	cr_assert_eq(stream.gones, 1);
	cr_assert_not(response_is_open(stream.rq));
	response_stream_write(stream.rq, TEXT("nobody reads this"));
	cr_assert_eq(response_stream_pending(stream.rq), 0);
	response_stream_end(stream.rq);
	httpd_turn(&h);
	cr_assert_eq(stream.gones, 1);
	cr_assert_eq(SCOREBOARD_GET(h.board->slots[0].streams), 0);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------------------ */

Test(connection, ends_slow_headers_with_408)
{
	h.limits.http_header_timeout_ms = 100;

	int fd = ask("GET /hello HTT");

	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 408);
	cr_assert(a.is_closed);
	(void)close(fd);
}

Test(connection, does_not_extend_the_deadline_of_a_header_for_each_byte)
{
	static const char request[] = "GET /hello HTTP/1.1\r\n" HOST "X: ";
	int64_t start_ms = clock_monotonic_ms();
	int fd = httpd_connect(&h);
	char byte;

	h.limits.http_header_timeout_ms = 150;
	for (size_t i = 0; recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0; i++) {
		struct timeval pause = { .tv_usec = 10000 };

		httpd_send(&h, fd, i < sizeof request - 1 ? text_span(request + i, 1) : TEXT("x"));
		(void)event_base_loopexit(h.base, &pause);
		(void)event_base_dispatch(h.base);
		cr_assert_lt(clock_monotonic_ms() - start_ms, 30000, "the header is still waited for");
	}
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 408);
	(void)close(fd);
}

Test(connection, ends_slow_bodies_with_408)
{
	h.limits.http_body_timeout_ms = 100;

	int fd = ask("POST /pend HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n12345");

	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 408);
	cr_assert(a.is_closed);
	(void)close(fd);
	cr_assert_eq(pended_count, 0);
}

/* Turns the loop for a while. */
static void pause_loop(int ms)
{
	struct timeval pause = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)event_base_loopexit(h.base, &pause);
	(void)event_base_dispatch(h.base);
}

static bool has_answer(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
}

/* One byte goes out to it every 20 ms, fast enough for any rate that is asked for; but all of it must come in time. */
Test(connection, ends_a_body_that_takes_too_long_as_a_whole_whatever_its_rate)
{
	h.limits.http_body_timeout_ms = 300;
	h.limits.http_body_rate_min = 0;

	int64_t start_ms = clock_monotonic_ms();
	int fd = ask("POST /pend HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");

	while (!has_answer(fd)) {
		httpd_send(&h, fd, TEXT("x"));
		pause_loop(20);
		cr_assert_lt(clock_monotonic_ms() - start_ms, 30000, "the body is still waited for");
	}
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 408);
	cr_assert_geq(clock_monotonic_ms() - start_ms, 280);
	(void)close(fd);
	cr_assert_eq(pended_count, 0);
}

/* Both have ten minutes. The one that crawls loses its connection soon after the grace of 5 s, the other keeps its own. */
Test(connection, ends_a_body_that_crawls_long_before_its_deadline)
{
	static char much[256];
	int64_t start_ms = clock_monotonic_ms();
	int slow, steady;

	h.limits.http_body_timeout_ms = 600000;
	h.limits.http_body_rate_min = 512;
	slow = ask("POST /pend HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
	steady = ask("POST /pend HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
	memset(much, 'x', sizeof much);
	/* More than it needs for a minute on a machine that stalls. */
	for (int i = 0; i < 128; i++)
		httpd_send(&h, steady, text_span(much, sizeof much));
	while (!has_answer(slow)) {
		httpd_send(&h, slow, TEXT("x"));
		httpd_send(&h, steady, text_span(much, sizeof much));
		pause_loop(100);
		cr_assert_lt(clock_monotonic_ms() - start_ms, 60000, "the crawling body is still waited for");
	}
	httpd_read(&h, slow, false, &a);
	cr_assert_eq(a.status, 408);
	cr_assert(a.is_closed);
	cr_assert_geq(clock_monotonic_ms() - start_ms, 5000, "it has a grace");
	cr_assert(!has_answer(steady));
	(void)close(slow);
	(void)close(steady);
	cr_assert_eq(pended_count, 0);
}

Test(connection, closes_an_idle_connection_without_a_word)
{
	h.limits.http_idle_timeout_ms = 100;

	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert(httpd_is_closed(&h, fd));
	(void)close(fd);
}

/* What the client still gets once the server is through with it. */
static size_t read_to_end(int fd)
{
	static char piece[100000];
	size_t got = 0;

	for (ssize_t step = 1; step > 0; got += step > 0 ? (size_t)step : 0)
		step = recv(fd, piece, sizeof piece, 0);
	return got;
}

Test(connection, cuts_a_client_that_takes_nothing)
{
	h.limits.http_write_timeout_ms = 100;

	int fd = ask("GET /big HTTP/1.1\r\n" HOST "\r\n");

	cr_assert(httpd_wait(&h, is_accepted, NULL));
	wait_connections(0);
	cr_assert_lt(read_to_end(fd), BIG_BYTES);
	(void)close(fd);
}

Test(connection, gives_a_large_answer_whole_to_a_slow_reader)
{
	static char piece[100000];
	int fd = ask("GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	size_t got = 0;

	for (;;) {
		ssize_t step = recv(fd, piece, sizeof piece, MSG_DONTWAIT);

		if (step == 0)
			break;
		cr_assert(step > 0 || errno == EAGAIN);
		got += step > 0 ? (size_t)step : 0;
		httpd_turn(&h);
	}
	cr_assert_gt(got, BIG_BYTES);
	(void)close(fd);
}

static bool is_nobody_idle(void *arg)
{
	(void)arg;
	return SCOREBOARD_GET(h.board->slots[0].connections_idle) == 0;
}

Test(connection, serves_others_while_many_are_slow)
{
	enum { SLOW = 200 };
	int slow[SLOW];

	for (int i = 0; i < SLOW; i++) {
		slow[i] = httpd_connect(&h);
		httpd_send(&h, slow[i], TEXT("GET /hello HTTP/1.1\r\nX: "));
	}
	wait_connections(SLOW);
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200);
	cr_assert(httpd_wait(&h, is_nobody_idle, NULL));
	for (int i = 0; i < SLOW; i++)
		(void)close(slow[i]);
	wait_connections(0);
}

/* ---- streams -------------------------------------------------------------------------------------------------------------- */

Test(connection, writes_streams_chunked_and_goes_on_afterwards)
{
	static const char wanted[] = "5\r\nhello\r\n15\r\n stream, how are you?\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n";
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");

	wait_stream();
	response_stream_write(stream.rq, TEXT("hello"));
	response_stream_write(stream.rq, TEXT(""));
	response_stream_write(stream.rq, TEXT(" stream, how are you?"));
	httpd_turn(&h);
	cr_assert_eq(response_stream_pending(stream.rq), 0);
	response_stream_end(stream.rq);
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "Transfer-Encoding"), "chunked");
	cr_assert_eq(strncmp(a.body, wanted, strlen(wanted)), 0, "%s", a.body);
	(void)close(fd);
}

Test(connection, ends_a_stream_for_1_0_by_closing)
{
	int fd = ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

	wait_stream();
	response_stream_write(stream.rq, TEXT("hello"));
	response_stream_end(stream.rq);
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "Connection"), "close");
	cr_assert_str_eq(a.body, "hello");
	(void)close(fd);
}

static bool is_writable(void *arg)
{
	char piece[65536];

	(void)recv(*(int *)arg, piece, sizeof piece, MSG_DONTWAIT);
	return stream.writables > 0;
}

Test(connection, holds_a_stream_back_while_its_reader_is_slow)
{
	static char piece[65536];
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");

	wait_stream();
	while (response_stream_pending(stream.rq) == 0) {
		response_stream_write(stream.rq, text_span(piece, sizeof piece));
		httpd_turn(&h);
	}
	stream.writables = 0;
	httpd_turn(&h);
	cr_assert_eq(stream.writables, 0);
	cr_assert(httpd_wait(&h, is_writable, &fd));
	cr_assert_eq(response_stream_pending(stream.rq), 0);
	cr_assert_eq(stream.gones, 0);
	response_stream_end(stream.rq);
	(void)close(fd);
}

Test(connection, cuts_a_stream_that_ignores_its_slow_reader)
{
	static char piece[1 << 20];
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");

	wait_stream();
	for (int i = 0; i < 64 && stream.gones == 0; i++) {
		response_stream_write(stream.rq, text_span(piece, sizeof piece));
		httpd_turn(&h);
	}
	cr_assert_eq(stream.gones, 1);
	response_stream_end(stream.rq);
	(void)close(fd);
}

static bool is_pinged(void *arg)
{
	char piece[4096];
	ssize_t got = recv(*(int *)arg, piece, sizeof piece, MSG_DONTWAIT | MSG_PEEK);

	return got > 0 && memmem(piece, (size_t)got, ": ping\n\n", 8) != NULL;
}

Test(connection, writes_events_and_comments_while_silent)
{
	h.limits.http_sse_ping_ms = 100;

	int fd = ask("GET /sse HTTP/1.1\r\n" HOST "\r\n");

	cr_assert(httpd_wait(&h, is_pinged, &fd));
	sse_end(&stream.sse);
	cr_assert_null(stream.sse);
	(void)shutdown(fd, SHUT_WR);
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(httpd_field(&a, "Content-Type"), "text/event-stream");
	cr_assert_str_eq(httpd_field(&a, "Cache-Control"), "no-cache, no-transform");
	cr_assert_str_eq(httpd_field(&a, "X-Accel-Buffering"), "no");
	cr_assert_str_eq(httpd_field(&a, "x-vercel-ai-ui-message-stream"), "v1");
	cr_assert_not_null(strstr(a.body, "retry: 1500\n\n"));
	cr_assert_not_null(strstr(a.body, "id: t.1\ndata: {\"type\":\"start\"}\n\n"));
	cr_assert_not_null(strstr(a.body, "\r\ndata: [DONE]\n\n"));
	(void)close(fd);
}

Test(connection, sends_only_the_header_of_a_stream_for_head)
{
	int fd = ask("HEAD /sse HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");

	wait_stream();
	sse_end(&stream.sse);
	httpd_read(&h, fd, true, &a);
	cr_assert_eq(a.status, 200);
	httpd_read(&h, fd, false, &a);
	cr_assert_str_eq(a.body, "{}");
	(void)close(fd);
}

/* ---- who asks ------------------------------------------------------------------------------------------------------------- */

static bool is_waiting(void *arg)
{
	(void)arg;
	return unauthenticated != NULL;
}

Test(connection, asks_the_authenticator_before_the_handler)
{
	httpd_ask(&h, "GET /owned HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 401);
	cr_assert_not_null(strstr(a.body, "No such token"));
	httpd_ask(&h, "GET /owned HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n\r\n", &a);
	cr_assert_eq(a.status, 200);

	int fd = ask("GET /owned HTTP/1.1\r\n" HOST "Authorization: Bearer later\r\n\r\n");

	cr_assert(httpd_wait(&h, is_waiting, NULL));
	cr_assert_eq(handled, 1);
	authenticated(unauthenticated, ERROR_NONE, NULL);
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fd);
}

Test(connection, turns_away_before_anybody_is_authenticated_and_goes_on)
{
	int fd = ask("POST /full HTTP/1.1\r\n" HOST "Authorization: Bearer later\r\nContent-Type: application/json\r\n"
		     "Content-Length: 2\r\n\r\n{}GET /hello HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 503);
	cr_assert_str_eq(httpd_field(&a, "Retry-After"), "7");
	cr_assert_null(unauthenticated);
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert_eq(handled, 1, "that was the next request");
	(void)close(fd);
}

#define EXPECTING "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

Test(connection, asks_for_a_body_only_from_those_who_may_send_it)
{
	httpd_ask(&h, "POST /owned HTTP/1.1\r\n" HOST EXPECTING, &a);
	cr_assert_eq(a.status, 401);
	cr_assert(a.is_closed);

	int fd = ask("POST /owned HTTP/1.1\r\n" HOST "Authorization: Bearer later\r\n" EXPECTING);

	cr_assert(httpd_wait(&h, is_waiting, NULL));
	authenticated(unauthenticated, ERROR_NONE, NULL);
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 100);
	cr_assert_eq(handled, 0);
	httpd_send(&h, fd, TEXT("{}"));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fd);
}

Test(connection, forgets_a_request_whose_client_left_before_its_body)
{
	int fd = ask("POST /owned HTTP/1.1\r\n" HOST "Authorization: Bearer later\r\n" EXPECTING);
	struct linger reset = { .l_onoff = 1 };

	cr_assert(httpd_wait(&h, is_waiting, NULL));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	(void)close(fd);
	wait_connections(0);
	authenticated(unauthenticated, ERROR_NONE, NULL);
	httpd_turn(&h);
	cr_assert_eq(handled, 0);
}

/* ---- the end -------------------------------------------------------------------------------------------------------------- */

static int drained;

static void on_drained(void *arg)
{
	(void)arg;
	drained++;
}

static bool is_drained(void *arg)
{
	(void)arg;
	return drained > 0;
}

Test(connection, is_drained_without_losing_a_request)
{
	int idle = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n"), fresh = httpd_connect(&h);
	int busy = ask("GET /pend HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, idle, false, &a);
	wait_pended(1);
	wait_connections(3);

	int queued = httpd_connect(&h);

	http_stop_accepting(h.server, true);
	http_drain(h.server, true, on_drained, NULL);
	cr_assert(httpd_is_closed(&h, idle));
	cr_assert_eq(drained, 0);
	httpd_send(&h, fresh, TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
	httpd_read(&h, fresh, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert(a.is_closed);
	httpd_send(&h, queued, TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
	httpd_read(&h, queued, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert_eq(drained, 0);
	response_json(pended[0], 200, TEXT("{}"));
	httpd_read(&h, busy, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert(a.is_closed);
	cr_assert(httpd_wait(&h, is_drained, NULL));
	for (int i = 0; i < 10; i++)
		httpd_turn(&h);
	cr_assert_eq(drained, 1);
	(void)close(idle);
	(void)close(fresh);
	(void)close(queued);
	(void)close(busy);
}

Test(connection, answers_what_has_already_arrived_when_a_stop_begins)
{
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, fd, false, &a);
	cr_assert_eq(send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 32, 0), 32);
	http_drain(h.server, true, on_drained, NULL);
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert(a.is_closed);
	(void)close(fd);
}

Test(connection, stays_when_idle_during_a_reload)
{
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, fd, false, &a);
	http_stop_accepting(h.server, false);
	http_drain(h.server, false, on_drained, NULL);
	for (int i = 0; i < 20; i++)
		httpd_turn(&h);
	httpd_send(&h, fd, TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	cr_assert(a.is_closed);
	cr_assert(httpd_wait(&h, is_drained, NULL));
	(void)close(fd);
}

static bool has_stream(void *arg)
{
	(void)arg;
	return stream.rq != NULL;
}

Test(connection, of_a_stream_that_began_before_a_reload_is_not_closed_behind_it)
{
	int fd = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");

	wait_connections(1);
	cr_assert(httpd_wait(&h, has_stream, NULL));
	http_drain(h.server, false, on_drained, NULL);
	response_stream_end(stream.rq);
	for (int i = 0; i < 20; i++)
		httpd_turn(&h);
	cr_assert_eq(drained, 0, "its head did not say close");
	(void)close(fd);
	cr_assert(httpd_wait(&h, is_drained, NULL));
}

static bool has_tried_thrice(void *arg)
{
	(void)arg;
	return h.gifts >= 3;
}

static bool has_given(void *arg)
{
	(void)arg;
	return h.given_fd >= 0;
}

Test(connection, goes_to_another_worker_when_its_time_is_over)
{
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");
	char byte;

	httpd_read(&h, fd, false, &a);
	h.limits.drain_timeout_ms = 50;
	h.gift = HTTP_GIFT_LATER;
	http_drain(h.server, false, on_drained, NULL);
	cr_assert(httpd_wait(&h, has_tried_thrice, NULL), "whoever does not keep up is asked again");
	cr_assert_eq(drained, 0);
	h.gift = HTTP_GIFT_TAKEN;
	cr_assert(httpd_wait(&h, has_given, NULL));
	cr_assert(httpd_wait(&h, is_drained, NULL));
	cr_assert_lt(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "the client notices nothing");
	(void)close(h.given_fd);
	(void)close(fd);
}

Test(connection, is_closed_when_its_time_is_over_and_nobody_takes_it)
{
	int fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");

	httpd_read(&h, fd, false, &a);
	http_drain(h.server, false, on_drained, NULL);
	http_drain_sooner(h.server);
	cr_assert_eq(h.gifts, 1);
	cr_assert(httpd_is_closed(&h, fd));
	cr_assert(httpd_wait(&h, is_drained, NULL));
	(void)close(fd);
}

Test(connection, that_another_worker_gave_is_served)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	http_adopt(h.server, pair[0], "203.0.113.7", false);
	httpd_send(&h, pair[1], TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
	httpd_read(&h, pair[1], false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(pair[1]);
}

Test(connection, of_a_drained_pool_is_told_so)
{
	int fd;

	SCOREBOARD_SET(h.board->pool.is_drained, 1);
	fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 503);
	cr_assert(a.is_closed);
	cr_assert_str_eq(httpd_field(&a, "Retry-After"), "5");
	(void)close(fd);
	/* Those of an older generation drain as ever. */
	SCOREBOARD_SET(h.board->pool.generation, 9);
	fd = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");
	httpd_read(&h, fd, false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fd);
}

Test(connection, may_be_drained_twice)
{
	http_drain(h.server, false, on_drained, NULL);
	http_drain(h.server, true, on_drained, NULL);
	cr_assert(httpd_wait(&h, is_drained, NULL));
	http_drain(h.server, true, on_drained, NULL);
	for (int i = 0; i < 10; i++)
		httpd_turn(&h);
	cr_assert_eq(drained, 1);
}

Test(connection, that_never_asks_does_not_hold_a_stop_up)
{
	int fd = httpd_connect(&h);

	wait_connections(1);
	http_drain(h.server, true, on_drained, NULL);
	cr_assert(httpd_wait(&h, is_drained, NULL));
	cr_assert(httpd_is_closed(&h, fd));
	(void)close(fd);
}

Test(connection, is_cut_when_time_is_up)
{
	int fds[] = { ask("GET /pend HTTP/1.1\r\n" HOST "\r\n"), ask("GET /big HTTP/1.1\r\n" HOST "\r\n"),
		ask("GET /stream HTTP/1.1\r\n" HOST "\r\n"), httpd_connect(&h) };

	wait_connections(4);
	http_drain(h.server, true, on_drained, NULL);
	cr_assert_eq(http_cut(h.server), 4);
	cr_assert(httpd_wait(&h, is_drained, NULL));
	cr_assert_eq(stream.gones, 1);
	response_stream_end(stream.rq);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		(void)close(fds[i]);
	/* and the pended request is freed by http_close: the sanitizers look */
}

/* ---- the listener --------------------------------------------------------------------------------------------------------- */

Test(connection, over_the_limit_is_told_so)
{
	int fds[3];

	h.limits.http_connections_max = 2;
	for (int i = 0; i < 3; i++)
		fds[i] = httpd_connect(&h);
	httpd_read(&h, fds[2], false, &a);
	cr_assert_eq(a.status, 503);
	cr_assert_str_eq(httpd_field(&a, "Retry-After"), "1");
	cr_assert(a.is_closed);
	(void)close(fds[2]);
	httpd_send(&h, fds[0], TEXT("GET /hello HTTP/1.1\r\n" HOST "\r\n"));
	httpd_read(&h, fds[0], false, &a);
	cr_assert_eq(a.status, 200);
	(void)close(fds[0]);
	wait_connections(1);
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200);
	(void)close(fds[1]);
}

/* What the log says of refused connections: its lines, and the sum of their counts. */
struct refusals {
	int fd;         /* of the log */
	int lines, sum; /* found */
	int requests;   /* lines of requests */
};

static void read_refusals(struct refusals *r)
{
	static char log[65536];
	ssize_t length = pread(r->fd, log, sizeof log - 1, 0);

	cr_assert_geq(length, 0);
	log[length] = '\0';
	r->lines = r->sum = r->requests = 0;
	for (const char *line = log; *line != '\0'; line = strchr(line, '\n') + 1) {
		size_t end = strcspn(line, "\n");
		const char *count = memmem(line, end, "\"count\":", 8);

		r->requests += memmem(line, end, "\"msg\":\"request\"", 15) != NULL;
		if (memmem(line, end, "\"msg\":\"connections refused\"", 27) == NULL)
			continue;
		cr_assert_not_null(count, "%s", line);
		r->lines++;
		r->sum += (int)strtol(count + 8, NULL, 10);
	}
}

#define FLOOD 100

static bool are_all_told(void *arg)
{
	struct refusals *r = arg;

	log_flush();
	read_refusals(r);
	return r->sum == FLOOD;
}

Test(connection, that_are_refused_share_a_line_a_second)
{
	struct refusals r = { .fd = memfd_create("log", MFD_CLOEXEC) };
	int64_t start_ms = clock_monotonic_ms();
	int holder;

	log_open("test", -1, LOG_DEBUG, r.fd);
	h.limits.http_connections_max = 1;
	holder = httpd_connect(&h);
	wait_connections(1);
	for (int i = 0; i < FLOOD; i++) {
		int fd = httpd_connect(&h);

		httpd_read(&h, fd, false, &a);
		cr_assert_eq(a.status, 503);
		(void)close(fd);
	}
	cr_assert_eq(SCOREBOARD_GET(h.board->slots[0].counters.connections_refused), FLOOD);
	cr_assert(httpd_wait(&h, are_all_told, &r), "%d of %d are told", r.sum, FLOOD);
	/* One at once; the loop's clock may be a little behind ours. */
	cr_assert_leq(r.lines, (clock_monotonic_ms() - start_ms) / 1000 + 2);
	cr_assert_eq(r.requests, 0, "none of them has a line of its own");
	(void)close(holder);
	log_set_level(LOG_FATAL);
}

Test(connection, does_not_spin_when_descriptors_run_out)
{
	struct rlimit limit, old;
	struct timeval pause = { .tv_usec = 300000 };
	int clients[3], next;

	for (int i = 0; i < 3; i++)
		clients[i] = httpd_connect(&h);
	next = dup(0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)next;
	(void)close(next);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	int64_t start_us = clock_monotonic_us();
	(void)event_base_loopexit(h.base, &pause);
	struct rusage before, after;

	(void)getrusage(RUSAGE_SELF, &before);
	(void)event_base_dispatch(h.base);
	(void)getrusage(RUSAGE_SELF, &after);
	cr_assert_geq(clock_monotonic_us() - start_us, 290000);
	cr_assert_lt((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
			     before.ru_utime.tv_usec,
		100000, "the loop slept");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
	cr_assert_eq(a.status, 200, "back within a second");
	for (int i = 0; i < 3; i++)
		(void)close(clients[i]);
}

static void set_other_worker(unsigned connections, unsigned streams, int64_t lag_us)
{
	struct scoreboard_slot *other = &h.board->slots[7];

	SCOREBOARD_SET(other->pid, 1);
	SCOREBOARD_SET(other->state, WORKER_READY);
	/* Fresh however long the test takes. */
	SCOREBOARD_SET(other->heartbeat_us, clock_monotonic_us() + INT64_C(3600) * 1000000);
	SCOREBOARD_SET(other->loop_lag_us, lag_us);
	SCOREBOARD_SET(other->connections, connections);
	SCOREBOARD_SET(other->streams, streams);
}

Test(connection, is_left_to_a_less_busy_worker_but_not_for_ever)
{
	int fds[5];

	set_other_worker(0, 0, 0);
	for (int i = 0; i < 4; i++)
		fds[i] = httpd_connect(&h);
	wait_connections(4);

	int64_t start_ms = clock_monotonic_ms();

	fds[4] = httpd_connect(&h);
	wait_connections(5);
	cr_assert_geq(clock_monotonic_ms() - start_ms, 35);
	for (int i = 0; i < 5; i++)
		(void)close(fds[i]);
}

static const struct {
	unsigned own, other, other_streams;
	int64_t lag_us;
	bool is_shut;
} balances[] = {
	{ 0, 0, 0, 0, false },
	{ 2, 0, 0, 0, false },
	{ 3, 0, 0, 0, true },
	{ 5, 3, 0, 0, false },
	{ 6, 3, 0, 0, true },
	{ 6, 0, 1, 0, false },
	{ 7, 0, 1, 0, true },
	{ 900, 800, 0, 0, false },
	{ 901, 800, 0, 0, true },
	{ 3, 0, 0, 50001, false },
	{ 3, 0, 0, 50000, true },
	{ 0, 800, 0, 0, false },
};

Test(connection, is_weighed_against_the_least_busy_worker_that_is_well)
{
	struct scoreboard_slot *own = &h.board->slots[0];

	httpd_ask(&h, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a); /* the server has looked at its clock */
	for (size_t i = 0; i < COUNT_OF(balances); i++) {
		set_other_worker(balances[i].other, balances[i].other_streams, balances[i].lag_us);
		SCOREBOARD_SET(own->connections, balances[i].own);
		cr_assert_eq(balance_is_shut(h.server), balances[i].is_shut, "row %zu", i);
	}
	set_other_worker(0, 0, 0);
	SCOREBOARD_SET(h.board->slots[7].heartbeat_us, clock_monotonic_us() - 10000000);
	cr_assert_not(balance_is_shut(h.server), "a stale heartbeat is no measure");
	set_other_worker(0, 0, 0);
	SCOREBOARD_SET(h.board->slots[7].state, WORKER_DRAINING);
	cr_assert_not(balance_is_shut(h.server), "who accepts nothing is no measure");
}
