/* From an HTTP request to an answer: key, path, model, method, body, rules, faults, generation, in that order.
 * Called by http.c through main.c. It decides nothing about content and sends nothing itself. */
#include "tests/gemini-sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/checks.h"
#include "tests/gemini-sim/embed.h"
#include "tests/gemini-sim/stream.h"
#include "tests/gemini-sim/tokens.h"
#include "tests/gemini-sim/validate.h"

struct call {
	struct sim *sim;             /* borrowed */
	struct http_exchange *x;     /* borrowed */
	struct journal_entry *entry; /* reference, handed on to the stream */
	char model_name[128];        /* from the path; "" if none */
	char method[64];             /* after the colon; "" for GET */
	const struct model *model;   /* NULL if unknown */
	char key[512];               /* as sent; "" if none */
	enum stream_form form;       /* how it wants to be answered */
	json_object *request;        /* owned; the normalised body */
};

static void call_refuse(struct call *call, struct refusal *refusal)
{
	json_object_put(call->request);
	call->request = NULL;
	stream_refuse(call->sim, call->x, call->entry, call->form, &refusal);
}

/* The default lets every key through that does not ask to be refused. */
static bool key_is_right(const struct sim *sim, const char *key)
{
	for (int i = 0; i < sim->settings.key_count; i++)
		if (strcmp(sim->settings.keys[i], key) == 0)
			return true;
	return sim->settings.key_count == 0 && *key != '\0' && !starts_with(key, "bad");
}

static void read_key(struct call *call)
{
	const char *header = http_header(call->x, "x-goog-api-key");
	if (header != NULL)
		snprintf(call->key, sizeof call->key, "%s", header);
	else if (!http_query(call->x, "key", call->key, sizeof call->key))
		call->key[0] = '\0';
}

static struct refusal *check_key(const struct call *call)
{
	if (key_is_right(call->sim, call->key))
		return NULL;
	if (call->key[0] != '\0')
		return refusal_bad_key();
	return refusal_create(403, "PERMISSION_DENIED",
		"Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
		"or other form of "
		"API consumer identity to call this API.");
}

/* "/v1beta/models/{m}:{method}" or "/v1beta/models" or "/v1beta/models/{m}". */
static bool read_path(struct call *call)
{
	const char *path = call->x->path;
	path += starts_with(path, "//") ? 1 : 0;
	const char *rest = NULL;
	static const char *const versions[] = { "/v1beta/", "/v1alpha/", "/v1/" };
	for (size_t i = 0; rest == NULL && i < 3; i++)
		if (starts_with(path, versions[i]))
			rest = path + strlen(versions[i]);
	if (rest == NULL || !starts_with(rest, "models"))
		return false;
	rest += strlen("models");
	if (*rest == '\0')
		return true;
	if (*rest != '/' || rest[1] == '\0')
		return false;
	rest++;
	size_t width = strcspn(rest, ":");
	const char *colon = rest + width;
	if (*colon == '\0' && (colon = strstr(rest, "%3A")) != NULL)
		width = (size_t)(colon - rest);
	snprintf(call->model_name, sizeof call->model_name, "%.*s", (int)width, rest);
	if (colon != NULL && *colon != '\0')
		snprintf(call->method, sizeof call->method, "%s", colon + (*colon == ':' ? 1 : 3));
	return true;
}

static enum stream_form read_form(const struct call *call)
{
	char alt[16] = "";
	if (strcmp(call->method, "streamGenerateContent") != 0)
		return STREAM_UNARY;
	http_query(call->x, "alt", alt, sizeof alt);
	return strcmp(alt, "sse") == 0 ? STREAM_EVENTS : STREAM_ARRAY;
}

static struct refusal *unknown_model(const struct call *call)
{
	return refusal_create(404, "NOT_FOUND",
		"models/%s is not found for API version v1beta, or is not supported for %s. Call ListModels to see the "
		"list of available "
		"models and their supported methods.",
		call->model_name, call->method[0] != '\0' ? call->method : "getModel");
}

