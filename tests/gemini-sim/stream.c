/* Plays frames over time: events, array elements or one object, and everything that can go wrong on the way.
 * Called by service.c. What is said was decided before; this file only sends, waits, cuts and resets. */
#include "tests/gemini-sim/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/gemini-sim/frames.h"

#define COMMON_FIELDS                                                                                                  \
	"Vary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\nX-XSS-Protection: 0\r\nX-Frame-Options: SAMEORIGIN\r\n"    \
	"X-Content-Type-Options: nosniff\r\n"
#define OVERLOADED                                                                                                     \
	"This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again "  \
	"later."

struct stream {
	struct stream_request request;  /* as given */
	struct plan plan;               /* owned */
	struct answer *answer;          /* owned */
	struct frames frames;           /* owned */
	struct wheel_timer timer;       /* the next thing to do */
	struct response_facts facts;    /* for each frame */
	char response_id[24];           /* constant over the stream */
	size_t next;                    /* frame to be sent next */
	size_t end_after;               /* frames before the plan's ending */
	int64_t due_ms;                 /* when `next` is sent */
	bool begun;                     /* the head was sent */
	bool silent;                    /* waiting for ever: for the client to leave */
	struct stream *next_open, **at; /* in the simulator's list */
};

static void stream_end(struct stream *stream, const char *outcome)
{
	struct sim *sim = stream->request.sim;
	wheel_cancel(&stream->timer);
	journal_end(sim->journal, &stream->request.entry, outcome);
	*stream->at = stream->next_open;
	if (stream->next_open != NULL)
		stream->next_open->at = stream->at;
	frames_fini(&stream->frames);
	answer_destroy(&stream->answer);
	plan_fini(&stream->plan);
	free(stream);
}

void stream_drop_all(struct sim *sim)
{
	while (sim->streams != NULL)
		stream_end(sim->streams, "stopped");
}

static void on_client_gone(struct http_exchange *x, void *owner)
{
	struct stream *stream = owner;
	(void)x;
	stream->request.entry->closed_after_ms = wheel_now_ms() - stream->request.entry->begun_ms;
	stream_end(stream, "client closed");
}

static const char *form_type(enum stream_form form)
{
	return form == STREAM_EVENTS ? "text/event-stream" : "application/json; charset=UTF-8";
}

static void stream_fields(struct text *fields, enum stream_form form, int64_t took_ms)
{
	text_format(fields, "Content-Type: %s\r\n%sServer-Timing: gfet4t7; dur=%lld\r\n" COMMON_FIELDS, form_type(form),
		form == STREAM_EVENTS ? "Content-Disposition: attachment\r\n" : "", (long long)took_ms);
}

static void stream_begin(struct stream *stream)
{
	struct text fields = { 0 };
	if (stream->begun)
		return;
	stream->begun = true;
	stream->request.entry->status = 200;
	stream_fields(&fields, stream->request.form, wheel_now_ms() - stream->request.entry->begun_ms);
	http_begin(stream->request.x, 200, fields.bytes);
	text_fini(&fields);
}

void stream_refuse(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, enum stream_form form,
	struct refusal **refusal)
{
	struct text fields = { 0 };
	struct text body = { 0 };
	char outcome[32];
	json_object *error = refusal_body(*refusal);
	stream_fields(&fields, form, wheel_now_ms() - entry->begun_ms);
	text_add(&fields, (*refusal)->fields);
	text_add(&body, form == STREAM_ARRAY ? "[" : "");
	json_write(&body, error, JSON_PRETTY);
	text_add(&body, form == STREAM_ARRAY ? "\n]\n" : "\n");
	entry->status = (*refusal)->code;
	snprintf(outcome, sizeof outcome, "error %d", (*refusal)->code);
	http_reply(x, (*refusal)->code, fields.bytes, body.bytes, body.length);
	journal_end(sim->journal, &entry, outcome);
	refusal_destroy(refusal);
	json_object_put(error);
	text_fini(&fields);
	text_fini(&body);
}

void stream_reply(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, json_object *body)
{
	struct text fields = { 0 };
	struct text text = { 0 };
	stream_fields(&fields, STREAM_UNARY, wheel_now_ms() - entry->begun_ms);
	json_write(&text, body, JSON_PRETTY);
	text_add(&text, "\n");
	entry->status = 200;
	http_reply(x, 200, fields.bytes, text.bytes, text.length);
	journal_end(sim->journal, &entry, "ok");
	json_object_put(body);
	text_fini(&fields);
	text_fini(&text);
}

