/* Reloads and upgrades under load, through nginx: not one request fails, no acknowledged row is missing or there twice, no answer loses or repeats an event, and
 * processes and memory stay within bounds. Short: 4 reloads and 2 upgrades; whole (RENOVATIOND_FAULTS=all): 20 and 10. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/load.h"
#include "tests/support/nginx.h"

#define WORKERS   2
#define SETTLE_MS 2500                /* of load after each change */
#define CHANGE_MS 90000               /* a change takes, at most */
#define AT_REST   (3 * WORKERS)       /* workers that serve, and two generations that drain */
#define AT_ONCE   (AT_REST + WORKERS) /* a generation more, while it begins */
#define FINISH_MS 180000              /* until the last answers have ended */
#define SLACK_KIB 2048                /* by which the supervisor may grow */

TestSuite(rolling, .timeout = 900);

struct rolling {
	struct server *server;
	struct nginx *nginx;
	struct load *load;
	struct scoreboard *board; /* of the service, which upgrades hand on */
	int most_workers;         /* seen at once */
	uint64_t done_before;     /* reloads or upgrades that ended well before the one that is waited for */
	int signal;               /* that asked for it */
	long least_newest;        /* workers of the newest generation: the generation that is waited for */
	long memory_kib;          /* of the supervisor, after the first change */
};

/* Number behind an argument of a worker's command line, -1 when it is gone. */
static long argument_of(pid_t pid, const char *name)
{
	char path[64], line[4096];
	FILE *file;
	size_t length;

	(void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "r");
	length = file != NULL ? fread(line, 1, sizeof line - 1, file) : 0;
	if (file != NULL)
		(void)fclose(file);
	line[length] = '\0';
	for (size_t at = 0; at < length; at += strlen(line + at) + 1)
		if (strcmp(line + at, name) == 0)
			return strtol(line + at + strlen(name) + 1, NULL, 10);
	return -1;
}

/* Workers alive; *newest_out: the newest generation, *count_out: how many are of it. */
static void look(struct rolling *r, long *newest_out, int *count_out)
{
	pid_t pids[64];
	int count = server_workers(r->server, pids, 64);

	if (count > r->most_workers)
		r->most_workers = count;
	*newest_out = 0;
	*count_out = 0;
	for (int i = 0; i < count; i++) {
		long generation = argument_of(pids[i], "--generation");

		if (generation > *newest_out) {
			*newest_out = generation;
			*count_out = 0;
		}
		*count_out += generation == *newest_out;
	}
}

static uint64_t count_done(const struct rolling *r)
{
	const struct scoreboard_pool *pool = &r->board->pool;

	return r->signal == SIGHUP ? SCOREBOARD_GET(pool->reloads[RELOAD_REPLACED]) : SCOREBOARD_GET(pool->upgrades[1]);
}

/* The change has ended, so that the next is neither refused nor joined to it, and its workers are there. */
static bool is_changed(void *arg)
{
	struct rolling *r = arg;
	long newest;
	int count;

	look(r, &newest, &count);
	return count_done(r) > r->done_before && newest >= r->least_newest && count >= WORKERS;
}

/* No more are left than may drain. A third generation is told to leave soon, but not how fast the machine is. */
static bool is_at_rest(void *arg)
{
	struct rolling *r = arg;
	pid_t pids[64];

	return server_workers(r->server, pids, 64) <= AT_REST;
}

static void run_until(struct rolling *r, bool (*condition)(void *arg), const char *what, int number)
{
	if (load_run_until(r->load, condition, r, CHANGE_MS))
		return;

	char *errors = process_errors(r->server->supervisor);
	pid_t pids[64];

	cr_assert(false, "%s %d: %d workers; last reload: %s; last upgrade: %s; it said:\n%.6000s", what, number,
		server_workers(r->server, pids, 64), r->board->pool.last_reload_text, r->board->pool.last_upgrade_text,
		errors);
}

static void change(struct rolling *r, int signal, const char *what, int number)
{
	long newest;
	int count;

	run_until(r, is_at_rest, "at rest before", number);
	look(r, &newest, &count);
	r->least_newest = newest + 1;
	r->signal = signal;
	r->done_before = count_done(r);
	process_signal(r->server->supervisor, signal);
	run_until(r, is_changed, what, number);
	for (int i = 0; i < SETTLE_MS / 100; i++) {
		load_run(r->load, 100);
		look(r, &newest, &count);
	}
	run_until(r, is_at_rest, "at rest after", number);
	cr_assert(process_is_running(r->server->supervisor), "%s %d", what, number);

	struct load_report report = load_report(r->load);

	cr_assert_eq(report.failed, 0, "%s %d: %ld failed of %ld:\n%s", what, number, report.failed,
		report.requests + report.failed, report.failures);
}

static long memory_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = -1;
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (file != NULL)
		(void)fclose(file);
	return kib;
}

static void open_all(struct rolling *r, const struct load_plan *plan, bool has_nginx)
{
	struct rlimit limit = { 4096, 4096 };
	struct load_plan p = *plan;

	*r = (struct rolling) { 0 };
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	/* A slow database is not what this is about. */
	r->server = server_start((const char *[]) { "LOG_LEVEL=warn", "RENOVATIOND_DB_WAIT_TIMEOUT_MS=60000", NULL });
	r->board = board_open(r->server);
	r->nginx = has_nginx ? nginx_start(r->server->port) : NULL;
	p.port = has_nginx ? r->nginx->port : r->server->port;
	r->load = load_start(&p);
}

static void close_all(struct rolling *r)
{
	load_end(&r->load);
	board_close(&r->board);
	if (r->nginx != NULL)
		nginx_end(&r->nginx);
	server_end(&r->server);
}

