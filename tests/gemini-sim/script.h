/* Scripted replies: answers given by a test, used up by the requests that follow. */
#ifndef GEMINI_SIM_SCRIPT_H
#define GEMINI_SIM_SCRIPT_H

#include "tests/gemini-sim/answer.h"

struct script_queue;

struct script_queue *script_create(void);
void script_destroy(struct script_queue **queue);
/* Adds replies: a list, one reply, or {"replies":[…]}. Returns what is wrong, a static string; NULL if nothing. */
const char *script_add(struct script_queue *queue, json_object *replies);
void script_clear(struct script_queue *queue);
size_t script_length(const struct script_queue *queue);
/* The first reply that fits, taken out of the queue; NULL if none fits. */
struct answer *script_take(struct script_queue *queue, const char *method, const char *model, const char *asked);

#endif
