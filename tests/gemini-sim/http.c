/* The simulator's HTTP server: listening, connections, and answers (whole, chunked, raw, cut, reset).
 * Called by service.c and stream.c. Requests are read in http_read.c. It knows nothing of Gemini and offers no TLS. */
#include "tests/gemini-sim/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/gemini-sim/connection.h"
#include "tests/gemini-sim/text.h"

struct http_server {
	struct event_base *base;             /* borrowed */
	struct evconnlistener *listener;     /* owned */
	struct http_options options;         /* as given */
	struct http_connection *connections; /* all open ones */
	size_t connection_count;             /* length of that list */
	uint64_t random;                     /* state of the split sizes */
	char date[40];                       /* the Date field's value */
	time_t date_s;                       /* the second it is for */
};

const struct http_options *http_server_options(const struct http_server *server)
{
	return &server->options;
}

int http_port(const struct http_server *server)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof address;
	getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &length);
	return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port)
					     : ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

size_t http_connections(const struct http_server *server)
{
	return server->connection_count;
}

void http_exchange_destroy(struct http_exchange **x)
{
	if (*x == NULL)
		return;
	free((*x)->fields);
	free((*x)->body);
	free((*x)->head);
	free(*x);
	*x = NULL;
}

static void http_free(struct http_connection *c)
{
	c->server->connection_count--;
	*c->at = c->next;
	if (c->next != NULL)
		c->next->at = c->at;
	http_exchange_destroy(&c->exchange);
	event_free(c->release);
	evbuffer_free(c->held);
	bufferevent_free(c->transport);
	free(c);
}

/* Freeing is left to the next loop turn, because callers up the stack still hold the connection. */
static void http_doom(struct http_connection *c)
{
	if (c->doomed)
		return;
	c->doomed = true;
	bufferevent_disable(c->transport, EV_READ | EV_WRITE);
	event_active(c->release, EV_TIMEOUT, 0);
}

static void http_end_if_sent(struct http_connection *c)
{
	if (c->phase != HTTP_PHASE_CLOSING || evbuffer_get_length(c->held) > 0 ||
		evbuffer_get_length(bufferevent_get_output(c->transport)) > 0)
		return;
	if (c->reset) {
		struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
		setsockopt(bufferevent_getfd(c->transport), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	}
	http_doom(c);
}

static void http_send(struct http_connection *c, const void *bytes, size_t length)
{
	size_t sent = 0;
	if (evbuffer_get_length(bufferevent_get_output(c->transport)) == 0) {
		ssize_t count = send(bufferevent_getfd(c->transport), bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent = count > 0 ? (size_t)count : 0;
	}
	if (sent < length)
		bufferevent_write(c->transport, (const char *)bytes + sent, length - sent);
}

static size_t http_random(struct http_server *server, size_t limit)
{
	server->random = server->random * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(server->random >> 33) % limit;
}

static void on_release(evutil_socket_t unused, short what, void *context)
{
	struct http_connection *c = context;
	(void)unused;
	(void)what;
	if (c->doomed) {
		http_free(c);
		return;
	}
	size_t waiting = evbuffer_get_length(c->held);
	int limit = c->exchange != NULL && c->exchange->split_bytes > 0 ? c->exchange->split_bytes : 16;
	size_t part = 1 + http_random(c->server, (size_t)limit);
	if (part > waiting)
		part = waiting;
	if (part > 0) {
		http_send(c, evbuffer_pullup(c->held, (ev_ssize_t)part), part);
		evbuffer_drain(c->held, part);
	}
	if (evbuffer_get_length(c->held) > 0)
		event_active(c->release, EV_TIMEOUT, 0);
	http_end_if_sent(c);
}

void http_push(struct http_connection *c, const void *bytes, size_t length, int split_bytes)
{
	if (c->doomed || length == 0)
		return;
	if (split_bytes > 0 || evbuffer_get_length(c->held) > 0) {
		evbuffer_add(c->held, bytes, length);
		event_active(c->release, EV_TIMEOUT, 0);
		return;
	}
	http_send(c, bytes, length);
}

void http_drop(struct http_connection *c)
{
	c->phase = HTTP_PHASE_CLOSING;
	http_end_if_sent(c);
}

static void on_read(struct bufferevent *transport, void *context)
{
	(void)transport;
	http_read_requests(context);
}

static void on_sent(struct bufferevent *transport, void *context)
{
	(void)transport;
	http_end_if_sent(context);
}

static void on_event(struct bufferevent *transport, short what, void *context)
{
	struct http_connection *c = context;
	(void)transport;
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) || c->doomed)
		return;
	/* A peer that only half-closes looks the same; no HTTP client we serve does that before its answer. */
	if (c->phase == HTTP_PHASE_ANSWER && c->exchange->on_gone != NULL)
		c->exchange->on_gone(c->exchange, c->exchange->owner);
	http_doom(c);
}

static void on_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *context)
{
	struct http_server *server = context;
	int on = 1;
	(void)listener;
	(void)address;
	(void)length;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct http_connection *c = memory_take(sizeof *c);
	c->server = server;
	c->transport = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->held = evbuffer_new();
	c->release = event_new(server->base, -1, 0, on_release, c);
	c->next = server->connections;
	if (c->next != NULL)
		c->next->at = &c->next;
	c->at = &server->connections;
	server->connections = c;
	server->connection_count++;
	bufferevent_setcb(c->transport, on_read, on_sent, on_event, c);
	bufferevent_enable(c->transport, EV_READ | EV_WRITE);
}

