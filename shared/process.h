/* process.h: what the kernel says of the calling process, for the scoreboard. Cheap enough for each second, but for the count of descriptors. */
#ifndef RENOVATIOND_SHARED_PROCESS_H
#define RENOVATIOND_SHARED_PROCESS_H

#include <stdint.h>

#include "shared/scoreboard.h"

/* Resident memory and processor time now; descriptors when the last count is 10 s old (`now_us`: monotonic). */
void process_measure(struct scoreboard_process *p, int64_t now_us);

#endif
