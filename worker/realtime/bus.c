/* bus.c: the mesh. What is sent in a loop turn waits in one short list, where a second (type, ring) to the same slot finds the first, and goes out when
 * the turn ends. Called by chat/. Deliberately carries no truth: a list that overflows forgets its oldest wake-ups, and readers look for themselves. */
#include "config.h"
#include "worker/realtime/bus.h"

#include <string.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/log.h"

#define WAITING_MAX  1024
#define RECEIVE_MAX  64 /* datagrams of one wake-up, so that a chatty neighbour cannot hold the loop */
#define TRY_AGAIN_US 5000

struct waiting {
	int slot;         /* to whom */
	struct message m; /* without descriptors */
};

struct bus {
	struct scoreboard *board; /* borrowed: which slots live */
	int slot;                 /* ours */
	struct event *inbox;      /* readable: messages for us */
	struct event *flush;      /* runs when this loop turn's callbacks are done, or later when an inbox was full */
	struct waiting *waiting;  /* WAITING_MAX of room, oldest first */
	int count;                /* of them used */
	struct {
		bus_message_fn *fn; /* NULL: nobody wants it */
		void *arg;          /* borrowed */
	} receivers[MESSAGE_COUNT];
};

static void bus_deliver(struct bus *bus, const struct message *m)
{
	bool is_wanted = (unsigned)m->type < MESSAGE_COUNT && bus->receivers[m->type].fn != NULL;

	if (is_wanted)
		bus->receivers[m->type].fn(bus->receivers[m->type].arg, m);
	/* The receiver of connections takes the descriptor. */
	for (int i = is_wanted && m->type == MESSAGE_CONNECTION ? 1 : 0; i < m->fd_count; i++)
		(void)close(m->fds[i]);
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
	struct bus *bus = arg;
	struct message m;

	(void)what;
	for (int i = 0; i < RECEIVE_MAX; i++) {
		enum error e = ipc_receive(fd, &m);

		if (e == ERROR_PROTOCOL)
			continue;
		if (e != ERROR_NONE)
			return;
		bus_deliver(bus, &m);
	}
	event_active(bus->inbox, EV_READ, 0);
}

static bool bus_slot_lives(const struct bus *bus, int slot)
{
	uint32_t state = atomic_load(&bus->board->slots[slot].state);

	return state == WORKER_BOOT || state == WORKER_READY || state == WORKER_DRAINING || state == WORKER_CLOSING;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct bus *bus = arg;
	struct waiting *list = bus->waiting;
	int count = bus->count, kept = 0;

	(void)fd;
	(void)what;
	/* Delivering to ourselves may send more: those go behind what this flush has. */
	for (int i = 0; i < count; i++) {
		struct waiting now = list[i];

		list[i].slot = -1; /* gone: the same message sent while this one is delivered is a new one */
		if (now.slot == bus->slot)
			bus_deliver(bus, &now.m);
		else if (bus_slot_lives(bus, now.slot) && ipc_send(INHERIT_MESH + now.slot, &now.m) == ERROR_FULL)
			list[kept++] = now;
	}
	memmove(list + kept, list + count, (size_t)(bus->count - count) * sizeof *list);
	bus->count += kept - count;
	if (bus->count > 0)
		(void)event_add(bus->flush, &(struct timeval) { 0, kept > 0 ? TRY_AGAIN_US : 0 });
}

enum error bus_open(struct event_base *base, int slot, struct scoreboard *board, struct bus **bus_out)
{
	struct bus *bus = must_alloc(sizeof *bus);

	bus->board = board;
	bus->slot = slot;
	bus->waiting = must_alloc(WAITING_MAX * sizeof *bus->waiting);
	bus->inbox = event_new(base, INHERIT_INBOX, EV_READ | EV_PERSIST, on_inbox, bus);
	bus->flush = event_new(base, -1, 0, on_flush, bus);
	if (bus->inbox == NULL || bus->flush == NULL || event_add(bus->inbox, NULL) != 0) {
		bus_close(&bus);
		return ERROR_SYSTEM;
	}
	*bus_out = bus;
	return ERROR_NONE;
}

void bus_receive(struct bus *bus, enum message_type type, bus_message_fn *fn, void *arg)
{
	bus->receivers[type].fn = fn;
	bus->receivers[type].arg = arg;
}

static bool bus_is_same(const struct waiting *w, int slot, const struct message *m)
{
	return w->slot == slot && w->m.type == m->type && w->m.turn.ring == m->turn.ring &&
	       w->m.turn.use == m->turn.use;
}

void bus_send(struct bus *bus, int slot, const struct message *m)
{
	must(m->fd_count == 0);
	if (slot < 0 || slot >= SLOTS_MAX)
		return;
	for (int i = 0; i < bus->count; i++)
		if (bus_is_same(&bus->waiting[i], slot, m))
			return;
	if (bus->count == WAITING_MAX) {
		LOG(LOG_WARN, "mesh overflows, oldest wake-up dropped", F_INT("slot", bus->waiting[0].slot));
		memmove(bus->waiting, bus->waiting + 1, (WAITING_MAX - 1) * sizeof *bus->waiting);
		bus->count--;
	}
	bus->waiting[bus->count++] = (struct waiting) { slot, *m };
	event_active(bus->flush, EV_TIMEOUT, 0);
}

enum error bus_send_now(struct bus *bus, int slot, const struct message *m)
{
	must(slot >= 0 && slot < SLOTS_MAX && slot != bus->slot);
	return ipc_send(INHERIT_MESH + slot, m);
}

void bus_close(struct bus **bus)
{
	if (*bus == NULL)
		return;
	if ((*bus)->inbox != NULL)
		event_free((*bus)->inbox);
	if ((*bus)->flush != NULL)
		event_free((*bus)->flush);
	free((*bus)->waiting);
	free(*bus);
	*bus = NULL;
}
