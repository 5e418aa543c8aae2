/* history.c: what the pool did in the last 15 minutes, a row every few seconds, for the operations page; and the supervisor's own heartbeat. Opened by main.c.
 * The rows are in the scoreboard and outlive an upgrade. What they count begins anew with the process, so that the first row after it is
 * of its own time alone. The operator's own requests are left out: to look must not change what is seen. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <string.h>

#include "shared/clock.h"

#define BEAT_S 1

struct moment {
	uint64_t requests;              /* answered since the pool began */
	uint64_t errors;                /* of these 5xx */
	struct histogram_total seconds; /* how long they took */
};

struct history {
	struct event *timer;  /* each BEAT_S */
	struct moment before; /* end of the last row */
	int64_t due_us;       /* monotonic: end of the next */
};

static bool is_operators(const struct scoreboard_name *route)
{
	return scoreboard_is_named(route) &&
	       (strncmp(route->name, "/admin", 6) == 0 || strcmp(route->name, "/metrics") == 0);
}

static struct moment look(const struct scoreboard *board)
{
	struct scoreboard_measures *measures = scoreboard_measure(board);
	struct moment now = { .requests = 0 };

	for (int i = 0; i < ROUTES_MAX; i++) {
		const struct scoreboard_route *route = &measures->routes[i];

		if (is_operators(&board->routes[i]))
			continue;
		histogram_add(&now.seconds, &route->seconds);
		now.errors += SCOREBOARD_GET(route->statuses[3]);
	}
	now.requests = now.seconds.count;
	free(measures);
	return now;
}

static uint32_t grown(uint64_t now, uint64_t before)
{
	uint64_t by = now > before ? now - before : 0;

	return by > UINT32_MAX ? UINT32_MAX : (uint32_t)by;
}

static uint32_t whole(double us)
{
	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)(us + 0.5);
}

static void write_row(struct supervisor *s)
{
	struct scoreboard_pool *pool = &s->board->pool;
	uint32_t next = SCOREBOARD_GET(pool->samples_next);
	struct scoreboard_sample *row = &pool->samples[next % HISTORY_ROWS];
	struct moment now = look(s->board);
	struct histogram_total span = histogram_since(&now.seconds, &s->history->before.seconds);
	struct scoreboard_totals totals = scoreboard_total(s->board);

	/* Who reads meanwhile sees an empty row, not half of two. */
	SCOREBOARD_SET(row->at_us, 0);
	atomic_thread_fence(memory_order_release);
	row->requests = grown(now.requests, s->history->before.requests);
	row->errors = grown(now.errors, s->history->before.errors);
	row->p50_us = whole(histogram_quantile(&span, &histogram_requests, 0.5));
	row->p99_us = whole(histogram_quantile(&span, &histogram_requests, 0.99));
	row->connections = totals.connections;
	row->streams = totals.streams;
	row->turns = totals.turns;
	row->workers_ready = totals.workers_ready;
	atomic_store_explicit(&row->at_us, clock_wall_us(), memory_order_release);
	SCOREBOARD_SET(pool->samples_next, (next + 1) % HISTORY_ROWS);
	s->history->before = now;
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct history *h = s->history;
	int64_t now_us = clock_monotonic_us();

	(void)fd;
	(void)what;
	SCOREBOARD_SET(s->board->pool.supervisor_beat_us, now_us);
	/* Half a beat early is nearer than half a beat late. */
	if (now_us + BEAT_S * INT64_C(500000) < h->due_us)
		return;
	write_row(s);
	h->due_us += HISTORY_INTERVAL_S * INT64_C(1000000);
	/* After a pause of the whole machine the rhythm begins anew. */
	if (h->due_us <= now_us)
		h->due_us = now_us + HISTORY_INTERVAL_S * INT64_C(1000000);
}

enum error history_open(struct supervisor *s)
{
	struct history *h = must_alloc(sizeof *h);

	s->history = h;
	h->before = look(s->board);
	h->due_us = clock_monotonic_us() + HISTORY_INTERVAL_S * INT64_C(1000000);
	SCOREBOARD_SET(s->board->pool.supervisor_beat_us, clock_monotonic_us());
	h->timer = event_new(s->base, -1, EV_PERSIST, on_beat, s);
	if (h->timer == NULL || event_add(h->timer, &(struct timeval) { .tv_sec = BEAT_S }) != 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

void history_close(struct supervisor *s)
{
	if (s->history == NULL)
		return;
	if (s->history->timer != NULL)
		event_free(s->history->timer);
	free(s->history);
	s->history = NULL;
}
