/* listeners.c: the one listening socket that all workers share: adopted from the service manager (LISTEN_FDS), or bound here with SO_REUSEADDR and
 * without SO_REUSEPORT, so that a second renovationd is told instead of sharing the port. Called by main.c after the preflight; kept open until a stop. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "supervisor/fdstore.h"
#include "supervisor/holder.h"

#define TRIES        5
#define TRY_PAUSE_MS 500

/* ---- name ---------------------------------------------------------------------------------------------------- */

void listeners_name(struct supervisor *s)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	char host[INET6_ADDRSTRLEN] = "?", service[16] = "?";

	if (getsockname(s->listener, (struct sockaddr *)&address, &length) != 0 || address.ss_family == AF_UNIX ||
		getnameinfo((struct sockaddr *)&address, length, host, sizeof host, service, sizeof service,
			NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		(void)snprintf(s->url, sizeof s->url, "the inherited socket");
		return;
	}
	(void)snprintf(s->url, sizeof s->url, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, service);
}

/* ---- our own ------------------------------------------------------------------------------------------------- */

/* Names of this machine often have ::1 first, while most clients try 127.0.0.1 first or only. */
static const struct addrinfo *choose(const struct addrinfo *list)
{
	for (const struct addrinfo *each = list; each != NULL; each = each->ai_next)
		if (each->ai_family == AF_INET)
			return each;
	return list;
}

const char *listeners_resolve(const struct options *o, struct sockaddr_storage *address_out, socklen_t *length_out)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list;
	char port[16], host[256];
	size_t length = strlen(o->host);
	int code;

	/* [::1], as people copy it from a URL */
	(void)snprintf(host, sizeof host, "%s", o->host);
	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		memmove(host, host + 1, length - 1);
	}
	(void)snprintf(port, sizeof port, "%d", (int)o->port);
	code = getaddrinfo(host, port, &hints, &list);
	if (code != 0)
		return gai_strerror(code);
	memcpy(address_out, choose(list)->ai_addr, choose(list)->ai_addrlen);
	*length_out = choose(list)->ai_addrlen;
	freeaddrinfo(list);
	return NULL;
}

static int resolve_failed(const struct options *o, const char *error)
{
	LOG(LOG_FATAL, "cannot resolve the address to listen on", F_STR("host", o->host), F_STR("error", error),
		F_STR("remedy", "set host (HOST) to an address of this machine"));
	return EXIT_CONFIG_WRONG;
}

/* A listening socket, or -1 with errno. Two sockets with SO_REUSEADDR may both bind; then listen is what fails. */
int listeners_bind(const struct options *o, const struct sockaddr_storage *address, socklen_t length)
{
	int fd = descriptor_lift(socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	int on = 1, off = 0, error;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (address->ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, (const struct sockaddr *)address, length) == 0 && listen(fd, (int)o->listen_backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int address_in_use(const struct options *o)
{
	char program[64], held_by[128];
	pid_t pid;

	if (holder_find((uint16_t)o->port, &pid, program, sizeof program))
		(void)snprintf(held_by, sizeof held_by, "process %d (%s)", (int)pid, program);
	else
		(void)snprintf(held_by, sizeof held_by, "a process that /proc does not show us");
	LOG(LOG_FATAL, "address already in use", F_STR("host", o->host), F_INT("port", o->port),
		F_STR("held_by", held_by), F_INT("tries", TRIES),
		F_STR("remedy", "stop that process, or set port (PORT) to another one"));
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "renovationd: %s:%d is in use by %s\n", o->host, (int)o->port, held_by);
	return EXIT_ADDRESS_IN_USE;
}

static int bind_failed(const struct options *o, int error)
{
	const char *remedy = "see bind(2)";
	int code = EXIT_OS;

	if (error == EADDRINUSE)
		return address_in_use(o);
	if (error == EACCES || error == EPERM) {
		remedy = "use a port from 1024, start as root with option user, or give CAP_NET_BIND_SERVICE";
		code = EXIT_REFUSED;
	} else if (error == EADDRNOTAVAIL) {
		remedy = "set host (HOST) to an address of this machine";
		code = EXIT_CONFIG_WRONG;
	}
	LOG(LOG_FATAL, "cannot listen", F_STR("host", o->host), F_INT("port", o->port), F_STR("error", strerror(error)),
		F_STR("remedy", remedy));
	return code;
}

static int bind_own(struct supervisor *s)
{
	struct sockaddr_storage address;
	socklen_t length;
	const char *error = listeners_resolve(s->options, &address, &length);

	if (error != NULL)
		return resolve_failed(s->options, error);
	for (int i = 1;; i++) {
		s->listener = listeners_bind(s->options, &address, length);
		if (s->listener >= 0)
			break;
		if (errno != EADDRINUSE || i == TRIES)
			return bind_failed(s->options, errno);
		LOG(LOG_WARN, "address in use, trying again", F_STR("host", s->options->host),
			F_INT("port", s->options->port), F_INT("try", i));
		if (signals_wait(-1, TRY_PAUSE_MS) == SIGNALS_STOP)
			return -1;
	}
	listeners_name(s);
	return EXIT_OK;
}

/* ---- from the service manager -------------------------------------------------------------------------------- */

/* A socket unit wins: its address is the administrator's word, and nobody else may listen there. */
static bool adopt(struct supervisor *s)
{
	struct sockaddr_storage address;
	socklen_t length;

	s->listener = fdstore_take_activated();
	s->is_listener_adopted = s->listener >= 0;
	if (s->listener < 0 && listeners_resolve(s->options, &address, &length) == NULL)
		s->listener = fdstore_take_stored(FDSTORE_HTTP, &address);
	if (s->listener < 0)
		return false;
	/* It may have been made with another backlog. */
	if (!s->is_listener_adopted)
		(void)listen(s->listener, (int)s->options->listen_backlog);
	listeners_name(s);
	LOG(LOG_INFO, "listening socket adopted", F_STR("url", s->url),
		F_STR("from", s->is_listener_adopted ? "socket unit" : "descriptor store"));
	return true;
}

int listeners_open(struct supervisor *s)
{
	int code = EXIT_OK;

	if (!adopt(s))
		code = bind_own(s);
	/* What a socket unit holds stays there anyway. */
	if (code == EXIT_OK && !s->is_listener_adopted)
		fdstore_keep(FDSTORE_HTTP, s->listener);
	return code;
}

void listeners_replace(struct supervisor *s, int listener)
{
	if (s->listener >= 0)
		close(s->listener);
	s->listener = listener;
	listeners_name(s);
	fdstore_keep(FDSTORE_HTTP, s->listener);
	LOG(LOG_INFO, "listening at another address", F_STR("url", s->url));
}

void listeners_close(struct supervisor *s)
{
	if (s->listener >= 0)
		close(s->listener);
	s->listener = -1;
}
