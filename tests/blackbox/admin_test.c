/* What is the operator's: the admin listener in both kinds, the admin token on the main listener, who gets nothing of either, and that it answers while
 * the pool drains, stops and is upgraded. The page itself is the browser tests' part. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <grp.h>
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

#define TOKEN      "operators-only-0123456789"
#define CROWD      48
#define CROWD_KEPT 32 /* ADMIN_MAX of worker/http/admin.c */

TestSuite(admin, .timeout = 300);

#define LONG_MS 60000

static const char *const operators[] = { "/admin", "/admin/status.json", "/admin/assets/admin.js", "/metrics" };

/* ---- support --------------------------------------------------------------------------------------------------- */

/* Port of the admin listener, as the log tells it. */
static int admin_port(struct server *s)
{
	char *line = process_wait_error(s->supervisor, "service ready", LONG_MS);
	const char *before = "\"admin_url\":\"http://127.0.0.1:", *url = strstr(line, before);
	int port;

	cr_assert_not_null(url, "%s", line);
	port = (int)strtol(url + strlen(before), NULL, 10);
	free(line);
	return port;
}

static int status_of(int port, const char *method, const char *path, const char *headers)
{
	struct client c;
	struct reply r;
	int status;

	client_init(&c, port);
	r = client_request(&c, method, path, headers, NULL);
	status = r.status;
	reply_free(&r);
	client_fini(&c);
	return status;
}

/* The state of the pool; NULL when nobody answers. Put with json_object_put. */
static struct json_object *state_at(int port)
{
	struct json_object *state = NULL;
	struct client c;
	struct reply r;

	client_init(&c, port);
	if (client_connect(&c)) {
		r = client_request(&c, "GET", "/admin/status.json", NULL, NULL);
		if (r.status == 200)
			state = reply_json(&r);
		reply_free(&r);
	}
	client_fini(&c);
	return state;
}

/* Waits until the member at `path` reads so. */
static void wait_for_state(int port, const char *path, const char *wanted)
{
	int64_t give_up = now_ms() + LONG_MS;
	char last[256] = "";

	for (;;) {
		struct json_object *state = state_at(port), *member = state ? json_object_at(state, path) : NULL;
		bool is_so;

		(void)snprintf(last, sizeof last, "%s", member ? json_object_to_json_string(member) : "nothing");
		is_so = strstr(last, wanted) != NULL;
		json_object_put(state);
		if (is_so)
			return;
		cr_assert(now_ms() < give_up, "%s never became %s: %s", path, wanted, last);
		pause_ms(20);
	}
}

/* One request over a UNIX socket; the whole answer, NUL-terminated; free it. NULL: nobody answers. */
static char *ask_unix(const char *path, const char *target)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *answer = must_alloc(1 << 20);
	size_t length = 0;
	ssize_t got;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		free(answer);
		return NULL;
	}
	(void)dprintf(fd, "GET %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", target);
	while ((got = read(fd, answer + length, (1 << 20) - 1 - length)) > 0)
		length += (size_t)got;
	close(fd);
	return answer;
}

/* A second renovationd beside that one, with this admin_listen; its exit code. *errors_out: what it said; free it. */
static int start_second(struct server *s, const char *admin_listen, char **errors_out)
{
	const char *environment[48];
	size_t at = 0;

	for (; s->environment[at] != NULL; at++)
		environment[at] = s->environment[at];
	environment[at++] = "PORT=0";
	environment[at++] = must_strdup(format("CONTROL_SOCKET=%s/second.sock", test_folder()));
	environment[at++] = must_strdup(format("ADMIN_LISTEN=%s", admin_listen));
	environment[at] = NULL;
	return process_run(
		(const char *[]) { program_path("renovationd"), NULL }, environment, NULL, errors_out, LONG_MS);
}

static const char *socket_path(const char *name)
{
	return must_strdup(
		format("%s/%s-%d", strlen(test_folder()) < 70 ? test_folder() : "/tmp", name, (int)getpid()));
}

/* ---- the token on the main listener ------------------------------------------------------------------------------ */

