/* prompt.h: what the model is told: the instruction, the history that fits, the question, and the steps of the answer so far. Owned by its turn; made once
 * from the history's rows, then it grows by one model content and one content of results a step. */
#ifndef RENOVATIOND_WORKER_CHAT_PROMPT_H
#define RENOVATIOND_WORKER_CHAT_PROMPT_H

#include "shared/buffer.h"
#include "worker/db/db.h"
#include "worker/gemini/provider.h"

/* One content; the strings are owned. */
struct prompt_content {
	enum message_role role;
	struct buffer parts; /* provider parts, without the brackets of the array */
	char *model;         /* who made them, NULL for the user's side */
	int messages; /* as the history's readers count them: questions in it; 1 for the first content of an answer; 0 for the rest of it */
	bool is_question; /* a user's text: the history may be cut before it */
	bool is_current;  /* of this turn */
	bool is_results;  /* answers to calls */
	bool is_unsigned; /* a model has refused or missed its signatures */
};

struct prompt {
	struct buffer system;
	struct prompt_content *contents; /* oldest first */
	size_t count, capacity;
	size_t bytes;               /* of all parts, as sent */
	struct buffer joined;       /* the bytes behind `view` */
	struct model_content *view; /* what provider_start is given; made by prompt_view */
};

void prompt_init(struct prompt *p);
void prompt_fini(struct prompt *p);
/* From the rows of chat_history. `bytes_max` is the budget, at least the newest `messages_min` messages stay. */
void prompt_load(struct prompt *p, const struct db_result *rows, size_t bytes_max, int messages_min);
/* What is in it goes to the model with placeholders in the place of thought signatures from now on; what is added later keeps its own. */
void prompt_void_signatures(struct prompt *p);
/* The model's step, verbatim: a JSON array. */
void prompt_add_model(struct prompt *p, struct text parts_json, const char *model);
/* The answer to one of its calls; all answers of a step gather in one content. */
void prompt_add_result(struct prompt *p, struct text call_id, struct text name, struct text result_json);
/* Contents for provider_start, borrowed until the prompt changes. With `unfinished` text: the model's text so far and the wish to go on. */
const struct model_content *prompt_view(struct prompt *p, struct text unfinished, size_t *count_out);

#endif
