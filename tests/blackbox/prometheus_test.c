/* A real Prometheus scrapes the service under load: every query of the dashboard has data, every rule is loaded and well, and the rules fire on what they are
 * for (promtool). Prometheus runs on a free port in a folder of the test's own. */
#include "config.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/talk.h"

#define TOKEN       "operators-only-0123456789"
#define START_TRIES 5
/* The rules and the dashboard as they are installed. */
#define RULES       METRICS_CONF "/prometheus/renovationd.rules.yml"
#define RULES_TESTS METRICS_CONF "/prometheus/renovationd.rules.test.yml"
#define EXAMPLE     METRICS_CONF "/prometheus/prometheus.yml"
#define DASHBOARD   METRICS_CONF "/grafana/renovationd.json"

TestSuite(prometheus, .timeout = 600);

#define LONG_MS 60000

/* ---- files --------------------------------------------------------------------------------------------------- */

static char *read_all(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	cr_assert_not_null(in, "%s", path);
	cr_assert(getdelim(&text, &room, '\0', in) > 0);
	(void)fclose(in);
	return text;
}

static void expect_promtool(const char *const arguments[])
{
	char *out, *err;
	int code = process_run(arguments, NULL, &out, &err, 120000);

	cr_expect_eq(code, 0, "promtool %s %s %s:\n%s%s", arguments[1], arguments[2], arguments[3], out, err);
	free(out);
	free(err);
}

Test(prometheus, promtool_accepts_the_rules_and_they_fire_on_what_they_are_for)
{
	expect_promtool((const char *[]) { "promtool", "check", "rules", RULES, NULL });
	expect_promtool((const char *[]) { "promtool", "test", "rules", RULES_TESTS, NULL });
	expect_promtool((const char *[]) { "promtool", "check", "config", EXAMPLE, NULL });
}

Test(prometheus, each_alert_has_a_test_a_severity_and_a_runbook)
{
	char *rules = read_all(RULES), *tests = read_all(RULES_TESTS);
	int alerts = 0;

	for (char *at = rules; (at = strstr(at, "- alert: ")) != NULL; alerts++) {
		char name[80] = "";
		const char *end;

		at += strlen("- alert: ");
		(void)sscanf(at, "%79[A-Za-z]", name);
		end = strstr(at, "- alert: ");
		cr_expect(strstr(tests, format("alertname=\"%s\"", name)) != NULL, "%s is not tested", name);
		for (size_t i = 0; i < 3; i++) {
			const char *part = strstr(at, ((const char *[]) { "severity: ", "summary: ", "runbook: " })[i]);

			cr_expect(part != NULL && (end == NULL || part < end), "%s", name);
		}
	}
	cr_expect_gt(alerts, 25);
	free(rules);
	free(tests);
}

/* ---- a Prometheus -------------------------------------------------------------------------------------------- */

struct prometheus {
	struct process *process;
	int port;
};

static struct prometheus prometheus_try(int target)
{
	struct prometheus p = { .port = free_port() };
	char *folder = strdup(format("%s/prometheus-%d", test_folder(), p.port));
	char *config = strdup(format("%s.yml", folder));
	FILE *out = fopen(config, "w");

	cr_assert_not_null(out);
	(void)fprintf(out,
		"global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
		"rule_files: [%s]\n"
		"scrape_configs:\n"
		"  - job_name: renovationd\n"
		"    authorization: { credentials: %s }\n"
		"    static_configs: [{ targets: [\"127.0.0.1:%d\"] }]\n",
		RULES, TOKEN, target);
	(void)fclose(out);
	p.process =
		process_start((const char *[]) { "prometheus", format("--config.file=%s", config),
				      format("--storage.tsdb.path=%s", folder),
				      format("--web.listen-address=127.0.0.1:%d", p.port), "--log.level=warn", NULL },
			NULL);
	free(folder);
	free(config);
	return p;
}

static void append_escaped(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (isalnum((unsigned char)*text))
			(void)fputc(*text, out);
		else
			(void)fprintf(out, "%%%02X", (unsigned char)*text);
}

/* The member "data" of what the API answers; NULL while it does not, or with an error. Put it. */
static struct json_object *prometheus_get(const struct prometheus *p, const char *path)
{
	struct client c;
	struct reply r;
	struct json_object *body, *found = NULL;

