/* upkeep.h: small chores for the whole database, done now and then by the lowest ready worker. */
#ifndef RENOVATIOND_WORKER_JOBS_UPKEEP_H
#define RENOVATIOND_WORKER_JOBS_UPKEEP_H

#include "worker/worker.h"

struct upkeep;

/* Needs w->db, w->board and w->slot. A round every upkeep_interval_s, the first soon after the start. */
struct upkeep *upkeep_open(struct worker *w);
/* upkeep_interval_s may have changed. */
void upkeep_options_changed(struct upkeep *upkeep);
/* Before the database is closed. Accepts a pointer to NULL. */
void upkeep_close(struct upkeep **upkeep);

#endif
