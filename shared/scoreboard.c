/* scoreboard.c: makes and maps the shared memory of supervisor and workers, and adds it up.
 * The supervisor makes it before its first fork and retires the dead; workers map it and write their own slot through the macros of the header.
 * Takes no lock: a reader that meets a retirement half done looks again. */
#include "config.h"
#include "shared/scoreboard.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"

#define READ_TRIES    1000 /* a supervisor stopped in the middle of a retirement must not stop its workers */
#define MEASURE_TRIES 50   /* likewise, for what takes longer to read */

static enum error map(int fd, struct scoreboard **board_out)
{
	void *memory = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return ERROR_SYSTEM;
	*board_out = memory;
	return ERROR_NONE;
}

static void name_row(struct scoreboard_name *row, const char *kind, const char *name)
{
	size_t length = strlen(name);

	memcpy(row->kind, kind, strnlen(kind, sizeof row->kind - 1));
	memcpy(row->name, name, length < sizeof row->name - 1 ? length : sizeof row->name - 1);
	atomic_store_explicit(&row->is_named, 1, memory_order_release);
}

/* Those of what has no row. */
static void name_rows(struct scoreboard *board)
{
	board->routes[MEASURE_UNNAMED].hash = board->models[MEASURE_UNNAMED].hash = UINT64_MAX;
	board->tools[MEASURE_UNNAMED].hash = board->service.phases[MEASURE_UNNAMED].hash = UINT64_MAX;
	name_row(&board->routes[MEASURE_UNNAMED], "", "unmatched");
	name_row(&board->models[MEASURE_UNNAMED], "", "other");
	name_row(&board->tools[MEASURE_UNNAMED], "", "unknown");
	name_row(&board->service.phases[MEASURE_UNNAMED], "", "other");
}

enum error scoreboard_create(int *fd_out, struct scoreboard **board_out)
{
	enum error e = ERROR_SYSTEM;
	struct scoreboard *board = NULL;
	uint64_t instance = 0;
	int fd = memfd_create("renovationd-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, sizeof *board) != 0)
		goto out;
	/* A worker that cut the file short would make every other one die of SIGBUS. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		goto out;
	if (map(fd, &board) != ERROR_NONE)
		goto out;
	if (getrandom(&instance, sizeof instance, 0) != sizeof instance)
		goto out;
	board->magic = SCOREBOARD_MAGIC;
	board->layout = SCOREBOARD_LAYOUT;
	/* 63 bits and never 0, so that it is a positive number in SQL and JSON too. */
	SCOREBOARD_SET(board->instance, (instance >> 1) | 1);
	SCOREBOARD_SET(board->started_at_us, clock_wall_us());
	name_rows(board);
	*board_out = board;
	*fd_out = fd;
	board = NULL;
	fd = -1;
	e = ERROR_NONE;
out:
	scoreboard_unmap(&board);
	if (fd >= 0)
		close(fd);
	return e;
}

enum error scoreboard_map(int fd, struct scoreboard **board_out)
{
	struct scoreboard *board;
	struct stat status;

	if (fstat(fd, &status) != 0)
		return ERROR_SYSTEM;
	if (status.st_size != sizeof *board)
		return ERROR_PROTOCOL;
	if (map(fd, &board) != ERROR_NONE)
		return ERROR_SYSTEM;
	if (board->magic != SCOREBOARD_MAGIC || board->layout != SCOREBOARD_LAYOUT) {
		scoreboard_unmap(&board);
		return ERROR_PROTOCOL;
	}
	*board_out = board;
	return ERROR_NONE;
}

void scoreboard_unmap(struct scoreboard **board)
{
	if (*board != NULL)
		(void)munmap(*board, sizeof **board);
	*board = NULL;
}

static void add_counters(struct scoreboard_totals *totals, const struct scoreboard_counters *counters)
{
#define X(name) totals->name += SCOREBOARD_GET(counters->name);
	SCOREBOARD_COUNTERS(X)
#undef X
}

static struct scoreboard_totals add_up(const struct scoreboard *board)
{
	struct scoreboard_totals totals = { 0 };

	add_counters(&totals, &board->retired);
	for (int s = 0; s < SLOTS_MAX; s++) {
		const struct scoreboard_slot *slot = &board->slots[s];

		if (SCOREBOARD_GET(slot->pid) == 0)
			continue;
		add_counters(&totals, &slot->counters);
		totals.connections += SCOREBOARD_GET(slot->connections);
		totals.connections_idle += SCOREBOARD_GET(slot->connections_idle);
		totals.streams += SCOREBOARD_GET(slot->streams);
		totals.turns += SCOREBOARD_GET(slot->turns);
		totals.workers_ready += SCOREBOARD_GET(slot->state) == WORKER_READY;
	}
	return totals;
}

static uint32_t read_begin(const struct scoreboard *board)
{
	return atomic_load_explicit(&board->retirements, memory_order_acquire);
}

static bool read_is_whole(const struct scoreboard *board, uint32_t before)
{
	atomic_thread_fence(memory_order_acquire);
	return before % 2 == 0 && before == SCOREBOARD_GET(board->retirements);
}

struct scoreboard_totals scoreboard_total(const struct scoreboard *board)
{
	struct scoreboard_totals totals = { 0 };

	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = read_begin(board);

