/* shared_metrics_test.c: the scoreboard as Prometheus text and as OpenMetrics: names, escapes, bounds, exemplars, the end. */
#include "config.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/metrics.h"
#include "shared/process.h"

#define NOW_US  INT64_C(50000000)
#define WALL_US INT64_C(1700000000500000)

static struct scoreboard *board;
static int fd = -1;
static struct buffer out;

static void open_board(void)
{
	cr_assert_eq(scoreboard_create(&fd, &board), ERROR_NONE);
	SCOREBOARD_SET(board->started_at_us, WALL_US - 2000000);
	SCOREBOARD_SET(board->slots[0].pid, 77);
	SCOREBOARD_SET(board->slots[0].state, WORKER_READY);
	buffer_init(&out);
}

static void close_board(void)
{
	buffer_fini(&out);
	scoreboard_unmap(&board);
	close(fd);
}

TestSuite(metrics, .init = open_board, .fini = close_board);

static const char *document(bool is_openmetrics)
{
	buffer_clear(&out);
	metrics_write(board, is_openmetrics, NOW_US, WALL_US, &out);
	buffer_append_char(&out, '\0');
	return buffer_text(&out).bytes;
}

/* Is there this whole line? */
static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return true;
	return false;
}

#define HAS(text, line)   cr_expect(has_line(text, line), "%s", line)
#define LACKS(text, part) cr_expect(strstr(text, part) == NULL, "%s", part)

static struct scoreboard_route *a_route(const char *method, const char *path)
{
	return &board->measures[0].routes[scoreboard_claim(board->routes, ROUTES_MAX, method, path)];
}

Test(metrics, a_counter_is_named_as_each_format_wants_it)
{
	const char *text;

	SCOREBOARD_ADD(board->slots[0].counters.connections_accepted, 12);
	text = document(false);
	HAS(text, "# TYPE renovationd_connections_accepted_total counter");
	HAS(text, "renovationd_connections_accepted_total 12");
	LACKS(text, "# EOF");
	LACKS(text, "# UNIT");
	text = document(true);
	HAS(text, "# TYPE renovationd_connections_accepted counter");
	HAS(text, "renovationd_connections_accepted_total 12");
	HAS(text, "# UNIT renovationd_uptime_seconds seconds");
	HAS(text, "renovationd_uptime_seconds 2.0");
	cr_expect(eq(str, (char *)text + strlen(text) - 6, (char *)"# EOF\n"), "the end is the end");
}

Test(metrics, build_is_an_info_where_there_is_such_a_type)
{
	(void)snprintf(board->pool.version, sizeof board->pool.version, "1.2.3");
	HAS(document(false), "# TYPE renovationd_build_info gauge");
	HAS(document(false), "renovationd_build_info{version=\"1.2.3\"} 1");
	HAS(document(true), "# TYPE renovationd_build info");
	HAS(document(true), "renovationd_build_info{version=\"1.2.3\"} 1");
}

Test(metrics, a_histogram_counts_up_over_its_bounds)
{
	struct scoreboard_route *route = a_route("GET", "/health");
	const char *text;

	(void)histogram_observe(&route->seconds, &histogram_requests, 240);
	(void)histogram_observe(&route->seconds, &histogram_requests, 2000);
	(void)histogram_observe(&route->seconds, &histogram_requests, 999000000);
	text = document(false);
#define BUCKET(le, n)                                                                                                  \
	"renovationd_http_request_duration_seconds_bucket{method=\"GET\",route=\"/health\",le=\"" le "\"} " n
	HAS(text, BUCKET("0.00025", "1"));
	HAS(text, BUCKET("0.001", "1"));
	HAS(text, BUCKET("0.0025", "2"));
	HAS(text, BUCKET("1.0", "2"));
	HAS(text, BUCKET("120.0", "2"));
	HAS(text, BUCKET("+Inf", "3"));
	HAS(text, "renovationd_http_request_duration_seconds_sum{method=\"GET\",route=\"/health\"} 999.00224");
	HAS(text, "renovationd_http_request_duration_seconds_count{method=\"GET\",route=\"/health\"} 3");
}

Test(metrics, an_exemplar_is_told_in_openmetrics_only)
{
	struct scoreboard_route *route = a_route("GET", "/api/tasks");
	int bucket = histogram_observe(&route->seconds, &histogram_requests, 40000);

	scoreboard_exemplify(&route->exemplar, bucket, 40000, "0af7651916cd43dd8448eb211c80319c", NOW_US - 1000000);
	LACKS(document(false), "trace_id");
	HAS(document(true),
		"renovationd_http_request_duration_seconds_bucket{method=\"GET\",route=\"/api/tasks\",le=\"0.05\"} 1 "
		"# {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.04 1699999999.5");
}

Test(metrics, label_values_are_escaped_and_what_is_no_text_is_masked)
{
	struct scoreboard_model *model =
		&board->measures[0].models[scoreboard_claim(board->models, MODELS_MAX, "", "a\"b\\c\nd\xff")];

	(void)histogram_observe(&model->seconds[OUTCOME_OK], &histogram_operations, 1000);
	HAS(document(false), "renovationd_model_calls_total{model=\"a\\\"b\\\\c?d?\",outcome=\"ok\"} 1");
}

