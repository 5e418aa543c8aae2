/* server.c: puts database, simulator and server together for a test, and takes them apart again. */
#include "config.h"
#include "tests/support/server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"

static int port_of(const char *line)
{
	const char *colon = strrchr(line, ':');

	must(colon != NULL);
	return (int)strtol(colon + 1, NULL, 10);
}

static void start_simulator(struct server *s)
{
	s->simulator = process_start((const char *[]) { program_path("gemini-sim"), "--port", "0", NULL }, NULL);

	char *line = process_wait_output(s->simulator, "listening on", 60000);

	s->simulator_port = port_of(line);
	free(line);
}

static void start_supervisor(struct server *s)
{
	static const char name[] = "RENOVATIOND_TEST_CONFIG=";
	const char *argv[4] = { program_path("renovationd") };

	for (size_t i = 0; s->environment[i] != NULL; i++)
		if (strncmp(s->environment[i], name, sizeof name - 1) == 0) {
			argv[1] = "-c";
			argv[2] = s->environment[i] + sizeof name - 1;
		}
	s->supervisor = process_start_passing(argv, s->environment, s->passed, s->passed_count, s->passed_names);

	char *line = process_wait_output(s->supervisor, "listening on", 60000);

	s->port = port_of(line);
	free(line);
}

struct server *server_start_on(struct cluster *cluster, const char *const extra[])
{
	struct server *s = must_alloc(sizeof *s);
	char *copies[COUNT_OF(s->environment)];
	size_t at = 0, extras = 0;

	/* Often made by format(), which we are about to call more often than its texts last. */
	for (; extra != NULL && extra[extras] != NULL; extras++) {
		must(extras < COUNT_OF(copies));
		copies[extras] = must_strdup(extra[extras]);
	}
	s->cluster = cluster;
	(void)snprintf(s->database, sizeof s->database, "%s", cluster_new_database(cluster));
	start_simulator(s);
	s->environment[at++] = must_strdup(format("DATABASE_URL=%s", cluster_url(cluster, s->database)));
	s->environment[at++] = must_strdup(format("GEMINI_BASE_URL=http://127.0.0.1:%d", s->simulator_port));
	s->environment[at++] = must_strdup("GOOGLE_API_KEY=test-key-not-secret");
	s->environment[at++] = must_strdup("APP_ENV=test");
	s->environment[at++] = must_strdup("HOST=127.0.0.1");
	s->environment[at++] = must_strdup("PORT=0");
	s->environment[at++] = must_strdup("WORKERS=2");
	/* A long TMPDIR does not fit into the address of a socket. */
	(void)snprintf(s->control, sizeof s->control, "%s/control-%d.sock",
		strlen(test_folder()) < 70 ? test_folder() : "/tmp", s->simulator_port);
	s->environment[at++] = must_strdup(format("CONTROL_SOCKET=%s", s->control));
	s->environment[at++] = must_strdup("ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99");
	s->environment[at++] = must_strdup("UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99");
	must(at + extras < COUNT_OF(s->environment) - 1);
	for (size_t i = 0; i < extras; i++)
		s->environment[at++] = copies[i];
	start_supervisor(s);
	return s;
}

struct server *server_start(const char *const extra[])
{
	return server_start_on(cluster_shared(), extra);
}

void server_start_again(struct server *s)
{
	size_t at = 0;

	process_end(&s->supervisor);
	while (s->environment[at] != NULL)
		at++;
	must(at < COUNT_OF(s->environment) - 1);
	s->environment[at] = must_strdup(format("PORT=%d", s->port));
	start_supervisor(s);
}

void server_start_elsewhere(struct server *s)
{
	process_end(&s->supervisor);
	start_supervisor(s);
}

int server_stop(struct server *s)
{
	process_signal(s->supervisor, SIGTERM);
	return process_wait(s->supervisor, 60000);
}

static void check_sanitizers(const struct server *s)
{
	char *errors = process_errors(s->supervisor);
	const char *found = strstr(errors, "Sanitizer");

	if (found == NULL)
		found = strstr(errors, "runtime error:");
	if (found == NULL)
		found = strstr(errors, "assumption broken");
	cr_expect(found == NULL, "the server reported:\n%.4000s", found != NULL ? found : "");
	free(errors);
}

struct worker_list {
	pid_t pids[64];
	int count;
};

static bool all_gone(void *arg)
{
	const struct worker_list *workers = arg;

	return pids_are_gone(workers->pids, workers->count);
}

void server_end(struct server **server)
{
	struct server *s = *server;
	struct worker_list workers = { 0 };

	if (s == NULL)
		return;
	if (s->supervisor != NULL) {
		if (process_is_running(s->supervisor)) {
			workers.count = server_workers(s, workers.pids, 64);
			(void)server_stop(s);
		}
		wait_until(all_gone, &workers, "no worker outlives its supervisor", 60000);
		check_sanitizers(s);
	}
	process_end(&s->supervisor);
	process_end(&s->simulator);
	for (size_t i = 0; s->environment[i] != NULL; i++)
		free((char *)(uintptr_t)s->environment[i]);
	free(s);
	*server = NULL;
}

int server_workers(struct server *s, pid_t *pids, int max)
{
	return process_children(s->supervisor->pid, "renovationd-worker", pids, max);
}

void server_owner(struct server *s, struct client *c)
{
	client_init(c, s->port);

	struct reply r = client_request(c, "POST", "/api/anonymous", NULL, "{}");

	cr_assert(r.status == 201 && c->token[0] != '\0', "no anonymous owner: %d %s", r.status, r.body);
	reply_free(&r);
}

static const char *keep_id(const char *id)
{
	return format("%s", id != NULL ? id : "");
}

const char *server_new_session(struct client *c, const char *title)
{
	struct reply r = client_request(c, "POST", "/api/sessions", NULL, format("{\"title\":\"%s\"}", title));

	cr_assert(r.status == 201, "no session: %d %s", r.status, r.body);

	struct json_object *session = reply_json(&r);
	const char *id = keep_id(json_at(session, "id"));

	json_object_put(session);
	reply_free(&r);
	return id;
}

const char *server_conversation(struct client *c, const char *session)
{
	struct reply r = client_request(c, "GET", format("/api/sessions/%s", session), NULL, NULL);

	cr_assert(r.status == 200, "no session: %d %s", r.status, r.body);

	struct json_object *row = reply_json(&r);
	const char *id = keep_id(json_at(row, "conversationId"));

	json_object_put(row);
	reply_free(&r);
	return id;
}

int server_ctl(struct server *s, const char *const arguments[], char **out, char **err, int timeout_ms)
{
	const char *argv[16] = { program_path("renovationctl"), "-s", s->control };
	size_t at = 3;

	for (; *arguments != NULL; arguments++) {
		must(at < COUNT_OF(argv) - 1);
		argv[at++] = *arguments;
	}
	return process_run(argv, NULL, out, err, timeout_ms);
}

struct reply simulator_request(struct server *s, const char *method, const char *path, const char *body)
{
	struct client c;

	client_init(&c, s->simulator_port);

	struct reply r = client_request(&c, method, path, NULL, body);

	client_fini(&c);
	return r;
}
