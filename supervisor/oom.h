/* oom.h: did the kernel kill one of us for memory? Told by the cgroup's counter (v2 memory.events, v1 memory.oom_control). */
#ifndef RENOVATIOND_SUPERVISOR_OOM_H
#define RENOVATIOND_SUPERVISOR_OOM_H

#include <stdint.h>

/* Remembers the counter as it is now. */
void oom_open(void);
/* How many more since the last call; -1 where there is no counter. */
int64_t oom_count(void);

#endif
