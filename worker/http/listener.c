/* listener.c: takes connections from the socket that all workers share: few per wake-up, none while another worker should have them, and calmly when
 * descriptors run out. Called by libevent and server.c; does not own the listening socket. */
#include "config.h"
#include "worker/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"

#define GATE_MS_MIN  5
#define GATE_MS_MAX  20
#define GATE_MS      40 /* readable and gated for this long: accepted all the same */
#define PAUSE_MS_MIN 100
#define PAUSE_MS_MAX 1000
#define REST_MAX     1024 /* taken at most when accepting ends */
#define REFUSALS_MS  1000 /* one line for all connections refused in this time */

void listener_format_client(const struct sockaddr_storage *address, char out[46])
{
	const void *bytes = NULL;

	if (address->ss_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	else if (address->ss_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (bytes == NULL || inet_ntop(address->ss_family, bytes, out, 46) == NULL)
		(void)snprintf(out, 46, "unix");
}

static void pause_for(struct http_server *server, int ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)event_del(&server->listener.event);
	must(event_add(&server->listener.timer, &wait) == 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd;
	(void)what;
	if (server->listener.is_open)
		must(event_add(&server->listener.event, NULL) == 0);
}

/* Out of descriptors: the waiting connection would keep the socket readable and the loop spinning. The spare descriptor lets us take
 * and close it; then the listener rests. */
static void shed(struct http_server *server, int why)
{
	struct listener *l = &server->listener;

	SCOREBOARD_ADD(server->slot->counters.accept_failures, 1);
	if (l->spare_fd >= 0) {
		(void)close(l->spare_fd);
		l->spare_fd = accept4(server->options.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (l->spare_fd >= 0)
			(void)close(l->spare_fd);
		l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (l->pause_ms == 0)
		LOG(LOG_ERROR, "cannot accept connections", F_STR("reason", strerror(why)),
			F_INT("connections", server->connection_count));
	l->pause_ms = l->pause_ms == 0 ? PAUSE_MS_MIN : l->pause_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : l->pause_ms * 2;
	pause_for(server, l->pause_ms);
}

/* However many clients come: a flood of them does not become one of lines. */
static void tell_refused(struct http_server *server)
{
	struct listener *l = &server->listener;
	struct timeval wait = { .tv_sec = REFUSALS_MS / 1000, .tv_usec = REFUSALS_MS % 1000 * 1000 };

	if (l->refused == 0 || evtimer_pending(&l->refusals, NULL))
		return;
	LOG(LOG_ERROR, "connections refused", F_INT("count", l->refused),
		F_INT("connections", server->connection_count - server->refused_count),
		F_INT("limit", server_connections_max(server)));
	l->refused = 0;
	must(event_add(&l->refusals, &wait) == 0);
}

static void on_refusals(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_refused(arg);
}

static void take(struct http_server *server, int fd, const struct sockaddr_storage *address)
{
	char client[46];
	struct connection_origin origin = { .client = client };

	listener_format_client(address, client);
	SCOREBOARD_ADD(server->slot->counters.connections_accepted, 1);
	origin.is_refused = server->connection_count - server->refused_count >= server_connections_max(server);
	if (origin.is_refused) {
		SCOREBOARD_ADD(server->slot->counters.connections_refused, 1);
		server->listener.refused++;
		tell_refused(server);
	}
	if (origin.is_refused && server->refused_count >= REFUSED_MAX)
		(void)close(fd);
	else
		connection_open(server, fd, &origin);
}

/* False when nothing more can be taken now. */
static bool accept_one(struct http_server *server)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof address;
	int fd = accept4(server->options.listener, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		server->listener.pause_ms = 0;
		take(server, fd, &address);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		shed(server, errno);
		return false;
	}
	/* A connection that died in the queue, or one that another worker took. */
	return errno == ECONNABORTED || errno == EINTR;
}

static bool is_gated(struct http_server *server)
{
	struct listener *l = &server->listener;
	int64_t now_ms = server->now_us / 1000;

	if (!balance_is_shut(server)) {
		l->gated_since_ms = 0;
		l->gate_ms = 0;
		return false;
	}
	/* Found shut before, but the socket was quiet since: a new wait begins. */
	if (l->gated_since_ms == 0 || now_ms - l->gated_last_ms > 2 * GATE_MS_MAX)
		l->gated_since_ms = now_ms;
	l->gated_last_ms = now_ms;
	if (now_ms - l->gated_since_ms >= GATE_MS) {
		l->gated_since_ms = 0;
		l->gate_ms = 0;
		return false;
	}
	l->gate_ms = l->gate_ms == 0 ? GATE_MS_MIN : l->gate_ms * 2 > GATE_MS_MAX ? GATE_MS_MAX : l->gate_ms * 2;
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	int64_t batch = server->options.limits->http_accept_batch;

	(void)fd;
	(void)what;
	(void)server_now_us(server);
	if (is_gated(server)) {
		pause_for(server, server->listener.gate_ms);
		return;
	}
	for (int64_t i = 0; i < batch && accept_one(server); i++)
		continue;
}

/* Accepted sockets inherit these on Linux, which saves two calls each; they fail harmlessly for UNIX sockets. The second ends connections whose peer has
 * vanished without a word: the little an event stream writes would never fill its socket. */
void listener_set_options(struct http_server *server)
{
	unsigned silent_ms = (unsigned)server->options.limits->http_write_timeout_ms;
	int on = 1;

	(void)setsockopt(server->options.listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)setsockopt(server->options.listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
}

void listener_init(struct http_server *server)
{
	struct listener *l = &server->listener;

	l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener_set_options(server);
	must(event_assign(&l->event, server->options.base, server->options.listener, EV_READ | EV_PERSIST, on_readable,
		     server) == 0);
	must(event_assign(&l->timer, server->options.base, -1, 0, on_timer, server) == 0);
	must(event_assign(&l->refusals, server->options.base, -1, 0, on_refusals, server) == 0);
}

void listener_start(struct http_server *server)
{
	server->listener.is_open = true;
	must(event_add(&server->listener.event, NULL) == 0);
}

void listener_stop(struct http_server *server, bool accept_rest)
{
	if (!server->listener.is_open)
		return;
	for (int i = 0; accept_rest && i < REST_MAX && accept_one(server); i++)
		continue;
	server->listener.is_open = false;
	(void)event_del(&server->listener.event);
	(void)event_del(&server->listener.timer);
	(void)event_del(&server->listener.refusals);
	tell_refused(server);
	(void)event_del(&server->listener.refusals);
}

void listener_fini(struct http_server *server)
{
	listener_stop(server, false);
	if (server->listener.spare_fd >= 0)
		(void)close(server->listener.spare_fd);
}