Test(admin, the_token_opens_and_nothing_else_does)
{
	static const char *const wrong[] = { NULL, "Authorization: Bearer \r\n",
		"Authorization: Bearer operators-only-012345678\r\n",
		"Authorization: Bearer operators-only-01234567890\r\n",
		"Authorization: Bearer Operators-only-0123456789\r\n",
		"Authorization: Basic operators-only-0123456789\r\n", "Authorization: operators-only-0123456789\r\n",
		"X-Owner-Token: operators-only-0123456789\r\n", "Cookie: admin_token=operators-only-0123456789\r\n" };
	struct server *s = server_start((const char *[]) { "ADMIN_TOKEN=" TOKEN, NULL });

	for (size_t i = 0; i < COUNT_OF(operators); i++) {
		for (size_t k = 0; k < COUNT_OF(wrong); k++)
			cr_expect_eq(status_of(s->port, "GET", operators[i], wrong[k]), 404, "%s %s", operators[i],
				wrong[k] ? wrong[k] : "without");
		cr_expect_eq(status_of(s->port, "GET", operators[i], "Authorization: Bearer " TOKEN "\r\n"), 200, "%s",
			operators[i]);
		cr_expect_eq(status_of(s->port, "HEAD", operators[i], "authorization: bearer " TOKEN "\r\n"), 200, "%s",
			operators[i]);
		/* A 405 or an Allow field would tell that something is there. */
		cr_expect_eq(status_of(s->port, "POST", operators[i], NULL), 404, "%s", operators[i]);
		cr_expect_eq(status_of(s->port, "OPTIONS", operators[i], NULL), 404, "%s", operators[i]);
		cr_expect_eq(status_of(s->port, "POST", operators[i], "Authorization: Bearer " TOKEN "\r\n"), 405, "%s",
			operators[i]);
	}
	cr_expect_eq(status_of(s->port, "GET", "/assets/admin.js", NULL), 404);
	cr_expect_eq(status_of(s->port, "GET", "/api/sessions", "Authorization: Bearer " TOKEN "\r\n"), 401,
		"the operator's token is no owner's");
	server_end(&s);
}

Test(admin, without_the_options_nothing_of_it_exists)
{
	struct server *s = server_start(NULL);
	char *line = process_wait_error(s->supervisor, "service ready", LONG_MS);

	cr_expect_null(strstr(line, "admin_url"));
	for (size_t i = 0; i < COUNT_OF(operators); i++) {
		cr_expect_eq(status_of(s->port, "GET", operators[i], NULL), 404, "%s", operators[i]);
		cr_expect_eq(
			status_of(s->port, "GET", operators[i], "Authorization: Bearer \r\n"), 404, "%s", operators[i]);
	}
	free(line);
	server_end(&s);
}

Test(admin, a_token_that_can_be_guessed_is_refused_in_production)
{
	char *errors = NULL;
	int code = process_run((const char *[]) { program_path("renovationd"), "--print-config", NULL },
		(const char *[]) { "APP_ENV=production", "ADMIN_TOKEN=sesame", "DATABASE_URL=postgresql:///x",
			"GOOGLE_API_KEY=x", "RENOVATIOND_USER=nobody", NULL },
		NULL, &errors, LONG_MS);

	cr_expect_eq(code, EXIT_CONFIG_WRONG, "%d: %s", code, errors);
	cr_expect_not_null(strstr(errors, "fewer than 16 characters"), "%s", errors);
	cr_expect_null(strstr(errors, "sesame"), "a secret is not shown: %s", errors);
	free(errors);
}

/* ---- the listener ------------------------------------------------------------------------------------------------ */

static bool is_health(const char *path)
{
	return strcmp(path, "/") == 0 || strstr(path, "health") != NULL || strcmp(path, "/livez") == 0 ||
	       strcmp(path, "/readyz") == 0;
}

/* Readiness asks the database, which has 800 ms to answer: on a slow machine the first try may be too early. */
static int status_of_route(int port, const char *method, const char *path)
{
	int64_t give_up = now_ms() + LONG_MS;
	int status;

	while ((status = status_of(port, method, path, NULL)) == 503 && is_health(path) && now_ms() < give_up)
		pause_ms(100);
	return status;
}

/* {id} and {name} become something that could be there. */
static const char *address_of(const char *path)
{
	const char *open = strchr(path, '{');

	if (open == NULL)
		return path;
	return format("%.*s%s%s", (int)(open - path), path,
		strncmp(open, "{id}", 4) == 0 ? "01a1fe2b-9fe5-7d3b-94db-87a4102dc11d" : "index.html",
		strchr(open, '}') + 1);
}

