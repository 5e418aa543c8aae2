/* control_socket.c: the control socket's file: made under a fresh name with its owner and mode already right, then renamed into its place, so that nobody
 * ever finds it open to others or half made. A file left by a dead instance is replaced, a living one's is not. Called by control.c. */
#include "config.h"
#include "supervisor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/log.h"

#define BACKLOG       64
#define LOCK_TRIES    40
#define LOCK_PAUSE_MS 25

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	return address;
}

/* ---- who is there -------------------------------------------------------------------------------------------- */

enum presence {
	PRESENCE_NONE,    /* no file, or the socket of somebody who is gone */
	PRESENCE_LIVING,  /* somebody listens */
	PRESENCE_FOREIGN, /* something else than a socket */
	PRESENCE_UNKNOWN  /* not to be found out; errno */
};

/* The pid is that of whoever called listen(2): 0 when the kernel does not say. */
static enum presence look(const char *path, pid_t *pid_out)
{
	struct sockaddr_un address = address_of(path);
	struct ucred peer = { .pid = 0 };
	socklen_t length = sizeof peer;
	struct stat status;
	int fd, error;

	*pid_out = 0;
	if (lstat(path, &status) != 0)
		return errno == ENOENT ? PRESENCE_NONE : PRESENCE_UNKNOWN;
	if (!S_ISSOCK(status.st_mode))
		return PRESENCE_FOREIGN;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return PRESENCE_UNKNOWN;
	/* EAGAIN: its queue is full, so there is one. */
	error = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
	if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
		*pid_out = peer.pid;
	close(fd);
	errno = error;
	if (error == ECONNREFUSED || error == ENOENT)
		return PRESENCE_NONE;
	return error == 0 || error == EAGAIN ? PRESENCE_LIVING : PRESENCE_UNKNOWN;
}

static void name_process(pid_t pid, char *out, size_t room)
{
	char path[40], name[64] = "";
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (file != NULL) {
		if (fgets(name, sizeof name, file) != NULL)
			name[strcspn(name, "\n")] = '\0';
		(void)fclose(file);
	}
	if (pid == 0)
		(void)snprintf(out, room, "a process that cannot be seen from here");
	else
		(void)snprintf(out, room, "process %d (%s)", (int)pid, name[0] ? name : "?");
}

/* What the start makes of it: an exit code, or EXIT_OK to go on without. */
static int refuse(const struct control *c, int code, const char *problem, const char *remedy)
{
	if ((code == EXIT_CANNOT_CREATE && c->may_be_missing) || (code == EXIT_ADDRESS_IN_USE && c->may_be_taken))
		code = EXIT_OK;
	LOG(code == EXIT_OK ? LOG_WARN : LOG_FATAL, "no control socket", F_STR("path", c->path),
		F_STR("error", problem), F_STR("remedy", remedy), F_INT("exit_code", code));
	if (code != EXIT_OK && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "renovationd: control socket %s: %s\n", c->path, problem);
	return code;
}

/* `*is_free_out`: nobody is there, and nothing that could be lost. */
static int check_place(const struct control *c, bool *is_free_out)
{
	char holder[128], problem[200];
	pid_t pid;

	*is_free_out = false;
	switch (look(c->path, &pid)) {
	case PRESENCE_NONE: *is_free_out = true; return EXIT_OK;
	case PRESENCE_LIVING:
		name_process(pid, holder, sizeof holder);
		(void)snprintf(problem, sizeof problem, "it is in use by %s", holder);
		return refuse(c, EXIT_ADDRESS_IN_USE, problem,
			"stop that instance, or set control_socket (CONTROL_SOCKET) to another path");
	case PRESENCE_FOREIGN:
		return refuse(c, EXIT_CANNOT_CREATE, "a file that is no socket is there",
			"move it away, or set control_socket (CONTROL_SOCKET) to another path");
	case PRESENCE_UNKNOWN: break;
	}
	return refuse(c, EXIT_CANNOT_CREATE, strerror(errno),
		"make its folder, writable for the service's user, or set control_socket");
}

/* ---- making it ----------------------------------------------------------------------------------------------- */

/* Two instances that start at once must not both find the place free. -1: goes on without, the lock is only against that race. */
static int lock_folder(const char *path)
{
	char folder[CONTROL_PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash == NULL)
		(void)snprintf(folder, sizeof folder, ".");
	else
		(void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0; i++)
		(void)signals_wait(-1, LOCK_PAUSE_MS);
	return fd;
}

