/* admin_listener.c: the listening socket for the operator, of option admin_listen: loopback, or a UNIX socket for user and group. Called by main.c before
 * privileges are dropped; workers inherit it (spawn.c). The supervisor itself never answers on it: that would be parsing strangers' bytes. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/endpoint.h"
#include "shared/log.h"
#include "supervisor/fdstore.h"
#include "supervisor/holder.h"

#define TRIES        5
#define TRY_PAUSE_MS 500
#define BACKLOG      64
#define SOCKET_MASK  0117 /* leaves 0660 */

static int failed(const struct supervisor *s, const char *what, int code, const char *remedy)
{
	LOG(LOG_FATAL, "cannot open the admin listener", F_STR("admin_listen", s->options->admin_listen),
		F_STR("step", what), F_STR("error", strerror(errno)), F_STR("remedy", remedy));
	return code;
}

/* ---- UNIX socket --------------------------------------------------------------------------------------------- */

/* Is anybody listening there? A socket that refuses is left over from a process that did not get to remove it. */
static bool is_stale(const struct endpoint *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_refused;

	if (fd < 0)
		return false;
	is_refused = connect(fd, (const struct sockaddr *)&e->address, e->length) != 0 && errno == ECONNREFUSED;
	close(fd);
	return is_refused;
}

static void remove_stale(const struct endpoint *e, const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) && is_stale(e) && unlink(path) == 0)
		LOG(LOG_INFO, "stale admin socket removed", F_STR("path", path));
}

/* The service's user owns it, so that it can be removed at the end; the operators' group may connect. */
static int give_away(const struct supervisor *s, const char *path)
{
	const char *name = s->options->control_group;
	uid_t user = s->identity.is_change ? s->identity.uid : (uid_t)-1;
	gid_t group = s->identity.is_change ? s->identity.gid : (gid_t)-1;
	const struct group *entry;

	if (name[0] != '\0') {
		errno = 0;
		entry = getgrnam(name);
		if (entry == NULL) {
			errno = errno != 0 ? errno : ENOENT;
			return failed(s, "find control_group", EXIT_CONFIG_WRONG,
				"create the group, or name one that exists in control_group");
		}
		group = entry->gr_gid;
	}
	if ((user != (uid_t)-1 || group != (gid_t)-1) && chown(path, user, group) != 0)
		return failed(s, "give the socket to control_group", EXIT_REFUSED,
			"start as root, or name a group that the service's user is in");
	return EXIT_OK;
}

/* ---- binding ------------------------------------------------------------------------------------------------- */

static int bind_once(const struct endpoint *e)
{
	int fd = descriptor_lift(socket(e->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	mode_t mask;
	int on = 1, error;
	bool is_bound;

	if (fd < 0)
		return -1;
	if (!e->is_unix)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	mask = umask(SOCKET_MASK);
	is_bound = bind(fd, (const struct sockaddr *)&e->address, e->length) == 0;
	error = errno;
	(void)umask(mask);
	if (is_bound && listen(fd, BACKLOG) == 0)
		return fd;
	error = is_bound ? errno : error;
	close(fd);
	errno = error;
	return -1;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
	if (address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
	return 0;
}

static int in_use(const struct supervisor *s, const struct endpoint *e)
{
	char program[64], held_by[128] = "another process";
	pid_t pid;

	if (!e->is_unix && holder_find(port_of(&e->address), &pid, program, sizeof program))
		(void)snprintf(held_by, sizeof held_by, "process %d (%s)", (int)pid, program);
	LOG(LOG_FATAL, "address of the admin listener already in use", F_STR("admin_listen", s->options->admin_listen),
		F_STR("held_by", held_by), F_INT("tries", TRIES),
		F_STR("remedy", e->is_unix
					? "stop that process; when the path is no socket, remove it or choose another"
					: "stop that process, or choose another port"));
	if (isatty(STDERR_FILENO))
		(void)fprintf(
			stderr, "renovationd: admin_listen %s is in use by %s\n", s->options->admin_listen, held_by);
	return EXIT_ADDRESS_IN_USE;
}

static int bind_failed(const struct supervisor *s, const struct endpoint *e)
{
	switch (errno) {
	case EADDRINUSE: return in_use(s, e);
	case EACCES:
	case EPERM:
		return failed(s, "bind", EXIT_REFUSED,
			"use a port from 1024, or a folder that the service's user may write to");
	case ENOENT:
	case ENOTDIR:
	case EROFS: return failed(s, "bind", EXIT_CANNOT_CREATE, "make the folder of the socket");
	case EADDRNOTAVAIL: return failed(s, "bind", EXIT_CONFIG_WRONG, "this machine has no such address");
	default: return failed(s, "bind", EXIT_OS, "see bind(2)");
	}
}

static void name_it(struct supervisor *s, const struct endpoint *e)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	char host[INET6_ADDRSTRLEN] = "?";

	if (e->is_unix) {
		(void)snprintf(s->admin_path, sizeof s->admin_path, "%s", s->options->admin_listen);
		(void)snprintf(s->admin_url, sizeof s->admin_url, "unix:%s", s->admin_path);
		return;
	}
	if (getsockname(s->admin_listener, (struct sockaddr *)&address, &length) != 0)
		address = e->address;
	if (address.ss_family == AF_INET)
		(void)inet_ntop(
			AF_INET, &((const struct sockaddr_in *)(const void *)&address)->sin_addr, host, sizeof host);
	else
		(void)inet_ntop(
			AF_INET6, &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr, host, sizeof host);
	(void)snprintf(s->admin_url, sizeof s->admin_url,
		address.ss_family == AF_INET6 ? "http://[%s]:%d" : "http://%s:%d", host, port_of(&address));
}

int admin_listener_open(struct supervisor *s)
{
	const char *problem = "", *remedy = "";
	struct endpoint e;

	if (s->options->admin_listen[0] == '\0')
		return EXIT_OK;
	/* The configuration's check has told why. */
	if (endpoint_parse(s->options->admin_listen, &e, &problem, &remedy) != ERROR_NONE)
		return EXIT_CONFIG_WRONG;
	/* A UNIX socket goes with its file. */
	if (!e.is_unix)
		s->admin_listener = fdstore_take_stored(FDSTORE_ADMIN, &e.address);
	for (int i = 1; s->admin_listener < 0; i++) {
		if (e.is_unix)
			remove_stale(&e, s->options->admin_listen);
		s->admin_listener = bind_once(&e);
		if (s->admin_listener >= 0)
			break;
		if (errno != EADDRINUSE || i == TRIES)
			return bind_failed(s, &e);
		LOG(LOG_WARN, "address of the admin listener in use, trying again",
			F_STR("admin_listen", s->options->admin_listen), F_INT("try", i));
		if (signals_wait(-1, TRY_PAUSE_MS) == SIGNALS_STOP)
			return -1;
	}
	name_it(s, &e);
	if (!e.is_unix)
		fdstore_keep(FDSTORE_ADMIN, s->admin_listener);
	return e.is_unix ? give_away(s, s->admin_path) : EXIT_OK;
}

void admin_listener_close(struct supervisor *s)
{
	struct stat status;

	if (s->admin_listener < 0)
		return;
	close(s->admin_listener);
	s->admin_listener = -1;
	/* In a folder that is not ours it stays, and the next start replaces it. */
	if (s->admin_path[0] != '\0' && lstat(s->admin_path, &status) == 0 && S_ISSOCK(status.st_mode))
		(void)unlink(s->admin_path);
}
