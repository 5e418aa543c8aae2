/* supervisor_restart_test.c: delays, storms and giving up, with times set by hand. */
#include "config.h"

#include <criterion/criterion.h>

#include "shared/inherit.h"
#include "supervisor/restart.h"

#define START_MS 1000000

Test(restart, the_first_end_is_answered_at_once_and_later_ones_after_doubling_delays)
{
	static const int64_t expected[] = { 0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
	struct restart_slot slot = { 0 };

	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
		cr_expect_eq(restart_delay_ms(&slot, 0, 0), expected[i], "end %zu", i + 1);
}

Test(restart, a_minute_of_being_ready_forgives)
{
	struct restart_slot slot = { 0 };

	(void)restart_delay_ms(&slot, 0, 0);
	cr_expect_eq(restart_delay_ms(&slot, 59999, 0), 250);
	cr_expect_eq(restart_delay_ms(&slot, 60000, 0), 0);
	cr_expect_eq(restart_delay_ms(&slot, 0, 0), 250);
}

Test(restart, jitter_moves_a_delay_by_a_fifth_at_most)
{
	struct restart_slot slot = { .in_row = 1 };

	cr_expect_eq(restart_delay_ms(&slot, 0, 1), 300);
	slot.in_row = 1;
	cr_expect_eq(restart_delay_ms(&slot, 0, -1), 200);
}

Test(restart, five_ends_in_a_minute_are_a_storm_of_two_workers)
{
	struct restart_pool pool = { .last_spawn_ms = START_MS };

	for (int i = 0; i < 4; i++)
		restart_note_end(&pool, START_MS + i, 128 + 9, true);
	cr_expect_not(restart_is_storm(&pool, START_MS + 10, 2));
	restart_note_end(&pool, START_MS + 4, 128 + 9, true);
	cr_expect(restart_is_storm(&pool, START_MS + 10, 2));
	cr_expect_not(restart_is_storm(&pool, START_MS + 10, 3), "six for three workers");
	cr_expect_eq(restart_storm_wait_ms(&pool, START_MS + 10, 2), 4990);
	cr_expect_eq(restart_storm_wait_ms(&pool, START_MS + 5000, 2), 0);
	cr_expect_not(restart_is_storm(&pool, START_MS + 60004, 2), "a minute later it is over");
}

Test(restart, nobody_ready_for_half_a_minute_gives_up_with_the_workers_code)
{
	struct restart_pool pool = { 0 };

	cr_expect_eq(restart_escalate(&pool, START_MS, 0, 2), 0);
	restart_note_end(&pool, START_MS, EXIT_UNAVAILABLE, false);
	cr_expect_eq(restart_escalate(&pool, START_MS + 29999, 0, 2), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 30000, 0, 2), EXIT_UNAVAILABLE);
}

Test(restart, deaths_by_signal_give_up_with_70)
{
	struct restart_pool pool = { 0 };

	restart_note_end(&pool, START_MS, 128 + 11, false);
	(void)restart_escalate(&pool, START_MS, 0, 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 30000, 0, 0), EXIT_STORM);
}

Test(restart, only_codes_of_the_documented_table_are_passed_on)
{
	static const struct {
		int code;     /* of the worker */
		int expected; /* ours */
	} cases[] = { { 65, 65 }, { 69, 69 }, { 70, 70 }, { 71, 71 }, { 73, 73 }, { 74, 74 }, { 75, 75 }, { 77, 77 },
		{ 78, 78 }, { 127, 70 }, { 126, 70 }, { 1, 70 }, { 99, 70 }, { 72, 70 }, { 0, 70 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct restart_pool pool = { 0 };

		restart_note_end(&pool, START_MS, cases[i].code, false);
		(void)restart_escalate(&pool, START_MS, 0, 0);
		cr_expect_eq(restart_escalate(&pool, START_MS + 30000, 0, 0), cases[i].expected, "%d", cases[i].code);
	}
}

Test(restart, one_ready_worker_resets_the_clock)
{
	struct restart_pool pool = { 0 };

	(void)restart_escalate(&pool, START_MS, 0, 2);
	(void)restart_escalate(&pool, START_MS + 20000, 1, 2);
	cr_expect_eq(restart_escalate(&pool, START_MS + 40000, 0, 2), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 70000, 0, 2), EXIT_STORM);
}

Test(restart, two_fatal_exits_in_a_row_with_nobody_ready_give_up_at_once)
{
	struct restart_pool pool = { 0 };

	restart_note_end(&pool, START_MS, EXIT_CONFIG_WRONG, false);
	cr_expect_eq(restart_escalate(&pool, START_MS, 0, 1), 0);
	restart_note_end(&pool, START_MS + 1, EXIT_CONFIG_WRONG, false);
	cr_expect_eq(restart_escalate(&pool, START_MS + 1, 0, 1), EXIT_CONFIG_WRONG);
}

Test(restart, a_fatal_exit_beside_a_ready_worker_does_not_count)
{
	struct restart_pool pool = { 0 };

	restart_note_end(&pool, START_MS, EXIT_CONFIG_WRONG, true);
	restart_note_end(&pool, START_MS + 1, EXIT_CONFIG_WRONG, true);
	cr_expect_eq(restart_escalate(&pool, START_MS + 1, 0, 1), 0);
}

Test(restart, fork_failures_wait_longer_and_end_with_71_after_a_minute_without_workers)
{
	static const int64_t expected[] = { 1000, 2000, 4000, 8000, 15000, 15000 };
	struct restart_pool pool = { 0 };

	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
		cr_expect_eq(restart_fork_failed(&pool, START_MS), expected[i]);
	cr_expect_eq(restart_escalate(&pool, START_MS + 59999, 0, 0), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 60000, 0, 0), EXIT_OS);
	restart_forked(&pool, START_MS + 60000);
	cr_expect_eq(restart_fork_failed(&pool, START_MS + 60000), 1000);
}

Test(restart, the_minute_without_workers_begins_when_the_last_one_is_gone)
{
	struct restart_pool pool = { 0 };

	(void)restart_fork_failed(&pool, START_MS);
	/* One serves for most of a minute, then drains for a while. */
	cr_expect_eq(restart_escalate(&pool, START_MS + 50000, 1, 1), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 55000, 0, 1), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 60000, 0, 0), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 55000 + 59999, 0, 0), 0);
	cr_expect_eq(restart_escalate(&pool, START_MS + 55000 + 60000, 0, 0), EXIT_OS);
}
