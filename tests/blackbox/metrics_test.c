/* The pool's numbers over HTTP: who may see them, in which format, that they are exact from any worker and never go down, and that their number has a bound. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/talk.h"

#define TOKEN      "operators-only-0123456789"
#define AUTHORIZED "Authorization: Bearer " TOKEN "\r\n"
#define TEXT_FIRST "Accept: text/plain;version=0.0.4\r\n"
#define AS_PROMETHEUS                                                                                                  \
	"Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"        \
	"text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"

static struct server *server;
static struct client client;

static void setup(void)
{
	server = server_start((const char *[]) { "ADMIN_TOKEN=" TOKEN, "RENOVATIOND_HEARTBEAT_KILL_MS=600000", NULL });
	client_init(&client, server->port);
}

static void teardown(void)
{
	client_fini(&client);
	server_end(&server);
}

TestSuite(metrics, .init = setup, .fini = teardown, .timeout = 300);

#define LONG_MS 60000

/* The document, over this connection; free it. */
static char *scrape_over(struct client *c, const char *accept)
{
	struct reply r = client_request(c, "GET", "/metrics", format(AUTHORIZED "%s", accept), NULL);
	char *document = strdup(r.body != NULL ? r.body : "");

	cr_assert_eq(r.status, 200, "%d: %.500s", r.status, document);
	reply_free(&r);
	return document;
}

static char *scrape(void)
{
	return scrape_over(&client, TEXT_FIRST);
}

/* The value of the sample with this name and these labels; -1 when there is none. */
static double value_in(const char *document, const char *sample)
{
	size_t length = strlen(sample);

	for (const char *at = document; (at = strstr(at, sample)) != NULL; at++)
		if ((at == document || at[-1] == '\n') && at[length] == ' ')
			return strtod(at + length, NULL);
	return -1;
}

static double value(const char *sample)
{
	char *document = scrape();
	double found = value_in(document, sample);

	free(document);
	return found;
}

static void wait_for(const char *sample, double least)
{
	int64_t give_up = now_ms() + LONG_MS;
	double last;

	while ((last = value(sample)) < least) {
		cr_assert(now_ms() < give_up, "%s is %g, not %g", sample, last, least);
		pause_ms(5);
	}
}

static size_t count_lines(const char *document)
{
	size_t lines = 0;

	for (; *document != '\0'; document++)
		lines += *document == '\n';
	return lines;
}

/* ---- who and how --------------------------------------------------------------------------------------------- */

Test(metrics, to_anyone_but_the_operator_they_do_not_exist)
{
	static const char *const headers[] = { NULL, "Authorization: Bearer guessed\r\n",
		"X-Owner-Token: " TOKEN "\r\n" };

	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		struct reply r = client_request(&client, "GET", "/metrics", headers[i], NULL);

		cr_expect_eq(r.status, 404, "%s", headers[i]);
		cr_expect(strstr(r.body, "renovationd_") == NULL);
		reply_free(&r);
	}
}

Test(metrics, the_format_is_the_one_that_accept_prefers)
{
	static const struct {
		const char *accept, *type;
	} rows[] = {
		{ "", "text/plain; version=0.0.4; charset=utf-8" },
		{ "Accept: */*\r\n", "text/plain; version=0.0.4; charset=utf-8" },
		{ TEXT_FIRST, "text/plain; version=0.0.4; charset=utf-8" },
		{ "Accept: text/plain, application/openmetrics-text;q=0.2\r\n",
			"text/plain; version=0.0.4; charset=utf-8" },
		{ "Accept: application/openmetrics-text\r\n",
			"application/openmetrics-text; version=1.0.0; charset=utf-8" },
		{ AS_PROMETHEUS, "application/openmetrics-text; version=1.0.0; charset=utf-8" },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct reply r =
			client_request(&client, "GET", "/metrics", format(AUTHORIZED "%s", rows[i].accept), NULL);
		bool is_openmetrics = strstr(rows[i].type, "openmetrics") != NULL;

		cr_expect_eq(r.status, 200);
		cr_expect_str_eq(reply_header(&r, "Content-Type"), rows[i].type);
		cr_expect_eq(strtoul(reply_header(&r, "Content-Length"), NULL, 10), r.body_length);
		cr_expect_eq(r.body_length > 6 && strcmp(r.body + r.body_length - 6, "# EOF\n") == 0, is_openmetrics);
		reply_free(&r);
	}
}

