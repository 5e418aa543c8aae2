/* model.c: which model answers a step, and what follows when it does not: the next model of the role, another attempt after a while, or the turn's failure.
 * Called by turn.c for each step; its callback turns provider events into the turn's. Retries end with the first delta, breakers are shared by all workers. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

#define DELAY_FIRST_MS 1000
#define EMPTY_DELAY_MS 500
#define QUOTA_OPEN_MS  3600000
#define AUTH_OPEN_MS   15000
#define GONE_OPEN_MS   3600000

/* The trace of who asked, with a span of its own for each attempt (W3C Trace Context, version 00). */
static const char *format_trace_parent(const struct turn *t, char out[56])
{
	struct uuid random = uuid_create();
	uint64_t span;

	memcpy(&span, random.bytes + 8, sizeof span);
	(void)snprintf(out, 56, "00-%s-%016" PRIx64 "-01", t->trace_id, span);
	return out;
}

static void model_attempt(struct turn *t, const char *model, struct scoreboard_breaker *breaker);

bool model_is_available(struct chat *chat, enum model_role role, int64_t *retry_in_ms_out)
{
	const struct role_config *config = provider_role(chat->w->provider, role);
	int64_t now_ms = clock_monotonic_ms(), soonest = 0;

	for (int i = 0; i < config->model_count; i++) {
		int64_t retry_in;

		if (!breaker_is_open(breaker_find(chat->w->board, config->models[i]), now_ms, &retry_in))
			return true;
		if (soonest == 0 || retry_in < soonest)
			soonest = retry_in;
	}
	*retry_in_ms_out = soonest > 0 ? soonest : 1000;
	return false;
}

void model_stop(struct turn *t)
{
	const struct model_usage usage = { .input_tokens = t->step_input_tokens,
		.output_tokens = t->step_output_tokens };

	if (t->run.call == NULL)
		return;
	measure_call_end(t, OUTCOME_CANCELLED, &usage);
	provider_cancel(&t->run.call);
	breaker_neutral(t->run.breaker);
}

static bool model_try(struct turn *t, const struct role_config *config, int i)
{
	struct scoreboard_breaker *b = breaker_find(t->chat->w->board, config->models[i]);

	if ((t->run.skipped >> i & 1) != 0 || breaker_enter(b, clock_monotonic_ms()) == BREAKER_OPEN)
		return false;
	model_attempt(t, config->models[i], b);
	return true;
}

/* The model that signed the steps so far goes on with them if it can. */
static int model_kept(const struct turn *t, const struct role_config *config)
{
	for (int i = 0; t->model != NULL && t->stored_steps > 0 && i < config->model_count; i++)
		if (strcmp(config->models[i], t->model) == 0)
			return i;
	return -1;
}

/* Every model's breaker is open. A turn that has not tried yet waits as long as it may; one that failed itself only as long as for any other retry. */
static void model_wait(struct turn *t, int64_t retry_in_ms)
{
	int64_t wait_ms = retry_in_ms < 1000 ? retry_in_ms + 20 : 1000;
	bool has_tried = t->run.attempt > 0;

	if (clock_monotonic_ms() + retry_in_ms > t->deadline_ms ||
		(has_tried && t->run.delayed_ms + retry_in_ms > t->chat->w->options.gemini_retry_delay_max_ms)) {
		finish_failed(t, ERROR_MODEL_UNAVAILABLE, (int)((retry_in_ms + 999) / 1000));
		return;
	}
	if (has_tried)
		t->run.delayed_ms += wait_ms;
	if (t->state != TURN_WAITING)
		turn_set_state(t, TURN_WAITING);
	t->run.skipped = 0;
	turn_later(t, wait_ms, model_start);
}

