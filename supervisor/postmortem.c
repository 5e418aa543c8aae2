/* postmortem.c: writes down how a worker was when it died: cause, age, load, its last request. Called by reap.c for each end that nobody asked for;
 * read by the operations page, renovationctl and metrics through the scoreboard. */
#include "config.h"
#include "supervisor/postmortem.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "shared/clock.h"

enum death_cause postmortem_cause(const struct slot *slot, int status, int64_t oom_kills)
{
	if (slot->killed_with != 0)
		return slot->killed_for;
	if (WIFEXITED(status))
		return DEATH_EXIT;
	if (WTERMSIG(status) != SIGKILL)
		return DEATH_SIGNAL;
	return oom_kills > 0 ? DEATH_OOM : DEATH_KILLED;
}

/* The worker may have died while it wrote: whatever is there, it ends. */
static void copy_request(const struct scoreboard_slot *from, struct scoreboard_death *to)
{
	if (SCOREBOARD_GET(from->last_request_us) == 0)
		return;
	memcpy(to->last_request, from->last_request, sizeof to->last_request);
	to->last_request[sizeof to->last_request - 1] = '\0';
}

void postmortem_write(struct supervisor *s, const struct slot *slot, int status, enum death_cause cause)
{
	struct scoreboard_pool *pool = &s->board->pool;
	const struct scoreboard_slot *board = &s->board->slots[slot->index];
	uint32_t row = SCOREBOARD_GET(pool->deaths_next) % DEATHS_KEPT;
	struct scoreboard_death *death = &pool->deaths[row];
	int64_t now_us = clock_monotonic_us(), now_ms = now_us / 1000, beat_us = SCOREBOARD_GET(board->heartbeat_us);

	must(cause < DEATH_CAUSES);
	SCOREBOARD_SET(death->at_us, 0);
	memset(death->last_request, 0, sizeof death->last_request);
	death->epoch = slot->epoch;
	death->pid = (int32_t)slot->pid;
	death->slot = (uint32_t)slot->index;
	death->generation = slot->generation;
	death->cause = cause;
	death->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	death->has_core = WIFSIGNALED(status) && WCOREDUMP(status);
	death->state = SCOREBOARD_GET(board->state);
	death->lived_ms = now_ms - slot->started_at_ms;
	death->ready_ms = slot->ready_at_ms != 0 ? now_ms - slot->ready_at_ms : 0;
	death->heartbeat_age_us = beat_us > 0 && beat_us <= now_us ? now_us - beat_us : 0;
	death->loop_lag_us = SCOREBOARD_GET(board->loop_lag_us);
	death->connections = SCOREBOARD_GET(board->connections);
	death->streams = SCOREBOARD_GET(board->streams);
	death->turns = SCOREBOARD_GET(board->turns);
	copy_request(board, death);
	atomic_store_explicit(&death->at_us, clock_wall_us(), memory_order_release);
	SCOREBOARD_SET(pool->deaths_next, (row + 1) % DEATHS_KEPT);
	SCOREBOARD_ADD(pool->restarts[cause], 1);
	SCOREBOARD_ADD(pool->slot_restarts[slot->index], 1);
}
