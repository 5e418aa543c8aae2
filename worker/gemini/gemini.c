/* gemini.c: the meaning of Gemini's chunks: text, calls, usage, parts to keep, and how an answer ended. Called by provider.c with each
 * dispatched event or whole body. Only a finishReason makes an answer a success; an `error` member anywhere makes it a failure. */
#include "config.h"
#include "worker/gemini/gemini.h"

#include <stdio.h>

#include "worker/gemini/json.h"

void answer_init(
	struct answer *a, struct json_tokener *tokener, struct model_facts *facts, model_event_fn *on_event, void *arg)
{
	*a = (struct answer) { .tokener = tokener, .facts = facts, .on_event = on_event, .arg = arg, .key = "" };
}

void answer_fini(struct answer *a)
{
	parts_fini(&a->parts);
	buffer_fini(&a->scratch);
	buffer_fini(&a->document);
}

/* ---- telling ---- */

static void tell_start(struct answer *a, struct text version, struct text id)
{
	struct text model = version.length > 0 ? version : text_of(a->facts->name);

	if (a->is_started)
		return;
	a->is_started = true;
	if (version.length > 0 && !text_equals(version, text_of(a->facts->answers_as)))
		(void)snprintf(a->facts->answers_as, sizeof a->facts->answers_as, "%.*s", TEXT_ARGS(version));
	a->on_event(
		a->arg, &(struct model_event) { .type = MODEL_EVENT_START, .model_version = model, .response_id = id });
}

static void tell_text(struct answer *a, struct text text)
{
	if (text.length == 0)
		return;
	a->text_bytes += text.length;
	if (a->is_structured)
		buffer_append_text(&a->document, text);
	else
		a->on_event(a->arg, &(struct model_event) { .type = MODEL_EVENT_TEXT, .text = text });
}

static void tell_call(struct answer *a, struct json_object *call)
{
	struct json_object *args = json_member(call, "args");
	struct buffer arguments;

	buffer_init(&arguments);
	if (json_object_is_type(args, json_type_object))
		json_append(&arguments, args);
	else
		buffer_append_string(&arguments, "{}");
	a->calls++;
	a->on_event(a->arg, &(struct model_event) { .type = MODEL_EVENT_CALL,
				    .call_id = json_string(call, "id"),
				    .call_name = json_string(call, "name"),
				    .call_arguments = buffer_text(&arguments) });
	buffer_fini(&arguments);
}

/* ---- reading ---- */

static void take_finish_reason(struct answer *a, struct text reason)
{
	if (reason.length > 0)
		(void)snprintf(a->finish_reason, sizeof a->finish_reason, "%.*s", TEXT_ARGS(reason));
}

static void take_usage(struct answer *a, const struct chunk_usage *usage)
{
	if (!usage->is_seen)
		return;
	a->usage = *usage;
	a->is_counted = a->finish_reason[0] != '\0' || a->block_reason[0] != '\0';
}

/* What is stored of a part, and what of it is told. A thought is neither, unless its signature must go back. */
static void take_part(struct answer *a, struct json_object *part)
{
	if (!json_object_is_type(part, json_type_object) || json_object_object_length(part) == 0)
		return;
	parts_clean(part, &a->scratch);
	parts_cut_call_name(part);

	struct text text = json_string(part, "text");
	bool is_signed = json_member(part, "thoughtSignature") != NULL;
	bool is_thought = json_object_get_boolean(json_member(part, "thought"));

	if (is_thought) {
		if (is_signed)
			parts_add(&a->parts, part);
		return;
	}
	if (text.bytes != NULL && json_object_object_length(part) == 1) {
		parts_add_text(&a->parts, text);
	} else {
		parts_add(&a->parts, part);
	}
	tell_text(a, text);
	if (json_object_is_type(json_member(part, "functionCall"), json_type_object))
		tell_call(a, json_member(part, "functionCall"));
}

static void take_candidate(struct answer *a, struct json_object *candidate)
{
	struct json_object *parts = json_member(json_member(candidate, "content"), "parts");

	for (size_t i = 0; json_object_is_type(parts, json_type_array) && i < json_object_array_length(parts); i++)
		take_part(a, json_object_array_get_idx(parts, i));
	take_finish_reason(a, json_string(candidate, "finishReason"));
}

/* Candidate 0; a missing index means 0. */
static struct json_object *find_candidate(struct json_object *root)
{
	struct json_object *list = json_member(root, "candidates");

	for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
		if (json_integer(json_object_array_get_idx(list, i), "index") == 0)
			return json_object_array_get_idx(list, i);
	return NULL;
}

static int64_t count_of(struct json_object *usage, const char *name)
{
	int64_t count = json_integer(usage, name);

	return count > 0 ? count : 0;
}

