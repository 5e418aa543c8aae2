/* metrics_work.c: the writers of what the workers do: HTTP, the database, answers and their models, tools. Called by metrics.c.
 * Rows that were never counted in are left out, so that a scrape costs what was used. */
#include "config.h"
#include "shared/metrics_view.h"

#define OPERATION "generate_content"
#define PROVIDER  "gcp.gemini"

static bool is_counted(const struct histogram *h)
{
	for (int i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++)
		if (SCOREBOARD_GET(h->buckets[i]) != 0)
			return true;
	return false;
}

static uint64_t count_of(const struct histogram *h)
{
	struct histogram_total total = { 0 };

	histogram_add(&total, h);
	return total.count;
}

/* ---- HTTP ---------------------------------------------------------------------------------------------------- */

static uint32_t active_connections(const struct view *v)
{
	uint32_t others = v->totals.connections_idle + v->totals.streams;

	/* The gauges of a worker are written one after the other. */
	return v->totals.connections > others ? v->totals.connections - others : 0;
}

void write_connections(struct exposition *x, const struct view *v)
{
	write_labelled(x, "idle", v->totals.connections_idle);
	write_labelled(x, "active", active_connections(v));
	write_labelled(x, "stream", v->totals.streams);
}

static bool is_route_used(const struct view *v, int row)
{
	return scoreboard_is_named(&v->board->routes[row]) &&
	       (is_counted(&v->m->routes[row].seconds) || SCOREBOARD_GET(v->m->routes[row].in_flight) > 0);
}

void write_http_requests(struct exposition *x, const struct view *v)
{
	static const char *const classes[] = { "2xx", "3xx", "4xx", "5xx" };

	for (int i = 0; i < ROUTES_MAX; i++) {
		const struct scoreboard_name *name = &v->board->routes[i];

		if (!is_route_used(v, i))
			continue;
		for (size_t c = 0; c < COUNT_OF(classes); c++) {
			exposition_labels(x, (const char *[]) { name->kind, name->name, classes[c] }, 3);
			exposition_number(x, SCOREBOARD_GET(v->m->routes[i].statuses[c]));
		}
	}
}

void write_http_request_duration_seconds(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < ROUTES_MAX; i++) {
		const struct scoreboard_name *name = &v->board->routes[i];

		if (!is_route_used(v, i))
			continue;
		exposition_labels(x, (const char *[]) { name->kind, name->name }, 2);
		exposition_histogram(x, &v->m->routes[i].seconds, &histogram_requests, &v->m->routes[i].exemplar);
	}
}

void write_http_requests_in_flight(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < ROUTES_MAX; i++) {
		const struct scoreboard_name *name = &v->board->routes[i];

		if (!is_route_used(v, i))
			continue;
		exposition_labels(x, (const char *[]) { name->kind, name->name }, 2);
		exposition_number(x, SCOREBOARD_GET(v->m->routes[i].in_flight));
	}
}

/* The writer of a histogram without labels. */
#define PLAIN_HISTOGRAM(name, field, bounds)                                                                           \
	void write_##name(struct exposition *x, const struct view *v)                                                  \
	{                                                                                                              \
		exposition_histogram(x, &v->m->common.field, &bounds, NULL);                                           \
	}

NUMBER(accept_queue, SCOREBOARD_GET(v->board->service.accept_queue))
NUMBER(accept_queue_limit, SCOREBOARD_GET(v->board->service.accept_queue_max))
NUMBER(connections_accepted, v->totals.connections_accepted)
NUMBER(connections_refused, v->totals.connections_refused)
NUMBER(accept_failures, v->totals.accept_failures)
PLAIN_HISTOGRAM(http_request_size_bytes, request_bytes, histogram_sizes)
PLAIN_HISTOGRAM(http_response_size_bytes, response_bytes, histogram_sizes)
NUMBER(http_received_bytes, v->totals.bytes_in)
NUMBER(http_sent_bytes, v->totals.bytes_out)
NUMBER(streams_opened, v->totals.streams_opened)
PLAIN_HISTOGRAM(stream_duration_seconds, streams, histogram_requests)

/* ---- the database -------------------------------------------------------------------------------------------- */