/* One JSON value in the clothes of its form. */
static void put_json(struct stream *stream, struct text *out, const json_object *value)
{
	switch (stream->request.form) {
	case STREAM_EVENTS:
		if (stream->plan.comments)
			text_format(out, ": ping%sevent: chunk%.2sid: %zu%.2sretry: 10%.2s", stream->plan.delimiter,
				stream->plan.delimiter, stream->next, stream->plan.delimiter, stream->plan.delimiter);
		text_add(out, "data: ");
		json_write(out, value, JSON_WIRE);
		text_add(out, stream->plan.delimiter);
		return;
	case STREAM_ARRAY:
		text_add(out, stream->next == 0 ? "[" : ",\r\n");
		json_write(out, value, JSON_PRETTY);
		text_add(out, "\n");
		return;
	case STREAM_UNARY:
		json_write(out, value, JSON_PRETTY);
		text_add(out, "\n");
		return;
	}
}

static void frame_text(struct stream *stream, struct text *out)
{
	json_object *response = frame_response(&stream->frames.list[stream->next], &stream->plan, &stream->facts);
	put_json(stream, out, response);
	json_object_put(response);
}

static void schedule(struct stream *stream)
{
	int delay_ms = stream->plan.chunk_ms;
	if (stream->next < stream->frames.count && stream->frames.list[stream->next].delay_ms >= 0)
		delay_ms = stream->frames.list[stream->next].delay_ms;
	stream->due_ms += delay_ms;
	wheel_start(stream->request.sim->wheel, &stream->timer, stream->due_ms);
}

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
	put_json(stream, out, response);
	json_object_put(response);
}

static void end_properly(struct stream *stream, const char *outcome)
{
	struct http_exchange *x = stream->request.x;
	if (stream->request.form == STREAM_ARRAY)
		http_write(x, stream->next == 0 ? "[]\n" : "]\n", stream->next == 0 ? 3 : 2);
	stream_end(stream, outcome);
	http_finish(x);
}

