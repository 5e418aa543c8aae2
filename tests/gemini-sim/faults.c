/* THE table of faults, and the rules of /sim/faults. Called by service.c (rules), markers.c and main.c (names).
 * A fault only writes into the plan; generate.c and stream.c carry it out. */
#include "tests/gemini-sim/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void fault_fn(struct plan *plan, const json_object *params, const struct plan_place *place);

struct fault {
	const char *name;    /* as used in rules, markers and --fault */
	const char *about;   /* one sentence */
	int code;            /* for plain errors: HTTP status; 0 otherwise */
	const char *status;  /* for plain errors: error.status */
	const char *message; /* for plain errors; %s = the model's name */
	const char *reason;  /* for plain errors: ErrorInfo.reason; NULL = no details */
	fault_fn *set;       /* NULL for plain errors */
};

static int after(const json_object *params)
{
	return (int)json_find_number(params, "afterChunks", -1);
}

static const char *model_name(const struct plan_place *place)
{
	return place->model != NULL ? place->model->name : "unknown";
}

static void set_refusal(struct plan *plan, struct refusal *refusal)
{
	refusal_destroy(&plan->refusal);
	plan->refusal = refusal;
}

static void replace(char **owned, const char *value)
{
	free(*owned);
	*owned = memory_copy(value);
}

static void set_quota(struct plan *plan, const json_object *params, const struct plan_place *place, const char *period,
	const char *delay)
{
	char quota_id[96];
	const char *wanted = json_find_text(params, "retryDelay");
	delay = wanted != NULL ? wanted : delay;
	snprintf(quota_id, sizeof quota_id, "GenerateRequestsPer%sPerProjectPerModel-FreeTier", period);
	struct refusal *refusal = refusal_create(429, "RESOURCE_EXHAUSTED",
		"You exceeded your current quota, please check your plan and billing details. For more information on "
		"this error, head to: "
		"https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: "
		"generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10, model: %s\nPlease "
		"retry in %s.",
		model_name(place), delay);
	refusal_add_quota(refusal, "generativelanguage.googleapis.com/generate_content_free_tier_requests", quota_id,
		model_name(place), strcmp(period, "Day") == 0 ? "250" : "10");
	refusal_add_help(refusal);
	refusal_add_retry(refusal, delay);
	set_refusal(plan, refusal);
}

static void set_429_minute(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	set_quota(plan, params, place, "Minute", "26s");
}

static void set_429_half_second(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	set_quota(plan, params, place, "Minute", "0.5s");
}

static void set_429_day(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	set_quota(plan, params, place, "Day", "45.578569677s");
}

static void set_429_header(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)params;
	(void)place;
	set_refusal(plan, refusal_create(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."));
	plan->refusal->fields = "Retry-After: 7\r\n";
}

static void set_bad_key(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)params;
	(void)place;
	set_refusal(plan, refusal_bad_key());
}

static void set_key_in_message(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)params;
	set_refusal(plan, refusal_create(403, "PERMISSION_DENIED",
				  "Permission denied: Consumer 'api_key:%s' has been suspended.", place->key));
	refusal_add_info(plan->refusal, "CONSUMER_SUSPENDED", "generativelanguage.googleapis.com");
}

// clang-format off
#define BEFORE(id, value) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)params; (void)place; plan->before = value; }
#define ENDING(id, value) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)place; plan->ending = value; plan->end_after = after(params); \
	  plan->end_code = (int)json_find_number(params, "code", 0); \
	  if (json_find_text(params, "message") != NULL) replace(&plan->end_message, json_find_text(params, "message")); }
#define EMPTY(id, value) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)params; (void)place; plan->empty = value; }
#define FLAG(id, member) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)params; (void)place; plan->member = true; }
#define MIDDLE(id, reason) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)place; plan->ending = ENDING_FINISH; plan->end_after = after(params); replace(&plan->finish_reason, reason); }
#define BARE(id, reason, text) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)params; (void)place; plan->finish_drops_content = true; \
	  replace(&plan->finish_reason, reason); replace(&plan->finish_message, text); }