static bool find_group(const struct supervisor *s, gid_t *gid_out)
{
	const char *name = s->options->control_group;
	const struct group *group;

	*gid_out = s->identity.is_change ? s->identity.gid : (gid_t)-1;
	if (name[0] == '\0')
		return true;
	group = getgrnam(name);
	if (group != NULL)
		*gid_out = group->gr_gid;
	return group != NULL;
}

/* Through a descriptor of the very socket: in a folder of the service's user the name could lead elsewhere by now. */
static bool give_away(struct control *c, const char *draft, const struct supervisor *s, gid_t gid)
{
	int fd = open(draft, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	uid_t uid = s->identity.is_change ? s->identity.uid : (uid_t)-1;
	/* A sandbox may refuse even a change to what it is. */
	bool is_change = uid != (uid_t)-1 || gid != (gid_t)-1;
	struct stat status;
	bool is_done = fd >= 0 && fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
		       (!is_change || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0);
	int error = errno;

	if (is_done) {
		c->device = status.st_dev;
		c->inode = status.st_ino;
	}
	if (fd >= 0)
		close(fd);
	errno = error;
	return is_done;
}

/* False with errno; then nothing is left behind. */
static bool make(struct control *c, const struct supervisor *s, gid_t gid)
{
	char draft[sizeof((struct sockaddr_un *)0)->sun_path];
	struct sockaddr_un address;
	mode_t mask;
	bool is_bound;
	int error;

	if ((size_t)snprintf(draft, sizeof draft, "%s.%06x", c->path, arc4random_uniform(1 << 24)) >= sizeof draft) {
		errno = ENAMETOOLONG;
		return false;
	}
	address = address_of(draft);
	c->fd = descriptor_lift(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (c->fd < 0)
		return false;
	mask = umask(0117);
	is_bound = bind(c->fd, (const struct sockaddr *)&address, sizeof address) == 0;
	error = errno;
	(void)umask(mask);
	if (is_bound && give_away(c, draft, s, gid) && listen(c->fd, BACKLOG) == 0 && rename(draft, c->path) == 0)
		return true;
	error = is_bound ? errno : error;
	if (is_bound)
		(void)unlink(draft);
	close(c->fd);
	c->fd = -1;
	errno = error;
	return false;
}

/* Only the last folder: /run/renovationd, $XDG_RUNTIME_DIR/renovationd. It belongs to the service's user, who removes the socket from it. */
static void make_folder(const struct control *c, const struct supervisor *s)
{
	char folder[CONTROL_PATH_BYTES];

	(void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(c->path, '/') - c->path), c->path);
	if (mkdir(folder, 0755) == 0 && s->identity.is_change)
		(void)!lchown(folder, s->identity.uid, s->identity.gid);
}

int control_socket_make(struct control *c, const struct supervisor *s)
{
	bool is_free;
	gid_t gid;
	int lock, code;

	if (!find_group(s, &gid))
		return refuse(c, EXIT_CONFIG_WRONG, "option control_group names no group",
			"create the group, or name one that exists");
	if (c->may_be_missing)
		make_folder(c, s);
	lock = lock_folder(c->path);
	code = check_place(c, &is_free);
	if (is_free && !make(c, s, gid))
		code = refuse(c, EXIT_CANNOT_CREATE, strerror(errno),
			errno == EPERM ? "add the service's user to control_group, or start as root"
				       : "make its folder, writable for the service's user, or set control_socket");
	if (lock >= 0)
		close(lock);
	return code;
}

/* ---- afterwards ---------------------------------------------------------------------------------------------- */

void control_socket_recognise(struct control *c)
{
	struct stat status;
	pid_t pid;

	c->device = c->inode = 0;
	if (look(c->path, &pid) != PRESENCE_LIVING || pid != getpid() || lstat(c->path, &status) != 0)
		return;
	c->device = status.st_dev;
	c->inode = status.st_ino;
}

void control_socket_remove(struct control *c)
{
	struct stat there;

	if (c->inode == 0 || lstat(c->path, &there) != 0 || there.st_ino != c->inode || there.st_dev != c->device)
		return;
	if (unlink(c->path) != 0)
		LOG(LOG_INFO, "the control socket's file stays", F_STR("path", c->path),
			F_STR("error", strerror(errno)));
}