static struct refusal *broken_json(const struct call *call, size_t offset)
{
	const char *body = (const char *)call->x->body;
	size_t length = call->x->body_length;
	size_t from = offset > 20 ? offset - 20 : 0;
	struct text excerpt = { 0 };
	for (size_t i = from; i < length && i < offset + 20; i++)
		text_append(
			&excerpt, (unsigned char)body[i] < 0x20 || (unsigned char)body[i] > 0x7e ? " " : body + i, 1);
	struct refusal *refusal = refusal_create(400, "INVALID_ARGUMENT", "Invalid JSON payload received. %s\n%s\n%*s^",
		offset >= length ? "Unexpected end of string." : "Unexpected token.", text_get(&excerpt),
		(int)(offset - from), "");
	json_object *violations = json_object_new_array();
	json_object *violation = json_object_new_object();
	json_put_text(violation, "description", refusal->message);
	json_object_array_add(violations, violation);
	refusal_add_violations(refusal, violations);
	text_fini(&excerpt);
	return refusal;
}

static struct refusal *read_body(struct call *call, const struct message *message)
{
	size_t offset = 0;
	struct violations violations = { 0 };
	json_object *body = json_read((const char *)call->x->body, call->x->body_length, &offset);
	if (body == NULL)
		return broken_json(call, offset);
	call->request = validate_message(message, body, &violations);
	json_object_put(body);
	struct refusal *refusal = NULL;
	if (violations.list != NULL) {
		refusal = refusal_create(400, "INVALID_ARGUMENT", "%s", text_get(&violations.message));
		refusal_add_violations(refusal, json_object_get(violations.list));
	}
	violations_fini(&violations);
	return refusal;
}

static void list_models(struct call *call)
{
	char value[32] = "";
	size_t size = http_query(call->x, "pageSize", value, sizeof value) ? (size_t)strtoul(value, NULL, 10) : 50;
	size_t start = 0;
	if (http_query(call->x, "pageToken", value, sizeof value)) {
		start = (size_t)strtoul(value + (starts_with(value, "sim-") ? 4 : 0), NULL, 10);
		if (!starts_with(value, "sim-") || start > model_count()) {
			call_refuse(call, refusal_create(400, "INVALID_ARGUMENT", "Invalid page token."));
			return;
		}
	}
	size = size == 0 ? 50 : size > 1000 ? 1000 : size;
	json_object *body = json_object_new_object();
	json_object *list = json_object_new_array();
	for (size_t i = start; i < model_count() && i < start + size; i++)
		json_object_array_add(list, model_resource(model_at(i)));
	json_put(body, "models", list);
	if (start + size < model_count()) {
		snprintf(value, sizeof value, "sim-%zu", start + size);
		json_put_text(body, "nextPageToken", value);
	}
	stream_reply(call->sim, call->x, call->entry, body);
}

static void prepare_plan(struct call *call, struct plan *plan, const struct conversation *c)
{
	struct plan_place place = { .model = call->model, .key = call->key };
	const struct settings *settings = &call->sim->settings;
	plan_init(plan);
	plan->first_byte_ms = settings->first_byte_ms;
	plan->chunk_ms = settings->chunk_ms;
	plan->split_bytes = settings->split_bytes;
	plan->overlap = settings->overlap;
	for (int i = 0; i < settings->fault_count; i++)
		fault_apply(plan, settings->faults[i], NULL, &place);
	fault_rules_apply(call->sim->rules, plan, call->method, call->model_name, c->asked, &place);
	markers_apply(call->sim->markers, plan, c->asked, c->hash, !c->continuing, &place);
}

/* Chunks that a script has before a fault are sent before it strikes. */
static void apply_script_faults(struct call *call, struct plan *plan, const struct answer *answer)
{
	struct plan_place place = { .model = call->model, .key = call->key };
	int chunks = 0;
	for (size_t i = 0; i < answer->count; i++) {
		if (answer->pieces[i].kind != PIECE_FAULT) {
			chunks++;
			continue;
		}
		fault_apply(plan, answer->pieces[i].text, answer->pieces[i].args, &place);
		if (plan->end_after < 0)
			plan->end_after = chunks;
	}
}

static struct refusal *conditional_refusal(const struct plan *plan, const json_object *request)
{
	static const char *const sampling[] = { "temperature", "topP", "topK" };
	const json_object *config = json_find(request, "generationConfig");
	const json_object *thinking = json_find(config, "thinkingConfig");
	for (size_t i = 0; plan->refuse_sampling && i < 3; i++)
		if (json_find(config, sampling[i]) != NULL)
			return refusal_create(
				400, "INVALID_ARGUMENT", "%s is not supported for this model.", sampling[i]);
	if (plan->refuse_thinking && thinking != NULL)
		return refusal_create(400, "INVALID_ARGUMENT", "%s is not supported for this model.",
			json_find(thinking, "thinkingLevel") != NULL ? "thinkingLevel" : "thinkingBudget");
	if (plan->refuse_level && json_find(thinking, "thinkingLevel") != NULL)
		return refusal_create(400, "INVALID_ARGUMENT", "Thinking level is not supported for this model.");
	return NULL;
}

