/* talk.c: see talk.h. Used by the black-box tests of chat and take-over. */
#include "config.h"
#include "tests/support/talk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void talk_init(struct talk *t, struct server *s)
{
	t->server = s;
	client_init(&t->client, s->port);
	server_owner(s, &t->client);
	(void)snprintf(t->session, sizeof t->session, "%s", server_new_session(&t->client, "Kitchen"));
	(void)snprintf(t->conversation, sizeof t->conversation, "%s", server_conversation(&t->client, t->session));
}

void talk_fini(struct talk *t)
{
	client_fini(&t->client);
}

struct reply talk_post(struct talk *t, const char *content, const char *more)
{
	struct json_object *text = json_object_new_string(content);
	struct reply r = client_request(&t->client, "POST", format("/api/conversations/%s/messages", t->conversation),
		NULL, format("{\"content\":%s%s}", json_object_to_json_string(text), more));

	json_object_put(text);
	return r;
}

/* Ids outlive many calls of format(). */
const char *talk_keep(const char *id)
{
	static char kept[64][64];
	static unsigned next;
	char *room = kept[next++ % 64];

	(void)snprintf(room, sizeof kept[0], "%s", id);
	return room;
}

const char *talk_ask(struct talk *t, const char *content, const char *more)
{
	struct reply r = talk_post(t, content, more);

	cr_assert_eq(r.status, 202, "asking gave %d: %s", r.status, r.body);

	struct json_object *body = reply_json(&r);
	const char *turn = talk_keep(json_at(body, "turn.id"));

	json_object_put(body);
	reply_free(&r);
	return turn;
}

struct json_object *talk_turn(struct talk *t, const char *turn)
{
	struct reply r = client_request(&t->client, "GET", format("/api/turns/%s", turn), NULL, NULL);

	cr_assert_eq(r.status, 200, "reading the turn gave %d: %s", r.status, r.body);

	struct json_object *body = reply_json(&r);

	reply_free(&r);
	return body;
}

const char *talk_status(struct talk *t, const char *turn)
{
	struct reply r = client_request(&t->client, "GET", format("/api/turns/%s", turn), NULL, NULL);
	const char *status = "unavailable";

	if (r.status != 503) {
		cr_assert_eq(r.status, 200, "reading the turn gave %d: %s", r.status, r.body);

		struct json_object *body = reply_json(&r);

		status = format("%s", json_at(body, "status"));
		json_object_put(body);
	}
	reply_free(&r);
	return status;
}

void talk_wait(struct talk *t, const char *turn, const char *status, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (strcmp(talk_status(t, turn), status) != 0) {
		cr_assert(now_ms() < deadline, "the turn is %s, not %s", talk_status(t, turn), status);
		pause_ms(10);
	}
}

struct json_object *talk_answer(struct talk *t, const char *turn)
{
	struct reply r = client_request(
		&t->client, "GET", format("/api/conversations/%s/messages?limit=100", t->conversation), NULL, NULL);
	struct json_object *body, *list, *found = NULL;

	cr_assert_eq(r.status, 200, "reading the messages gave %d: %s", r.status, r.body);
	body = reply_json(&r);
	list = json_object_object_get(body, "data");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *m = json_object_array_get_idx(list, i);

		if (strcmp(json_at(m, "role"), "assistant") == 0 && strcmp(json_at(m, "turnId"), turn) == 0)
			found = json_object_get(m);
	}
	json_object_put(body);
	reply_free(&r);
	cr_assert_not_null(found, "the turn has no answer");
	return found;
}

void talk_hush(struct talk *t, int skip, int chunks)
{
	struct reply r = simulator_request(t->server, "POST", "/sim/faults",
		format("[{\"match\":{\"method\":\"streamGenerateContent\"},\"skip\":%d,\"times\":1,"
		       "\"fault\":\"silence_middle\",\"params\":{\"afterChunks\":%d}}]",
			skip, chunks));

	cr_assert_eq(r.status, 204, "%d %s", r.status, r.body);
	reply_free(&r);
}

static bool is_hushed(void *arg)
{
	const struct talk *t = arg;
	struct reply r = simulator_request(t->server, "GET", "/sim/faults", NULL);
	struct json_object *rules = reply_json(&r);
	int left = 0;

	for (size_t i = 0; i < json_object_array_length(rules); i++)
		left += json_object_get_int(json_object_at(json_object_array_get_idx(rules, i), "times"));
	json_object_put(rules);
	reply_free(&r);
	return left == 0;
}

void talk_wait_hushed(struct talk *t)
{
	wait_until(is_hushed, t, "the model is asked for the answers that it shall not end", 30000);
}

