/* faults_start_test.c: what stands in the way of a start or listens beside it: a second instance, files of others, a service manager that is not there or
 * never reads, garbage on each UNIX socket. The real programs. Expected: the first comer keeps what it has, and nothing hangs. */
#include "config.h"

#include <criterion/criterion.h>
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

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

TestSuite(faults_start, .timeout = 300);

#define WAIT_MS 60000 /* for what comes in a moment on a machine that has time */

/* ---- two at once ----------------------------------------------------------------------------------------------- */

/* Another renovationd with the same environment and these changes; runs to its end. */
static int run_second(const struct server *s, const char *const changes[], char **err_out)
{
	const char *environment[48];
	size_t count = 0;

	for (; s->environment[count] != NULL; count++)
		environment[count] = s->environment[count];
	for (; *changes != NULL; changes++)
		environment[count++] = *changes;
	environment[count] = NULL;
	return process_run((const char *[]) { program_path("renovationd"), NULL }, environment, NULL, err_out, WAIT_MS);
}

static void expect_first_lives(struct server *s)
{
	pid_t workers[4];

	cr_expect(process_is_running(s->supervisor));
	cr_expect_eq(server_workers(s, workers, 4), 2);
	cr_expect_eq(get_many(s->port, 5), 5);
}

Test(faults_start, a_second_instance_on_the_same_port_leaves_with_75_and_names_the_first)
{
	struct server *s = server_start(NULL);
	char *err;

	cr_expect_eq(run_second(s,
			     (const char *[]) { format("PORT=%d", s->port),
				     format("CONTROL_SOCKET=%s/o.sock", test_folder()), NULL },
			     &err),
		EXIT_ADDRESS_IN_USE);
	cr_expect_not_null(strstr(err, format("process %d (renovationd)", (int)s->supervisor->pid)), "%s", err);
	free(err);
	expect_first_lives(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_start, a_second_instance_on_the_same_control_socket_leaves_with_75_and_names_the_first)
{
	const char *path = talk_keep(format("%s/c.sock", test_folder()));
	struct server *s = server_start((const char *[]) { format("CONTROL_SOCKET=%s", path), NULL });
	char *err;

	cr_expect_eq(run_second(s, (const char *[]) { NULL }, &err), EXIT_ADDRESS_IN_USE);
	cr_expect_not_null(strstr(err, format("process %d (renovationd)", (int)s->supervisor->pid)), "%s", err);
	free(err);
	expect_first_lives(s);
	cr_expect_eq(access(path, F_OK), 0, "the first one's socket stays");
	cr_expect_eq(server_stop(s), 0);
	cr_expect_neq(access(path, F_OK), 0, "and goes with it");
	server_end(&s);
}

static long number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (file != NULL) {
		if (fscanf(file, "%ld", &number) != 1)
			number = -1;
		(void)fclose(file);
	}
	return number;
}