static json_object *blocked_body(const struct call *call, const struct plan *plan)
{
	struct tokens tokens = tokens_of_request(call->request, call->model);
	json_object *body = json_object_new_object();
	json_object *feedback = json_object_new_object();
	json_object *usage = json_object_new_object();
	json_put_text(feedback, "blockReason", plan->block_reason);
	json_put(body, "promptFeedback", feedback);
	json_put_int(usage, "promptTokenCount", tokens_total(&tokens));
	json_put_int(usage, "totalTokenCount", tokens_total(&tokens));
	json_put(usage, "promptTokensDetails", tokens_details(&tokens));
	json_put(body, "usageMetadata", usage);
	json_put_text(body, "modelVersion", model_version_of(call->model));
	json_put_text(body, "responseId", "blocked");
	return body;
}

static void reply_blocked(struct call *call, struct plan *plan)
{
	json_object *body = blocked_body(call, plan);
	struct text out = { 0 };
	if (call->form == STREAM_UNARY) {
		stream_reply(call->sim, call->x, call->entry, body);
		return;
	}
	text_add(&out, call->form == STREAM_EVENTS ? "data: " : "[");
	json_write(&out, body, JSON_WIRE);
	text_add(&out, call->form == STREAM_EVENTS ? plan->delimiter : "]\n");
	call->entry->status = 200;
	http_begin(call->x, 200,
		call->form == STREAM_EVENTS ? "Content-Type: text/event-stream\r\nContent-Disposition: attachment\r\n"
					    : "Content-Type: application/json; charset=UTF-8\r\n");
	http_write(call->x, out.bytes, out.length);
	http_finish(call->x);
	journal_end(call->sim->journal, &call->entry, "blocked");
	text_fini(&out);
	json_object_put(body);
}

/* A remembered answer (only for continuations), a scripted one, or a made one. */
static struct answer *find_answer(struct call *call, struct conversation *c, struct plan *plan)
{
	struct answer *answer = c->continuing ? answer_memory_take(call->sim->memory, c->hash) : NULL;
	if (answer != NULL)
		return answer;
	answer = script_take(call->sim->script, call->method, call->model_name, c->asked);
	if (answer != NULL) {
		answer_memory_keep(call->sim->memory, c->hash, answer);
		apply_script_faults(call, plan, answer);
		return answer;
	}
	return generate_answer(c, plan);
}

static void generate(struct call *call)
{
	struct conversation c;
	struct plan plan;
	conversation_init(&c, call->request);
	prepare_plan(call, &plan, &c);
	struct answer *answer = NULL;
	struct refusal *refusal = plan.refusal;
	plan.refusal = NULL;
	if (refusal == NULL)
		refusal = check_request(call->request, call->model, call->key);
	if (refusal == NULL)
		refusal = conditional_refusal(&plan, call->request);
	if (refusal == NULL) {
		answer = find_answer(call, &c, &plan);
		refusal = plan.refusal;
		plan.refusal = NULL;
	}
	if (refusal != NULL || plan.block_reason != NULL) {
		free(call->entry->faults);
		call->entry->faults = memory_copy(text_get(&plan.faults));
		if (refusal != NULL)
			call_refuse(call, refusal);
		else
			reply_blocked(call, &plan);
		plan_fini(&plan);
		answer_destroy(&answer);
	} else {
		struct stream_request request = { .sim = call->sim,
			.x = call->x,
			.entry = call->entry,
			.form = call->form,
			.model = call->model,
			.key = call->key,
			.prompt = tokens_of_request(call->request, call->model) };
		generate_limit(answer, &c, call->model, &plan);
		stream_start(&request, &plan, answer);
	}
	conversation_fini(&c);
}

static void count_tokens(struct call *call)
{
	const json_object *inner = json_find(call->request, "generateContentRequest");
	if (inner == NULL && json_length(json_find_list(call->request, "contents")) == 0) {
		call_refuse(call, refusal_create(400, "INVALID_ARGUMENT",
					  "* CountTokensRequest.contents: contents is not specified\n"));
		return;
	}
	struct tokens tokens = tokens_of_request(inner != NULL ? inner : call->request, call->model);
	json_object *body = json_object_new_object();
	json_put_int(body, "totalTokens", tokens_total(&tokens));
	json_put(body, "promptTokensDetails", tokens_details(&tokens));
	stream_reply(call->sim, call->x, call->entry, body);
}

