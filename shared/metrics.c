/* metrics.c: THE table of metrics made from metrics.def, the document as a whole, and the writers of what concerns the service, its workers, reloads and
 * upgrades. Called through metrics.h. The writers of the work that is done are in metrics_work.c. */
#include "config.h"
#include "shared/metrics.h"

#include <stdio.h>
#include <string.h>

#include "shared/metrics_view.h"
#include "shared/must.h"
#include "shared/status.h"

#define SECOND INT64_C(1000000)

static const struct {
	struct metric metric;
	void (*write)(struct exposition *x, const struct view *v);
} rows[] = {
#define METRIC(name, type, unit, labels, help)   { { "renovationd_" #name, type, unit, labels, help }, write_##name },
#define STANDARD(name, type, unit, labels, help) { { #name, type, unit, labels, help }, write_##name },
#include "shared/metrics.def"
#undef METRIC
#undef STANDARD
};

void metrics_write(
	const struct scoreboard *board, bool is_openmetrics, int64_t now_us, int64_t wall_us, struct buffer *out)
{
	struct scoreboard_measures *m = scoreboard_measure(board);
	struct exposition x = { .out = out, .is_openmetrics = is_openmetrics, .wall_offset_us = wall_us - now_us };
	struct view v = { .board = board, .m = m, .now_us = now_us, .wall_us = wall_us };

	v.totals = scoreboard_total(board);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		exposition_family(&x, &rows[i].metric);
		rows[i].write(&x, &v);
	}
	exposition_end(&x);
	free(m);
}

/* ---- the service --------------------------------------------------------------------------------------------- */

void write_build(struct exposition *x, const struct view *v)
{
	const char *version = v->board->pool.version[0] != '\0' ? v->board->pool.version : PACKAGE_VERSION;

	write_labelled(x, version, 1);
}

static int64_t sum_process(const struct view *v, int64_t (*of)(const struct scoreboard_process *p))
{
	int64_t sum = of(&v->board->service.process);

	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(v->board->slots[i].pid) != 0)
			sum += of(&v->board->slots[i].process);
	return sum;
}

/* A process writes its own; nonsense counts as nothing. */
static int64_t resident_of(const struct scoreboard_process *p)
{
	int64_t bytes = SCOREBOARD_GET(p->resident_bytes);

	return bytes > 0 && bytes < INT64_C(1) << 50 ? bytes : 0;
}

static int64_t fds_of(const struct scoreboard_process *p)
{
	return SCOREBOARD_GET(p->fds);
}

static int64_t fds_max_of(const struct scoreboard_process *p)
{
	return SCOREBOARD_GET(p->fds_max);
}

MICRO(uptime_seconds, v->wall_us - SCOREBOARD_GET(v->board->started_at_us))
MICRO(process_cpu_seconds, (int64_t)v->totals.cpu_us + SCOREBOARD_GET(v->board->service.process.cpu_us))
NUMBER(process_resident_memory_bytes, sum_process(v, resident_of))
NUMBER(process_open_fds, sum_process(v, fds_of))
NUMBER(process_max_fds, sum_process(v, fds_max_of))
MICRO(process_start_time_seconds, SCOREBOARD_GET(v->board->started_at_us))
NUMBER(serving, SCOREBOARD_GET(v->board->is_serving))
MICRO(supervisor_heartbeat_age_seconds, age_us(v, SCOREBOARD_GET(v->board->pool.supervisor_beat_us)))
NUMBER(supervisor_resident_memory_bytes, resident_of(&v->board->service.process))

void write_pool_state(struct exposition *x, const struct view *v)
{
	uint32_t now = SCOREBOARD_GET(v->board->pool.state);

	for (uint32_t state = 0; state <= POOL_STOPPING; state++)
		write_labelled(x, status_pool_state(state), state == now);
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

void write_workers(struct exposition *x, const struct view *v)
{
	uint64_t counts[WORKER_EXITED + 1] = { 0 };

	for (int i = 0; i < SLOTS_MAX; i++) {
		uint32_t state = SCOREBOARD_GET(v->board->slots[i].state);

		if (SCOREBOARD_GET(v->board->slots[i].pid) != 0 && state <= WORKER_EXITED)
			counts[state]++;
	}
	for (uint32_t state = WORKER_BOOT; state <= WORKER_EXITED; state++)
		write_labelled(x, status_worker_state(state), counts[state]);
}

/* A sample for each slot that is in use. */
static void each_worker(struct exposition *x, const struct view *v,
	void (*write)(struct exposition *x, const struct view *v, const struct scoreboard_slot *slot))
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		char number[12];
		const char *label = number;

		if (SCOREBOARD_GET(v->board->slots[i].pid) == 0)
			continue;
		(void)snprintf(number, sizeof number, "%d", i);
		exposition_labels(x, &label, 1);
		write(x, v, &v->board->slots[i]);
	}
}

