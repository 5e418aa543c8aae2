/* finish.c: the end of a turn: what it was, its last events, and the one statement that stores status, message, usage, last step and last chunk together, behind
 * a lock of the conversation and followed by the start of its next question. The last events reach the ring only once they are stored; a crash in between
 * leaves a finished turn whose chunks hold them. Called by turn.c, step.c and model.c; lost.c ends a turn here that was deleted. */
#include "config.h"

#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

static void finish_begin(struct turn *t, const char *status, const char *reason, const char *message_status)
{
	struct text unfinished;

	model_stop(t);
	turn_no_timer(t);
	t->is_ending = true;
	t->is_seam = false;
	t->end_status = status;
	t->finish_reason = reason;
	t->message_status = message_status;
	unfinished = shown_step_text(&t->shown);
	if (!t->has_step_to_store && t->shown.steps > t->stored_steps && unfinished.length > 0) {
		/* A step that was cut: its text is history all the same. */
		struct buffer part;

		buffer_init(&part);
		provider_text_part(&part, unfinished);
		buffer_clear(&t->step_parts);
		buffer_append_char(&t->step_parts, '[');
		buffer_append_text(&t->step_parts, buffer_text(&part));
		buffer_append_char(&t->step_parts, ']');
		buffer_fini(&part);
		t->step = t->stored_steps + 1;
		t->has_step_to_store = true;
	}
	if (t->state != TURN_SETTLING)
		turn_set_state(t, TURN_SETTLING);
	checkpoint_settle(t);
}

void finish_completed(struct turn *t, const char *finish_reason)
{
	finish_begin(t, "completed", finish_reason, "complete");
}

void finish_filtered(struct turn *t, struct text reason, bool is_prompt)
{
	buffer_clear(&t->refusal);
	buffer_append_text(&t->refusal, reason.length > 0 ? reason : TEXT("OTHER"));
	t->has_step_to_store = false;
	finish_begin(t, "completed", "content-filter",
		is_prompt && buffer_length(&t->shown.text) == 0 ? "complete" : "partial");
}

/* What people read; the provider's own words stay in the log. */
static const char *message_of(enum error code)
{
	switch ((int)code) {
	case ERROR_RATE_LIMITED: return "The model is busy. Please ask again a little later.";
	case ERROR_MODEL_UNAVAILABLE: return "The model cannot be reached right now. Please ask again later.";
	case ERROR_MODEL_TIMEOUT: return "The model took too long. Please ask again, perhaps for less at once.";
	case ERROR_MODEL_FAILED: return "The model did not give a usable answer. Please ask again.";
	default: return "Something failed on our side. Please ask again.";
	}
}

void finish_failed(struct turn *t, enum error code, int retry_after_s)
{
	if (t->is_ending)
		return;
	t->end_code = code;
	t->retry_after_s = retry_after_s;
	buffer_clear(&t->end_error);
	buffer_printf(&t->end_error, "{\"code\":\"%s\",\"message\":", error_code(code));
	json_write_string(&t->end_error, text_of(message_of(code)));
	if (retry_after_s > 0)
		buffer_printf(&t->end_error, ",\"retryAfter\":%d", retry_after_s);
	buffer_append_char(&t->end_error, '}');
	finish_begin(t, "failed", "error", buffer_length(&t->shown.text) > 0 ? "partial" : "failed");
}

void finish_cancelled(struct turn *t)
{
	if (!t->is_ending)
		finish_begin(t, "cancelled", NULL, "partial");
}

/* --- the last events -------------------------------------------------------------------------------------------------------- */

static struct buffer *part(struct turn *t)
{
	buffer_clear(&t->chat->scratch);
	return &t->chat->scratch;
}

static void end_event(struct turn *t)
{
	chunk_append(&t->end_events, buffer_text(&t->chat->scratch));
}

