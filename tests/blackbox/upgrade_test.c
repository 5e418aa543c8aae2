/* upgrade_test.c: another renovationd takes the place of the running one (SIGUSR2): same process, same sockets, no failed request, no lost event; and when the
 * new one is no good, the old one serves on. The programs are copies in a folder of the test, which it replaces as an installation does: by rename. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/talk.h"

TestSuite(upgrade, .timeout = 180);

#define WAIT_MS 60000

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

static const char *built(const char *name)
{
	unsetenv("RENOVATIOND_PROGRAMS");

	const char *path = program_path(name);

	setenv("RENOVATIOND_PROGRAMS", folder, 1);
	return path;
}

/* As a package does it: the new file takes the old one's name in one step. */
static void install(const char *source, const char *name)
{
	const char *draft = format("%s/.new", folder);

	copy_file(source, draft);
	cr_assert_eq(rename(draft, format("%s/%s", folder, name)), 0);
}

static struct server *start(const char *const extra[])
{
	(void)snprintf(folder, sizeof folder, "%s/programs", test_folder());
	cr_assert_eq(mkdir(folder, 0755), 0);
	install(built("renovationd"), "renovationd");
	install(built("renovationd-worker"), "renovationd-worker");
	cr_assert_eq(symlink(built("gemini-sim"), format("%s/gemini-sim", folder)), 0);
	setenv("RENOVATIOND_PROGRAMS", folder, 1);
	return server_start(extra);
}

static ino_t program_of(pid_t pid)
{
	struct stat status;

	cr_assert_eq(stat(format("/proc/%d/exe", (int)pid), &status), 0);
	return status.st_ino;
}

static ino_t file_of(const char *name)
{
	struct stat status;

	cr_assert_eq(stat(format("%s/%s", folder, name), &status), 0);
	return status.st_ino;
}

/* ---- what happened --------------------------------------------------------------------------------------------- */

static int count_lines(const struct process *p, const char *part)
{
	char *all = process_errors(p);
	int count = 0;

	for (const char *at = all; (at = strstr(at, part)) != NULL; at += strlen(part))
		count++;
	free(all);
	return count;
}

struct awaited {
	const struct process *process;
	const char *part;
	int count;
};

static bool has_lines(void *arg)
{
	const struct awaited *a = arg;

	return count_lines(a->process, a->part) >= a->count;
}

static void wait_lines(const struct process *p, const char *part, int count)
{
	struct awaited a = { p, part, count };

	wait_until(has_lines, &a, part, WAIT_MS);
}

/* Asks for an upgrade and waits for its end; what the log says of it. Free it. */
static struct json_object *upgrade(struct server *s)
{
	static const char end[] = "\"event\":\"upgrade\",\"result\":";
	int before = count_lines(s->supervisor, end);
	struct json_object *line;
	char *all, *at = NULL;

	process_signal(s->supervisor, SIGUSR2);
	wait_lines(s->supervisor, end, before + 1);
	all = process_errors(s->supervisor);
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

static void expect_upgrade(struct server *s)
{
	struct json_object *line = upgrade(s);

	cr_assert_str_eq(json_at(line, "result"), "done", "%s", json_object_to_json_string(line));
	json_object_put(line);
}

static bool answers(int port)
{
	struct client c;
	struct reply r;
	bool is_good;

	client_init(&c, port);
	r = client_request(&c, "GET", "/health", NULL, NULL);
	is_good = r.status == 200;
	reply_free(&r);
	client_fini(&c);
	return is_good;
}

/* ---- it works -------------------------------------------------------------------------------------------------- */

Test(upgrade, new_program_has_the_old_process_and_new_workers)
{
	struct server *s = start(NULL);
	pid_t supervisor = s->supervisor->pid, before[8], after[8];
	ino_t old_program = program_of(supervisor);

	cr_assert_eq(server_workers(s, before, 8), 2);
	install(built("renovationd"), "renovationd");
	install(built("renovationd-worker"), "renovationd-worker");
	expect_upgrade(s);
	cr_expect(process_is_running(s->supervisor));
	cr_expect_neq(program_of(supervisor), old_program);
	cr_expect_eq(program_of(supervisor), file_of("renovationd"));
	wait_lines(s->supervisor, "\"msg\":\"worker ended\"", 2);
	cr_assert_eq(server_workers(s, after, 8), 2);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(program_of(after[i]), file_of("renovationd-worker"));
		cr_expect(after[i] != before[0] && after[i] != before[1]);
	}
	cr_expect(answers(s->port));
	cr_expect_eq(count_lines(s->supervisor, "\"level\":\"error\""), 0);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