		totals = add_up(board);
		if (read_is_whole(board, before))
			break;
	}
	return totals;
}

/* ---- measures ------------------------------------------------------------------------------------------------ */

static uint64_t name_hash(const char *kind, const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *kind != '\0'; kind++)
		hash = (hash ^ (uint8_t)*kind) * UINT64_C(1099511628211);
	hash = (hash ^ ' ') * UINT64_C(1099511628211);
	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(1099511628211);
	return hash != 0 ? hash : 1;
}

int scoreboard_claim(struct scoreboard_name *rows, int count, const char *kind, const char *name)
{
	uint64_t hash = name_hash(kind, name);

	for (int i = MEASURE_UNNAMED + 1; i < count; i++) {
		uint64_t found = atomic_load(&rows[i].hash);

		if (found == 0 && atomic_compare_exchange_strong(&rows[i].hash, &found, hash))
			found = hash;
		if (found != hash)
			continue;
		/* Another claimer may be at it, or have died at it: the bytes are the same. */
		if (!scoreboard_is_named(&rows[i]))
			name_row(&rows[i], kind, name);
		return i;
	}
	return MEASURE_UNNAMED;
}

/* Structs of nothing but counters are added up as what they are. */
static void add_cells(_Atomic uint64_t *to, const _Atomic uint64_t *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof *to; i++)
		SCOREBOARD_ADD(to[i], SCOREBOARD_GET(from[i]));
}

#define ADD_CELLS(to, from) add_cells((_Atomic uint64_t *)(to), (const _Atomic uint64_t *)(from), sizeof *(to))

_Static_assert(sizeof(struct scoreboard_common) % 8 == 0 && sizeof(struct scoreboard_model) % 8 == 0 &&
		       sizeof(struct scoreboard_tool) % 8 == 0,
	"nothing but counters");

static void add_route(struct scoreboard_route *to, const struct scoreboard_route *from)
{
	add_cells(to->seconds.buckets, from->seconds.buckets, sizeof to->seconds);
	add_cells(to->statuses, from->statuses, sizeof to->statuses);
	SCOREBOARD_ADD(to->in_flight, SCOREBOARD_GET(from->in_flight));
	if (SCOREBOARD_GET(from->exemplar.at_us) > SCOREBOARD_GET(to->exemplar.at_us)) {
		uint32_t before = atomic_load_explicit(&from->exemplar.sequence, memory_order_acquire);
		struct scoreboard_exemplar kept = to->exemplar;

		memcpy(&to->exemplar, &from->exemplar, sizeof kept);
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 != 0 || before != SCOREBOARD_GET(from->exemplar.sequence))
			memcpy(&to->exemplar, &kept, sizeof kept);
	}
}

/* Rows without a name were never counted in; reading them would make pages of a sparse file. */
static void add_measures(
	const struct scoreboard *board, struct scoreboard_measures *to, const struct scoreboard_measures *from)
{
	ADD_CELLS(&to->common, &from->common);
	for (int i = 0; i < MODELS_MAX; i++)
		if (SCOREBOARD_GET(board->models[i].hash) != 0)
			ADD_CELLS(&to->models[i], &from->models[i]);
	for (int i = 0; i < TOOLS_MAX; i++)
		if (SCOREBOARD_GET(board->tools[i].hash) != 0)
			ADD_CELLS(&to->tools[i], &from->tools[i]);
	for (int i = 0; i < ROUTES_MAX; i++)
		if (SCOREBOARD_GET(board->routes[i].hash) != 0)
			add_route(&to->routes[i], &from->routes[i]);
}

struct scoreboard_measures *scoreboard_measure(const struct scoreboard *board)
{
	struct scoreboard_measures *sum = aligned_alloc(_Alignof(struct scoreboard_measures), sizeof *sum);

	must(sum != NULL);
	for (int i = 0; i < MEASURE_TRIES; i++) {
		uint32_t before;

		/* The supervisor may have lost the processor in the middle: without it all tries could see the same half. */
		if (i > 0)
			(void)sched_yield();
		before = read_begin(board);

		memset(sum, 0, sizeof *sum);
		add_measures(board, sum, &board->retired_measures);
		for (int s = 0; s < SLOTS_MAX; s++)
			if (SCOREBOARD_GET(board->slots[s].pid) != 0)
				add_measures(board, sum, &board->measures[s]);
		if (read_is_whole(board, before))
			break;
	}
	return sum;
}

