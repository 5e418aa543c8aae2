/* Parts and what they add up to: the JSON that clients accept, packed chunks and what is wrong with them, the fold that take-over relies on. */
#include "config.h"
#include "worker/chat/parts.h"

#include <criterion/criterion.h>

#include "shared/json.h"
#include "worker/chat/shown.h"

static void expect(struct buffer *b, const char *json)
{
	cr_expect(text_equals(buffer_text(b), text_of(json)), "%.*s is not %s", TEXT_ARGS(buffer_text(b)), json);
	buffer_clear(b);
}

Test(parts, are_the_json_that_clients_know)
{
	struct buffer b;
	struct uuid id;

	buffer_init(&b);
	cr_assert(uuid_parse(TEXT("01234567-89ab-7def-8123-456789abcdef"), &id));
	part_start(&b, &id);
	expect(&b, "{\"type\":\"start\",\"messageId\":\"01234567-89ab-7def-8123-456789abcdef\"}");
	part_text_start(&b, 12);
	expect(&b, "{\"type\":\"text-start\",\"id\":\"t12\"}");
	part_text_delta(&b, 1, TEXT("a \"b\"\n\xc3\xa9"));
	expect(&b, "{\"type\":\"text-delta\",\"id\":\"t1\",\"delta\":\"a \\\"b\\\"\\n\xc3\xa9\"}");
	part_tool_input(&b, TEXT("c.1.0"), TEXT("add_room"), TEXT("{\"name\":\"x\"}"));
	expect(&b, "{\"type\":\"tool-input-available\",\"toolCallId\":\"c.1.0\",\"toolName\":\"add_room\",\"input\":{"
		   "\"name\":\"x\"}}");
	part_tool_error(&b, TEXT("c.1.0"), TEXT("no"));
	expect(&b, "{\"type\":\"tool-output-error\",\"toolCallId\":\"c.1.0\",\"errorText\":\"no\"}");
	part_error_data(&b, "rate_limited", "Wait", 26);
	expect(&b, "{\"type\":\"data-error\",\"data\":{\"code\":\"rate_limited\",\"message\":\"Wait\",\"retryAfter\":"
		   "26}}");
	part_rewind(&b, 0);
	expect(&b, "{\"type\":\"data-rewind\",\"data\":{\"to\":0},\"transient\":true}");
	buffer_fini(&b);
}

Test(parts, chunks_give_back_what_was_packed)
{
	static const char *const events[] = { "{}", "{\"a\":1}", "x",
		"{\"long\":\"................................................................\"}" };
	struct buffer chunk;
	struct text rest, json;

	buffer_init(&chunk);
	for (size_t i = 0; i < COUNT_OF(events); i++)
		chunk_append(&chunk, text_of(events[i]));
	rest = buffer_text(&chunk);
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		cr_assert(chunk_take(&rest, &json));
		cr_assert(text_equals(json, text_of(events[i])));
	}
	cr_assert(!chunk_take(&rest, &json));
	for (size_t cut = 0; cut < buffer_length(&chunk); cut++) { /* never past the end, wherever it was cut */
		rest = text_span(buffer_text(&chunk).bytes, cut);
		while (chunk_take(&rest, &json))
			cr_assert(json.bytes + json.length <= buffer_text(&chunk).bytes + cut);
	}
	buffer_fini(&chunk);
}

Test(parts, escaped_nul_is_replaced_and_nothing_else)
{
	static const char *const cases[][2] = {
		{ "\"a\\u0000b\"", "\"a\\ufffdb\"" },
		{ "\"\\\\u0000\"", "\"\\\\u0000\"" },
		{ "\"\\\\\\u0000\"", "\"\\\\\\ufffd\"" },
		{ "\"\\u00001\\u0001\"", "\"\\ufffd1\\u0001\"" },
		{ "\"\\", "\"\\" },
		{ "", "" },
	};
	struct buffer b;

	buffer_init(&b);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buffer_append_string(&b, cases[i][0]);
		json_replace_nul(&b);
		expect(&b, cases[i][1]);
	}
	buffer_fini(&b);
}

