/* admin.c: takes connections from the admin listener: few, whoever wakes first, not weighed against other workers, and to the end of a stop, so that it
 * can be watched. Called by libevent and server.c; what such a connection may ask is the router's. */
#include "config.h"
#include "worker/http/internal.h"

#include <errno.h>
#include <unistd.h>

#include "shared/log.h"

#define ADMIN_MAX 32 /* connections; up to REFUSED_MAX more are told 503 */
#define PAUSE_MS  500

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd;
	(void)what;
	if (server->admin.is_open)
		must(event_add(&server->admin.event, NULL) == 0);
}

/* Out of descriptors: clients come first, and the listener must not keep the loop spinning. */
static void rest(struct http_server *server, int why)
{
	struct timeval wait = { .tv_usec = PAUSE_MS * 1000 };

	LOG(LOG_WARN, "cannot accept on the admin listener", F_STR("reason", strerror(why)));
	(void)event_del(&server->admin.event);
	must(event_add(&server->admin.timer, &wait) == 0);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof address;
	char client[46];
	struct connection_origin origin = { .client = client, .is_admin = true };
	int taken = accept4(fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	(void)server_now_us(server);
	if (taken < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			rest(server, errno);
		return;
	}
	listener_format_client(&address, client);
	origin.is_refused = server->admin_count >= ADMIN_MAX;
	if (server->admin_count >= ADMIN_MAX + REFUSED_MAX)
		(void)close(taken);
	else
		connection_open(server, taken, &origin);
}

void admin_init(struct http_server *server)
{
	must(event_assign(&server->admin.timer, server->options.base, -1, 0, on_timer, server) == 0);
	if (server->options.admin_listener >= 0)
		must(event_assign(&server->admin.event, server->options.base, server->options.admin_listener,
			     EV_READ | EV_PERSIST, on_readable, server) == 0);
}

void admin_start(struct http_server *server)
{
	if (server->options.admin_listener < 0)
		return;
	server->admin.is_open = true;
	must(event_add(&server->admin.event, NULL) == 0);
}

void admin_stop(struct http_server *server)
{
	if (!server->admin.is_open)
		return;
	server->admin.is_open = false;
	(void)event_del(&server->admin.event);
	(void)event_del(&server->admin.timer);
}
