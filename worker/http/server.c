/* server.c: the HTTP side of a worker as a whole: open, drain, close, and the end of each loop turn. Called by worker/main.c and shutdown.c.
 * libevent 2.1 has no hook at the end of a turn, so the first callback of a turn makes an event active, which runs behind all others of that turn. */
#include "config.h"
#include "worker/http/internal.h"

#include <sys/resource.h>

#include "shared/log.h"

#define DESCRIPTORS_RESERVED 64 /* for the database, logs, pipes */

static void tell_drained(struct http_server *server)
{
	void (*drained)(void *arg) = server->drained;

	if (drained == NULL || server->connection_count > 0)
		return;
	server->drained = NULL;
	drained(server->drained_arg);
}

static void free_finished(struct http_server *server)
{
	struct response *rs;

	while ((rs = server->answered) != NULL) {
		server->answered = rs->next_free;
		exchange_free(rs);
	}
	for (struct connection *next, *c = TAILQ_FIRST(&server->closed); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->is_queued && !server->is_closing)
			continue;
		TAILQ_REMOVE(&server->closed, c, link);
		connection_free(c);
	}
}

/* What was queued up to here; what that queues in turn waits for the next turn, so that one busy stream does not keep the others from the loop. */
static void run_later(struct http_server *server)
{
	struct connection_queue now = STAILQ_HEAD_INITIALIZER(now);
	struct connection *c;

	STAILQ_CONCAT(&now, &server->later);
	while ((c = STAILQ_FIRST(&now)) != NULL) {
		STAILQ_REMOVE_HEAD(&now, later);
		c->is_queued = false;
		connection_end_turn(c);
	}
	if (!STAILQ_EMPTY(&server->later))
		must(event_add(&server->next_event, &(struct timeval) { 0 }) == 0);
}

static void on_turn_end(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd;
	(void)what;
	run_later(server);
	SCOREBOARD_SET(server->slot->connections, (uint32_t)server->connection_count);
	SCOREBOARD_SET(server->slot->connections_idle, (uint32_t)server->idle_count);
	SCOREBOARD_SET(server->slot->streams, (uint32_t)server->stream_count);
	free_finished(server);
	log_flush();
	server->in_turn = false;
	tell_drained(server);
}

static void on_next_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)server_now_us(arg);
}

int64_t server_now_us(struct http_server *server)
{
	if (!server->in_turn) {
		server->in_turn = true;
		server->now_us = clock_monotonic_us();
		event_active(&server->turn_event, EV_TIMEOUT, 0);
	}
	return server->now_us;
}

int server_connections_max(const struct http_server *server)
{
	int64_t configured = server->options.limits->http_connections_max;
	struct rlimit limit;

	if (configured > 0)
		return (int)configured;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= DESCRIPTORS_RESERVED)
		return DESCRIPTORS_RESERVED;
	return limit.rlim_cur > 1000000 ? 1000000 : (int)limit.rlim_cur - DESCRIPTORS_RESERVED;
}

static void close_all_idle(struct http_server *server)
{
	struct connection *next;

	for (struct connection *c = TAILQ_FIRST(&server->connections); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		connection_close_idle(c);
	}
}

/* A stop: connections that have never asked anything have waited long enough. */
static void on_fresh_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd;
	(void)what;
	(void)server_now_us(server);
	server->closes_fresh = true;
	close_all_idle(server);
}

enum error http_open(const struct http_options *options, struct http_server **server_out)
{
	struct http_server *server = must_alloc(sizeof *server);

	must(options->slot >= 0 && options->slot < SLOTS_MAX);
	server->options = *options;
	server->slot = &options->board->slots[options->slot];
	server->router = router_create(options->routes, options->route_count);
	server->scratch = must_alloc(READ_BYTES);
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->closed);
	STAILQ_INIT(&server->later);
	TAILQ_INIT(&server->requests);
	must(event_assign(&server->turn_event, options->base, -1, 0, on_turn_end, server) == 0);
	must(event_assign(&server->next_event, options->base, -1, 0, on_next_turn, server) == 0);
	must(event_assign(&server->fresh_timer, options->base, -1, 0, on_fresh_timer, server) == 0);
	deadlines_init(server);
	listener_init(server);
	*server_out = server;
	return ERROR_NONE;
}

void http_start(struct http_server *server)
{
	listener_start(server);
}

void http_stop_accepting(struct http_server *server, bool accept_rest)
{
	(void)server_now_us(server);
	listener_stop(server, accept_rest);
}

void http_drain(struct http_server *server, bool close_idle, void (*done)(void *arg), void *arg)
{
	struct timeval wait = { .tv_sec = FRESH_MS / 1000, .tv_usec = FRESH_MS % 1000 * 1000 };

	(void)server_now_us(server);
	if (!server->is_draining) {
		server->drained = done;
		server->drained_arg = arg;
	}
	server->is_draining = true;
	server->closes_idle = server->closes_idle || close_idle;
	if (server->closes_idle)
		must(event_add(&server->fresh_timer, &wait) == 0);
	close_all_idle(server);
}

int http_cut(struct http_server *server)
{
	struct connection *c;
	int cut = 0;

	(void)server_now_us(server);
	for (; (c = TAILQ_FIRST(&server->connections)) != NULL; cut++)
		connection_lost(c, true);
	return cut;
}

void http_close(struct http_server **server_in)
{
	struct http_server *server = *server_in;
	struct response *rs;

	if (server == NULL)
		return;
	server->is_closing = true;
	listener_fini(server);
	(void)http_cut(server);
	while ((rs = TAILQ_FIRST(&server->requests)) != NULL) {
		TAILQ_REMOVE(&server->requests, rs, link);
		exchange_free(rs);
	}
	free_finished(server);
	for (rs = server->free_requests; rs != NULL; rs = server->free_requests) {
		server->free_requests = rs->next_free;
		exchange_free(rs);
	}
	deadlines_fini(server);
	(void)event_del(&server->turn_event);
	(void)event_del(&server->next_event);
	(void)event_del(&server->fresh_timer);
	router_destroy(&server->router);
	buffer_fini(&server->head);
	buffer_fini(&server->json);
	free(server->scratch);
	free(server);
	*server_in = NULL;
}