struct db_gauges {
	uint64_t open, idle, waiting;
};

static struct db_gauges db_gauges(const struct view *v)
{
	struct db_gauges g = { 0 };

	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &v->board->slots[i];

		if (SCOREBOARD_GET(slot->pid) == 0)
			continue;
		g.open += SCOREBOARD_GET(slot->db_open);
		g.idle += SCOREBOARD_GET(slot->db_idle);
		g.waiting += SCOREBOARD_GET(slot->db_waiting);
	}
	return g;
}

void write_db_connections(struct exposition *x, const struct view *v)
{
	struct db_gauges g = db_gauges(v);

	write_labelled(x, "idle", g.idle);
	write_labelled(x, "busy", g.open > g.idle ? g.open - g.idle : 0);
}

void write_db_query_duration_seconds(struct exposition *x, const struct view *v)
{
	static const char *const kinds[] = { "read", "write" };

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		exposition_labels(x, &kinds[i], 1);
		exposition_histogram(x, &v->m->common.db_queries[i], &histogram_queries, NULL);
	}
}

NUMBER(db_queries_pending, db_gauges(v).waiting)
PLAIN_HISTOGRAM(db_wait_seconds, db_wait, histogram_queries)
NUMBER(db_queries, v->totals.db_queries)
NUMBER(db_errors, v->totals.db_errors)
NUMBER(db_reconnects, v->totals.db_reconnects)

/* ---- answers ------------------------------------------------------------------------------------------------- */

static const char *const turn_outcomes[] = { "completed", "failed", "cancelled" };

void write_turns(struct exposition *x, const struct view *v)
{
	const uint64_t counts[] = { v->totals.turns_completed, v->totals.turns_failed, v->totals.turns_cancelled };

	for (size_t i = 0; i < COUNT_OF(turn_outcomes); i++)
		write_labelled(x, turn_outcomes[i], counts[i]);
}

void write_turn_duration_seconds(struct exposition *x, const struct view *v)
{
	for (size_t i = 0; i < COUNT_OF(turn_outcomes); i++) {
		exposition_labels(x, &turn_outcomes[i], 1);
		exposition_histogram(x, &v->m->common.turns[i], &histogram_requests, NULL);
	}
}

void write_turn_phase_duration_seconds(struct exposition *x, const struct view *v)
{
	static const char *const phases[] = {
#define X(name, text) text,
		SCOREBOARD_TURN_PHASES(X)
#undef X
	};

	for (size_t i = 0; i < COUNT_OF(phases); i++) {
		exposition_labels(x, &phases[i], 1);
		exposition_histogram(x, &v->m->common.turn_phases[i], &histogram_requests, NULL);
	}
}

/* All workers look at the same rings. */
static uint32_t most_rings(const struct view *v, bool is_limit)
{
	uint32_t most = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &v->board->slots[i];
		uint32_t seen = is_limit ? SCOREBOARD_GET(slot->rings_max) : SCOREBOARD_GET(slot->rings);

		if (SCOREBOARD_GET(slot->pid) != 0 && seen > most)
			most = seen;
	}
	return most;
}

NUMBER(turns_started, v->totals.turns_started)
NUMBER(turns_running, v->totals.turns)
NUMBER(turns_taken_over, v->totals.turns_taken_over)
PLAIN_HISTOGRAM(turn_first_delta_seconds, turn_first_delta, histogram_requests)
NUMBER(rings_used, most_rings(v, false))
NUMBER(rings_limit, most_rings(v, true))

/* ---- models -------------------------------------------------------------------------------------------------- */

static const char *const outcomes[] = {
#define X(name, text) text,
	SCOREBOARD_OUTCOMES(X)
#undef X
};

static bool is_model_used(const struct view *v, int row)
{
	if (!scoreboard_is_named(&v->board->models[row]))
		return false;
	for (int i = 0; i < OUTCOMES; i++)
		if (is_counted(&v->m->models[row].seconds[i]))
			return true;
	return SCOREBOARD_GET(v->m->models[row].retries) > 0;
}