Test(admin, the_listener_serves_the_operators_routes_and_health_and_nothing_else)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0", NULL });
	int port = admin_port(s), own = 0, hidden = 0;
	char *routes = NULL, *rest = NULL;

	cr_assert_eq(process_run((const char *[]) { program_path("renovationd-worker"), "--print-routes", NULL }, NULL,
			     &routes, NULL, LONG_MS),
		0);
	for (char *line = strtok_r(routes, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char *save = NULL, *method = strtok_r(line, "\t", &save), *path = strtok_r(NULL, "\t", &save);
		bool is_operators = strcmp(strtok_r(NULL, "\t", &save), "admin") == 0;
		int status = status_of_route(port, method, address_of(path));

		if (is_operators || is_health(path)) {
			cr_expect(status == 200 || status == 302, "%s %s: %d", method, path, status);
			own++;
		} else {
			cr_expect_eq(status, 404, "%s %s: %d", method, path, status);
			hidden++;
		}
	}
	cr_expect(own >= 10 && hidden >= 40, "%d and %d", own, hidden);
	for (size_t i = 0; i < COUNT_OF(operators); i++)
		cr_expect_eq(
			status_of(s->port, "GET", operators[i], NULL), 404, "%s on the main listener", operators[i]);
	free(routes);
	server_end(&s);
}

Test(admin, the_page_comes_with_its_policy_and_the_state_is_never_kept)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=localhost:0", NULL });
	struct client c;
	struct reply r;
	struct json_object *state;

	client_init(&c, admin_port(s));
	r = client_request(&c, "GET", "/admin", NULL, NULL);
	cr_expect_eq(r.status, 200);
	cr_expect_not_null(strstr(reply_header(&r, "Content-Security-Policy"), "default-src 'self'"));
	cr_expect_null(strstr(reply_header(&r, "Content-Security-Policy"), "unsafe"));
	cr_expect_not_null(strstr(reply_header(&r, "Content-Type"), "text/html"));
	reply_free(&r);
	r = client_request(&c, "GET", "/", NULL, NULL);
	cr_expect_eq(r.status, 302);
	cr_expect_str_eq(reply_header(&r, "Location"), "/admin");
	reply_free(&r);
	r = client_request(&c, "GET", "/admin/status.json", NULL, NULL);
	cr_expect_str_eq(reply_header(&r, "Cache-Control"), "no-store");
	state = reply_json(&r);
	cr_expect_str_eq(json_at(state, "state"), "running");
	cr_expect_eq(json_object_array_length(json_object_at(state, "workers")), 2);
	json_object_put(state);
	reply_free(&r);
	client_fini(&c);
	server_end(&s);
}

Test(admin, an_address_that_others_could_reach_is_a_fault_that_says_why)
{
	static const struct {
		const char *value, *says;
	} wrong[] = { { "0.0.0.0:9090", "could be reached from other machines" },
		{ "192.0.2.7:9090", "could be reached from other machines" },
		{ "[::]:9090", "could be reached from other machines" },
		{ "[2001:db8::1]:9090", "could be reached from other machines" },
		{ ":9090", "could be reached from other machines" },
		{ "*:9090", "could be reached from other machines" }, { "9090", "neither ADDRESS:PORT nor the path" },
		{ "127.0.0.1", "neither ADDRESS:PORT nor the path" },
		{ "127.0.0.1:99999", "neither ADDRESS:PORT nor the path" },
		{ "example.com:80", "neither ADDRESS:PORT nor the path" },
		{ "run/admin.sock", "neither ADDRESS:PORT" } };

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		const char *value = format("ADMIN_LISTEN=%s", wrong[i].value);
		char *errors = NULL;
		int code = process_run((const char *[]) { program_path("renovationd"), NULL },
			(const char *[]) { "APP_ENV=test", "PORT=0", "DATABASE_URL=postgresql:///nowhere?host=/nowhere",
				value, NULL },
			NULL, &errors, LONG_MS);

		cr_expect_eq(code, EXIT_CONFIG_WRONG, "%s: %d", value, code);
		cr_expect_not_null(strstr(errors, wrong[i].says), "%s: %s", value, errors);
		cr_expect_not_null(strstr(errors, "write 127.0.0.1:"), "%s: %s", value, errors);
		free(errors);
	}
}