static bool all_stream(void *arg)
{
	const struct rolling *r = arg;

	return load_report(r->load).asking >= 45 || load_report(r->load).failed > 0;
}

/* ---- afterwards ------------------------------------------------------------------------------------------------ */

static long rows(struct rolling *r, const char *sql)
{
	return cluster_count(r->server->cluster, r->server->database, sql);
}

static void expect_rows(struct rolling *r, const struct load_report *report)
{
	cr_expect(report->tasks > 50, "only %ld tasks were made", report->tasks);
	cr_expect_eq(rows(r, "SELECT count(*) FROM renovationd.tasks WHERE title LIKE 'load %'"), report->tasks);
	cr_expect_eq(rows(r, "SELECT count(DISTINCT title) FROM renovationd.tasks WHERE title LIKE 'load %'"),
		report->tasks);
	cr_expect_eq(rows(r, "SELECT count(*) FROM renovationd.renovation_sessions WHERE title LIKE 'load %'"),
		report->sessions);
}

static void expect_answers(struct rolling *r)
{
	long count, wrong = 0;
	const struct load_answer *answers = load_answers(r->load, &count);

	for (long i = 0; i < count; i++) {
		char *text = cluster_sql(r->server->cluster, r->server->database,
			format("SELECT m.text FROM renovationd.turns t JOIN renovationd.chat_messages m ON m.id = "
			       "t.assistant_message_id WHERE t.id = '%s'",
				answers[i].turn));
		long events = rows(
			r, format("SELECT next_event - 1 FROM renovationd.turns WHERE id = '%s'", answers[i].turn));

		if (strcmp(text, answers[i].text) != 0 || events != answers[i].events)
			cr_expect(wrong++ > 3, "turn %s: %ld events stored, %ld seen\nstored: %s\nseen:   %s",
				answers[i].turn, events, answers[i].events, text, answers[i].text);
		free(text);
	}
	cr_expect_eq(wrong, 0, "%ld of %ld answers are not what was stored", wrong, count);
}

static void expect_bounds(struct rolling *r)
{
	cr_expect(r->most_workers <= AT_ONCE, "%d workers at once", r->most_workers);
	long kib = memory_kib(r->server->supervisor->pid);

	/* A sanitizer keeps what was freed. */
	if (!faults_in_sanitizer())
		cr_expect(kib <= r->memory_kib + SLACK_KIB, "the supervisor grew from %ld to %ld KiB", r->memory_kib,
			kib);
}

static void finish(struct rolling *r, const char *name)
{
	struct load_report report;

	cr_assert(load_finish(r->load, FINISH_MS), "not everything was answered:\n%s", load_report(r->load).failures);
	report = load_report(r->load);
	cr_expect_eq(report.failed, 0, "%ld failed:\n%s", report.failed, report.failures);
	(void)fprintf(stderr,
		"%s: %ld requests, %ld failed, %ld tasks, %ld answers, %ld reconnects, at most %d workers, p50 %ld us, "
		"p99 %ld us, longest gap %ld us\n",
		name, report.requests, report.failed, report.tasks, report.answers, report.reconnects, r->most_workers,
		report.p50_us, report.p99_us, report.gap_us);
	expect_rows(r, &report);
	expect_answers(r);
	expect_bounds(r);
}

/* ---- the tests ------------------------------------------------------------------------------------------------- */

static bool is_whole(void)
{
	const char *faults = getenv("RENOVATIOND_FAULTS");

	return faults != NULL && strcmp(faults, "all") == 0;
}

static const struct load_plan full = { .readers = 10,
	.writers = 5,
	.streams = 50,
	.idlers = 50,
	.pause_ms = 40,
	.idle_ms = 15000,
	.question = "How long does screed dry? [sim:chunks=120][sim:delay=80ms]" };

Test(rolling, reloads_and_upgrades_behind_nginx_fail_nothing)
{
	struct rolling r;
	int reloads = is_whole() ? 20 : 4, upgrades = is_whole() ? 10 : 2;

	open_all(&r, &full, true);
	cr_assert(load_run_until(r.load, all_stream, &r, CHANGE_MS), "%s", load_report(r.load).failures);
	load_mark(r.load);
	for (int i = 0; i < reloads; i++) {
		change(&r, SIGHUP, "reload", i + 1);
		if (i == 0)
			r.memory_kib = memory_kib(r.server->supervisor->pid);
		if (upgrades > 0 && i % 2 == 1) {
			change(&r, SIGUSR2, "upgrade", i / 2 + 1);
			upgrades--;
		}
	}
	finish(&r, "behind nginx");
	cr_expect(load_report(r.load).answers >= 50);
	close_all(&r);
}

/* Without a proxy every client sees what the workers do to its connection: none is closed that was not told so. */
Test(rolling, reloads_without_a_proxy_close_nothing_unannounced)
{
	struct load_plan plan = full;
	struct rolling r;

	plan.streams = 10;
	plan.idlers = 20;
	plan.question = "How long does screed dry? [sim:chunks=60][sim:delay=60ms]";
	plan.idle_ms = 3000;
	open_all(&r, &plan, false);
	load_run(r.load, 2000);
	for (int i = 0; i < 4; i++)
		change(&r, SIGHUP, "reload", i + 1);
	r.memory_kib = memory_kib(r.server->supervisor->pid);
	finish(&r, "directly");
	cr_expect_eq(load_report(r.load).unasked_ends, 0, "%ld connections were closed while nothing was asked",
		load_report(r.load).unasked_ends);
	close_all(&r);
}
