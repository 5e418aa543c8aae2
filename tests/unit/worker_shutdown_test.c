/* worker_shutdown_test.c: the coordinator of a worker's end, with resources that close at once, later, never, with an error, and twice. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>

#include "shared/clock.h"
#include "worker/shutdown.h"

#define REPORTS_MAX 16

enum behaviour { AT_ONCE, LATER, NEVER, FAILS, TWICE };

struct fake {
	const char *name;         /* of the resource */
	enum behaviour behaviour; /* what its close does */
	struct event *timer;      /* LATER */
	int closed, cut;          /* how often each was called */
	bool is_stop;             /* last told */
};

static struct event_base *base;
static struct shutdown *coordinator;
static struct message_closed reports[REPORTS_MAX];
static int report_count, finished_count;
static int64_t begun_ms; /* before anything was told to close */

#define NEVER_MS   60000 /* a deadline that none of these tests lives to see */
#define AT_MOST_MS 30000 /* a test that got there did not wait for it */

static void on_report(void *arg, const struct message_closed *closed)
{
	(void)arg;
	cr_assert(report_count < REPORTS_MAX);
	reports[report_count++] = *closed;
}

static void on_finished(void *arg)
{
	(void)arg;
	finished_count++;
	(void)event_base_loopbreak(base);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct fake *fake = arg;

	(void)fd;
	(void)what;
	shutdown_done(coordinator, fake->name, SHUTDOWN_DONE, "later");
}

static void fake_close(void *arg, bool is_stop)
{
	struct fake *fake = arg;
	struct timeval soon = { .tv_usec = 20000 };

	fake->closed++;
	fake->is_stop = is_stop;
	switch (fake->behaviour) {
	case AT_ONCE: shutdown_done(coordinator, fake->name, SHUTDOWN_DONE, ""); break;
	case LATER:
		fake->timer = evtimer_new(base, on_later, fake);
		(void)evtimer_add(fake->timer, &soon);
		break;
	case NEVER: break;
	case FAILS: shutdown_done(coordinator, fake->name, SHUTDOWN_ERROR, "it broke"); break;
	case TWICE:
		shutdown_done(coordinator, fake->name, SHUTDOWN_DONE, "first");
		shutdown_done(coordinator, fake->name, SHUTDOWN_ERROR, "second");
		break;
	}
}

static int fake_cut(void *arg, int *lost_out)
{
	struct fake *fake = arg;

	fake->cut++;
	*lost_out = 1;
	/* A cut often brings about the end that was waited for. */
	shutdown_done(coordinator, fake->name, SHUTDOWN_DONE, "after the cut");
	return 5;
}

static void add(struct fake *fake, enum shutdown_phase phase, int64_t deadline_ms)
{
	shutdown_register(coordinator, &(struct shutdown_resource) { .name = fake->name,
					       .phase = phase,
					       .deadline_ms = deadline_ms,
					       .close = fake_close,
					       .cut = fake_cut,
					       .arg = fake });
}

static const struct message_closed *find(const char *name)
{
	const struct message_closed *found = NULL;

	for (int i = 0; i < report_count; i++)
		if (strcmp(reports[i].name, name) == 0) {
			cr_assert_null(found, "%s was reported twice", name);
			found = &reports[i];
		}
	cr_assert_not_null(found, "%s was not reported", name);
	return found;
}

/* Runs the loop to the end; returns how long all took since before it was begun. */
static int64_t run(void)
{
	struct timeval limit = { .tv_sec = AT_MOST_MS / 1000 };

	(void)event_base_loopexit(base, &limit);
	(void)event_base_dispatch(base);
	cr_assert_eq(finished_count, 1, "%d ends, %d reports, %d ms after the beginning", finished_count, report_count,
		(int)(clock_monotonic_ms() - begun_ms));
	return clock_monotonic_ms() - begun_ms;
}

static void open_all(void)
{
	base = event_base_new();
	cr_assert_eq(shutdown_open(base, on_report, on_finished, NULL, &coordinator), ERROR_NONE);
	begun_ms = clock_monotonic_ms();
}

static void close_all(void)
{
	shutdown_close(&coordinator);
	event_base_free(base);
}

static void free_timer(struct fake *fake)
{
	if (fake->timer != NULL)
		event_free(fake->timer);
}

TestSuite(worker_shutdown, .init = open_all, .fini = close_all, .timeout = 120);

Test(worker_shutdown, phases_run_in_order_and_everything_is_reported)
{
	struct fake logs = { .name = "logs" }, http = { .name = "http", .behaviour = LATER },
		    database = { .name = "database" };

	add(&logs, SHUTDOWN_LOGS, NEVER_MS);
	add(&http, SHUTDOWN_SOCKETS, NEVER_MS);
	add(&database, SHUTDOWN_DATABASE, NEVER_MS);
	cr_expect_not(shutdown_is_started(coordinator));
	shutdown_start(coordinator, true, clock_monotonic_us());
	cr_expect(shutdown_is_started(coordinator));
	cr_expect_eq(database.closed, 0, "the sockets come first");
	(void)run();
	cr_expect_eq(report_count, 3);
	cr_expect_str_eq(reports[0].name, "http");
	cr_expect_str_eq(reports[1].name, "database");
	cr_expect_str_eq(reports[2].name, "logs");
	cr_expect(find("http")->ms >= 15);
	free_timer(&http);
}

