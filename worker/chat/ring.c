/* ring.c: rings in one shared mapping: a directory of fixed entries in the first rings' place, then 64 KiB of bytes for each ring.
 * Called by turn.c and checkpoint.c (the one writer), reader.c (any worker) and takeover.c. Positions are absolute byte counts that only grow; a
 * record is [u32 length][u64 number][JSON]. A reader copies first and then looks whether the writer has moved the tail past what it copied, so a
 * writer never waits and may be killed at any instruction: what `head` does not cover was never there. */
#include "config.h"
#include "worker/chat/ring.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/clock.h"
#include "shared/inherit.h"

#define RECORD_HEADER 12u /* u32 length, u64 number */

enum ring_state { RING_STATE_FREE, RING_STATE_CLAIMED, RING_STATE_LIVE, RING_STATE_ENDED };

/* The directory entry; everything about a ring but its bytes. */
struct ring {
	_Alignas(128) _Atomic uint32_t state; /* enum ring_state */
	uint32_t index;                       /* own place in the directory; the same in every life */
	uint32_t place;                       /* its bytes begin at place * RING_BYTES of the mapping */
	uint32_t owner_slot;                  /* slot of `owner`, for messages */
	_Atomic uint64_t use;                 /* grows with each claim: older cursors and messages are stale */
	struct uuid turn;                     /* whose events; written before `state` becomes LIVE */
	_Atomic uint64_t owner;               /* epoch of the worker that writes; epochs are unique on the host */
	_Atomic uint64_t fence;               /* of the lease under which it is written */
	_Atomic uint64_t watchers;            /* bit s: slot s has readers */
	_Atomic int64_t ended_ms;             /* monotonic; when it ended */
	_Atomic uint64_t tail;                /* absolute position of the oldest record */
	_Atomic uint64_t head;                /* absolute position one past the newest; what publishes a record */
	_Atomic uint64_t last;                /* number of the newest record */
	_Atomic uint64_t stored;              /* events up to this number are in chunks */
};

_Static_assert(sizeof(struct ring) == 128, "one entry is two cache lines");

struct rings {
	char *base;     /* the mapping */
	size_t bytes;   /* its length */
	uint32_t count; /* usable rings */
	uint32_t hint;  /* where the next claim starts to look */
	int slot;       /* ours */
	uint64_t epoch; /* ours */
};

enum error rings_open(int fd, int slot, uint64_t epoch, struct rings **rings_out)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size < 2 * RING_BYTES)
		return ERROR_SYSTEM;

	size_t bytes = (size_t)st.st_size / RING_BYTES * RING_BYTES;
	char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return ERROR_SYSTEM;

	struct rings *r = must_alloc(sizeof *r);
	uint32_t all = (uint32_t)(bytes / RING_BYTES);
	uint32_t directory = (uint32_t)((all * sizeof(struct ring) + RING_BYTES - 1) / RING_BYTES);

	*r = (struct rings) { .base = base, .bytes = bytes, .count = all - directory, .slot = slot, .epoch = epoch };
	for (uint32_t i = 0; i < r->count; i++) {
		struct ring *ring = (struct ring *)base + i;

		/* Every worker writes the same values, so the order of the workers does not matter. */
		ring->index = i;
		ring->place = directory + i;
	}
	*rings_out = r;
	return ERROR_NONE;
}

void rings_close(struct rings **rings)
{
	if (*rings == NULL)
		return;
	(void)munmap((*rings)->base, (*rings)->bytes);
	free(*rings);
	*rings = NULL;
}

static char *ring_bytes(const struct ring *ring)
{
	return (char *)(uintptr_t)ring - (size_t)ring->index * sizeof *ring + (size_t)ring->place * RING_BYTES;
}

static void ring_put(struct ring *ring, uint64_t at, const void *bytes, size_t length)
{
	size_t start = at % RING_BYTES;
	size_t first = length < RING_BYTES - start ? length : RING_BYTES - start;

	memcpy(ring_bytes(ring) + start, bytes, first);
	memcpy(ring_bytes(ring), (const char *)bytes + first, length - first);
}

/* May copy bytes that the writer is just overwriting; the caller looks at the tail afterwards and throws them away. */
__attribute__((no_sanitize("thread"))) static void ring_take(
	const struct ring *ring, uint64_t at, void *bytes, size_t length)
{
	size_t start = at % RING_BYTES;
	size_t first = length < RING_BYTES - start ? length : RING_BYTES - start;

	memcpy(bytes, ring_bytes(ring) + start, first);
	memcpy((char *)bytes + first, ring_bytes(ring), length - first);
}

