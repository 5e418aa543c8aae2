/* impostor.c: stands in the place of renovationd or renovationd-worker in a test's folder and misbehaves as the file "mode" beside it says; where it must look
 * right it runs the real program, which lies beside it as "real-" and its own name. Started by the programs under test. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 60

static char folder[PATH_MAX / 2]; /* where we are */
static char name[64];             /* in whose place */

static void find_ourselves(void)
{
	char path[PATH_MAX / 2];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

	path[length > 0 ? length : 0] = '\0';
	(void)snprintf(name, sizeof name, "%.60s", strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path);
	(void)snprintf(folder, sizeof folder, "%s", dirname(path));
}

static void read_mode(char *mode, size_t room)
{
	char path[PATH_MAX];
	ssize_t length = 0;
	int fd;

	(void)snprintf(path, sizeof path, "%s/mode", folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, mode, room - 1);
		(void)close(fd);
	}
	mode[length > 0 ? length : 0] = '\0';
}

static int run_real(char **argv)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/real-%s", folder, name);
	(void)execv(path, argv);
	(void)fprintf(stderr, "impostor: cannot run %s: %s\n", path, strerror(errno));
	return 127;
}

static bool has_argument(char **argv, const char *start)
{
	for (; *argv != NULL; argv++)
		if (strncmp(*argv, start, strlen(start)) == 0)
			return true;
	return false;
}

/* As if the running service had something that this program has never heard of. */
static int run_with_layouts(char **argv, char *layouts)
{
	for (int i = 0; argv[i] != NULL; i++)
		if (i > 0 && strcmp(argv[i - 1], "--check-layout") == 0)
			argv[i] = layouts;
	return run_real(argv);
}

int main(int argc, char **argv)
{
	static char strange[] = "state=1,scoreboard=0,messages=1";
	char mode[40];

	(void)argc;
	find_ourselves();
	read_mode(mode, sizeof mode);
	if (strcmp(mode, "fail") == 0)
		return 3;
	if (strcmp(mode, "die") == 0)
		(void)raise(SIGKILL);
	if (strcmp(mode, "hang") == 0)
		for (;;)
			(void)pause();
	if (strcmp(mode, "layouts") == 0)
		return run_with_layouts(argv, strange);
	/* The rest is about workers: their check is as it should be. */
	if (has_argument(argv, "--check"))
		return run_real(argv);
	if (strcmp(mode, "worker hangs") == 0)
		for (;;)
			(void)pause();
	return 70;
}
