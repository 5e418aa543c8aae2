/* sim.c: starts a simulator and speaks to it over raw sockets. Used by the tests of the simulator itself; tests of the product use server.h. */
#include "config.h"
#include "tests/support/sim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"

struct sim *sim_start(const char *const options[])
{
	const char *argv[24] = { program_path("gemini-sim"), "--port", "0", "--chunk-delay-ms", "0" };
	struct sim *s = must_alloc(sizeof *s);
	int count = 5;

	for (; options != NULL && *options != NULL; options++)
		argv[count++] = *options;
	s->process = process_start(argv, NULL);

	char *line = process_wait_output(s->process, "listening on", 30000);

	cr_assert_eq(sscanf(line, "listening on http://127.0.0.1:%d", &s->port), 1, "unexpected line: %s", line);
	free(line);
	return s;
}

void sim_end(struct sim **s)
{
	process_signal((*s)->process, SIGTERM);
	cr_assert_eq(process_wait((*s)->process, 30000), 0, "the simulator did not end well");
	process_end(&(*s)->process);
	free(*s);
	*s = NULL;
}

struct reply sim_request(struct sim *s, const char *method, const char *path, const char *headers, const char *body)
{
	struct client c;
	const char *key =
		headers != NULL && strstr(headers, "x-goog-api-key") != NULL ? "" : "x-goog-api-key: " SIM_KEY "\r\n";

	client_init(&c, s->port);
	struct reply r = client_request(&c, method, path, format("%s%s", key, headers != NULL ? headers : ""), body);
	client_fini(&c);
	return r;
}

struct reply sim_post(struct sim *s, const char *model, const char *method, const char *body)
{
	return sim_request(s, "POST", format("/v1beta/models/%s:%s", model, method), NULL, body);
}

/* Appends what arrives until end of file, reset or thirty seconds of silence. */
static char *read_all(int fd, bool *was_reset_out)
{
	size_t length = 0, capacity = 4096;
	char *bytes = must_alloc(capacity);

	for (;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };

		cr_assert_gt(poll(&waiting, 1, 30000), 0,
			"the simulator sends nothing and keeps the connection; so far: %s", bytes);

		ssize_t count = recv(fd, bytes + length, capacity - length - 1, 0);

		if (count <= 0) {
			if (was_reset_out != NULL)
				*was_reset_out = count < 0 && errno == ECONNRESET;
			return bytes;
		}
		length += (size_t)count;
		bytes[length] = '\0';
		if (capacity - length < 4096) {
			capacity *= 2;
			bytes = must_realloc(bytes, capacity);
		}
	}
}

char *sim_raw(struct sim *s, const char *path, const char *body, bool *was_reset_out)
{
	struct client c;
	char head[512];

	client_init(&c, s->port);
	cr_assert(client_connect(&c));
	(void)snprintf(head, sizeof head,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nx-goog-api-key: " SIM_KEY
		"\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		path, strlen(body));
	cr_assert(client_send(&c, head, strlen(head)) && client_send(&c, body, strlen(body)));

	char *bytes = read_all(c.fd, was_reset_out);

	client_fini(&c);
	return bytes;
}

static void add_text(char **joined, const char *text)
{
	size_t before = strlen(*joined), more = strlen(text);

	*joined = must_realloc(*joined, before + more + 1);
	memcpy(*joined + before, text, more + 1);
}

static void take_parts(struct sim_answer *a, struct json_object *parts)
{
	bool has_text = false;

	for (size_t i = 0; parts != NULL && i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		struct json_object *member;

		if (json_object_object_get_ex(part, "text", &member)) {
			add_text(&a->text, json_object_get_string(member));
			has_text = has_text || json_object_get_string_len(member) > 0;
		}
		if (json_object_object_get_ex(part, "functionCall", &member))
			json_object_array_add(a->calls, json_object_get(member));
	}
	a->texts += has_text;
}

static void take_event(struct sim_answer *a, struct json_object *event)
{
	struct json_object *candidate = json_object_at(event, "candidates.0");
	const char *error = json_at(event, "error.status");
	const char *finish = candidate != NULL ? json_at(candidate, "finishReason") : NULL;

	a->events++;
	json_object_array_add(a->list, event);
	if (error != NULL)
		(void)snprintf(a->error, sizeof a->error, "%s", error);
	if (finish != NULL)
		(void)snprintf(a->finish, sizeof a->finish, "%s", finish);
	if (candidate != NULL)
		take_parts(a, json_object_at(candidate, "content.parts"));
}

struct sim_answer sim_stream(struct sim *s, const char *model, const char *body, const char *delimiter)
{
	struct reply r = sim_post(s, model, "streamGenerateContent?alt=sse", body);
	struct sim_answer a = { .status = r.status,
		.list = json_object_new_array(),
		.calls = json_object_new_array(),
		.text = must_strdup("") };
	const char *at = r.body != NULL ? r.body : "";
	const char *end;

	if (delimiter == NULL)
		delimiter = "\r\n\r\n";
	while (strncmp(at, "data: ", 6) == 0 && (end = strstr(at, delimiter)) != NULL) {
		char *json = must_strndup(at + 6, (size_t)(end - at) - 6);
		struct json_object *event = json_tokener_parse(json);

		free(json);
		if (event == NULL)
			break;
		take_event(&a, event);
		at = end + strlen(delimiter);
	}
	a.rest = must_strdup(at);
	reply_free(&r);
	return a;
}

void sim_answer_free(struct sim_answer *a)
{
	json_object_put(a->list);
	json_object_put(a->calls);
	free(a->text);
	free(a->rest);
	*a = (struct sim_answer) { 0 };
}

const char *sim_question(const char *text, const char *more)
{
	struct json_object *string = json_object_new_string(text);
	const char *body = format("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":%s}]}]%s}",
		json_object_to_json_string_ext(string, JSON_C_TO_STRING_PLAIN), more);

	json_object_put(string);
	return body;
}

void sim_fault(struct sim *s, const char *rules)
{
	struct reply r = sim_request(s, "POST", "/sim/faults", NULL, rules);

	cr_assert_eq(r.status, 204, "%s", r.body);
	reply_free(&r);
}

int64_t sim_stat(struct sim *s, const char *name)
{
	struct reply r = sim_request(s, "GET", "/sim/stats", NULL, NULL);
	struct json_object *stats = reply_json(&r);
	int64_t value = json_object_get_int64(json_object_at(stats, name));

	json_object_put(stats);
	reply_free(&r);
	return value;
}

void sim_wait_open(struct sim *s, int64_t count)
{
	int64_t deadline = now_ms() + 30000, open;

	while ((open = sim_stat(s, "open")) != count) {
		cr_assert(now_ms() < deadline, "%d answers are under way, not %d", (int)open, (int)count);
		pause_ms(5);
	}
}
