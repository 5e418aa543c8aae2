/* What the log says of requests and answers: which members a line has, its level, how lines are joined; and what must never be in it. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN   "00f067aa0ba902b7"
#define SECRET "Zwiebelkuchen-7391" /* goes wherever a client can put something that is nobody else's business */

TestSuite(log, .timeout = 300);

static struct server *server;
static struct talk talk;

static void start(const char *level, const char *more)
{
	server = server_start(
		(const char *[]) { format("LOG_LEVEL=%s", level), "ADMIN_TOKEN=operator-" SECRET, more, NULL });
	talk_init(&talk, server);
}

static void stop(void)
{
	talk_fini(&talk);
	server_end(&server);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

/* The newest line with this message and part, parsed; NULL when there is none (yet). */
static struct json_object *find_line(const char *message, const char *part)
{
	char *log = process_errors(server->supervisor), *rest = log, *line;
	struct json_object *found = NULL;

	/* A line that is being written shows its beginning first; it counts when its end is there. */
	while ((line = strsep(&rest, "\n")) != NULL && rest != NULL) {
		if (strstr(line, message) == NULL || strstr(line, part) == NULL)
			continue;
		json_object_put(found);
		found = json_tokener_parse(line);
		cr_assert_not_null(found, "not JSON: %s", line);
	}
	free(log);
	return found;
}

/* Lines are written once a loop turn, a moment after the answer. */
static struct json_object *wait_line(const char *message, const char *name, const char *value)
{
	char words[100], part[200];
	int64_t give_up = now_ms() + 60000;
	struct json_object *found;

	(void)snprintf(words, sizeof words, "\"msg\":\"%s\"", message);
	(void)snprintf(part, sizeof part, "\"%s\":\"%s\"", name, value);
	while ((found = find_line(words, part)) == NULL) {
		if (now_ms() > give_up) {
			char *log = process_errors(server->supervisor);
			size_t length = strlen(log), shown = length < 6000 ? length : 6000;

			cr_assert(false, "no line with %s and %s; the log ends in:\n%s", words, part,
				log + length - shown);
			free(log);
		}
		pause_ms(10);
	}
	return found;
}

static struct json_object *request_line(const char *request_id)
{
	return wait_line("request", "request_id", request_id);
}

#define EXPECT(line, name, expected)                                                                                   \
	do {                                                                                                           \
		const char *found_ = json_at(line, name);                                                              \
		cr_expect(found_ != NULL && strcmp(found_, expected) == 0, "%s is %s, not %s, in %s", name,            \
			found_ != NULL ? found_ : "missing", expected, json_object_to_json_string(line));              \
	} while (0)

static void expect_none(struct json_object *line, const char *name)
{
	cr_expect_null(json_object_at(line, name), "%s in %s", name, json_object_to_json_string(line));
}

static double number_at(struct json_object *line, const char *name)
{
	struct json_object *found = json_object_at(line, name);

	cr_assert_not_null(found, "no %s in %s", name, json_object_to_json_string(line));
	return json_object_get_double(found);
}

/* Asks, and expects this status; the line is that of the request. */
static struct json_object *ask(const char *id, const char *method, const char *path, const char *body, int status)
{
	struct reply r = client_request(&talk.client, method, path, format("X-Request-Id: %s\r\n", id), body);

	cr_expect_eq(r.status, status, "%s %s: %d %s", method, path, r.status, r.body);
	reply_free(&r);
	return request_line(id);
}

/* Whose the conversation is; free it. */
static char *owner_of(const struct talk *t)
{
	return cluster_sql(server->cluster, server->database,
		format("SELECT owner_id FROM renovationd.conversations WHERE id = '%s'", t->conversation));
}

/* ---- one line a request ---------------------------------------------------------------------------------------- */

Test(log, a_request_has_one_line_with_all_that_is_known_of_it)
{
	char *path, *owner;
	struct json_object *line;
	struct reply r;
	int64_t begun_ms;
	double whole_ms;

	start("info", NULL);
	owner = owner_of(&talk);
	begun_ms = now_ms();
	path = must_strdup(format("/api/conversations/%s", talk.conversation));
	r = client_request(&talk.client, "GET", format("%s?fields=" SECRET, path),
		"X-Request-Id: log-1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\n", NULL);
	reply_free(&r);
	whole_ms = (double)(now_ms() - begun_ms + 1);
	line = request_line("log-1");
	EXPECT(line, "level", "info");
	EXPECT(line, "service", "renovationd-worker");
	EXPECT(line, "method", "GET");
	EXPECT(line, "route", "/api/conversations/{id}");
	EXPECT(line, "path", path);
	EXPECT(line, "trace_id", TRACE);
	EXPECT(line, "parent_span_id", SPAN);
	EXPECT(line, "user_id", owner);
	EXPECT(line, "conversation_id", talk.conversation);
	EXPECT(line, "client", "127.0.0.1");
	cr_expect_eq(strlen(json_at(line, "span_id")), 16);
	cr_expect_eq(number_at(line, "status"), 200);
	cr_expect(number_at(line, "latency_ms") > 0 && number_at(line, "latency_ms") <= whole_ms, "%s in %.0f ms",
		json_object_to_json_string(line), whole_ms);
	cr_expect(number_at(line, "bytes_in") > 50 && number_at(line, "bytes_out") > 100);
	cr_expect(number_at(line, "pid") > 1);
	cr_expect(number_at(line, "worker") >= 0);
	json_object_put(line);
	free(path);
	free(owner);
	stop();
}

Test(log, levels_tell_what_failed_and_leave_out_what_machines_ask_all_the_time)
{
	static const char *const quiet[] = { "/health", "/health/live", "/livez", "/health/ready", "/readyz",
		"/api/health", "/health/status", "/metrics", "/admin/status.json" };
	static const char *const normal[] = { "/", "/problems/not_found", "/openapi.json", "/admin" };
	struct json_object *line;

	start("debug", NULL);
	line = ask("log-404", "GET", "/api/nothing/here", NULL, 404);
	EXPECT(line, "level", "warn");
	EXPECT(line, "path", "/api/nothing/here");
	expect_none(line, "route");
	json_object_put(line);
	line = ask("log-400", "POST", "/api/tasks", "{\"title\":", 400);
	EXPECT(line, "level", "warn");
	json_object_put(line);
	for (size_t i = 0; i < COUNT_OF(quiet) + COUNT_OF(normal); i++) {
		bool is_quiet = i < COUNT_OF(quiet);
		char id[16];
		const char *address = is_quiet ? quiet[i] : normal[i - COUNT_OF(quiet)];
		struct reply r;

		(void)snprintf(id, sizeof id, "log-%zu", i);
		r = client_request(&talk.client, "GET", address,
			format("Authorization: Bearer operator-" SECRET "\r\nX-Request-Id: %s\r\n", id), NULL);

		cr_expect_eq(r.status, 200, "%s: %d", address, r.status);
		reply_free(&r);
		line = request_line(id);
		EXPECT(line, "route", i == COUNT_OF(quiet) + 1 ? "/problems/{code}" : address);
		EXPECT(line, "level", is_quiet ? "debug" : "info");
		json_object_put(line);
	}
	line = wait_line("request received", "request_id", "log-400");
	EXPECT(line, "level", "debug");
	json_object_put(line);
	/* The pool is drained: refused with 503. */
	cr_assert_eq(server_ctl(server, (const char *[]) { "drain", "--wait", NULL }, NULL, NULL, 60000), 0);
	client_disconnect(&talk.client);
	/* Those of before still serve. */
	workers_wait(server, 0, 1, 60000);
	line = ask("log-503", "GET", "/api/sessions", NULL, 503);
	EXPECT(line, "level", "error");
	json_object_put(line);
	stop();
}

/* ---- an answer ------------------------------------------------------------------------------------------------- */

Test(log, lines_of_an_answer_name_its_conversation_and_the_request_that_asked)
{
	static const char *const about[] = { "tool call done", "turn ended" };
	struct json_object *line;
	struct reply r;
	const char *turn;

	start("info", NULL);
	r = client_request(&talk.client, "POST", format("/api/sessions/%s/messages", talk.session),
		"X-Request-Id: log-ask\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\n",
		"{\"content\":\"x [sim:tool=add_task {\\\"title\\\":\\\"" SECRET "\\\"}]\"}");
	cr_assert_eq(r.status, 202, "%s", r.body);
	line = reply_json(&r);
	turn = talk_keep(json_at(line, "turn.id"));
	json_object_put(line);
	reply_free(&r);
	line = request_line("log-ask");
	EXPECT(line, "conversation_id", talk.conversation);
	json_object_put(line);
	for (size_t i = 0; i < COUNT_OF(about); i++) {
		line = wait_line(about[i], "turn_id", turn);
		EXPECT(line, "conversation_id", talk.conversation);
		EXPECT(line, "request_id", "log-ask");
		EXPECT(line, "trace_id", TRACE);
		json_object_put(line);
	}
	line = wait_line("tool call done", "turn_id", turn);
	EXPECT(line, "tool_name", "add_task");
	EXPECT(line, "outcome", "ok");
	cr_expect(number_at(line, "latency_ms") > 0);
	json_object_put(line);
	/* Those that only know the turn find its conversation. */
	line = ask("log-turn", "GET", format("/api/turns/%s", turn), NULL, 200);
	EXPECT(line, "conversation_id", talk.conversation);
	json_object_put(line);
	line = ask("log-stream", "GET", format("/api/turns/%s/stream", turn), NULL, 200);
	EXPECT(line, "conversation_id", talk.conversation);
	EXPECT(line, "route", "/api/turns/{id}/stream");
	json_object_put(line);
	line = ask("log-cancel", "POST", format("/api/turns/%s/cancel", turn), NULL, 200);
	EXPECT(line, "conversation_id", talk.conversation);
	json_object_put(line);
	stop();
}

Test(log, a_call_of_a_tool_that_fails_or_is_unknown_has_its_line_too)
{
	struct json_object *line;
	const char *turn;

	start("info", NULL);
	turn = talk_ask(&talk, "x [sim:tool=add_task {\"title\":\"\"}]", "");
	line = wait_line("tool call done", "turn_id", turn);
	EXPECT(line, "tool_name", "add_task");
	EXPECT(line, "outcome", "failed");
	json_object_put(line);
	turn = talk_ask(&talk, "x [sim:tool=" SECRET " {}]", "");
	line = wait_line("tool call done", "turn_id", turn);
	EXPECT(line, "tool_name", "unknown");
	json_object_put(line);
	stop();
}

Test(log, a_failed_call_of_the_model_is_joined_to_its_conversation)
{
	struct json_object *line;
	const char *turn;

	start("info", "RENOVATIOND_GEMINI_ATTEMPTS=1");
	turn = talk_ask(&talk, "x [sim:fault=400]", "");
	line = wait_line("model call failed", "turn_id", turn);
	EXPECT(line, "level", "warn");
	EXPECT(line, "conversation_id", talk.conversation);
	cr_expect_not_null(json_at(line, "request_id"));
	json_object_put(line);
	stop();
}

/* Whoever begins it does not know who asked. */
Test(log, an_answer_that_waited_for_the_one_before_has_a_trace_of_its_own)
{
	struct json_object *line;
	const char *first, *second;
	char trace[40] = "";

	start("info", NULL);
	pid_freeze(server->simulator->pid);
	first = talk_ask(&talk, "x", "");
	second = talk_ask(&talk, "y", "");
	pid_thaw(server->simulator->pid);
	json_object_put(wait_line("turn ended", "turn_id", first));
	line = wait_line("turn ended", "turn_id", second);
	for (const char *c = second; *c != '\0'; c++)
		if (*c != '-')
			trace[strlen(trace)] = *c;
	EXPECT(line, "conversation_id", talk.conversation);
	EXPECT(line, "trace_id", trace);
	expect_none(line, "request_id");
	json_object_put(line);
	stop();
}

/* ---- who ------------------------------------------------------------------------------------------------------- */

static bool is_reloaded(void *arg)
{
	(void)arg;

	char *log = process_errors(server->supervisor), *first = strstr(log, "\"msg\":\"options changed\"");
	bool is_done = first != NULL && strstr(first + 1, "\"msg\":\"options changed\"") != NULL;

	free(log);
	return is_done;
}

static void write_config(const char *text)
{
	FILE *file = fopen(format("%s/renovationd.conf", test_folder()), "w");

	must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void hash_of(const char *id, char out[17])
{
	char *said;

	cr_assert_eq(process_run((const char *[]) { "/bin/sh", "-c", format("printf %%s %s | sha256sum", id), NULL },
			     NULL, &said, NULL, 60000),
		0);
	(void)snprintf(out, 17, "%s", said);
	free(said);
}

Test(log, owners_can_be_told_apart_without_their_ids)
{
	struct json_object *line;
	char hash[17], *owner, *log;
	size_t before;

	write_config("");
	start("info", format("RENOVATIOND_TEST_CONFIG=%s/renovationd.conf", test_folder()));
	owner = owner_of(&talk);
	hash_of(owner, hash);
	write_config("log_user_hash = true;");
	process_signal(server->supervisor, SIGHUP);
	wait_until(is_reloaded, NULL, "the workers have taken the option", 60000);
	log = process_errors(server->supervisor);
	before = strlen(log);
	free(log);
	line = ask("log-hash", "GET", "/api/sessions", NULL, 200);
	EXPECT(line, "user_id", hash);
	json_object_put(line);
	log = process_errors(server->supervisor);
	cr_expect_null(strstr(log + before, owner), "the id is there all the same:\n%s", log + before);
	free(log);
	free(owner);
	stop();
}

/* ---- what is never in it --------------------------------------------------------------------------------------- */

static void send_raw(const void *bytes, size_t length)
{
	struct client c;
	struct reply r;

	client_init(&c, server->port);
	cr_assert(client_connect(&c));
	cr_expect(client_send(&c, bytes, length));
	r = client_receive(&c, false);
	reply_free(&r);
	client_fini(&c);
}

static void send_text(const char *text)
{
	send_raw(text, strlen(text));
}

/* Wherever a client can put bytes. */
static void send_secrets(void)
{
	static const char body[] = "{\"title\":\"" SECRET "\",\"" SECRET "\":1}";
	struct reply r = client_request(&talk.client, "POST", "/api/tasks?key=" SECRET,
		"Authorization: Bearer " SECRET "\r\nX-API-Key: " SECRET "\r\nCookie: renovationd_owner=" SECRET
		"\r\nX-Request-Id: \"" SECRET " with a quote\r\nUser-Agent: " SECRET "\r\nReferer: http://a/" SECRET
		"\r\nIdempotency-Key: " SECRET "\r\n",
		body);

	cr_expect_eq(r.status, 400, "%s", r.body);
	reply_free(&r);
	send_text("GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer operator-" SECRET "\r\n\r\n");
	send_text("GET /api/sessions HTTP/1.1\r\nHost: a\r\nX-Owner-Token: ro_" SECRET "\r\n\r\n");
	send_text("GET /api/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: " SECRET "\r\n\r\n");
	send_text("POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n"
		  "{\"id\":\"" SECRET);
}

static void send_hostile_bytes(void)
{
	static const char *const requests[] = { "GET /api/\"},{%22%0a%0d\\u0000 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /api/chat/%22%7d%0a%0d%01/stream HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /api/\x01\x02\x7f\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /api/%ff%fe%c0%af HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /api/\xc3\x28\xe2\x82 HTTP/1.1\r\nHost: a\r\n\r\n", "G\"ET / HTTP/1.1\r\nHost: a\r\n\r\n",
		("GET /health HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\",\"level\":\"x\r\n"
		 "traceparent: 00-\"\"\"\"-\xff-01\r\nX-Forwarded-For: \",\xff\xfe\r\n\r\n"),
		"GET /health HTTP/1.1\r\nHost: \"\xff\r\nX: \x80\"\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", "\"}\n{\"level\":\"x\"}\r\n\r\n" };
	static char nul[] = "GET /a\0b HTTP/1.1\r\nHost: a\0\r\n\r\n", longest[3000];

	for (size_t i = 0; i < COUNT_OF(requests); i++)
		send_text(requests[i]);
	send_raw(nul, sizeof nul - 1);
	(void)snprintf(longest, sizeof longest, "GET /%02000d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
	send_text(longest);
}

static void check_line(const char *line)
{
	struct json_object *parsed = json_tokener_parse(line);
	const char *level = parsed != NULL ? json_at(parsed, "level") : NULL;
	const char *path = parsed != NULL ? json_at(parsed, "path") : NULL;

	cr_expect(
		level != NULL && strstr("debug info warn error fatal", level) != NULL, "not a line of ours: %s", line);
	cr_expect(path == NULL || strlen(path) <= 800, "a path that fills the log: %s", line);
	json_object_put(parsed);
}

Test(log, has_no_secret_and_is_json_whatever_clients_send)
{
	char *log, *rest, *line;
	const char *turn;
	int lines = 0;

	start("debug", "GOOGLE_API_KEY=key-" SECRET);
	send_secrets();
	send_hostile_bytes();
	turn = talk_ask(&talk,
		"My password is " SECRET " [sim:tool=add_task {\"title\":\"" SECRET "\"}][sim:tool=" SECRET " {}]", "");
	talk_wait(&talk, turn, "completed", 60000);
	json_object_put(ask("log-last", "GET", "/api/sessions", NULL, 200));
	cr_expect_eq(server_stop(server), 0);
	log = process_errors(server->supervisor);
	cr_expect_null(strstr(log, SECRET), "%.300s", strstr(log, SECRET));
	cr_expect_null(strstr(log, talk.client.token), "an owner's token is there");
	cr_expect_null(strstr(log, talk.client.token + strlen("ro_")), "the token's bytes are there");
	rest = log;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0') {
			check_line(line);
			lines++;
		}
	cr_expect(lines > 20, "%d lines", lines);
	free(log);
	stop();
}
