/* shared_scoreboard_test.c: the shared memory: maps, totals that never shrink, a slot given back. */
#include "config.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/scoreboard.h"

static struct scoreboard *board;
static int fd = -1;

static void open_board(void)
{
	cr_assert_eq(scoreboard_create(&fd, &board), ERROR_NONE);
}

static void close_board(void)
{
	scoreboard_unmap(&board);
	close(fd);
}

TestSuite(scoreboard, .init = open_board, .fini = close_board);

Test(scoreboard, what_one_process_writes_another_reads)
{
	struct scoreboard *mapped;

	cr_assert_eq(scoreboard_map(fd, &mapped), ERROR_NONE);
	SCOREBOARD_SET(board->slots[3].epoch, 77);
	cr_expect_eq(SCOREBOARD_GET(mapped->slots[3].epoch), 77);
	cr_expect_neq(SCOREBOARD_GET(mapped->instance), 0);
	scoreboard_unmap(&mapped);
	cr_expect_null(mapped);
}

Test(scoreboard, slots_do_not_share_cache_lines)
{
	cr_expect_eq(sizeof(struct scoreboard_slot) % 64, 0);
	cr_expect_eq((uintptr_t)&board->slots[1] % 64, 0);
}

Test(scoreboard, another_layout_or_size_is_refused)
{
	struct scoreboard *mapped = NULL;
	int other = memfd_create("other", MFD_CLOEXEC);

	cr_expect_eq(scoreboard_map(other, &mapped), ERROR_PROTOCOL);
	board->layout++;
	cr_expect_eq(scoreboard_map(fd, &mapped), ERROR_PROTOCOL);
	cr_expect_null(mapped);
	cr_expect_neq(ftruncate(fd, 10), 0, "it is sealed");
	close(other);
}

Test(scoreboard, totals_keep_what_the_dead_counted)
{
	struct scoreboard_slot *slot = &board->slots[5];
	struct scoreboard_totals totals;

	SCOREBOARD_SET(slot->pid, 4711);
	SCOREBOARD_SET(slot->state, WORKER_READY);
	SCOREBOARD_SET(slot->connections, 8);
	SCOREBOARD_ADD(slot->counters.requests, 100);
	SCOREBOARD_ADD(board->slots[6].counters.requests, 5);
	SCOREBOARD_SET(board->slots[6].pid, 4712);
	totals = scoreboard_total(board);
	cr_expect_eq(totals.requests, 105);
	cr_expect_eq(totals.connections, 8);
	cr_expect_eq(totals.workers_ready, 1);

	scoreboard_retire(board, 5);
	totals = scoreboard_total(board);
	cr_expect_eq(totals.requests, 105);
	cr_expect_eq(totals.connections, 0);
	cr_expect_eq(totals.workers_ready, 0);
	cr_expect_eq(SCOREBOARD_GET(slot->counters.requests), 0);
	cr_expect_eq(SCOREBOARD_GET(slot->state), WORKER_NONE);
}

Test(scoreboard, a_retirement_that_never_ends_does_not_hold_a_reader)
{
	board->retirements = 1;
	cr_expect_eq(scoreboard_total(board).requests, 0);
}