static void apply_all(struct shown *s, const char *const events[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		shown_apply(s, text_of(events[i]));
}

static const char *const story[] = {
	"{\"type\":\"start\",\"messageId\":\"x\"}",
	"{\"type\":\"start-step\"}",
	"{\"type\":\"text-start\",\"id\":\"t1\"}",
	"{\"type\":\"text-delta\",\"id\":\"t1\",\"delta\":\"Let me \"}",
	"{\"type\":\"text-delta\",\"id\":\"t1\",\"delta\":\"see.\"}",
	"{\"type\":\"text-end\",\"id\":\"t1\"}",
	"{\"type\":\"tool-input-start\",\"toolCallId\":\"c1\",\"toolName\":\"add_room\"}",
	"{\"type\":\"tool-input-available\",\"toolCallId\":\"c1\",\"toolName\":\"add_room\",\"input\":{\"name\":\"K\"}"
	"}",
	"{\"type\":\"tool-input-available\",\"toolCallId\":\"c2\",\"toolName\":\"add_task\",\"input\":{}}",
	"{\"type\":\"tool-output-error\",\"toolCallId\":\"c2\",\"errorText\":\"title is required\"}",
	"{\"type\":\"tool-output-available\",\"toolCallId\":\"c1\",\"output\":{\"id\":\"r\"}}",
	"{\"type\":\"finish-step\"}",
	"{\"type\":\"start-step\"}",
	"{\"type\":\"text-start\",\"id\":\"t2\"}",
	"{\"type\":\"text-delta\",\"id\":\"t2\",\"delta\":\"Done\"}",
};

Test(shown, events_add_up_to_text_parts_and_place)
{
	struct shown s;
	struct buffer parts;

	shown_init(&s);
	buffer_init(&parts);
	apply_all(&s, story, COUNT_OF(story));
	cr_expect(text_equals(buffer_text(&s.text), TEXT("Let me see.Done")));
	cr_expect(text_equals(shown_step_text(&s), TEXT("Done")));
	cr_expect_eq(s.steps, 2);
	cr_expect_eq(s.text_id, 2);
	cr_expect(s.has_started && s.is_step_open && s.is_text_open && !s.has_ended);
	shown_write_parts(&s, &parts);
	expect(&parts, "[{\"type\":\"step-start\"},{\"type\":\"text\",\"text\":\"Let me see.\",\"state\":\"done\"},"
		       "{\"type\":\"tool-add_room\",\"toolCallId\":\"c1\",\"state\":\"output-available\",\"input\":{"
		       "\"name\":\"K\"},\"output\":{\"id\":\"r\"}},"
		       "{\"type\":\"tool-add_task\",\"toolCallId\":\"c2\",\"state\":\"output-error\",\"input\":{},"
		       "\"errorText\":\"title is required\"},"
		       "{\"type\":\"step-start\"},{\"type\":\"text\",\"text\":\"Done\",\"state\":\"done\"}]");
	buffer_fini(&parts);
	shown_fini(&s);
}

Test(shown, at_each_event_the_parts_are_json_and_the_place_is_known)
{
	for (size_t count = 0; count <= COUNT_OF(story); count++) {
		struct shown s;
		struct buffer parts;
		struct arena arena;
		struct json_value *root;
		const char *problem;

		shown_init(&s);
		buffer_init(&parts);
		arena_init(&arena);
		apply_all(&s, story, count);
		shown_write_parts(&s, &parts);
		cr_expect_eq(json_parse(&arena, buffer_text(&parts), &root, &problem), ERROR_NONE, "%zu: %.*s", count,
			TEXT_ARGS(buffer_text(&parts)));
		cr_expect_eq(shown_tool(&s, TEXT("c1")) != NULL, count >= 8 && count < 12, "%zu", count);
		arena_fini(&arena);
		buffer_fini(&parts);
		shown_fini(&s);
	}
}

Test(shown, nonsense_changes_nothing)
{
	static const char *const cases[] = { "", "{", "[]", "5", "{\"type\":7}", "{\"type\":\"text-end\"}",
		"{\"type\":\"tool-output-available\",\"toolCallId\":\"no\"}" };
	struct shown s;

	shown_init(&s);
	apply_all(&s, cases, COUNT_OF(cases));
	cr_expect_eq(buffer_length(&s.text), 0);
	cr_expect(!s.has_started && s.steps == 0);
	shown_fini(&s);
}