Test(metrics, head_tells_the_length_without_the_document)
{
	struct reply r;

	cr_assert(client_connect(&client));
	cr_assert(client_send(&client, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n" AUTHORIZED "\r\n",
		sizeof "HEAD /metrics HTTP/1.1\r\nHost: x\r\n" AUTHORIZED "\r\n" - 1));
	r = client_receive(&client, true);
	cr_expect_eq(r.status, 200);
	cr_expect_gt(strtoul(reply_header(&r, "Content-Length"), NULL, 10), 1000);
	reply_free(&r);
}

Test(metrics, promtool_accepts_the_document)
{
	struct talk talk;
	char *document, *out, *path = strdup(format("%s/metrics.txt", test_folder()));
	FILE *file;
	int code;

	talk_init(&talk, server);
	talk_wait(&talk, talk_ask(&talk, "Is it dry? [sim:tool=add_task {\"title\":\"Measure\"}]", ""), "completed",
		LONG_MS);
	document = scrape();
	file = fopen(path, "w");
	cr_assert_not_null(file);
	(void)fputs(document, file);
	(void)fclose(file);
	code = process_run((const char *[]) { "/bin/sh", "-c", "promtool check metrics <\"$0\"", path, NULL }, NULL,
		NULL, &out, LONG_MS);
	cr_expect_eq(code, 0, "promtool check metrics ends with %d:\n%s", code, out);
	free(out);
	free(document);
	free(path);
	talk_fini(&talk);
}

/* ---- what they say ------------------------------------------------------------------------------------------- */

static double simulator_stat(const char *name)
{
	struct reply r = simulator_request(server, "GET", "/sim/stats", NULL);
	struct json_object *stats = reply_json(&r);
	double found = json_object_get_double(json_object_at(stats, name));

	json_object_put(stats);
	reply_free(&r);
	return found;
}

/* Over all models: the sum of a metric's samples whose labels contain `part`. */
static double sum_in(const char *document, const char *name, const char *part)
{
	double sum = 0;

	for (const char *line = document; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *end = strchr(line, '\n'), *label = strstr(line, part);

		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == '{' && end != NULL &&
			label != NULL && label < end)
			sum += strtod(strchr(label, '}') + 1, NULL);
	}
	return sum;
}

Test(metrics, tokens_are_those_that_the_model_told)
{
	struct talk talk;
	char *document;
	double steps;

	talk_init(&talk, server);
	talk_wait(&talk, talk_ask(&talk, "Shall I tile? [sim:tool=add_task {\"title\":\"Tile\"}]", ""), "completed",
		LONG_MS);
	talk_wait(&talk, talk_ask(&talk, "How many tiles? [sim:words=120]", ""), "completed", LONG_MS);
	talk_wait(&talk, talk_ask(&talk, "Again? [sim:fault=503,times=1]", ""), "completed", LONG_MS);
	wait_for("renovationd_turns_total{outcome=\"completed\"}", 3);
	document = scrape();
	cr_expect_gt(simulator_stat("inputTokens"), 0);
	cr_expect_gt(simulator_stat("outputTokens"), 0);
	cr_expect_float_eq(sum_in(document, "gen_ai_client_token_usage_sum", "token_type=\"input\""),
		simulator_stat("inputTokens"), 0.5);
	cr_expect_float_eq(sum_in(document, "gen_ai_client_token_usage_sum", "token_type=\"output\""),
		simulator_stat("outputTokens"), 0.5);
	steps = sum_in(document, "renovationd_model_calls_total", "outcome=\"ok\"");
	cr_expect_float_eq(steps, 4, 0.5, "one for each step, two for that with a tool: %f", steps);
	cr_expect_float_eq(
		sum_in(document, "gen_ai_client_operation_duration_seconds_count", "error_type=\"overloaded\""), 1,
		0.5);
	cr_expect_float_eq(sum_in(document, "renovationd_model_retries_total", "model="), 1, 0.5);
	cr_expect_float_eq(sum_in(document, "gen_ai_execute_tool_duration_seconds_count", "tool=\"add_task\""), 1, 0.5);
	cr_expect_float_eq(value_in(document, "renovationd_turns_total{outcome=\"completed\"}"), 3, 0.5);
	cr_expect_float_eq(value_in(document, "renovationd_turn_first_delta_seconds_count"), 3, 0.5);
	free(document);
	talk_fini(&talk);
}

