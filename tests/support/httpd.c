/* httpd.c: see httpd.h. Used by the unit tests of worker/http. Reads answers byte by byte where it must not take bytes of the next one. */
#include "config.h"
#include "tests/support/httpd.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/log.h"

#define WAIT_MS 30000

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int listen_on_loopback(int *port_out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(fd, 128), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

static struct httpd *giving; /* whose server gives: its context is the test's */

static enum http_gift on_give(void *context, int fd, const char *client, bool is_fresh)
{
	(void)context;
	(void)client;
	(void)is_fresh;
	giving->gifts++;
	if (giving->gift == HTTP_GIFT_TAKEN)
		giving->given_fd = dup(fd);
	return giving->gift;
}

void httpd_open(struct httpd *h, const struct route *routes, size_t count, authenticate_fn *authenticate, void *context)
{
	*h = (struct httpd) { .base = event_base_new(), .gift = HTTP_GIFT_NOBODY, .given_fd = -1 };
	giving = h;
	options_init(&h->limits);
	log_set_level(LOG_FATAL);
	cr_assert_eq(scoreboard_create(&h->board_fd, &h->board), ERROR_NONE);
	h->listener = listen_on_loopback(&h->port);

	struct http_options options = { .base = h->base,
		.listener = h->listener,
		.admin_listener = -1,
		.limits = &h->limits,
		.board = h->board,
		.routes = routes,
		.route_count = count,
		.authenticate = authenticate,
		.give = on_give,
		.context = context };

	cr_assert_eq(http_open(&options, &h->server), ERROR_NONE);
	http_start(h->server);
}

void httpd_close(struct httpd *h)
{
	http_close(&h->server);
	cr_assert_null(h->server);
	(void)close(h->listener);
	event_base_free(h->base);
	options_fini(&h->limits);
	scoreboard_unmap(&h->board);
	close(h->board_fd);
}

void httpd_turn(struct httpd *h)
{
	(void)event_base_loop(h->base, EVLOOP_NONBLOCK);
}

bool httpd_wait(struct httpd *h, bool (*is_true)(void *arg), void *arg)
{
	int64_t deadline = now_ms() + WAIT_MS;
	struct timeval pause = { .tv_usec = 2000 };

	while (!is_true(arg)) {
		if (now_ms() > deadline)
			return false;
		(void)event_base_loopexit(h->base, &pause);
		(void)event_base_loop(h->base, EVLOOP_ONCE);
	}
	return true;
}

int httpd_connect(struct httpd *h)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

void httpd_send(struct httpd *h, int fd, struct text bytes)
{
	int64_t deadline = now_ms() + WAIT_MS;

	while (bytes.length > 0) {
		ssize_t sent = send(fd, bytes.bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0)
			bytes = text_span(bytes.bytes + sent, bytes.length - (size_t)sent);
		else if (errno != EAGAIN || now_ms() > deadline)
			return; /* the server has closed: the test sees it when it reads */
		httpd_turn(h);
	}
	httpd_turn(h);
}

/* Waits for up to `length` bytes; 0 at the end of the connection, -1 when nothing came in time or it was reset. */
static ssize_t receive(struct httpd *h, int fd, char *out, size_t length)
{
	int64_t deadline = now_ms() + WAIT_MS;

	for (;;) {
		ssize_t got = recv(fd, out, length, MSG_DONTWAIT);
		struct timeval pause = { .tv_usec = 1000 };

		if (got >= 0 || errno != EAGAIN)
			return got;
		if (now_ms() > deadline)
			return -1;
		(void)event_base_loopexit(h->base, &pause);
		(void)event_base_loop(h->base, EVLOOP_ONCE);
	}
}

const char *httpd_field(const struct answer *answer, const char *name)
{
	static char value[4096];
	size_t length = strlen(name);

	for (const char *line = strstr(answer->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
			(void)snprintf(value, sizeof value, "%.*s", (int)strcspn(line + length + 2, "\r\n"),
				line + length + 2);
			return value;
		}
	}
	return "";
}

static bool read_head(struct httpd *h, int fd, struct answer *a)
{
	size_t at = 0;

	while (at < 4 || memcmp(a->head + at - 4, "\r\n\r\n", 4) != 0) {
		cr_assert(at + 1 < sizeof a->head);
		if (receive(h, fd, a->head + at, 1) <= 0)
			return false;
		at++;
		a->head[at] = '\0';
	}
	return true;
}

void httpd_read(struct httpd *h, int fd, bool is_head, struct answer *a)
{
	*a = (struct answer) { .status = 0 };
	if (!read_head(h, fd, a))
		return;
	cr_assert_eq(strncmp(a->head, "HTTP/1.1 ", 9), 0, "%s", a->head);
	a->status = (int)strtol(a->head + 9, NULL, 10);

	const char *length = httpd_field(a, "Content-Length");
	bool has_no_body = is_head || a->status == 204 || a->status == 304 || a->status == 100;
	size_t wanted = has_no_body ? 0 : length[0] != '\0' ? strtoul(length, NULL, 10) : sizeof a->body - 1;

	while (a->length < wanted) {
		size_t room = sizeof a->body - 1 - a->length;
		ssize_t got =
			receive(h, fd, a->body + a->length, wanted - a->length < room ? wanted - a->length : room);

		if (got <= 0)
			break;
		a->length += (size_t)got;
	}
	a->is_closed = strcmp(httpd_field(a, "Connection"), "close") == 0 && httpd_is_closed(h, fd);
}

bool httpd_is_closed(struct httpd *h, int fd)
{
	char byte;

	return receive(h, fd, &byte, 1) == 0 || (errno == ECONNRESET);
}

void httpd_ask(struct httpd *h, const char *request, struct answer *a)
{
	int fd = httpd_connect(h);

	httpd_send(h, fd, text_of(request));
	httpd_read(h, fd, strncmp(request, "HEAD", 4) == 0, a);
	(void)close(fd);
}