Test(admin, a_port_that_is_taken_is_exit_75_and_names_who_has_it)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0", NULL });
	char *errors = NULL;

	cr_expect_eq(
		start_second(s, format("127.0.0.1:%d", admin_port(s)), &errors), EXIT_ADDRESS_IN_USE, "%s", errors);
	cr_expect_not_null(strstr(errors, "address of the admin listener already in use"), "%s", errors);
	cr_expect_not_null(strstr(errors, "(renovationd)"), "%s", errors);
	free(errors);
	cr_expect_eq(status_of(admin_port(s), "GET", "/livez", NULL), 200);
	server_end(&s);
}

/* ---- the UNIX socket --------------------------------------------------------------------------------------------- */

static void leave_stale_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
}

Test(admin, a_unix_socket_replaces_a_stale_one_is_for_user_and_group_and_goes_at_the_end)
{
	const char *path = socket_path("admin.sock");
	const struct group *group;
	struct server *s;
	gid_t gid;
	struct stat status;
	char *answer, *errors = NULL;

	leave_stale_socket(path);
	/* root may name any group, others their own */
	group = geteuid() == 0 ? getgrnam("daemon") : getgrgid(getegid());
	cr_assert_not_null(group);
	gid = group->gr_gid;
	s = server_start((const char *[]) {
		format("ADMIN_LISTEN=%s", path), format("RENOVATIOND_CONTROL_GROUP=%s", group->gr_name), NULL });
	cr_assert_eq(lstat(path, &status), 0);
	cr_expect(S_ISSOCK(status.st_mode));
	cr_expect_eq(status.st_mode & 07777, 0660, "%o", status.st_mode & 07777);
	cr_expect_eq(status.st_gid, gid, "%d", (int)status.st_gid);
	answer = ask_unix(path, "/admin/status.json");
	cr_expect_not_null(answer != NULL ? strstr(answer, "HTTP/1.1 200") : NULL);
	free(answer);
	answer = ask_unix(path, "/api/sessions");
	cr_expect_not_null(answer != NULL ? strstr(answer, "HTTP/1.1 404") : NULL);
	free(answer);
	/* Somebody listens: it is not stale. */
	cr_expect_eq(start_second(s, path, &errors), EXIT_ADDRESS_IN_USE, "%s", errors);
	free(errors);
	answer = ask_unix(path, "/livez");
	cr_expect_not_null(answer != NULL ? strstr(answer, "HTTP/1.1 200") : NULL);
	free(answer);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_neq(lstat(path, &status), 0, "it is gone with the service");
	server_end(&s);
	free((char *)path);
}

Test(admin, a_file_that_is_no_socket_stays_as_it_is)
{
	const char *path = socket_path("precious");
	struct server *s = server_start(NULL);
	struct stat status;
	char *errors = NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	cr_assert(fd >= 0 && write(fd, "kept", 4) == 4);
	close(fd);
	cr_expect_eq(start_second(s, path, &errors), EXIT_ADDRESS_IN_USE, "%s", errors);
	cr_expect_not_null(strstr(errors, "when the path is no socket"), "%s", errors);
	cr_expect(lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 4);
	free(errors);
	(void)unlink(path);
	free((char *)path);
	server_end(&s);
}

/* ---- whatever the pool does -------------------------------------------------------------------------------------- */

/* Clients' connections, as an operator's connection that is open already is told; -1 when it is not told. */
static int count_open(struct client *c)
{
	struct reply r = client_request(c, "GET", "/admin/status.json", NULL, NULL);
	struct json_object *state = r.status == 200 ? reply_json(&r) : NULL;
	int count =
		state ? (int)strtol(json_object_get_string(json_object_at(state, "totals.connections")), NULL, 10) : -1;

	json_object_put(state);
	reply_free(&r);
	return count;
}

static bool has_no_clients(void *arg)
{
	return count_open(arg) == 0;
}

Test(admin, a_crowd_of_operators_takes_no_place_of_clients)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0", "WORKERS=1", NULL });
	int port = admin_port(s), answered = 0, refused = 0;
	struct client crowd[CROWD];

	for (int i = 0; i < CROWD; i++) {
		struct reply r;

		client_init(&crowd[i], port);
		r = client_request(&crowd[i], "GET", "/livez", NULL, NULL);
		answered += r.status == 200;
		refused += r.status == 503;
		reply_free(&r);
	}
	cr_expect_eq(answered, CROWD_KEPT, "%d", answered);
	cr_expect_eq(refused, CROWD - CROWD_KEPT, "%d", refused);
	cr_expect_eq(status_of(s->port, "GET", "/livez", NULL), 200);
	/* The client that has just left may still be counted, those of the operator, all still open, must not be. */
	wait_until(has_no_clients, &crowd[0], "the operator's connections are no clients", LONG_MS);
	for (int i = 0; i < CROWD; i++)
		client_fini(&crowd[i]);
	wait_for_state(port, "state", "running");
	server_end(&s);
}

