/* fdstore.c: the descriptors that systemd passed at our start, told apart by name: those that a former run of us stored, and those of a socket unit. The same
 * socket may come both ways. Called by main.c, listeners.c and admin_listener.c; messages to the manager are notify.c's. */
#include "config.h"
#include "supervisor/fdstore.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "shared/log.h"
#include "supervisor/supervisor.h"

#define PASSED_MAX 64

struct passed {
	int fd;         /* lifted, close-on-exec; -1 = taken or closed */
	char name[64];  /* as stored, or of the socket unit */
	bool is_stored; /* by a former run of us, and only that */
};

static struct passed passed[PASSED_MAX];
static int count; /* of them */

static bool is_our_name(const char *name)
{
	return strcmp(name, FDSTORE_HTTP) == 0 || strcmp(name, FDSTORE_ADMIN) == 0;
}

static bool is_same_socket(int a, int b)
{
	struct stat first, second;

	return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
	       first.st_dev == second.st_dev;
}

/* What the socket unit holds is its own, also where we stored it. */
static bool is_there_already(int fd, const char *name)
{
	for (int i = 0; i < count; i++)
		if (is_same_socket(passed[i].fd, fd)) {
			passed[i].is_stored = passed[i].is_stored && is_our_name(name);
			return true;
		}
	return false;
}

void fdstore_open(void)
{
	char **names = NULL;
	int all = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < all; i++) {
		const char *name = names != NULL && names[i] != NULL ? names[i] : "";
		int fd = descriptor_lift(SD_LISTEN_FDS_START + i);

		if (fd >= 0 && (count == PASSED_MAX || is_there_already(fd, name))) {
			close(fd);
		} else if (fd >= 0) {
			passed[count] = (struct passed) { .fd = fd, .is_stored = is_our_name(name) };
			(void)snprintf(passed[count++].name, sizeof passed[0].name, "%s", name);
		}
		if (names != NULL)
			free(names[i]);
	}
	free(names);
}

static int take(struct passed *p)
{
	int fd = p->fd;

	p->fd = -1;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

static bool is_listener(const struct passed *p)
{
	return p->fd >= 0 && sd_is_socket(p->fd, AF_UNSPEC, SOCK_STREAM, 1) > 0;
}

static bool is_bound_to(int fd, const struct sockaddr_storage *wanted)
{
	struct sockaddr_storage there;
	socklen_t length = sizeof there;

	if (getsockname(fd, (struct sockaddr *)&there, &length) != 0 || there.ss_family != wanted->ss_family)
		return false;
	if (wanted->ss_family == AF_INET) {
		const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)wanted,
					 *b = (const struct sockaddr_in *)(const void *)&there;

		return a->sin_addr.s_addr == b->sin_addr.s_addr && (a->sin_port == 0 || a->sin_port == b->sin_port);
	}
	if (wanted->ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)wanted,
					  *b = (const struct sockaddr_in6 *)(const void *)&there;

		return memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0 &&
		       (a->sin6_port == 0 || a->sin6_port == b->sin6_port);
	}
	return false;
}

int fdstore_take_stored(const char *name, const struct sockaddr_storage *address)
{
	int found = -1;

	for (int i = 0; i < count; i++) {
		struct passed *p = &passed[i];

		if (!p->is_stored || strcmp(p->name, name) != 0)
			continue;
		if (found < 0 && is_listener(p) && is_bound_to(p->fd, address)) {
			found = take(p);
			continue;
		}
		LOG(LOG_INFO, "a stored socket does not fit the configuration any more", F_STR("name", name));
		close(p->fd);
		p->fd = -1;
		/* By name: should another of it fit, it is stored anew. */
		notify_unstore(name);
	}
	return found;
}

int fdstore_take_activated(void)
{
	for (int i = 0; i < count; i++)
		if (!passed[i].is_stored && is_listener(&passed[i]))
			return take(&passed[i]);
	return -1;
}

void fdstore_close(void)
{
	for (int i = 0; i < count; i++) {
		if (passed[i].fd < 0)
			continue;
		LOG(LOG_WARN, "passed descriptor is not used", F_STR("name", passed[i].name));
		close(passed[i].fd);
		if (passed[i].is_stored)
			notify_unstore(passed[i].name);
	}
	count = 0;
}

void fdstore_keep(const char *name, int fd)
{
	notify_unstore(name);
	notify_store(name, fd);
}
