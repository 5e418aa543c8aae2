/* ctl_socket_test.c: the supervisor's control socket as a file and as a border: who may use it, what is there before and after us, and what anybody can send
 * to it without hurting the service. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/server.h"

#define LONG_MS 60000

static struct server *server;
static char *out, *err;

static void clean(void)
{
	server_end(&server);
	free(out);
	free(err);
}

TestSuite(ctl_socket, .fini = clean, .timeout = 300);

static int ctl(const char *command)
{
	free(out);
	free(err);
	return server_ctl(server, (const char *[]) { command, NULL }, &out, &err, LONG_MS);
}

/* ---- a client that may misbehave ------------------------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", server->control);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
	return fd;
}

static bool say(int fd, const void *bytes, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes = (const char *)bytes + sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool say_line(int fd, const char *line)
{
	return say(fd, line, strlen(line)) && say(fd, "\n", 1);
}

/* The next line; "" at the end of the connection. Good until the next call. */
static const char *hear(int fd)
{
	static char line[400000];
	size_t used = 0;

	while (used < sizeof line - 1) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int count = poll(&wait, 1, LONG_MS);

		cr_assert_gt(count, 0, "the control socket says nothing");
		if (recv(fd, line + used, 1, 0) <= 0)
			break;
		if (line[used++] == '\n')
			break;
	}
	line[used] = '\0';
	return line;
}

static bool is_answered(void *arg)
{
	(void)arg;
	return ctl("status") == EXIT_OK;
}

/* Those who have just left may hold its places a moment longer. */
static void expect_healthy(pid_t pid)
{
	wait_until(is_answered, NULL, "renovationctl status is answered", LONG_MS);
	cr_expect_eq(server->supervisor->pid, pid);
	cr_expect(process_is_running(server->supervisor));
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

Test(ctl_socket, it_is_the_owners_and_the_groups_alone_and_gone_after_the_stop)
{
	struct stat status;

	server = server_start(NULL);
	cr_assert_eq(lstat(server->control, &status), 0);
	cr_expect(S_ISSOCK(status.st_mode));
	cr_expect_eq(status.st_mode & 07777, 0660, "mode %o", (unsigned)status.st_mode & 07777);
	cr_expect_eq(status.st_uid, geteuid());
	cr_expect_eq(server_stop(server), EXIT_OK);
	cr_expect(lstat(server->control, &status) != 0 && errno == ENOENT);
}

Test(ctl_socket, the_file_of_a_dead_instance_is_replaced)
{
	struct stat status;

	server = server_start(NULL);
	process_signal(server->supervisor, SIGKILL);
	(void)process_wait(server->supervisor, LONG_MS);
	cr_assert_eq(lstat(server->control, &status), 0);
	server_start_elsewhere(server);
	cr_expect_eq(ctl("status"), EXIT_OK, "%s", err);
}

/* The second one is told who has it, and the first goes on answering. */
Test(ctl_socket, a_living_instance_keeps_it_and_is_named)
{
	int code;

	server = server_start(NULL);
	code = process_run(
		(const char *[]) { program_path("renovationd"), NULL }, server->environment, &out, &err, LONG_MS);
	cr_expect_eq(code, EXIT_ADDRESS_IN_USE);
	cr_expect_not_null(strstr(err, format("process %d (renovationd)", (int)server->supervisor->pid)), "%s", err);
	cr_expect_eq(ctl("status"), EXIT_OK, "%s", err);
}

Test(ctl_socket, what_is_no_socket_is_left_alone)
{
	const char *path = format("%s/precious-%d", test_folder(), (int)getpid());
	struct stat status;
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	(void)fputs("precious", file);
	(void)fclose(file);
	server = server_start(NULL);
	cr_expect_eq(process_run((const char *[]) { program_path("renovationd"), NULL },
			     (const char *[]) { server->environment[0], server->environment[1], "APP_ENV=test",
				     "GOOGLE_API_KEY=x", "PORT=0", format("CONTROL_SOCKET=%s", path), NULL },
			     &out, &err, LONG_MS),
		EXIT_CANNOT_CREATE);
	cr_expect_not_null(strstr(err, "no socket"), "%s", err);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_size, 8);
}

