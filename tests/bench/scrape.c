/* scrape.c: what a scrape costs when all 64 slots have a worker and every measure has values: writes the exposition again and again and prints one JSON
 * line with the time and the bytes of one. Started by bench.mjs; needs no server, as the exposition is a function of the scoreboard. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/metrics.h"

#define ROUTES 90 /* about as many as the product has */
#define MODELS 4
#define TOOLS  16
#define ROUNDS 30

static void fill_slot(struct scoreboard *board, int number)
{
	struct scoreboard_slot *slot = &board->slots[number];
	uint64_t *words = (uint64_t *)(void *)&board->measures[number];

	atomic_store(&slot->pid, 1000 + number);
	atomic_store(&slot->epoch, (uint64_t)number + 1);
	atomic_store(&slot->state, WORKER_READY);
	atomic_store(&slot->heartbeat_us, clock_monotonic_us());
	atomic_store(&slot->counters.requests, 1000);
	for (size_t i = 0; i < sizeof board->measures[number] / sizeof *words; i++)
		words[i] = 2; /* even: no exemplar is being written */
}

static void claim(struct scoreboard_name *names, int count, const char *kind, const char *stem, int number)
{
	char name[64];

	(void)snprintf(name, sizeof name, "%s%d", stem, number);
	must(scoreboard_claim(names, count, kind, name) > 0);
}

int main(void)
{
	struct scoreboard *board;
	struct buffer out;
	int64_t began, us;
	int fd;

	must(scoreboard_create(&fd, &board) == ERROR_NONE);
	for (int i = 0; i < ROUTES; i++)
		claim(board->routes, ROUTES_MAX, "GET", "/api/resources/{id}/part-", i);
	for (int i = 0; i < MODELS; i++)
		claim(board->models, MODELS_MAX, "", "model-", i);
	for (int i = 0; i < TOOLS; i++)
		claim(board->tools, TOOLS_MAX, "", "tool_", i);
	for (int i = 0; i < SLOTS_MAX; i++)
		fill_slot(board, i);
	buffer_init(&out);
	metrics_write(board, false, clock_monotonic_us(), clock_wall_us(), &out); /* maps the pages */
	began = clock_monotonic_us();
	for (int i = 0; i < ROUNDS; i++) {
		buffer_clear(&out);
		metrics_write(board, false, clock_monotonic_us(), clock_wall_us(), &out);
	}
	us = (clock_monotonic_us() - began) / ROUNDS;
	(void)printf("{\"us\":%lld,\"bytes\":%zu}\n", (long long)us, buffer_length(&out));
	buffer_fini(&out);
	scoreboard_unmap(&board);
	return 0;
}
