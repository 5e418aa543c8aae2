/* gemini_trace.c: see gemini_trace.h. */
#include "config.h"
#include "tests/unit/gemini_trace.h"

#include "worker/gemini/gemini.h"
#include "worker/gemini/json.h"
#include "worker/gemini/stream.h"

static const char *const finishes[] = { "stop", "tool_calls", "length", "filtered" };
static const char *const failures[] = { "ok", "auth", "bad_request", "gone", "rate_limited", "quota_day", "overloaded",
	"down", "slow", "empty", "broken", "malformed_call", "other" };

static void write_end(struct buffer *out, const struct model_event *e)
{
	if (e->type == MODEL_EVENT_FINISH)
		buffer_printf(out, "FINISH %s", finishes[e->finish]);
	else
		buffer_printf(out, "FAILURE %s%s", failures[e->failure], e->retries > 0 ? " retryable" : "");
	if (e->filter_reason.length > 0)
		buffer_printf(
			out, " filter=%.*s%s", TEXT_ARGS(e->filter_reason), e->is_prompt_blocked ? " prompt" : "");
	if (e->provider_status.length > 0)
		buffer_printf(out, " status=%.*s", TEXT_ARGS(e->provider_status));
	if (e->provider_reason.length > 0)
		buffer_printf(out, " reason=%.*s", TEXT_ARGS(e->provider_reason));
	if (e->retry_after_ms != 0)
		buffer_printf(out, " after=%lld", (long long)e->retry_after_ms);
	buffer_printf(out, " tokens=%lld/%lld%s parts=%.*s\n", (long long)e->usage.input_tokens,
		(long long)e->usage.output_tokens, e->usage.is_estimated ? "?" : "", TEXT_ARGS(e->parts));
}

void trace_event(struct buffer *out, const struct model_event *e)
{
	switch (e->type) {
	case MODEL_EVENT_START:
		buffer_printf(out, "START %.*s %.*s\n", TEXT_ARGS(e->model_version), TEXT_ARGS(e->response_id));
		break;
	case MODEL_EVENT_TEXT:
		buffer_append_string(out, "TEXT ");
		buffer_append_text(out, e->text);
		buffer_append_char(out, '\n');
		break;
	case MODEL_EVENT_CALL:
		buffer_printf(out, "CALL %.*s %.*s %.*s\n", TEXT_ARGS(e->call_id), TEXT_ARGS(e->call_name),
			TEXT_ARGS(e->call_arguments));
		break;
	case MODEL_EVENT_USAGE:
		buffer_printf(
			out, "USAGE %lld/%lld\n", (long long)e->usage.input_tokens, (long long)e->usage.output_tokens);
		break;
	case MODEL_EVENT_FINISH:
	case MODEL_EVENT_FAILURE: write_end(out, e); break;
	}
}

static void on_event(void *arg, const struct model_event *event)
{
	trace_event(arg, event);
}

static bool on_stream_event(void *arg, struct text event)
{
	return answer_take(arg, event);
}

/* False when the answer wants no more. */
static bool feed(struct stream *stream, struct answer *answer, struct text bytes)
{
	size_t used = 0;

	/* A copy of exactly these bytes, so that a look beyond them is caught by the sanitizer. */
	char *copy = must_strndup(bytes.bytes, bytes.length);
	enum stream_result result = stream_feed(stream, text_span(copy, bytes.length), on_stream_event, answer, &used);

	free(copy);
	return result == STREAM_MORE;
}

static void feed_all(struct stream *stream, struct answer *answer, struct text bytes, const struct trace_options *o)
{
	struct text tail;
	size_t piece = o->piece > 0 ? o->piece : o->cut > 0 ? o->cut : bytes.length;

	for (size_t at = 0; at < bytes.length;) {
		size_t length = bytes.length - at < piece ? bytes.length - at : piece;

		if (!feed(stream, answer, text_span(bytes.bytes + at, length)))
			break;
		at += length;
		if (o->piece == 0)
			piece = bytes.length;
	}
	tail = stream_end(stream);
	if (tail.bytes != NULL)
		answer_take_tail(answer, tail);
}

void trace_answer(struct buffer *out, struct text bytes, const struct trace_options *o)
{
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);
	struct models models = { 0 };
	struct stream stream;
	struct answer answer;
	struct model_event last;

	stream_init(&stream);
	answer_init(&answer, tokener, models_facts(&models, TEXT("gemini-2.5-flash")), on_event, out);
	answer.is_slow = o->is_slow;
	answer.is_structured = o->is_structured;
	if (o->is_unary)
		(void)answer_take(&answer, bytes);
	else
		feed_all(&stream, &answer, bytes, o);
	answer_finish(&answer, TRANSFER_COMPLETE, 200, &last);
	trace_event(out, &last);
	buffer_append_char(out, '\0');
	answer_fini(&answer);
	stream_fini(&stream);
	json_tokener_free(tokener);
}