static void end_text_and_step(struct turn *t)
{
	if (t->shown.is_text_open) {
		part_text_end(part(t), t->shown.text_id);
		shown_on_text_end(&t->shown);
		end_event(t);
	}
	if (buffer_length(&t->refusal) > 0) {
		part_refusal(part(t), buffer_text(&t->refusal));
		shown_on_data(&t->shown, buffer_text(&t->chat->scratch));
		end_event(t);
	}
	if (t->shown.is_step_open) {
		part_finish_step(part(t));
		shown_on_finish_step(&t->shown);
		end_event(t);
	}
}

static void end_error(struct turn *t)
{
	part_error_data(part(t), error_code(t->end_code), message_of(t->end_code), t->retry_after_s);
	shown_on_data(&t->shown, buffer_text(&t->chat->scratch));
	end_event(t);
	part_error(part(t), text_of(message_of(t->end_code)));
	end_event(t);
}

static void end_build(struct turn *t)
{
	if (buffer_length(&t->end_events) > 0 || t->shown.has_ended)
		return; /* built before, or shown by a writer that died before it could store the end */
	if (!t->shown.has_started) {
		part_start(part(t), &t->answer_id);
		shown_on_start(&t->shown);
		end_event(t);
	}
	end_text_and_step(t);
	if (buffer_length(&t->end_error) > 0)
		end_error(t);
	if (t->finish_reason == NULL)
		part_abort(part(t));
	else
		part_finish(part(t), t->finish_reason, &t->id, t->input_tokens, t->output_tokens);
	shown_on_end(&t->shown);
	end_event(t);
}

static uint64_t end_count(const struct turn *t)
{
	struct text rest = buffer_text(&t->end_events), json;
	uint64_t count = 0;

	while (chunk_take(&rest, &json))
		count++;
	return count;
}

static void end_show(struct turn *t)
{
	struct text rest = buffer_text(&t->end_events), json;
	uint64_t n;

	ring_set_stored(t->ring, t->checkpoint_to); /* all of it is stored, so nothing is in the way */
	while (chunk_take(&rest, &json))
		if (ring_append(t->chat->rings, t->ring, json, &n) != ERROR_NONE)
			break;
	ring_end(t->ring);
	chat_mark_dirty(t->chat, t->ring);
}

/* --- storing ---------------------------------------------------------------------------------------------------------------- */

static void end_count_turn(struct turn *t)
{
	struct scoreboard_counters *c = &t->chat->w->slot->counters;
	int outcome = strcmp(t->end_status, "completed") == 0 ? 0 : strcmp(t->end_status, "failed") == 0 ? 1 : 2;

	if (outcome == 0)
		SCOREBOARD_ADD(c->turns_completed, 1);
	else if (outcome == 1)
		SCOREBOARD_ADD(c->turns_failed, 1);
	else
		SCOREBOARD_ADD(c->turns_cancelled, 1);
	measure_turn_end(t, outcome);
	SCOREBOARD_ADD(c->tokens_in, (uint64_t)t->input_tokens);
	SCOREBOARD_ADD(c->tokens_out, (uint64_t)t->output_tokens);
	LOG(LOG_INFO, "turn ended", TURN_LOG_FIELDS(t), F_STR("status", t->end_status),
		F_STR("finish_reason", t->finish_reason != NULL ? t->finish_reason : "cancelled"),
		F_INT("steps", t->step), F_INT("events", t->ring != NULL ? ring_last(t->ring) : 0),
		F_INT("input_tokens", t->input_tokens), F_INT("output_tokens", t->output_tokens),
		F_INT("duration_ms", (t->deadline_ms - t->started_ms) > 0 ? clock_monotonic_ms() - t->started_ms : 0),
		F_INT("take_overs", t->attempt));
}

static void on_finished(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;
	struct chat *chat = t->chat;
	struct turn_row next;
	bool has_next;

	t->query = NULL;
	if (e != ERROR_NONE) {
		if (turn_retry_later(t, e, finish_store))
			return;
		if (t->is_crippled) {
			turn_drop(t, "its end cannot be stored");
			return;
		}
		LOG(LOG_ERROR, "end of a turn refused, stored without its parts", TURN_LOG_FIELDS(t),
			F_STR("code", error_code(e)));
		t->is_crippled = true;
		finish_store(t);
		return;
	}
	if (db_result_rows(r) == 0 || db_result_is_null(r, 0, 0) ||
		text_equals(db_result_text(r, 0, 0), TEXT("running"))) {
		turn_lost(t, "its end");
		return;
	}
	end_show(t);
	end_count_turn(t);
	has_next = turn_row_read(r, 0, &next);
	turn_end(t);
	if (has_next)
		turn_create(chat, &next, NULL, false);
}