#define DELIMITER(id, value) static void id(struct plan *plan, const json_object *params, const struct plan_place *place) \
	{ (void)params; (void)place; plan->delimiter = value; }
// clang-format on

BEFORE(set_html, BEFORE_HTML)
BEFORE(set_empty_body, BEFORE_EMPTY)
BEFORE(set_empty_error, BEFORE_EMPTY_ERROR)
BEFORE(set_close, BEFORE_CLOSE)
BEFORE(set_reset_before, BEFORE_RESET)
BEFORE(set_silence, BEFORE_SILENCE)
BEFORE(set_silence_headers, BEFORE_HEADERS_ONLY)
BEFORE(set_garbage, BEFORE_GARBAGE)
ENDING(set_error_framed, ENDING_FRAMED)
ENDING(set_error_raw, ENDING_RAW)
ENDING(set_eof, ENDING_EOF)
ENDING(set_cut, ENDING_CUT)
ENDING(set_reset, ENDING_RESET)
ENDING(set_silence_middle, ENDING_SILENCE)
ENDING(set_malformed, ENDING_MALFORMED)
ENDING(set_half_event, ENDING_HALF_EVENT)
EMPTY(set_empty_stop, EMPTY_NO_PARTS)
EMPTY(set_empty_no_content, EMPTY_NO_CONTENT)
EMPTY(set_empty_signature, EMPTY_ONLY_SIGNATURE)
MIDDLE(set_safety, "SAFETY")
MIDDLE(set_recitation, "RECITATION")
MIDDLE(set_max_tokens, "MAX_TOKENS")
BARE(set_malformed_call, "MALFORMED_FUNCTION_CALL",
	"Malformed function call: print(default_api.add_task(title='Measure")
BARE(set_unexpected_call, "UNEXPECTED_TOOL_CALL", "Model tried to call an undeclared function: default_api.search_web")
BARE(set_missing_signature, "MISSING_THOUGHT_SIGNATURE", "A thought signature is missing from the request.")
FLAG(set_usage_middle, usage_missing_middle)
FLAG(set_usage_absent, usage_absent)
FLAG(set_usage_uncounted, usage_uncounted)
FLAG(set_usage_changes, usage_changes)
FLAG(set_finish_separate, finish_separate)
FLAG(set_after_finish, after_finish)
FLAG(set_signature_empty, signature_on_empty_text)
FLAG(set_index_missing, index_missing)
FLAG(set_comments, comments)
FLAG(set_fenced, fenced)
FLAG(set_parallel_spread, parallel_spread)
FLAG(set_identical_calls, identical_calls)
FLAG(set_cut_json, cut_json)
FLAG(set_refuse_sampling, refuse_sampling)
FLAG(set_refuse_thinking, refuse_thinking)
FLAG(set_refuse_level, refuse_level)
FLAG(set_tools_forever, tools_forever)
DELIMITER(set_lf, "\n\n")
DELIMITER(set_cr, "\r\r")

static void set_parallel(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)params;
	(void)place;
	plan->parallel_calls = true;
}

static void set_parallel_two_chunks(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	set_parallel(plan, params, place);
	plan->parallel_spread = true;
}

static void set_blocked(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	const char *reason = json_find_text(params, "reason");
	(void)place;
	replace(&plan->block_reason, reason != NULL ? reason : "PROHIBITED_CONTENT");
}

static void set_finish(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	const char *reason = json_find_text(params, "reason");
	(void)place;
	replace(&plan->finish_reason, reason != NULL ? reason : "OTHER");
	replace(&plan->finish_message, json_find_text(params, "message"));
	if (json_find(params, "afterChunks") != NULL) {
		plan->ending = ENDING_FINISH;
		plan->end_after = after(params);
	}
}

static void set_model_version(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	const char *version = json_find_text(params, "version");
	(void)place;
	replace(&plan->model_version, version != NULL ? version : "gemini-3.5-flash-lite");
}

