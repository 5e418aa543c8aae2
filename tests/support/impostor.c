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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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

/* Runs the real program to its end; true when it was content. */
static bool is_content(char **argv)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(run_real(argv));
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* The check was good, and then the configuration is written to. */
static int spoil(char **argv)
{
	FILE *file = NULL;
	bool is_good = is_content(argv);

	for (int i = 1; argv[i] != NULL; i++)
		if (strcmp(argv[i - 1], "-c") == 0)
			file = fopen(argv[i], "ae");
	if (file == NULL || fputs("\nworkers = \"many\";\n", file) == EOF || fclose(file) != 0)
		return 127;
	return is_good ? 0 : 1;
}

/* The check was good, and then somebody removes the program, or puts another file in its place. */
static int vanish(char **argv, bool is_replaced)
{
	char path[PATH_MAX], real[PATH_MAX];
	bool is_good = is_content(argv);

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	(void)snprintf(real, sizeof real, "%s/real-%s", folder, name);
	return (is_replaced ? rename(real, path) : unlink(path)) == 0 && is_good ? 0 : 1;
}

/* Hands on something else than what was handed over. */
static int garble(char **argv)
{
	char number[16];
	int fd = memfd_create("renovationd-state", MFD_ALLOW_SEALING);

	if (fd < 0 || write(fd, "renovationd-state 1\nnonsense", 28) != 28 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		return 127;
	(void)snprintf(number, sizeof number, "%d", fd);
	if (getenv("RENOVATIOND_STATE_FD") != NULL)
		(void)setenv("RENOVATIOND_STATE_FD", number, 1);
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
	if (strcmp(mode, "spoil") == 0)
		return has_argument(argv, "--check") ? spoil(argv) : run_real(argv);
	if (strcmp(mode, "garble") == 0)
		return garble(argv);
	if (strcmp(mode, "vanish") == 0 || strcmp(mode, "change") == 0)
		return vanish(argv, mode[0] == 'c');
	/* The rest is about workers: their check is as it should be. */
	if (has_argument(argv, "--check"))
		return run_real(argv);
	if (strcmp(mode, "worker hangs") == 0)
		for (;;)
			(void)pause();
	return 70;
}