Test(metrics, an_open_stream_is_in_flight_until_it_ends)
{
	static const char in_flight[] =
		"renovationd_http_requests_in_flight{method=\"GET\",route=\"/api/turns/{id}/stream\"}";
	struct talk talk;
	struct stream stream;
	const char *turn;

	talk_init(&talk, server);
	turn = talk_ask(&talk, "Slowly, please. [sim:chunks=400] [sim:delay=500ms]", "");
	stream_open(&stream, server->port, talk.client.token, format("/api/turns/%s/stream", turn), NULL, NULL);
	cr_assert_eq(stream.status, 200);
	wait_for(in_flight, 1);
	wait_for("renovationd_connections{kind=\"stream\"}", 1);
	wait_for("renovationd_turns_running", 1);
	wait_for("renovationd_rings_used", 1);
	stream_close(&stream);
	wait_for("renovationd_stream_duration_seconds_count", 1);
	cr_expect_float_eq(value(in_flight), 0, 0.1);
	cr_expect_float_eq(value("renovationd_streams_opened_total"), 1, 0.1);
	talk_fini(&talk);
}

Test(metrics, the_service_and_its_processes_are_measured)
{
	char *document;

	wait_for("renovationd_workers{state=\"ready\"}", 2);
	wait_for("process_open_fds", 20);
	wait_for("renovationd_db_connections{state=\"idle\"}", 1);
	document = scrape();
	cr_expect_gt(value_in(document, "process_resident_memory_bytes"), 3 * 1000000);
	cr_expect_gt(value_in(document, "process_cpu_seconds_total"), 0);
	cr_expect_gt(value_in(document, "process_max_fds"), value_in(document, "process_open_fds"));
	cr_expect_gt(value_in(document, "process_start_time_seconds"), 1.6e9);
	cr_expect_gt(value_in(document, "renovationd_accept_queue_limit"), 0);
	cr_expect_float_eq(value_in(document, "renovationd_serving"), 1, 0.1);
	cr_expect_float_eq(value_in(document, "renovationd_log_lines_dropped_total"), 0, 0.1);
	cr_expect_lt(value_in(document, "renovationd_heartbeat_age_max_seconds"), 60);
	free(document);
}

/* The same from the supervisor. */
static double supervisors_value(const char *sample)
{
	char *out, *err;
	int code = server_ctl(server, (const char *[]) { "metrics", NULL }, &out, &err, LONG_MS);
	double found;

	cr_assert_eq(code, 0, "renovationctl metrics: %s", err);
	found = value_in(out, sample);
	free(out);
	free(err);
	return found;
}

static bool has_queue(void *arg)
{
	return supervisors_value("renovationd_accept_queue") == *(const int *)arg;
}