	client_init(&c, p->port);
	r = client_request(&c, "GET", path, NULL, NULL);
	if (r.status == 200) {
		body = reply_json(&r);
		found = json_object_get(json_object_at(body, "data"));
		json_object_put(body);
	} else if (r.status == 400) {
		cr_expect_fail("%s: %s", path, r.body);
	}
	reply_free(&r);
	client_fini(&c);
	return found;
}

static struct json_object *prometheus_query(const struct prometheus *p, const char *query)
{
	char *path = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&path, &length);
	struct json_object *found;

	(void)fputs("/api/v1/query?query=", out);
	append_escaped(out, query);
	(void)fclose(out);
	found = prometheus_get(p, path);
	free(path);
	return found;
}

/* Has the query a value that is a number? */
static bool has_data(const struct prometheus *p, const char *query)
{
	struct json_object *found = prometheus_query(p, query), *list = json_object_at(found, "result");
	bool is_number = false;

	for (size_t i = 0; list != NULL && i < json_object_array_length(list) && !is_number; i++) {
		struct json_object *pair = json_object_at(json_object_array_get_idx(list, i), "value");
		const char *value = pair != NULL ? json_object_get_string(json_object_array_get_idx(pair, 1)) : "NaN";

		is_number = strcmp(value, "NaN") != 0;
	}
	json_object_put(found);
	return is_number;
}

static bool is_up_or_gone(void *arg)
{
	struct prometheus *p = arg;

	return !process_is_running(p->process) || has_data(p, "up == 1");
}

/* Waits until it has scraped. It ends when somebody else has taken its port meanwhile; then another one is tried. */
static struct prometheus prometheus_start(int target)
{
	struct prometheus p = prometheus_try(target);

	wait_until(is_up_or_gone, &p, "Prometheus scrapes us", LONG_MS);
	for (int i = 1; !process_is_running(p.process); i++) {
		char *errors = process_errors(p.process);

		cr_assert_lt(i, START_TRIES, "Prometheus does not start: %s", errors);
		free(errors);
		process_end(&p.process);
		p = prometheus_try(target);
		wait_until(is_up_or_gone, &p, "Prometheus scrapes us", LONG_MS);
	}
	return p;
}

/* ---- the dashboard's queries --------------------------------------------------------------------------------- */

#define QUERIES_MAX 200

struct queries {
	char *list[QUERIES_MAX]; /* variables filled in; owned */
	int count;
	int found; /* the first so many have had data */
	const struct prometheus *prometheus;
};

/* Free it. */
static char *replace(const char *text, const char *what, const char *with)
{
	char *result = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&result, &length);

	for (const char *found; (found = strstr(text, what)) != NULL; text = found + strlen(what)) {
		(void)fwrite(text, 1, (size_t)(found - text), out);
		(void)fputs(with, out);
	}
	(void)fputs(text, out);
	(void)fclose(out);
	return result;
}

static void add_query(struct queries *q, const char *expression)
{
	static const char *const variables[][2] = { { "$__rate_interval", "20s" }, { "$instance", ".*" } };
	char *query = strdup(expression);

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		char *filled = replace(query, variables[i][0], variables[i][1]);

		free(query);
		query = filled;
	}
	cr_assert(strchr(query, '$') == NULL, "unknown variable: %s", query);
	cr_assert_lt(q->count, QUERIES_MAX);
	q->list[q->count++] = query;
}

static void collect(struct queries *q, struct json_object *object)
{
	if (json_object_is_type(object, json_type_array))
		for (size_t i = 0; i < json_object_array_length(object); i++)
			collect(q, json_object_array_get_idx(object, i));
	if (!json_object_is_type(object, json_type_object))
		return;
	json_object_object_foreach(object, name, value)
	{
		if (strcmp(name, "expr") == 0)
			add_query(q, json_object_get_string(value));
		else
			collect(q, value);
	}
}

static bool all_have_data(void *arg)
{
	struct queries *q = arg;

	while (q->found < q->count && has_data(q->prometheus, q->list[q->found]))
		q->found++;
	return q->found == q->count;
}

/* ---- load ---------------------------------------------------------------------------------------------------- */

