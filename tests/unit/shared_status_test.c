/* shared_status_test.c: the scoreboard as JSON: what is in it is shown, what no healthy worker writes is not believed, and it is strict JSON always. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/json.h"
#include "shared/status.h"

#define NOW_US  INT64_C(1000000000)
#define WALL_US INT64_C(1795000000000000)

static struct scoreboard *board;
static int fd = -1;
static struct buffer json;
static struct arena arena;

static void prepare(void)
{
	cr_assert_eq(scoreboard_create(&fd, &board), ERROR_NONE);
	buffer_init(&json);
	arena_init(&arena);
	clock_freeze(NOW_US, WALL_US);
}

static void clean(void)
{
	clock_thaw();
	arena_fini(&arena);
	buffer_fini(&json);
	scoreboard_unmap(&board);
	close(fd);
}

TestSuite(status, .init = prepare, .fini = clean);

static const struct json_value *document(void)
{
	struct json_value *root = NULL;
	const char *problem = "";

	buffer_clear(&json);
	status_write_json(board, NOW_US, &json);
	cr_assert_eq(json_parse(&arena, buffer_text(&json), &root, &problem), ERROR_NONE, "%s in %.*s", problem,
		TEXT_ARGS(buffer_text(&json)));
	return root;
}

/* The value's own bytes at a path of members. */
static const char *at(const struct json_value *value, const char *a, const char *b, const char *c)
{
	const char *names[] = { a, b, c };

	for (int i = 0; i < 3 && names[i] != NULL; i++) {
		value = json_find(value, names[i]);
		cr_assert_not_null(value, "%s is missing in %.*s", names[i], TEXT_ARGS(buffer_text(&json)));
	}
	return arena_strndup(&arena, value->raw.bytes, value->raw.length);
}

Test(status, an_empty_board_is_a_whole_document)
{
	const struct json_value *root = document();

	cr_expect_str_eq(at(root, "state", NULL, NULL), "\"starting\"");
	cr_expect_str_eq(at(root, "workers", NULL, NULL), "[]");
	cr_expect_str_eq(at(root, "deaths", NULL, NULL), "[]");
	cr_expect_str_eq(at(root, "reloads", "last", NULL), "null");
	cr_expect_str_eq(at(root, "upgrades", "last", NULL), "null");
	cr_expect_str_eq(at(root, "stop", NULL, NULL), "null");
}

Test(status, a_worker_is_shown_with_what_it_does)
{
	struct scoreboard_slot *slot = &board->slots[3];

	slot->pid = 4711;
	slot->generation = 2;
	slot->epoch = 9;
	slot->state = WORKER_DRAINING;
	slot->started_at_us = NOW_US - 5000000;
	slot->heartbeat_us = NOW_US - 250000;
	slot->loop_lag_us = 77;
	slot->connections = 12;
	slot->db_waiting = 4;
	slot->drain_until_us = NOW_US + 3000000;
	slot->counters.requests = 100;
	slot->last_request_us = NOW_US - 1000;
	memcpy(slot->last_request, "GET /api/sessions", 18);
	board->retired.requests = 11;

	const struct json_value *root = document(), *worker = json_find(root, "workers")->first;

	cr_expect_str_eq(at(worker, "slot", NULL, NULL), "3");
	cr_expect_str_eq(at(worker, "pid", NULL, NULL), "4711");
	cr_expect_str_eq(at(worker, "state", NULL, NULL), "\"draining\"");
	cr_expect_str_eq(at(worker, "age_ms", NULL, NULL), "5000");
	cr_expect_str_eq(at(worker, "heartbeat_age_ms", NULL, NULL), "250");
	cr_expect_str_eq(at(worker, "connections", NULL, NULL), "12");
	cr_expect_str_eq(at(worker, "db", "waiting", NULL), "4");
	cr_expect_str_eq(at(worker, "drain_left_ms", NULL, NULL), "3000");
	cr_expect_str_eq(at(worker, "last_request", "text", NULL), "\"GET /api/sessions\"");
	cr_expect_str_eq(at(worker, "is_sick", NULL, NULL), "false");
	cr_expect_str_eq(at(root, "totals", "requests", NULL), "111");
}

