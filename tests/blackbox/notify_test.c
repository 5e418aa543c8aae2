/* notify_test.c: what the service tells its manager and what it takes from it: state, watchdog, and the listening socket that outlives a crash. The manager is
 * played by tests/support/manager.c; the real one is in tests/system. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/faults.h"
#include "tests/support/manager.h"
#include "tests/support/talk.h"

TestSuite(notify, .timeout = 300);

#define WAIT_MS 60000

static ino_t socket_of(int fd)
{
	struct stat status;

	cr_assert_eq(fstat(fd, &status), 0);
	return status.st_ino;
}

/* A listening socket of our own, with its port. */
static int listen_somewhere(int *port_out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(fd, 16), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

static int status_of(struct client *c)
{
	struct reply r = client_request(c, "GET", "/health", NULL, NULL);
	int status = r.status;

	reply_free(&r);
	return status;
}

static bool answers(int port)
{
	struct client c;
	int status;

	client_init(&c, port);
	status = status_of(&c);
	client_fini(&c);
	return status == 200;
}

static bool is_dead(void *arg)
{
	return !pid_is_alive(*(const pid_t *)arg);
}

static void crash(struct server *s)
{
	pid_t workers[8];
	int count = server_workers(s, workers, 8);

	process_signal(s->supervisor, SIGKILL);
	(void)process_wait(s->supervisor, WAIT_MS);
	/* systemd ends the whole group; until it has, they hold the socket. */
	for (int i = 0; i < count; i++)
		(void)kill(workers[i], SIGKILL);
	for (int i = 0; i < count; i++)
		wait_until(is_dead, &workers[i], "a killed worker is dead", WAIT_MS);
}

/* What systemd does at the next start: everything stored is passed with its name. */
static void pass_stored(struct server *s, const struct manager *m)
{
	static char names[200];

	names[0] = '\0';
	for (int i = 0; i < m->stored_count; i++) {
		s->passed[i] = m->stored[i].fd;
		(void)snprintf(
			names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ":" : "", m->stored[i].name);
	}
	s->passed_count = m->stored_count;
	s->passed_names = names;
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

Test(notify, start_reload_upgrade_and_stop_are_told_in_order)
{
	struct manager m;
	struct server *s;
	size_t at, before;

	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, "WATCHDOG_USEC=3000000", NULL });
	at = manager_wait(&m, "EXTEND_TIMEOUT_USEC=", 0, WAIT_MS);
	at = manager_wait(&m, "FDSTORE=1\nFDNAME=http", at, WAIT_MS);
	cr_expect_eq(m.stored_count, 1);
	at = manager_wait(&m, format("READY=1\nSTATUS=listening on http://127.0.0.1:%d", s->port), at, WAIT_MS);
	at = manager_wait(&m, "WATCHDOG=1\n", at, WAIT_MS);

	process_signal(s->supervisor, SIGHUP);
	at = manager_wait(&m, "RELOADING=1\nMONOTONIC_USEC=", at, WAIT_MS);
	at = manager_wait(&m, "READY=1\nSTATUS=", at, WAIT_MS);

	before = at;
	process_signal(s->supervisor, SIGUSR2);
	at = manager_wait(&m, "RELOADING=1\nMONOTONIC_USEC=", at, WAIT_MS);
	at = manager_wait(&m, "STATUS=upgrading: checking", before, WAIT_MS);
	at = manager_wait(&m, "READY=1\nSTATUS=upgraded from", at, WAIT_MS);
	cr_expect_null(strstr(m.said + before, "STOPPING=1"));
	cr_expect_null(strstr(m.said + before, "FDSTORE"), "the socket is stored already");
	at = manager_wait(&m, "WATCHDOG=1\n", at, WAIT_MS);

	process_signal(s->supervisor, SIGTERM);
	at = manager_wait(&m, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=12000000\n", at, WAIT_MS);
	at = manager_wait(&m, "STATUS=stopped (clean)", at, WAIT_MS);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	server_end(&s);
	manager_close(&m);
}

/* A file for -c. */
static const char *config(const char *text)
{
	const char *path = test_path("renovationd.conf");
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
	(void)chmod(path, 0644);
	return path;
}

Test(notify, stop_names_its_phases_and_asks_for_the_time_that_a_reload_gave_it)
{
	static const char half[] = "POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
	const char *path = format("RENOVATIOND_TEST_CONFIG=%s", config("shutdown_ms = 20000;\n"));
	struct manager m;
	struct server *s;
	struct client c;
	size_t at;

	manager_open(&m, false);
	s = server_start((const char *[]) {
		m.variable, path, "RENOVATIOND_SHUTDOWN_HTTP_MS=6000", "RENOVATIOND_HTTP_BODY_RATE_MIN=0", NULL });
	(void)config("shutdown_ms = 60000;\n");
	process_signal(s->supervisor, SIGHUP);
	free(process_wait_error(s->supervisor, "\"result\":\"live\"", WAIT_MS));
	client_init(&c, s->port);
	cr_assert(client_connect(&c) && client_send(&c, half, sizeof half - 1));
	cr_expect(answers(s->port));
	process_signal(s->supervisor, SIGTERM);
	at = manager_wait(&m, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=62000000\n", 0, WAIT_MS);
	/* At the phase's begin, and each second; a loop that is late may leave some out. */
	for (int i = 0; i < 3; i++) {
		at = manager_wait(&m, "STATUS=stopping (sockets): ", at, WAIT_MS);
		at = manager_wait(&m, "\nEXTEND_TIMEOUT_USEC=", at, WAIT_MS);
		cr_expect(strtoll(m.said + at, NULL, 10) > 32000000, "%s", m.said + at);
	}
	at = manager_wait(&m, "STATUS=stopping (database): 1 workers left", at, WAIT_MS);
	at = manager_wait(&m, "STATUS=stopping (log): 1 workers left", at, WAIT_MS);
	at = manager_wait(&m, "STATUS=stopped (forced)", at, WAIT_MS);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0);
	client_fini(&c);
	server_end(&s);
	manager_close(&m);
}

Test(notify, reload_that_a_drain_overtakes_while_it_waits_is_told_as_over)
{
	struct manager m;
	struct server *s;
	size_t at;

	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, NULL });
	at = manager_wait(&m, "READY=1", 0, WAIT_MS);
	/* Both are there when it looks, the reload first: the drain comes before it has begun. */
	process_signal(s->supervisor, SIGSTOP);
	process_signal(s->supervisor, SIGHUP);
	process_signal(s->supervisor, SIGWINCH);
	process_signal(s->supervisor, SIGCONT);
	at = manager_wait(&m, "RELOADING=1\nMONOTONIC_USEC=", at, WAIT_MS);
	at = manager_wait(&m, "READY=1\nSTATUS=drained", at, WAIT_MS);
	free(process_wait_error(s->supervisor, "\"event\":\"drain\",\"result\":\"replaced\"", WAIT_MS));
	cr_expect_null(strstr(m.said + at, "RELOADING=1"));
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
}