Test(ctl_socket, another_ones_file_in_its_place_is_not_removed)
{
	struct stat status;

	server = server_start(NULL);
	cr_assert_eq(unlink(server->control), 0);
	cr_assert_eq(close(open(server->control, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	cr_expect_eq(server_stop(server), EXIT_OK);
	cr_expect_eq(lstat(server->control, &status), 0);
}

Test(ctl_socket, a_developer_finds_it_without_naming_it)
{
	const char *folder = format("XDG_RUNTIME_DIR=%s", test_folder());

	server = server_start(
		(const char *[]) { "APP_ENV=development", folder, "CONTROL_SOCKET=", "RUNTIME_DIRECTORY", NULL });
	cr_expect_eq(
		process_run((const char *[]) { program_path("renovationctl"), "status", NULL },
			(const char *[]) { folder, "CONTROL_SOCKET", "RUNTIME_DIRECTORY", NULL }, &out, &err, LONG_MS),
		EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, format(":%d", server->port)), "%s", out);
}

/* Nobody chose it: it must not be in the way of a start. */
Test(ctl_socket, a_default_place_that_cannot_be_used_is_only_a_warning)
{
	char *errors;

	server = server_start((const char *[]) {
		"APP_ENV=development", "XDG_RUNTIME_DIR=/proc/none", "CONTROL_SOCKET=", "RUNTIME_DIRECTORY", NULL });
	errors = process_wait_error(server->supervisor, "no control socket", LONG_MS);
	cr_expect_not_null(strstr(errors, "/proc/none/renovationd/control.sock"), "%s", errors);
	free(errors);
}

Test(ctl_socket, the_configuration_says_where_it_is)
{
	const char *path = format("%s/where-%d.conf", test_folder(), (int)getpid());
	FILE *file = fopen(path, "we");

	server = server_start(NULL);
	cr_assert_not_null(file);
	(void)fprintf(file, "control_socket = \"%s\";\n", server->control);
	(void)fclose(file);
	cr_expect_eq(process_run((const char *[]) { program_path("renovationctl"), "-c", path, "status", NULL },
			     (const char *[]) { "CONTROL_SOCKET", NULL }, &out, &err, LONG_MS),
		EXIT_OK, "%s", err);
}

/* ---- who may --------------------------------------------------------------------------------------------------- */

/* A copy where every user can reach it; runs it as nobody. */
static int ctl_as_nobody(void)
{
	const char *copy = format("%s/renovationctl-%d", test_folder(), (int)getpid());

	cr_assert_eq(process_run((const char *[]) { "/bin/cp", program_path("renovationctl"), copy, NULL }, NULL, NULL,
			     NULL, LONG_MS),
		0);
	free(out);
	free(err);
	return process_run((const char *[]) { "/usr/sbin/runuser", "-u", "nobody", "--", copy, "-s", server->control,
				   "status", NULL },
		NULL, &out, &err, LONG_MS);
}

Test(ctl_socket, other_users_are_turned_away_with_77_and_told_what_to_do)
{
	if (geteuid() != 0)
		cr_skip("needs root to be another user");
	server = server_start(NULL);
	cr_expect_eq(ctl_as_nobody(), EXIT_REFUSED);
	cr_expect_not_null(strstr(err, "use sudo"), "%s", err);
}

Test(ctl_socket, members_of_the_control_group_may_use_it)
{
	if (geteuid() != 0)
		cr_skip("needs root to be another user");
	server = server_start((const char *[]) { "RENOVATIOND_CONTROL_GROUP=nogroup", NULL });
	cr_expect_eq(ctl_as_nobody(), EXIT_OK, "%s", err);
}

Test(ctl_socket, a_group_that_does_not_exist_is_a_fault_of_the_configuration)
{
	server = server_start(NULL);
	cr_expect_eq(process_run((const char *[]) { program_path("renovationd"), NULL },
			     (const char *[]) { server->environment[0], server->environment[1], "APP_ENV=test",
				     "GOOGLE_API_KEY=x", "PORT=0", format("CONTROL_SOCKET=%s.other", server->control),
				     "RENOVATIOND_CONTROL_GROUP=no-such-group", NULL },
			     &out, &err, LONG_MS),
		EXIT_CONFIG_WRONG);
	cr_expect_not_null(strstr(err, "control_group"), "%s", err);
}

/* ---- what comes in --------------------------------------------------------------------------------------------- */

Test(ctl_socket, wrong_requests_are_answered_with_what_is_wrong)
{
	static const struct {
		const char *line;     /* sent */
		const char *expected; /* in the answer */
	} rows[] = {
		{ "{\"command\":\"frobnicate\"}", "no such command" },
		{ "{\"command\":\"scale\"}", "lacks the member" },
		{ "{\"command\":\"scale\",\"workers\":-1}", "whole one" },
		{ "{\"command\":\"scale\",\"workers\":\"2\"}", "whole one" },
		{ "{\"command\":\"scale\",\"workers\":65}", "whole one" },
		{ "{\"command\":\"reload\",\"wait\":1}", "true or false" },
		{ "{\"command\":\"reload\",\"fast\":true}", "does not take" },
		{ "{\"command\":\"status\",\"extra\":{}}", "does not take" },
		{ "{\"command\":\"logs-level\",\"level\":\"loud\"}", "debug, info" },
		{ "{\"command\":17}", "no such command" },
		{ "[1]", "one JSON object" },
	};
	int fd;

	server = server_start(NULL);
	fd = dial();
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *answer;

		cr_assert(say_line(fd, rows[i].line));
		answer = hear(fd);
		cr_expect_not_null(strstr(answer, "\"ok\":false,\"code\":64"), "%s: %s", rows[i].line, answer);
		cr_expect_not_null(strstr(answer, rows[i].expected), "%s: %s", rows[i].line, answer);
	}
	cr_assert(say_line(fd, "{\"command\":\"status\"}"));
	cr_expect_not_null(strstr(hear(fd), "\"ok\":true"));
	close(fd);
}

Test(ctl_socket, garbage_is_answered_and_hurts_nobody)
{
	unsigned char noise[3000];
	static char huge[200000];
	pid_t pid;
	int fd;

	server = server_start(NULL);
	pid = server->supervisor->pid;
	for (int round = 0; round < 20; round++) {
		fd = dial();
		arc4random_buf(noise, sizeof noise);
		noise[sizeof noise - 1] = '\n';
		(void)say(fd, noise, sizeof noise);
		cr_expect_not_null(strstr(hear(fd), "\"code\":64"));
		cr_expect_str_empty(hear(fd), "its connection is closed");
		close(fd);
	}
	memset(huge, 'x', sizeof huge);
	fd = dial();
	(void)say(fd, huge, sizeof huge);
	cr_expect_not_null(strstr(hear(fd), "too long"));
	close(fd);
	fd = dial();
	cr_assert(say(fd, "{\"command\":\"sta", 15));
	close(fd);
	expect_healthy(pid);
}

Test(ctl_socket, a_line_that_ends_with_its_connection_is_answered)
{
	int fd;

	server = server_start(NULL);
	fd = dial();
	cr_assert(say_line(fd, "{\"command\":\"status\"}"));
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_expect_not_null(strstr(hear(fd), "\"ok\":true"));
	cr_expect_str_empty(hear(fd));
	close(fd);
}

Test(ctl_socket, requests_may_come_in_one_piece_or_by_the_byte)
{
	static const char two[] = "{\"command\":\"status\"}\n{\"command\":\"frobnicate\"}\n";
	int fd;

	server = server_start(NULL);
	fd = dial();
	cr_assert(say(fd, two, sizeof two - 1));
	cr_expect_not_null(strstr(hear(fd), "\"ok\":true"));
	cr_expect_not_null(strstr(hear(fd), "no such command"));
	for (size_t i = 0; i < sizeof two - 1; i++)
		cr_assert(say(fd, two + i, 1));
	cr_expect_not_null(strstr(hear(fd), "\"ok\":true"));
	cr_expect_not_null(strstr(hear(fd), "no such command"));
	close(fd);
}

Test(ctl_socket, more_connections_than_it_takes_are_told_so_and_it_goes_on)
{
	int fds[100], refused = 0;
	pid_t pid;

	server = server_start(NULL);
	pid = server->supervisor->pid;
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		fds[i] = dial();
		(void)say_line(fds[i], "{\"command\":\"frobnicate\"}");
	}
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		const char *answer = hear(fds[i]);

		refused += strstr(answer, "too many connections") != NULL || answer[0] == '\0';
	}
	cr_expect_eq(refused, 100 - 32, "%d", refused);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		close(fds[i]);
	expect_healthy(pid);
}