static void set_slow_first_byte(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)place;
	plan->first_byte_ms = (int)json_find_number(params, "ms", 3000);
}

static void set_slow_chunks(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)place;
	plan->chunk_ms = (int)json_find_number(params, "ms", 500);
}

static void set_split(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	(void)place;
	plan->split_bytes = (int)json_find_number(params, "bytes", 1);
}

static void set_error(struct plan *plan, const json_object *params, const struct plan_place *place)
{
	const char *message = json_find_text(params, "message");
	int code = (int)json_find_number(params, "code", 500);
	(void)place;
	set_refusal(plan, refusal_create(code,
				  code == 400   ? "INVALID_ARGUMENT"
				  : code == 429 ? "RESOURCE_EXHAUSTED"
				  : code == 503 ? "UNAVAILABLE"
						: "INTERNAL",
				  "%s", message != NULL ? message : "An error was asked for."));
}

// clang-format off
static const struct fault faults[] = {
	/* errors instead of an answer */
	{ .name = "429_minute", .set = set_429_minute, .about = "quota per minute, RetryInfo 26s (param retryDelay)" },
	{ .name = "429_half_second", .set = set_429_half_second, .about = "quota per minute, RetryInfo 0.5s" },
	{ .name = "429_day", .set = set_429_day, .about = "quota per day, RetryInfo 45.578569677s" },
	{ .name = "429_header", .set = set_429_header, .about = "429 with a Retry-After header and no details" },
	{ .name = "429_no_details", .code = 429, .status = "RESOURCE_EXHAUSTED", .message = "Resource has been exhausted (e.g. check quota).", .about = "429 without details" },
	{ .name = "400", .code = 400, .status = "INVALID_ARGUMENT", .message = "Request contains an invalid argument.", .about = "400 INVALID_ARGUMENT" },
	{ .name = "400_key", .set = set_bad_key, .about = "400 API_KEY_INVALID although the key is right" },
	{ .name = "400_region", .code = 400, .status = "FAILED_PRECONDITION", .message = "User location is not supported for the API use.", .about = "400 FAILED_PRECONDITION" },
	{ .name = "400_context", .code = 400, .status = "INVALID_ARGUMENT", .message = "The input token count (1204833) exceeds the maximum number of tokens allowed (1048576).", .about = "the prompt is too long" },
	{ .name = "400_signature", .code = 400, .status = "INVALID_ARGUMENT", .message = "Corrupted thought signature.", .about = "a signature of another model or key" },
	{ .name = "400_image", .code = 400, .status = "INVALID_ARGUMENT", .message = "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting", .about = "an image that cannot be read" },
	{ .name = "refuse_sampling", .set = set_refuse_sampling, .about = "400 as long as temperature, topP or topK is sent" },
	{ .name = "refuse_thinking", .set = set_refuse_thinking, .about = "400 as long as thinkingConfig is sent" },
	{ .name = "refuse_level", .set = set_refuse_level, .about = "400 as long as thinkingLevel is sent" },
	{ .name = "401", .code = 401, .status = "UNAUTHENTICATED", .message = "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal.", .reason = "ACCESS_TOKEN_TYPE_UNSUPPORTED", .about = "401 UNAUTHENTICATED" },
	{ .name = "403", .code = 403, .status = "PERMISSION_DENIED", .message = "Generative Language API has not been used in project 123456 before or it is disabled.", .reason = "SERVICE_DISABLED", .about = "403 SERVICE_DISABLED" },
	{ .name = "403_leaked", .code = 403, .status = "PERMISSION_DENIED", .message = "Your API key was reported as leaked. Please use another API key.", .about = "403 without details" },
	{ .name = "key_in_message", .set = set_key_in_message, .about = "403 CONSUMER_SUSPENDED whose message quotes the whole key" },
	{ .name = "404", .code = 404, .status = "NOT_FOUND", .message = "models/%s is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.", .about = "the model is gone" },
	{ .name = "404_new_users", .code = 404, .status = "NOT_FOUND", .message = "This model models/%s is no longer available to new users. Please update your code to use a newer model for the latest features and improvements.", .about = "the model is gone for new users" },
	{ .name = "408", .code = 408, .status = "DEADLINE_EXCEEDED", .message = "Request timeout.", .about = "408 of a transport front" },
	{ .name = "413", .code = 413, .status = "INVALID_ARGUMENT", .message = "Request payload size exceeds the limit: 104857600 bytes.", .about = "the body is too large" },
	{ .name = "499", .code = 499, .status = "CANCELLED", .message = "The operation was cancelled.", .about = "499 CANCELLED" },
	{ .name = "500", .code = 500, .status = "INTERNAL", .message = "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting", .about = "500 INTERNAL" },
	{ .name = "503", .code = 503, .status = "UNAVAILABLE", .message = "The model is overloaded. Please try again later.", .about = "503 overloaded" },
	{ .name = "503_demand", .code = 503, .status = "UNAVAILABLE", .message = "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.", .about = "503 in its newer words" },
	{ .name = "504", .code = 504, .status = "DEADLINE_EXCEEDED", .message = "The request timed out. Please try again.", .about = "504 DEADLINE_EXCEEDED" },
	{ .name = "error", .set = set_error, .about = "any error (params code, message)" },
	{ .name = "502_html", .set = set_html, .about = "502 with an HTML page" },
	{ .name = "empty_body", .set = set_empty_body, .about = "200 with an empty body" },
	{ .name = "500_empty", .set = set_empty_error, .about = "500 with an empty body" },
	{ .name = "garbage", .set = set_garbage, .about = "200 with a body that is not JSON" },
	{ .name = "close", .set = set_close, .about = "the connection closes without an answer" },
	{ .name = "rst_before", .set = set_reset_before, .about = "the connection is reset without an answer" },
	/* time */
	{ .name = "silence", .set = set_silence, .about = "no byte, for ever" },
	{ .name = "silence_headers", .set = set_silence_headers, .about = "the head, then no byte, for ever" },
	{ .name = "silence_middle", .set = set_silence_middle, .about = "half an answer, then no byte, for ever (param afterChunks)" },
	{ .name = "slow_first_byte", .set = set_slow_first_byte, .about = "the first byte comes late (param ms, 3000)" },
	{ .name = "slow_chunks", .set = set_slow_chunks, .about = "chunks come slowly (param ms, 500)" },
	{ .name = "split", .set = set_split, .about = "TCP writes of random sizes up to bytes (param bytes, 1)" },
	/* the middle of an answer; param afterChunks, by default half of them */
	{ .name = "error_framed", .set = set_error_framed, .about = "an event with an error (params code, message)" },
	{ .name = "error_raw_tail", .set = set_error_raw, .about = "a bare error object behind the events (params code, message)" },
	{ .name = "eof", .set = set_eof, .about = "the body ends properly without a finishReason" },
	{ .name = "cut", .set = set_cut, .about = "FIN inside the chunked body" },
	{ .name = "rst", .set = set_reset, .about = "RST" },
	{ .name = "malformed_event", .set = set_malformed, .about = "an event that is not JSON, then the end" },
	{ .name = "half_event", .set = set_half_event, .about = "half an event, then the end" },
	{ .name = "safety", .set = set_safety, .about = "finishReason SAFETY, without content" },
	{ .name = "recitation", .set = set_recitation, .about = "finishReason RECITATION, without content" },
	{ .name = "max_tokens", .set = set_max_tokens, .about = "finishReason MAX_TOKENS" },
	{ .name = "finish", .set = set_finish, .about = "any finishReason (params reason, message, afterChunks)" },
	/* answers of strange shape */
	{ .name = "empty_stop", .set = set_empty_stop, .about = "STOP, content without parts" },
	{ .name = "empty_stop_no_content", .set = set_empty_no_content, .about = "STOP, candidate without content" },
	{ .name = "empty_stop_signature", .set = set_empty_signature, .about = "STOP, only an empty text with a signature" },
	{ .name = "malformed_call", .set = set_malformed_call, .about = "MALFORMED_FUNCTION_CALL without parts" },
	{ .name = "unexpected_tool_call", .set = set_unexpected_call, .about = "UNEXPECTED_TOOL_CALL without parts" },
	{ .name = "missing_signature", .set = set_missing_signature, .about = "MISSING_THOUGHT_SIGNATURE without parts" },
	{ .name = "blocked", .set = set_blocked, .about = "promptFeedback.blockReason (param reason, PROHIBITED_CONTENT)" },
	{ .name = "usage_missing_middle", .set = set_usage_middle, .about = "usageMetadata only on the last chunk" },
	{ .name = "usage_absent", .set = set_usage_absent, .about = "no usageMetadata at all" },
	{ .name = "usage_uncounted", .set = set_usage_uncounted, .about = "no candidatesTokenCount at all" },
	{ .name = "usage_changes", .set = set_usage_changes, .about = "promptTokenCount is one less on the last chunk" },
	{ .name = "finish_separate", .set = set_finish_separate, .about = "finishReason on a chunk of its own without parts" },
	{ .name = "chunk_after_finish", .set = set_after_finish, .about = "one more chunk behind the one with finishReason" },
	{ .name = "signature_empty_text", .set = set_signature_empty, .about = "a last chunk with an empty, signed text" },
	{ .name = "index_missing", .set = set_index_missing, .about = "candidates without index" },
	{ .name = "model_version", .set = set_model_version, .about = "another modelVersion (param version)" },
	{ .name = "delimiter_lf", .set = set_lf, .about = "events end in LF LF" },
	{ .name = "delimiter_cr", .set = set_cr, .about = "events end in CR CR" },
	{ .name = "comments", .set = set_comments, .about = "comments and unknown fields between the events" },
	{ .name = "fenced_json", .set = set_fenced, .about = "JSON answers in a Markdown fence" },
	{ .name = "cut_json", .set = set_cut_json, .about = "JSON answers cut by MAX_TOKENS" },
	{ .name = "parallel_calls", .set = set_parallel, .about = "at least two calls, in one chunk" },
	{ .name = "parallel_calls_spread", .set = set_parallel_two_chunks, .about = "at least two calls, each in its own chunk" },
	{ .name = "calls_spread", .set = set_parallel_spread, .about = "each call in its own chunk" },
	{ .name = "identical_calls", .set = set_identical_calls, .about = "the last call twice" },
	{ .name = "tools_forever", .set = set_tools_forever, .about = "calls again after every result" },
};
// clang-format on

