/* gemini_provider_test.c: whole calls against a scripted peer on the same loop: what is sent, clocks, pauses, cancels, repairs. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "tests/unit/gemini_trace.h"

#define HEAD                                                                                                           \
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nServer: "                 \
	"gemini-sim\r\n\r\n"
#define LENGTH_0 "\r\nContent-Length: 0\r\n\r\n"
#define EVENT(t)                                                                                                       \
	"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"" t "\"}]}}],\"modelVersion\": "              \
	"\"m\"}\r\n\r\n"
#define FINISH(t)                                                                                                      \
	"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"" t                                           \
	"\"}]},\"finishReason\": \"STOP\"}]}\r\n\r\n"
#define PIECES 8

/* What the peer does with one POST. Pieces are sent when the test says so, the first ones at once. */
struct reply {
	const char *head;           /* NULL: nothing is ever said */
	const char *pieces[PIECES]; /* sent as HTTP chunks in one go */
	bool stays_open;            /* no last chunk */
	bool closes;                /* the connection ends after what was sent */
};

struct peer {
	struct evconnlistener *listener;
	const struct reply *replies; /* for the POSTs in order; the last one again and again */
	size_t reply_count;
	int posts, connections, closed;
	struct bufferevent *last; /* connection of the last POST */
	struct bufferevent *open[64];
	struct evbuffer *request; /* the last whole POST */
	int port;
};

struct world {
	struct event_base *base;
	struct options options;
	struct peer peer;
	struct provider *provider;
};

/* One call under test. */
struct told {
	struct buffer trace;
	struct provider *provider;
	struct model_call *call;
	int texts, ends;
	int pause_at, cancel_at; /* at this text; 0 = never */
	struct model_event last; /* its numbers only */
};

static void send_reply(struct bufferevent *connection, const struct reply *reply)
{
	struct evbuffer *out = bufferevent_get_output(connection);

	if (reply->head != NULL)
		evbuffer_add_printf(out, "%s", reply->head);
	for (int i = 0; i < PIECES && reply->pieces[i] != NULL; i++)
		evbuffer_add_printf(out, "%zx\r\n%s\r\n", strlen(reply->pieces[i]), reply->pieces[i]);
	if (reply->head != NULL && !reply->stays_open && !reply->closes)
		evbuffer_add_printf(out, "0\r\n\r\n");
}

static void on_written(struct bufferevent *connection, void *arg)
{
	struct peer *peer = arg;

	if (evbuffer_get_length(bufferevent_get_output(connection)) != 0)
		return;
	bufferevent_setcb(connection, NULL, NULL, NULL, NULL);
	shutdown(bufferevent_getfd(connection), SHUT_RDWR);
	peer->closed++;
}

static size_t content_length(struct evbuffer *in, size_t head)
{
	char *bytes = must_strndup((const char *)evbuffer_pullup(in, (ev_ssize_t)head), head);
	const char *field = strstr(bytes, "Content-Length: ");
	size_t length = field != NULL ? strtoul(field + 16, NULL, 10) : 0;

	free(bytes);
	return length;
}

static void on_request(struct bufferevent *connection, void *arg)
{
	struct peer *peer = arg;
	struct evbuffer *in = bufferevent_get_input(connection);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);

	if (end.pos < 0)
		return;

	size_t length = (size_t)end.pos + 4 + content_length(in, (size_t)end.pos + 4);

	if (evbuffer_get_length(in) < length)
		return;
	if (memcmp(evbuffer_pullup(in, 4), "GET ", 4) == 0) {
		evbuffer_drain(in, length);
		evbuffer_add_printf(
			bufferevent_get_output(connection), "HTTP/1.1 404 Not Found\r\nServer: gemini-sim" LENGTH_0);
		return;
	}
	evbuffer_drain(peer->request, evbuffer_get_length(peer->request));
	evbuffer_remove_buffer(in, peer->request, length);

	size_t at = (size_t)peer->posts++;
	const struct reply *reply = &peer->replies[at < peer->reply_count ? at : peer->reply_count - 1];

	peer->last = connection;
	if (reply->closes)
		bufferevent_setcb(connection, NULL, on_written, NULL, peer);
	send_reply(connection, reply);
}