static void ring_record(const struct ring *ring, uint64_t at, uint32_t *length_out, uint64_t *n_out)
{
	char header[RECORD_HEADER];

	ring_take(ring, at, header, sizeof header);
	memcpy(length_out, header, sizeof *length_out);
	memcpy(n_out, header + sizeof *length_out, sizeof *n_out);
}

static uint32_t ring_start_of(const struct rings *rings, const struct uuid *turn)
{
	uint32_t hash;

	memcpy(&hash, turn->bytes + 12, sizeof hash); /* random in a version 7 */
	return hash % rings->count;
}

struct ring *ring_at(struct rings *rings, uint32_t index)
{
	return index < rings->count ? (struct ring *)rings->base + index : NULL;
}

int ring_index(const struct rings *rings, const struct ring *ring)
{
	must((const char *)ring >= rings->base && ring->index < rings->count);
	return (int)ring->index;
}

uint32_t rings_count(const struct rings *rings)
{
	return rings->count;
}

static void ring_own(struct rings *rings, struct ring *ring)
{
	ring->owner_slot = (uint32_t)rings->slot;
	atomic_store(&ring->owner, rings->epoch);
}

static struct ring *ring_take_free(struct rings *rings, const struct uuid *turn)
{
	uint32_t start = ring_start_of(rings, turn);

	for (uint32_t i = 0; i < rings->count; i++) {
		struct ring *ring = ring_at(rings, (start + i) % rings->count);
		uint32_t is_free = RING_STATE_FREE;

		if (atomic_load_explicit(&ring->state, memory_order_relaxed) == RING_STATE_FREE &&
			atomic_compare_exchange_strong(&ring->state, &is_free, RING_STATE_CLAIMED))
			return ring;
	}
	return NULL;
}

/* Lingering is a favour to late readers, never a reason to refuse a question: the ring that ended longest ago, one without readers first. Its
 * events are all in chunks. */
static struct ring *ring_take_ended(struct rings *rings)
{
	struct ring *best = NULL;
	uint32_t ended = RING_STATE_ENDED;

	for (uint32_t i = 0; i < rings->count; i++) {
		struct ring *ring = ring_at(rings, i);

		if (atomic_load_explicit(&ring->state, memory_order_relaxed) != RING_STATE_ENDED)
			continue;

		bool is_watched = atomic_load(&ring->watchers) != 0;
		bool best_is_watched = best != NULL && atomic_load(&best->watchers) != 0;

		if (best == NULL || (best_is_watched && !is_watched) ||
			(best_is_watched == is_watched && atomic_load(&ring->ended_ms) < atomic_load(&best->ended_ms)))
			best = ring;
	}
	return best != NULL && atomic_compare_exchange_strong(&best->state, &ended, RING_STATE_CLAIMED) ? best : NULL;
}

enum error ring_claim(
	struct rings *rings, const struct uuid *turn, uint64_t fence, uint64_t last, struct ring **ring_out)
{
	struct ring *ring = ring_take_free(rings, turn);

	for (int attempt = 0; ring == NULL && attempt < 3; attempt++) /* another worker may have been faster */
		ring = ring_take_ended(rings);
	if (ring == NULL)
		return ERROR_FULL;
	atomic_fetch_add(&ring->use, 1);
	ring->turn = *turn;
	ring_own(rings, ring);
	atomic_store(&ring->fence, fence);
	atomic_store(&ring->watchers, 0);
	atomic_store(&ring->ended_ms, 0);
	atomic_store(&ring->tail, 0);
	atomic_store(&ring->head, 0);
	atomic_store(&ring->last, last);
	atomic_store(&ring->stored, last);
	atomic_store(&ring->state, RING_STATE_LIVE);
	*ring_out = ring;
	return ERROR_NONE;
}

static bool ring_is_readable(const struct ring *ring)
{
	uint32_t state = atomic_load(&ring->state);

	return state == RING_STATE_LIVE || state == RING_STATE_ENDED;
}

struct ring *ring_find(struct rings *rings, const struct uuid *turn)
{
	uint32_t start = ring_start_of(rings, turn);

	for (uint32_t i = 0; i < rings->count; i++) {
		struct ring *ring = ring_at(rings, (start + i) % rings->count);

		if (ring_is_readable(ring) && uuid_equals(&ring->turn, turn))
			return ring;
	}
	return NULL;
}