static const struct fault *fault_find(const char *name)
{
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if (strcmp(faults[i].name, name) == 0)
			return &faults[i];
	return NULL;
}

bool fault_exists(const char *name)
{
	return fault_find(name) != NULL;
}

void fault_list(struct text *out)
{
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		text_format(out, "  %-24s %s\n", faults[i].name, faults[i].about);
}

static void apply_plain_error(struct plan *plan, const struct fault *fault, const struct plan_place *place)
{
	struct text message = { 0 };
	const char *name = strstr(fault->message, "%s");
	if (name != NULL) {
		text_append(&message, fault->message, (size_t)(name - fault->message));
		text_add(&message, model_name(place));
		text_add(&message, name + 2);
	} else {
		text_add(&message, fault->message);
	}
	set_refusal(plan, refusal_create(fault->code, fault->status, "%s", message.bytes));
	if (fault->reason != NULL)
		refusal_add_info(plan->refusal, fault->reason, "generativelanguage.googleapis.com");
	text_fini(&message);
}

bool fault_apply(struct plan *plan, const char *name, const json_object *params, const struct plan_place *place)
{
	const struct fault *fault = fault_find(name);
	if (fault == NULL)
		return false;
	if (plan->faults.length > 0)
		text_add(&plan->faults, " ");
	text_add(&plan->faults, name);
	if (fault->set != NULL)
		fault->set(plan, params, place);
	else
		apply_plain_error(plan, fault, place);
	return true;
}
