/* Debian's nginx with our configuration in front: who asks is known and cannot be forged, streams come event by event, bodies pass up to the limits, what
 * is the operator's is closed, and nginx may be reloaded under load. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/load.h"
#include "tests/support/nginx.h"
#include "tests/support/talk.h"

TestSuite(nginx, .timeout = 300);

#define LONG_MS 60000

struct front {
	struct server *server;
	struct nginx *nginx;
};

static struct front front_open(void)
{
	struct front f = { .server = server_start((const char *[]) { "LOG_LEVEL=info", NULL }) };

	f.nginx = nginx_start(f.server->port);
	return f;
}

/* nginx itself must have had nothing to complain about, except what the test has done on purpose. */
static void front_close(struct front *f, const char *expected)
{
	char *errors = nginx_errors(f->nginx);

	for (char *rest = errors, *line; (line = strsep(&rest, "\n")) != NULL;)
		cr_expect(strstr(line, "[notice]") != NULL || line[0] == '\0' ||
				  strstr(line, "buffered to a temporary file") != NULL ||
				  (expected != NULL && strstr(line, expected) != NULL),
			"nginx: %s", line);
	free(errors);
	nginx_end(&f->nginx);
	server_end(&f->server);
}

/* The log line of the request with this id. */
static struct json_object *log_line(struct front *f, const char *id)
{
	char *line = process_wait_error(f->server->supervisor, format("\"request_id\":\"%s\"", id), LONG_MS);
	struct json_object *parsed = json_tokener_parse(line);

	cr_assert_not_null(parsed, "%s", line);
	free(line);
	return parsed;
}

static const char *client_of(struct front *f, int port, const char *fields)
{
	struct client c;
	struct reply r;
	struct json_object *line;
	const char *client;

	client_init(&c, port);
	r = client_request(&c, "GET", "/api/sessions", fields, NULL);
	cr_assert(r.status != 0 && reply_header(&r, "X-Request-Id") != NULL, "%d %s", r.status, r.head);
	line = log_line(f, reply_header(&r, "X-Request-Id"));
	client = format("%s", json_at(line, "client"));
	json_object_put(line);
	reply_free(&r);
	client_fini(&c);
	return client;
}

Test(nginx, addresses_are_those_that_nginx_has_seen)
{
	struct front f = front_open();

	cr_expect_str_eq(client_of(&f, f.nginx->port, ""), "127.0.0.1");
	/* A client behind nginx cannot pretend: both fields are written anew. */
	cr_expect_str_eq(client_of(&f, f.nginx->port, "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n"),
		"127.0.0.1");
	/* Who is a trusted proxy itself is believed. */
	cr_expect_str_eq(client_of(&f, f.server->port, "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n"), "203.0.113.9");
	front_close(&f, NULL);
}

Test(nginx, an_untrusted_peer_is_not_believed)
{
	struct front f = { .server = server_start((const char *[]) {
				   "RENOVATIOND_TRUSTED_PROXIES=192.0.2.1", "LOG_LEVEL=info", NULL }) };

	cr_expect_str_eq(client_of(&f, f.server->port, "X-Forwarded-For: 203.0.113.9\r\n"), "127.0.0.1");
	cr_expect_str_eq(client_of(&f, f.server->port, "X-Real-IP: 203.0.113.9\r\n"), "127.0.0.1");
	server_end(&f.server);
}

Test(nginx, request_ids_are_the_clients_or_nginxs)
{
	struct front f = front_open();
	struct client c;

	client_init(&c, f.nginx->port);

	struct reply r = client_request(&c, "GET", "/health", "X-Request-Id: chosen-by-the-client\r\n", NULL);

	cr_expect_str_eq(reply_header(&r, "X-Request-Id"), "chosen-by-the-client");
	reply_free(&r);
	r = client_request(&c, "GET", "/health", NULL, NULL);
	cr_expect_eq(r.status, 200);
	cr_expect_eq(strlen(reply_header(&r, "X-Request-Id")), 32, "%s", r.head);
	reply_free(&r);
	client_fini(&c);
	front_close(&f, NULL);
}

Test(nginx, each_event_comes_before_the_next_is_made)
{
	struct front f = front_open();
	struct talk t;
	struct stream s;
	struct stream_event e;
	bool has_delta = false;

	talk_init(&t, f.server);
	stream_open(&s, f.nginx->port, t.client.token, format("/api/conversations/%s/messages", t.conversation), NULL,
		"{\"content\":\"How long does screed dry? [sim:chunks=200][sim:delay=1000ms]\"}");
	cr_assert_eq(s.status, 200, "%s", s.head);
	cr_expect(strcasestr(s.head, "content-encoding") == NULL, "streams are not compressed");
	while (!has_delta && stream_next(&s, &e)) {
		has_delta = e.data != NULL && strstr(e.data, "text-delta") != NULL;
		if (has_delta) {
			/* The answer takes minutes; it must still be under way. */
			const char *turn = talk_keep(e.id);

			*strchr((char *)(uintptr_t)turn, '.') = '\0';
			cr_expect_str_eq(talk_status(&t, turn), "running");
		}
		stream_event_free(&e);
	}
	cr_expect(has_delta);
	stream_close(&s);
	talk_fini(&t);
	front_close(&f, NULL);
}

/* A task whose notes fill a body of this many bytes. */
static struct reply post_sized(struct client *c, size_t bytes, bool is_json)
{
	const char *before = is_json ? "{\"title\":\"" : "";
	char *body = malloc(bytes + 1);
	struct reply r;