void model_start(struct turn *t)
{
	int64_t retry_in_ms = 0;

	if (turn_is_left(t))
		return;

	const struct role_config *config = provider_role(t->chat->w->provider, t->role);
	int kept = model_kept(t, config);

	if (kept >= 0 && model_try(t, config, kept))
		return;
	for (int i = 0; i < config->model_count; i++)
		if (i != kept && model_try(t, config, i))
			return;
	if (model_is_available(t->chat, t->role, &retry_in_ms)) {
		/* Some model works, but each has refused this very step. */
		finish_failed(t, ERROR_MODEL_FAILED, 0);
		return;
	}
	model_wait(t, retry_in_ms);
}

/* --- failures --------------------------------------------------------------------------------------------------------------- */

static void model_report(struct turn *t, const struct model_event *event)
{
	struct scoreboard *board = t->chat->w->board;
	struct scoreboard_breaker *b = t->run.breaker;
	int64_t now_ms = clock_monotonic_ms();

	switch (event->failure) {
	case MODEL_OK:
	case MODEL_EMPTY:
	case MODEL_MALFORMED_CALL:
		breaker_success(b, now_ms); /* it answered */
		break;
	case MODEL_OVERLOADED:
	case MODEL_DOWN:
	case MODEL_SLOW:
	case MODEL_BROKEN:
		breaker_failure(b, now_ms);
		SCOREBOARD_SET(board->gemini_state, SCOREBOARD_GEMINI_FAILING);
		break;
	case MODEL_AUTH:
		breaker_open(b, BREAKER_CREDENTIALS, AUTH_OPEN_MS, now_ms);
		SCOREBOARD_SET(board->gemini_state, SCOREBOARD_GEMINI_REFUSED);
		break;
	case MODEL_QUOTA_DAY: breaker_open(b, BREAKER_QUOTA, QUOTA_OPEN_MS, now_ms); break;
	case MODEL_GONE: breaker_open(b, BREAKER_GONE, GONE_OPEN_MS, now_ms); break;
	case MODEL_BAD_REQUEST:
	case MODEL_RATE_LIMITED:
	case MODEL_OTHER: breaker_neutral(b); break;
	}
}

static enum error code_of(enum model_failure failure)
{
	switch (failure) {
	case MODEL_RATE_LIMITED:
	case MODEL_QUOTA_DAY: return ERROR_RATE_LIMITED;
	case MODEL_AUTH:
	case MODEL_GONE:
	case MODEL_OVERLOADED:
	case MODEL_DOWN: return ERROR_MODEL_UNAVAILABLE;
	case MODEL_SLOW: return ERROR_MODEL_TIMEOUT;
	case MODEL_OK:
	case MODEL_BAD_REQUEST:
	case MODEL_EMPTY:
	case MODEL_BROKEN:
	case MODEL_MALFORMED_CALL:
	case MODEL_OTHER: return ERROR_MODEL_FAILED;
	}
	return ERROR_MODEL_FAILED;
}

static void model_fail(struct turn *t, const struct model_event *event)
{
	t->step_input_tokens = event->usage.input_tokens;
	t->step_output_tokens = event->usage.output_tokens;
	finish_failed(t, code_of(event->failure), (int)((event->retry_after_ms + 999) / 1000));
}

static void model_again_after(struct turn *t, const struct model_event *event, int64_t delay_ms)
{
	const struct options *o = &t->chat->w->options;

	if (event->retry_after_ms > delay_ms)
		delay_ms = event->retry_after_ms;
	if (t->run.attempt >= o->gemini_attempts || t->run.delayed_ms + delay_ms > o->gemini_retry_delay_max_ms ||
		!retry_budget_spend(t->chat->w->board, clock_monotonic_ms())) {
		model_fail(t, event);
		return;
	}
	t->run.delayed_ms += delay_ms;
	measure_call_retry(t);
	turn_clear_calls(t);
	turn_set_state(t, TURN_WAITING);
	turn_later(t, delay_ms, model_start);
}