/* How many connections may wait at a listening socket: Linux tells it in a field that has no other meaning there. */
static unsigned backlog_of(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	cr_assert_eq(info.tcpi_state, TCP_LISTEN);
	return info.tcpi_sacked;
}

Test(notify, queue_of_the_listener_is_changed_by_an_accepted_reload_only)
{
	const char *path = format("RENOVATIOND_TEST_CONFIG=%s", config("listen_backlog = 20;\n"));
	struct manager m;
	struct server *s;

	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, path, NULL });
	(void)manager_wait(&m, "READY=1", 0, WAIT_MS);
	cr_assert_eq(m.stored_count, 1);
	cr_assert_eq(backlog_of(m.stored[0].fd), 20);
	(void)config("listen_backlog = 30;\nworker_program = \"/bin/true\";\n");
	process_signal(s->supervisor, SIGHUP);
	free(process_wait_error(s->supervisor, "\"result\":\"rejected\"", WAIT_MS));
	cr_expect_eq(backlog_of(m.stored[0].fd), 20, "it was refused");
	(void)config("listen_backlog = 40;\n");
	process_signal(s->supervisor, SIGHUP);
	free(process_wait_error(s->supervisor, "\"result\":\"replaced\"", WAIT_MS));
	cr_expect_eq(backlog_of(m.stored[0].fd), 40);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
}

/* Fills the manager's queue until nothing more goes in. */
static void fill(const struct manager *m)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", strchr(m->variable, '=') + 1);
	while (sendto(fd, "X_FILL=1", 8, 0, (struct sockaddr *)&address, sizeof address) == 8)
		;
	close(fd);
}

Test(notify, manager_that_does_not_read_stops_nothing_and_hears_all_that_counts_later)
{
	struct manager m;
	struct server *s;
	size_t at;

	manager_open(&m, false);
	fill(&m);
	s = server_start((const char *[]) { m.variable, NULL });
	cr_expect(answers(s->port));
	process_signal(s->supervisor, SIGHUP);
	free(process_wait_error(s->supervisor, "\"generation\":2,\"ms\":", WAIT_MS));
	at = manager_wait(&m, "FDSTORE=1", 0, WAIT_MS);
	at = manager_wait(&m, "READY=1\nSTATUS=listening on", at, WAIT_MS);
	(void)manager_wait(&m, "READY=1\n", at, WAIT_MS);
	cr_expect_eq(m.stored_count, 1);
	fill(&m);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
}

