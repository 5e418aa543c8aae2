/* handover.h: a supervisor as the state that crosses an exec, and back. Called by upgrade.c and main.c. */
#ifndef RENOVATIOND_SUPERVISOR_HANDOVER_H
#define RENOVATIOND_SUPERVISOR_HANDOVER_H

#include "supervisor/state.h"
#include "supervisor/supervisor.h"

/* Writes down everything but the texts and descriptors that only the upgrade knows. */
void handover_capture(const struct supervisor *s, struct state *state);
/* Takes descriptors and memory over, before the loop has events. Errors: ERROR_PROTOCOL (one is not what it should be; why_out says which). */
MUST_CHECK enum error handover_adopt(struct supervisor *s, const struct state *state, const char **why_out);
/* Takes the workers over, once the loop can hear them. */
MUST_CHECK enum error handover_adopt_workers(struct supervisor *s, const struct state *state);

/* Do exactly these descriptors of ours stay open over an exec? */
void handover_keep_open(const struct state *state, int state_fd, bool is_kept);

#endif