enum error ring_take_over(struct rings *rings, struct ring *ring, uint64_t fence)
{
	uint64_t old = atomic_load(&ring->fence);

	do {
		if (fence <= old)
			return ERROR_BUSY;
	} while (!atomic_compare_exchange_weak(&ring->fence, &old, fence));
	ring_own(rings, ring);

	/* The dead writer may have stopped between its stores: what the records say is true. */
	uint64_t at = atomic_load(&ring->tail), head = atomic_load(&ring->head);
	uint64_t n = 0;

	while (at < head) {
		uint32_t length;

		ring_record(ring, at, &length, &n);
		must(length <= RING_EVENT_MAX);
		at += RECORD_HEADER + length;
	}
	must(at == head);
	if (n > 0)
		atomic_store(&ring->last, n);
	return ERROR_NONE;
}

/* Moves the tail until `need` more bytes fit. False when that would push out what no chunk holds. */
static bool ring_make_room(struct ring *ring, size_t need)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t stored = atomic_load_explicit(&ring->stored, memory_order_relaxed);
	uint64_t at = tail;

	while (head + need - at > RING_BYTES) {
		uint32_t length;
		uint64_t n;

		ring_record(ring, at, &length, &n);
		if (n > stored)
			return false;
		at += RECORD_HEADER + length;
	}
	/* Before the bytes change: a reader that still copies them finds the tail moved. */
	if (at != tail) {
		atomic_store(&ring->tail, at);
		atomic_thread_fence(memory_order_seq_cst);
	}
	return true;
}

enum error ring_append(struct rings *rings, struct ring *ring, struct text json, uint64_t *n_out)
{
	must(json.length > 0 && json.length <= RING_EVENT_MAX);
	if (!ring_is_owner(rings, ring))
		return ERROR_LOST_OWNERSHIP;
	if (!ring_make_room(ring, RECORD_HEADER + json.length))
		return ERROR_FULL;

	uint32_t length = (uint32_t)json.length;
	uint64_t n = atomic_load_explicit(&ring->last, memory_order_relaxed) + 1;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	char header[RECORD_HEADER];

	memcpy(header, &length, sizeof length);
	memcpy(header + sizeof length, &n, sizeof n);
	ring_put(ring, head, header, sizeof header);
	ring_put(ring, head + RECORD_HEADER, json.bytes, json.length);
	atomic_store(&ring->head, head + RECORD_HEADER + length);
	atomic_store(&ring->last, n);
	*n_out = n;
	return ERROR_NONE;
}

void ring_set_stored(struct ring *ring, uint64_t n)
{
	if (n > atomic_load(&ring->stored))
		atomic_store(&ring->stored, n);
}

void ring_end(struct ring *ring)
{
	uint32_t live = RING_STATE_LIVE;

	atomic_store(&ring->ended_ms, clock_monotonic_ms());
	(void)atomic_compare_exchange_strong(&ring->state, &live, RING_STATE_ENDED);
}

void ring_release(struct rings *rings, struct ring *ring)
{
	must(ring->index < rings->count);
	atomic_store(&ring->state, RING_STATE_CLAIMED);
	/* Readers that are copying see the state or the next use count; then the pages go back to the kernel. */
	(void)madvise(ring_bytes(ring), RING_BYTES, MADV_REMOVE);
	atomic_store(&ring->owner, 0);
	atomic_store(&ring->state, RING_STATE_FREE);
}

uint32_t rings_sweep(struct rings *rings, int64_t linger_ms)
{
	int64_t now_ms = clock_monotonic_ms();
	uint32_t used = 0;

	for (uint32_t i = 0; i < rings->count; i++) {
		struct ring *ring = ring_at(rings, i);
		uint32_t ended = RING_STATE_ENDED;

		if (atomic_load_explicit(&ring->state, memory_order_relaxed) == RING_STATE_ENDED &&
			now_ms - atomic_load(&ring->ended_ms) > linger_ms &&
			atomic_compare_exchange_strong(&ring->state, &ended, RING_STATE_CLAIMED))
			ring_release(rings, ring);
		used += atomic_load_explicit(&ring->state, memory_order_relaxed) != RING_STATE_FREE;
	}
	return used;
}

