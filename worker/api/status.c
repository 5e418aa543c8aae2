/* status.c: /health/status, the detailed picture for people and dashboards: this worker's memory and database pool, the workers of the pool
 * from the scoreboard, and which features are on. Named by routes.c; asks nobody, so it also works while the database is down. */
#include "config.h"
#include "worker/api/health.h"

#include <stdio.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/json.h"
#include "worker/db/db.h"
#include "worker/gemini/provider.h"
#include "worker/http/response.h"

/* Resident bytes, from proc(5) statm. */
static long long resident_bytes(void)
{
	FILE *in = fopen("/proc/self/statm", "r");
	long long size = 0, resident = 0;

	if (in == NULL)
		return 0;
	if (fscanf(in, "%lld %lld", &size, &resident) != 2)
		resident = 0;
	(void)fclose(in);
	return resident * sysconf(_SC_PAGESIZE);
}

static void write_pool(struct buffer *out, const struct worker *w)
{
	struct db_stats s = db_stats(w->db);

	buffer_printf(out,
		"\"pool\":{\"size\":%d,\"readers\":%d,\"writers\":%d,\"open\":%d,\"idle\":%d,\"waiting\":%d,"
		"\"pending\":%d,"
		"\"isUp\":%s,"
		"\"reconnects\":%llu,\"queries\":%llu,\"errors\":%llu}",
		s.readers + s.writers, s.readers, s.writers, s.open, s.idle, s.waiting, s.pending,
		s.is_up ? "true" : "false", (unsigned long long)s.reconnects, (unsigned long long)s.queries,
		(unsigned long long)s.errors);
}

static const char *state_name(uint32_t state)
{
	switch ((enum worker_state)state) {
	case WORKER_NONE: return "none";
	case WORKER_BOOT: return "boot";
	case WORKER_READY: return "ready";
	case WORKER_DRAINING: return "draining";
	case WORKER_CLOSING: return "closing";
	case WORKER_EXITED: return "exited";
	}
	return "unknown";
}

static void write_workers(struct buffer *out, const struct worker *w)
{
	int64_t now_us = clock_monotonic_us();
	bool is_first = true;

	buffer_append_string(out, "\"workers\":[");
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *s = &w->board->slots[i];

		if (SCOREBOARD_GET(s->pid) == 0)
			continue;
		buffer_printf(out,
			"%s{\"slot\":%d,\"pid\":%d,\"state\":\"%s\",\"generation\":%u,\"uptimeS\":%lld,\"loopLagMs\":%."
			"3f,"
			"\"connections\":%u,\"streams\":%u,\"turns\":%u,\"dbOpen\":%u,\"dbIdle\":%u,\"dbPending\":%u}",
			is_first ? "" : ",", i, SCOREBOARD_GET(s->pid), state_name(SCOREBOARD_GET(s->state)),
			SCOREBOARD_GET(s->generation), (long long)(now_us - SCOREBOARD_GET(s->started_at_us)) / 1000000,
			(double)SCOREBOARD_GET(s->loop_lag_us) / 1000, SCOREBOARD_GET(s->connections),
			SCOREBOARD_GET(s->streams), SCOREBOARD_GET(s->turns), SCOREBOARD_GET(s->db_open),
			SCOREBOARD_GET(s->db_idle), SCOREBOARD_GET(s->db_waiting));
		is_first = false;
	}
	buffer_append_string(out, "],");
}

static void write_totals(struct buffer *out, const struct worker *w)
{
	struct scoreboard_totals t = scoreboard_total(w->board);

	buffer_printf(out,
		"\"totals\":{\"requests\":%llu,\"connections\":%u,\"streams\":%u,\"turns\":%u,\"turnsCompleted\":%llu,"
		"\"turnsFailed\":%llu,\"workersReady\":%u,\"restarts\":%llu},",
		(unsigned long long)t.requests, t.connections, t.streams, t.turns,
		(unsigned long long)t.turns_completed, (unsigned long long)t.turns_failed, t.workers_ready,
		(unsigned long long)SCOREBOARD_GET(w->board->restarts));
}

static void write_process(struct buffer *out, const struct worker *w)
{
	int64_t now_us = clock_wall_us();
	char now[CLOCK_RFC3339_BYTES], since[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(now_us, now);
	clock_format_rfc3339(SCOREBOARD_GET(w->board->started_at_us), since);
	buffer_printf(out, "{\"status\":\"ok\",\"timestamp\":\"%s\",\"startedAt\":\"%s\",\"uptimeS\":%.3f,", now, since,
		(double)(now_us - SCOREBOARD_GET(w->board->started_at_us)) / 1e6);
	buffer_printf(out,
		"\"version\":\"" PACKAGE_VERSION "\",\"environment\":\"%s\",\"generation\":%u,\"pid\":%d,\"slot\":%d,"
		"\"memory\":{\"rssBytes\":%lld},",
		w->options.app_env, w->generation, (int)getpid(), w->slot_index, resident_bytes());
}

void health_status(struct request *rq)
{
	const struct worker *w = request_context(rq);
	bool is_simulator = w->provider != NULL && provider_is_simulator(w->provider);
	struct buffer out;

	buffer_init(&out);
	write_process(&out, w);
	write_pool(&out, w);
	buffer_append_char(&out, ',');
	write_workers(&out, w);
	write_totals(&out, w);
	health_write_gemini(&out, w);
	buffer_append_char(&out, ',');
	buffer_printf(&out,
		"\"features\":{\"geminiSimulator\":%s,\"anonymousOwners\":true,\"accounts\":false,\"files\":false}}",
		is_simulator ? "true" : "false");
	response_header(rq, "Cache-Control", "no-store");
	response_json(rq, 200, buffer_text(&out));
	buffer_fini(&out);
}
