/* Divides an answer into frames and writes each as a GenerateContentResponse. Called by stream.c.
 * It knows no timing beyond the delays that a script wrote down, and nothing of sockets. */
#include "tests/gemini-sim/frames.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cutter {
	struct frames *frames;       /* being filled */
	const struct answer *answer; /* being cut */
	const struct plan *plan;     /* how */
	const struct model *model;   /* for ids and signatures */
	const char *key;             /* for signatures */
	bool whole;                  /* unary: everything in one frame */
	size_t position;             /* bytes of text seen, for skip_bytes */
	size_t calls;                /* calls seen */
};

static struct frame *frame_add(struct frames *frames)
{
	frames->list = memory_resize(frames->list, (frames->count + 1) * sizeof *frames->list);
	struct frame *frame = &frames->list[frames->count++];
	*frame = (struct frame) { .delay_ms = -1 };
	return frame;
}

void frames_fini(struct frames *frames)
{
	for (size_t i = 0; i < frames->count; i++)
		json_object_put(frames->list[i].parts);
	free(frames->list);
	*frames = (struct frames) { 0 };
}

static json_object *text_part(const char *text, size_t length, bool thought)
{
	json_object *part = json_object_new_object();
	json_put(part, "text", json_object_new_string_len(text, (int)length));
	if (thought)
		json_put(part, "thought", json_object_new_boolean(1));
	return part;
}

static void put_signature(struct cutter *c, json_object *part, const char *subject)
{
	char *signature = signature_make(c->model, c->key, subject, c->answer->seed + c->calls);
	json_put_text(part, "thoughtSignature", signature);
	free(signature);
}

static json_object *call_part(struct cutter *c, const struct piece *piece)
{
	json_object *part = json_object_new_object();
	json_object *call = json_object_new_object();
	if (model_sends_ids(c->model)) {
		char id[24];
		uint64_t hash = hash_bytes(c->answer->seed | 1, &c->calls, sizeof c->calls);
		snprintf(id, sizeof id, "fc_%012llx", (unsigned long long)(hash & 0xffffffffffffu));
		json_put_text(call, "id", id);
	}
	json_put_text(call, "name", piece->text);
	json_put(call, "args", json_object_get(piece->args));
	json_put(part, "functionCall", call);
	bool signs = model_checks_signatures(c->model) || c->answer->thoughts > 0;
	if (c->calls == 0 && signs)
		put_signature(c, part, piece->text);
	c->calls++;
	return part;
}

static void add_part(struct cutter *c, json_object *part, bool new_frame, int delay_ms)
{
	struct frame *frame = c->frames->count > 0 ? &c->frames->list[c->frames->count - 1] : NULL;
	if (frame == NULL || (new_frame && !c->whole)) {
		frame = frame_add(c->frames);
		frame->parts = json_object_new_array();
		frame->delay_ms = delay_ms;
	}
	json_object_array_add(frame->parts, part);
}

/* Text that the client has already is left out; what is left of a chunk that straddles the seam is sent. */
static void add_chunk(struct cutter *c, const char *text, size_t length, int delay_ms)
{
	size_t skip = c->answer->skip_bytes > c->position ? c->answer->skip_bytes - c->position : 0;
	c->position += length;
	if (skip >= length)
		return;
	char *sent = memory_copy_part(text + skip, length - skip);
	c->frames->output_tokens += tokens_of_text(sent);
	free(sent);
	add_part(c, text_part(text + skip, length - skip, false), true, delay_ms);
}

static size_t word_end(const char *text, size_t at)
{
	while (text[at] != '\0' && !isspace((unsigned char)text[at]))
		at++;
	while (isspace((unsigned char)text[at]))
		at++;
	return at;
}

/* As the model sends it: a short first chunk, then some words at a time. */
static void cut_naturally(struct cutter *c, const char *text)
{
	uint64_t seed = hash_string(0, text);
	size_t at = 0;
	for (size_t chunk = 0; text[at] != '\0'; chunk++) {
		size_t words = chunk == 0 ? 1 : 2 + (seed >> (chunk * 5 % 59)) % 6;
		size_t end = at;
		for (size_t w = 0; w < words; w++)
			end = word_end(text, end);
		add_chunk(c, text + at, end - at, -1);
		at = end;
	}
}

static size_t count_units(const char *text, bool words)
{
	size_t count = 0;
	for (size_t at = 0; text[at] != '\0'; count++)
		at = words ? word_end(text, at) : at + utf8_width(text + at);
	return count;
}

/* Into exactly `wanted` chunks (fewer only if there are fewer characters), at words where there are enough of them. */
static void cut_evenly(struct cutter *c, const char *text, size_t wanted)
{
	bool words = count_units(text, true) >= wanted;
	size_t units = count_units(text, words);
	size_t done = 0;
	size_t at = 0;
	if (wanted > units)
		wanted = units;
	for (size_t chunk = 1; chunk <= wanted; chunk++) {
		size_t end = at;
		for (; done < units * chunk / wanted; done++)
			end = words ? word_end(text, end) : end + utf8_width(text + end);
		add_chunk(c, text + at, end - at, -1);
		at = end;
	}
}

static void cut_text(struct cutter *c, const char *text)
{
	if (c->whole)
		add_chunk(c, text, strlen(text), -1);
	else if (c->plan->chunks > 0)
		cut_evenly(c, text, (size_t)c->plan->chunks);
	else
		cut_naturally(c, text);
}

/* Unary answers carry neighbouring texts as one part. */
static void cut_whole_text(struct cutter *c)
{
	struct text all = { 0 };
	answer_text(c->answer, &all);
	if (all.length > 0)
		cut_text(c, all.bytes);
	text_fini(&all);
}

