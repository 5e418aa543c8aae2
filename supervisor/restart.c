/* restart.c: the arithmetic of restarts: first end answered at once, then doubling delays; a storm slows the pool to one start in 5 s; a pool that
 * serves nobody for 30 s gives up, so that systemd's limits see it. Pure; times come from the caller. */
#include "config.h"
#include "supervisor/restart.h"

#include "shared/inherit.h"

#define HEALTHY_MS        60000
#define BACKOFF_FIRST_MS  250
#define BACKOFF_MOST_MS   30000
#define JITTER_PART       0.2
#define STORM_WINDOW_MS   60000
#define STORM_LEAST       5
#define STORM_SPAWN_MS    5000
#define NONE_READY_MS     30000
#define NO_FORK_MS        60000
#define FATAL_IN_ROW_MOST 2

int64_t restart_delay_ms(struct restart_slot *slot, int64_t ready_for_ms, double jitter)
{
	int64_t delay = BACKOFF_FIRST_MS;

	if (ready_for_ms >= HEALTHY_MS)
		slot->in_row = 0;
	slot->in_row++;
	if (slot->in_row == 1)
		return 0;
	for (int i = 2; i < slot->in_row && delay < BACKOFF_MOST_MS; i++)
		delay *= 2;
	if (delay > BACKOFF_MOST_MS)
		delay = BACKOFF_MOST_MS;
	return delay + (int64_t)((double)delay * JITTER_PART * jitter);
}

static bool is_fatal_class(int exit_code)
{
	return exit_code == EXIT_USAGE_WRONG || exit_code == EXIT_STATE_CORRUPT || exit_code == EXIT_REFUSED ||
	       exit_code == EXIT_CONFIG_WRONG;
}

/* What a shell, the dynamic linker or a sanitizer leaves with says nothing to whoever reads our table of exit codes. */
static bool is_of_ours(int exit_code)
{
	return is_fatal_class(exit_code) || exit_code == EXIT_UNAVAILABLE || exit_code == EXIT_STORM ||
	       exit_code == EXIT_OS || exit_code == EXIT_CANNOT_CREATE || exit_code == EXIT_WORK_LOST ||
	       exit_code == EXIT_ADDRESS_IN_USE;
}

void restart_note_end(struct restart_pool *pool, int64_t now_ms, int exit_code, bool is_somebody_ready)
{
	pool->ends_ms[pool->ends_next] = now_ms;
	pool->ends_next = (pool->ends_next + 1) % RESTART_STORM_MEMORY;
	pool->last_code = is_of_ours(exit_code) ? exit_code : 0;
	if (is_fatal_class(exit_code) && !is_somebody_ready)
		pool->fatal_in_row++;
	else
		pool->fatal_in_row = 0;
}

bool restart_is_storm(const struct restart_pool *pool, int64_t now_ms, int workers)
{
	int limit = workers * 2 > STORM_LEAST ? workers * 2 : STORM_LEAST, count = 0;

	for (int i = 0; i < RESTART_STORM_MEMORY; i++)
		count += pool->ends_ms[i] != 0 && now_ms - pool->ends_ms[i] < STORM_WINDOW_MS;
	return count >= limit;
}

int64_t restart_storm_wait_ms(const struct restart_pool *pool, int64_t now_ms, int workers)
{
	int64_t next_ms = pool->last_spawn_ms + STORM_SPAWN_MS;

	if (!restart_is_storm(pool, now_ms, workers) || next_ms <= now_ms)
		return 0;
	return next_ms - now_ms;
}

int64_t restart_fork_failed(struct restart_pool *pool, int64_t now_ms)
{
	static const int64_t delays_ms[] = { 1000, 2000, 4000, 8000, 15000 };
	int last = (int)(sizeof delays_ms / sizeof delays_ms[0]) - 1;
	int64_t delay = delays_ms[pool->fork_fails < last ? pool->fork_fails : last];

	if (pool->fork_fails_since_ms == 0)
		pool->fork_fails_since_ms = now_ms;
	pool->fork_fails++;
	return delay;
}

void restart_forked(struct restart_pool *pool, int64_t now_ms)
{
	pool->fork_fails = 0;
	pool->fork_fails_since_ms = 0;
	pool->last_spawn_ms = now_ms;
}

int restart_escalate(struct restart_pool *pool, int64_t now_ms, int ready, int alive)
{
	/* The minute without workers begins with the end of the last one. */
	if (pool->fork_fails_since_ms != 0 && alive > 0)
		pool->fork_fails_since_ms = now_ms;
	if (ready > 0) {
		pool->none_ready_since_ms = 0;
		pool->fatal_in_row = 0;
		return 0;
	}
	if (pool->none_ready_since_ms == 0)
		pool->none_ready_since_ms = now_ms;
	if (pool->fatal_in_row >= FATAL_IN_ROW_MOST)
		return pool->last_code;
	if (pool->fork_fails_since_ms != 0 && alive == 0)
		return now_ms - pool->fork_fails_since_ms >= NO_FORK_MS ? EXIT_OS : 0;
	if (now_ms - pool->none_ready_since_ms < NONE_READY_MS)
		return 0;
	return pool->last_code != 0 ? pool->last_code : EXIT_STORM;
}
