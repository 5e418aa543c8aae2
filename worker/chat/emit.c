/* emit.c: shows one event of a turn: its JSON goes into the ring, what it means into the answer, and the turn onto the list of those whose readers are woken at
 * the end of the loop turn. Called by turn.c, finish.c and takeover.c. Runs for each delta, so it allocates nothing. */
#include "config.h"
#include "shared/json.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

/* No event is longer than RING_EVENT_MAX, whatever a model writes; escaped, a byte can take 6. */
#define DELTA_MAX 4000 /* bytes of text in one event */
#define ERROR_MAX 2000 /* bytes of a failed call's message */

static void emit_wait(struct turn *t, struct text json)
{
	/* The model is paused until the checkpoint has made room, so this stays as small as what it had sent already. */
	if (buffer_length(&t->backlog) == 0 && t->run.call != NULL)
		provider_pause(t->run.call);
	chunk_append(&t->backlog, json);
	checkpoint_start(t);
}

void emit_json(struct turn *t, struct text json)
{
	uint64_t n;

	if (t->ring == NULL || buffer_length(&t->backlog) > 0) {
		emit_wait(t, json);
		return;
	}

	enum error e = ring_append(t->chat->rings, t->ring, json, &n);

	if (e == ERROR_FULL) {
		emit_wait(t, json);
		return;
	}
	if (e == ERROR_LOST_OWNERSHIP)
		return; /* the next write to the database says so too, and ends this turn */
	chat_mark_dirty(t->chat, t->ring);
	checkpoint_note(t, json.length);
}

void emit_flush_backlog(struct turn *t)
{
	struct text rest = buffer_text(&t->backlog), json;
	size_t taken = 0;
	uint64_t n;

	if (t->ring == NULL)
		return;
	while (chunk_take(&rest, &json)) {
		if (ring_append(t->chat->rings, t->ring, json, &n) != ERROR_NONE)
			break;
		taken += json.length + sizeof(uint32_t);
		checkpoint_note(t, json.length);
	}
	buffer_consume(&t->backlog, taken);
	if (taken > 0)
		chat_mark_dirty(t->chat, t->ring);
	if (buffer_length(&t->backlog) == 0 && t->run.call != NULL)
		provider_resume(t->run.call);
}

static void emit_scratch(struct turn *t)
{
	emit_json(t, buffer_text(&t->chat->scratch));
}

static struct buffer *scratch(struct turn *t)
{
	buffer_clear(&t->chat->scratch);
	return &t->chat->scratch;
}

void emit_start(struct turn *t)
{
	part_start(scratch(t), &t->answer_id);
	shown_on_start(&t->shown);
	emit_scratch(t);
}

void emit_start_step(struct turn *t)
{
	part_start_step(scratch(t));
	shown_on_start_step(&t->shown);
	emit_scratch(t);
}

static void emit_text_start(struct turn *t)
{
	shown_on_text_start(&t->shown);
	part_text_start(scratch(t), t->shown.text_id);
	emit_scratch(t);
}

void emit_text(struct turn *t, struct text delta)
{
	if (delta.length > 0 && !t->shown.is_text_open)
		emit_text_start(t);
	while (delta.length > 0) {
		size_t length = delta.length < DELTA_MAX ? delta.length : DELTA_MAX;

		/* Never within a code point. */
		while (length < delta.length && length > DELTA_MAX - 4 &&
			((unsigned char)delta.bytes[length] & 0xC0) == 0x80)
			length--;
		part_text_delta(scratch(t), t->shown.text_id, text_span(delta.bytes, length));
		shown_on_text(&t->shown, text_span(delta.bytes, length));
		emit_scratch(t);
		delta = text_span(delta.bytes + length, delta.length - length);
	}
}

void emit_text_end(struct turn *t)
{
	if (!t->shown.is_text_open)
		return;
	part_text_end(scratch(t), t->shown.text_id);
	shown_on_text_end(&t->shown);
	emit_scratch(t);
}

void emit_tool_input(struct turn *t, size_t ordinal)
{
	char id[80];
	struct text name = text_cut(buffer_text(&t->calls[ordinal].name), MODEL_CALL_NAME_MAX);
	struct text input = buffer_text(&t->calls[ordinal].arguments);

	turn_call_name(t, ordinal, id);
	if (shown_tool(&t->shown, text_of(id)) != NULL)
		return;
	if (input.length > RING_EVENT_MAX / 2)
		input = TEXT("{}"); /* shown without its arguments; the call itself is refused by its checks */
	part_tool_input_start(scratch(t), text_of(id), name);
	emit_scratch(t);
	part_tool_input(scratch(t), text_of(id), name, input);
	shown_on_tool_input(&t->shown, text_of(id), name, input);
	emit_scratch(t);
}

static struct text error_member(struct text result, struct arena *arena)
{
	struct json_value *root = NULL;
	const char *problem;
	struct text message = TEXT_NONE;

	if (json_parse(arena, result, &root, &problem) == ERROR_NONE)
		message = json_find_string(root, "error");
	return message.bytes != NULL ? message : TEXT("the tool failed");
}

void emit_tool_result(struct turn *t, size_t ordinal, bool is_ok, struct text result)
{
	char id[80];
	struct arena arena;

	turn_call_name(t, ordinal, id);

	const struct shown_tool *shown = shown_tool(&t->shown, text_of(id));

	if (shown != NULL && (shown->output.bytes != NULL || shown->error.bytes != NULL))
		return;
	if (is_ok) {
		if (result.length > RING_EVENT_MAX - 256)
			result = TEXT("{\"truncated\":true}");
		part_tool_output(scratch(t), text_of(id), result);
		shown_on_tool_output(&t->shown, text_of(id), result);
		emit_scratch(t);
		return;
	}
	arena_init(&arena);

	struct text message = text_cut(error_member(result, &arena), ERROR_MAX);

	part_tool_error(scratch(t), text_of(id), message);
	shown_on_tool_error(&t->shown, text_of(id), message);
	emit_scratch(t);
	arena_fini(&arena);
}

void emit_finish_step(struct turn *t)
{
	if (!t->shown.is_step_open)
		return;
	emit_text_end(t);
	part_finish_step(scratch(t));
	shown_on_finish_step(&t->shown);
	emit_scratch(t);
}
