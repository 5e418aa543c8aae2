/* scoreboard.c: makes and maps the shared memory of supervisor and workers, and adds it up.
 * The supervisor makes it before its first fork and retires the dead; workers map it and write their own slot through the macros of the header.
 * Takes no lock: a reader that meets a retirement half done looks again. */
#include "config.h"
#include "shared/scoreboard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"

#define READ_TRIES 1000 /* a supervisor stopped in the middle of a retirement must not stop its workers */

static enum error map(int fd, struct scoreboard **board_out)
{
	void *memory = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return ERROR_SYSTEM;
	*board_out = memory;
	return ERROR_NONE;
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

struct scoreboard_totals scoreboard_total(const struct scoreboard *board)
{
	struct scoreboard_totals totals = { 0 };

	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&board->retirements, memory_order_acquire);

		totals = add_up(board);
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 && before == SCOREBOARD_GET(board->retirements))
			break;
	}
	return totals;
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
	atomic_fetch_add_explicit(&board->retirements, 1, memory_order_acq_rel);
}
