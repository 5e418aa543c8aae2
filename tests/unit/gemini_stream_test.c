/* gemini_stream_test.c: recorded answers through stream.c, chunk.c and gemini.c, whole and cut at every byte. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/gemini_trace.h"
#include "worker/gemini/stream.h"

#ifndef RECORDINGS
#define RECORDINGS "tests/recordings"
#endif

static const struct {
	const char *name;     /* file in tests/recordings, without .sse */
	const char *expected; /* trace */
} recordings[] = {
#define START   "START gemini-2.5-flash kQ3abc\n"
#define START35 "START gemini-3.5-flash-lite kQ3abc\n"
#define TWO                                                                                                            \
	START "TEXT Tile over \nTEXT béton?\nUSAGE 9/6\nFINISH stop tokens=9/6 parts=[{\"text\":\"Tile over "         \
	      "béton?\"}]\n"
#define HALF       START "TEXT Half an \nUSAGE 9/0\n"
#define HALF_PARTS " tokens=9/0? parts=[{\"text\":\"Half an \"}]\n"
	{ "two_chunks", TWO },
	{ "lf", TWO },
	{ "cr", TWO },
	{ "comments_and_fields", TWO },
	{ "byte_order_mark", TWO },
	{ "escapes", START "TEXT a \"quote\" \\ \n\t <b> é € /\nTEXT 😀 and 😀\nTEXT nul � end � lone\nUSAGE 7/20\n"
			   "FINISH stop tokens=7/20 parts=[{\"text\":\"a \\\"quote\\\" \\\\ \\n\\u0009 <b> é € /😀 and "
			   "😀nul � end � lone\"}]\n" },
	{ "calls_parallel",
		"START gemini-3.5-flash-lite r1\nCALL fc_1 get_price {\"sku\":\"A1\",\"qty\":2.0}\nCALL fc_2 get_price "
		"{\"sku\":\"B2\"}\n"
		"USAGE 81/199\nFINISH tool_calls tokens=81/199 "
		"parts=[{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"get_price\",\"args\":{\"sku\":\"A1\",\"qty\":2.0}"
		"},\"thoughtSignature\":\"Q2lBQg==\"},"
		"{\"functionCall\":{\"id\":\"fc_2\",\"name\":\"get_price\",\"args\":{\"sku\":\"B2\"}}}]\n" },
	{ "calls_spread_identical",
		"START gemini-3.5-flash-lite r1\nCALL fc_1 add_task {\"title\":\"paint\"}\nCALL fc_2 add_task "
		"{\"title\":\"paint\"}\n"
		"USAGE 81/31\nFINISH tool_calls tokens=81/31 "
		"parts=[{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"add_task\",\"args\":{\"title\":\"paint\"}},"
		"\"thoughtSignature\":\"Q2lBQg==\"},"
		"{\"functionCall\":{\"id\":\"fc_2\",\"name\":\"add_task\",\"args\":{\"title\":\"paint\"}}}]\n" },
	{ "call_without_id_or_args",
		START "TEXT Let me look. \nCALL  list_tasks {}\nUSAGE 9/0\nFINISH tool_calls tokens=9/0? "
		      "parts=[{\"text\":\"Let me look. \"},{\"functionCall\":{\"name\":\"list_tasks\"}}]\n" },
	{ "signature_on_empty_text",
		START35 "TEXT Hello \nTEXT there.\nUSAGE 9/16\nFINISH stop tokens=9/16 "
			"parts=[{\"text\":\"Hello there.\"},{\"text\":\"\",\"thoughtSignature\":\"U2lnbmVk\"}]\n" },
	{ "signed_then_same_text",
		START35 "TEXT Yes.\nTEXT Yes.\nUSAGE 9/4\nFINISH stop tokens=9/4 "
			"parts=[{\"text\":\"Yes.\",\"thoughtSignature\":\"QQ==\"},{\"text\":\"Yes.\"}]\n" },
	{ "thoughts", "START gemini-3.8-flash kQ3abc\nTEXT Use 60x60.\nUSAGE 9/34\nFINISH stop tokens=9/34 "
		      "parts=[{\"text\":\"Use 60x60.\"}]\n" },
	{ "finish_separate", START "TEXT One\nUSAGE 9/2\nFINISH stop tokens=9/2 parts=[{\"text\":\"One\"}]\n" },
	{ "finish_without_content", START "TEXT One\nUSAGE 9/2\nFINISH stop tokens=9/2 parts=[{\"text\":\"One\"}]\n" },
	{ "chunk_after_finish", START "TEXT One\nUSAGE 6/3\nFINISH stop tokens=6/3 parts=[{\"text\":\"One\"}]\n" },
	{ "usage_only_last", "START gemini-2.5-flash x\nTEXT A\nTEXT B\nUSAGE 5/2\nFINISH stop tokens=5/2 "
			     "parts=[{\"text\":\"AB\"}]\n" },
	{ "usage_never", "START gemini-2.5-flash \nTEXT A\nFINISH stop tokens=0/0? parts=[{\"text\":\"A\"}]\n" },
	{ "empty_stop_no_parts", START "USAGE 9/0\nFAILURE empty retryable reason=EMPTY tokens=9/0 parts=[]\n" },
	{ "empty_stop_no_content", START "USAGE 9/0\nFAILURE empty retryable reason=EMPTY tokens=9/0 parts=[]\n" },
	{ "empty_stop_signature", START35 "USAGE 9/0\nFAILURE empty retryable reason=EMPTY tokens=9/0 "
					  "parts=[{\"text\":\"\",\"thoughtSignature\":\"QQ==\"}]\n" },
	{ "error_framed", HALF "FAILURE overloaded retryable status=UNAVAILABLE" HALF_PARTS },
	{ "error_raw_tail", HALF "FAILURE overloaded retryable status=UNAVAILABLE" HALF_PARTS },
	{ "error_raw_tail_unended",
		HALF "FAILURE rate_limited retryable status=RESOURCE_EXHAUSTED after=500" HALF_PARTS },
	{ "eof_without_finish", HALF "FAILURE broken retryable reason=NO_FINISH" HALF_PARTS },
	{ "half_event", HALF "FAILURE broken retryable reason=NO_FINISH" HALF_PARTS },
	{ "not_json", HALF "FAILURE broken retryable reason=NOT_JSON" HALF_PARTS },
	{ "blocked", START "USAGE 9/0\nFINISH filtered filter=PROHIBITED_CONTENT prompt tokens=9/0 parts=[]\n" },
	{ "safety_midway", START "TEXT To remove asb\nUSAGE 9/4\nFINISH filtered filter=SAFETY tokens=9/4 "
				 "parts=[{\"text\":\"To remove asb\"}]\n" },
	{ "max_tokens", START "TEXT A long\nUSAGE 9/8\nFINISH length tokens=9/8 parts=[{\"text\":\"A long\"}]\n" },
	{ "max_tokens_no_text", START "USAGE 9/8\nFAILURE other reason=MAX_TOKENS tokens=9/8 parts=[]\n" },
	{ "malformed_call", START
		"USAGE 9/0\nFAILURE malformed_call retryable reason=MALFORMED_FUNCTION_CALL tokens=9/0 parts=[]\n" },
	{ "unknown_reason",
		START "TEXT x\nUSAGE 9/1\nFAILURE other reason=ESCALATION tokens=9/1 parts=[{\"text\":\"x\"}]\n" },
	{ "data_on_two_lines", "START gemini-2.5-flash \nTEXT A\nFINISH stop tokens=0/0? parts=[{\"text\":\"A\"}]\n" },
};

