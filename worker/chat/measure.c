/* measure.c: what the metrics count of answers: their states, calls of models, tools and the whole, as plain stores into this worker's own part of the
 * scoreboard. Called by turn.c, step.c, model.c and finish.c where things happen; decides nothing. */
#include "config.h"

#include "shared/clock.h"
#include "worker/chat/turn.h"

/* The tables of the scoreboard have the order of ours. */
_Static_assert((int)OUTCOME_OK == (int)MODEL_OK && (int)OUTCOME_SLOW == (int)MODEL_SLOW &&
		       (int)OUTCOME_EMPTY == (int)MODEL_EMPTY && (int)OUTCOME_OTHER == (int)MODEL_OTHER &&
		       OUTCOMES == OUTCOME_OTHER + 2,
	"one outcome for each failure, and one for a cancelled call");
_Static_assert((int)TURN_PHASE_LOADING == (int)TURN_LOADING && (int)TURN_PHASE_STREAMING == (int)TURN_STREAMING &&
		       (int)TURN_PHASE_FINISHING == (int)TURN_FINISHING && (int)TURN_PHASES == (int)TURN_ENDED,
	"one phase for each state but the end");

static struct scoreboard_measures *measures_of(const struct turn *t)
{
	const struct worker *w = t->chat->w;

	return &w->board->measures[w->slot_index];
}

/* ---- the turn ------------------------------------------------------------------------------------------------- */

void measure_turn_begin(struct turn *t)
{
	t->state_us = clock_monotonic_us();
	t->is_first_shown = t->is_resumed;
}

void measure_turn_state(struct turn *t)
{
	int64_t now_us = clock_monotonic_us();

	(void)histogram_observe(
		&measures_of(t)->common.turn_phases[t->state], &histogram_requests, now_us - t->state_us);
	t->state_us = now_us;
}

void measure_turn_text(struct turn *t)
{
	if (t->is_first_shown)
		return;
	t->is_first_shown = true;
	(void)histogram_observe(&measures_of(t)->common.turn_first_delta, &histogram_requests,
		clock_monotonic_us() - t->started_ms * 1000);
}

void measure_turn_end(struct turn *t, int outcome)
{
	(void)histogram_observe(&measures_of(t)->common.turns[outcome], &histogram_requests,
		clock_monotonic_us() - t->started_ms * 1000);
}

/* ---- calls of a model ----------------------------------------------------------------------------------------- */

static struct scoreboard_model *model_row(const struct turn *t)
{
	int row = scoreboard_claim(t->chat->w->board->models, MODELS_MAX, "", t->run.model);

	return &measures_of(t)->models[row];
}

void measure_call_begin(struct turn *t)
{
	t->run.started_us = clock_monotonic_us();
	t->run.chunk_us = 0;
}

void measure_call_chunk(struct turn *t)
{
	struct scoreboard_model *row = model_row(t);
	bool is_first = t->run.chunk_us == 0;
	int64_t now_us = clock_monotonic_us();

	(void)histogram_observe(is_first ? &row->first_chunk : &row->next_chunk, &histogram_operations,
		now_us - (is_first ? t->run.started_us : t->run.chunk_us));
	t->run.chunk_us = now_us;
}

void measure_call_end(struct turn *t, int outcome, const struct model_usage *usage)
{
	struct scoreboard_model *row = model_row(t);

	must(outcome >= 0 && outcome < OUTCOMES);
	(void)histogram_observe(
		&row->seconds[outcome], &histogram_operations, clock_monotonic_us() - t->run.started_us);
	if (usage->input_tokens > 0)
		(void)histogram_observe(&row->tokens[0], &histogram_tokens, usage->input_tokens);
	if (usage->output_tokens > 0)
		(void)histogram_observe(&row->tokens[1], &histogram_tokens, usage->output_tokens);
}

void measure_call_retry(struct turn *t)
{
	SCOREBOARD_ADD(model_row(t)->retries, 1);
}

/* ---- tools ---------------------------------------------------------------------------------------------------- */

void measure_tool_begin(struct turn *t)
{
	t->tool_us = clock_monotonic_us();
}

void measure_tool_end(struct turn *t, struct text name, bool is_ok)
{
	const struct tool *tool = tool_find(name);
	/* A model may name any tool: what is in no table has the row of the nameless. */
	int row =
		tool == NULL ? MEASURE_UNNAMED : scoreboard_claim(t->chat->w->board->tools, TOOLS_MAX, "", tool->name);

	(void)histogram_observe(&measures_of(t)->tools[row].seconds[is_ok ? 0 : 1], &histogram_operations,
		clock_monotonic_us() - t->tool_us);
}