/* Is the record at `at` still there, in this use? To be asked after copying it. */
static enum ring_read ring_check(const struct ring *ring, uint64_t use, uint64_t at)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&ring->use) != use || !ring_is_readable(ring))
		return RING_GONE;
	return atomic_load(&ring->tail) > at ? RING_PASSED : RING_EVENT;
}

enum ring_read ring_seek(const struct ring *ring, const struct uuid *turn, uint64_t n, struct ring_cursor *cursor_out)
{
	uint64_t use = atomic_load(&ring->use);
	uint64_t at, head, last;
	uint32_t length;
	uint64_t number;

	if (!ring_is_readable(ring) || !uuid_equals(&ring->turn, turn))
		return RING_GONE;
	last = atomic_load(&ring->last); /* before head: it never runs ahead of what we walk */
	head = atomic_load(&ring->head);
	at = atomic_load(&ring->tail);
	if (at == head) { /* nothing was ever appended: numbers go on after `last` */
		*cursor_out = (struct ring_cursor) { use, head, last + 1 };
		return ring_check(ring, use, at) == RING_GONE ? RING_GONE : n > last ? RING_EVENT : RING_PASSED;
	}
	while (at < head) {
		ring_record(ring, at, &length, &number);

		enum ring_read checked = ring_check(ring, use, at);

		if (checked != RING_EVENT)
			return checked;
		if (number > n)
			return RING_PASSED;
		if (number == n)
			break;
		at += RECORD_HEADER + length;
	}
	*cursor_out = (struct ring_cursor) { use, at, n };
	return RING_EVENT;
}

enum ring_read ring_next(const struct ring *ring, struct ring_cursor *cursor, struct buffer *json, uint64_t *n_out)
{
	uint32_t state = atomic_load(&ring->state); /* before head: an end seen here means that all of it is visible */
	uint64_t head = atomic_load(&ring->head);
	uint32_t length;
	uint64_t n;
	enum ring_read checked = ring_check(ring, cursor->use, cursor->offset);

	buffer_clear(json);
	if (checked != RING_EVENT)
		return checked;
	if (cursor->offset >= head)
		return state == RING_STATE_ENDED ? RING_ENDED : RING_WAIT;
	ring_record(ring, cursor->offset, &length, &n);
	checked = ring_check(ring, cursor->use, cursor->offset);
	if (checked != RING_EVENT)
		return checked;
	must(length <= RING_EVENT_MAX);
	ring_take(ring, cursor->offset + RECORD_HEADER, buffer_reserve(json, length), length);
	checked = ring_check(ring, cursor->use, cursor->offset);
	if (checked != RING_EVENT)
		return checked;
	buffer_grown(json, length);
	cursor->offset += RECORD_HEADER + length;
	cursor->n = n + 1;
	*n_out = n;
	return RING_EVENT;
}

uint64_t ring_last(const struct ring *ring)
{
	return atomic_load(&ring->last);
}

uint64_t ring_stored(const struct ring *ring)
{
	return atomic_load(&ring->stored);
}

uint64_t ring_first(const struct ring *ring)
{
	for (;;) {
		uint64_t use = atomic_load(&ring->use), at = atomic_load(&ring->tail);
		uint64_t n;
		uint32_t length;

		if (at == atomic_load(&ring->head))
			return ring_last(ring) + 1;
		ring_record(ring, at, &length, &n);
		if (ring_check(ring, use, at) != RING_PASSED)
			return n;
	}
}

uint64_t ring_use(const struct ring *ring)
{
	return atomic_load(&ring->use);
}

struct uuid ring_turn(const struct ring *ring)
{
	return ring->turn;
}

bool ring_is_live(const struct ring *ring)
{
	return atomic_load(&ring->state) == RING_STATE_LIVE;
}

bool ring_is_owner(const struct rings *rings, const struct ring *ring)
{
	return atomic_load_explicit(&ring->owner, memory_order_relaxed) == rings->epoch;
}

int ring_owner_slot(const struct ring *ring)
{
	return (int)ring->owner_slot;
}

uint64_t ring_owner_epoch(const struct ring *ring)
{
	return atomic_load(&ring->owner);
}

void ring_watch(struct ring *ring, int slot)
{
	atomic_fetch_or(&ring->watchers, UINT64_C(1) << slot);
}

void ring_unwatch(struct ring *ring, int slot)
{
	atomic_fetch_and(&ring->watchers, ~(UINT64_C(1) << slot));
}

uint64_t ring_watchers(const struct ring *ring)
{
	return atomic_load(&ring->watchers);
}