Test(worker_shutdown, a_hanging_resource_is_cut_and_holds_up_nobody)
{
	struct fake hangs = { .name = "http", .behaviour = NEVER }, beside = { .name = "realtime" },
		    after = { .name = "database" };
	add(&hangs, SHUTDOWN_SOCKETS, 50);
	add(&beside, SHUTDOWN_SOCKETS, NEVER_MS);
	add(&after, SHUTDOWN_DATABASE, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us());
	cr_expect_geq(run(), 45);
	cr_expect_eq(hangs.cut, 1);
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
	cr_expect_eq(find("http")->forced, 5);
	cr_expect_eq(find("http")->lost, 1);
	cr_expect_eq(find("realtime")->result, SHUTDOWN_DONE);
	cr_expect_eq(find("database")->result, SHUTDOWN_DONE);
	cr_expect_eq(beside.cut + after.cut, 0);
}

Test(worker_shutdown, a_failing_resource_skips_nobody)
{
	struct fake fails = { .name = "http", .behaviour = FAILS }, after = { .name = "database" };

	add(&fails, SHUTDOWN_SOCKETS, NEVER_MS);
	add(&after, SHUTDOWN_DATABASE, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us());
	(void)run();
	cr_expect_eq(find("http")->result, SHUTDOWN_ERROR);
	cr_expect_str_eq(find("http")->detail, "it broke");
	cr_expect_eq(find("database")->result, SHUTDOWN_DONE);
}

Test(worker_shutdown, the_first_word_counts_and_unknown_names_are_ignored)
{
	struct fake twice = { .name = "http", .behaviour = TWICE };

	add(&twice, SHUTDOWN_SOCKETS, NEVER_MS);
	shutdown_done(coordinator, "http", SHUTDOWN_ERROR, "before it was asked");
	shutdown_start(coordinator, true, clock_monotonic_us());
	shutdown_done(coordinator, "nobody", SHUTDOWN_ERROR, "");
	(void)run();
	cr_expect_eq(find("http")->result, SHUTDOWN_DONE);
	cr_expect_str_eq(find("http")->detail, "first");
}

Test(worker_shutdown, starting_twice_closes_once)
{
	struct fake later = { .name = "http", .behaviour = LATER };

	add(&later, SHUTDOWN_SOCKETS, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us());
	shutdown_start(coordinator, true, clock_monotonic_us());
	shutdown_start(coordinator, false, clock_monotonic_us());
	(void)run();
	cr_expect_eq(later.closed, 1);
	free_timer(&later);
}

Test(worker_shutdown, a_drain_that_becomes_a_stop_takes_the_stops_deadline)
{
	struct fake hangs = { .name = "http", .behaviour = NEVER };

	shutdown_register(coordinator, &(struct shutdown_resource) { .name = "http",
					       .phase = SHUTDOWN_SOCKETS,
					       .deadline_ms = 30,
					       .drain_ms = NEVER_MS,
					       .close = fake_close,
					       .cut = fake_cut,
					       .arg = &hangs });
	shutdown_start(coordinator, false, clock_monotonic_us());
	cr_expect_not(hangs.is_stop);
	shutdown_start(coordinator, true, clock_monotonic_us());
	cr_expect(hangs.is_stop);
	cr_expect_eq(hangs.closed, 2, "it is told again");
	(void)run();
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
}

Test(worker_shutdown, a_drain_that_is_asked_for_twice_is_told_again_and_keeps_few_seconds)
{
	struct fake http = { .name = "http", .behaviour = NEVER };

	shutdown_register(coordinator, &(struct shutdown_resource) { .name = "http",
					       .phase = SHUTDOWN_SOCKETS,
					       .deadline_ms = 30,
					       .drain_ms = NEVER_MS,
					       .close = fake_close,
					       .cut = fake_cut,
					       .arg = &http });
	shutdown_start(coordinator, false, clock_monotonic_us());
	shutdown_start(coordinator, false, clock_monotonic_us());
	shutdown_start(coordinator, false, clock_monotonic_us());
	cr_expect_not(http.is_stop);
	cr_expect_eq(http.closed, 2, "it is told once more, not each time");
	cr_expect_gt(run(), 1000);
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
}

Test(worker_shutdown, deadlines_of_a_resource_may_change_while_it_closes)
{
	struct fake http = { .name = "http", .behaviour = NEVER };

	add(&http, SHUTDOWN_SOCKETS, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us());
	shutdown_set_deadlines(coordinator, "http", 30, 0);
	(void)run();
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
}

Test(worker_shutdown, a_hurry_cuts_all_deadlines_and_leaves_time_for_the_database)
{
	struct fake http = { .name = "http", .behaviour = NEVER },
		    database = { .name = "database", .behaviour = LATER };

	add(&http, SHUTDOWN_SOCKETS, NEVER_MS);
	add(&database, SHUTDOWN_DATABASE, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us());
	shutdown_hurry(coordinator, 1500);
	shutdown_hurry(coordinator, NEVER_MS);
	cr_expect_geq(run(), 700);
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
	cr_expect_eq(find("database")->result, SHUTDOWN_DONE, "checkpoints are still attempted");
	free_timer(&database);
}

Test(worker_shutdown, deadlines_count_from_the_stop_of_the_whole_service)
{
	struct fake http = { .name = "http", .behaviour = NEVER };

	add(&http, SHUTDOWN_SOCKETS, NEVER_MS);
	shutdown_start(coordinator, true, clock_monotonic_us() - (NEVER_MS - 50) * INT64_C(1000));
	(void)run();
	cr_expect_eq(find("http")->result, SHUTDOWN_TIMEOUT);
}

Test(worker_shutdown, nothing_registered_finishes_at_once)
{
	shutdown_start(coordinator, true, clock_monotonic_us());
	(void)run();
}
