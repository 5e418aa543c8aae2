/* stop_phase.h: how far a stop has come, from the resources that each worker says it has closed: its slowest worker decides. Pure; shutdown.c owns one. */
#ifndef RENOVATIOND_SUPERVISOR_STOP_PHASE_H
#define RENOVATIOND_SUPERVISOR_STOP_PHASE_H

#include <stdint.h>

#include "shared/inherit.h"

enum stop_phase {
	STOP_QUIESCE,  /* workers take what is queued at the listener */
	STOP_SOCKETS,  /* requests, streams and answers end */
	STOP_DATABASE, /* checkpoints and transactions */
	STOP_MODEL,    /* transfers from the model */
	STOP_LOG,      /* last lines */
	STOP_LEAVING   /* all is closed, processes end */
};

struct stop_progress {
	uint32_t closed[SLOTS_MAX]; /* a bit for each resource that the slot's worker closed */
};

extern const char *const stop_phase_names[]; /* for people */

/* The worker of the slot closed this; names that are no part of a phase change nothing. */
void stop_progress_note(struct stop_progress *p, int slot, const char *resource);
/* Of the slot's worker, once the listener is closed: the first phase of which it has not closed everything. */
enum stop_phase stop_progress_phase(const struct stop_progress *p, int slot);

#endif