/* Only the plain errors of rules apply to methods that generate nothing. */
static struct refusal *fault_of_simple_method(struct call *call)
{
	struct plan plan;
	struct plan_place place = { .model = call->model, .key = call->key };
	plan_init(&plan);
	fault_rules_apply(call->sim->rules, &plan, call->method[0] != '\0' ? call->method : "models", call->model_name,
		"", &place);
	struct refusal *refusal = plan.refusal;
	plan.refusal = NULL;
	plan_fini(&plan);
	return refusal;
}

static void serve_post(struct call *call)
{
	bool generates =
		strcmp(call->method, "generateContent") == 0 || strcmp(call->method, "streamGenerateContent") == 0;
	bool counts = strcmp(call->method, "countTokens") == 0;
	bool embeds = strcmp(call->method, "embedContent") == 0;
	bool batch = strcmp(call->method, "batchEmbedContents") == 0;
	struct refusal *refusal = NULL;
	if (!(generates || counts || embeds || batch) || (generates && call->model->kind != MODEL_CHAT) ||
		((embeds || batch) && call->model->kind != MODEL_EMBEDDING))
		refusal = unknown_model(call);
	if (refusal == NULL && !generates)
		refusal = fault_of_simple_method(call);
	if (refusal == NULL)
		refusal = read_body(call, generates ? &message_generate_content
					  : counts  ? &message_count_tokens
					  : embeds  ? &message_embed_content
						    : &message_batch_embed_contents);
	if (refusal != NULL) {
		call_refuse(call, refusal);
		return;
	}
	if (generates) {
		generate(call);
	} else if (counts) {
		count_tokens(call);
	} else {
		json_object *body = NULL;
		refusal = batch ? embed_batch(call->request, call->model_name, &body) : embed_one(call->request, &body);
		if (refusal != NULL)
			call_refuse(call, refusal);
		else
			stream_reply(call->sim, call->x, call->entry, body);
	}
	json_object_put(call->request);
}

static void serve(struct call *call)
{
	struct refusal *refusal = check_key(call);
	bool get = strcmp(call->x->method, "GET") == 0;
	if (refusal == NULL && call->model_name[0] != '\0' && call->model == NULL)
		refusal = unknown_model(call);
	if (refusal == NULL && get && call->method[0] == '\0')
		refusal = fault_of_simple_method(call);
	if (refusal == NULL &&
		(get ? call->method[0] != '\0' : strcmp(call->x->method, "POST") != 0 || call->model == NULL))
		refusal = refusal_create(404, "NOT_FOUND", "Requested entity was not found.");
	if (refusal != NULL)
		call_refuse(call, refusal);
	else if (!get)
		serve_post(call);
	else if (call->model != NULL)
		stream_reply(call->sim, call->x, call->entry, model_resource(call->model));
	else
		list_models(call);
}

static bool call_init(struct call *call, struct sim *sim, struct http_exchange *x)
{
	*call = (struct call) { .sim = sim, .x = x };
	if (!read_path(call))
		return false;
	read_key(call);
	call->model = model_find(call->model_name);
	call->form = read_form(call);
	call->entry = journal_begin(sim->journal, x, call->method[0] != '\0' ? call->method : "models",
		call->model_name, key_is_right(sim, call->key));
	return true;
}

static void serve_not_found(struct http_exchange *x)
{
	static const char page[] =
		"<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 404 (Not Found)!!1</title>\n"
		"  <p><b>404.</b> <ins>That’s an error.</ins>\n</html>\n";
	http_reply(x, 404, "Content-Type: text/html; charset=UTF-8\r\n", page, sizeof page - 1);
}

void service_handle(struct http_exchange *x, void *context)
{
	struct call call;
	if (starts_with(x->path, "/sim"))
		control_handle(context, x);
	else if (call_init(&call, context, x))
		serve(&call);
	else
		serve_not_found(x);
}

void service_too_large(struct http_exchange *x, void *context)
{
	struct call call;
	if (!call_init(&call, context, x)) {
		serve_not_found(x);
		return;
	}
	call_refuse(&call, refusal_create(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: %d bytes.",
				   call.sim->settings.body_limit_mib * 1024 * 1024));
}
