/* Everything that goes wrong with an answer on the wire: errors in the stream, cuts, resets, silence, bodies that are none.
 * Called by stream.c when the plan says so. */
#include "tests/gemini-sim/playing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERLOADED                                                                                                     \
	"This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again "  \
	"later."

static json_object *late_error(const struct stream *stream)
{
	int code = stream->plan.end_code > 0 ? stream->plan.end_code : 503;
	struct refusal *refusal = refusal_create(code,
		code == 503   ? "UNAVAILABLE"
		: code == 429 ? "RESOURCE_EXHAUSTED"
		: code == 504 ? "DEADLINE_EXCEEDED"
			      : "INTERNAL",
		"%s", stream->plan.end_message != NULL ? stream->plan.end_message : OVERLOADED);
	json_object *body = refusal_body(refusal);
	refusal_destroy(&refusal);
	return body;
}

/* A bare, indented object with CRLF line ends after the events. */
static void raw_error(const struct stream *stream, struct text *out)
{
	json_object *body = late_error(stream);
	char *pretty = json_text_of(body, JSON_PRETTY);
	for (const char *c = pretty; *c != '\0'; c++)
		text_append(out, *c == '\n' ? "\r\n" : c, *c == '\n' ? 2 : 1);
	text_add(out, "\r\n");
	free(pretty);
	json_object_put(body);
}

static void finish_frame(struct stream *stream, struct text *out)
{
	struct frame frame = { .no_content = true,
		.last = true,
		.finish = stream->plan.finish_reason,
		.message = stream->plan.finish_message };
	json_object *response = frame_response(&frame, &stream->plan, &stream->facts);
	stream_put_json(stream, out, response);
	json_object_put(response);
}

void stream_play_ending(struct stream *stream)
{
	struct http_exchange *x = stream->request.x;
	enum plan_ending ending = stream->plan.ending;
	struct text out = { 0 };
	stream_begin(stream);
	switch (ending) {
	case ENDING_FRAMED: {
		json_object *error = late_error(stream);
		stream_put_json(stream, &out, error);
		json_object_put(error);
		break;
	}
	case ENDING_RAW: raw_error(stream, &out); break;
	case ENDING_FINISH: finish_frame(stream, &out); break;
	case ENDING_MALFORMED:
		text_format(&out, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"broken%s",
			stream->plan.delimiter);
		break;
	case ENDING_HALF_EVENT:
		if (stream->next < stream->frames.count)
			stream_put_frame(stream, &out);
		out.length /= 2;
		break;
	case ENDING_NORMAL:
	case ENDING_EOF:
	case ENDING_CUT:
	case ENDING_RESET:
	case ENDING_SILENCE: break;
	}
	http_write(x, text_get(&out), out.length);
	text_fini(&out);
	if (ending == ENDING_SILENCE) {
		stream->silent = true;
		return;
	}
	if (ending == ENDING_RESET || ending == ENDING_CUT) {
		stream_end(stream, ending == ENDING_RESET ? "reset" : "cut");
		ending == ENDING_RESET ? http_reset(x) : http_close(x);
		return;
	}
	stream_end(stream, ending == ENDING_FINISH ? "filtered" : "failed in the stream");
	http_finish(x);
}

/* A head that promises more than comes. */
static void cut_unary(struct stream *stream, const struct text *body)
{
	struct http_exchange *x = stream->request.x;
	struct text head = { 0 };
	enum plan_ending ending = stream->plan.ending;
	text_format(&head,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %zu\r\n\r\n",
		body->length);
	text_append(&head, body->bytes, body->length / 2);
	http_write_raw(x, head.bytes, head.length);
	text_fini(&head);
	stream->request.entry->status = 200;
	if (ending == ENDING_SILENCE) {
		stream->silent = true;
		return;
	}
	stream_end(stream, ending == ENDING_RESET ? "reset" : "cut");
	ending == ENDING_RESET ? http_reset(x) : http_close(x);
}

void stream_play_broken_unary(struct stream *stream)
{
	struct http_exchange *x = stream->request.x;
	enum plan_ending ending = stream->plan.ending;
	struct text body = { 0 };
	struct text fields = { 0 };
	if (ending == ENDING_FRAMED || ending == ENDING_RAW) {
		json_object *error = late_error(stream);
		stream_put_json(stream, &body, error);
		json_object_put(error);
	} else if (ending == ENDING_FINISH) {
		finish_frame(stream, &body);
	} else {
		stream_put_frame(stream, &body);
	}
	if (ending == ENDING_CUT || ending == ENDING_RESET || ending == ENDING_SILENCE) {
		cut_unary(stream, &body);
		text_fini(&body);
		return;
	}
	if (ending == ENDING_MALFORMED || ending == ENDING_HALF_EVENT || ending == ENDING_EOF)
		body.length /= 2;
	reply_fields(&fields, STREAM_UNARY, wheel_now_ms() - stream->request.entry->begun_ms);
	stream->request.entry->status = 200;
	stream_end(stream, "failed in the stream");
	http_reply(x, 200, fields.bytes, body.bytes, body.length);
	text_fini(&fields);
	text_fini(&body);
}

static void start_silence(struct stream *stream, bool headers)
{
	stream->silent = true;
	if (headers)
		stream_begin(stream);
}

bool stream_play_before(struct stream *stream)
{
	static const char html[] = "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 502 "
				   "(Server Error)!!1</title>\n"
				   "  <p><b>502.</b> <ins>That’s an error.</ins>\n  <p>The server encountered a "
				   "temporary error and could not complete your request.\n</html>\n";
	struct http_exchange *x = stream->request.x;
	struct text fields = { 0 };
	enum plan_before before = stream->plan.before;
	reply_fields(&fields, stream->request.form, 1);
	switch (before) {
	case BEFORE_NOTHING: text_fini(&fields); return false;
	case BEFORE_SILENCE: start_silence(stream, false); break;
	case BEFORE_HEADERS_ONLY: start_silence(stream, true); break;
	case BEFORE_HTML:
		stream->request.entry->status = 502;
		stream_end(stream, "error 502");
		http_reply(x, 502, "Content-Type: text/html; charset=UTF-8\r\n", html, sizeof html - 1);
		break;
	case BEFORE_EMPTY:
		stream->request.entry->status = 200;
		stream_end(stream, "empty body");
		http_reply(x, 200, fields.bytes, "", 0);
		break;
	case BEFORE_EMPTY_ERROR:
		stream->request.entry->status = 500;
		stream_end(stream, "error 500");
		http_reply(x, 500, fields.bytes, "", 0);
		break;
	case BEFORE_GARBAGE:
		stream->request.entry->status = 200;
		stream_end(stream, "garbage");
		http_reply(x, 200, fields.bytes, "this is not JSON {]\r\n", 21);
		break;
	case BEFORE_CLOSE:
		stream_end(stream, "cut");
		http_close(x);
		break;
	case BEFORE_RESET:
		stream_end(stream, "reset");
		http_reset(x);
		break;
	}
	text_fini(&fields);
	return true;
}
