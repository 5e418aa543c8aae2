/* shared_scoreboard_test.c: the shared memory: maps, totals that never shrink, a slot given back. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

Test(scoreboard, a_name_keeps_its_row_and_a_full_table_has_the_row_of_the_nameless)
{
	char name[24];
	int row = scoreboard_claim(board->tools, TOOLS_MAX, "", "add_room");

	cr_expect_neq(row, MEASURE_UNNAMED);
	cr_expect_eq(scoreboard_claim(board->tools, TOOLS_MAX, "", "add_room"), row);
	cr_expect_neq(scoreboard_claim(board->tools, TOOLS_MAX, "GET", "add_room"), row, "the kind counts too");
	cr_expect_str_eq(board->tools[row].name, "add_room");
	for (int i = 0; i < TOOLS_MAX; i++) {
		(void)snprintf(name, sizeof name, "tool %d", i);
		(void)scoreboard_claim(board->tools, TOOLS_MAX, "", name);
	}
	cr_expect_eq(scoreboard_claim(board->tools, TOOLS_MAX, "", "one too many"), MEASURE_UNNAMED);
	cr_expect_str_eq(board->tools[MEASURE_UNNAMED].name, "unknown");
}

Test(scoreboard, a_row_whose_claimer_died_before_naming_it_is_named_by_the_next)
{
	int row = scoreboard_claim(board->routes, ROUTES_MAX, "GET", "/api/rooms/{id}");

	board->routes[row].is_named = 0;
	board->routes[row].name[3] = '\0';
	cr_expect(!scoreboard_is_named(&board->routes[row]));
	cr_expect_eq(scoreboard_claim(board->routes, ROUTES_MAX, "GET", "/api/rooms/{id}"), row);
	cr_expect(scoreboard_is_named(&board->routes[row]));
	cr_expect_str_eq(board->routes[row].name, "/api/rooms/{id}");
}

static uint64_t count_of(const struct histogram *h)
{
	struct histogram_total total = { 0 };

	histogram_add(&total, h);
	return total.count;
}

Test(scoreboard, measures_of_the_dead_stay_and_what_they_had_in_flight_does_not)
{
	int row = scoreboard_claim(board->routes, ROUTES_MAX, "GET", "/health");
	int model = scoreboard_claim(board->models, MODELS_MAX, "", "gemini-x");
	struct scoreboard_measures *m = &board->measures[9];

	SCOREBOARD_SET(board->slots[9].pid, 4711);
	(void)histogram_observe(&m->routes[row].seconds, &histogram_requests, 300);
	SCOREBOARD_ADD(m->routes[row].statuses[0], 1);
	SCOREBOARD_ADD(m->routes[row].in_flight, 2);
	(void)histogram_observe(&m->models[model].seconds[OUTCOME_SLOW], &histogram_operations, 30000000);
	for (int i = 0; i < 3; i++) {
		if (i > 0)
			scoreboard_retire(board, 9);
		struct scoreboard_measures *sum = scoreboard_measure(board);

		cr_expect_eq(SCOREBOARD_GET(sum->routes[row].statuses[0]), 1);
		cr_expect_eq(count_of(&sum->routes[row].seconds), 1);
		cr_expect_eq(SCOREBOARD_GET(sum->routes[row].in_flight), i == 0 ? 2 : 0);
		cr_expect_eq(count_of(&sum->models[model].seconds[OUTCOME_SLOW]), 1);
		free(sum);
	}
	cr_expect_eq(count_of(&m->routes[row].seconds), 0, "the next life in the slot begins at nothing");
}

Test(scoreboard, a_slower_value_or_a_later_second_takes_the_place_of_an_exemplar)
{
	struct scoreboard_exemplar *e = &board->measures[0].routes[1].exemplar;

	scoreboard_exemplify(e, 3, 900, "0af7651916cd43dd8448eb211c80319c", 5000000);
	scoreboard_exemplify(e, 2, 800, "11111111111111111111111111111111", 5100000);
	cr_expect_str_eq(e->trace_id, "0af7651916cd43dd8448eb211c80319c");
	scoreboard_exemplify(e, 4, 9000, "22222222222222222222222222222222", 5200000);
	cr_expect_str_eq(e->trace_id, "22222222222222222222222222222222");
	scoreboard_exemplify(e, 0, 100, "33333333333333333333333333333333", 6300000);
	cr_expect_str_eq(e->trace_id, "33333333333333333333333333333333");
	cr_expect_eq(SCOREBOARD_GET(e->sequence) % 2, 0);
}

/* Pages of the file that exist. */
static blkcnt_t pages(void)
{
	struct stat status;

	cr_assert_eq(fstat(fd, &status), 0);
	return status.st_blocks / (MEASURE_PAGE / 512);
}

Test(scoreboard, slots_that_were_never_used_cost_no_memory)
{
	blkcnt_t before;

	for (int s = 0; s < 2; s++) {
		SCOREBOARD_SET(board->slots[s].pid, 100 + s);
		SCOREBOARD_ADD(board->measures[s].routes[MEASURE_UNNAMED].statuses[2], 1);
	}
	free(scoreboard_measure(board));
	scoreboard_retire(board, 0);
	before = pages();
	free(scoreboard_measure(board));
	(void)scoreboard_total(board);
	cr_expect_eq(pages(), before, "reading makes no pages");
	cr_expect_lt(before, 80, "%ld pages", (long)before);
}
