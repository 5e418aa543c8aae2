/* learn.h: what a provider finds out about its other side without anybody waiting: is it the simulator, what are the model's limits.
 * Called by provider.c. */
#ifndef RENOVATIOND_WORKER_GEMINI_LEARN_H
#define RENOVATIOND_WORKER_GEMINI_LEARN_H

#include "worker/gemini/transfer.h"

struct provider;

/* Asks for the model of the streaming role, from the loop; again with growing pauses while nobody answers. */
void learn_open(struct provider *p);
void learn_close(struct provider *p);
/* Any answer tells who the other side is. */
void learn_from_answer(struct provider *p, const struct transfer_end *end);

#endif