/* A model on its way out says so; whoever concludes the call logs it now and then. */
static void take_status(struct answer *a, struct json_object *status)
{
	struct text stage = json_string(status, "modelStage");

	if (text_equals(stage, TEXT("LEGACY")) || text_equals(stage, TEXT("DEPRECATED")))
		(void)snprintf(a->facts->stage, sizeof a->facts->stage, "%.*s", TEXT_ARGS(stage));
}

static void take_document(struct answer *a, struct json_object *root)
{
	struct json_object *usage = json_member(root, "usageMetadata");
	struct text blocked = json_string(json_member(root, "promptFeedback"), "blockReason");

	parts_clean(json_member(root, "modelVersion"), &a->scratch);
	parts_clean(json_member(root, "responseId"), &a->scratch);
	tell_start(a, json_string(root, "modelVersion"), json_string(root, "responseId"));
	take_status(a, json_member(root, "modelStatus"));
	if (blocked.length > 0)
		(void)snprintf(a->block_reason, sizeof a->block_reason, "%.*s", TEXT_ARGS(blocked));
	take_candidate(a, find_candidate(root));
	if (json_object_is_type(usage, json_type_object))
		take_usage(a, &(struct chunk_usage) { .prompt = count_of(usage, "promptTokenCount"),
				      .candidates = count_of(usage, "candidatesTokenCount"),
				      .thoughts = count_of(usage, "thoughtsTokenCount"),
				      .is_seen = true });
}

static bool take_slowly(struct answer *a, struct text event)
{
	struct json_object *root = json_parse_text(a->tokener, event);
	struct json_object *error = json_member(root, "error");

	if (!json_object_is_type(root, json_type_object))
		failure_set(&a->failure, MODEL_BROKEN, MODEL_RETRIES_MANY, "NOT_JSON");
	else if (error != NULL)
		failure_from_error(&a->failure, error, a->key);
	else
		take_document(a, root);
	json_object_put(root);
	return a->failure.class == MODEL_OK;
}

bool answer_take(struct answer *a, struct text event)
{
	struct chunk chunk;

	if (a->failure.class != MODEL_OK)
		return false;
	if (event.length == 0)
		return true;
	if (a->is_slow || !chunk_read(event, &a->scratch, &chunk))
		return take_slowly(a, event);
	tell_start(a, chunk.model_version, chunk.response_id);
	parts_add_text(&a->parts, chunk.text);
	tell_text(a, chunk.text);
	take_finish_reason(a, chunk.finish_reason);
	take_usage(a, &chunk.usage);
	return true;
}

void answer_take_tail(struct answer *a, struct text tail)
{
	struct json_object *root = json_parse_text(a->tokener, tail);
	struct json_object *first = json_object_is_type(root, json_type_array) && json_object_array_length(root) > 0
					    ? json_object_array_get_idx(root, 0)
					    : root;
	struct json_object *error = json_member(first, "error");

	if (a->failure.class == MODEL_OK && error != NULL)
		failure_from_error(&a->failure, error, a->key);
	json_object_put(root);
}

/* ---- the end ---- */

#define SIGNATURE_MISSING "MISSING_THOUGHT_SIGNATURE"

enum ending { ENDING_STOP, ENDING_LENGTH, ENDING_FILTERED, ENDING_FAILURE };

/* clang-format off */
/* THE table of finish reasons; what is not listed is a failure of class MODEL_OTHER. */
static const struct ending_row {
	const char *reason;       /* finishReason */
	enum ending ending;       /* what it makes of the answer */
	enum model_failure class; /* ENDING_FAILURE */
	int retries;              /* ENDING_FAILURE: attempts more that may help */
} endings[] = {
	{ "STOP", ENDING_STOP, MODEL_OK, 0 },
	{ "MAX_TOKENS", ENDING_LENGTH, MODEL_OK, 0 },
	{ "CONTINUATION", ENDING_LENGTH, MODEL_OK, 0 },
	{ "SAFETY", ENDING_FILTERED, MODEL_OK, 0 },
	{ "RECITATION", ENDING_FILTERED, MODEL_OK, 0 },
	{ "BLOCKLIST", ENDING_FILTERED, MODEL_OK, 0 },
	{ "PROHIBITED_CONTENT", ENDING_FILTERED, MODEL_OK, 0 },
	{ "SPII", ENDING_FILTERED, MODEL_OK, 0 },
	{ "MALFORMED_FUNCTION_CALL", ENDING_FAILURE, MODEL_MALFORMED_CALL, 2 },
	{ "UNEXPECTED_TOOL_CALL", ENDING_FAILURE, MODEL_MALFORMED_CALL, 2 },
	{ "MALFORMED_RESPONSE", ENDING_FAILURE, MODEL_BROKEN, 1 },
	{ SIGNATURE_MISSING, ENDING_FAILURE, MODEL_BAD_REQUEST, 1 },
};
/* clang-format on */

