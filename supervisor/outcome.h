/* outcome.h: how a change ended, in words: for its waiters, the log and the scoreboard. Used by rollover.c alone. */
#ifndef RENOVATIOND_SUPERVISOR_OUTCOME_H
#define RENOVATIOND_SUPERVISOR_OUTCOME_H

#include "supervisor/change.h"

struct outcome {
	struct rollover_outcome told; /* borrows the rest */
	struct buffer live;           /* names of options, NUL-terminated */
	struct buffer workers;        /* likewise */
	struct buffer restart;        /* likewise */
	struct buffer faults;         /* JSON, NUL-terminated */
	char text[512];               /* for people */
};

/* Of the change under way; also logs it and, for a reload, writes it to the scoreboard. `text`: why it was refused. */
void outcome_init(struct outcome *o, struct supervisor *s, enum reload_result result, const char *text);
void outcome_fini(struct outcome *o);

#endif