static void on_peer_event(struct bufferevent *connection, short what, void *arg)
{
	struct peer *peer = arg;

	(void)connection;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		bufferevent_disable(connection, EV_READ | EV_WRITE);
		peer->closed++;
	}
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length, void *arg)
{
	struct peer *peer = arg;
	struct bufferevent *connection =
		bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)from;
	(void)length;
	peer->open[peer->connections++ % 64] = connection;
	bufferevent_setcb(connection, on_request, NULL, on_peer_event, peer);
	bufferevent_enable(connection, EV_READ | EV_WRITE);
}

static void peer_open(struct peer *peer, struct event_base *base, const struct reply *replies, size_t count)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;

	*peer = (struct peer) { .replies = replies, .reply_count = count, .request = evbuffer_new() };
	peer->listener = evconnlistener_new_bind(base, on_accept, peer, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 64,
		(struct sockaddr *)&address, sizeof address);
	cr_assert_not_null(peer->listener);
	cr_assert_eq(getsockname(evconnlistener_get_fd(peer->listener), (struct sockaddr *)&address, &length), 0);
	peer->port = ntohs(address.sin_port);
}

static void peer_close(struct peer *peer)
{
	for (int i = 0; i < peer->connections && i < 64; i++)
		bufferevent_free(peer->open[i]);
	if (peer->listener != NULL)
		evconnlistener_free(peer->listener);
	evbuffer_free(peer->request);
}

static void set(struct options *o, enum option_id id, const char *value)
{
	const char *expected;

	cr_assert(options_set(o, id, text_of(value), &expected), "%s", value);
}

static void world_open(struct world *w, const struct reply *replies, size_t count)
{
	char url[64];

	log_open("test", -1, LOG_FATAL, STDERR_FILENO);
	w->base = event_base_new();
	peer_open(&w->peer, w->base, replies, count);
	options_init(&w->options);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", w->peer.port);
	set(&w->options, OPTION_gemini_base_url, url);
	set(&w->options, OPTION_gemini_api_key, "AQ.test-key-0123456789");
	set(&w->options, OPTION_streaming_models, "gemini-2.5-flash, gemini-3.8-flash");
	set(&w->options, OPTION_streaming_temperature, "0.5");
	cr_assert_eq(provider_open(w->base, &w->options, &w->provider), ERROR_NONE);
}

static void world_close(struct world *w)
{
	provider_close(&w->provider);
	peer_close(&w->peer);
	options_fini(&w->options);
	event_base_free(w->base);
	libevent_global_shutdown();
	log_close();
}

/* Runs the loop until `*number` is at least `least`, at most 30 s. */
static void run_until(struct world *w, const int *number, int least)
{
	int64_t deadline_ms = clock_monotonic_ms() + 30000;
	struct timeval slice = { 0, 20000 };

	while (*number < least && clock_monotonic_ms() < deadline_ms) {
		event_base_loopexit(w->base, &slice);
		event_base_loop(w->base, EVLOOP_ONCE);
	}
	cr_assert_geq(*number, least, "%d of %d after 30 s; %d connections, %d requests", *number, least,
		w->peer.connections, w->peer.posts);
}

/* Lets the loop turn for a while in which nothing is expected. */
static void run_for(struct world *w, int ms)
{
	struct timeval slice = { ms / 1000, ms % 1000 * 1000 };

	event_base_loopexit(w->base, &slice);
	event_base_dispatch(w->base);
}

static void on_event(void *arg, const struct model_event *event)
{
	struct told *told = arg;

	cr_assert_eq(told->ends, 0, "an event after the last");
	trace_event(&told->trace, event);
	told->last = *event;
	if (event->type == MODEL_EVENT_TEXT && ++told->texts == told->pause_at)
		provider_pause(told->call);
	if (event->type == MODEL_EVENT_TEXT && told->texts == told->cancel_at)
		provider_cancel(&told->call);
	if (event->type == MODEL_EVENT_FINISH || event->type == MODEL_EVENT_FAILURE)
		told->ends++;
}

static void ask_role(struct world *w, struct told *told, enum model_role role, const char *model, struct text parts)
{
	struct model_content content = { .role = MESSAGE_ROLE_USER, .parts = parts, .is_current = true };
	struct model_request request = { .role = role,
		.model = model,
		.system = TEXT("You help."),
		.contents = &content,
		.content_count = 1,
		.trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };

	told->provider = w->provider;
	told->call = provider_start(w->provider, &request, on_event, told);
	cr_assert_eq(buffer_length(&told->trace), 0, "an event inside provider_start");
}

