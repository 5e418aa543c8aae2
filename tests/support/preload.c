/* preload.c: a shared object that tests put before libc in our programs (LD_PRELOAD), to make faults that no limit and no signal makes: a loop that
 * is busy, a fork that fails, a full disk, a wall clock that jumps. What happens is decided by the test while the program runs, through the file
 * named by FAULT_SWITCHES (struct switches). Without that file everything is as ever. Never installed. */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/switches.h"

static struct switches *switches; /* NULL: no faults */

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void open_switches(void)
{
	const char *path = getenv("FAULT_SWITCHES");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof *switches, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	switches = mapped != MAP_FAILED ? mapped : NULL;
}

/* ---- a busy loop ----------------------------------------------------------------------------------------------- */

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);
	volatile unsigned long turns = 0;

	if (real == NULL)
		*(void **)&real = next("epoll_wait");
	while (switches != NULL && atomic_load(&switches->busy_pid) == getpid()) {
		if (turns++ == 0)
			atomic_store(&switches->is_busy, 1);
	}
	return real(epoll, events, count, timeout);
}

/* ---- no more processes ----------------------------------------------------------------------------------------- */

pid_t fork(void)
{
	static pid_t (*real)(void);

	if (real == NULL)
		*(void **)&real = next("fork");
	if (switches != NULL && atomic_load(&switches->fork_failures) > 0) {
		(void)atomic_fetch_sub(&switches->fork_failures, 1);
		(void)atomic_fetch_add(&switches->forks_failed, 1);
		errno = EAGAIN;
		return -1;
	}
	return real();
}

/* ---- an address that may not be used --------------------------------------------------------------------------- */

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	int error = switches != NULL && address->sa_family == AF_INET ? atomic_load(&switches->bind_error) : 0;

	if (real == NULL)
		*(void **)&real = next("bind");
	if (error == 0)
		return real(fd, address, length);
	errno = error;
	return -1;
}

/* ---- a full disk ----------------------------------------------------------------------------------------------- */

/* How much of `wanted` bytes the disk takes: all, a part as a disk does that fills up in the middle, or -1 for none. */
static ssize_t room_for(int fd, size_t wanted)
{
	struct stat status;
	long long left;

	if (switches == NULL || atomic_load(&switches->disk_is_limited) == 0 || fstat(fd, &status) != 0 ||
		!S_ISREG(status.st_mode))
		return (ssize_t)wanted;
	left = atomic_fetch_sub(&switches->disk_room, (long long)wanted);
	if (left >= (long long)wanted)
		return (ssize_t)wanted;
	atomic_store(&switches->disk_room, 0);
	return left > 0 ? (ssize_t)left : -1;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	static ssize_t (*real)(int, const void *, size_t);
	ssize_t room = room_for(fd, length);

	if (real == NULL)
		*(void **)&real = next("write");
	if (room < 0) {
		errno = ENOSPC;
		return -1;
	}
	return real(fd, bytes, (size_t)room);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	static ssize_t (*real)(int, const struct iovec *, int);
	size_t wanted = 0;

	if (real == NULL)
		*(void **)&real = next("writev");
	for (int i = 0; i < count; i++)
		wanted += parts[i].iov_len;
	if (room_for(fd, wanted) < (ssize_t)wanted) {
		errno = ENOSPC;
		return -1;
	}
	return real(fd, parts, count);
}

/* ---- a wall clock that jumps ----------------------------------------------------------------------------------- */

static long long offset_s(void)
{
	return switches != NULL ? atomic_load(&switches->wall_offset_s) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	if (real == NULL)
		*(void **)&real = next("clock_gettime");
	result = real(clock, now);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += offset_s();
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