/* As often as failures of this kind are worth it; the attempts of a step that such failures have had are counted together. */
static void model_again(struct turn *t, const struct model_event *event, int64_t delay_ms)
{
	if (event->retries < MODEL_RETRIES_MANY && t->run.counted++ >= event->retries) {
		model_fail(t, event);
		return;
	}
	if (event->is_signature_refused) {
		prompt_void_signatures(&t->prompt);
		delay_ms = 0; /* not busy: it did not like what we said */
	}
	model_again_after(t, event, delay_ms);
}

static int64_t jitter_ms(const struct turn *t)
{
	struct uuid dice = uuid_create();
	int64_t most = DELAY_FIRST_MS << (t->run.attempt > 0 ? t->run.attempt - 1 : 0);

	return (dice.bytes[14] << 8 | dice.bytes[15]) * most / 65536;
}

static void model_skip(struct turn *t)
{
	const struct role_config *config = provider_role(t->chat->w->provider, t->role);

	for (int i = 0; i < config->model_count; i++)
		if (config->models[i] == t->run.model)
			t->run.skipped |= 1u << i;
}

static bool model_has_other(const struct turn *t)
{
	const struct role_config *config = provider_role(t->chat->w->provider, t->role);
	int64_t retry_in;

	for (int i = 0; i < config->model_count; i++)
		if ((t->run.skipped >> i & 1) == 0 &&
			!breaker_is_open(
				breaker_find(t->chat->w->board, config->models[i]), clock_monotonic_ms(), &retry_in))
			return true;
	return false;
}

static void model_next(struct turn *t, const struct model_event *event)
{
	model_skip(t);
	if (!model_has_other(t)) {
		model_fail(t, event);
		return;
	}
	measure_call_retry(t);
	turn_clear_calls(t);
	model_start(t);
}

/* An answer that says nothing: after tools it may be meant so. */
static void model_on_empty(struct turn *t, const struct model_event *event)
{
	if (t->stored_steps > 0 || buffer_length(&t->unfinished) > 0) {
		t->step_input_tokens = event->usage.input_tokens;
		t->step_output_tokens = event->usage.output_tokens;
		finish_completed(t, "stop");
		return;
	}
	if (t->run.empty++ > 0)
		model_fail(t, event);
	else
		model_again_after(t, event, EMPTY_DELAY_MS);
}

static void model_on_malformed(struct turn *t, const struct model_event *event)
{
	t->run.malformed++;
	if (t->run.malformed > 2) {
		model_fail(t, event);
		return;
	}
	t->run.no_tool_calls = t->run.malformed == 2;
	model_again_after(t, event, 0);
}

static void model_on_failure(struct turn *t, const struct model_event *event)
{
	SCOREBOARD_ADD(t->chat->w->slot->counters.model_errors, 1);
	LOG(LOG_WARN, "model call failed", TURN_LOG_FIELDS(t), F_STR("model", t->run.model),
		F_INT("attempt", t->run.attempt), F_INT("failure", event->failure),
		F_INT("http_status", event->http_status), F_TEXT("provider_status", event->provider_status),
		F_TEXT("provider_reason", event->provider_reason), F_INT("retry_after_ms", event->retry_after_ms),
		F_INT("total_ms", event->total_ms));
	if (t->run.is_text_shown || t->is_ending) {
		model_fail(t, event);
		return;
	}
	switch (event->failure) {
	case MODEL_EMPTY: model_on_empty(t, event); return;
	case MODEL_MALFORMED_CALL: model_on_malformed(t, event); return;
	case MODEL_GONE:
	case MODEL_QUOTA_DAY:
	case MODEL_AUTH: model_next(t, event); return;
	case MODEL_OVERLOADED:
		if (t->run.attempt > 1)
			model_skip(t);
		if (!model_has_other(t))
			t->run.skipped = 0;
		model_again_after(t, event, jitter_ms(t));
		return;
	case MODEL_OK:
	case MODEL_BAD_REQUEST:
	case MODEL_RATE_LIMITED:
	case MODEL_DOWN:
	case MODEL_SLOW:
	case MODEL_BROKEN:
	case MODEL_OTHER: model_again(t, event, jitter_ms(t)); return;
	}
}