static void ask(struct world *w, struct told *told)
{
	ask_role(w, told, MODEL_ROLE_STREAMING, "gemini-2.5-flash", TEXT("[{\"text\":\"Hi\"}]"));
}

static void check_trace(struct told *told, const char *expected)
{
	struct text trace = buffer_text(&told->trace);

	cr_assert(text_equals(trace, text_of(expected)), "--- got\n%.*s--- expected\n%s", TEXT_ARGS(trace), expected);
	buffer_fini(&told->trace);
}

static bool request_has(struct world *w, const char *part)
{
	return evbuffer_search(w->peer.request, part, strlen(part), NULL).pos >= 0;
}

#define GOOD                                                                                                           \
	{                                                                                                              \
		.head = HEAD, .pieces = { EVENT("A"), FINISH("B") }                                                    \
	}
#define GOOD_TRACE  "START m \nTEXT A\nTEXT B\nFINISH stop tokens=0/0? parts=[{\"text\":\"AB\"}]\n"
#define PARTS(text) " tokens=0/0? parts=[{\"text\":\"" text "\"}]\n"

Test(gemini_provider, streams_and_sends_what_the_specification_asks)
{
	static const struct reply replies[] = { GOOD };
	struct world w;
	struct told told = { 0 };

	world_open(&w, replies, 1);
	ask(&w, &told);
	cr_assert_eq(provider_active(w.provider), 1);
	run_until(&w, &told.ends, 1);
	cr_assert_eq(provider_active(w.provider), 0);
	cr_assert_geq(told.last.first_byte_ms, 0);
	check_trace(&told, GOOD_TRACE);
	cr_assert(request_has(&w, "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse HTTP/1.1\r\n"));
	cr_assert(request_has(&w, "\r\nx-goog-api-key: AQ.test-key-0123456789\r\n"));
	cr_assert(request_has(&w, "\r\nContent-Type: application/json\r\n"));
	cr_assert(request_has(&w, "\r\nAccept: text/event-stream\r\n"));
	cr_assert(request_has(&w, "\r\nX-Server-Timeout: 300\r\n"));
	cr_assert(request_has(&w, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
	cr_assert_not(request_has(&w, "Accept-Encoding"));
	cr_assert_not(request_has(&w, "Expect"));
	cr_assert_not(request_has(&w, "key="));
	cr_assert(provider_is_simulator(w.provider));
	world_close(&w);
}

Test(gemini_provider, many_calls_at_once_and_one_after_another)
{
	static const struct reply replies[] = { GOOD };
	static struct told told[40];
	struct world w;

	world_open(&w, replies, 1);
	for (int i = 0; i < 20; i++)
		ask(&w, &told[i]);
	for (int i = 0; i < 20; i++)
		run_until(&w, &told[i].ends, 1);

	int connections = w.peer.connections;

	for (int i = 20; i < 40; i++) {
		ask(&w, &told[i]);
		run_until(&w, &told[i].ends, 1);
	}
	cr_assert_eq(w.peer.connections, connections, "connections are used again");
	for (int i = 0; i < 40; i++)
		check_trace(&told[i], GOOD_TRACE);
	world_close(&w);
}

Test(gemini_provider, a_large_body_does_not_wait_for_continue)
{
	static const struct reply replies[] = { GOOD };
	struct world w;
	struct told told = { 0 };
	struct buffer parts;
	size_t size = 9 << 20;
	char *image = must_alloc(size);

	world_open(&w, replies, 1);
	buffer_init(&parts);
	provider_image_part(&parts, "image/png", text_span(image, size));
	buffer_append_char(&parts, ']');
	*buffer_reserve(&parts, 1) = '\0';

	struct buffer array;

	buffer_init(&array);
	buffer_append_char(&array, '[');
	buffer_append_text(&array, buffer_text(&parts));
	ask_role(&w, &told, MODEL_ROLE_STREAMING, "gemini-2.5-flash", buffer_text(&array));
	buffer_fini(&parts);
	buffer_fini(&array);
	free(image);
	run_until(&w, &told.ends, 1);
	cr_assert_gt(evbuffer_get_length(w.peer.request), size / 3 * 4);
	check_trace(&told, GOOD_TRACE);
	world_close(&w);
}

Test(gemini_provider, pauses_in_the_middle_of_a_piece_and_goes_on)
{
	static const struct reply replies[] = { { .head = HEAD,
		.pieces = { EVENT("A") EVENT("B") EVENT("C"), FINISH("D") } } };
	struct world w;
	struct told told = { .pause_at = 2 };

	world_open(&w, replies, 1);
	ask(&w, &told);
	run_until(&w, &told.texts, 2);
	run_for(&w, 50);
	cr_assert_eq(told.texts, 2);
	cr_assert_eq(told.ends, 0);
	told.pause_at = 3;
	provider_resume(told.call);
	run_until(&w, &told.texts, 3);
	run_for(&w, 50);
	cr_assert_eq(told.texts, 3);
	provider_resume(told.call);
	run_until(&w, &told.ends, 1);
	check_trace(&told, "START m \nTEXT A\nTEXT B\nTEXT C\nTEXT D\nFINISH stop" PARTS("ABCD"));
	world_close(&w);
}

Test(gemini_provider, does_not_read_while_paused)
{
	static const struct reply replies[] = { { .head = HEAD, .pieces = { EVENT("A") }, .stays_open = true } };
	static char filler[1 << 20];
	struct world w;
	struct told told = { .pause_at = 1 };

	world_open(&w, replies, 1);
	ask(&w, &told);
	run_until(&w, &told.texts, 1);
	memset(filler, ':', sizeof filler - 1);
	filler[sizeof filler - 2] = '\n';
	for (int i = 0; i < 16; i++)
		evbuffer_add_printf(bufferevent_get_output(w.peer.last), "%zx\r\n%s\r\n", strlen(filler), filler);
	evbuffer_add_printf(
		bufferevent_get_output(w.peer.last), "%zx\r\n%s\r\n0\r\n\r\n", strlen(FINISH("Z")), FINISH("Z"));
	run_for(&w, 100);
	cr_assert_gt(evbuffer_get_length(bufferevent_get_output(w.peer.last)), sizeof filler);
	provider_resume(told.call);
	run_until(&w, &told.ends, 1);
	check_trace(&told, "START m \nTEXT A\nTEXT Z\nFINISH stop" PARTS("AZ"));
	world_close(&w);
}

Test(gemini_provider, a_cancelled_call_is_silent_and_closes_its_connection)
{
	static const struct reply replies[] = {
		{ .head = HEAD, .pieces = { EVENT("A") EVENT("B") }, .stays_open = true }
	};
	struct world w;
	struct told never_sent = { 0 }, inside = { .cancel_at = 1 }, outside = { 0 }, paused = { .pause_at = 1 };

	world_open(&w, replies, 1);
	ask(&w, &never_sent);
	provider_cancel(&never_sent.call);
	ask(&w, &inside);
	run_until(&w, &inside.texts, 1);
	cr_assert_null(inside.call);
	run_until(&w, &w.peer.closed, 1);
	ask(&w, &outside);
	run_until(&w, &outside.texts, 2);
	provider_cancel(&outside.call);
	run_until(&w, &w.peer.closed, 2);
	ask(&w, &paused);
	run_until(&w, &paused.texts, 1);
	provider_resume(paused.call);
	provider_cancel(&paused.call);
	run_until(&w, &w.peer.closed, 3);
	run_for(&w, 20);
	cr_assert_eq(provider_active(w.provider), 0);
	cr_assert_eq(never_sent.ends + inside.ends + outside.ends + paused.ends, 0);
	cr_assert_eq(paused.texts, 1);
	check_trace(&never_sent, "");
	check_trace(&inside, "START m \nTEXT A\n");
	buffer_fini(&outside.trace);
	buffer_fini(&paused.trace);
	world_close(&w);
}

Test(gemini_provider, closing_drops_calls_in_every_state)
{
	static const struct reply replies[] = {
		{ .head = HEAD, .pieces = { EVENT("A") EVENT("B") }, .stays_open = true }
	};
	struct world w;
	struct told running = { 0 }, paused = { .pause_at = 1 }, fresh = { 0 };

	world_open(&w, replies, 1);
	ask(&w, &running);
	ask(&w, &paused);
	run_until(&w, &running.texts, 2);
	run_until(&w, &paused.texts, 1);
	ask(&w, &fresh);
	buffer_fini(&running.trace);
	buffer_fini(&paused.trace);
	world_close(&w);
	cr_assert_eq(running.ends + paused.ends + fresh.ends, 0);
}

Test(gemini_provider, each_clock_ends_its_silence)
{
	static const struct reply replies[] = { { .head = NULL }, { .head = HEAD, .stays_open = true },
		{ .head = HEAD, .pieces = { EVENT("A") }, .stays_open = true } };
	struct world w;

	world_open(&w, replies, 3);
	for (int i = 0; i < 3; i++) {
		struct told told = { 0 };

		/* The other clock is so long that it cannot be the one that ends the call. */
		set(&w.options, OPTION_gemini_first_byte_timeout_ms, i == 0 ? "150" : "60000");
		set(&w.options, OPTION_gemini_between_bytes_timeout_ms, i == 0 ? "60000" : "500");
		ask(&w, &told);
		run_until(&w, &told.ends, 1);
		cr_assert_geq(told.last.total_ms, i == 0 ? 149 : 499);
		cr_assert_lt(told.last.total_ms, 30000);
		cr_assert_eq(told.last.http_status, i == 0 ? 0 : 200);
		check_trace(&told, i < 2 ? "FAILURE slow retryable reason=TIMEOUT tokens=0/0? parts=[]\n"
					 : "START m \nTEXT A\nFAILURE slow retryable reason=TIMEOUT" PARTS("A"));
	}
	world_close(&w);
}

Test(gemini_provider, no_clock_but_the_whole_attempts_runs_while_paused)
{
	static const struct reply replies[] = {
		{ .head = HEAD, .pieces = { EVENT("A") EVENT("B") }, .stays_open = true }
	};
	struct world w;
	struct told told = { .pause_at = 1 };

	world_open(&w, replies, 1);
	set(&w.options, OPTION_gemini_between_bytes_timeout_ms, "1000");
	set(&w.options, OPTION_gemini_attempt_timeout_ms, "60000");
	ask(&w, &told);
	run_until(&w, &told.texts, 1);
	/* Something must arrive after the pause for libcurl to stop reading. */
	evbuffer_add_printf(bufferevent_get_output(w.peer.last), "%zx\r\n%s\r\n", strlen(EVENT("C")), EVENT("C"));
	run_for(&w, 1500);
	cr_assert_eq(told.ends, 0);
	provider_resume(told.call);
	run_until(&w, &told.ends, 1);
	check_trace(&told, "START m \nTEXT A\nTEXT B\nTEXT C\nFAILURE slow retryable reason=TIMEOUT" PARTS("ABC"));
	world_close(&w);
}

Test(gemini_provider, broken_connections_are_told_apart)
{
	static const struct reply replies[] = { GOOD, { .head = HEAD, .pieces = { EVENT("A") }, .closes = true },
		{ .head = "HTTP/1.1 200 OK\r\n", .closes = true },
		{ .head = HEAD, .pieces = { FINISH("A") }, .closes = true },
		{ .head = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/" LENGTH_0, .closes = true } };
	static const char *const traces[] = { GOOD_TRACE,
		"START m \nTEXT A\nFAILURE broken retryable reason=CONNECTION_LOST" PARTS("A"),
		"FAILURE broken retryable reason=NO_FINISH tokens=0/0? parts=[]\n",
		"START gemini-2.5-flash \nTEXT A\nFINISH stop" PARTS("A"), "FAILURE broken tokens=0/0? parts=[]\n" };
	struct world w;

	world_open(&w, replies, COUNT_OF(replies));
	for (size_t i = 0; i < COUNT_OF(replies); i++) {
		struct told told = { 0 };

		ask(&w, &told);
		run_until(&w, &told.ends, 1);
		check_trace(&told, traces[i]);
	}
	evconnlistener_free(w.peer.listener);
	w.peer.listener = NULL;

	struct told refused = { 0 };

	ask(&w, &refused);
	run_until(&w, &refused.ends, 1);
	cr_assert_eq(refused.last.http_status, 0, "not the last answer's");
	check_trace(&refused, "FAILURE down retryable reason=UNREACHABLE tokens=0/0? parts=[]\n");
	world_close(&w);
}

#define ERROR_400(text)                                                                                                \
	"HTTP/1.1 400 Bad Request\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",           \
		.pieces = { "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":\"" text "\"}}" }

Test(gemini_provider, a_refused_member_is_left_out_from_then_on)
{
	static const struct reply replies[] = { { .head = ERROR_400("temperature is not supported") },
		{ .head = ERROR_400("Unsupported thinkingBudget") }, GOOD,
		{ .head = ERROR_400("temperature is not supported") } };
	struct world w;
	struct told first = { 0 }, second = { 0 }, third = { 0 };

	world_open(&w, replies, COUNT_OF(replies));
	ask(&w, &first);
	run_until(&w, &w.peer.posts, 1);
	cr_assert(request_has(&w, "\"temperature\":0.5,\"thinkingConfig\":{\"thinkingBudget\":0}}}"));
	run_until(&w, &first.ends, 1);
	cr_assert_eq(w.peer.posts, 2, "once per call");
	cr_assert(request_has(&w, ",\"thinkingConfig\":{\"thinkingBudget\":0}}}"));
	cr_assert_not(request_has(&w, "temperature"));
	check_trace(&first,
		"FAILURE bad_request status=INVALID_ARGUMENT reason=Unsupported thinkingBudget tokens=0/0? parts=[]\n");
	ask(&w, &second);
	run_until(&w, &second.ends, 1);
	check_trace(&second, GOOD_TRACE);
	cr_assert_eq(w.peer.posts, 3);
	ask(&w, &third);
	run_until(&w, &third.ends, 1);
	cr_assert_eq(w.peer.posts, 4, "what was not sent cannot be left out");
	buffer_fini(&third.trace);
	world_close(&w);
}

Test(gemini_provider, unary_roles_ask_for_a_whole_answer)
{
	static const struct reply replies[] = { { .head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		.pieces = { "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"{\"},{\"te",
			"xt\":\"}\"}]},\"finishReason\":\"STOP\"}]}" } } };
	struct world w;
	struct told told = { 0 };

	world_open(&w, replies, 1);
	ask_role(&w, &told, MODEL_ROLE_STRUCTURED, "models/gemini-2.5-flash", TEXT("[{\"text\":\"Hi\"}]"));
	run_until(&w, &told.ends, 1);
	cr_assert(request_has(&w, "POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\n"));
	cr_assert(request_has(&w, "\r\nX-Server-Timeout: 120\r\n"));
	check_trace(&told, "START gemini-2.5-flash \nTEXT {}\nFINISH stop" PARTS("{}"));
	world_close(&w);
}

Test(gemini_provider, the_key_in_a_provider_message_does_not_get_out)
{
	static const struct reply replies[] = { { .head = ERROR_400(
							  "Consumer 'api_key:AQ.test-key-0123456789' and "
							  "AIzaSyA1234567890123456789012345678901 are suspended") } };
	struct world w;
	struct told told = { 0 };

	world_open(&w, replies, 1);
	ask(&w, &told);
	run_until(&w, &told.ends, 1);
	cr_assert_not_null(memmem(told.trace.bytes, told.trace.end, "suspended", 9));
	cr_assert_null(memmem(told.trace.bytes, told.trace.end, "AQ.test", 7));
	cr_assert_null(memmem(told.trace.bytes, told.trace.end, "AIzaSy", 6));
	buffer_fini(&told.trace);
	world_close(&w);
}

Test(gemini_provider, wrong_options_are_refused)
{
	static const struct {
		enum option_id id;
		const char *value;
	} wrong[] = {
		{ OPTION_gemini_base_url, "http://example.org" },
		{ OPTION_gemini_base_url, "http://127.0.0.1.example.org" },
		{ OPTION_gemini_base_url, "http://localhost@example.org" },
		{ OPTION_gemini_api_key, "two words" },
		{ OPTION_streaming_models, " , " },
		{ OPTION_chat_models, "gemini-3.8-flash, ../../x" },
		{ OPTION_vision_temperature, "warm" },
		{ OPTION_vision_temperature, "2.1" },
	};

	log_open("test", -1, LOG_FATAL, STDERR_FILENO);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct event_base *base = event_base_new();
		struct provider *provider = NULL;
		struct options options;

		const char *expected;

		options_init(&options);
		/* Some are caught by the option table already. */
		if (options_set(&options, wrong[i].id, text_of(wrong[i].value), &expected))
			cr_assert_eq(provider_open(base, &options, &provider), ERROR_CONFIG, "%s", wrong[i].value);
		cr_assert_null(provider);
		options_fini(&options);
		event_base_free(base);
	}
	log_close();
}
