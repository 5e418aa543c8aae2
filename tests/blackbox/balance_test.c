/* balance_test.c: how evenly the workers share connections: bursts of long ones, many short ones from several clients at once. All workers wait on one
 * socket, and the kernel alone would give nearly everything to whoever wakes first. What each has is read from the scoreboard. */
#include "config.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/faults.h"

TestSuite(balance, .timeout = 120);

#define WORKERS        4
#define LONG_COUNT     400
#define LONG_RATIO_MAX 1.3
#define SHORT_COUNT    4000
#define SHORT_CLIENTS  4
#define SHORT_PART_MIN 0.15
#define TRIES          3
#define WORDS_BYTES    200

static struct server *start(void)
{
	struct server *s = server_start((const char *[]) { "WORKERS=4", NULL });

	workers_wait(s, 0, WORKERS, 10000);
	return s;
}

/* ---- long ones ------------------------------------------------------------------------------------------------- */

static const char question[] = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

/* All connect first, then all ask, then all wait: a burst, as when a proxy or a whole office comes back. */
static struct client *connect_all(int port, int count)
{
	struct client *clients = must_alloc((size_t)count * sizeof *clients);

	for (int i = 0; i < count; i++) {
		client_init(&clients[i], port);
		cr_assert(client_connect(&clients[i]), "connection %d", i);
	}
	for (int i = 0; i < count; i++)
		cr_assert(client_send(&clients[i], question, sizeof question - 1));
	for (int i = 0; i < count; i++) {
		struct reply r = client_receive(&clients[i], false);

		cr_assert_eq(r.status, 200, "connection %d", i);
		reply_free(&r);
	}
	return clients;
}

static void disconnect_all(struct client *clients, int count)
{
	for (int i = 0; i < count; i++)
		client_fini(&clients[i]);
	free(clients);
}

struct shares {
	const struct scoreboard *board;
	uint32_t generation; /* whose workers count */
	uint32_t expected;   /* connections of all of them */
	uint32_t least, most, sum;
	int workers;
};

static bool has_settled(void *arg)
{
	struct shares *shares = arg;

	shares->least = UINT32_MAX;
	shares->most = shares->sum = 0;
	shares->workers = 0;
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &shares->board->slots[i];
		uint32_t connections = SCOREBOARD_GET(slot->connections);

		if (SCOREBOARD_GET(slot->pid) == 0 || SCOREBOARD_GET(slot->generation) != shares->generation)
			continue;
		shares->workers++;
		shares->sum += connections;
		shares->least = connections < shares->least ? connections : shares->least;
		shares->most = connections > shares->most ? connections : shares->most;
	}
	return shares->sum == shares->expected;
}

/* `count` more connections, `all` then, spread evenly over the workers of this generation. A machine that is busy elsewhere may keep a worker from its core
 * so long that others rightly take its part: up to three tries. Who takes a burst by the way we accept takes it each time. */
static struct client *connect_evenly(
	struct server *s, const struct scoreboard *board, uint32_t generation, int count, int all)
{
	struct shares shares = { .board = board, .generation = generation, .expected = (uint32_t)all };
	char words[TRIES * WORDS_BYTES] = "";
	size_t length = 0;

	for (int i = 0; i < TRIES; i++) {
		struct client *clients = connect_all(s->port, count);

		shares.expected = (uint32_t)all;
		wait_until(has_settled, &shares, "each connection is somebody's", 30000);
		cr_assert_eq(shares.workers, WORKERS);
		if (shares.most <= LONG_RATIO_MAX * shares.least)
			return clients;
		length += (size_t)snprintf(
			words + length, sizeof words - length, " from %u to %u,", shares.least, shares.most);
		disconnect_all(clients, count);
		shares.expected = (uint32_t)(all - count);
		wait_until(has_settled, &shares, "they are gone", 30000);
	}
	cr_assert_fail("connections of a worker:%s", words);
	return NULL;
}

Test(balance, a_burst_of_400_long_connections_is_shared_evenly)
{
	struct server *s = start();
	struct scoreboard *board = board_open(s);
	struct client *clients = connect_evenly(s, board, 1, LONG_COUNT, LONG_COUNT);

	disconnect_all(clients, LONG_COUNT);
	board_close(&board);
	server_end(&s);
}

Test(balance, those_who_come_after_many_have_left_one_worker_go_there_first)
{
	struct server *s = start();
	struct scoreboard *board = board_open(s);
	struct client *clients = connect_evenly(s, board, 1, LONG_COUNT, LONG_COUNT), *more;
	pid_t workers[WORKERS + 1], victim;
	int left = 0, slot;

	cr_assert_eq(server_workers(s, workers, WORKERS + 1), WORKERS);
	victim = workers[0];
	slot = board_slot(board, victim);
	(void)kill(victim, SIGKILL);
	workers_wait(s, victim, WORKERS, 10000);
	for (int i = 0; i < SLOTS_MAX; i++)
		left += (int)SCOREBOARD_GET(board->slots[i].connections);
	cr_expect_eq(SCOREBOARD_GET(board->slots[slot].connections), 0);
	more = connect_evenly(s, board, 1, LONG_COUNT - left, LONG_COUNT);
	disconnect_all(more, LONG_COUNT - left);
	disconnect_all(clients, LONG_COUNT);
	board_close(&board);
	server_end(&s);
}

