/* handover.c: a connection without a request goes to another worker, descriptor and all: what its client sends meanwhile waits in the socket, so that it
 * never finds a connection closed that it was about to use. Called by http/ at the end of a drain and by the mesh. Deliberately knows nothing of requests: a
 * connection that has begun one stays until it is answered. */
#include "config.h"
#include "worker/handover.h"

#include <string.h>

#include "shared/ipc.h"
#include "shared/log.h"
#include "worker/realtime/bus.h"

static uint32_t weight_of(const struct scoreboard_slot *slot)
{
	return SCOREBOARD_GET(slot->connections) + 4 * SCOREBOARD_GET(slot->streams);
}

/* The least busy ready worker of the newest generation that has one; -1 when nobody is there. */
static int find_successor(const struct worker *w)
{
	const struct scoreboard_slot *best = NULL;

	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &w->board->slots[i];
		uint32_t generation = SCOREBOARD_GET(slot->generation);

		if (slot == w->slot || SCOREBOARD_GET(slot->pid) == 0 || SCOREBOARD_GET(slot->state) != WORKER_READY)
			continue;
		if (best == NULL || generation > SCOREBOARD_GET(best->generation) ||
			(generation == SCOREBOARD_GET(best->generation) && weight_of(slot) < weight_of(best)))
			best = slot;
	}
	return best != NULL ? (int)(best - w->board->slots) : -1;
}

enum http_gift handover_give(void *context, int fd, const char *client, bool is_fresh)
{
	const struct worker *w = context;
	struct message m = { .type = MESSAGE_CONNECTION, .fds = { fd }, .fd_count = 1 };
	int successor = find_successor(w);
	enum error e;

	if (successor < 0)
		return HTTP_GIFT_NOBODY;
	memcpy(m.connection.client, client, strnlen(client, sizeof m.connection.client - 1));
	m.connection.is_fresh = is_fresh;
	e = bus_send_now(w->bus, successor, &m);
	if (e == ERROR_FULL)
		return HTTP_GIFT_LATER;
	if (e != ERROR_NONE)
		LOG(LOG_WARN, "connection cannot be given to another worker", F_INT("slot", successor),
			F_STR("error", error_code(e)));
	return e == ERROR_NONE ? HTTP_GIFT_TAKEN : HTTP_GIFT_NOBODY;
}

static void on_connection(void *arg, const struct message *m)
{
	struct worker *w = arg;

	if (m->fd_count == 1)
		http_adopt(w->http, m->fds[0], m->connection.client, m->connection.is_fresh != 0);
}

void handover_open(struct worker *w)
{
	bus_receive(w->bus, MESSAGE_CONNECTION, on_connection, w);
}
