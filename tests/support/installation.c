/* installation.c: installs, replaces and upgrades the programs under test, in a folder of the test process. */
#include "config.h"
#include "tests/support/installation.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"

/* ---- programs -------------------------------------------------------------------------------------------------- */

static char folder[400]; /* with the programs of this test */

static void copy_file(const char *from, const char *to)
{
	char block[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	ssize_t length;

	cr_assert(in >= 0 && out >= 0, "%s -> %s", from, to);
	while ((length = read(in, block, sizeof block)) > 0)
		cr_assert_eq(write(out, block, (size_t)length), length);
	cr_assert_eq(length, 0);
	close(in);
	close(out);
}

const char *installation_built(const char *name)
{
	static char programs[400];
	static bool is_known;
	const char *given = getenv("RENOVATIOND_PROGRAMS"), *path;

	if (!is_known && given != NULL)
		(void)snprintf(programs, sizeof programs, "%s", given);
	is_known = true;
	if (programs[0] != '\0')
		return format("%s/%s", programs, name);
	(void)unsetenv("RENOVATIOND_PROGRAMS");
	path = program_path(name);
	if (given != NULL)
		(void)setenv("RENOVATIOND_PROGRAMS", folder, 1);
	return path;
}

static void install(const char *source, const char *name)
{
	const char *draft = format("%s/.new", folder);

	copy_file(source, draft);
	cr_assert_eq(rename(draft, format("%s/%s", folder, name)), 0);
}

const char *installation_folder(void)
{
	return folder;
}

void installation_put(const char *name)
{
	install(installation_built(name), name);
}

struct server *installation_start(const char *const extra[])
{
	(void)snprintf(folder, sizeof folder, "%s/programs", test_folder());
	cr_assert_eq(mkdir(folder, 0755), 0);
	installation_put("renovationd");
	installation_put("renovationd-worker");
	cr_assert_eq(symlink(installation_built("gemini-sim"), format("%s/gemini-sim", folder)), 0);
	setenv("RENOVATIOND_PROGRAMS", folder, 1);
	return server_start(extra);
}

void installation_put_impostor(const char *name, const char *mode)
{
	int fd = open(format("%s/mode", folder), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, mode, strlen(mode)), (ssize_t)strlen(mode));
	close(fd);
	install(installation_built(name), format("real-%s", name));
	install(installation_built("impostor"), name);
}

ino_t installation_of(pid_t pid)
{
	struct stat status;

	cr_assert_eq(stat(format("/proc/%d/exe", (int)pid), &status), 0);
	return status.st_ino;
}

ino_t installation_file(const char *name)
{
	struct stat status;

	cr_assert_eq(stat(format("%s/%s", folder, name), &status), 0);
	return status.st_ino;
}

/* ---- what happened --------------------------------------------------------------------------------------------- */

/* What it wrote in whole lines: the last may be only half there. Free it. */
static char *whole_errors(const struct process *p)
{
	char *all = process_errors(p), *end = strrchr(all, '\n');

	*(end != NULL ? end + 1 : all) = '\0';
	return all;
}

int installation_ctl(struct server *s, const char *const arguments[], char **out, char **err)
{
	const char *argv[16] = { installation_built("renovationctl"), "-s", s->control };

	for (size_t at = 3; *arguments != NULL; arguments++) {
		cr_assert_lt(at, COUNT_OF(argv) - 1);
		argv[at++] = *arguments;
	}
	return process_run(argv, NULL, out, err, INSTALLATION_WAIT_MS);
}

struct json_object *installation_upgrade(struct server *s)
{
	static const char end[] = "\"event\":\"upgrade\",\"result\":";
	int before = log_count(s->supervisor, end);
	struct json_object *line;
	char *all, *at = NULL;

	process_signal(s->supervisor, SIGUSR2);
	log_wait_count(s->supervisor, end, before + 1, INSTALLATION_WAIT_MS);
	all = whole_errors(s->supervisor);
	for (char *next = all; (next = strstr(next, end)) != NULL; next++)
		at = next;
	while (at > all && at[-1] != '\n')
		at--;
	at[strcspn(at, "\n")] = '\0';
	line = json_tokener_parse(at);
	cr_assert_not_null(line, "%s", at);
	free(all);
	return line;
}
