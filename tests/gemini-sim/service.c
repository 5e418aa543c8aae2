/* From an HTTP request to a method: key, path, model, body, in that order; and the methods that generate nothing.
 * Called by http.c through main.c. Generation is in service_generate.c. */
#include "tests/gemini-sim/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/embed.h"
#include "tests/gemini-sim/tokens.h"
#include "tests/gemini-sim/validate.h"

void call_refuse(struct call *call, struct refusal *refusal)
{
	json_object_put(call->request);
	call->request = NULL;
	reply_refusal(call->sim, call->x, call->entry, call->form, &refusal);
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
	reply_json(call->sim, call->x, call->entry, body);
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
	reply_json(call->sim, call->x, call->entry, body);
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
		call_generate(call);
	} else if (counts) {
		count_tokens(call);
	} else {
		json_object *body = NULL;
		refusal = batch ? embed_batch(call->request, call->model_name, &body) : embed_one(call->request, &body);
		if (refusal != NULL)
			call_refuse(call, refusal);
		else
			reply_json(call->sim, call->x, call->entry, body);
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
		reply_json(call->sim, call->x, call->entry, model_resource(call->model));
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
