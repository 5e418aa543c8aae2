/* balance.c: whether this worker should leave the next connection to a less busy one. All workers wait on one listening socket, and the kernel
 * would give a burst to whoever wakes first. Called by listener.c; reads the scoreboard, writes nothing. */
#include "config.h"
#include "worker/http/internal.h"

#define LAG_US_MAX   50000   /* a worker whose loop is this late is no measure */
#define STALE_US_MAX 3000000 /* nor one that has not written its heartbeat */
#define SLACK_MIN    2

static uint32_t weight_of(const struct scoreboard_slot *slot)
{
	return SCOREBOARD_GET(slot->connections) + 4 * SCOREBOARD_GET(slot->streams);
}

static bool is_measure(const struct scoreboard_slot *slot, int64_t now_us)
{
	return SCOREBOARD_GET(slot->pid) != 0 && SCOREBOARD_GET(slot->state) == WORKER_READY &&
	       SCOREBOARD_GET(slot->loop_lag_us) <= LAG_US_MAX &&
	       now_us - SCOREBOARD_GET(slot->heartbeat_us) <= STALE_US_MAX;
}

bool balance_is_shut(const struct http_server *server)
{
	uint32_t own = weight_of(server->slot), least = own;

	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &server->options.board->slots[i];

		if (slot != server->slot && is_measure(slot, server->now_us) && weight_of(slot) < least)
			least = weight_of(slot);
	}

	uint32_t slack = least / 8 > SLACK_MIN ? least / 8 : SLACK_MIN;

	return own > least + slack;
}
