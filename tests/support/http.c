/* http.c: requests and answers as plain bytes. Called by black-box tests; fails the test only where a helper says so, never for what a server answers. */
#include "config.h"
#include "tests/support/http.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/process.h"

#define ANSWER_MS 30000

const char *format(const char *pattern, ...)
{
	static char texts[32][4096];
	static int turn;
	char *text = texts[turn++ % 32];
	va_list args;

	va_start(args, pattern);
	(void)vsnprintf(text, sizeof texts[0], pattern, args);
	va_end(args);
	return text;
}

void client_init(struct client *c, int port)
{
	*c = (struct client) { .fd = -1, .port = port, .timeout_ms = ANSWER_MS };
}

void client_disconnect(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	free(c->pending);
	c->pending = NULL;
	c->pending_length = 0;
}

void client_fini(struct client *c)
{
	client_disconnect(c);
}

bool client_connect(struct client *c)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int one = 1;

	client_disconnect(c);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(c->fd >= 0);
	if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) {
		client_disconnect(c);
		return false;
	}
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return true;
}

bool client_send(struct client *c, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t sent = send(c->fd, at, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* More bytes into `pending`. 1 = some, 0 = closed, -1 = timeout or reset. */
static int read_more(struct client *c)
{
	struct pollfd ready = { .fd = c->fd, .events = POLLIN };
	char bytes[16384];

	if (c->fd < 0 || poll(&ready, 1, c->timeout_ms) != 1)
		return -1;

	ssize_t length = recv(c->fd, bytes, sizeof bytes, 0);

	if (length <= 0)
		return length == 0 ? 0 : -1;
	c->pending = must_realloc(c->pending, c->pending_length + (size_t)length + 1);
	memcpy(c->pending + c->pending_length, bytes, (size_t)length);
	c->pending_length += (size_t)length;
	c->pending[c->pending_length] = '\0';
	return 1;
}

static void consume(struct client *c, size_t length)
{
	memmove(c->pending, c->pending + length, c->pending_length - length + 1);
	c->pending_length -= length;
}

static char *head_field(const char *head, const char *name, char *out, size_t capacity)
{
	size_t name_length = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line != NULL && line[2] != '\0';
		line = strstr(line + 2, "\r\n")) {
		const char *field = line + 2;

		if (strncasecmp(field, name, name_length) != 0 || field[name_length] != ':')
			continue;

		const char *value = field + name_length + 1 + strspn(field + name_length + 1, " ");

		(void)snprintf(out, capacity, "%.*s", (int)strcspn(value, "\r"), value);
		return out;
	}
	return NULL;
}

const char *reply_header(const struct reply *r, const char *name)
{
	static char values[8][1024];
	static int turn;

	return r->head == NULL ? NULL : head_field(r->head, name, values[turn++ % 8], sizeof values[0]);
}

/* Reads until the head is whole; takes it out of `pending`. NULL when it does not come. */
static char *receive_head(struct client *c)
{
	char *end;

	while (c->pending == NULL || (end = strstr(c->pending, "\r\n\r\n")) == NULL)
		if (read_more(c) <= 0)
			return NULL;

	char *head = must_strndup(c->pending, (size_t)(end - c->pending) + 4);

	consume(c, strlen(head));
	return head;
}

static void append(struct reply *r, const char *bytes, size_t length)
{
	r->body = must_realloc(r->body, r->body_length + length + 1);
	memcpy(r->body + r->body_length, bytes, length);
	r->body_length += length;
	r->body[r->body_length] = '\0';
}

static bool take_bytes(struct client *c, struct reply *r, size_t length)
{
	while (c->pending_length < length)
		if (read_more(c) <= 0)
			return false;
	append(r, c->pending, length);
	consume(c, length);
	return true;
}

static bool receive_chunks(struct client *c, struct reply *r)
{
	for (;;) {
		char *end;

		while (c->pending == NULL || (end = strstr(c->pending, "\r\n")) == NULL)
			if (read_more(c) <= 0)
				return false;

		size_t length = strtoul(c->pending, NULL, 16);

		consume(c, (size_t)(end - c->pending) + 2);

		size_t before = r->body_length;

		if (!take_bytes(c, r, length + 2))
			return false;
		r->body_length = before + length;
		r->body[r->body_length] = '\0';
		if (length == 0)
			return true;
	}
}

static void receive_body(struct client *c, struct reply *r)
{
	char value[64];

	if (r->status == 204 || r->status == 304 || r->status / 100 == 1)
		return;
	if (head_field(r->head, "Transfer-Encoding", value, sizeof value) != NULL) {
		r->is_closed = !receive_chunks(c, r);
	} else if (head_field(r->head, "Content-Length", value, sizeof value) != NULL) {
		r->is_closed = !take_bytes(c, r, strtoul(value, NULL, 10));
	} else {
		while (read_more(c) > 0)
			;
		append(r, c->pending != NULL ? c->pending : "", c->pending_length);
		c->pending_length = 0;
		r->is_closed = true;
	}
}

struct reply client_receive(struct client *c, bool is_head)
{
	struct reply r = { .body = must_strdup("") };
	char value[128];

	r.head = receive_head(c);
	if (r.head == NULL) {
		r.is_closed = true;
		client_disconnect(c);
		return r;
	}
	r.status = (int)strtol(r.head + strcspn(r.head, " "), NULL, 10);
	if (!is_head)
		receive_body(c, &r);
	if (head_field(r.head, "X-Owner-Token", value, sizeof value) != NULL)
		(void)snprintf(c->token, sizeof c->token, "%.127s", value);
	if (head_field(r.head, "Connection", value, sizeof value) != NULL && strcasecmp(value, "close") == 0)
		r.is_closed = true;
	if (r.is_closed)
		client_disconnect(c);
	return r;
}

static bool send_request(struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	size_t body_length = body != NULL ? strlen(body) : 0;
	char *head = NULL;
	int length = asprintf(&head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s%s%s", method, path, c->port,
		c->token[0] != '\0' ? "X-Owner-Token: " : "", c->token, c->token[0] != '\0' ? "\r\n" : "",
		headers != NULL ? headers : "",
		body != NULL && (headers == NULL || strcasestr(headers, "content-type:") == NULL)
			? "Content-Type: application/json\r\n"
			: "");

	must(length > 0);

	char *whole = must_alloc((size_t)length + body_length + 64);
	int head_length =
		body != NULL ? snprintf(whole, (size_t)length + 64, "%sContent-Length: %zu\r\n\r\n", head, body_length)
			     : snprintf(whole, (size_t)length + 64, "%s\r\n", head);

	if (body != NULL)
		memcpy(whole + head_length, body, body_length);

	bool is_sent = client_send(c, whole, (size_t)head_length + body_length);

	free(head);
	free(whole);
	return is_sent;
}

struct reply client_request(
	struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	struct reply r = { 0 };
	bool is_head = strcmp(method, "HEAD") == 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		bool is_kept = c->fd >= 0;

		if (!is_kept && !client_connect(c))
			return (struct reply) { .body = must_strdup(""), .is_closed = true };
		if (send_request(c, method, path, headers, body) || !is_kept) {
			r = client_receive(c, is_head);
			if (r.status != 0 || !is_kept)
				return r;
			reply_free(&r);
		}
		client_disconnect(c);
	}
	return (struct reply) { .body = must_strdup(""), .is_closed = true };
}