	memset(body, 'x', bytes);
	memcpy(body, before, strlen(before));
	if (is_json)
		memcpy(body + bytes - 2, "\"}", 2);
	body[bytes] = '\0';
	r = client_request(c, "POST", "/api/tasks", NULL, body);
	free(body);
	return r;
}

/* Only the head of such a request. */
static struct reply announce(struct client *c, size_t bytes)
{
	const char *head = format("POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\n"
				  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		c->token, bytes);

	cr_assert(client_connect(c) && client_send(c, head, strlen(head)));
	return client_receive(c, false);
}

Test(nginx, bodies_pass_up_to_the_limits)
{
	struct front f = front_open();
	struct client c;
	struct reply r;

	server_owner(f.server, &c);
	client_disconnect(&c);
	c.port = f.nginx->port;
	/* Whole and understood: the title is too long, which only renovationd can say. */
	r = post_sized(&c, 1024 * 1024, true);
	cr_expect_eq(r.status, 400, "%d %.300s", r.status, r.body);
	cr_expect(strstr(r.body, "title must be") != NULL, "%.300s", r.body);
	reply_free(&r);
	/* Over renovationd's limit, below nginx's: renovationd's answer. */
	r = post_sized(&c, 1024 * 1024 + 4096, true);
	cr_assert_eq(r.status, 413, "%d %.300s", r.status, r.body);
	cr_expect_str_eq(reply_header(&r, "Content-Type"), "application/problem+json");
	reply_free(&r);
	client_disconnect(&c);
	/* Over nginx's own: it needs no more than the head to say so. */
	r = announce(&c, 3 * 1024 * 1024);
	cr_assert_eq(r.status, 413, "%d %.300s", r.status, r.body);
	cr_expect(strstr(r.head, "text/html") != NULL, "%s", r.head);
	reply_free(&r);
	client_disconnect(&c);
	r = client_request(&c, "POST", "/api/tasks", NULL, "{\"title\":\"as ever\"}");
	cr_expect_eq(r.status, 201, "%d %.300s", r.status, r.body);
	reply_free(&r);
	client_fini(&c);
	front_close(&f, "client intended to send too large body");
}

Test(nginx, what_is_the_operators_is_closed)
{
	static const char *const paths[] = { "/metrics", "/admin", "/admin/status.json", "/api/admin/status",
		"/health/status" };
	struct front f = front_open();
	struct client c;

	client_init(&c, f.nginx->port);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		struct reply r = client_request(&c, "GET", paths[i], NULL, NULL);

		cr_expect_eq(r.status, 404, "%s", paths[i]);
		cr_expect(strstr(r.body, "<center>nginx") != NULL, "%s reached renovationd: %s", paths[i], r.body);
		reply_free(&r);
	}
	client_fini(&c);
	front_close(&f, NULL);
}

Test(nginx, plain_http_leads_to_https_which_works)
{
	struct front f = front_open();
	struct client c;
	char *out = NULL, *err = NULL;

	client_init(&c, f.nginx->redirect_port);

	struct reply r = client_request(&c, "GET", "/chat?x=1", NULL, NULL);

	cr_expect_eq(r.status, 308);
	cr_expect(strncmp(reply_header(&r, "Location"), "https://127.0.0.1", 17) == 0, "%s", r.head);
	cr_expect(strstr(reply_header(&r, "Location"), "/chat?x=1") != NULL, "%s", r.head);
	reply_free(&r);
	client_fini(&c);
	cr_expect_eq(process_run((const char *[]) { "curl", "-sk", "--http2", "-D", "-",
					 format("https://127.0.0.1:%d/health", f.nginx->tls_port), NULL },
			     NULL, &out, &err, LONG_MS),
		0, "%s", err);
	cr_expect(strncmp(out, "HTTP/2 200", 10) == 0, "%s", out);
	cr_expect(strcasestr(out, "strict-transport-security: max-age=") != NULL, "%s", out);
	free(out);
	free(err);
	front_close(&f, NULL);
}

static bool has_answers(void *arg)
{
	return load_report(arg).answers >= 4;
}

/* Each, as far as it is not through already. */
static bool is_asking(void *arg)
{
	struct load_report r = load_report(arg);

	return r.asking + r.answers >= 4;
}

/* nginx closes its clients' idle connections at a reload, so here each request has its own, and who has followed an answer asks nothing more; the streams
 * stay with the old nginx. */
Test(nginx, nginx_is_reloaded_under_load)
{
	struct front f = front_open();
	struct load *l = load_start(&(struct load_plan) { .port = f.nginx->port,
		.streams = 4,
		.pause_ms = 600000,
		.question = "How long does screed dry? [sim:chunks=80][sim:delay=50ms]" });
	struct load_report r;
	struct client c;

	cr_assert(load_run_until(l, is_asking, l, LONG_MS), "%s", load_report(l).failures);
	for (int i = 0; i < 2; i++) {
		nginx_reload(f.nginx);
		for (int j = 0; j < 20; j++) {
			client_init(&c, f.nginx->port);

			struct reply reply = client_request(&c, "GET", "/health", "Connection: close\r\n", NULL);

			cr_expect_eq(reply.status, 200, "%d", reply.status);
			reply_free(&reply);
			client_fini(&c);
			load_run(l, 20);
		}
	}
	cr_assert(load_run_until(l, has_answers, l, LONG_MS), "%s", load_report(l).failures);
	cr_assert(load_finish(l, LONG_MS), "%s", load_report(l).failures);
	r = load_report(l);
	cr_expect_eq(r.failed, 0, "%s", r.failures);
	load_end(&l);
	front_close(&f, NULL);
}
