/* attempt.c: one attempt, from the request's bytes to the last event. Called by provider.c (start, pause, resume, cancel) and by the loop.
 * It repairs a request once when the model refuses a member of it; every other retry is the caller's. */
#include "config.h"
#include "worker/gemini/attempt.h"

#include <stdio.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/gemini/learn.h"
#include "worker/gemini/transfer.h"
#include "worker/gemini/url.h"

#define UNARY_MAX_BYTES  (32UL * 1024 * 1024)
#define FAILED_MAX_BYTES (64UL * 1024) /* of the body of a failed answer */

/* ---- life ---- */

static void call_free(struct model_call *call)
{
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	call->provider->active--;
	stream_fini(&call->stream);
	answer_fini(&call->answer);
	buffer_fini(&call->url);
	buffer_fini(&call->body);
	buffer_fini(&call->collected);
	free(call);
}

bool attempt_reap(struct model_call *call)
{
	if (!call->is_cancelled)
		return false;
	if (!call->is_busy && !call->is_due)
		call_free(call);
	return true;
}

void attempt_kick(struct model_call *call)
{
	struct provider *p = call->provider;

	if (call->is_due)
		return;
	call->is_due = true;
	call->next_due = NULL;
	*p->last_due = call;
	p->last_due = &call->next_due;
	event_active(p->kick, EV_TIMEOUT, 0);
}

/* Events of the answer on their way to the caller, who may have cancelled in the middle of several. */
static bool is_success(int status)
{
	return status >= 200 && status <= 299;
}

static void relay(void *arg, const struct model_event *event)
{
	struct model_call *call = arg;

	if (!call->is_cancelled)
		call->on_event(call->arg, event);
}

/* ---- bytes in ---- */

static bool on_stream_event(void *arg, struct text event)
{
	struct model_call *call = arg;

	if (call->first_ms == 0)
		call->first_ms = clock_monotonic_ms();
	return answer_take(&call->answer, event) && !call->is_paused && !call->is_cancelled;
}

static enum transfer_answer feed(struct model_call *call, struct text bytes)
{
	size_t used = 0;

	if (stream_feed(&call->stream, bytes, on_stream_event, call, &used) == STREAM_TOO_LARGE)
		failure_set(&call->answer.failure, MODEL_BROKEN, 0, "EVENT_TOO_LARGE");
	if (call->is_cancelled || call->answer.failure.class != MODEL_OK)
		return TRANSFER_STOP;
	/* Paused in the middle of a piece: libcurl is told that all was taken, the rest is kept here. */
	buffer_append(&call->collected, bytes.bytes + used, bytes.length - used);
	return TRANSFER_TAKEN;
}

static enum transfer_answer collect(struct model_call *call, struct text bytes, size_t limit)
{
	if (call->first_ms == 0)
		call->first_ms = clock_monotonic_ms();
	if (buffer_length(&call->collected) + bytes.length <= limit)
		buffer_append_text(&call->collected, bytes);
	else if (limit == UNARY_MAX_BYTES)
		failure_set(&call->answer.failure, MODEL_BROKEN, 0, "ANSWER_TOO_LARGE");
	return call->answer.failure.class == MODEL_OK ? TRANSFER_TAKEN : TRANSFER_STOP;
}

static enum transfer_answer on_bytes(void *arg, int status, struct text bytes)
{
	struct model_call *call = arg;
	enum transfer_answer answer;

	if (!is_success(status))
		return collect(call, bytes, FAILED_MAX_BYTES);
	if (call->is_unary)
		return collect(call, bytes, UNARY_MAX_BYTES);
	if (call->is_paused)
		return TRANSFER_PAUSE;
	if (call->body.bytes != NULL && transfer_is_sent(call->transfer))
		buffer_fini(&call->body); /* a history is large, an answer takes long */
	call->is_busy = true;
	answer = feed(call, bytes);
	call->is_busy = false;
	(void)attempt_reap(call);
	return answer;
}

/* ---- the end ---- */

static const char *const failure_names[] = {
	[MODEL_OK] = "none",
	[MODEL_AUTH] = "auth",
	[MODEL_BAD_REQUEST] = "bad_request",
	[MODEL_GONE] = "gone",
	[MODEL_RATE_LIMITED] = "rate_limited",
	[MODEL_QUOTA_DAY] = "quota_day",
	[MODEL_OVERLOADED] = "overloaded",
	[MODEL_DOWN] = "down",
	[MODEL_SLOW] = "slow",
	[MODEL_EMPTY] = "empty",
	[MODEL_BROKEN] = "broken",
	[MODEL_MALFORMED_CALL] = "malformed_call",
	[MODEL_OTHER] = "other",
};