void write_model_calls(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < MODELS_MAX; i++) {
		if (!is_model_used(v, i))
			continue;
		for (int o = 0; o < OUTCOMES; o++) {
			const char *outcome = o == OUTCOME_OK ? "ok" : outcomes[o];

			exposition_labels(x, (const char *[]) { v->board->models[i].name, outcome }, 2);
			exposition_number(x, count_of(&v->m->models[i].seconds[o]));
		}
	}
}

void write_model_retries(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < MODELS_MAX; i++)
		if (is_model_used(v, i))
			write_labelled(x, v->board->models[i].name, SCOREBOARD_GET(v->m->models[i].retries));
}

void write_model_breaker_state(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < BREAKERS_MAX; i++) {
		const struct scoreboard_breaker *b = &v->board->breakers[i];
		int64_t until_ms = SCOREBOARD_GET(b->open_until_ms);

		if (SCOREBOARD_GET(b->name_hash) != 0 && b->model[0] != '\0')
			write_labelled(x, b->model, until_ms == 0 ? 0 : until_ms > v->now_us / 1000 ? 2 : 1);
	}
}

void write_model_provider_state(struct exposition *x, const struct view *v)
{
	static const char *const states[] = { "unknown", "good", "failing", "refused" };
	uint32_t now = SCOREBOARD_GET(v->board->gemini_state);

	for (uint32_t i = 0; i < COUNT_OF(states); i++)
		write_labelled(x, states[i], i == now);
}

MICRO(model_retry_budget, (int64_t)SCOREBOARD_GET(v->board->retry_tokens_milli) * 1000)

void write_gen_ai_client_token_usage(struct exposition *x, const struct view *v)
{
	static const char *const types[] = { "input", "output" };

	for (int i = 0; i < MODELS_MAX; i++)
		for (size_t t = 0; t < COUNT_OF(types) && is_model_used(v, i); t++) {
			exposition_labels(
				x, (const char *[]) { OPERATION, PROVIDER, v->board->models[i].name, types[t] }, 4);
			exposition_histogram(x, &v->m->models[i].tokens[t], &histogram_tokens, NULL);
		}
}

void write_gen_ai_client_operation_duration_seconds(struct exposition *x, const struct view *v)
{
	for (int i = 0; i < MODELS_MAX; i++)
		for (int o = 0; o < OUTCOMES && is_model_used(v, i); o++) {
			if (o != OUTCOME_OK && !is_counted(&v->m->models[i].seconds[o]))
				continue;
			exposition_labels(
				x, (const char *[]) { OPERATION, PROVIDER, v->board->models[i].name, outcomes[o] }, 4);
			exposition_histogram(x, &v->m->models[i].seconds[o], &histogram_operations, NULL);
		}
}

/* One histogram of each model. */
#define EACH_MODEL(metric, field)                                                                                      \
	void write_##metric(struct exposition *x, const struct view *v)                                                \
	{                                                                                                              \
		for (int i = 0; i < MODELS_MAX; i++) {                                                                 \
			if (!is_model_used(v, i))                                                                      \
				continue;                                                                              \
			exposition_labels(x, (const char *[]) { OPERATION, PROVIDER, v->board->models[i].name }, 3);   \
			exposition_histogram(x, &v->m->models[i].field, &histogram_operations, NULL);                  \
		}                                                                                                      \
	}

EACH_MODEL(gen_ai_client_operation_time_to_first_chunk_seconds, first_chunk)
EACH_MODEL(gen_ai_client_operation_time_per_output_chunk_seconds, next_chunk)

void write_gen_ai_execute_tool_duration_seconds(struct exposition *x, const struct view *v)
{
	static const char *const errors[] = { "", "failed" };

	for (int i = 0; i < TOOLS_MAX; i++)
		for (size_t e = 0; e < COUNT_OF(errors); e++) {
			if (!scoreboard_is_named(&v->board->tools[i]) || !is_counted(&v->m->tools[i].seconds[e]))
				continue;
			exposition_labels(
				x, (const char *[]) { "execute_tool", v->board->tools[i].name, errors[e] }, 3);
			exposition_histogram(x, &v->m->tools[i].seconds[e], &histogram_operations, NULL);
		}
}

/* ---- the log ------------------------------------------------------------------------------------------------- */

NUMBER(log_lines_dropped, v->totals.log_dropped + SCOREBOARD_GET(v->board->service.log_dropped))