static void read_recording(struct buffer *bytes, const char *name)
{
	char path[512];
	FILE *file;
	size_t got;

	(void)snprintf(path, sizeof path, "%s/%s.sse", RECORDINGS, name);
	file = fopen(path, "rb");
	cr_assert_not_null(file, "%s", path);
	while ((got = fread(buffer_reserve(bytes, 4096), 1, 4096, file)) > 0)
		buffer_grown(bytes, got);
	(void)fclose(file);
}

static void check(const char *name, struct text bytes, const struct trace_options *o, const char *expected)
{
	struct buffer trace;

	buffer_init(&trace);
	trace_answer(&trace, bytes, o);
	cr_assert_str_eq(buffer_text(&trace).bytes, expected,
		"%s (piece %zu, cut %zu, slow %d)\n--- got\n%s--- expected\n%s", name, o->piece, o->cut, o->is_slow,
		buffer_text(&trace).bytes, expected);
	buffer_fini(&trace);
}

Test(gemini_stream, each_recording_gives_its_events)
{
	for (size_t i = 0; i < COUNT_OF(recordings); i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		read_recording(&bytes, recordings[i].name);
		check(recordings[i].name, buffer_text(&bytes), &(struct trace_options) { 0 }, recordings[i].expected);
		check(recordings[i].name, buffer_text(&bytes), &(struct trace_options) { .is_slow = true },
			recordings[i].expected);
		buffer_fini(&bytes);
	}
}