static struct ending_row find_ending(const char *reason)
{
	for (size_t i = 0; i < COUNT_OF(endings); i++)
		if (text_equals(text_of(reason), text_of(endings[i].reason)))
			return endings[i];
	return (struct ending_row) { reason, ENDING_FAILURE, MODEL_OTHER, 0 };
}

/* What finish makes of the answer; sets a->failure when it is none after all. */
static enum model_finish judge(struct answer *a)
{
	struct ending_row row = find_ending(a->finish_reason);

	switch (row.ending) {
	case ENDING_FILTERED: return MODEL_FINISH_FILTERED;
	case ENDING_FAILURE:
		failure_set(&a->failure, row.class, row.retries, a->finish_reason);
		if (text_equals(text_of(row.reason), TEXT(SIGNATURE_MISSING)))
			failure_want_placeholders(&a->failure);
		break;
	case ENDING_STOP:
	case ENDING_LENGTH:
		/* Calls arrive whole; with one of them the reason says nothing. */
		if (a->calls > 0)
			return MODEL_FINISH_TOOL_CALLS;
		if (row.ending == ENDING_STOP && a->text_bytes > 0)
			return MODEL_FINISH_STOP;
		if (row.ending == ENDING_LENGTH && a->text_bytes > 0 && !a->is_structured)
			return MODEL_FINISH_LENGTH;
		if (row.ending == ENDING_STOP)
			failure_set(&a->failure, MODEL_EMPTY, 1, "EMPTY");
		else /* asked again it would be cut again */
			failure_set(&a->failure, MODEL_OTHER, 0, a->finish_reason);
		break;
	}
	return MODEL_FINISH_STOP;
}

static enum model_finish conclude(struct answer *a, enum transfer_result result, int http_status)
{
	if (a->failure.class != MODEL_OK)
		return MODEL_FINISH_STOP;
	if (a->block_reason[0] != '\0' && a->finish_reason[0] == '\0')
		return MODEL_FINISH_FILTERED;
	/* A connection that breaks after the finish reason lost counts at most, not the answer. */
	if (a->finish_reason[0] != '\0')
		return judge(a);
	failure_from_transfer(&a->failure, result, http_status);
	return MODEL_FINISH_STOP;
}

/* Some models wrap JSON into a Markdown fence although a mime type was asked for. */
static struct text without_fence(struct text document)
{
	struct text inner = document;
	const char *line_end;

	while (inner.length > 0 && (unsigned char)inner.bytes[inner.length - 1] <= ' ')
		inner.length--;
	if (!text_starts_with(inner, TEXT("```")) || inner.length < 7 ||
		memcmp(inner.bytes + inner.length - 3, "```", 3) != 0)
		return document;
	line_end = memchr(inner.bytes, '\n', inner.length - 3);
	if (line_end == NULL)
		return document;
	line_end++;
	return text_span(line_end, (size_t)(inner.bytes + inner.length - 3 - line_end));
}

static void tell_document(struct answer *a)
{
	struct text document = without_fence(buffer_text(&a->document));

	if (document.length > 0)
		a->on_event(a->arg, &(struct model_event) { .type = MODEL_EVENT_TEXT, .text = document });
}

void answer_finish(struct answer *a, enum transfer_result result, int http_status, struct model_event *last_out)
{
	enum model_finish finish = conclude(a, result, http_status);
	struct model_usage usage = { .input_tokens = a->usage.prompt,
		.output_tokens = a->usage.candidates + a->usage.thoughts,
		.is_estimated = !a->is_counted };
	bool has_failed = a->failure.class != MODEL_OK;

	if (!has_failed && finish == MODEL_FINISH_STOP)
		tell_document(a);
	if (a->usage.is_seen)
		a->on_event(a->arg, &(struct model_event) { .type = MODEL_EVENT_USAGE, .usage = usage });
	*last_out = (struct model_event) { .type = has_failed ? MODEL_EVENT_FAILURE : MODEL_EVENT_FINISH,
		.usage = usage,
		.response_id = TEXT_NONE,
		.parts = parts_finish(&a->parts) };
	if (has_failed) {
		last_out->failure = a->failure.class;
		last_out->retries = a->failure.retries;
		last_out->is_signature_refused = a->failure.is_signature_refused;
		last_out->retry_after_ms = a->failure.retry_after_ms;
		last_out->http_status = a->failure.http_status != 0 ? a->failure.http_status : http_status;
		last_out->provider_status = text_of(a->failure.status);
		last_out->provider_reason = text_of(a->failure.reason);
	} else {
		last_out->finish = finish;
	}
	if (finish == MODEL_FINISH_FILTERED) {
		last_out->is_prompt_blocked = a->finish_reason[0] == '\0';
		last_out->filter_reason = text_of(last_out->is_prompt_blocked ? a->block_reason : a->finish_reason);
	}
}