Test(metrics, the_accept_queue_is_told_by_the_supervisor_while_no_worker_moves)
{
	struct client waiting[5];
	pid_t pids[8];
	int queued = COUNT_OF(waiting), none = 0;

	wait_for("renovationd_workers{state=\"ready\"}", 2);
	cr_assert_eq(server_workers(server, pids, 8), 2);
	for (int i = 0; i < 2; i++)
		pid_freeze(pids[i]);
	for (int i = 0; i < queued; i++) {
		client_init(&waiting[i], server->port);
		cr_expect(client_connect(&waiting[i]));
	}
	wait_until(has_queue, &queued, "the connections wait", LONG_MS);
	cr_expect_gt(supervisors_value("renovationd_accept_queue_limit"), queued);
	for (int i = 0; i < 2; i++)
		(void)kill(pids[i], SIGCONT);
	wait_until(has_queue, &none, "they are taken", LONG_MS);
	for (int i = 0; i < queued; i++)
		client_fini(&waiting[i]);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

Test(metrics, an_exemplar_leads_to_a_line_of_the_log)
{
	static const char exemplar[] = "# {trace_id=\"" TRACE "\"} ";
	struct client c;
	struct reply r;
	char *document, *errors;
	const char *found;

	client_init(&c, server->port);
	server_owner(server, &c);
	r = client_request(&c, "GET", "/api/tasks", "traceparent: 00-" TRACE "-00f067aa0ba902b7-01\r\n", NULL);
	cr_assert_eq(r.status, 200);
	reply_free(&r);
	wait_for("renovationd_http_requests_total{method=\"GET\",route=\"/api/tasks\",status=\"2xx\"}", 1);
	document = scrape_over(&client, AS_PROMETHEUS);
	found = strstr(document, exemplar);
	cr_expect(found != NULL && strtod(found + strlen(exemplar), NULL) > 0, "%.200s",
		found != NULL ? found : "no exemplar");
	free(document);
	document = scrape();
	cr_expect(strstr(document, TRACE) == NULL, "there is no such thing in the text format");
	free(document);
	errors = process_wait_error(server->supervisor, TRACE, LONG_MS);
	cr_expect(strstr(errors, "/api/tasks") != NULL, "%s", errors);
	free(errors);
	client_fini(&c);
}

/* ---- exact --------------------------------------------------------------------------------------------------- */

#define HEALTHS 500

/* The slot of the worker that has this connection. */
static int slot_of(struct client *c)
{
	struct reply r = client_request(c, "GET", "/health/status", NULL, NULL);
	struct json_object *body = reply_json(&r);
	int slot = json_object_get_int(json_object_at(body, "slot"));

	json_object_put(body);
	reply_free(&r);
	return slot;
}

/* A connection to each worker: the other one stands still while it is made and first used. */
static void connect_both(struct client both[2])
{
	pid_t pids[8];
	int slots[2];

	cr_assert_eq(server_workers(server, pids, 8), 2);
	for (int i = 0; i < 2; i++) {
		pid_freeze(pids[1 - i]);
		client_init(&both[i], server->port);
		slots[i] = slot_of(&both[i]);
		pid_thaw(pids[1 - i]);
	}
	cr_assert_neq(slots[0], slots[1], "both have slot %d", slots[0]);
}

static void ask_health(struct client *c, int times)
{
	for (int i = 0; i < times; i++) {
		struct reply r = client_request(c, "GET", "/health", NULL, NULL);

		cr_assert_eq(r.status, 200);
		reply_free(&r);
	}
}

Test(metrics, each_worker_tells_the_exact_totals_of_all)
{
	static const char healths[] =
		"renovationd_http_requests_total{method=\"GET\",route=\"/health\",status=\"2xx\"}";
	struct client both[2];

	connect_both(both);
	ask_health(&both[0], HEALTHS);
	ask_health(&both[1], HEALTHS / 2);
	/* A request is counted when its answer has been handed to the kernel: we may be faster. */
	wait_for(healths, HEALTHS + HEALTHS / 2);
	for (int i = 0; i < 2; i++) {
		char *document = scrape_over(&both[i], TEXT_FIRST);

		cr_expect_float_eq(value_in(document, healths), HEALTHS + HEALTHS / 2, 0.5);
		cr_expect_float_eq(
			value_in(document,
				"renovationd_http_request_duration_seconds_count{method=\"GET\",route=\"/health\"}"),
			HEALTHS + HEALTHS / 2, 0.5);
		free(document);
	}
	client_fini(&both[0]);
	client_fini(&both[1]);
}

static bool is_cumulative(const char *line)
{
	static const char *const ends[] = { "_total", "_bucket", "_count", "_sum" };
	size_t length = strcspn(line, "{ \n");

	for (size_t i = 0; line[0] != '#' && i < COUNT_OF(ends); i++)
		if (length > strlen(ends[i]) && strncmp(line + length - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
			return true;
	return false;
}

/* No counter of `before` is smaller or missing in `after`; how many there were. */
static int expect_monotone(const char *before, const char *after)
{
	int counters = 0;

	for (const char *line = before; *line != '\0'; line = strchr(line, '\n') + 1) {
		const char *space = strchr(line, ' ');
		char *sample = strndup(line, (size_t)(space - line));

		/* Label values hold no spaces here. */
		if (is_cumulative(line)) {
			cr_expect_geq(value_in(after, sample), strtod(space, NULL), "%s was %.20s, then %f", sample,
				space + 1, value_in(after, sample));
			counters++;
		}
		free(sample);
	}
	return counters;
}

static void make_some_of_each(struct talk *talk)
{
	talk_wait(talk, talk_ask(talk, "Which primer?", ""), "completed", LONG_MS);
	talk_wait(talk, talk_ask(talk, "And this? [sim:fault=400]", ""), "failed", LONG_MS);
	ask_health(&talk->client, 20);
}

static bool are_dead(void *arg)
{
	const pid_t *pids = arg;

	return !pid_is_alive(pids[0]) && !pid_is_alive(pids[1]);
}

Test(metrics, nothing_goes_down_when_a_worker_is_killed)
{
	struct talk talk;
	pid_t pids[8];
	char *before, *after;

	talk_init(&talk, server);
	make_some_of_each(&talk);
	before = scrape();
	cr_assert_eq(server_workers(server, pids, 8), 2);
	for (int i = 0; i < 2; i++)
		(void)kill(pids[i], SIGKILL);
	client_disconnect(&client);
	wait_until(are_dead, pids, "both are dead", LONG_MS);
	wait_for("renovationd_worker_restarts_total{cause=\"killed\"}", 2);
	wait_for("renovationd_workers{state=\"ready\"}", 2);
	after = scrape();
	cr_expect_gt(expect_monotone(before, after), 300);
	cr_expect_geq(value_in(after, "renovationd_turns_total{outcome=\"failed\"}"), 1);
	free(before);
	free(after);
	talk_fini(&talk);
}

Test(metrics, nothing_goes_down_over_a_reload)
{
	struct talk talk;
	char *before, *after;

	talk_init(&talk, server);
	make_some_of_each(&talk);
	before = scrape();
	process_signal(server->supervisor, SIGHUP);
	wait_for("renovationd_generation", 2);
	wait_for("renovationd_reloads_total{result=\"replaced\"}", 1);
	after = scrape();
	cr_expect_gt(expect_monotone(before, after), 300);
	cr_expect_float_eq(value_in(after, "renovationd_last_reload_success"), 1, 0.1);
	cr_expect_gt(value_in(after, "renovationd_last_reload_timestamp_seconds"), 1.6e9);
	free(before);
	free(after);
	talk_fini(&talk);
}

Test(metrics, nothing_goes_down_over_an_upgrade)
{
	struct talk talk;
	char *before, *after;

	talk_init(&talk, server);
	make_some_of_each(&talk);
	before = scrape();
	process_signal(server->supervisor, SIGUSR2);
	wait_for("renovationd_upgrades_total{result=\"done\"}", 1);
	after = scrape();
	cr_expect_gt(expect_monotone(before, after), 300);
	cr_expect_float_eq(value_in(after, "renovationd_last_upgrade_success"), 1, 0.1);
	free(before);
	free(after);
	talk_fini(&talk);
}

/* ---- bounded ------------------------------------------------------------------------------------------------- */

#define PATHS 10000
#define BATCH 50

/* So many requests at once, all for paths that nobody has. */
static void ask_for_nothing(struct client *c, int first)
{
	char *bytes = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&bytes, &length);

	for (int i = first; i < first + BATCH; i++)
		(void)fprintf(out, "GET /%s/%d-%d%s HTTP/1.1\r\nHost: x\r\n\r\n", i % 3 ? "api/rooms" : "wp-admin", i,
			i * 7919, i % 2 ? "/x?y=z" : "");
	(void)fclose(out);
	cr_assert(client_send(c, bytes, length));
	free(bytes);
	for (int i = 0; i < BATCH; i++) {
		struct reply r = client_receive(c, false);

		cr_assert(r.status >= 400 && r.status < 500, "%d %.300s", r.status, r.body);
		cr_assert_not(r.is_closed, "%s", r.head);
		reply_free(&r);
	}
}

Test(metrics, ten_thousand_random_paths_make_no_series)
{
	static const char unmatched[] =
		"renovationd_http_requests_total{method=\"\",route=\"unmatched\",status=\"4xx\"}";
	struct client c;
	char *before, *after;

	client_init(&c, server->port);
	cr_assert(client_connect(&c));
	ask_for_nothing(&c, 0);
	ask_health(&client, 1);
	/* A request is counted when its answer has been handed to the kernel: we may be faster. */
	wait_for(unmatched, BATCH);
	before = scrape();
	for (int i = BATCH; i < PATHS; i += BATCH)
		ask_for_nothing(&c, i);
	wait_for(unmatched, PATHS);
	after = scrape();
	/* A row for the resource whose ids were no UUIDs at most. */
	cr_expect_leq(count_lines(after), count_lines(before) + 30, "%zu lines, then %zu", count_lines(before),
		count_lines(after));
	cr_expect_float_eq(value_in(after, unmatched), PATHS, 0.5);
	cr_expect(strstr(after, "wp-admin") == NULL);
	free(before);
	free(after);
	client_fini(&c);
}