Test(status, a_corrupt_slot_is_sick_and_hurts_nobody)
{
	memset(&board->slots[0], 0xff, sizeof board->slots[0]);
	memset(&board->slots[1], 0x7f, sizeof board->slots[1]);
	memset(board->pool.last_reload_text, 0xe2, sizeof board->pool.last_reload_text);
	board->pool.last_reload_at_us = INT64_MAX;
	board->pool.last_reload_result = 77;
	board->pool.state = 99;
	board->pool.deaths_next = UINT32_MAX;
	board->pool.samples_next = UINT32_MAX;
	memset(&board->pool.deaths[0], 0xff, sizeof board->pool.deaths[0]);
	memset(&board->breakers[0], 0xff, sizeof board->breakers[0]);

	const struct json_value *root = document(), *worker = json_find(root, "workers")->first;

	cr_expect_eq(json_find(root, "workers")->count, 2);
	for (; worker != NULL; worker = worker->next) {
		cr_expect_str_eq(at(worker, "is_sick", NULL, NULL), "true");
		cr_expect_str_eq(at(worker, "state", NULL, NULL), "\"unknown\"");
		cr_expect_str_eq(at(worker, "connections", NULL, NULL), "0");
	}
	cr_expect_str_eq(at(root, "state", NULL, NULL), "\"unknown\"");
	cr_expect_str_eq(at(root, "reloads", "last", "result"), "\"unknown\"");
	cr_expect_str_eq(at(root, "reloads", "last", "at"), "null");
}

Test(status, deaths_come_newest_first_and_samples_oldest_first)
{
	struct scoreboard_pool *pool = &board->pool;

	for (int i = 0; i < DEATHS_KEPT + 3; i++) {
		struct scoreboard_death *death = &pool->deaths[i % DEATHS_KEPT];

		death->at_us = WALL_US + i;
		death->epoch = (uint64_t)i;
		death->cause = DEATH_SIGNAL;
		death->exit_code = 128 + 11;
		pool->deaths_next = (uint32_t)(i + 1) % DEATHS_KEPT;
	}
	for (int i = 0; i < 2; i++) {
		pool->samples[i].at_us = WALL_US + i;
		pool->samples[i].requests = (uint32_t)i;
		pool->samples_next = (uint32_t)i + 1;
	}

	const struct json_value *root = document(), *death = json_find(root, "deaths"), *samples;

	cr_expect_eq(death->count, DEATHS_KEPT);
	cr_expect_str_eq(at(death->first, "epoch", NULL, NULL), "18");
	cr_expect_str_eq(at(death->first, "signal_name", NULL, NULL), "\"SEGV\"");
	cr_expect_str_eq(at(death->first, "cause", NULL, NULL), "\"signal\"");
	samples = json_find(root, "samples");
	cr_expect_eq(samples->count, 2);
	cr_expect_str_eq(at(samples->first, "requests", NULL, NULL), "0");
	cr_expect_str_eq(at(samples->first->next, "requests", NULL, NULL), "1");
}

Test(status, breakers_say_why_and_how_long)
{
	struct scoreboard_breaker *breaker = board->breakers;

	breaker[0].name_hash = 1;
	memcpy(breaker[0].model, "closed-model", 13);
	breaker[1].name_hash = 2;
	breaker[1].open_until_ms = NOW_US / 1000 + 1500;
	breaker[1].reason = 1;
	breaker[2].name_hash = 3;
	breaker[2].open_until_ms = NOW_US / 1000 - 1;

	const struct json_value *one = json_find(document(), "breakers")->first;

	cr_expect_str_eq(at(one, "model", NULL, NULL), "\"closed-model\"");
	cr_expect_str_eq(at(one, "state", NULL, NULL), "\"closed\"");
	one = one->next;
	cr_expect_str_eq(at(one, "state", NULL, NULL), "\"open\"");
	cr_expect_str_eq(at(one, "reason", NULL, NULL), "\"quota\"");
	cr_expect_str_eq(at(one, "left_ms", NULL, NULL), "1500");
	cr_expect_str_eq(at(one->next, "state", NULL, NULL), "\"half\"");
}

Test(status, a_stop_is_as_far_as_its_last_worker)
{
	static const struct {
		uint32_t one, two; /* states of the two workers */
		const char *phase; /* of the pool */
	} rows[] = {
		{ WORKER_DRAINING, WORKER_READY, "\"quiesce\"" },
		{ WORKER_DRAINING, WORKER_CLOSING, "\"sockets\"" },
		{ WORKER_CLOSING, WORKER_CLOSING, "\"database\"" },
	};

	board->pool.state = POOL_STOPPING;
	board->stop_at_us = NOW_US - 2000000;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		board->slots[0].pid = board->slots[1].pid = 17;
		board->slots[0].state = rows[i].one;
		board->slots[1].state = rows[i].two;
		cr_expect_str_eq(at(document(), "stop", "phase", NULL), rows[i].phase);
	}
	board->slots[0].pid = board->slots[1].pid = 0;
	cr_expect_str_eq(at(document(), "stop", "phase", NULL), "\"report\"");
	cr_expect_str_eq(at(document(), "stop", "elapsed_ms", NULL), "2000");
}
