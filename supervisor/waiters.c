/* waiters.c: who wants to know how a change ends: lists of calls, each made once. Called by rollover.c alone. */
#include "config.h"
#include "supervisor/change.h"

#define WAITERS_MAX 64

bool waiters_add(struct waiter **list, rollover_done_fn *done, void *arg)
{
	struct waiter *waiter;
	int count = 0;

	if (done == NULL)
		return true;
	for (waiter = *list; waiter != NULL; waiter = waiter->next)
		count++;
	if (count >= WAITERS_MAX)
		return false;
	waiter = must_alloc(sizeof *waiter);
	*waiter = (struct waiter) { .done = done, .arg = arg, .next = *list };
	*list = waiter;
	return true;
}

void waiters_tell(struct waiter **list, const struct rollover_outcome *outcome)
{
	/* Taken off one by one: a call may make us forget another. */
	while (*list != NULL) {
		struct waiter *waiter = *list;

		*list = waiter->next;
		waiter->done(waiter->arg, outcome);
		free(waiter);
	}
}

void waiters_join(struct waiter **to, struct waiter **from)
{
	while (*to != NULL)
		to = &(*to)->next;
	*to = *from;
	*from = NULL;
}

void waiters_forget(struct waiter **list, const void *arg)
{
	while (*list != NULL) {
		struct waiter *waiter = *list;

		if (waiter->arg != arg) {
			list = &waiter->next;
			continue;
		}
		*list = waiter->next;
		free(waiter);
	}
}
