/* tally.h: the report of a stop: what each worker says about each resource, added up per resource. Pure; shutdown.c owns one. */
#ifndef RENOVATIOND_SUPERVISOR_TALLY_H
#define RENOVATIOND_SUPERVISOR_TALLY_H

#include "shared/buffer.h"
#include "shared/ipc.h"

#define TALLY_ROWS_MAX 16

/* As in worker/shutdown.h; the number on the wire, ordered here by gravity. */
enum tally_state { TALLY_DONE, TALLY_TIMEOUT, TALLY_ERROR, TALLY_SKIPPED };

struct tally_row {
	char name[16];          /* resource */
	enum tally_state state; /* the worst that a worker said; SKIPPED when none said anything */
	uint32_t ms;            /* the slowest */
	uint32_t forced;        /* cut, all workers */
	uint32_t lost;          /* acknowledged and not stored, all workers */
	int reports;            /* how many workers spoke of it */
	char detail[120];       /* of the worst, for people */
};

struct tally {
	struct tally_row rows[TALLY_ROWS_MAX];
	int count;       /* rows used */
	int told;        /* workers that were there when the stop began */
	uint32_t killed; /* workers that had to be killed */
	uint32_t forced; /* things cut, and workers killed */
	uint32_t lost;   /* acknowledged things not stored */
};

void tally_init(struct tally *t, int told); /* with a row for each known resource, in the order of a stop */
void tally_add(struct tally *t, const struct message_closed *closed);
/* A worker was killed; it wrote `turns` answers then, whose last words nobody stored. */
void tally_add_killed(struct tally *t, uint32_t turns);
/* At the end: what killed workers did not close is a timeout of that resource. */
void tally_finish(struct tally *t);
/* "clean", "forced" or "lost". */
const char *tally_result(const struct tally *t);
int tally_exit_code(const struct tally *t);
void tally_write_phases(const struct tally *t, struct buffer *json);              /* the array "phases" */
void tally_write_summary(const struct tally *t, int64_t ms, struct buffer *line); /* one sentence for people */

#endif