void finish_gone(struct turn *t)
{
	t->end_status = "cancelled";
	t->finish_reason = NULL;
	if (t->ring != NULL && ring_is_owner(t->chat->rings, t->ring)) {
		/* What waits for room in the ring, or was shown before a take-over, cannot be closed in order. */
		if (buffer_length(&t->end_events) == 0 && (t->is_resumed || buffer_length(&t->backlog) > 0)) {
			part_abort(part(t));
			end_event(t);
		}
		end_build(t);
		t->checkpoint_to = ring_last(t->ring);
		end_show(t);
	}
	end_count_turn(t);
	turn_end(t);
}

static void add_step_usage(struct turn *t)
{
	if (t->is_crippled || buffer_length(&t->end_events) > 0)
		return; /* counted by the first try */
	t->input_tokens += t->step_input_tokens;
	t->output_tokens += t->step_output_tokens;
}

void finish_store(struct turn *t)
{
	struct buffer chunk, parts, usage;
	struct db_uuid ids[5];
	struct db_number n[8];
	uint64_t from, to;
	struct worker *w = t->chat->w;

	buffer_init(&chunk);
	buffer_init(&parts);
	buffer_init(&usage);
	add_step_usage(t);
	end_build(t);
	checkpoint_pack(t, &chunk, &from, &to);
	if (to < ring_last(t->ring))
		to = ring_last(t->ring);
	buffer_append_text(&chunk, buffer_text(&t->end_events));
	to += end_count(t);
	t->checkpoint_to = to;
	shown_write_parts(&t->shown, &parts);
	turn_write_usage(t, &usage);

	bool has_step = t->has_step_to_store && !t->is_crippled && buffer_length(&t->step_parts) > 2;
	struct db_param owner = db_uuid(&ids[0], &t->owner), conversation = db_uuid(&ids[1], &t->conversation);
	struct db_param id = db_uuid(&ids[2], &t->id), fence = db_int(&n[0], (int64_t)t->fence);
	const struct db_param lock[] = { owner, conversation };
	const struct db_param end[] = { owner, id, fence, DB_TEXT(text_of(t->end_status)),
		t->finish_reason != NULL ? DB_TEXT(text_of(t->finish_reason)) : DB_NULL,
		buffer_length(&t->end_error) > 0 ? DB_TEXT(buffer_text(&t->end_error)) : DB_NULL,
		t->model != NULL ? DB_TEXT(text_of(t->model)) : DB_NULL, db_int(&n[1], t->input_tokens),
		db_int(&n[2], t->output_tokens), db_int(&n[3], (int64_t)from), db_int(&n[4], (int64_t)to),
		DB_BYTES(buffer_text(&chunk)), DB_TEXT(text_of(t->message_status)),
		DB_TEXT(buffer_text(&t->shown.text)), DB_TEXT(t->is_crippled ? TEXT("[]") : buffer_text(&parts)),
		db_int(&n[5], t->step), has_step ? DB_TEXT(buffer_text(&t->step_parts)) : DB_NULL,
		has_step ? DB_TEXT(buffer_text(&usage)) : DB_NULL };
	const struct db_param next[] = { owner, conversation, id, fence, DB_TEXT(text_of(w->lease)),
		db_int(&n[6], w->options.chat_lease_ms) };
	const struct db_step steps[] = { { SQL_conversation_lock, lock }, { SQL_turn_finish, end },
		{ SQL_turn_next, next } };

	t->query = db_submit_steps(w->db, steps, COUNT_OF(steps), on_finished, t);
	buffer_fini(&chunk);
	buffer_fini(&parts);
	buffer_fini(&usage);
}
