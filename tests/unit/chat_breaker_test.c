/* Breakers and the budget of retries: when they open, for how long, who may probe. The time is set by hand. */
#include "config.h"
#include "worker/chat/breaker.h"

#include <criterion/criterion.h>
#include <unistd.h>

static struct scoreboard *board;
static int fd = -1;
static struct scoreboard_breaker *b;

static void setup(void)
{
	cr_assert_eq(scoreboard_create(&fd, &board), ERROR_NONE);
	b = breaker_find(board, "model-a");
}

static void teardown(void)
{
	scoreboard_unmap(&board);
	close(fd);
}

TestSuite(breaker, .init = setup, .fini = teardown);

static bool is_open(int64_t now_ms)
{
	int64_t retry_in;

	return breaker_is_open(b, now_ms, &retry_in);
}

static void fail(int times, int64_t now_ms)
{
	while (times-- > 0)
		breaker_failure(b, now_ms);
}

Test(breaker, names_find_their_own_row)
{
	cr_assert_eq(breaker_find(board, "model-a"), b);
	cr_assert_neq(breaker_find(board, "model-b"), b);
	cr_assert_str_eq(b->model, "model-a");
	for (int i = 0; i < BREAKERS_MAX; i++) {
		char name[8] = { 'x', (char)('a' + i), '\0' };

		(void)breaker_find(board, name);
	}
	cr_assert_null(breaker_find(board, "one-too-many"));
	cr_assert_eq(breaker_enter(NULL, 1000), BREAKER_CLOSED);
}

Test(breaker, opens_after_five_failures_in_a_row)
{
	fail(4, 1000);
	breaker_success(b, 1000);
	fail(4, 1000);
	cr_assert(!is_open(1000));
	fail(1, 1000);
	cr_assert(is_open(1000));
	cr_assert(is_open(15999));
	cr_assert(!is_open(16000));
}

Test(breaker, opens_when_half_of_twenty_in_thirty_seconds_fail)
{
	for (int i = 0; i < 9; i++) {
		breaker_success(b, 1000);
		breaker_failure(b, 1000);
	}
	cr_assert(!is_open(1000));
	breaker_success(b, 1000);
	breaker_failure(b, 1000);
	cr_assert(is_open(1000));
}

Test(breaker, old_failures_are_forgotten)
{
	for (int i = 0; i < 9; i++) {
		breaker_success(b, 1000);
		breaker_failure(b, 1000);
	}
	for (int i = 0; i < 3; i++) {
		breaker_success(b, 32000);
		breaker_failure(b, 32000);
	}
	cr_assert(!is_open(32000));
}

Test(breaker, refusals_that_are_our_fault_do_not_count)
{
	for (int i = 0; i < 50; i++)
		breaker_neutral(b);
	cr_assert(!is_open(1000));
}

Test(breaker, one_probe_goes_and_decides)
{
	fail(5, 1000);
	cr_assert_eq(breaker_enter(b, 2000), BREAKER_OPEN);
	cr_assert_eq(breaker_enter(b, 16000), BREAKER_PROBE);
	cr_assert_eq(breaker_enter(b, 16001), BREAKER_OPEN);
	cr_assert(is_open(16001));
	breaker_success(b, 17000);
	cr_assert_eq(breaker_enter(b, 17001), BREAKER_CLOSED);
}

Test(breaker, failed_probes_double_the_wait_to_two_minutes)
{
	static const int64_t waits[] = { 15000, 30000, 60000, 120000, 120000 };
	int64_t now = 1000;

	fail(5, now);
	for (size_t i = 0; i < COUNT_OF(waits); i++) {
		cr_assert(is_open(now + waits[i] - 1), "round %zu", i);
		now += waits[i];
		cr_assert_eq(breaker_enter(b, now), BREAKER_PROBE, "round %zu", i);
		breaker_failure(b, now);
	}
}

Test(breaker, probe_of_a_dead_worker_is_given_up)
{
	fail(5, 1000);
	cr_assert_eq(breaker_enter(b, 16000), BREAKER_PROBE);
	cr_assert_eq(breaker_enter(b, 16000 + 89000), BREAKER_OPEN);
	cr_assert_eq(breaker_enter(b, 16000 + 91000), BREAKER_PROBE);
}

Test(breaker, quota_opens_for_its_time_at_once)
{
	breaker_open(b, BREAKER_QUOTA, 3600000, 1000);
	cr_assert(is_open(3600999));
	cr_assert(!is_open(3601000));
	cr_assert_eq(b->reason, BREAKER_QUOTA);
}

Test(breaker, refused_credentials_keep_it_open_until_a_probe_succeeds)
{
	int64_t now_ms = 1000;

	for (int i = 0; i < 3; i++, now_ms += 15000) {
		breaker_open(b, BREAKER_CREDENTIALS, 15000, now_ms);
		cr_assert_eq(b->reason, BREAKER_CREDENTIALS);
		cr_assert_eq(breaker_enter(b, now_ms + 14999), BREAKER_OPEN);
		cr_assert_eq(breaker_enter(b, now_ms + 15000), BREAKER_PROBE);
		cr_assert_eq(breaker_enter(b, now_ms + 15000), BREAKER_OPEN, "one at a time");
	}
	breaker_success(b, now_ms);
	cr_assert_eq(breaker_enter(b, now_ms), BREAKER_CLOSED);
}

Test(breaker, retries_have_a_budget)
{
	int spent = 0;

	while (retry_budget_spend(board, 1000))
		spent++;
	cr_assert_eq(spent, 10);
	cr_assert(retry_budget_spend(board, 2000)); /* one a second */
	cr_assert(!retry_budget_spend(board, 2000));
	for (int i = 0; i < 10; i++)
		retry_budget_earn(board);
	cr_assert(retry_budget_spend(board, 2000)); /* one for ten calls */
	cr_assert(!retry_budget_spend(board, 2000));
}
