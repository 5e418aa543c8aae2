/* The queue behind /sim/script. Filled by control.c, used up by service.c. */
#include "tests/gemini-sim/script.h"

#include <stdlib.h>
#include <string.h>

struct reply {
	struct answer *answer; /* owned */
	char *contains;        /* owned; text of the question; NULL = any */
	char *method;          /* owned; NULL = any */
	char *model;           /* owned; NULL = any */
	int times;             /* how many requests it still serves */
};

struct script_queue {
	struct reply *replies; /* owned; oldest first */
	size_t count;          /* length of `replies` */
};

struct script_queue *script_create(void)
{
	return memory_take(sizeof(struct script_queue));
}

static void reply_fini(struct reply *reply)
{
	answer_destroy(&reply->answer);
	free(reply->contains);
	free(reply->method);
	free(reply->model);
}

void script_clear(struct script_queue *queue)
{
	for (size_t i = 0; i < queue->count; i++)
		reply_fini(&queue->replies[i]);
	free(queue->replies);
	*queue = (struct script_queue) { 0 };
}

void script_destroy(struct script_queue **queue)
{
	if (*queue == NULL)
		return;
	script_clear(*queue);
	free(*queue);
	*queue = NULL;
}

size_t script_length(const struct script_queue *queue)
{
	return queue->count;
}

static void add_texts(struct answer *answer, const json_object *text, int delay_ms, enum piece_kind kind)
{
	size_t count = json_object_is_type(text, json_type_array) ? json_length(text) : 1;
	for (size_t i = 0; i < count; i++) {
		const json_object *one = json_object_is_type(text, json_type_array) ? json_at(text, i) : text;
		struct piece *piece = answer_add_text(answer, json_object_get_string((json_object *)one));
		piece->kind = kind;
		piece->whole = true;
		piece->delay_ms = delay_ms;
	}
}

static const char *add_step(struct answer *answer, const json_object *step)
{
	int delay_ms = (int)json_find_number(step, "delayMs", -1);
	const json_object *call = json_find_object(step, "call");
	if (json_find(step, "text") != NULL) {
		add_texts(answer, json_find(step, "text"), delay_ms, PIECE_TEXT);
	} else if (json_find(step, "thought") != NULL) {
		add_texts(answer, json_find(step, "thought"), delay_ms, PIECE_THOUGHT);
	} else if (call != NULL) {
		const char *name = json_find_text(call, "name");
		if (name == NULL)
			return "a call needs a name";
		json_object *args = json_find_object(call, "args");
		answer_add_call(answer, name, json_object_get(args))->delay_ms = delay_ms;
	} else if (json_find_text(step, "fault") != NULL) {
		struct piece *piece = answer_add_text(answer, json_find_text(step, "fault"));
		piece->kind = PIECE_FAULT;
		piece->args = json_object_get(json_find(step, "params"));
	} else if (json_find_text(step, "finish") != NULL) {
		free(answer->finish_reason);
		answer->finish_reason = memory_copy(json_find_text(step, "finish"));
		free(answer->finish_message);
		answer->finish_message = memory_copy(json_find_text(step, "finishMessage"));
	} else {
		return "a step is one of text, thought, call, fault, finish";
	}
	return NULL;
}

static const char *add_reply(struct script_queue *queue, const json_object *given)
{
	const json_object *steps = json_find_list(given, "steps");
	struct answer *answer = answer_create();
	const char *wrong =
		json_object_is_type(given, json_type_object) && steps != NULL ? NULL : "a reply needs a list of steps";
	for (size_t i = 0; wrong == NULL && i < json_length(steps); i++)
		wrong = add_step(answer, json_at(steps, i));
	if (wrong != NULL) {
		answer_destroy(&answer);
		return wrong;
	}
	queue->replies = memory_resize(queue->replies, (queue->count + 1) * sizeof *queue->replies);
	queue->replies[queue->count++] = (struct reply) {
		.answer = answer,
		.contains = memory_copy(json_find_text(given, "contains")),
		.method = memory_copy(json_find_text(given, "method")),
		.model = memory_copy(json_find_text(given, "model")),
		.times = (int)json_find_number(given, "times", 1),
	};
	return NULL;
}

const char *script_add(struct script_queue *queue, json_object *replies)
{
	const json_object *list =
		json_find_list(replies, "replies") != NULL ? json_find_list(replies, "replies") : replies;
	if (!json_object_is_type(list, json_type_array))
		return add_reply(queue, list);
	const char *wrong = NULL;
	for (size_t i = 0; wrong == NULL && i < json_length(list); i++)
		wrong = add_reply(queue, json_at(list, i));
	return wrong;
}

struct answer *script_take(struct script_queue *queue, const char *method, const char *model, const char *asked)
{
	for (size_t i = 0; i < queue->count; i++) {
		struct reply *reply = &queue->replies[i];
		if ((reply->contains != NULL && strstr(asked, reply->contains) == NULL) ||
			(reply->method != NULL && strcmp(reply->method, method) != 0) ||
			(reply->model != NULL && strcmp(reply->model, model) != 0))
			continue;
		if (--reply->times > 0)
			return answer_copy(reply->answer);
		struct answer *answer = reply->answer;
		reply->answer = NULL;
		reply_fini(reply);
		queue->count--;
		memmove(reply, reply + 1, (queue->count - i) * sizeof *reply);
		return answer;
	}
	return NULL;
}