Test(faults_start, a_second_instance_on_the_same_pid_file_leaves_with_73_and_the_file_stays)
{
	const char *path = talk_keep(test_path("d.pid"));
	struct server *s = server_start((const char *[]) { format("PID_FILE=%s", path), NULL });
	char *err;

	cr_expect_eq(run_second(s, (const char *[]) { format("CONTROL_SOCKET=%s/o.sock", test_folder()), NULL }, &err),
		EXIT_CANNOT_CREATE);
	cr_expect_not_null(strstr(err, path), "%s", err);
	free(err);
	cr_expect_eq(number_in(path), s->supervisor->pid);
	expect_first_lives(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- pid files that others left -------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *content)
{
	FILE *file = fopen(path, "we");

	must(file != NULL && fputs(content, file) >= 0 && fclose(file) == 0);
}

static void start_over(const char *path, const char *what)
{
	struct server *s = server_start((const char *[]) { format("PID_FILE=%s", path), NULL });

	cr_expect_eq(number_in(path), s->supervisor->pid, "%s", what);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_neq(access(path, F_OK), 0, "%s", what);
	server_end(&s);
}

Test(faults_start, pid_files_of_the_dead_the_living_and_nobody_are_replaced)
{
	const char *path = talk_keep(test_path("d.pid")), *target = talk_keep(test_path("target"));

	write_file(path, "4194304\n");
	start_over(path, "a process that cannot be");
	write_file(path, format("%d\n", (int)getpid()));
	start_over(path, "a process that has nothing to do with it");
	if (faults_are_whole()) {
		write_file(path, "\x01\xff not a number");
		start_over(path, "no number");
		write_file(path, "");
		start_over(path, "an empty file");
	}
	write_file(target, "of somebody else\n");
	cr_assert_eq(symlink(target, path), 0);
	start_over(path, "a link");
	cr_expect_eq(access(target, F_OK), 0, "what the link led to is untouched");
	cr_expect_eq(number_in(target), -1);
}

Test(faults_start, a_pid_file_of_somebody_else_is_not_removed_at_the_stop)
{
	const char *path = talk_keep(test_path("d.pid"));
	struct server *s = server_start((const char *[]) { format("PID_FILE=%s", path), NULL });

	cr_assert_eq(unlink(path), 0);
	write_file(path, "7\n");
	cr_expect_eq(server_stop(s), 0);
	cr_expect_eq(number_in(path), 7);
	server_end(&s);
}

Test(faults_start, what_a_killed_instance_left_behind_does_not_hinder_the_next)
{
	const char *pid_file = talk_keep(test_path("d.pid")), *path = talk_keep(format("%s/c.sock", test_folder()));
	struct server *s = server_start(
		(const char *[]) { format("PID_FILE=%s", pid_file), format("CONTROL_SOCKET=%s", path), NULL });

	process_signal(s->supervisor, SIGKILL);
	(void)process_wait(s->supervisor, WAIT_MS);
	cr_expect_eq(access(pid_file, F_OK), 0);
	cr_expect_eq(access(path, F_OK), 0);
	server_start_elsewhere(s);
	cr_expect_eq(number_in(pid_file), s->supervisor->pid);
	expect_first_lives(s);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_neq(access(pid_file, F_OK), 0);
	cr_expect_neq(access(path, F_OK), 0);
	server_end(&s);
}

Test(faults_start, a_pid_file_or_control_socket_that_cannot_be_made_ends_the_start_with_73)
{
	const char *plain = talk_keep(test_path("plain"));
	struct server s = { .cluster = cluster_shared() };
	const char *database = talk_keep(cluster_new_database(s.cluster));
	char *err;

	write_file(plain, "not a folder");
	s.environment[0] = must_strdup(format("DATABASE_URL=%s", cluster_url(s.cluster, database)));
	s.environment[1] = "GOOGLE_API_KEY=none";
	s.environment[2] = "APP_ENV=test";
	s.environment[3] = "PORT=0";
	cr_expect_eq(run_second(&s, (const char *[]) { format("PID_FILE=%s", test_folder()), NULL }, &err),
		EXIT_CANNOT_CREATE);
	cr_expect_not_null(strstr(err, test_folder()), "%s", err);
	free(err);
	cr_expect_eq(run_second(&s, (const char *[]) { format("PID_FILE=%s/d.pid", plain), NULL }, &err),
		EXIT_CANNOT_CREATE);
	free(err);
	cr_expect_eq(run_second(&s, (const char *[]) { format("CONTROL_SOCKET=%s", plain), NULL }, &err),
		EXIT_CANNOT_CREATE);
	cr_expect_not_null(strstr(err, plain), "%s", err);
	free(err);
	cr_expect_eq(access(plain, F_OK), 0, "somebody's file stays");
	free((char *)(uintptr_t)s.environment[0]);
}

/* ---- the service manager --------------------------------------------------------------------------------------- */

static void live_with_manager(const char *socket_path)
{
	struct server *s = server_start((const char *[]) { format("NOTIFY_SOCKET=%s", socket_path),
		"WATCHDOG_USEC=1000000", "RENOVATIOND_SHUTDOWN_MS=9000", NULL });
	pid_t workers[4];

	expect_first_lives(s);
	cr_assert_eq(server_workers(s, workers, 4), 2);
	(void)kill(workers[0], SIGKILL);
	workers_wait(s, workers[0], 2, WAIT_MS);
	expect_first_lives(s);
	cr_expect_eq(server_stop(s), 0, "%s", socket_path);
	server_end(&s);
}

Test(faults_start, a_service_manager_that_is_not_there_holds_up_nothing)
{
	write_file(test_path("plain"), "no socket");
	live_with_manager("/nonexistent/notify");
	live_with_manager(talk_keep(test_path("plain")));
	if (!faults_are_whole())
		return;
	live_with_manager("");
	live_with_manager("@no-such-name-of-ours");
	live_with_manager("vsock:2:9999");
	live_with_manager("not a path");
}

/* Room for little, and nobody reads. */
static int deaf_manager(const char *path)
{
	int fd = notify_listen(path), room = 1, sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	for (int i = 0; i < 100000; i++)
		if (sendto(sender, "x", 1, 0, (const struct sockaddr *)&address, sizeof address) < 0)
			break;
	(void)close(sender);
	return fd;
}

Test(faults_start, a_service_manager_that_never_reads_holds_up_nothing)
{
	const char *path = talk_keep(format("%s/n", test_folder()));
	int fd = deaf_manager(path);

	live_with_manager(path);
	(void)close(fd);
}

/* ---- garbage on the operator's socket -------------------------------------------------------------------------- */

static bool answers_status(void *arg)
{
	static const char question[] = "{\"command\":\"status\"}\n";
	char answer[8192];

	return unix_converse(arg, question, sizeof question - 1, answer) &&
	       strstr(answer, "\"done\":true,\"ok\":true") != NULL;
}

static void send_garbage(const char *path, size_t rounds)
{
	static const char *const lines[] = { "\n", "\n\n\n\n", "{", "}\n", "null\n", "[]\n", "{}\n", "\"stop\"\n",
		"stop\n", "{\"command\":}\n", "{\"command\":7}\n", "{\"command\":null}\n",
		"{\"command\":\"nonsense\"}\n", "{\"command\":\"scale\",\"workers\":-1}\n",
		"{\"command\":\"scale\",\"workers\":99999999999999999999}\n", "{\"command\":\"scale\"}\n",
		"{\"command\":\"restart\",\"slot\":4000}\n", "{\"command\":\"status\",\"command\":\"status\"}\n",
		"{\"command\":\"st\\u0000atus\"}\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "{\"command\":\"status\"}",
		"\xff\xfe\xfd\n" };
	char *big = must_alloc(1024 * 1024), answer[8192];
	unsigned seed = 7;

	for (size_t i = 0; i < COUNT_OF(lines); i++)
		cr_expect(unix_converse(path, lines[i], strlen(lines[i]), answer), "no end after %s", lines[i]);
	memset(big, '[', 1024 * 1024);
	cr_expect(unix_converse(path, big, 4000, answer), "deep nesting");
	cr_expect(unix_converse(path, big, 1024 * 1024, answer), "a line without end");
	for (size_t i = 0; i < rounds; i++) {
		size_t length = i * 37 % 6000 + 1;

		for (size_t j = 0; j < length; j++)
			big[j] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
		cr_expect(unix_converse(path, big, length, answer), "round %zu", i);
	}
	free(big);
}

#define HELD 200

Test(faults_start, garbage_on_the_control_socket_harms_nobody)
{
	const char *path = talk_keep(format("%s/c.sock", test_folder()));
	struct server *s = server_start((const char *[]) { format("CONTROL_SOCKET=%s", path), NULL });
	int held[HELD];

	send_garbage(path, faults_are_whole() ? 2000 : 100);
	cr_expect(answers_status((void *)(uintptr_t)path));
	expect_first_lives(s);
	if (!faults_are_whole()) {
		cr_expect_eq(server_stop(s), 0);
		server_end(&s);
		return;
	}
	/* Many who connect and say half a word, or ask and never read: the first are in the way of others for a time at most. */
	for (int i = 0; i < HELD; i++) {
		struct pollfd waits = { .events = POLLIN };

		held[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		must(held[i] >= 0);
		waits.fd = held[i];

		struct sockaddr_un address = { .sun_family = AF_UNIX };

		(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
		if (connect(held[i], (const struct sockaddr *)&address, sizeof address) == 0)
			(void)send(held[i], i % 2 ? "{\"comm" : "{\"command\":\"status\"}\n", i % 2 ? 6 : 21,
				MSG_NOSIGNAL);
		(void)poll(&waits, 1, 0);
	}
	expect_first_lives(s);
	wait_until(answers_status, (void *)(uintptr_t)path, "an operator is heard again", WAIT_MS);
	for (int i = 0; i < HELD; i++)
		(void)close(held[i]);
	wait_until(answers_status, (void *)(uintptr_t)path, "an operator is heard", WAIT_MS);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- garbage on the admin listener ----------------------------------------------------------------------------- */

static bool answers_metrics(void *arg)
{
	static const char question[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char answer[8192];

	return unix_converse(arg, question, sizeof question - 1, answer) && strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

Test(faults_start, garbage_on_the_admin_socket_harms_nobody)
{
	static const char *const lines[] = { "\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\n\r\n", "POST /admin HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"{\"command\":\"stop\"}\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /admin/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n" };
	const char *path = talk_keep(format("%s/a.sock", test_folder()));
	struct server *s = server_start((const char *[]) { format("RENOVATIOND_ADMIN_LISTEN=%s", path), NULL });
	int rounds = faults_are_whole() ? 2000 : 100, held[HELD];
	char *bytes = must_alloc(65536), answer[8192];
	unsigned seed = 11;

	for (size_t i = 0; i < COUNT_OF(lines); i++)
		cr_expect(unix_converse(path, lines[i], strlen(lines[i]), answer), "no end after %s", lines[i]);
	for (int i = 0; i < rounds; i++) {
		size_t length = (size_t)(i * 691 % 65000) + 1;

		for (size_t j = 0; j < length; j++)
			bytes[j] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
		cr_expect(unix_converse(path, bytes, length, answer), "round %d", i);
	}
	free(bytes);
	cr_expect(answers_metrics((void *)(uintptr_t)path));
	for (int i = 0; i < HELD; i++) {
		held[i] = unix_connect(path);
		if (held[i] >= 0)
			(void)send(held[i], "GET /met", 8, MSG_NOSIGNAL);
	}
	expect_first_lives(s);
	for (int i = 0; i < HELD; i++)
		(void)close(held[i]);
	wait_until(answers_metrics, (void *)(uintptr_t)path, "an operator is heard", WAIT_MS);
	expect_first_lives(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
