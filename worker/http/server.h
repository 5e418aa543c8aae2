/* server.h: the HTTP side of a worker: takes connections from the listener, reads requests, calls handlers. Opened by worker/main.c with
 * everything it needs; ignorant of the product. */
#ifndef RENOVATIOND_WORKER_HTTP_SERVER_H
#define RENOVATIOND_WORKER_HTTP_SERVER_H

#include <event2/event.h>

#include "shared/options.h"
#include "shared/scoreboard.h"
#include "worker/http/router.h"

/* Finds out who asks, by the route's `auth`; calls `done` exactly once, perhaps at once. With ERROR_NONE rq->owner is set as the route
 * wants; any other error is answered as a problem by the server. */
typedef void(authenticated_fn)(struct request *rq, enum error e, const char *detail);
typedef void(authenticate_fn)(struct request *rq, authenticated_fn *done);
/* Does the request carry the operator's token? Asked only where no public route was found. */
typedef bool(is_operator_fn)(const struct request *rq);

/* Where an idle connection may go when this worker leaves. */
enum http_gift {
	HTTP_GIFT_TAKEN, /* it is another worker's: our descriptor may be closed */
	HTTP_GIFT_LATER, /* whoever takes it does not keep up: again in some milliseconds */
	HTTP_GIFT_NOBODY /* there is no other worker */
};

struct http_options {
	struct event_base *base;      /* borrowed */
	int listener;                 /* borrowed; non-blocking, shared with other workers */
	int admin_listener;           /* likewise, for the operator; -1 = none */
	const struct options *limits; /* the http_* options; borrowed, may change on reload */
	struct scoreboard *board;     /* borrowed: for balance and counters */
	int slot;                     /* ours */
	const struct route *routes;   /* borrowed */
	size_t route_count;
	authenticate_fn *authenticate;
	is_operator_fn *is_operator; /* NULL: nobody has a token */
	/* How the log calls the request's owner; NULL: by its id. */
	void (*name_owner)(const struct request *rq, char out[UUID_TEXT_BYTES]);
	/* May be NULL: nobody takes connections. `is_fresh`: nothing was asked on it yet. */
	enum http_gift (*give)(void *context, int fd, const char *client, bool is_fresh);
	uint32_t generation; /* ours: while the pool is drained, workers of its generation answer probes only */
	void *context;       /* request_context, and of `give` */
};

struct http_server;

MUST_CHECK enum error http_open(const struct http_options *options, struct http_server **server_out);
/* Begins to accept; before it the server only exists. */
void http_start(struct http_server *server);
/* Stops accepting clients (event deleted before the descriptor is closed by its owner); takes what is queued once more when `accept_rest`. */
void http_stop_accepting(struct http_server *server, bool accept_rest);
/* From now on answers carry Connection: close. Idle connections are closed when `close_idle` (a stop); else (a reload) they stay for drain_timeout_ms, and
 * then go to another worker, so that no client finds a connection closed that it was about to use. `done` is called once, when no connection is
 * left, at the end of a turn. A second call (a stop during a reload) only widens `close_idle`. A connection that has not sent a request yet is waited for: 2 s
 * when `close_idle`. */
void http_drain(struct http_server *server, bool close_idle, void (*done)(void *arg), void *arg);
/* During a drain: idle connections have had their time. */
void http_drain_sooner(struct http_server *server);
/* A connection that another worker gave us; `fd` is ours from now on. */
void http_adopt(struct http_server *server, int fd, const char *client, bool is_fresh);
/* The http_* options may have changed. */
void http_options_changed(struct http_server *server);
/* Cuts what is left (SO_LINGER 0), returns how many. */
int http_cut(struct http_server *server);
/* Frees everything, requests that were never answered too: nothing may answer them any more. */
void http_close(struct http_server **server);

#endif