static void ask_some(struct talk *talk)
{
	static const char *const paths[] = { "/api/sessions", "/api/tasks", "/health", "/nowhere", "/api/rooms/x" };

	for (size_t i = 0; i < 20 * COUNT_OF(paths); i++) {
		struct reply r = client_request(&talk->client, "GET", paths[i % COUNT_OF(paths)], NULL, NULL);

		reply_free(&r);
	}
}

/* Something of everything that the dashboard shows: answers with and without tools, one that fails and one that is tried again, followed streams. */
static void make_load(struct talk *talk, int round)
{
	struct followed f;

	ask_some(talk);
	f = talk_follow(
		talk, talk_ask(talk, "Which floor? [sim:tool=add_task {\"title\":\"Measure\"}]", ""), "", LONG_MS);
	followed_free(&f);
	f = talk_follow(talk, talk_ask(talk, "And the walls? [sim:words=80]", ""), "", LONG_MS);
	followed_free(&f);
	if (round == 0)
		talk_wait(talk, talk_ask(talk, "Busy? [sim:fault=503,times=1]", ""), "completed", LONG_MS);
	if (round == 1)
		talk_wait(talk, talk_ask(talk, "Wrong? [sim:fault=400]", ""), "failed", LONG_MS);
}

struct loaded {
	struct queries *queries;
	struct talk *talk;
	int round;
};

static bool has_all_under_load(void *arg)
{
	struct loaded *l = arg;

	make_load(l->talk, l->round++);
	return all_have_data(l->queries);
}

/* ---- rules as they are loaded ---------------------------------------------------------------------------------- */

struct rules {
	const struct prometheus *prometheus;
	size_t count;    /* that there are */
	size_t well;     /* evaluated without an error */
	char fault[300]; /* of one that is not */
};

static void look_at_rule(struct rules *rules, struct json_object *rule)
{
	const char *error = json_at(rule, "lastError");

	rules->count++;
	if (strcmp(json_at(rule, "health"), "ok") == 0)
		rules->well++;
	else
		(void)snprintf(rules->fault, sizeof rules->fault, "%s: %s %s", json_at(rule, "name"),
			json_at(rule, "health"), error != NULL ? error : "");
}

static bool are_rules_well(void *arg)
{
	struct rules *rules = arg;
	struct json_object *data = prometheus_get(rules->prometheus, "/api/v1/rules"),
			   *groups = json_object_at(data, "groups");

	rules->count = rules->well = 0;
	for (size_t g = 0; groups != NULL && g < json_object_array_length(groups); g++) {
		struct json_object *list = json_object_at(json_object_array_get_idx(groups, g), "rules");

		for (size_t i = 0; i < json_object_array_length(list); i++)
			look_at_rule(rules, json_object_array_get_idx(list, i));
	}
	json_object_put(data);
	return rules->count > 25 && rules->well == rules->count;
}

Test(prometheus, every_query_of_the_dashboard_has_data_under_load)
{
	struct server *server = server_start((const char *[]) { "ADMIN_TOKEN=" TOKEN, NULL });
	struct prometheus p = prometheus_start(server->port);
	struct queries queries = { .prometheus = &p };
	char *text = read_all(DASHBOARD);
	struct json_object *dashboard = json_tokener_parse(text);
	struct talk talk;
	struct rules rules = { .prometheus = &p };
	struct loaded loaded = { .queries = &queries, .talk = &talk };

	cr_assert_not_null(dashboard);
	collect(&queries, dashboard);
	cr_assert_gt(queries.count, 60);
	talk_init(&talk, server);
	process_signal(server->supervisor, SIGHUP);
	for (int64_t end = now_ms() + 240000; !has_all_under_load(&loaded) && now_ms() < end;)
		pause_ms(300);
	cr_expect_eq(queries.found, queries.count, "no data: %s",
		queries.found < queries.count ? queries.list[queries.found] : "");
	for (int64_t end = now_ms() + LONG_MS; !are_rules_well(&rules) && now_ms() < end;)
		pause_ms(200);
	cr_expect(
		rules.count > 25 && rules.well == rules.count, "%zu of %zu: %s", rules.well, rules.count, rules.fault);
	cr_expect(!has_data(&p, "ALERTS{alertstate=\"firing\",severity=\"critical\"}"),
		"a healthy service alarms nobody");
	process_end(&p.process);
	for (int i = 0; i < queries.count; i++)
		free(queries.list[i]);
	json_object_put(dashboard);
	free(text);
	talk_fini(&talk);
	server_end(&server);
}