bool client_hold_request(struct client *c, const char *path)
{
	struct reply r;
	bool is_held;

	client_disconnect(c);
	if (!client_connect(c) ||
		!send_request(c, "POST", path,
			"Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n", NULL))
		return false;
	r = client_receive(c, false);
	is_held = r.status == 100;
	reply_free(&r);
	return is_held;
}

void reply_free(struct reply *r)
{
	free(r->head);
	free(r->body);
	*r = (struct reply) { 0 };
}

struct json_object *reply_json(const struct reply *r)
{
	struct json_object *object = json_tokener_parse(r->body != NULL ? r->body : "");

	cr_assert(object != NULL, "status %d, body is not JSON: %.500s", r->status, r->body);
	return object;
}

struct json_object *json_object_at(struct json_object *object, const char *path)
{
	char copy[256], *rest = copy, *name;

	(void)snprintf(copy, sizeof copy, "%s", path);
	while (object != NULL && (name = strsep(&rest, ".")) != NULL) {
		struct json_object *inner = NULL;

		if (json_object_is_type(object, json_type_array))
			inner = json_object_array_get_idx(object, strtoul(name, NULL, 10));
		else
			(void)json_object_object_get_ex(object, name, &inner);
		object = inner;
	}
	return object;
}

const char *json_at(struct json_object *object, const char *path)
{
	struct json_object *found = json_object_at(object, path);

	return found == NULL ? NULL : json_object_get_string(found);
}

int get_status(int port, const char *path)
{
	struct client c;
	struct reply r;
	int status;

	client_init(&c, port);
	r = client_request(&c, "GET", path, NULL, NULL);
	status = r.status;
	reply_free(&r);
	client_fini(&c);
	return status;
}

int get_many(int port, int count)
{
	int good = 0;

	for (int i = 0; i < count; i++)
		good += get_status(port, "/health") == 200;
	return good;
}
