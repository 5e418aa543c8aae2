/* stream.c: reads event streams for tests: the chunks of the answer, then lines, then events. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <poll.h>

#include "shared/buffer.h"
#include "tests/support/http.h"

static bool read_pending(struct stream *s)
{
	struct client *c = &s->client;
	struct pollfd ready = { .fd = c->fd, .events = POLLIN };
	char bytes[16384];

	if (c->fd < 0 || poll(&ready, 1, c->timeout_ms) != 1)
		return false;

	ssize_t length = recv(c->fd, bytes, sizeof bytes, 0);

	if (length <= 0) {
		s->is_ended = true;
		return false;
	}
	c->pending = must_realloc(c->pending, c->pending_length + (size_t)length + 1);
	memcpy(c->pending + c->pending_length, bytes, (size_t)length);
	c->pending_length += (size_t)length;
	c->pending[c->pending_length] = '\0';
	return true;
}

static void consume(struct client *c, size_t length)
{
	memmove(c->pending, c->pending + length, c->pending_length - length + 1);
	c->pending_length -= length;
}

void stream_open(struct stream *s, int port, const char *token, const char *path, const char *headers, const char *body)
{
	char *request = NULL, *end;
	int length;

	*s = (struct stream) { 0 };
	client_init(&s->client, port);
	s->client.timeout_ms = 14000; /* the next comment, after 15 s of silence, would hide that no event comes */
	if (!client_connect(&s->client))
		return;
	length = asprintf(&request,
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nX-Owner-Token: %s\r\n%s%s"
		"Content-Length: %zu\r\n\r\n%s",
		body != NULL ? "POST" : "GET", path, token, headers != NULL ? headers : "",
		body != NULL ? "Content-Type: application/json\r\n" : "", body != NULL ? strlen(body) : 0,
		body != NULL ? body : "");
	must(length > 0);

	bool is_sent = client_send(&s->client, request, (size_t)length);

	free(request);
	while (is_sent && (s->client.pending == NULL || (end = strstr(s->client.pending, "\r\n\r\n")) == NULL))
		if (!read_pending(s))
			return;
	if (!is_sent)
		return;
	s->head = must_strndup(s->client.pending, (size_t)(end - s->client.pending) + 4);
	consume(&s->client, strlen(s->head));
	s->status = (int)strtol(s->head + strcspn(s->head, " "), NULL, 10);
	s->is_chunked = strcasestr(s->head, "transfer-encoding: chunked") != NULL;
	s->text = must_strdup("");
}

static void take_text(struct stream *s, size_t length)
{
	s->text = must_realloc(s->text, s->text_length + length + 1);
	memcpy(s->text + s->text_length, s->client.pending, length);
	s->text_length += length;
	s->text[s->text_length] = '\0';
	consume(&s->client, length);
}

/* Moves what is there of the current chunk into `text`. False when more bytes are needed first. */
static bool dechunk(struct stream *s)
{
	struct client *c = &s->client;

	if (!s->is_chunked) {
		if (c->pending_length == 0)
			return false;
		take_text(s, c->pending_length);
		return true;
	}
	if (s->chunk_left == 0) {
		char *line_end = c->pending != NULL ? strstr(c->pending, "\r\n") : NULL;

		if (line_end == c->pending && line_end != NULL) { /* the CRLF that closes a chunk */
			consume(c, 2);
			return c->pending_length > 0;
		}
		if (line_end == NULL)
			return false;
		s->chunk_left = strtoul(c->pending, NULL, 16);
		consume(c, (size_t)(line_end - c->pending) + 2);
		if (s->chunk_left == 0) {
			s->is_ended = true;
			s->is_clean = true;
		}
		return true;
	}
	if (c->pending_length == 0)
		return false;

	size_t length = c->pending_length < s->chunk_left ? c->pending_length : s->chunk_left;

	take_text(s, length);
	s->chunk_left -= length;
	return true;
}

static void read_field(struct stream_event *e, const char *line, size_t length)
{
	if (length >= 3 && strncmp(line, "id:", 3) == 0) {
		(void)snprintf(
			e->id, sizeof e->id, "%.*s", (int)(length - 3 - (line[3] == ' ')), line + 3 + (line[3] == ' '));
	} else if (length >= 5 && strncmp(line, "data:", 5) == 0) {
		size_t skip = 5 + (length > 5 && line[5] == ' ');

		cr_assert(e->data == NULL, "an event of ours has one data line");
		e->data = must_strndup(line + skip, length - skip);
	} else if (length >= 6 && strncmp(line, "retry:", 6) == 0) {
		e->retry_ms = (int)strtol(line + 6, NULL, 10);
	}
}

static bool take_event(struct stream *s, struct stream_event *e)
{
	char *end = s->text != NULL ? strstr(s->text, "\n\n") : NULL;

	if (end == NULL)
		return false;
	*e = (struct stream_event) { .retry_ms = -1 };
	for (char *line = s->text; line < end + 1;) {
		size_t length = strcspn(line, "\n");

		read_field(e, line, length);
		line += length + 1;
	}

	size_t taken = (size_t)(end - s->text) + 2;

	memmove(s->text, s->text + taken, s->text_length - taken + 1);
	s->text_length -= taken;
	return true;
}

bool stream_next(struct stream *s, struct stream_event *e)
{
	for (;;) {
		if (take_event(s, e)) {
			if (e->data != NULL || e->retry_ms >= 0)
				return true;
			stream_event_free(e); /* a comment */
			continue;
		}
		if (s->is_ended)
			return false;
		if (!dechunk(s) && !read_pending(s))
			return false;
	}
}

void stream_event_free(struct stream_event *e)
{
	free(e->data);
	e->data = NULL;
}

void stream_close(struct stream *s)
{
	client_fini(&s->client);
	free(s->head);
	free(s->text);
	s->head = NULL;
	s->text = NULL;
}

static void add_delta(struct buffer *text, const char *json)
{
	struct json_object *part = strstr(json, "\"text-delta\"") != NULL ? json_tokener_parse(json) : NULL;

	if (part != NULL && json_at(part, "delta") != NULL)
		buffer_append_string(text, json_at(part, "delta"));
	json_object_put(part);
}

char *stream_rest(struct stream *s, char **text_out, char *last_id)
{
	struct buffer all = { 0 }, text = { 0 };
	struct stream_event e;

	while (stream_next(s, &e)) {
		if (e.data != NULL && e.id[0] != '\0') {
			buffer_printf(&all, "%s %s\n", e.id, e.data);
			add_delta(&text, e.data);
			if (last_id != NULL)
				(void)snprintf(last_id, 80, "%s", e.id);
		}
		stream_event_free(&e);
	}
	buffer_append_char(&all, '\0');
	buffer_append_char(&text, '\0');
	if (text_out != NULL)
		*text_out = text.bytes;
	else
		buffer_fini(&text);
	return all.bytes;
}
