/* oom.h: did the kernel kill one of us for memory? Told by the cgroup's counter (v2 memory.events, v1 memory.oom_control). */
#ifndef RENOVATIOND_SUPERVISOR_OOM_H
#define RENOVATIOND_SUPERVISOR_OOM_H

#include <stdbool.h>

/* Remembers the counter as it is now. */
void oom_open(void);
/* Has it grown since the last call? *is_known_out says whether there is a counter at all. */
bool oom_has_killed(bool *is_known_out);
bool oom_is_known(void); /* is there a counter? */

#endif
