/* step.c: one step of a turn: the model's text as it comes (and the seam after a take-over), the step stored with its calls before any of them runs, then the calls
 * one after the other, then the next step. Called by turn.c, model.c (text, end) and checkpoint.c (turn_settled); the end of a turn is finish.c's. */
#include "config.h"

#include <stdio.h>

#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

#define SEAM_MIN_BYTES 16 /* shorter overlaps are chance */
#define SEAM_MAX_BYTES 240

/* --- a step of the model ---------------------------------------------------------------------------------------------------- */

void turn_clear_calls(struct turn *t)
{
	for (size_t i = 0; i < t->call_count; i++) {
		buffer_fini(&t->calls[i].id);
		buffer_fini(&t->calls[i].name);
		buffer_fini(&t->calls[i].arguments);
	}
	t->call_count = 0;
	t->call_at = 0;
}

struct turn_call *turn_add_call(struct turn *t)
{
	t->calls = must_realloc(t->calls, (t->call_count + 1) * sizeof *t->calls);

	struct turn_call *call = &t->calls[t->call_count++];

	*call = (struct turn_call) { 0 };
	return call;
}

void turn_call_name(const struct turn *t, size_t ordinal, char out[80])
{
	(void)snprintf(out, 80, "%s.%d.%zu", t->id_text, t->step, ordinal);
}

void turn_begin_step(struct turn *t)
{
	if (turn_is_left(t))
		return;
	t->step = t->stored_steps + 1;
	turn_clear_calls(t);
	buffer_clear(&t->step_parts);
	t->step_input_tokens = 0;
	t->step_output_tokens = 0;
	t->run = (struct model_run) { 0 };
	if (t->shown.steps < t->step)
		emit_start_step(t);
	model_start(t);
}

/* How much of `text`'s beginning repeats the end of what was shown. *is_open_out: more text could still make it a (longer) repetition. */
static size_t seam_overlap(struct text shown, struct text text, bool *is_open_out)
{
	size_t most = shown.length < SEAM_MAX_BYTES ? shown.length : SEAM_MAX_BYTES, found = 0;

	*is_open_out = false;
	for (size_t length = most; length >= SEAM_MIN_BYTES; length--) {
		size_t both = length < text.length ? length : text.length;

		if (memcmp(shown.bytes + shown.length - length, text.bytes, both) != 0)
			continue;
		if (text.length < length)
			*is_open_out = true;
		else if (found == 0)
			found = length;
	}
	return found;
}

/* Shows what was held back, without what was shown before. Until `is_last` it waits as long as the text may yet prove to be a repetition. */
static void turn_close_seam(struct turn *t, bool is_last)
{
	struct text text = buffer_text(&t->seam);
	bool is_open;
	size_t skip = seam_overlap(shown_step_text(&t->shown), text, &is_open);

	if (is_open && !is_last)
		return;
	t->is_seam = false;
	emit_text(t, text_span(text.bytes + skip, text.length - skip));
	buffer_fini(&t->seam);
}

void turn_on_text(struct turn *t, struct text delta)
{
	if (t->state == TURN_ASKING)
		turn_set_state(t, TURN_STREAMING);
	t->run.is_text_shown = true;
	measure_turn_text(t);
	if (!t->is_seam) {
		emit_text(t, delta);
		return;
	}
	buffer_append_text(&t->seam, delta);
	turn_close_seam(t, false);
}

/* What the model said before its writer died goes in front of what it said when asked to go on. */
static void join_unfinished(struct turn *t, struct text parts)
{
	buffer_clear(&t->step_parts);
	if (buffer_length(&t->unfinished) == 0) {
		buffer_append_text(&t->step_parts, parts.length > 0 ? parts : TEXT("[]"));
		json_replace_nul(&t->step_parts);
		return;
	}
	buffer_append_char(&t->step_parts, '[');

	struct buffer before;

	buffer_init(&before);
	provider_text_part(&before, buffer_text(&t->unfinished));
	buffer_append_text(&t->step_parts, buffer_text(&before));
	buffer_fini(&before);
	while (parts.length > 0 && (parts.bytes[0] == '[' || parts.bytes[0] == ' ')) {
		parts.bytes++;
		parts.length--;
	}
	if (parts.length > 1)
		buffer_append_char(&t->step_parts, ',');
	buffer_append_text(&t->step_parts, parts.length > 0 ? parts : TEXT("]"));
	json_replace_nul(&t->step_parts);
}

