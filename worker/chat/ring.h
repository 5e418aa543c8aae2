/* ring.h: the events of one live answer in memory that all workers share: one writer (the turn's owner), any number of readers on any worker.
 * The supervisor makes the area (INHERIT_RINGS: chat_live_turns rings of RING_BYTES); a ring survives the death of its writer, and the worker
 * that takes the turn over goes on in it. Pages are given back to the kernel when a ring is released. Pure shared memory: no I/O, no locks;
 * waking readers is reader.c's and bus.c's part. */
#ifndef RENOVATIOND_WORKER_CHAT_RING_H
#define RENOVATIOND_WORKER_CHAT_RING_H

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/must.h"
#include "shared/text.h"
#include "shared/uuid.h"

#define RING_EVENT_MAX 32768u /* longest event in bytes; two always fit */

struct rings; /* the mapped area */
struct ring;  /* one ring, in shared memory */

MUST_CHECK enum error rings_open(int fd, int slot, uint64_t epoch, struct rings **rings_out);
void rings_close(struct rings **rings);

/* A free ring for this turn (when there is none, the one that ended longest ago), owned by this worker; numbers go on after `last` (0 for a new turn), which readers see from the first moment. Errors: ERROR_FULL. */
MUST_CHECK enum error ring_claim(
	struct rings *rings, const struct uuid *turn, uint64_t fence, uint64_t last, struct ring **ring_out);
/* The live or lingering ring of a turn, by anyone; NULL when there is none. */
struct ring *ring_find(struct rings *rings, const struct uuid *turn);
/* After the owner's death, with the lease in hand: become the writer. Errors: ERROR_BUSY when `fence` is not above the ring's. */
MUST_CHECK enum error ring_take_over(struct rings *rings, struct ring *ring, uint64_t fence);

/* Writer. Appends one event's JSON as number ring_last() + 1, returns that number through n_out. ERROR_FULL: it would push out what no chunk
 * holds yet (see ring_set_stored); wait for the checkpoint. ERROR_LOST_OWNERSHIP: another worker has taken the ring. */
MUST_CHECK enum error ring_append(struct rings *rings, struct ring *ring, struct text json, uint64_t *n_out);
void ring_set_stored(struct ring *ring, uint64_t n); /* events up to n are in chunks */
void ring_end(struct ring *ring);                    /* the turn has ended: no more events; lingers for its readers */
void ring_release(struct rings *rings, struct ring *ring); /* writer or reaper: free it, its pages go back */
/* Rings that ended more than `linger_ms` ago are released; called by each worker's timer. */
uint32_t rings_sweep(struct rings *rings, int64_t linger_ms);

/* Readers. A cursor is where a reader stands; it stays good across overwriting: then ring_next says so. */
struct ring_cursor {
	uint64_t use;    /* the ring's use count when it was made */
	uint64_t offset; /* absolute byte position of the next event */
	uint64_t n;      /* number of the next event */
};
enum ring_read {
	RING_EVENT,  /* one event */
	RING_WAIT,   /* all read; more may come */
	RING_ENDED,  /* all read; the turn has ended */
	RING_PASSED, /* overwritten: read older events from the chunks */
	RING_GONE    /* released: the chunks hold everything */
};
/* A cursor at event n. RING_EVENT when it is in the ring (or is the next to come), RING_PASSED when it is older, RING_GONE. */
enum ring_read ring_seek(const struct ring *ring, const struct uuid *turn, uint64_t n, struct ring_cursor *cursor_out);
/* Copies the next event's JSON into `json` (cleared first) and moves on. */
enum ring_read ring_next(const struct ring *ring, struct ring_cursor *cursor, struct buffer *json, uint64_t *n_out);

uint64_t ring_last(const struct ring *ring); /* number of the newest event, 0 = none */
uint64_t ring_stored(const struct ring *ring);
uint64_t ring_first(const struct ring *ring); /* oldest event still in it */
uint64_t ring_use(const struct ring *ring);
int ring_index(const struct rings *rings, const struct ring *ring);
struct ring *ring_at(struct rings *rings, uint32_t index); /* NULL when out of range */
uint32_t rings_count(const struct rings *rings);
struct uuid ring_turn(const struct ring *ring);
bool ring_is_live(const struct ring *ring); /* claimed and not ended */
uint64_t ring_owner_epoch(const struct ring *ring);
bool ring_is_owner(const struct rings *rings, const struct ring *ring);
int ring_owner_slot(const struct ring *ring);

/* Which slots have readers: bit s. Set by a reader's worker before its last look at the ring, so that no event is missed. */
void ring_watch(struct ring *ring, int slot);
void ring_unwatch(struct ring *ring, int slot);
uint64_t ring_watchers(const struct ring *ring);

#endif
