/* Decides what the model says. */
#ifndef GEMINI_SIM_GENERATE_H
#define GEMINI_SIM_GENERATE_H

#include "tests/gemini-sim/answer.h"
#include "tests/gemini-sim/conversation.h"
#include "tests/gemini-sim/models.h"
#include "tests/gemini-sim/plan.h"

struct answer_memory;

/* Remembers the last few hundred answers by conversation, so that a scripted answer can be continued too. */
struct answer_memory *answer_memory_create(void);
void answer_memory_destroy(struct answer_memory **memory);
/* `answer` is copied. */
void answer_memory_keep(struct answer_memory *memory, uint64_t hash, const struct answer *answer);
/* A copy; NULL if nothing is remembered. */
struct answer *answer_memory_take(const struct answer_memory *memory, uint64_t hash);

/* The whole answer for the conversation, before limits; the same for the same arguments. Release with answer_destroy. */
struct answer *generate_answer(const struct conversation *conversation, const struct plan *plan);
/* Applies what the request limits (maxOutputTokens, stopSequences), the thinking it pays for, and the part of the text
 * that a continuation already has. */
void generate_limit(struct answer *answer, const struct conversation *conversation, const struct model *model,
	const struct plan *plan);

#endif