/* Asks for a reload; the generation that serves then. Until they are told to leave, the old workers take connections like the others. */
static uint32_t reload(struct server *s, const struct scoreboard *board)
{
	pid_t old[WORKERS];

	cr_assert_eq(server_workers(s, old, WORKERS), WORKERS);
	process_signal(s->supervisor, SIGHUP);
	free(process_wait_error(s->supervisor, "\"result\":\"replaced\"", 60000));
	workers_wait_leaving(s, old, WORKERS);
	return SCOREBOARD_GET(board->pool.generation);
}

Test(balance, new_workers_share_evenly_while_old_ones_drain)
{
	struct server *s = start();
	struct scoreboard *board = board_open(s);
	struct client *old = connect_evenly(s, board, 1, LONG_COUNT, LONG_COUNT), *young;
	uint32_t generation = reload(s, board);

	cr_assert_eq(generation, 2);
	young = connect_evenly(s, board, generation, LONG_COUNT, LONG_COUNT);
	disconnect_all(young, LONG_COUNT);
	disconnect_all(old, LONG_COUNT);
	board_close(&board);
	server_end(&s);
}

/* ---- short ones ------------------------------------------------------------------------------------------------ */

static void *come_and_go(void *arg)
{
	const int *port = arg;
	intptr_t good = 0;

	for (int i = 0; i < SHORT_COUNT / SHORT_CLIENTS; i++)
		good += get_status(*port, "/health/live") == 200;
	return (void *)good;
}

/* 4,000 connections; what the workers of this generation took of them, in words, and the smallest part. */
static double smallest_part(
	struct server *s, const struct scoreboard *board, uint32_t generation, char words[WORDS_BYTES])
{
	uint64_t before[SLOTS_MAX], all = 0;
	pthread_t threads[SHORT_CLIENTS];
	intptr_t good = 0;
	double smallest = 1;
	int length = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		before[i] = SCOREBOARD_GET(board->slots[i].counters.connections_accepted);
	for (int i = 0; i < SHORT_CLIENTS; i++)
		must(pthread_create(&threads[i], NULL, come_and_go, &s->port) == 0);
	for (int i = 0; i < SHORT_CLIENTS; i++) {
		void *result;

		must(pthread_join(threads[i], &result) == 0);
		good += (intptr_t)result;
	}
	cr_expect_eq(good, SHORT_COUNT, "%d of them were answered", (int)good);
	for (int i = 0; i < SLOTS_MAX; i++)
		all += SCOREBOARD_GET(board->slots[i].counters.connections_accepted) - before[i];
	cr_assert_geq(all, SHORT_COUNT);
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &board->slots[i];
		double part = (double)(SCOREBOARD_GET(slot->counters.connections_accepted) - before[i]) / (double)all;

		if (SCOREBOARD_GET(slot->pid) == 0 || SCOREBOARD_GET(slot->generation) != generation)
			continue;
		smallest = part < smallest ? part : smallest;
		length += snprintf(words + length, WORDS_BYTES - (size_t)length, " slot %d %.3f,", i, part);
	}
	return smallest;
}

/* The kernel chooses among those that wait, and a machine that is busy elsewhere may keep one of them from its core for a while: up to three tries.
 * Where one takes too much by the way we accept, it does so in all of them. */
static void expect_fair(struct server *s, const struct scoreboard *board, uint32_t generation)
{
	char words[TRIES][WORDS_BYTES] = { "", "", "" };
	bool is_fair = false;

	for (int i = 0; i < TRIES && !is_fair; i++)
		is_fair = smallest_part(s, board, generation, words[i]) >= SHORT_PART_MIN;
	cr_expect(is_fair, "first%s then%s then%s", words[0], words[1], words[2]);
}

Test(balance, no_worker_gets_less_than_its_part_of_4000_short_connections)
{
	struct server *s = start();
	struct scoreboard *board = board_open(s);

	expect_fair(s, board, 1);
	board_close(&board);
	server_end(&s);
}

Test(balance, no_new_worker_gets_less_than_its_part_while_old_ones_drain)
{
	struct server *s = start();
	struct scoreboard *board = board_open(s);
	struct client *old = connect_all(s->port, LONG_COUNT);
	uint32_t generation = reload(s, board);

	expect_fair(s, board, generation);
	disconnect_all(old, LONG_COUNT);
	board_close(&board);
	server_end(&s);
}