/* For debugging the wire; what operators read is the caller's to log, who knows the turn. */
static void call_log(const struct model_call *call, const struct model_event *last)
{
	LOG(LOG_DEBUG, "model answered", F_STR("role", call->settings.config->name),
		F_STR("model", call->settings.facts->name), F_STR("model_version", call->settings.facts->answers_as),
		F_STR("failure", failure_names[last->failure]), F_INT("http_status", last->http_status),
		F_TEXT("provider_status", last->provider_status), F_TEXT("provider_reason", last->provider_reason),
		F_INT("input_tokens", last->usage.input_tokens), F_INT("output_tokens", last->usage.output_tokens),
		F_INT("first_byte_ms", last->first_byte_ms), F_INT("total_ms", last->total_ms));
}

/* When a model answers under another family's name, that family's rules decide about what is stored: an operator should know. */
static void call_compare(struct model_call *call)
{
	struct model_facts *facts = call->settings.facts;
	struct text version = text_of(facts->answers_as);

	if (facts->is_warned || version.length == 0 || models_family(version) == call->settings.family)
		return;
	facts->is_warned = true;
	LOG(LOG_WARN, "another family of models answers", F_STR("model", facts->name),
		F_TEXT("model_version", version));
}

#define STAGE_LOG_EVERY_MS (24 * INT64_C(3600000))

static void call_log_stage(struct model_call *call)
{
	struct model_facts *facts = call->settings.facts;
	int64_t now_ms = clock_monotonic_ms();

	if (facts->stage[0] == '\0' ||
		(facts->stage_logged_ms != 0 && now_ms - facts->stage_logged_ms < STAGE_LOG_EVERY_MS))
		return;
	facts->stage_logged_ms = now_ms;
	LOG(LOG_WARN, "model is on its way out", F_STR("model", facts->name), F_STR("stage", facts->stage));
}

static void call_conclude(struct model_call *call)
{
	struct model_event last;

	call->is_busy = true;
	answer_finish(&call->answer, call->end.result, call->end.status, &last);
	last.total_ms = clock_monotonic_ms() - call->started_ms;
	last.first_byte_ms = call->first_ms == 0 ? -1 : call->first_ms - call->started_ms;
	call_log(call, &last);
	call_compare(call);
	call_log_stage(call);
	relay(call, &last);
	call->is_cancelled = true; /* a cancel by the caller from now on finds it dead */
	call->is_busy = false;
	(void)attempt_reap(call);
}

/* A 400 that names a member we sent: the model is asked once more without it, and never again in this process with it. */
static bool call_repair(struct model_call *call)
{
	unsigned refused = call->answer.failure.refused & call->members;

	if (refused == 0 || call->is_repaired)
		return false;
	call->is_repaired = true;
	call->settings.facts->refused |= refused;
	LOG(LOG_WARN, "model refuses a member of the request, which is left out from now on",
		F_STR("model", call->settings.facts->name),
		F_STR("member", refused & MEMBER_TEMPERATURE ? "temperature" : "thinkingConfig"));
	call->body.end = call->body.start + call->settings_at;
	call->members = request_write_settings(&call->body, &call->settings);
	call->answer.failure = (struct failure) { 0 };
	buffer_clear(&call->collected);
	call->first_ms = 0;
	call->state = CALL_WAITING;
	attempt_kick(call);
	return true;
}

/* What the bytes amount to, now that there are no more. */
static void call_digest(struct model_call *call)
{
	struct text rest = buffer_text(&call->collected);

	if (call->end.status != 0 && !is_success(call->end.status)) {
		failure_from_answer(&call->answer.failure, call->provider->tokener, call->end.status, rest,
			call->end.retry_after, call->provider->options->gemini_api_key);
	} else if (call->is_unary && call->end.result == TRANSFER_COMPLETE) {
		(void)answer_take(&call->answer, rest);
	} else if (!call->is_unary) {
		rest = stream_end(&call->stream);
		if (rest.bytes != NULL)
			answer_take_tail(&call->answer, rest);
	}
}

static void on_end(void *arg, const struct transfer_end *end)
{
	struct model_call *call = arg;

	call->transfer = NULL;
	call->end = *end;
	call->state = CALL_ENDED;
	learn_from_answer(call->provider, end);
	if (call->is_paused && !call->is_unary && is_success(end->status) && buffer_length(&call->collected) > 0)
		return; /* told when the caller resumes */
	call_digest(call);
	if (!call_repair(call))
		call_conclude(call);
}

/* ---- what runs from the loop ---- */

static int64_t part_of(int64_t ms, int64_t numerator, int64_t denominator)
{
	int64_t part = ms * numerator / denominator;

	return part > 0 ? part : 1;
}

static struct curl_slist *write_headers(struct model_call *call, int64_t whole_ms)
{
	struct curl_slist *next = call->provider->headers;
	size_t used = 0;

