/* server.c: the HTTP side of a worker as a whole: open, drain, close, and the end of each loop turn. Called by worker/main.c and shutdown.c.
 * libevent 2.1 has no hook at the end of a turn, so the first callback of a turn makes an event active, which runs behind all others of that turn. */
#include "config.h"
#include "worker/http/internal.h"

#include <sys/resource.h>

#include "shared/inherit.h"
#include "shared/log.h"

/* What a worker inherits, connections that are being told 503, and 64 for the database, the model, logs, pipes. */
#define DESCRIPTORS_RESERVED (INHERIT_MESH + SLOTS_MAX + REFUSED_MAX + 64)
#define CONNECTIONS_LEAST    16   /* however low the limit is */
#define GIVE_AGAIN_US        5000 /* pause when whoever takes connections does not keep up */

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
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= DESCRIPTORS_RESERVED + CONNECTIONS_LEAST)
		return CONNECTIONS_LEAST;
	return limit.rlim_cur > 1000000 ? 1000000 : (int)limit.rlim_cur - DESCRIPTORS_RESERVED;
}

static void leave_idle(struct http_server *server)
{
	struct connection *next;
	bool goes_on = true;

	for (struct connection *c = TAILQ_FIRST(&server->connections); c != NULL && goes_on; c = next) {
		next = TAILQ_NEXT(c, link);
		goes_on = connection_leave(c);
	}
}

void server_give_later(struct http_server *server)
{
	struct timeval soon = { .tv_usec = GIVE_AGAIN_US };

	must(event_add(&server->give_timer, &soon) == 0);
}

static void on_give_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd;
	(void)what;
	(void)server_now_us(server);
	leave_idle(server);
}

static void on_leave_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	http_drain_sooner(arg);
}

enum error http_open(const struct http_options *options, struct http_server **server_out)
{
	struct http_server *server = must_alloc(sizeof *server);

	must(options->slot >= 0 && options->slot < SLOTS_MAX);
	server->options = *options;
	server->slot = &options->board->slots[options->slot];
	server->measures = &options->board->measures[options->slot];
	for (int view = 0; view < ROUTER_VIEWS; view++)
		server->routers[view] = router_create(options->routes, options->route_count, (enum router_view)view);
	server->scratch = must_alloc(READ_BYTES);
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->closed);
	STAILQ_INIT(&server->later);
	TAILQ_INIT(&server->requests);
	must(event_assign(&server->turn_event, options->base, -1, 0, on_turn_end, server) == 0);
	must(event_assign(&server->next_event, options->base, -1, 0, on_next_turn, server) == 0);
	must(event_assign(&server->leave_timer, options->base, -1, 0, on_leave_timer, server) == 0);
	must(event_assign(&server->give_timer, options->base, -1, 0, on_give_timer, server) == 0);
	measure_open(server);
	client_set_options(server);
	deadlines_init(server);
	listener_init(server);
	admin_init(server);
	*server_out = server;
	return ERROR_NONE;
}

void http_start(struct http_server *server)
{
	listener_start(server);
	admin_start(server);
}

void http_stop_accepting(struct http_server *server, bool accept_rest)
{
	(void)server_now_us(server);
	listener_stop(server, accept_rest);
}

static void leave_after(struct http_server *server, int64_t ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	must(event_add(&server->leave_timer, &wait) == 0);
}

void http_drain(struct http_server *server, bool close_idle, void (*done)(void *arg), void *arg)
{
	(void)server_now_us(server);
	if (close_idle && !server->closes_fresh)
		leave_after(server, FRESH_MS);
	else if (!server->is_draining)
		leave_after(server, server->options.limits->drain_timeout_ms);
	if (!server->is_draining) {
		server->drained = done;
		server->drained_arg = arg;
	}
	server->is_draining = true;
	server->closes_idle = server->closes_idle || close_idle;
	/* A stop is watched to its end; workers that leave while others stay need not be asked. */
	if (!server->closes_idle)
		admin_stop(server);
	/* In a stop there is nobody to give to; one that began to give goes on as long as somebody takes. */
	leave_idle(server);
}

void http_drain_sooner(struct http_server *server)
{
	(void)server_now_us(server);
	if (!server->is_draining)
		return;
	server->gives_idle = server->gives_idle || !server->closes_idle;
	server->closes_idle = true;
	server->closes_fresh = true;
	leave_idle(server);
}

void http_adopt(struct http_server *server, int fd, const char *client, bool is_fresh)
{
	struct connection_origin origin = { .client = client, .is_used = !is_fresh };

	(void)server_now_us(server);
	connection_open(server, fd, &origin);
	/* We may have begun to leave after it was sent. */
	if (server->is_draining)
		leave_idle(server);
}

void http_options_changed(struct http_server *server)
{
	client_set_options(server);
	listener_set_options(server);
	deadlines_adjust(server);
}

int http_cut(struct http_server *server)
{
	struct connection *c;
	int cut = 0;

	(void)server_now_us(server);
	while ((c = TAILQ_FIRST(&server->connections)) != NULL) {
		cut += !c->is_admin;
		connection_lost(c, true);
	}
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
	admin_stop(server);
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
	(void)event_del(&server->leave_timer);
	(void)event_del(&server->give_timer);
	measure_close(server);
	for (int view = 0; view < ROUTER_VIEWS; view++)
		router_destroy(&server->routers[view]);
	buffer_fini(&server->head);
	buffer_fini(&server->json);
	free(server->scratch);
	free(server);
	*server_in = NULL;
}
