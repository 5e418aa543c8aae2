/* httpd.h: an HTTP server inside a unit test: real sockets on loopback, its loop turned by the test, options small and fast. */
#ifndef RENOVATIOND_TESTS_SUPPORT_HTTPD_H
#define RENOVATIOND_TESTS_SUPPORT_HTTPD_H

#include "worker/http/response.h"
#include "worker/http/server.h"

struct httpd {
	struct event_base *base;
	struct options limits; /* change before or between requests */
	int board_fd;          /* its memfd */
	struct scoreboard *board;
	struct http_server *server; /* slot 0 */
	int listener;
	int port;
	enum http_gift gift; /* what becomes of connections that the server gives away; set before it drains */
	int gifts;           /* how often it tried */
	int given_fd;        /* the last one that was taken: ours */
};

/* Starts to accept at once. */
void httpd_open(
	struct httpd *h, const struct route *routes, size_t count, authenticate_fn *authenticate, void *context);
void httpd_close(struct httpd *h);

/* Turns the loop until `is_true(arg)`; false after 5 s. */
bool httpd_wait(struct httpd *h, bool (*is_true)(void *arg), void *arg);
/* One turn without waiting. */
void httpd_turn(struct httpd *h);

int httpd_connect(struct httpd *h); /* non-blocking client socket */
void httpd_send(struct httpd *h, int fd, struct text bytes);

struct answer {
	int status;       /* 0: closed or timed out without an answer */
	char head[8192];  /* status line and fields, NUL-terminated */
	char body[70000]; /* NUL-terminated */
	size_t length;    /* of body */
	bool is_closed;   /* the server closed after it */
};

/* Reads one answer (by Content-Length; a chunked one, or one without, up to the end of the connection, raw). Reads no byte of the next. */
void httpd_read(struct httpd *h, int fd, bool is_head, struct answer *answer_out);
/* Connect, send, read one answer, close. */
void httpd_ask(struct httpd *h, const char *request, struct answer *answer_out);
/* Value of a field of the answer, "" when absent; in static memory. */
const char *httpd_field(const struct answer *answer, const char *name);
/* Has the server closed the connection (or does it, within 5 s)? */
bool httpd_is_closed(struct httpd *h, int fd);

#endif