	(void)snprintf(call->timeout_line, sizeof call->timeout_line, "X-Server-Timeout: %lld",
		(long long)((whole_ms + 999) / 1000));
	call->lines[used++].data = call->timeout_line;
	call->lines[used++].data = call->is_unary ? (char *)(uintptr_t) "Accept: application/json"
						  : (char *)(uintptr_t) "Accept: text/event-stream";
	if (call->trace_line[0] != '\0')
		call->lines[used++].data = call->trace_line;
	while (used > 0) {
		call->lines[--used].next = next;
		next = &call->lines[used];
	}
	return next;
}

static void send_request(struct model_call *call)
{
	const struct options *o = call->provider->options;
	bool is_slow_role = call->is_unary && call->settings.role != MODEL_ROLE_CHAT;
	struct transfer_spec spec = { .url = call->url.bytes,
		.body = buffer_text(&call->body),
		.connect_ms = o->gemini_connect_timeout_ms,
		.first_byte_ms = o->gemini_first_byte_timeout_ms,
		.between_bytes_ms = call->is_unary ? 0 : o->gemini_between_bytes_timeout_ms,
		.whole_ms = o->gemini_attempt_timeout_ms,
		.on_bytes = on_bytes,
		.on_end = on_end,
		.arg = call };

	/* Whole answers come late but are short: the specification's 90 s and 120 s where a stream has 60 s and 300 s. */
	if (is_slow_role) {
		spec.first_byte_ms = part_of(o->gemini_first_byte_timeout_ms, 3, 2);
		spec.whole_ms = part_of(o->gemini_attempt_timeout_ms, 2, 5);
	}
	spec.headers = write_headers(call, spec.whole_ms);
	call->state = CALL_SENT;
	call->transfer = transfer_start(call->provider->engine, &spec);
}

static void resume(struct model_call *call)
{
	struct text kept = buffer_text(&call->collected);

	if (!call->is_unary && kept.length > 0) {
		struct buffer piece = call->collected;

		buffer_init(&call->collected); /* feed keeps in it what a new pause leaves */
		call->is_busy = true;
		(void)feed(call, kept);
		call->is_busy = false;
		buffer_fini(&piece);
	}
	if (attempt_reap(call) || call->is_paused)
		return;
	if (call->state == CALL_SENT && call->answer.failure.class == MODEL_OK) {
		transfer_resume(call->transfer);
		return;
	}
	if (call->state == CALL_SENT) {
		transfer_cancel(&call->transfer);
		call->end = (struct transfer_end) { .result = TRANSFER_STOPPED, .status = 200 };
		call->state = CALL_ENDED;
	}
	call_digest(call);
	call_conclude(call);
}

static void run_due(struct model_call *call)
{
	call->is_due = false;
	if (attempt_reap(call))
		return;
	switch (call->state) {
	case CALL_WAITING: send_request(call); break;
	case CALL_SENT:
	case CALL_ENDED: resume(call); break;
	}
}

void attempt_run_due(struct provider *p)
{
	struct model_call *call = p->first_due;

	p->first_due = NULL;
	p->last_due = &p->first_due;
	while (call != NULL) {
		struct model_call *next = call->next_due;

		run_due(call);
		call = next;
	}
}

/* ---- the beginning ---- */

static void call_prepare(struct model_call *call, const struct model_request *rq)
{
	struct provider *p = call->provider;
	struct text model = url_model_name(rq->model);

	call->is_unary = role_is_unary(rq->role);
	call->settings = (struct request_settings) { .role = rq->role,
		.config = &p->roles.rows[rq->role],
		.family = models_family(model),
		.facts = models_facts(&p->models, model),
		.sampling = p->sampling,
		.has_tools = rq->tool_count > 0 };
	call->settings_at = request_write(&call->body, p->tokener, rq, &call->settings, &call->members);
	url_write(p->options, rq->model, call->is_unary ? ":generateContent" : ":streamGenerateContent?alt=sse",
		&call->url);
	if (rq->trace_parent != NULL)
		(void)snprintf(call->trace_line, sizeof call->trace_line, "traceparent: %s", rq->trace_parent);
	answer_init(&call->answer, p->tokener, call->settings.facts, relay, call);
	call->answer.key = p->options->gemini_api_key;
	call->answer.is_structured = rq->role == MODEL_ROLE_STRUCTURED;
}

struct model_call *attempt_create(
	struct provider *p, const struct model_request *rq, model_event_fn *on_event, void *arg)
{
	struct model_call *call = must_alloc(sizeof *call);

	must(rq->role >= 0 && rq->role < MODEL_ROLE_COUNT && url_is_model(rq->model));
	call->provider = p;
	call->state = CALL_WAITING;
	call->on_event = on_event;
	call->arg = arg;
	call->started_ms = clock_monotonic_ms();
	call->link = &p->first;
	call->next = p->first;
	if (p->first != NULL)
		p->first->link = &call->next;
	p->first = call;
	p->active++;
	call_prepare(call, rq);
	attempt_kick(call);
	return call;
}