/* --- events ----------------------------------------------------------------------------------------------------------------- */

static void model_on_start(struct turn *t)
{
	if (t->model == NULL || strcmp(t->model, t->run.model) != 0) {
		free(t->model);
		t->model = must_strdup(t->run.model);
	}
}

static void model_on_call(struct turn *t, const struct model_event *event)
{
	struct turn_call *call;

	/* Each call must be answered, so those beyond the limit are kept to be refused; beyond any sense they are a broken answer. */
	if (t->call_count >= 256)
		return;
	call = turn_add_call(t);
	call->has_id = event->call_id.bytes != NULL;
	buffer_append_text(&call->id, event->call_id);
	buffer_append_text(&call->name, event->call_name);
	buffer_append_text(&call->arguments, event->call_arguments.length > 0 ? event->call_arguments : TEXT("{}"));
	json_replace_nul(&call->arguments);
}

static void model_on_finish(struct turn *t, const struct model_event *event)
{
	breaker_success(t->run.breaker, clock_monotonic_ms());
	SCOREBOARD_SET(t->chat->w->board->gemini_state, SCOREBOARD_GEMINI_GOOD);
	LOG(LOG_DEBUG, "model call done", TURN_LOG_FIELDS(t), F_STR("model", t->run.model),
		F_INT("attempt", t->run.attempt), F_INT("first_byte_ms", event->first_byte_ms),
		F_INT("total_ms", event->total_ms), F_INT("input_tokens", event->usage.input_tokens),
		F_INT("output_tokens", event->usage.output_tokens));
	turn_on_model_done(t, event);
}

static void on_model(void *arg, const struct model_event *event)
{
	struct turn *t = arg;

	switch (event->type) {
	case MODEL_EVENT_START: model_on_start(t); return;
	case MODEL_EVENT_TEXT:
		measure_call_chunk(t);
		turn_on_text(t, event->text);
		return;
	case MODEL_EVENT_CALL:
		measure_call_chunk(t);
		model_on_call(t, event);
		return;
	case MODEL_EVENT_USAGE:
		t->step_input_tokens = event->usage.input_tokens;
		t->step_output_tokens = event->usage.output_tokens;
		return;
	case MODEL_EVENT_FINISH:
		t->run.call = NULL;
		measure_call_end(t, OUTCOME_OK, &event->usage);
		model_on_finish(t, event);
		return;
	case MODEL_EVENT_FAILURE:
		t->run.call = NULL;
		measure_call_end(t, (int)event->failure, &event->usage);
		model_report(t, event);
		model_on_failure(t, event);
		return;
	}
}

static void model_attempt(struct turn *t, const char *model, struct scoreboard_breaker *breaker)
{
	struct chat *chat = t->chat;
	char trace_parent[56];
	struct model_request request = { .role = t->role,
		.model = model,
		.trace_parent = format_trace_parent(t, trace_parent),
		.system = buffer_text(&t->prompt.system),
		.tools = chat->declarations,
		.tool_count = tool_count,
		.no_tool_calls = t->run.no_tool_calls };

	request.contents = prompt_view(&t->prompt, buffer_text(&t->unfinished), &request.content_count);
	t->run.attempt++;
	t->run.model = model;
	t->run.breaker = breaker;
	t->run.is_text_shown = false;
	if (t->run.attempt == 1)
		retry_budget_earn(chat->w->board);
	t->is_seam = buffer_length(&t->unfinished) > 0;
	buffer_clear(&t->seam);
	SCOREBOARD_ADD(chat->w->slot->counters.model_calls, 1);
	measure_call_begin(t);
	turn_set_state(t, TURN_ASKING);
	t->run.call = provider_start(chat->w->provider, &request, on_model, t);
}