Test(metrics, routes_without_requests_and_slots_without_workers_have_no_series)
{
	(void)a_route("GET", "/never");
	LACKS(document(false), "/never");
	HAS(document(false), "renovationd_worker_generation{worker=\"0\"} 0");
	LACKS(document(false), "worker=\"1\"");
}

Test(metrics, names_at_their_longest_and_values_at_their_largest_fit)
{
	char path[SCOREBOARD_NAME];
	struct scoreboard_route *route;

	memset(path, '"', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	route = a_route("OPTIONS", path);
	(void)histogram_observe(&route->seconds, &histogram_requests, INT64_MAX);
	SCOREBOARD_SET(board->slots[0].counters.bytes_out, UINT64_MAX);
	HAS(document(true), "renovationd_http_sent_bytes_total 18446744073709551615");
	cr_expect(strstr(document(true), "\\\"\",status=\"2xx\"} 0\n") != NULL);
}

/* A value of the document: the sample's name and labels begin the line. */
static double value_of(const char *text, const char *sample)
{
	const char *at = strstr(text, sample);

	cr_assert(at != NULL, "%s", sample);
	return strtod(at + strlen(sample), NULL);
}

Test(metrics, nothing_goes_down_when_a_worker_dies)
{
	struct scoreboard_route *route = a_route("GET", "/health");
	static const char *const samples[] = {
		"\nrenovationd_http_requests_total{method=\"GET\",route=\"/health\",status=\"2xx\"} ",
		"\nrenovationd_http_request_duration_seconds_count{method=\"GET\",route=\"/health\"} ",
		"\nrenovationd_log_lines_dropped_total ", "\nprocess_cpu_seconds_total "
	};
	double before[COUNT_OF(samples)];

	SCOREBOARD_ADD(route->statuses[0], 7);
	(void)histogram_observe(&route->seconds, &histogram_requests, 1);
	SCOREBOARD_SET(board->slots[0].counters.log_dropped, 3);
	SCOREBOARD_SET(board->slots[0].counters.cpu_us, 1500000);
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		before[i] = value_of(document(false), samples[i]);
		cr_expect(gt(dbl, before[i], 0), "%s", samples[i]);
	}
	scoreboard_retire(board, 0);
	for (size_t i = 0; i < COUNT_OF(samples); i++)
		cr_expect(eq(dbl, value_of(document(false), samples[i]), before[i]), "%s", samples[i]);
}

Test(metrics, what_a_corrupt_slot_says_of_itself_harms_nobody)
{
	struct scoreboard_slot *slot = &board->slots[0];
	int bad = 0;

	memset(slot, 0xff, sizeof *slot);
	memset(&board->routes[1], 0xff, sizeof board->routes[1]);
	memset(&board->measures[0].routes[1], 0xff, sizeof board->measures[0].routes[1]);
	SCOREBOARD_SET(board->routes[1].is_named, 1);
	for (int i = 0; i < 2; i++) {
		const char *text = document(i == 1);

		HAS(text, "process_resident_memory_bytes 0");
		for (; *text != '\0'; text++)
			bad += (*text < ' ' || *text > '~') && *text != '\n';
		cr_expect(eq(int, bad, 0), "nothing but text");
	}
}

Test(metrics, a_process_measures_itself)
{
	struct scoreboard_process *p = &board->service.process;

	process_measure(p, NOW_US);
	cr_expect(gt(i64, SCOREBOARD_GET(p->resident_bytes), 500000));
	cr_expect(gt(u32, SCOREBOARD_GET(p->fds), 2));
	cr_expect(gt(u32, SCOREBOARD_GET(p->fds_max), SCOREBOARD_GET(p->fds)));
	SCOREBOARD_SET(p->fds, 0);
	process_measure(p, NOW_US + 9000000);
	cr_expect(eq(u32, SCOREBOARD_GET(p->fds), 0), "descriptors are counted every 10 s");
	process_measure(p, NOW_US + 10000000);
	cr_expect(gt(u32, SCOREBOARD_GET(p->fds), 2));
}

Test(metrics, reloads_tell_their_last_result)
{
	HAS(document(false), "renovationd_last_reload_success 1");
	SCOREBOARD_SET(board->pool.last_reload_result, RELOAD_REJECTED);
	SCOREBOARD_SET(board->pool.last_reload_at_us, WALL_US);
	SCOREBOARD_ADD(board->pool.reloads[RELOAD_REJECTED], 1);
	HAS(document(false), "renovationd_last_reload_success 0");
	HAS(document(false), "renovationd_last_reload_timestamp_seconds 1700000000.5");
	HAS(document(false), "renovationd_reloads_total{result=\"rejected\"} 1");
	HAS(document(false), "renovationd_reload_failures_total 1");
}

Test(metrics, a_breaker_says_whether_it_is_open)
{
	struct scoreboard_breaker *b = &board->breakers[0];

	SCOREBOARD_SET(b->name_hash, 5);
	(void)snprintf(b->model, sizeof b->model, "gemini-x");
	HAS(document(false), "renovationd_model_breaker_state{model=\"gemini-x\"} 0");
	SCOREBOARD_SET(b->open_until_ms, NOW_US / 1000 + 5);
	HAS(document(false), "renovationd_model_breaker_state{model=\"gemini-x\"} 2");
	SCOREBOARD_SET(b->open_until_ms, NOW_US / 1000 - 5);
	HAS(document(false), "renovationd_model_breaker_state{model=\"gemini-x\"} 1");
}
