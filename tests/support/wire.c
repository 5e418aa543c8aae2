/* wire.c: see wire.h. Called by load.c. Reads answers by Content-Length or chunks as they come; believes nothing else. */
#include "config.h"
#include "tests/support/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"

#define CHUNK_HEAD -1
#define TO_THE_END -2

static void on_event(evutil_socket_t fd, short what, void *arg);

void wire_init(struct wire *w, struct event_base *base, int port)
{
	*w = (struct wire) { .base = base, .port = port, .fd = -1 };
	buffer_init(&w->out);
	buffer_init(&w->in);
}

void wire_close(struct wire *w)
{
	if (w->fd < 0)
		return;
	(void)event_del(&w->event);
	(void)close(w->fd);
	w->fd = -1;
	w->is_reused = false;
	buffer_clear(&w->in);
	buffer_clear(&w->out);
}

void wire_fini(struct wire *w)
{
	wire_close(w);
	buffer_fini(&w->in);
	buffer_fini(&w->out);
}

static void end(struct wire *w, const char *problem)
{
	if (problem != NULL || w->is_last)
		wire_close(w);
	w->is_reused = w->fd >= 0;
	w->is_asking = false;
	w->on_end(w->arg, problem);
}

static void want(struct wire *w)
{
	short events = (short)(EV_READ | EV_PERSIST | (buffer_length(&w->out) > 0 ? EV_WRITE : 0));

	if (event_get_events(&w->event) == events && event_pending(&w->event, EV_READ, NULL))
		return;
	(void)event_del(&w->event);
	must(event_assign(&w->event, w->base, w->fd, events, on_event, w) == 0 && event_add(&w->event, NULL) == 0);
}

/* False when the connection is gone. */
static bool flush(struct wire *w)
{
	while (buffer_length(&w->out) > 0) {
		struct text rest = buffer_text(&w->out);
		ssize_t sent = send(w->fd, rest.bytes, rest.length, MSG_NOSIGNAL);

		if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN))
			break;
		if (sent < 0) {
			end(w, w->is_reused ? "a kept connection was closed under the request" : "cannot connect");
			return false;
		}
		buffer_consume(&w->out, (size_t)sent);
	}
	want(w);
	return true;
}

static void dial(struct wire *w)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int on = 1;

	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(w->fd >= 0);
	(void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)connect(w->fd, (struct sockaddr *)&to, sizeof to); /* its fault shows when we write */
	must(event_assign(&w->event, w->base, w->fd, EV_READ | EV_PERSIST, on_event, w) == 0);
}

void wire_ask(struct wire *w, struct text request)
{
	must(!w->is_asking);
	w->is_asking = true;
	w->has_byte = w->has_head = w->is_chunked = w->is_last = false;
	w->status = 0;
	if (w->fd < 0)
		dial(w);
	buffer_append_text(&w->out, request);
	(void)want(w); /* goes out when the loop says so: on_end never comes inside this call */
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

static const char *field(const char *head, const char *name)
{
	const char *found = strcasestr(head, name);

	return found != NULL ? found + strlen(name) : NULL;
}

/* False when more must come first. */
static bool take_head(struct wire *w)
{
	struct text in = buffer_text(&w->in);
	const char *stop = in.length > 0 ? memmem(in.bytes, in.length, "\r\n\r\n", 4) : NULL;
	const char *length, *connection;
	char *head;

	if (stop == NULL)
		return false;
	head = must_strndup(in.bytes, (size_t)(stop - in.bytes) + 2);
	buffer_consume(&w->in, (size_t)(stop - in.bytes) + 4);
	w->has_head = true;
	w->status = (int)strtol(head + strcspn(head, " "), NULL, 10);
	w->is_chunked = field(head, "\r\ntransfer-encoding: chunked") != NULL;
	length = field(head, "\r\ncontent-length: ");
	connection = field(head, "\r\nconnection: ");
	w->is_last = connection != NULL && strncasecmp(connection, "close", 5) == 0;
	w->left = w->is_chunked ? CHUNK_HEAD : length != NULL ? strtol(length, NULL, 10) : TO_THE_END;
	if (w->status == 204)
		w->left = 0;
	free(head);
	return true;
}

/* One step through the body; false when more must come first or the answer has ended. */
static bool take_body(struct wire *w)
{
	struct text in = buffer_text(&w->in);
	size_t length;

	if (w->left == 0 && !w->is_chunked) {
		end(w, NULL);
		return false;
	}
	if (w->left == CHUNK_HEAD) {
		const char *stop = in.length > 0 ? memmem(in.bytes, in.length, "\r\n", 2) : NULL;

		if (stop == NULL)
			return false;
		w->left = strtol(in.bytes, NULL, 16);
		if (w->left > 0) {
			buffer_consume(&w->in, (size_t)(stop - in.bytes) + 2);
			return true;
		}
		if (in.length < 5) { /* "0\r\n\r\n" */
			w->left = CHUNK_HEAD;
			return false;
		}
		buffer_consume(&w->in, 5);
		end(w, NULL);
		return false;
	}
	if (w->left == 0) { /* behind a chunk */
		if (in.length < 2)
			return false;
		buffer_consume(&w->in, 2);
		w->left = CHUNK_HEAD;
		return true;
	}
	length = w->left > 0 && in.length > (size_t)w->left ? (size_t)w->left : in.length;
	if (length == 0)
		return false;
	if (w->left > 0)
		w->left -= (long)length;
	w->on_body(w->arg, text_span(in.bytes, length));
	buffer_consume(&w->in, length);
	return true;
}

static void on_closed(struct wire *w)
{
	if (!w->is_asking) {
		w->unasked_ends++;
		wire_close(w);
	} else if (w->has_head && w->left == TO_THE_END) {
		w->is_last = true;
		end(w, NULL);
	} else if (w->has_byte) {
		end(w, "the answer was cut");
	} else {
		end(w, w->is_reused ? "a kept connection was closed under the request" : "closed without an answer");
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;
	char bytes[16384];
	ssize_t length;

	if ((what & EV_WRITE) && !flush(w))
		return;
	if (!(what & EV_READ))
		return;
	length = recv(fd, bytes, sizeof bytes, 0);
	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		on_closed(w);
		return;
	}
	w->has_byte = true;
	buffer_append(&w->in, bytes, (size_t)length);
	if (!w->has_head && (!w->is_asking || !take_head(w)))
		return;
	while (w->is_asking && take_body(w))
		;
}