Test(notify, manager_without_a_file_is_told_and_one_that_is_not_there_is_no_matter)
{
	struct manager m;
	struct server *s;

	manager_open(&m, true);
	s = server_start((const char *[]) { m.variable, NULL });
	(void)manager_wait(&m, "READY=1\nSTATUS=listening on", 0, WAIT_MS);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
	(void)snprintf(m.variable, sizeof m.variable, "NOTIFY_SOCKET=%s/nobody", test_folder());
	s = server_start((const char *[]) { m.variable, NULL });
	cr_expect(answers(s->port));
	free(process_wait_error(s->supervisor, "the service manager cannot be told anything", WAIT_MS));
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- Gemini's check ---------------------------------------------------------------------------------------------- */

/* A further variable for the next start. */
static void set_variable(struct server *s, const char *variable)
{
	size_t at = 0;

	while (s->environment[at] != NULL)
		at++;
	cr_assert_lt(at, sizeof s->environment / sizeof s->environment[0] - 2);
	s->environment[at] = strdup(variable);
}

/* Whether Gemini is asked for its models with success from now on. */
static void simulate(struct server *s, bool is_good)
{
	struct reply r = simulator_request(s, is_good ? "DELETE" : "POST", "/sim/faults",
		is_good ? NULL : "[{\"match\":{\"method\":\"models\"},\"fault\":\"503\"}]");

	cr_assert(r.status >= 200 && r.status < 300, "%d %s", r.status, r.body);
	reply_free(&r);
}

/* Readiness, the detailed status and renovationctl agree; the service is ready all the same. */
static void expect_gemini(struct server *s, const char *health, const char *status)
{
	static const char *const paths[][2] = { { "/health/ready", "checks.gemini.status" },
		{ "/health/status", "gemini.status" } };
	struct client c;
	char *out, *err;

	client_init(&c, s->port);
	for (size_t i = 0; i < 2; i++) {
		struct reply r = client_request(&c, "GET", paths[i][0], NULL, NULL);
		struct json_object *body = reply_json(&r);

		cr_expect_eq(r.status, 200, "%s", r.body);
		cr_expect_str_eq(json_at(body, paths[i][1]), health, "%s", r.body);
		json_object_put(body);
		reply_free(&r);
	}
	client_fini(&c);
	cr_expect_eq(server_ctl(s, (const char *[]) { "status", NULL }, &out, &err, WAIT_MS), 0, "%s", err);
	cr_expect_not_null(strstr(out, format("Gemini %s\n", status)), "%s", out);
	free(out);
	free(err);
}

#define RUNNING "STATUS=running: 2 of 2 workers ready, config gen "

Test(notify, gemini_that_failed_its_check_is_told_until_it_answers)
{
	struct manager m;
	struct server *s;
	struct talk t;
	size_t at;

	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, "GEMINI_VALIDATE=1", "GEMINI_REQUIRED=false", NULL });
	expect_gemini(s, "up", "good");
	cr_expect_eq(server_stop(s), 0);

	manager_read(&m);
	at = m.length;
	simulate(s, false);
	server_start_elsewhere(s);
	free(process_wait_error(s->supervisor, "gemini_required is false", WAIT_MS));
	at = manager_wait(&m,
		format("READY=1\nSTATUS=listening on http://127.0.0.1:%d; Gemini does not answer", s->port), at,
		WAIT_MS);
	expect_gemini(s, "failing", "failing");

	talk_init(&t, s);
	talk_wait(&t, talk_ask(&t, "How long does screed dry?", ""), "completed", WAIT_MS);
	talk_fini(&t);
	at = manager_wait(&m, RUNNING "1\n", at, WAIT_MS);
	expect_gemini(s, "up", "good");

	/* It fails the check of a reload. */
	process_signal(s->supervisor, SIGHUP);
	at = manager_wait(&m, RUNNING "2; Gemini does not answer as it should\n", at, WAIT_MS);
	expect_gemini(s, "failing", "failing");
	simulate(s, true);
	process_signal(s->supervisor, SIGHUP);
	at = manager_wait(&m, RUNNING "3\n", at, WAIT_MS);
	expect_gemini(s, "up", "good");
	cr_expect_eq(server_stop(s), 0);

	set_variable(s, "GOOGLE_API_KEY=bad-key");
	server_start_elsewhere(s);
	(void)manager_wait(&m, "; Gemini refuses the API key", at, WAIT_MS);
	expect_gemini(s, "credentials_refused", "credentials refused");
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
}

