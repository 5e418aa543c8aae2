/* Plays frames over time: events, array elements or one object. What goes wrong on the way is in stream_faults.c.
 * Called by service.c. What is said was decided before; this file only sends, waits, cuts and resets. */
#include "tests/gemini-sim/playing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void stream_end(struct stream *stream, const char *outcome)
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

void stream_begin(struct stream *stream)
{
	struct text fields = { 0 };
	if (stream->begun)
		return;
	stream->begun = true;
	stream->request.entry->status = 200;
	reply_fields(&fields, stream->request.form, wheel_now_ms() - stream->request.entry->begun_ms);
	http_begin(stream->request.x, 200, fields.bytes);
	text_fini(&fields);
}

void stream_put_json(struct stream *stream, struct text *out, const json_object *value)
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

void stream_put_frame(struct stream *stream, struct text *out)
{
	json_object *response = frame_response(&stream->frames.list[stream->next], &stream->plan, &stream->facts);
	stream_put_json(stream, out, response);
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

static void end_properly(struct stream *stream, const char *outcome)
{
	struct http_exchange *x = stream->request.x;
	if (stream->request.form == STREAM_ARRAY)
		http_write(x, stream->next == 0 ? "[]\n" : "]\n", stream->next == 0 ? 3 : 2);
	stream_end(stream, outcome);
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
		stream_play_ending(stream);
		return;
	}
	if (stream->next == stream->frames.count) {
		stream_begin(stream);
		end_properly(stream, "ok");
		return;
	}
	struct text out = { 0 };
	stream_begin(stream);
	stream_put_frame(stream, &out);
	if (stream->plan.stamp)
		write_stamped(stream, &out);
	else
		http_write(stream->request.x, out.bytes, out.length);
	text_fini(&out);
	stream->next++;
	stream->request.entry->chunks++;
	bool last = stream->next == stream->frames.count && stream->plan.ending == ENDING_NORMAL;
	if (last && !stream->plan.usage_absent) {
		stream->request.entry->input_tokens =
			tokens_total(&stream->facts.prompt) - (stream->plan.usage_changes ? 1 : 0);
		stream->request.entry->output_tokens =
			stream->facts.thoughts + (stream->plan.usage_uncounted ? 0 : stream->facts.output_tokens);
	}
	if (last)
		end_properly(stream, "ok");
	else
		schedule(stream);
}

static void play_unary(struct stream *stream)
{
	struct http_exchange *x = stream->request.x;
	struct text body = { 0 };
	struct text fields = { 0 };
	if (stream->plan.ending != ENDING_NORMAL) {
		stream_play_broken_unary(stream);
		return;
	}
	stream_put_frame(stream, &body);
	reply_fields(&fields, STREAM_UNARY, wheel_now_ms() - stream->request.entry->begun_ms);
	stream->request.entry->status = 200;
	stream->request.entry->chunks = 1;
	stream_end(stream, "ok");
	reply_send(x, 200, STREAM_UNARY, &fields, &body);
	text_fini(&fields);
	text_fini(&body);
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
	reply_response_id(sim, stream->response_id, sizeof stream->response_id);
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
	if (stream_play_before(stream))
		return;
	stream->due_ms = wheel_now_ms() + plan->first_byte_ms;
	if (plan->first_byte_ms == 0)
		on_due(stream);
	else
		wheel_start(sim->wheel, &stream->timer, stream->due_ms);
}