/* It asks and asks and reads nothing: nothing piles up for it, and others are answered meanwhile. */
Test(ctl_socket, who_does_not_read_hinders_nobody)
{
	static const char line[] = "{\"command\":\"status\"}\n";
	pid_t pid;
	int fd;

	server = server_start(NULL);
	pid = server->supervisor->pid;
	fd = dial();
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 20000; i++)
		(void)send(fd, line, sizeof line - 1, MSG_NOSIGNAL);
	expect_healthy(pid);
	close(fd);
	expect_healthy(pid);
}

Test(ctl_socket, who_leaves_while_it_waits_is_forgotten)
{
	pid_t pid;
	int fd;

	server = server_start(NULL);
	pid = server->supervisor->pid;
	for (int i = 0; i < 3; i++) {
		fd = dial();
		cr_assert(say_line(fd, "{\"command\":\"reload\",\"wait\":true}"));
		close(fd);
	}
	free(out);
	free(err);
	cr_expect_eq(server_ctl(server, (const char *[]) { "reload", "--wait", NULL }, &out, &err, LONG_MS), EXIT_OK,
		"%s", err);
	expect_healthy(pid);
}

/* ---- nobody there ---------------------------------------------------------------------------------------------- */

Test(ctl_socket, a_socket_that_nobody_serves_is_69_and_says_what_to_do)
{
	static const char *const commands[] = { "status", "top", "metrics", "reload", "upgrade", "drain", "resume",
		"stop" };

	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		free(out);
		free(err);
		cr_expect_eq(process_run((const char *[]) { program_path("renovationctl"), "-s",
						 format("%s/nobody.sock", test_folder()), commands[i], NULL },
				     NULL, &out, &err, LONG_MS),
			EXIT_UNAVAILABLE);
		cr_expect_not_null(strstr(err, "is it running?"), "%s: %s", commands[i], err);
	}
}

Test(ctl_socket, another_program_on_the_socket_is_69_too)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = format("%s/strange-%d.sock", test_folder(), (int)getpid());
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct process *asking;
	int fd;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(listener, 1), 0);
	asking = process_start((const char *[]) { program_path("renovationctl"), "-s", path, "status", NULL }, NULL);
	fd = accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_assert(say(fd, "220 mail.example ESMTP\r\n", 24));
	cr_expect_eq(process_wait(asking, LONG_MS), EXIT_UNAVAILABLE);
	close(fd);
	close(listener);
	process_end(&asking);
}