static bool is_turned_away(void *arg)
{
	return status_of(*(const int *)arg, "GET", "/", NULL) == 503;
}

Test(admin, it_answers_while_the_pool_is_reloaded_drained_and_resumed)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0", NULL });
	int port = admin_port(s);

	process_signal(s->supervisor, SIGHUP);
	wait_for_state(port, "generation", "2");
	process_signal(s->supervisor, SIGWINCH);
	wait_for_state(port, "state", "drained");
	wait_for_state(port, "is_drained", "true");
	cr_expect_eq(status_of(port, "GET", "/admin", NULL), 200);
	cr_expect_eq(status_of(port, "GET", "/metrics", NULL), 200);
	/* Workers of before take clients until they have heard that they are to leave. */
	wait_until(is_turned_away, &s->port, "clients are turned away", LONG_MS);
	process_signal(s->supervisor, SIGHUP);
	wait_for_state(port, "state", "running");
	wait_for_state(port, "ready", "2");
	cr_expect_eq(status_of(s->port, "GET", "/", NULL), 200);
	server_end(&s);
}

Test(admin, it_answers_until_the_last_worker_of_a_stop_leaves)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0",
		"RENOVATIOND_SHUTDOWN_HTTP_MS=100000", "RENOVATIOND_SHUTDOWN_MS=200000",
		"RENOVATIOND_HTTP_BODY_TIMEOUT_MS=200000", "RENOVATIOND_HTTP_BODY_RATE_MIN=0", NULL });
	int port = admin_port(s);
	struct client c;

	/* Something to wait for, as long as we want it to. */
	server_owner(s, &c);
	cr_assert(client_hold_request(&c, "/api/sessions"));
	process_signal(s->supervisor, SIGTERM);
	wait_for_state(port, "stop", "\"phase\"");
	wait_for_state(port, "state", "stopping");
	client_fini(&c);
	cr_expect_eq(process_wait(s->supervisor, LONG_MS), 0);
	server_end(&s);
}

static int64_t counted(int port, size_t *rows_out, int64_t *first_out)
{
	struct json_object *state = state_at(port), *samples = state ? json_object_at(state, "samples") : NULL;
	int64_t requests = 0;

	*rows_out = samples ? json_object_array_length(samples) : 0;
	for (size_t i = 0; i < *rows_out; i++) {
		struct json_object *row = json_object_array_get_idx(samples, i);

		requests += json_object_get_int64(json_object_object_get(row, "requests"));
		if (i == 0)
			*first_out = json_object_get_int64(json_object_object_get(row, "at_us"));
	}
	json_object_put(state);
	return requests;
}

Test(admin, the_last_minutes_are_kept_without_the_operators_looking_and_over_an_upgrade)
{
	struct server *s = server_start((const char *[]) { "ADMIN_LISTEN=127.0.0.1:0", NULL });
	int64_t give_up = now_ms() + LONG_MS, first = 0, first_after = 0, requests;
	int port = admin_port(s);
	size_t rows = 0, rows_after = 0;

	for (int i = 0; i < 25; i++)
		cr_assert_eq(status_of(s->port, "GET", "/livez", NULL), 200);
	while ((requests = counted(port, &rows, &first)) < 25 || rows < 2) {
		cr_assert(now_ms() < give_up, "%zu rows, %ld requests", rows, (long)requests);
		pause_ms(50);
	}
	cr_expect_eq(requests, 25, "what the operator asks for is not counted: %ld", (long)requests);
	process_signal(s->supervisor, SIGUSR2);
	wait_for_state(port, "upgrades.done", "1");
	wait_for_state(port, "ready", "2");
	give_up = now_ms() + LONG_MS;
	while ((requests = counted(port, &rows_after, &first_after)) < 25 || rows_after <= rows) {
		cr_assert(now_ms() < give_up, "%zu rows after %zu, %ld requests", rows_after, rows, (long)requests);
		pause_ms(50);
	}
	cr_expect_eq(first_after, first, "the rows from before are still there");
	cr_expect_eq(requests, 25, "and nothing is counted twice: %ld", (long)requests);
	server_end(&s);
}
