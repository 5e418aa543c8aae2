/* generateContent and streamGenerateContent: faults, checks, the answer, and handing it to stream.c, in that order.
 * Called by service.c. It decides nothing about content. */
#include "tests/gemini-sim/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/checks.h"
#include "tests/gemini-sim/stream.h"
#include "tests/gemini-sim/tokens.h"

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
	fault_rules_apply(call->sim->rules, plan, call->method, call->model_name, c->marked, &place);
	markers_apply(call->sim->markers, plan, c->marked, c->hash, !c->continuing, &place);
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
	char id[RESPONSE_ID_BYTES];
	json_put_text(feedback, "blockReason", plan->block_reason);
	json_put(body, "promptFeedback", feedback);
	json_put_int(usage, "promptTokenCount", tokens_total(&tokens));
	json_put_int(usage, "totalTokenCount", tokens_total(&tokens));
	json_put(usage, "promptTokensDetails", tokens_details(&tokens));
	json_put(body, "usageMetadata", usage);
	json_put_text(body, "modelVersion", model_version_of(call->model));
	reply_response_id(call->sim, id, sizeof id);
	json_put_text(body, "responseId", id);
	return body;
}

static void reply_blocked(struct call *call, struct plan *plan)
{
	json_object *body = blocked_body(call, plan);
	struct text out = { 0 };
	if (call->form == STREAM_UNARY) {
		reply_json(call->sim, call->x, call->entry, body);
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
	answer = script_take(call->sim->script, call->method, call->model_name, c->marked);
	if (answer != NULL) {
		answer_memory_keep(call->sim->memory, c->hash, answer);
		apply_script_faults(call, plan, answer);
		return answer;
	}
	return generate_answer(c, plan);
}

void call_generate(struct call *call)
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
