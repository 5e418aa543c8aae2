/* Reads HTTP/1.1 requests from a connection: head, fields, body of known length or chunked, `Expect: 100-continue`.
 * Called by http.c. Lenient like a lab server may be, except that it never reads past what it can bound. */
#include "tests/gemini-sim/connection.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/gemini-sim/text.h"
#include "tests/gemini-sim/wheel.h"

#define HEAD_LIMIT_BYTES (64 * 1024)

static void http_refuse(struct http_connection *c, const char *status)
{
	struct text answer = { 0 };
	text_format(&answer, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	http_push(c, answer.bytes, answer.length, 0);
	text_fini(&answer);
	http_exchange_destroy(&c->exchange);
	http_drop(c);
}

static char *trim(char *value)
{
	while (*value == ' ' || *value == '\t')
		value++;
	size_t length = strlen(value);
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		value[--length] = '\0';
	return value;
}

static bool http_parse_line(struct http_exchange *x, char *line)
{
	char *target = strchr(line, ' ');
	char *version = target == NULL ? NULL : strchr(target + 1, ' ');
	if (version == NULL || !starts_with(version, " HTTP/1."))
		return false;
	*target++ = '\0';
	*version++ = '\0';
	x->method = line;
	x->minor_one = strcmp(version, "HTTP/1.0") != 0;
	x->keep_alive = x->minor_one;
	if (starts_with(target, "http://")) {
		target = strchr(target + strlen("http://"), '/');
		if (target == NULL)
			return false;
	}
	x->path = target;
	char *query = strchr(target, '?');
	if (query != NULL)
		*query++ = '\0';
	x->query = query == NULL ? "" : query;
	return *target == '/';
}

static bool http_parse_head(struct http_exchange *x)
{
	char *line = x->head;
	bool first = true;
	while (line != NULL && *line != '\0') {
		char *end = strstr(line, "\r\n");
		if (end != NULL)
			*end = '\0';
		if (first) {
			if (!http_parse_line(x, line))
				return false;
			first = false;
		} else {
			char *colon = strchr(line, ':');
			if (colon == NULL)
				return false;
			*colon = '\0';
			x->fields = memory_resize(x->fields, (x->field_count + 1) * sizeof *x->fields);
			x->fields[x->field_count++] = (struct http_field) { .name = line, .value = trim(colon + 1) };
		}
		line = end == NULL ? NULL : end + 2;
	}
	return !first;
}

static void http_handle(struct http_connection *c, http_handler_fn *handle)
{
	c->phase = HTTP_PHASE_ANSWER;
	c->exchange->received_ms = wheel_now_ms();
	handle(c->exchange, http_server_options(c->server)->context);
}

static void http_handle_too_large(struct http_connection *c)
{
	c->exchange->keep_alive = false;
	http_handle(c, http_server_options(c->server)->too_large);
}

static void http_begin_body(struct http_connection *c)
{
	struct http_exchange *x = c->exchange;
	const char *value = http_header(x, "Connection");
	if (value != NULL)
		x->keep_alive =
			find_no_case(value, "close") == NULL && (x->minor_one || find_no_case(value, "keep-alive"));
	const char *encoding = http_header(x, "Transfer-Encoding");
	const char *length = http_header(x, "Content-Length");
	c->body_left = length == NULL ? 0 : strtoull(length, NULL, 10);
	if (c->body_left > http_server_options(c->server)->body_limit_bytes) {
		http_handle_too_large(c);
		return;
	}
	c->phase = HTTP_PHASE_BODY;
	if (encoding != NULL && find_no_case(encoding, "chunked") != NULL) {
		c->phase = HTTP_PHASE_CHUNKS;
		c->body_left = 0;
		c->trailer = false;
	}
	const char *expect = http_header(x, "Expect");
	if (expect != NULL && strcasecmp(expect, "100-continue") == 0)
		http_push(c, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0);
}

/* Each of the three readers says whether it made progress. */
static bool http_read_head(struct http_connection *c, struct evbuffer *input)
{
	while (evbuffer_get_length(input) >= 2) {
		unsigned char *start = evbuffer_pullup(input, 2);
		if (start[0] != '\r' || start[1] != '\n')
			break;
		evbuffer_drain(input, 2);
	}
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	if (end.pos < 0) {
		if (evbuffer_get_length(input) > HEAD_LIMIT_BYTES)
			http_refuse(c, "431 Request Header Fields Too Large");
		return false;
	}
	struct http_exchange *x = memory_take(sizeof *x);
	size_t length = (size_t)end.pos;
	x->connection = c;
	x->head = memory_take(length + 1);
	evbuffer_remove(input, x->head, length);
	evbuffer_drain(input, 4);
	c->exchange = x;
	if (!http_parse_head(x)) {
		http_refuse(c, "400 Bad Request");
		return false;
	}
	http_begin_body(c);
	return true;
}

static void http_add_body(struct http_connection *c, struct evbuffer *input)
{
	struct http_exchange *x = c->exchange;
	size_t take = evbuffer_get_length(input) < c->body_left ? evbuffer_get_length(input) : c->body_left;
	if (x->body_length + take + 1 > x->body_capacity) {
		x->body_capacity = (x->body_length + (c->phase == HTTP_PHASE_BODY ? c->body_left : 2 * take)) + 1;
		x->body = memory_resize(x->body, x->body_capacity);
	}
	evbuffer_remove(input, x->body + x->body_length, take);
	x->body_length += take;
	x->body[x->body_length] = '\0';
	c->body_left -= take;
}

static bool http_read_body(struct http_connection *c, struct evbuffer *input)
{
	http_add_body(c, input);
	if (c->body_left > 0)
		return false;
	http_handle(c, http_server_options(c->server)->handle);
	return true;
}

static bool http_read_chunk(struct http_connection *c, struct evbuffer *input)
{
	if (c->body_left > 0) {
		if (evbuffer_get_length(input) == 0)
			return false;
		http_add_body(c, input);
		return true;
	}
	char *line = evbuffer_readln(input, NULL, EVBUFFER_EOL_CRLF);
	if (line == NULL)
		return false;
	bool empty = line[0] == '\0';
	unsigned long long size = strtoull(line, NULL, 16);
	free(line);
	if (c->trailer) {
		if (empty) {
			http_add_body(c, input);
			http_handle(c, http_server_options(c->server)->handle);
		}
		return true;
	}
	if (empty) /* the line end after a chunk's bytes */
		return true;
	if (c->exchange->body_length + size > http_server_options(c->server)->body_limit_bytes) {
		http_handle_too_large(c);
		return true;
	}
	c->body_left = size;
	c->trailer = size == 0;
	return true;
}

void http_read_requests(struct http_connection *c)
{
	struct evbuffer *input = bufferevent_get_input(c->transport);
	bool progress = true;
	while (progress && !c->doomed) {
		switch (c->phase) {
		case HTTP_PHASE_HEAD: progress = http_read_head(c, input); break;
		case HTTP_PHASE_BODY: progress = http_read_body(c, input); break;
		case HTTP_PHASE_CHUNKS: progress = http_read_chunk(c, input); break;
		case HTTP_PHASE_ANSWER: progress = false; break;
		case HTTP_PHASE_CLOSING:
			evbuffer_drain(input, evbuffer_get_length(input));
			progress = false;
			break;
		}
	}
}