/* What the plan says shall happen instead of the rest of the answer. */
static void play_ending(struct stream *stream)
{
	struct http_exchange *x = stream->request.x;
	enum plan_ending ending = stream->plan.ending;
	struct text out = { 0 };
	stream_begin(stream);
	switch (ending) {
	case ENDING_FRAMED: {
		json_object *error = late_error(stream);
		put_json(stream, &out, error);
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
			frame_text(stream, &out);
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

static void play_unary(struct stream *stream);

/* The moment of sending, inside the first text of the event. */
static void write_stamped(struct stream *stream, const struct text *event)
{
	static const char member[] = "\"text\": \"";
	const char *found = strstr(event->bytes, member);
	struct timespec now;
	struct text out = { 0 };
	if (found == NULL) {
		http_write(stream->request.x, event->bytes, event->length);
		return;
	}
	size_t head = (size_t)(found - event->bytes) + sizeof member - 1;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	text_append(&out, event->bytes, head);
	text_format(&out, "@@%lld@@", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	text_append(&out, event->bytes + head, event->length - head);
	http_write(stream->request.x, out.bytes, out.length);
	text_fini(&out);
}

static void on_due(void *owner)
{
	struct stream *stream = owner;
	if (stream->request.form == STREAM_UNARY) {
		play_unary(stream);
		return;
	}
	if (stream->plan.ending != ENDING_NORMAL && stream->next >= stream->end_after) {
		play_ending(stream);
		return;
	}
	if (stream->next == stream->frames.count) {
		stream_begin(stream);
		end_properly(stream, "ok");
		return;
	}
	struct text out = { 0 };
	stream_begin(stream);
	frame_text(stream, &out);
	if (stream->plan.stamp)
		write_stamped(stream, &out);
	else
		http_write(stream->request.x, out.bytes, out.length);
	text_fini(&out);
	stream->next++;
	stream->request.entry->chunks++;
	bool last = stream->next == stream->frames.count && stream->plan.ending == ENDING_NORMAL;
	if (last)
		end_properly(stream, "ok");
	else
		schedule(stream);
}

/* A unary answer that fails half-way: the head promises more than comes. */
static void cut_unary(struct stream *stream, const struct text *body)
{
	struct http_exchange *x = stream->request.x;
	struct text head = { 0 };
	enum plan_ending ending = stream->plan.ending;
	text_format(&head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		form_type(STREAM_UNARY), body->length);
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

static void play_unary(struct stream *stream)
{
	struct http_exchange *x = stream->request.x;
	struct text body = { 0 };
	struct text fields = { 0 };
	bool cut = stream->plan.ending == ENDING_CUT || stream->plan.ending == ENDING_RESET ||
		   stream->plan.ending == ENDING_SILENCE;
	if (stream->plan.ending == ENDING_FRAMED || stream->plan.ending == ENDING_RAW) {
		json_object *error = late_error(stream);
		put_json(stream, &body, error);
		json_object_put(error);
	} else if (stream->plan.ending == ENDING_FINISH) {
		finish_frame(stream, &body);
	} else {
		frame_text(stream, &body);
	}
	if (cut) {
		cut_unary(stream, &body);
		text_fini(&body);
		return;
	}
	if (stream->plan.ending == ENDING_MALFORMED || stream->plan.ending == ENDING_HALF_EVENT ||
		stream->plan.ending == ENDING_EOF)
		body.length /= 2;
	stream_fields(&fields, STREAM_UNARY, wheel_now_ms() - stream->request.entry->begun_ms);
	stream->request.entry->status = 200;
	stream->request.entry->chunks = 1;
	stream_end(stream, "ok");
	http_reply(x, 200, fields.bytes, body.bytes, body.length);
	text_fini(&fields);
	text_fini(&body);
}

static void make_response_id(struct sim *sim, char *out, size_t capacity)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t number = hash_bytes(sim->start_stamp | 1, &sim->answers, sizeof sim->answers);
	uint64_t more = hash_bytes(number | 1, "id", 2);
	sim->answers++;
	for (size_t i = 0; i + 1 < capacity; i++) {
		out[i] = alphabet[(i < 10 ? number >> (i * 6) : more >> ((i - 10) * 5)) & 63];
		out[i + 1] = '\0';
	}
}

static void start_silence(struct stream *stream, bool headers)
{
	stream->silent = true;
	if (headers)
		stream_begin(stream);
}

/* Everything that is not an answer at all. True if it was dealt with. */
static bool play_before(struct stream *stream)
{
	static const char html[] = "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 502 "
				   "(Server Error)!!1</title>\n"
				   "  <p><b>502.</b> <ins>That’s an error.</ins>\n  <p>The server encountered a "
				   "temporary error and could not complete your request.\n</html>\n";
	struct http_exchange *x = stream->request.x;
	struct text fields = { 0 };
	enum plan_before before = stream->plan.before;
	stream_fields(&fields, stream->request.form, 1);
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

void stream_start(const struct stream_request *request, struct plan *plan, struct answer *answer)
{
	struct sim *sim = request->sim;
	struct stream *stream = memory_take(sizeof *stream);
	stream->request = *request;
	stream->plan = *plan;
	stream->answer = answer;
	stream->next_open = sim->streams;
	if (stream->next_open != NULL)
		stream->next_open->at = &stream->next_open;
	stream->at = &sim->streams;
	sim->streams = stream;
	stream->timer = (struct wheel_timer) { .run = on_due, .owner = stream };
	make_response_id(sim, stream->response_id, sizeof stream->response_id);
	frames_build(
		&stream->frames, answer, &stream->plan, request->model, request->key, request->form == STREAM_UNARY);
	stream->facts = (struct response_facts) { .prompt = request->prompt,
		.output_tokens = stream->frames.output_tokens,
		.thoughts = answer->thoughts,
		.response_id = stream->response_id,
		.model_version = plan->model_version != NULL ? plan->model_version : model_version_of(request->model) };
	stream->end_after = plan->end_after >= 0 ? (size_t)plan->end_after : stream->frames.count / 2;
	request->x->split_bytes = plan->split_bytes;
	request->x->owner = stream;
	request->x->on_gone = on_client_gone;
	free(request->entry->faults);
	request->entry->faults = memory_copy(text_get(&plan->faults));
	if (play_before(stream))
		return;
	stream->due_ms = wheel_now_ms() + plan->first_byte_ms;
	if (plan->first_byte_ms == 0)
		on_due(stream);
	else
		wheel_start(sim->wheel, &stream->timer, stream->due_ms);
}