void scoreboard_exemplify(
	struct scoreboard_exemplar *e, int bucket, int64_t value, const char *trace_id, int64_t now_us)
{
	if (SCOREBOARD_GET(e->bucket) >= (uint32_t)bucket && now_us - SCOREBOARD_GET(e->at_us) < EXEMPLAR_FRESH_US)
		return;
	SCOREBOARD_ADD(e->sequence, 1);
	atomic_thread_fence(memory_order_release);
	SCOREBOARD_SET(e->bucket, (uint32_t)bucket);
	SCOREBOARD_SET(e->value, value);
	SCOREBOARD_SET(e->at_us, now_us);
	memcpy(e->trace_id, trace_id, strnlen(trace_id, sizeof e->trace_id - 1));
	atomic_store_explicit(&e->sequence, SCOREBOARD_GET(e->sequence) + 1, memory_order_release);
}

/* ---- the dead ------------------------------------------------------------------------------------------------ */

/* Takes out what was added up, and what only the living have. The exemplars of the dead are forgotten. */
static void retire_measures(struct scoreboard *board, struct scoreboard_measures *dead)
{
	struct scoreboard_measures *retired = &board->retired_measures;

	for (int i = 0; i < ROUTES_MAX; i++) {
		if (SCOREBOARD_GET(board->routes[i].hash) == 0)
			continue;
		SCOREBOARD_SET(dead->routes[i].in_flight, 0);
		SCOREBOARD_SET(dead->routes[i].exemplar.at_us, 0);
	}
	add_measures(board, retired, dead);
	memset(&dead->common, 0, sizeof dead->common);
	for (int i = 0; i < MODELS_MAX; i++)
		if (SCOREBOARD_GET(board->models[i].hash) != 0)
			memset(&dead->models[i], 0, sizeof dead->models[i]);
	for (int i = 0; i < TOOLS_MAX; i++)
		if (SCOREBOARD_GET(board->tools[i].hash) != 0)
			memset(&dead->tools[i], 0, sizeof dead->tools[i]);
	for (int i = 0; i < ROUTES_MAX; i++)
		if (SCOREBOARD_GET(board->routes[i].hash) != 0)
			memset(&dead->routes[i], 0, sizeof dead->routes[i]);
}

void scoreboard_retire(struct scoreboard *board, int slot)
{
	struct scoreboard_slot *dead = &board->slots[slot];

	must(slot >= 0 && slot < SLOTS_MAX);
	atomic_fetch_add_explicit(&board->retirements, 1, memory_order_acq_rel);
	SCOREBOARD_SET(dead->pid, 0);
#define X(name)                                                                                                        \
	SCOREBOARD_ADD(board->retired.name, SCOREBOARD_GET(dead->counters.name));                                      \
	SCOREBOARD_SET(dead->counters.name, 0);
	SCOREBOARD_COUNTERS(X)
#undef X
	retire_measures(board, &board->measures[slot]);
	SCOREBOARD_SET(dead->generation, 0);
	SCOREBOARD_SET(dead->epoch, 0);
	SCOREBOARD_SET(dead->state, WORKER_NONE);
	SCOREBOARD_SET(dead->started_at_us, 0);
	SCOREBOARD_SET(dead->ready_at_us, 0);
	SCOREBOARD_SET(dead->drain_until_us, 0);
	SCOREBOARD_SET(dead->heartbeat_us, 0);
	SCOREBOARD_SET(dead->loop_lag_us, 0);
	SCOREBOARD_SET(dead->connections, 0);
	SCOREBOARD_SET(dead->connections_idle, 0);
	SCOREBOARD_SET(dead->streams, 0);
	SCOREBOARD_SET(dead->turns, 0);
	SCOREBOARD_SET(dead->db_idle, 0);
	SCOREBOARD_SET(dead->db_open, 0);
	SCOREBOARD_SET(dead->db_waiting, 0);
	SCOREBOARD_SET(dead->log_dropped, 0);
	SCOREBOARD_SET(dead->rings, 0);
	SCOREBOARD_SET(dead->process.resident_bytes, 0);
	SCOREBOARD_SET(dead->process.cpu_us, 0);
	SCOREBOARD_SET(dead->process.fds, 0);
	SCOREBOARD_SET(dead->process.fds_max, 0);
	SCOREBOARD_SET(dead->process.fds_at_us, 0);
	SCOREBOARD_SET(dead->rings_max, 0);
	SCOREBOARD_SET(dead->last_request_us, 0);
	memset(dead->last_request, 0, sizeof dead->last_request);
	atomic_fetch_add_explicit(&board->retirements, 1, memory_order_acq_rel);
}

void scoreboard_discard(struct scoreboard *board, int slot)
{
	struct scoreboard_counters *counters = &board->slots[slot].counters;

#define X(name) SCOREBOARD_SET(counters->name, 0);
	SCOREBOARD_COUNTERS(X)
#undef X
	scoreboard_retire(board, slot);
}

bool scoreboard_is_sane(const struct scoreboard *board, int slot, int32_t pid, uint64_t epoch)
{
	const struct scoreboard_slot *held = &board->slots[slot];
	uint32_t state = SCOREBOARD_GET(held->state);

	return SCOREBOARD_GET(held->pid) == pid && SCOREBOARD_GET(held->epoch) == epoch && state > WORKER_NONE &&
	       state <= WORKER_EXITED;
}
