/* postmortem.h: what is kept of a worker that ended without being asked. */
#ifndef RENOVATIOND_SUPERVISOR_POSTMORTEM_H
#define RENOVATIOND_SUPERVISOR_POSTMORTEM_H

#include "supervisor/supervisor.h"

/* Why it ended; `status` is waitpid's, `oom_kills` what the cgroup counted since the death before (oom.h). */
enum death_cause postmortem_cause(const struct slot *slot, int status, int64_t oom_kills);
/* A row of the scoreboard's ring and its counter. Before the slot of the scoreboard is retired. */
void postmortem_write(struct supervisor *s, const struct slot *slot, int status, enum death_cause cause);

#endif
