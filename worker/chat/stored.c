/* stored.c: the stream of a turn whose chunks are gone, made from its stored answer: each text and each tool is one part, the end is the one that the live stream had.
 * Called by reader.c; pure. Deliberately gives no numbers: these are not the events that were streamed. */
#include "config.h"

#include "shared/json.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

struct telling {
	stored_event_fn *event; /* the caller's */
	void *arg;              /* of `event` */
	struct buffer json;     /* of the event at hand */
	int number;             /* of the newest text part */
	bool is_step_open;      /* its end was not told yet */
};

static void tell(struct telling *to)
{
	to->event(to->arg, buffer_text(&to->json));
	buffer_clear(&to->json);
}

static void tell_step_end(struct telling *to)
{
	if (!to->is_step_open)
		return;
	to->is_step_open = false;
	part_finish_step(&to->json);
	tell(to);
}

static void tell_step(struct telling *to)
{
	tell_step_end(to);
	to->is_step_open = true;
	part_start_step(&to->json);
	tell(to);
}

static void tell_text(struct telling *to, struct text text)
{
	to->number++;
	part_text_start(&to->json, to->number);
	tell(to);
	part_text_delta(&to->json, to->number, text);
	tell(to);
	part_text_end(&to->json, to->number);
	tell(to);
}

static void tell_tool(struct telling *to, struct text tool, const struct json_value *part)
{
	struct text call = json_find_string(part, "toolCallId"), error = json_find_string(part, "errorText");
	const struct json_value *input = json_find(part, "input"), *output = json_find(part, "output");

	if (call.bytes == NULL)
		return;
	part_tool_input(&to->json, call, tool, input != NULL ? input->raw : TEXT("{}"));
	tell(to);
	if (output != NULL)
		part_tool_output(&to->json, call, output->raw);
	else if (error.bytes != NULL)
		part_tool_error(&to->json, call, error);
	else
		return;
	tell(to);
}

static void tell_part(struct telling *to, const struct json_value *part)
{
	struct text type = json_find_string(part, "type");

	if (text_equals(type, TEXT("step-start"))) {
		tell_step(to);
	} else if (text_equals(type, TEXT("text"))) {
		tell_text(to, json_find_string(part, "text"));
	} else if (text_starts_with(type, TEXT("tool-"))) {
		tell_tool(to, text_span(type.bytes + 5, type.length - 5), part);
	} else if (text_starts_with(type, TEXT("data-"))) {
		if (text_equals(type, TEXT("data-error")))
			tell_step_end(to);
		buffer_append_text(&to->json, part->raw);
		tell(to);
	}
}

static void tell_parts(struct telling *to, struct text parts)
{
	struct arena arena;
	struct json_value *root = NULL;
	const char *problem;

	arena_init(&arena);
	if (json_parse(&arena, parts, &root, &problem) == ERROR_NONE)
		for (const struct json_value *p = root->first; p != NULL; p = p->next)
			tell_part(to, p);
	arena_fini(&arena);
	tell_step_end(to);
}

static void tell_error(struct telling *to, struct text error)
{
	struct arena arena;
	struct json_value *root = NULL;
	const char *problem;
	struct text message = TEXT_NONE;

	arena_init(&arena);
	if (json_parse(&arena, error, &root, &problem) == ERROR_NONE)
		message = json_find_string(root, "message");
	part_error(&to->json, message.bytes != NULL ? message : TEXT("The answer failed."));
	tell(to);
	arena_fini(&arena);
}

static const char *reason_of(struct text reason)
{
	static const char *const reasons[] = { "stop", "length", "content-filter", "error" };

	for (size_t i = 0; i < COUNT_OF(reasons); i++)
		if (text_equals(reason, text_of(reasons[i])))
			return reasons[i];
	return "other";
}

void stored_tell(const struct stored_turn *s, stored_event_fn *event, void *arg)
{
	struct telling to = { .event = event, .arg = arg };

	buffer_init(&to.json);
	part_start(&to.json, &s->answer);
	tell(&to);
	tell_parts(&to, s->parts);
	if (text_equals(s->status, TEXT("failed")))
		tell_error(&to, s->error.bytes != NULL ? s->error : TEXT("{}"));
	if (text_equals(s->status, TEXT("cancelled")))
		part_abort(&to.json);
	else
		part_finish(&to.json, reason_of(s->finish_reason), &s->turn, s->input_tokens, s->output_tokens);
	tell(&to);
	buffer_fini(&to.json);
}