static void cut_pieces(struct cutter *c)
{
	bool texts_done = false;
	for (size_t i = 0; i < c->answer->count; i++) {
		const struct piece *piece = &c->answer->pieces[i];
		switch (piece->kind) {
		case PIECE_TEXT:
			if (c->whole && !texts_done)
				cut_whole_text(c);
			else if (!c->whole && piece->whole)
				add_chunk(c, piece->text, strlen(piece->text), piece->delay_ms);
			else if (!c->whole)
				cut_text(c, piece->text);
			texts_done = true;
			break;
		case PIECE_THOUGHT:
			add_part(c, text_part(piece->text, strlen(piece->text), true), true, piece->delay_ms);
			break;
		case PIECE_CALL: {
			bool first = i == 0 || c->answer->pieces[i - 1].kind != PIECE_CALL || piece->delay_ms >= 0;
			c->frames->output_tokens += tokens_of_text(piece->text) + tokens_of_json(piece->args);
			add_part(c, call_part(c, piece), first || c->plan->parallel_spread, piece->delay_ms);
			break;
		}
		case PIECE_FAULT: break;
		}
	}
}

/* 3.x signs the last text of an answer without calls; by switch on an empty part of its own. */
static void sign_text(struct cutter *c)
{
	struct frame *last = c->frames->count > 0 ? &c->frames->list[c->frames->count - 1] : NULL;
	if (c->plan->signature_on_empty_text) {
		json_object *part = text_part("", 0, false);
		put_signature(c, part, "");
		add_part(c, part, true, -1);
	} else if (c->calls == 0 && last != NULL && c->answer->thoughts > 0 && model_checks_signatures(c->model)) {
		put_signature(c, json_at(last->parts, json_length(last->parts) - 1), "");
	}
}

static void make_empty(struct cutter *c)
{
	struct frame *frame = frame_add(c->frames);
	frame->no_content = c->plan->empty == EMPTY_NO_CONTENT;
	if (c->plan->empty == EMPTY_ONLY_SIGNATURE) {
		json_object *part = text_part("", 0, false);
		put_signature(c, part, "");
		frame->parts = json_object_new_array();
		json_object_array_add(frame->parts, part);
	}
}

static void finish(struct cutter *c)
{
	const char *reason = c->plan->finish_reason != NULL ? c->plan->finish_reason : c->answer->finish_reason;
	const char *message = c->plan->finish_reason != NULL ? c->plan->finish_message : c->answer->finish_message;
	if (reason == NULL)
		reason = "STOP";
	if (message == NULL && c->calls > 0 && strcmp(reason, "STOP") == 0)
		message = "Model generated function call(s).";
	if (c->frames->count == 0 || (c->plan->finish_separate && !c->whole))
		frame_add(c->frames);
	struct frame *last = &c->frames->list[c->frames->count - 1];
	last->finish = reason;
	last->message = message;
	last->last = true;
	if (c->plan->after_finish && !c->whole) {
		last = frame_add(c->frames);
		last->no_candidate = true;
		last->last = true;
	}
}

void frames_build(struct frames *frames, const struct answer *answer, const struct plan *plan,
	const struct model *model, const char *key, bool whole)
{
	struct cutter c = { frames, answer, plan, model, key, whole, 0, 0 };
	*frames = (struct frames) { 0 };
	if (plan->empty != EMPTY_NOT) {
		make_empty(&c);
	} else if (!plan->finish_drops_content) {
		cut_pieces(&c);
		sign_text(&c);
	}
	finish(&c);
}

static json_object *frame_candidate(const struct frame *frame, const struct plan *plan)
{
	json_object *candidate = json_object_new_object();
	json_object *content = json_object_new_object();
	if (frame->parts != NULL)
		json_put(content, "parts", json_object_get(frame->parts));
	json_put_text(content, "role", "model");
	if (frame->no_content)
		json_object_put(content);
	else
		json_put(candidate, "content", content);
	if (frame->finish != NULL)
		json_put_text(candidate, "finishReason", frame->finish);
	if (frame->finish != NULL && strcmp(frame->finish, "CONTINUATION") == 0)
		json_put_text(candidate, "continuationToken", "c2ltLWNvbnRpbnVhdGlvbg==");
	if (frame->message != NULL)
		json_put_text(candidate, "finishMessage", frame->message);
	if (!plan->index_missing)
		json_put_int(candidate, "index", 0);
	return candidate;
}

static json_object *frame_usage(const struct frame *frame, const struct plan *plan, const struct response_facts *facts)
{
	json_object *usage = json_object_new_object();
	int prompt = tokens_total(&facts->prompt) - (frame->last && plan->usage_changes ? 1 : 0);
	int output = frame->last && !plan->usage_uncounted ? facts->output_tokens : 0;
	json_put_int(usage, "promptTokenCount", prompt);
	if (output > 0)
		json_put_int(usage, "candidatesTokenCount", output);
	json_put_int(usage, "totalTokenCount", prompt + output + facts->thoughts);
	json_put(usage, "promptTokensDetails", tokens_details(&facts->prompt));
	if (facts->thoughts > 0)
		json_put_int(usage, "thoughtsTokenCount", facts->thoughts);
	return usage;
}

json_object *frame_response(const struct frame *frame, const struct plan *plan, const struct response_facts *facts)
{
	json_object *response = json_object_new_object();
	if (!frame->no_candidate) {
		json_object *candidates = json_object_new_array();
		json_object_array_add(candidates, frame_candidate(frame, plan));
		json_put(response, "candidates", candidates);
	}
	if (!plan->usage_absent && (frame->last || !plan->usage_missing_middle))
		json_put(response, "usageMetadata", frame_usage(frame, plan, facts));
	json_put_text(response, "modelVersion", facts->model_version);
	json_put_text(response, "responseId", facts->response_id);
	return response;
}