static void turn_learn_usage(struct turn *t)
{
	double seen;

	if (t->step_input_tokens < 200)
		return;
	seen = (double)(t->prompt.bytes + buffer_length(&t->prompt.system)) / (double)t->step_input_tokens;
	if (seen >= 1.5 && seen <= 8)
		t->chat->bytes_per_token += (seen - t->chat->bytes_per_token) * 0.1;
}

void turn_on_model_done(struct turn *t, const struct model_event *event)
{
	if (t->is_seam)
		turn_close_seam(t, true);
	t->step_input_tokens = event->usage.input_tokens;
	t->step_output_tokens = event->usage.output_tokens;
	if (!event->usage.is_estimated)
		turn_learn_usage(t);
	join_unfinished(t, event->parts);
	if (event->finish == MODEL_FINISH_FILTERED) {
		finish_filtered(t, event->filter_reason, event->is_prompt_blocked);
		return;
	}
	if (t->call_count == 0) {
		t->has_step_to_store = true;
		finish_completed(t, event->finish == MODEL_FINISH_LENGTH ? "length" : "stop");
		return;
	}
	if (t->step >= t->chat->w->options.chat_max_steps) {
		/* Its calls are not run, so they must not stand in the history either. */
		turn_clear_calls(t);
		buffer_clear(&t->step_parts);
		finish_completed(t, "length");
		return;
	}
	turn_set_state(t, TURN_SETTLING);
	checkpoint_settle(t);
}

/* --- storing a step --------------------------------------------------------------------------------------------------------- */

static void write_calls(const struct turn *t, struct buffer *out)
{
	buffer_append_char(out, '[');
	for (size_t i = 0; i < t->call_count; i++) {
		buffer_append_string(out, i > 0 ? ",{" : "{");
		if (t->calls[i].has_id) {
			buffer_append_string(out, "\"id\":");
			json_write_string(out, buffer_text(&t->calls[i].id));
			buffer_append_char(out, ',');
		}
		buffer_append_string(out, "\"tool\":");
		json_write_string(out, buffer_text(&t->calls[i].name));
		buffer_append_string(out, ",\"args\":");
		buffer_append_text(out, buffer_text(&t->calls[i].arguments));
		buffer_append_char(out, '}');
	}
	buffer_append_char(out, ']');
}

void turn_write_usage(const struct turn *t, struct buffer *out)
{
	buffer_printf(out, "{\"inputTokens\":%lld,\"outputTokens\":%lld,\"model\":", (long long)t->step_input_tokens,
		(long long)t->step_output_tokens);
	json_write_string(out, text_of(t->model != NULL ? t->model : ""));
	buffer_append_char(out, '}');
}

static void turn_store_step(struct turn *t);

static void on_step_stored(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;

	t->query = NULL;
	if (e != ERROR_NONE) {
		if (!turn_retry_later(t, e, turn_store_step))
			finish_failed(t, ERROR_INTERNAL, 0);
		return;
	}
	if (db_result_rows(r) == 0) {
		turn_lost(t, "a step");
		return;
	}
	t->failures = 0;
	ring_set_stored(t->ring, t->checkpoint_to);
	t->stored_steps = t->step;
	t->input_tokens += t->step_input_tokens;
	t->output_tokens += t->step_output_tokens;
	prompt_add_model(&t->prompt, buffer_text(&t->step_parts), t->model);
	buffer_fini(&t->unfinished);
	turn_set_state(t, TURN_ACTING);
	turn_run_tools(t);
}