/* The writer of a family with one sample for each worker. */
#define WORKER(name, expression)                                                                                       \
	static void write_one_##name(struct exposition *x, const struct view *v, const struct scoreboard_slot *slot)   \
	{                                                                                                              \
		(void)v;                                                                                               \
		expression;                                                                                            \
	}                                                                                                              \
	void write_##name(struct exposition *x, const struct view *v)                                                  \
	{                                                                                                              \
		each_worker(x, v, write_one_##name);                                                                   \
	}

static int64_t fds_millionths(const struct scoreboard_process *p)
{
	uint32_t most = SCOREBOARD_GET(p->fds_max);

	return most > 0 ? SCOREBOARD_GET(p->fds) * SECOND / most : 0;
}

static int64_t drain_left_us(const struct view *v, const struct scoreboard_slot *slot)
{
	int64_t until_us = SCOREBOARD_GET(slot->drain_until_us);

	return until_us > v->now_us ? until_us - v->now_us : 0;
}

WORKER(worker_generation, exposition_number(x, SCOREBOARD_GET(slot->generation)))
WORKER(worker_uptime_seconds, exposition_micro(x, age_us(v, SCOREBOARD_GET(slot->started_at_us))))
WORKER(worker_heartbeat_age_seconds, exposition_micro(x, age_us(v, SCOREBOARD_GET(slot->heartbeat_us))))
WORKER(worker_loop_lag_seconds, exposition_micro(x, SCOREBOARD_GET(slot->loop_lag_us)))
WORKER(worker_drain_left_seconds, exposition_micro(x, drain_left_us(v, slot)))
WORKER(worker_connections, exposition_number(x, SCOREBOARD_GET(slot->connections)))
WORKER(worker_streams, exposition_number(x, SCOREBOARD_GET(slot->streams)))
WORKER(worker_resident_memory_bytes, exposition_number(x, (uint64_t)resident_of(&slot->process)))
WORKER(worker_open_fds_ratio, exposition_micro(x, fds_millionths(&slot->process)))

static int64_t lag_of(const struct view *v, const struct scoreboard_slot *slot)
{
	(void)v;
	return SCOREBOARD_GET(slot->loop_lag_us);
}

static int64_t beat_age_of(const struct view *v, const struct scoreboard_slot *slot)
{
	return age_us(v, SCOREBOARD_GET(slot->heartbeat_us));
}

static int64_t largest(const struct view *v, int64_t (*of)(const struct view *v, const struct scoreboard_slot *slot))
{
	int64_t most = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(v->board->slots[i].pid) != 0 && of(v, &v->board->slots[i]) > most)
			most = of(v, &v->board->slots[i]);
	return most;
}

NUMBER(workers_wanted, SCOREBOARD_GET(v->board->pool.wanted))
NUMBER(generation, SCOREBOARD_GET(v->board->pool.generation))
MICRO(loop_lag_max_seconds, largest(v, lag_of))
MICRO(heartbeat_age_max_seconds, largest(v, beat_age_of))
NUMBER(workers_waiting, SCOREBOARD_GET(v->board->service.waiting))
MICRO(worker_backoff_seconds, SCOREBOARD_GET(v->board->service.waiting_longest_ms) * 1000)
NUMBER(worker_close_forced, SCOREBOARD_GET(v->board->service.phase_forced))
NUMBER(work_lost, SCOREBOARD_GET(v->board->lost))

void write_worker_restarts(struct exposition *x, const struct view *v)
{
	for (uint32_t cause = 0; cause < DEATH_CAUSES; cause++)
		write_labelled(x, status_death_cause(cause), SCOREBOARD_GET(v->board->pool.restarts[cause]));
}

void write_worker_close_duration_seconds(struct exposition *x, const struct view *v)
{
	const struct scoreboard_service *service = &v->board->service;

	for (int i = 0; i < STOP_PHASES_MAX; i++) {
		const char *resource = service->phases[i].name;

		if (i == MEASURE_UNNAMED || !scoreboard_is_named(&service->phases[i]))
			continue;
		exposition_labels(x, &resource, 1);
		exposition_histogram(x, &service->phase_seconds[i], &histogram_requests, NULL);
	}
}

/* ---- reload and upgrade -------------------------------------------------------------------------------------- */

static uint64_t reload_failures(const struct view *v)
{
	return SCOREBOARD_GET(v->board->pool.reloads[RELOAD_REJECTED]) +
	       SCOREBOARD_GET(v->board->pool.reloads[RELOAD_FAILED]);
}

static bool has_reloaded(const struct view *v)
{
	uint32_t result = SCOREBOARD_GET(v->board->pool.last_reload_result);

	return result != RELOAD_REJECTED && result != RELOAD_FAILED;
}

void write_reloads(struct exposition *x, const struct view *v)
{
	for (uint32_t result = RELOAD_LIVE; result < RELOAD_RESULTS; result++)
		write_labelled(x, status_reload_result(result), SCOREBOARD_GET(v->board->pool.reloads[result]));
}

void write_upgrades(struct exposition *x, const struct view *v)
{
	write_labelled(x, "failed", SCOREBOARD_GET(v->board->pool.upgrades[0]));
	write_labelled(x, "done", SCOREBOARD_GET(v->board->pool.upgrades[1]));
}

NUMBER(reload_failures, reload_failures(v))
NUMBER(last_reload_success, has_reloaded(v))
MICRO(last_reload_timestamp_seconds, SCOREBOARD_GET(v->board->pool.last_reload_at_us))
MICRO(last_reload_duration_seconds, SCOREBOARD_GET(v->board->pool.last_reload_ms) * 1000)
NUMBER(last_upgrade_success,
	SCOREBOARD_GET(v->board->pool.last_upgrade_at_us) == 0 || SCOREBOARD_GET(v->board->pool.last_upgrade_done) == 1)
MICRO(last_upgrade_timestamp_seconds, SCOREBOARD_GET(v->board->pool.last_upgrade_at_us))