struct json_object *talk_model_calls(struct talk *t)
{
	struct reply r = simulator_request(t->server, "GET", "/sim/log", NULL);
	struct json_object *calls = json_object_new_array();
	char *rest = NULL;

	cr_assert_eq(r.status, 200, "the simulator's log gave %d", r.status);
	for (char *line = strtok_r(r.body, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		struct json_object *entry = json_tokener_parse(line);

		if (strcmp(json_at(entry, "method"), "streamGenerateContent") == 0)
			json_object_array_add(calls, entry);
		else
			json_object_put(entry);
	}
	reply_free(&r);
	return calls;
}

/* --- following -------------------------------------------------------------------------------------------------------------- */

static void append(char **at, const char *text)
{
	size_t length = *at != NULL ? strlen(*at) : 0;

	*at = realloc(*at, length + strlen(text) + 1);
	memcpy(*at + length, text, strlen(text) + 1);
}

static void take_event(struct followed *f, const struct stream_event *e)
{
	struct json_object *part;
	const char *dot = strchr(e->id, '.');

	if (e->data == NULL)
		return;
	if (strcmp(e->data, "[DONE]") == 0) {
		f->is_done = true;
		return;
	}
	part = json_tokener_parse(e->data);
	cr_assert_not_null(part, "an event is no JSON: %s", e->data);
	if (strcmp(json_at(part, "type"), "data-rewind") == 0)
		f->rewinds++;
	if (dot != NULL) {
		const char *last = strchr(f->last_id, '.');

		f->has_gap =
			f->has_gap || (last != NULL && strtol(dot + 1, NULL, 10) != strtol(last + 1, NULL, 10) + 1);
		f->count++;
		(void)snprintf(f->last_id, sizeof f->last_id, "%s", e->id);
		append(&f->events, e->id);
		append(&f->events, " ");
		append(&f->events, e->data);
		append(&f->events, "\n");
		if (strcmp(json_at(part, "type"), "text-delta") == 0)
			append(&f->text, json_at(part, "delta"));
	}
	json_object_put(part);
}

struct followed talk_follow(struct talk *t, const char *turn, const char *from, int timeout_ms)
{
	struct followed f = { .reconnects = -1 };
	int64_t deadline = now_ms() + timeout_ms;
	struct stream_event e;

	append(&f.events, "");
	append(&f.text, "");
	(void)snprintf(f.last_id, sizeof f.last_id, "%s", from);
	while (!f.is_done) {
		struct stream s;
		const char *header = f.last_id[0] != '\0' ? format("Last-Event-ID: %s\r\n", f.last_id) : NULL;

		cr_assert(now_ms() < deadline, "the stream did not end; last event %s", f.last_id);
		stream_open(&s, t->server->port, t->client.token, format("/api/turns/%s/stream", turn), header, NULL);
		f.reconnects++;
		f.is_done = s.status == 204;
		while (s.status == 200 && !f.is_done && stream_next(&s, &e)) {
			int rewinds = f.rewinds;

			take_event(&f, &e);
			if (f.rewinds > rewinds) {
				free(f.events);
				free(f.text);
				f.events = f.text = NULL;
				append(&f.events, "");
				append(&f.text, "");
				f.last_id[0] = '\0';
			}
			stream_event_free(&e);
		}
		stream_close(&s);
		if (!f.is_done)
			pause_ms(20);
	}
	return f;
}

void followed_free(struct followed *f)
{
	free(f->events);
	free(f->text);
	*f = (struct followed) { 0 };
}

pid_t talk_writer(struct talk *t, const char *turn)
{
	char *lease = cluster_sql(t->server->cluster, t->server->database,
		format("SELECT coalesce(lease_owner, '') FROM renovationd.turns WHERE id = '%s'", turn));
	char *end = strrchr(lease, '/'), *slot;
	pid_t pids[64], found = 0;
	int count = server_workers(t->server, pids, 64);

	if (end == NULL) {
		free(lease);
		return 0;
	}
	*end = '\0';
	slot = strrchr(lease, '/') + 1;
	for (int i = 0; i < count; i++) {
		char path[64], line[4096];
		FILE *f;
		size_t length;

		(void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pids[i]);
		f = fopen(path, "r");
		length = f != NULL ? fread(line, 1, sizeof line - 1, f) : 0;
		if (f != NULL)
			(void)fclose(f);
		line[length] = '\0';
		for (size_t at = 0; at < length; at += strlen(line + at) + 1)
			if (strcmp(line + at, "--slot") == 0 && strcmp(line + at + strlen("--slot") + 1, slot) == 0)
				found = pids[i];
	}
	free(lease);
	return found;
}