struct http_server *http_open(struct event_base *base, const struct http_options *options)
{
	struct sockaddr_storage address = { 0 };
	int length = sizeof address;
	struct text name = { 0 };
	text_format(&name, strchr(options->host, ':') != NULL ? "[%s]:%d" : "%s:%d", options->host,
		options->port == 0 ? 1 : options->port);
	int wrong = evutil_parse_sockaddr_port(name.bytes, (struct sockaddr *)&address, &length);
	text_fini(&name);
	if (wrong != 0) {
		errno = EINVAL;
		return NULL;
	}
	if (options->port == 0) /* the parser refuses port 0 */
		((struct sockaddr_in *)(void *)&address)->sin_port = 0;
	struct http_server *server = memory_take(sizeof *server);
	server->base = base;
	server->options = *options;
	server->random = options->seed;
	server->listener = evconnlistener_new_bind(base, on_accept, server,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 1024, (struct sockaddr *)&address,
		length);
	if (server->listener == NULL) {
		free(server);
		return NULL;
	}
	return server;
}

void http_close_server(struct http_server **server)
{
	if (*server == NULL)
		return;
	while ((*server)->connections != NULL)
		http_free((*server)->connections);
	evconnlistener_free((*server)->listener);
	free(*server);
	*server = NULL;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
	for (size_t i = 0; i < x->field_count; i++)
		if (strcasecmp(x->fields[i].name, name) == 0)
			return x->fields[i].value;
	return NULL;
}

bool http_query(const struct http_exchange *x, const char *name, char *out, size_t capacity)
{
	size_t length = strlen(name);
	for (const char *at = x->query; *at != '\0';) {
		size_t width = strcspn(at, "&");
		if (width > length && at[length] == '=' && memcmp(at, name, length) == 0) {
			char *value = memory_copy_part(at + length + 1, width - length - 1);
			char *decoded = evutil_ascii_strcasecmp(value, "") == 0 ? NULL : value;
			size_t count = 0;
			for (const char *c = decoded; c != NULL && *c != '\0' && count + 1 < capacity; c++) {
				char pair[3] = { 0 };
				if (*c == '%' && c[1] != '\0' && c[2] != '\0') {
					memcpy(pair, c + 1, 2);
					out[count++] = (char)strtoul(pair, NULL, 16);
					c += 2;
				} else {
					out[count++] = *c == '+' ? ' ' : *c;
				}
			}
			out[count] = '\0';
			free(value);
			return true;
		}
		at += width;
		if (*at == '&')
			at++;
	}
	return false;
}

const char *http_reason(int status)
{
	// clang-format off
	static const struct { int status; const char *reason; } reasons[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 413, "Payload Too Large" },
		{ 429, "Too Many Requests" }, { 499, "Client Closed Request" }, { 500, "Internal Server Error" },
		{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};
	// clang-format on
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

static const char *http_date(struct http_server *server)
{
	time_t now_s = time(NULL);
	if (now_s != server->date_s) {
		struct tm parts;
		gmtime_r(&now_s, &parts);
		strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
		server->date_s = now_s;
	}
	return server->date;
}

static void http_head(struct http_exchange *x, struct text *head, int status, const char *fields)
{
	text_format(head, "HTTP/1.1 %d %s\r\n%sDate: %s\r\nServer: gemini-sim\r\n", status, http_reason(status), fields,
		http_date(x->connection->server));
	if (!x->keep_alive)
		text_add(head, "Connection: close\r\n");
}

/* The exchange is over: read the next request or close. */
static void http_end(struct http_exchange *x)
{
	struct http_connection *c = x->connection;
	bool keep = x->keep_alive;
	http_exchange_destroy(&c->exchange);
	if (!keep) {
		http_drop(c);
		return;
	}
	c->phase = HTTP_PHASE_HEAD;
	if (evbuffer_get_length(bufferevent_get_input(c->transport)) > 0)
		bufferevent_trigger(c->transport, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

void http_reply(struct http_exchange *x, int status, const char *fields, const void *body, size_t length)
{
	struct text answer = { 0 };
	http_head(x, &answer, status, fields);
	if (status != 204)
		text_format(&answer, "Content-Length: %zu\r\n", length);
	text_add(&answer, "\r\n");
	if (strcmp(x->method, "HEAD") != 0)
		text_append(&answer, body, length);
	http_push(x->connection, answer.bytes, answer.length, x->split_bytes);
	text_fini(&answer);
	http_end(x);
}

void http_begin(struct http_exchange *x, int status, const char *fields)
{
	struct text head = { 0 };
	x->chunked = x->minor_one;
	if (!x->chunked)
		x->keep_alive = false;
	http_head(x, &head, status, fields);
	text_add(&head, x->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	http_push(x->connection, head.bytes, head.length, x->split_bytes);
	text_fini(&head);
}

void http_write(struct http_exchange *x, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	if (!x->chunked) {
		http_push(x->connection, bytes, length, x->split_bytes);
		return;
	}
	struct text chunk = { 0 };
	text_format(&chunk, "%zx\r\n", length);
	text_append(&chunk, bytes, length);
	text_append(&chunk, "\r\n", 2);
	http_push(x->connection, chunk.bytes, chunk.length, x->split_bytes);
	text_fini(&chunk);
}

void http_finish(struct http_exchange *x)
{
	if (x->chunked)
		http_push(x->connection, "0\r\n\r\n", 5, x->split_bytes);
	http_end(x);
}

void http_write_raw(struct http_exchange *x, const void *bytes, size_t length)
{
	http_push(x->connection, bytes, length, x->split_bytes);
}

void http_close(struct http_exchange *x)
{
	struct http_connection *c = x->connection;
	http_exchange_destroy(&c->exchange);
	http_drop(c);
}

void http_reset(struct http_exchange *x)
{
	x->connection->reset = true;
	http_close(x);
}
