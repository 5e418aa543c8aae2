/* supervisor_notify_test.c: the watchdog pings and the sixty seconds after which they end, with the clock set by hand. A whole service gives up before that
 * (restart.h), so nothing but this sees them end. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/must.h"
#include "supervisor/supervisor.h"
#include "tests/support/manager.h"

#define BEGIN_US INT64_C(5000000000)
#define S_US     INT64_C(1000000)

static struct supervisor s;
static struct manager manager;
static int board_fd;

static void at(int64_t us)
{
	clock_freeze(BEGIN_US + us, BEGIN_US + us);
}

static void setup(void)
{
	manager_open(&manager, true);
	must(putenv(manager.variable) == 0 && setenv("WATCHDOG_USEC", "30000", 1) == 0 &&
		unsetenv("WATCHDOG_PID") == 0);
	s.base = event_base_new();
	must(scoreboard_create(&board_fd, &s.board) == ERROR_NONE);
	s.slots[0].pid = 1;
	s.slots[0].is_ready = true;
	s.state = SUPERVISOR_RUNNING;
	at(0);
	cr_assert_eq(notify_open(&s), ERROR_NONE);
}

static void teardown(void)
{
	notify_close();
	event_base_free(s.base);
	scoreboard_unmap(&s.board);
	close(board_fd);
	manager_close(&manager);
	clock_thaw();
}

TestSuite(notify_watchdog, .init = setup, .fini = teardown, .timeout = 60);

/* How often the manager was pinged in three turns of the timer: it is all that the loop has. */
static int pings(void)
{
	int count = 0;
	size_t from;

	manager_read(&manager);
	from = manager.length;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(event_base_loop(s.base, EVLOOP_ONCE), 0);
	manager_read(&manager);
	for (const char *found = manager.said + from; (found = strstr(found, "WATCHDOG=1")) != NULL; found++)
		count++;
	return count;
}

Test(notify_watchdog, pings_end_when_nobody_was_ready_for_sixty_seconds_and_come_back_with_a_worker)
{
	cr_expect_eq(pings(), 3);
	at(3600 * S_US);
	cr_expect_eq(pings(), 3, "a worker was ready all the time");
	s.slots[0].is_ready = false;
	at(3660 * S_US - 1000);
	cr_expect_eq(pings(), 3, "nearly sixty seconds");
	at(3660 * S_US);
	cr_expect_eq(pings(), 0, "sixty seconds");
	at(7200 * S_US);
	cr_expect_eq(pings(), 0);
	s.slots[0].is_ready = true;
	cr_expect_eq(pings(), 3);
}

Test(notify_watchdog, a_stop_and_a_drained_pool_are_pinged_for_without_workers)
{
	s.slots[0].pid = 0;
	at(60 * S_US);
	cr_expect_eq(pings(), 0);
	SCOREBOARD_SET(s.board->pool.is_drained, 1);
	cr_expect_eq(pings(), 3);
	SCOREBOARD_SET(s.board->pool.is_drained, 0);
	at(120 * S_US);
	cr_expect_eq(pings(), 0);
	s.state = SUPERVISOR_STOPPING;
	cr_expect_eq(pings(), 3);
}

Test(notify_watchdog, the_words_for_gemini_follow_where_it_listens)
{
	(void)snprintf(s.url, sizeof s.url, "http://x");
	notify_ready(&s);
	SCOREBOARD_SET(s.board->gemini_state, SCOREBOARD_GEMINI_REFUSED);
	notify_ready(&s);
	manager_read(&manager);
	cr_expect_not_null(strstr(manager.said, "READY=1\nSTATUS=listening on http://x; 1 of 0 workers ready"), "%s",
		manager.said);
	cr_expect_not_null(strstr(manager.said, "READY=1\nSTATUS=listening on http://x; Gemini refuses the API key; "),
		"%s", manager.said);
}