static void turn_store_step(struct turn *t)
{
	struct buffer chunk, calls, usage;
	struct db_uuid owner, id;
	struct db_number fence, step, from_room, to_room;
	uint64_t from, to;

	buffer_init(&chunk);
	buffer_init(&calls);
	buffer_init(&usage);
	checkpoint_pack(t, &chunk, &from, &to);
	write_calls(t, &calls);
	turn_write_usage(t, &usage);
	t->checkpoint_to = to;
	t->unstored_bytes = 0;

	const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id),
		db_int(&fence, (int64_t)t->fence), db_int(&step, t->step), DB_TEXT(buffer_text(&t->step_parts)),
		DB_TEXT(buffer_text(&usage)), DB_TEXT(TEXT("tool-calls")), DB_TEXT(buffer_text(&calls)),
		db_int(&from_room, (int64_t)from), db_int(&to_room, (int64_t)to), DB_BYTES(buffer_text(&chunk)),
		DB_TEXT(text_of(t->model)) };

	t->query = db_submit(t->chat->w->db, SQL_turn_store_step, params, on_step_stored, t);
	buffer_fini(&chunk);
	buffer_fini(&calls);
	buffer_fini(&usage);
}

void turn_settled(struct turn *t)
{
	if (t->is_ending) {
		turn_set_state(t, TURN_FINISHING);
		finish_store(t);
		return;
	}
	turn_set_state(t, TURN_STORING);
	turn_store_step(t);
}

/* --- tools ------------------------------------------------------------------------------------------------------------------ */

/* A model may write anything for a name: what is in no table is not repeated. */
static void log_tool(const struct turn *t, const struct turn_call *call, bool is_ok)
{
	const struct tool *tool = tool_find(buffer_text(&call->name));

	LOG(LOG_INFO, "tool call done", TURN_LOG_FIELDS(t), F_STR("tool_name", tool != NULL ? tool->name : "unknown"),
		F_INT("step", t->step), F_INT("ordinal", t->call_at), F_STR("outcome", is_ok ? "ok" : "failed"),
		F_REAL("latency_ms", (double)(clock_monotonic_us() - t->tool_us) / 1000));
}

static void on_tool(void *arg, enum error e, bool is_ok, struct text result)
{
	struct turn *t = arg;
	struct turn_call *call = &t->calls[t->call_at];

	t->tool = NULL;
	if (e == ERROR_LOST_OWNERSHIP) {
		turn_lost(t, "a tool");
		return;
	}
	if (e != ERROR_NONE) {
		if (!turn_retry_later(t, e, turn_run_tools))
			finish_failed(t, ERROR_INTERNAL, 0);
		return;
	}
	t->failures = 0;
	measure_tool_end(t, buffer_text(&call->name), is_ok);
	log_tool(t, call, is_ok);
	call->is_done = true;
	emit_tool_result(t, t->call_at, is_ok, result);
	prompt_add_result(
		&t->prompt, call->has_id ? buffer_text(&call->id) : TEXT_NONE, buffer_text(&call->name), result);
	t->call_at++;
	turn_run_tools(t);
}

static void turn_run_tool(struct turn *t)
{
	struct turn_call *call = &t->calls[t->call_at];
	int64_t most = t->chat->w->options.chat_max_calls;
	const struct tool_request request = { .owner = t->owner,
		.turn = t->id,
		.fence = t->fence,
		.step = t->step,
		.ordinal = (int)t->call_at,
		.name = buffer_text(&call->name),
		.arguments = buffer_text(&call->arguments),
		.has_session = t->has_session,
		.refusal = (int64_t)t->call_at >= most ? "too_many_calls: ask for fewer tools at once" : NULL };

	if (t->failures == 0)
		measure_tool_begin(t);
	t->tool = tool_start(t->chat->w->db, &request, on_tool, t);
}

void turn_run_tools(struct turn *t)
{
	if (turn_is_left(t))
		return;
	for (size_t i = 0; i < t->call_count; i++)
		emit_tool_input(t, i);
	if (t->is_cancelled) {
		finish_cancelled(t);
		return;
	}
	if (t->call_at < t->call_count) {
		turn_run_tool(t);
		return;
	}
	emit_finish_step(t);
	turn_begin_step(t);
}