Test(gemini_stream, where_the_bytes_are_cut_makes_no_difference)
{
	for (size_t i = 0; i < COUNT_OF(recordings); i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		read_recording(&bytes, recordings[i].name);
		check(recordings[i].name, buffer_text(&bytes), &(struct trace_options) { .piece = 1 },
			recordings[i].expected);
		check(recordings[i].name, buffer_text(&bytes), &(struct trace_options) { .piece = 7 },
			recordings[i].expected);
		for (size_t cut = 1; cut < buffer_length(&bytes); cut++)
			check(recordings[i].name, buffer_text(&bytes), &(struct trace_options) { .cut = cut },
				recordings[i].expected);
		buffer_fini(&bytes);
	}
}

#define UNARY(parts, reason)                                                                                           \
	"{\n  \"candidates\": [\n    {\"content\": {\"parts\": [" parts                                                \
	"], \"role\": \"model\"}, \"finishReason\": \"" reason                                                         \
	"\", \"index\": 0}],\n  \"usageMetadata\": {\"promptTokenCount\": 3, \"candidatesTokenCount\": 4},\n  "        \
	"\"modelVersion\": \"m\", "                                                                                    \
	"\"responseId\": \"r\"\n}\n"

Test(gemini_stream, a_structured_answer_is_one_text_without_its_fence)
{
	static const struct {
		const char *body, *expected;
	} cases[] = {
		{ UNARY("{\"text\": \"{\\\"a\\\":\"},{\"text\": \"2.0}\"}", "STOP"),
			"START m r\nTEXT {\"a\":2.0}\nUSAGE 3/4\nFINISH stop tokens=3/4 "
			"parts=[{\"text\":\"{\\\"a\\\":2.0}\"}]\n" },
		{ UNARY("{\"text\": \"```json\\n{}\\n```\\n\"}", "STOP"),
			"START m r\nTEXT {}\n\nUSAGE 3/4\nFINISH stop tokens=3/4 "
			"parts=[{\"text\":\"```json\\n{}\\n```\\n\"}]\n" },
		{ UNARY("{\"text\": \"{\\\"a\\\":\"}", "MAX_TOKENS"),
			"START m r\nUSAGE 3/4\nFAILURE other reason=MAX_TOKENS tokens=3/4 "
			"parts=[{\"text\":\"{\\\"a\\\":\"}]\n" },
		{ "<html>", "FAILURE broken retryable reason=NOT_JSON tokens=0/0? parts=[]\n" },
		{ "", "FAILURE broken retryable reason=NO_FINISH tokens=0/0? parts=[]\n" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check("structured", text_of(cases[i].body),
			&(struct trace_options) { .is_unary = true, .is_structured = true }, cases[i].expected);
}

static bool count_event(void *arg, struct text event)
{
	(void)event;
	++*(int *)arg;
	return false;
}

Test(gemini_stream, a_stopped_reader_gets_the_rest_later)
{
	struct stream s;
	struct text bytes = TEXT("data: a\r\n\r\ndata: b\r\n\r\ndata: c");
	int events = 0;
	size_t used = 0;

	stream_init(&s);
	cr_assert_eq(stream_feed(&s, bytes, count_event, &events, &used), STREAM_STOPPED);
	cr_assert_eq(events, 1);
	bytes = text_span(bytes.bytes + used, bytes.length - used);
	cr_assert_eq(stream_feed(&s, bytes, count_event, &events, &used), STREAM_STOPPED);
	cr_assert_eq(events, 2);
	bytes = text_span(bytes.bytes + used, bytes.length - used);
	cr_assert_eq(stream_feed(&s, bytes, count_event, &events, &used), STREAM_MORE);
	cr_assert(text_equals(stream_end(&s), TEXT("c")));
	stream_fini(&s);
}

Test(gemini_stream, an_endless_event_is_refused)
{
	struct stream s;
	static char piece[65536];
	int events = 0;
	size_t used, fed = 0;

	stream_init(&s);
	memset(piece, 'x', sizeof piece);
	memcpy(piece, "data: ", 6);
	while (stream_feed(&s, text_span(piece, sizeof piece), count_event, &events, &used) == STREAM_MORE && fed < 200)
		fed++;
	cr_assert_eq(fed, STREAM_EVENT_MAX_BYTES / sizeof piece);
	stream_fini(&s);
}
