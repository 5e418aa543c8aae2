/* ending.h: what a worker closes when it leaves, other than chat's part, as resources of the shutdown coordinator. */
#ifndef RENOVATIOND_WORKER_ENDING_H
#define RENOVATIOND_WORKER_ENDING_H

#include "worker/worker.h"

/* Once all parts are open; chat has registered its own before. */
void ending_register(struct worker *w);
/* The shutdown_* and drain_* options may have changed. */
void ending_options_changed(struct worker *w);
void ending_close(void);

#endif