/* ---- the stored socket ------------------------------------------------------------------------------------------- */

/* Where the operator's listener is. Static. */
static const char *admin_url(struct server *s)
{
	char *line = process_wait_error(s->supervisor, "\"msg\":\"service ready\"", WAIT_MS);
	struct json_object *ready = json_tokener_parse(line);
	const char *url = format("%s", json_at(ready, "admin_url"));

	json_object_put(ready);
	free(line);
	return url;
}

Test(notify, connection_made_while_the_service_is_dead_is_answered_by_the_next)
{
	struct manager m;
	struct server *s;
	struct client early;
	char operators[100];
	ino_t stored;
	size_t at;
	int port;

	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, "ADMIN_LISTEN=127.0.0.1:0", NULL });
	(void)manager_wait(&m, "FDSTORE=1\nFDNAME=http", 0, WAIT_MS);
	(void)manager_wait(&m, "FDSTORE=1\nFDNAME=admin", 0, WAIT_MS);
	(void)snprintf(operators, sizeof operators, "%s", admin_url(s));
	port = s->port;
	stored = socket_of(m.stored[0].fd);
	for (int i = 0; i < 2; i++) {
		/* Once by a crash, once by a stop. */
		if (i == 0)
			crash(s);
		else
			cr_expect_eq(server_stop(s), 0);
		client_init(&early, port);
		early.timeout_ms = WAIT_MS;
		cr_assert(client_connect(&early), "nobody listens");
		/* What the one before said. */
		manager_read(&m);
		at = m.length;
		pass_stored(s, &m);
		server_start_again(s);
		cr_expect_eq(s->port, port);
		cr_expect_eq(status_of(&early), 200);
		client_fini(&early);
		free(process_wait_error(s->supervisor, "\"from\":\"descriptor store\"", WAIT_MS));
		(void)manager_wait(&m, "FDSTORE=1\nFDNAME=admin", at, WAIT_MS);
		cr_assert_eq(m.stored_count, 2);
		cr_expect_eq(socket_of(m.stored[0].fd), stored);
		cr_expect_str_eq(admin_url(s), operators);
	}
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
}

Test(notify, stored_socket_of_another_address_is_given_up)
{
	struct manager m;
	struct server *s;
	int other_port, other = listen_somewhere(&other_port);
	size_t at;

	manager_open(&m, false);
	/* Not one that clients are given while nobody listens. */
	s = server_start((const char *[]) { m.variable, format("PORT=%d", free_port()), NULL });
	at = manager_wait(&m, "READY=1", 0, WAIT_MS);
	crash(s);
	manager_forget(&m);
	s->passed[0] = other;
	s->passed_count = 1;
	s->passed_names = "http";
	server_start_again(s);
	cr_expect_neq(s->port, other_port);
	cr_expect(answers(s->port));
	at = manager_wait(&m, "FDSTORE=1", manager_wait(&m, "FDSTOREREMOVE=1\nFDNAME=http", at, WAIT_MS), WAIT_MS);
	(void)manager_wait(&m, "READY=1", at, WAIT_MS);
	cr_assert_eq(m.stored_count, 1);
	cr_expect_neq(socket_of(m.stored[0].fd), socket_of(other));
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
	close(other);
}

Test(notify, socket_that_comes_from_its_unit_and_from_the_store_is_one)
{
	struct manager m;
	struct server *s;
	int port, fd = listen_somewhere(&port), pipe_ends[2];

	cr_assert_eq(pipe(pipe_ends), 0);
	manager_open(&m, false);
	s = server_start((const char *[]) { m.variable, NULL });
	(void)manager_wait(&m, "READY=1", 0, WAIT_MS);
	crash(s);
	manager_forget(&m);
	s->passed[0] = fd;
	s->passed[1] = pipe_ends[0];
	s->passed[2] = fd;
	s->passed_count = 3;
	s->passed_names = "http:strange:renovationd.socket";
	/* The unit's address is not the configured one, which it wins over. */
	s->port = port + 1 <= 65535 ? port + 1 : port - 1;
	server_start_again(s);
	cr_expect_eq(s->port, port);
	cr_expect(answers(port));
	free(process_wait_error(s->supervisor, "\"from\":\"socket unit\"", WAIT_MS));
	free(process_wait_error(s->supervisor, "passed descriptor is not used", WAIT_MS));
	process_signal(s->supervisor, SIGUSR2);
	free(process_wait_error(s->supervisor, "\"msg\":\"upgrade done\"", WAIT_MS));
	cr_expect(answers(port));
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	manager_close(&m);
	close(fd);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}
