/* shown.c: the fold of a turn's events. Called per delta by emit.c, so text only grows a buffer; JSON is read in shown_apply alone (take-over).
 * Deliberately knows nothing of rings, models or the database. */
#include "config.h"
#include "worker/chat/shown.h"

#include "shared/json.h"

void shown_init(struct shown *a)
{
	*a = (struct shown) { 0 };
	arena_init(&a->arena);
	buffer_init(&a->text);
	buffer_init(&a->parts);
}

void shown_fini(struct shown *a)
{
	arena_fini(&a->arena);
	buffer_fini(&a->text);
	buffer_fini(&a->parts);
}

static void parts_comma(struct buffer *parts)
{
	if (buffer_length(parts) > 0 && buffer_text(parts).bytes[buffer_length(parts) - 1] != '[')
		buffer_append_char(parts, ',');
}

static void write_text(struct buffer *parts, struct text text, const char *state)
{
	parts_comma(parts);
	buffer_append_string(parts, "{\"type\":\"text\",\"text\":");
	json_write_string(parts, text);
	buffer_printf(parts, ",\"state\":\"%s\"}", state);
}

static void write_tool(struct buffer *parts, const struct shown_tool *t)
{
	const char *state = t->output.bytes != NULL  ? "output-available"
			    : t->error.bytes != NULL ? "output-error"
						     : "input-available";

	parts_comma(parts);
	buffer_append_string(parts, "{\"type\":");

	struct buffer type;

	buffer_init(&type);
	buffer_printf(&type, "tool-%.*s", TEXT_ARGS(t->tool));
	json_write_string(parts, buffer_text(&type));
	buffer_fini(&type);
	buffer_append_string(parts, ",\"toolCallId\":");
	json_write_string(parts, t->call);
	buffer_printf(parts, ",\"state\":\"%s\",\"input\":%.*s", state, TEXT_ARGS(t->input));
	if (t->output.bytes != NULL)
		buffer_printf(parts, ",\"output\":%.*s", TEXT_ARGS(t->output));
	if (t->error.bytes != NULL) {
		buffer_append_string(parts, ",\"errorText\":");
		json_write_string(parts, t->error);
	}
	buffer_append_char(parts, '}');
}

static struct text open_text(const struct shown *a)
{
	struct text all = buffer_text(&a->text);

	return text_span(all.bytes + a->text_start, all.length - a->text_start);
}

void shown_on_start(struct shown *a)
{
	a->has_started = true;
}

void shown_on_start_step(struct shown *a)
{
	a->steps++;
	a->is_step_open = true;
	a->step_start = buffer_length(&a->text);
	parts_comma(&a->parts);
	buffer_append_string(&a->parts, "{\"type\":\"step-start\"}");
}

void shown_on_text_start(struct shown *a)
{
	a->text_id++;
	a->is_text_open = true;
	a->text_start = buffer_length(&a->text);
}

void shown_on_text(struct shown *a, struct text delta)
{
	buffer_append_text(&a->text, delta);
}

void shown_on_text_end(struct shown *a)
{
	if (!a->is_text_open)
		return;
	write_text(&a->parts, open_text(a), "done");
	a->is_text_open = false;
}

void shown_on_tool_input(struct shown *a, struct text call, struct text tool, struct text input_json)
{
	struct shown_tool *t = arena_alloc(&a->arena, sizeof *t);
	struct shown_tool **place = &a->tools;

	t->call = arena_text(&a->arena, call);
	t->tool = arena_text(&a->arena, tool);
	t->input = arena_text(&a->arena, input_json);
	while (*place != NULL)
		place = &(*place)->next;
	*place = t;
}

const struct shown_tool *shown_tool(const struct shown *a, struct text call)
{
	for (const struct shown_tool *t = a->tools; t != NULL; t = t->next)
		if (text_equals(t->call, call))
			return t;
	return NULL;
}

void shown_on_tool_output(struct shown *a, struct text call, struct text output_json)
{
	for (struct shown_tool *t = a->tools; t != NULL; t = t->next)
		if (text_equals(t->call, call))
			t->output = arena_text(&a->arena, output_json);
}

void shown_on_tool_error(struct shown *a, struct text call, struct text message)
{
	for (struct shown_tool *t = a->tools; t != NULL; t = t->next)
		if (text_equals(t->call, call))
			t->error = arena_text(&a->arena, message);
}

void shown_on_data(struct shown *a, struct text json)
{
	parts_comma(&a->parts);
	buffer_append_text(&a->parts, json);
}

void shown_on_finish_step(struct shown *a)
{
	shown_on_text_end(a);
	for (const struct shown_tool *t = a->tools; t != NULL; t = t->next)
		write_tool(&a->parts, t);
	a->tools = NULL;
	arena_fini(&a->arena);
	a->is_step_open = false;
	a->step_start = buffer_length(&a->text);
}

void shown_on_end(struct shown *a)
{
	a->has_ended = true;
}

static struct text raw_member(const struct json_value *event, const char *name)
{
	const struct json_value *v = json_find(event, name);

	return v != NULL ? v->raw : TEXT("null");
}

static void apply_event(struct shown *a, const struct json_value *event, struct text json)
{
	struct text type = json_find_string(event, "type");
	struct text call = json_find_string(event, "toolCallId");

	if (text_equals(type, TEXT("text-delta")))
		shown_on_text(a, json_find_string(event, "delta"));
	else if (text_equals(type, TEXT("start")))
		shown_on_start(a);
	else if (text_equals(type, TEXT("start-step")))
		shown_on_start_step(a);
	else if (text_equals(type, TEXT("text-start")))
		shown_on_text_start(a);
	else if (text_equals(type, TEXT("text-end")))
		shown_on_text_end(a);
	else if (text_equals(type, TEXT("tool-input-available")))
		shown_on_tool_input(a, call, json_find_string(event, "toolName"), raw_member(event, "input"));
	else if (text_equals(type, TEXT("tool-output-available")))
		shown_on_tool_output(a, call, raw_member(event, "output"));
	else if (text_equals(type, TEXT("tool-output-error")))
		shown_on_tool_error(a, call, json_find_string(event, "errorText"));
	else if (text_equals(type, TEXT("finish-step")))
		shown_on_finish_step(a);
	else if (text_equals(type, TEXT("finish")) || text_equals(type, TEXT("abort")))
		shown_on_end(a);
	else if (text_starts_with(type, TEXT("data-")))
		shown_on_data(a, json);
}

void shown_apply(struct shown *a, struct text json)
{
	struct arena arena;
	struct json_value *event = NULL;
	const char *problem;

	arena_init(&arena);
	if (json_parse(&arena, json, &event, &problem) == ERROR_NONE)
		apply_event(a, event, json);
	arena_fini(&arena);
}

struct text shown_step_text(const struct shown *a)
{
	struct text all = buffer_text(&a->text);

	return text_span(all.bytes + a->step_start, all.length - a->step_start);
}

void shown_write_parts(const struct shown *a, struct buffer *out)
{
	buffer_append_char(out, '[');
	buffer_append_text(out, buffer_text(&a->parts));
	if (a->is_text_open && open_text(a).length > 0)
		write_text(out, open_text(a), "done");
	for (const struct shown_tool *t = a->tools; t != NULL; t = t->next)
		write_tool(out, t);
	buffer_append_char(out, ']');
}
