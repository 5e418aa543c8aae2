/* pidfile.c: the optional file with our process id, for scripts; nobody here ever trusts it. Written beside its place and renamed into it, locked while we
 * live, removed only if it is still ours. Called by main.c. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"

static struct {
	char path[PATH_MAX]; /* "" = none */
	int fd;              /* holds the lock */
} file = { .fd = -1 };

static bool is_held_by_other(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool is_held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return is_held;
}

enum error pidfile_open(const char *path)
{
	char draft[PATH_MAX], number[24];
	int length = snprintf(number, sizeof number, "%d\n", (int)getpid());

	if (path[0] == '\0')
		return ERROR_NONE;
	if ((size_t)snprintf(draft, sizeof draft, "%s.%d", path, (int)getpid()) >= sizeof draft)
		return ERROR_SYSTEM;
	if (is_held_by_other(path)) {
		errno = EBUSY;
		return ERROR_BUSY;
	}
	file.fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file.fd < 0)
		return ERROR_SYSTEM;
	if (flock(file.fd, LOCK_EX | LOCK_NB) != 0 || write(file.fd, number, (size_t)length) != length ||
		rename(draft, path) != 0) {
		(void)unlink(draft);
		close(file.fd);
		file.fd = -1;
		return ERROR_SYSTEM;
	}
	(void)snprintf(file.path, sizeof file.path, "%s", path);
	return ERROR_NONE;
}

int pidfile_descriptor(void)
{
	return file.fd;
}

const char *pidfile_path(void)
{
	return file.path;
}

void pidfile_adopt(int fd, const char *path)
{
	file.fd = fd;
	(void)snprintf(file.path, sizeof file.path, "%s", path);
}

void pidfile_close(void)
{
	struct stat ours, there;

	if (file.fd < 0)
		return;
	if (fstat(file.fd, &ours) == 0 && lstat(file.path, &there) == 0 && ours.st_ino == there.st_ino &&
		ours.st_dev == there.st_dev)
		(void)unlink(file.path);
	close(file.fd);
	file.fd = -1;
}
