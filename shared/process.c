/* process.c: reads proc(5) for the process that calls. Called by the worker's heartbeat and by the supervisor's, each for its own row of the scoreboard.
 * Descriptors are counted rarely: with thousands open, the list of them is long. */
#include "config.h"
#include "shared/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define FDS_EVERY_US 10000000

/* Second number of statm: pages that are resident. */
static int64_t resident_bytes(void)
{
	char text[128], *rest;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

	if (fd >= 0)
		(void)close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	(void)strtoll(text, &rest, 10);
	return strtoll(rest, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static uint32_t count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	if (directory == NULL)
		return 0;
	while (readdir(directory) != NULL)
		count++;
	(void)closedir(directory);
	/* Itself, "." and ".." */
	return count > 3 ? count - 3 : 0;
}

void process_measure(struct scoreboard_process *p, int64_t now_us)
{
	struct rusage usage;
	struct rlimit limit;

	SCOREBOARD_SET(p->resident_bytes, resident_bytes());
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		SCOREBOARD_SET(p->cpu_us, ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
						  usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	if (SCOREBOARD_GET(p->fds_at_us) != 0 && now_us - SCOREBOARD_GET(p->fds_at_us) < FDS_EVERY_US)
		return;
	SCOREBOARD_SET(p->fds_at_us, now_us);
	SCOREBOARD_SET(p->fds, count_fds());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		SCOREBOARD_SET(p->fds_max, limit.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)limit.rlim_cur);
}
