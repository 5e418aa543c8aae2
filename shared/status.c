/* status.c: scoreboard to JSON. Called by the supervisor's control socket and by a worker's admin listener. Numbers that workers wrote are checked
 * against ranges, strings are bounded: a corrupt slot is shown as sick, it never hurts the reader. */
#include "config.h"
#include "shared/status.h"

#include <inttypes.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/json.h"

#define COUNT_SANE          10000000u /* more connections, streams or queries than any process can hold */
#define LAG_SANE_US         (INT64_C(86400) * 1000000)
#define NUMBER_SANE         (INT64_C(1) << 50)
#define PID_SANE            4194304 /* the kernel's own limit, PID_MAX_LIMIT */
#define BREAKER_MODEL_BYTES 64

static const char *word(const char *const words[], size_t count, uint32_t index)
{
	return index < count ? words[index] : "unknown";
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* Each member but an object's first begins with a comma: `name` is written with whatever stands before it. */
static void put_number(struct buffer *out, const char *name, int64_t number)
{
	buffer_append_string(out, name);
	buffer_append_number(out, number);
}

static void put_unsigned(struct buffer *out, const char *name, uint64_t number)
{
	buffer_printf(out, "%s%" PRIu64, name, number);
}

/* `room`: size of the array that holds the string, whose NUL may be missing. */
static void put_string(struct buffer *out, const char *name, const char *string, size_t room)
{
	buffer_append_string(out, name);
	json_write_string(out, text_span(string, strnlen(string, room)));
}

static void put_word(struct buffer *out, const char *name, const char *string)
{
	put_string(out, name, string, strlen(string));
}

static void put_bool(struct buffer *out, const char *name, bool is_so)
{
	buffer_append_string(out, name);
	buffer_append_string(out, is_so ? "true" : "false");
}

/* A time of day, or null for 0 and for what no clock says. */
static void put_time(struct buffer *out, const char *name, int64_t wall_us)
{
	char time[CLOCK_RFC3339_BYTES];

	buffer_append_string(out, name);
	if (wall_us <= 0 || wall_us > INT64_C(253402300799000000)) {
		buffer_append_string(out, "null");
		return;
	}
	clock_format_rfc3339(wall_us, time);
	json_write_string(out, text_of(time));
}

/* Milliseconds since a monotonic time: 0 when it lies ahead. */
static int64_t age_ms(int64_t now_us, int64_t at_us)
{
	return at_us <= 0 || at_us >= now_us ? 0 : (now_us - at_us) / 1000;
}

static uint32_t sane_count(uint32_t count, bool *is_sick)
{
	if (count <= COUNT_SANE)
		return count;
	*is_sick = true;
	return 0;
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

static void put_last_request(struct buffer *out, const struct scoreboard_slot *slot, int64_t now_us)
{
	int64_t at_us = SCOREBOARD_GET(slot->last_request_us);

	if (at_us <= 0) {
		buffer_append_string(out, ",\"last_request\":null");
		return;
	}
	put_string(out, ",\"last_request\":{\"text\":", slot->last_request, sizeof slot->last_request);
	put_number(out, ",\"age_ms\":", age_ms(now_us, at_us));
	buffer_append_char(out, '}');
}

static void put_drain(struct buffer *out, const struct scoreboard_slot *slot, int64_t now_us)
{
	int64_t until_us = SCOREBOARD_GET(slot->drain_until_us);

	if (until_us == 0)
		buffer_append_string(out, ",\"drain_left_ms\":null");
	else
		put_number(out, ",\"drain_left_ms\":", until_us > now_us ? (until_us - now_us) / 1000 : 0);
}

static void put_load(struct buffer *out, const struct scoreboard_slot *slot, bool *is_sick)
{
	int64_t lag_us = SCOREBOARD_GET(slot->loop_lag_us);

	if (lag_us < 0 || lag_us > LAG_SANE_US) {
		*is_sick = true;
		lag_us = 0;
	}
	put_number(out, ",\"loop_lag_us\":", lag_us);
	put_number(out, ",\"connections\":", sane_count(SCOREBOARD_GET(slot->connections), is_sick));
	put_number(out, ",\"idle\":", sane_count(SCOREBOARD_GET(slot->connections_idle), is_sick));
	put_number(out, ",\"streams\":", sane_count(SCOREBOARD_GET(slot->streams), is_sick));
	put_number(out, ",\"turns\":", sane_count(SCOREBOARD_GET(slot->turns), is_sick));
	put_unsigned(out, ",\"requests\":", SCOREBOARD_GET(slot->counters.requests));
	put_unsigned(out, ",\"errors\":", SCOREBOARD_GET(slot->counters.requests_5xx));
	put_number(out, ",\"db\":{\"open\":", sane_count(SCOREBOARD_GET(slot->db_open), is_sick));
	put_number(out, ",\"idle\":", sane_count(SCOREBOARD_GET(slot->db_idle), is_sick));
	put_number(out, ",\"waiting\":", sane_count(SCOREBOARD_GET(slot->db_waiting), is_sick));
	buffer_append_char(out, '}');
}

static int64_t sane_number(int64_t number, bool *is_sick)
{
	if (number >= 0 && number <= NUMBER_SANE)
		return number;
	*is_sick = true;
	return 0;
}

static void put_process(struct buffer *out, const struct scoreboard_process *p, bool *is_sick)
{
	put_number(out, ",\"memory_bytes\":", sane_number(SCOREBOARD_GET(p->resident_bytes), is_sick));
	put_number(out, ",\"cpu_us\":", sane_number(SCOREBOARD_GET(p->cpu_us), is_sick));
	put_number(out, ",\"fds\":", sane_count(SCOREBOARD_GET(p->fds), is_sick));
}

static void put_worker(struct buffer *out, const struct scoreboard *board, int index, int64_t now_us)
{
	const struct scoreboard_slot *slot = &board->slots[index];
	int32_t pid = SCOREBOARD_GET(slot->pid);
	uint32_t state = SCOREBOARD_GET(slot->state);
	int64_t started_us = SCOREBOARD_GET(slot->started_at_us), ready_us = SCOREBOARD_GET(slot->ready_at_us);
	int64_t beat_us = SCOREBOARD_GET(slot->heartbeat_us);
	bool is_sick = pid < 0 || pid > PID_SANE || state > WORKER_EXITED || beat_us > now_us + LAG_SANE_US;

	put_number(out, "{\"slot\":", index);
	put_number(out, ",\"pid\":", pid < 0 || pid > PID_SANE ? 0 : pid);
	put_unsigned(out, ",\"generation\":", SCOREBOARD_GET(slot->generation));
	put_unsigned(out, ",\"epoch\":", SCOREBOARD_GET(slot->epoch));
	put_word(out, ",\"state\":", status_worker_state(state));
	put_number(out, ",\"age_ms\":", age_ms(now_us, started_us));
	put_number(out, ",\"ready_ms\":", age_ms(now_us, ready_us));
	put_number(out, ",\"heartbeat_age_ms\":", age_ms(now_us, beat_us));
	put_load(out, slot, &is_sick);
	put_last_request(out, slot, now_us);
	put_drain(out, slot, now_us);
	put_process(out, &slot->process, &is_sick);
	put_unsigned(out, ",\"log_dropped\":", SCOREBOARD_GET(slot->log_dropped));
	put_unsigned(out, ",\"restarts\":", SCOREBOARD_GET(board->pool.slot_restarts[index]));
	put_bool(out, ",\"is_sick\":", is_sick);
	buffer_append_char(out, '}');
}

static void put_workers(struct buffer *out, const struct scoreboard *board, int64_t now_us)
{
	bool is_first = true;

	buffer_append_string(out, ",\"workers\":[");
	for (int i = 0; i < SLOTS_MAX; i++) {
		if (SCOREBOARD_GET(board->slots[i].pid) == 0)
			continue;
		if (!is_first)
			buffer_append_char(out, ',');
		is_first = false;
		put_worker(out, board, i, now_us);
	}
	buffer_append_char(out, ']');
}

/* ---- the pool ------------------------------------------------------------------------------------------------ */

static void put_totals(struct buffer *out, const struct scoreboard_totals *t)
{
	const char *before = ",\"totals\":{";

#define X(name)                                                                                                        \
	buffer_append_string(out, before);                                                                             \
	put_unsigned(out, "\"" #name "\":", t->name);                                                                  \
	before = ",";
	SCOREBOARD_COUNTERS(X)
#undef X
	put_number(out, ",\"connections\":", t->connections);
	put_number(out, ",\"idle\":", t->connections_idle);
	put_number(out, ",\"streams\":", t->streams);
	put_number(out, ",\"turns\":", t->turns);
	buffer_append_char(out, '}');
}

static void put_restarts(struct buffer *out, const struct scoreboard_pool *pool)
{
	buffer_append_string(out, ",\"restarts\":{");
	for (uint32_t i = 0; i < DEATH_CAUSES; i++)
		buffer_printf(out, "%s\"%s\":%" PRIu64, i ? "," : "", status_death_cause(i),
			SCOREBOARD_GET(pool->restarts[i]));
	buffer_append_char(out, '}');
}

static void put_reloads(struct buffer *out, const struct scoreboard_pool *pool)
{
	int64_t at_us = SCOREBOARD_GET(pool->last_reload_at_us);

	buffer_append_string(out, ",\"reloads\":{");
	for (uint32_t i = RELOAD_NONE + 1; i < RELOAD_RESULTS; i++)
		buffer_printf(out, "\"%s\":%" PRIu64 ",", status_reload_result(i), SCOREBOARD_GET(pool->reloads[i]));
	if (at_us == 0) {
		buffer_append_string(out, "\"last\":null}");
		return;
	}
	put_word(out, "\"last\":{\"result\":", status_reload_result(SCOREBOARD_GET(pool->last_reload_result)));
	put_time(out, ",\"at\":", at_us);
	put_number(out, ",\"at_us\":", at_us);
	put_number(out, ",\"ms\":", SCOREBOARD_GET(pool->last_reload_ms));
	put_string(out, ",\"text\":", pool->last_reload_text, sizeof pool->last_reload_text);
	buffer_append_string(out, "}}");
}

static void put_upgrades(struct buffer *out, const struct scoreboard_pool *pool)
{
	int64_t at_us = SCOREBOARD_GET(pool->last_upgrade_at_us);

	put_unsigned(out, ",\"upgrades\":{\"done\":", SCOREBOARD_GET(pool->upgrades[1]));
	put_unsigned(out, ",\"failed\":", SCOREBOARD_GET(pool->upgrades[0]));
	if (at_us == 0) {
		buffer_append_string(out, ",\"last\":null}");
		return;
	}
	put_bool(out, ",\"last\":{\"done\":", SCOREBOARD_GET(pool->last_upgrade_done) == 1);
	put_time(out, ",\"at\":", at_us);
	put_number(out, ",\"at_us\":", at_us);
	put_string(out, ",\"text\":", pool->last_upgrade_text, sizeof pool->last_upgrade_text);
	buffer_append_string(out, "}}");
}

static void put_service(struct buffer *out, const struct scoreboard_service *s)
{
	bool is_sick = false;

	put_number(out,
		",\"supervisor\":{\"memory_bytes\":", sane_number(SCOREBOARD_GET(s->process.resident_bytes), &is_sick));
	put_number(out, ",\"cpu_us\":", sane_number(SCOREBOARD_GET(s->process.cpu_us), &is_sick));
	put_number(out, ",\"fds\":", SCOREBOARD_GET(s->process.fds));
	put_unsigned(out, ",\"log_dropped\":", SCOREBOARD_GET(s->log_dropped));
	put_number(out, "},\"accept_queue\":{\"length\":", SCOREBOARD_GET(s->accept_queue));
	put_number(out, ",\"limit\":", SCOREBOARD_GET(s->accept_queue_max));
	put_number(out, "},\"respawning\":{\"slots\":", SCOREBOARD_GET(s->waiting));
	put_number(out, ",\"longest_ms\":", SCOREBOARD_GET(s->waiting_longest_ms));
	buffer_append_char(out, '}');
}

/* ---- what was ------------------------------------------------------------------------------------------------ */

static void put_death(struct buffer *out, const struct scoreboard_death *d)
{
	put_time(out, "{\"at\":", SCOREBOARD_GET(d->at_us));
	put_number(out, ",\"slot\":", d->slot < SLOTS_MAX ? d->slot : 0);
	put_number(out, ",\"pid\":", d->pid);
	put_unsigned(out, ",\"generation\":", d->generation);
	put_unsigned(out, ",\"epoch\":", d->epoch);
	put_word(out, ",\"cause\":", status_death_cause(d->cause));
	put_number(out, ",\"exit_code\":", d->exit_code > 128 ? 0 : d->exit_code);
	put_number(out, ",\"signal\":", d->exit_code > 128 ? d->exit_code - 128 : 0);
	put_word(out, ",\"signal_name\":",
		d->exit_code > 128 && sigabbrev_np(d->exit_code - 128) ? sigabbrev_np(d->exit_code - 128) : "");
	put_bool(out, ",\"has_core\":", d->has_core == 1);
	put_word(out, ",\"state\":", status_worker_state(d->state));
	put_number(out, ",\"lived_ms\":", d->lived_ms);
	put_number(out, ",\"ready_ms\":", d->ready_ms);
	put_number(out, ",\"heartbeat_age_ms\":", d->heartbeat_age_us / 1000);
	put_number(out, ",\"loop_lag_us\":", d->loop_lag_us);
	put_number(out, ",\"connections\":", d->connections);
	put_number(out, ",\"streams\":", d->streams);
	put_number(out, ",\"turns\":", d->turns);
	put_string(out, ",\"last_request\":", d->last_request, sizeof d->last_request);
	buffer_append_char(out, '}');
}

static void put_deaths(struct buffer *out, const struct scoreboard_pool *pool)
{
	uint32_t next = SCOREBOARD_GET(pool->deaths_next);
	bool is_first = true;

	buffer_append_string(out, ",\"deaths\":[");
	for (uint32_t i = 1; i <= DEATHS_KEPT; i++) {
		const struct scoreboard_death *death = &pool->deaths[(next + DEATHS_KEPT - i) % DEATHS_KEPT];

		if (SCOREBOARD_GET(death->at_us) == 0)
			continue;
		if (!is_first)
			buffer_append_char(out, ',');
		is_first = false;
		put_death(out, death);
	}
	buffer_append_char(out, ']');
}

static void put_breaker(struct buffer *out, const struct scoreboard_breaker *b, int64_t now_ms)
{
	static const char *const reasons[] = { "failures", "quota", "credentials", "model gone" };
	int64_t until_ms = SCOREBOARD_GET(b->open_until_ms);
	bool is_half = until_ms != 0 && (until_ms <= now_ms || SCOREBOARD_GET(b->probing) == 1);

	put_string(out, "{\"model\":", b->model, BREAKER_MODEL_BYTES);
	put_word(out, ",\"state\":", until_ms == 0 ? "closed" : is_half ? "half" : "open");
	put_word(out, ",\"reason\":", until_ms == 0 ? "" : word(reasons, COUNT_OF(reasons), SCOREBOARD_GET(b->reason)));
	put_unsigned(out, ",\"failures\":", SCOREBOARD_GET(b->failures));
	put_number(out, ",\"left_ms\":", until_ms > now_ms ? until_ms - now_ms : 0);
	buffer_append_char(out, '}');
}

static void put_breakers(struct buffer *out, const struct scoreboard *board, int64_t now_us)
{
	bool is_first = true;

	buffer_append_string(out, ",\"breakers\":[");
	for (int i = 0; i < BREAKERS_MAX; i++) {
		if (SCOREBOARD_GET(board->breakers[i].name_hash) == 0)
			continue;
		if (!is_first)
			buffer_append_char(out, ',');
		is_first = false;
		put_breaker(out, &board->breakers[i], now_us / 1000);
	}
	buffer_append_char(out, ']');
}

static void put_samples(struct buffer *out, const struct scoreboard_pool *pool)
{
	uint32_t next = SCOREBOARD_GET(pool->samples_next);
	bool is_first = true;

	put_number(out, ",\"sample_s\":", HISTORY_INTERVAL_S);
	buffer_append_string(out, ",\"samples\":[");
	for (uint32_t i = 0; i < HISTORY_ROWS; i++) {
		const struct scoreboard_sample *s = &pool->samples[(next + i) % HISTORY_ROWS];
		int64_t at_us = SCOREBOARD_GET(s->at_us);

		if (at_us == 0)
			continue;
		buffer_printf(out,
			"%s{\"at_us\":%" PRId64 ",\"requests\":%u,\"errors\":%u,\"p50_us\":%u,\"p99_us\":%u,"
			"\"connections\":%u,\"streams\":%u,\"turns\":%u,\"workers_ready\":%u}",
			is_first ? "" : ",", at_us, s->requests, s->errors, s->p50_us, s->p99_us, s->connections,
			s->streams, s->turns, s->workers_ready);
		is_first = false;
	}
	buffer_append_char(out, ']');
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

/* The phases run in the workers, side by side: the pool is as far as its last worker. */
static const char *stop_phase(const struct scoreboard *board, int *left_out)
{
	bool is_ready = false, is_draining = false;

	for (int i = 0; i < SLOTS_MAX; i++) {
		uint32_t state = SCOREBOARD_GET(board->slots[i].state);

		if (SCOREBOARD_GET(board->slots[i].pid) == 0)
			continue;
		(*left_out)++;
		is_ready |= state == WORKER_READY || state == WORKER_BOOT;
		is_draining |= state == WORKER_DRAINING;
	}
	return is_ready ? "quiesce" : is_draining ? "sockets" : *left_out > 0 ? "database" : "report";
}

static void put_stop(struct buffer *out, const struct scoreboard *board, int64_t now_us)
{
	int64_t at_us = SCOREBOARD_GET(board->stop_at_us);
	int left = 0;

	if (at_us == 0) {
		buffer_append_string(out, ",\"stop\":null");
		return;
	}
	put_word(out, ",\"stop\":{\"phase\":", stop_phase(board, &left));
	put_number(out, ",\"elapsed_ms\":", age_ms(now_us, at_us));
	put_bool(out, ",\"is_fast\":", SCOREBOARD_GET(board->stop_fast) == 1);
	put_number(out, ",\"workers_left\":", left);
	buffer_append_char(out, '}');
}

static void put_pool(struct buffer *out, const struct scoreboard *board, int64_t now_us, uint32_t ready)
{
	static const char *const gemini[] = { "unknown", "good", "failing", "credentials refused" };
	const struct scoreboard_pool *pool = &board->pool;
	int64_t started_us = SCOREBOARD_GET(board->started_at_us), wall_us = clock_wall_us();

	put_string(out, "{\"version\":", pool->version, sizeof pool->version);
	put_string(out, ",\"url\":", pool->url, sizeof pool->url);
	put_string(out, ",\"admin_url\":", pool->admin_url, sizeof pool->admin_url);
	put_number(out, ",\"pid\":", SCOREBOARD_GET(pool->supervisor_pid));
	put_number(out, ",\"uptime_s\":", wall_us > started_us ? (wall_us - started_us) / 1000000 : 0);
	put_time(out, ",\"started_at\":", started_us);
	put_time(out, ",\"now\":", wall_us);
	put_word(out, ",\"state\":", status_pool_state(SCOREBOARD_GET(pool->state)));
	put_number(out, ",\"generation\":", SCOREBOARD_GET(pool->generation));
	put_number(out, ",\"wanted\":", SCOREBOARD_GET(pool->wanted));
	put_number(out, ",\"ready\":", ready);
	put_bool(out, ",\"is_drained\":", SCOREBOARD_GET(pool->is_drained) == 1);
	put_number(out, ",\"supervisor_age_ms\":", age_ms(now_us, SCOREBOARD_GET(pool->supervisor_beat_us)));
	put_word(out, ",\"gemini\":", word(gemini, COUNT_OF(gemini), SCOREBOARD_GET(board->gemini_state)));
	put_number(out, ",\"lost\":", SCOREBOARD_GET(board->lost));
}

void status_write_json(const struct scoreboard *board, int64_t now_us, struct buffer *out)
{
	struct scoreboard_totals totals = scoreboard_total(board);

	put_pool(out, board, now_us, totals.workers_ready);
	put_workers(out, board, now_us);
	put_totals(out, &totals);
	put_service(out, &board->service);
	put_restarts(out, &board->pool);
	put_reloads(out, &board->pool);
	put_upgrades(out, &board->pool);
	put_deaths(out, &board->pool);
	put_breakers(out, board, now_us);
	put_samples(out, &board->pool);
	put_stop(out, board, now_us);
	buffer_append_char(out, '}');
}
