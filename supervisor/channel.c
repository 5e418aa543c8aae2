/* channel.c: the control channel of one worker's life, from the supervisor's side: READY, the reports of its end, our messages to it.
 * Called by spawn.c (open), pool.c, deaths.c and shutdown.c (send), reap.c (what it said last). */
#include "config.h"
#include "supervisor/rollover.h"

#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

#define MESSAGES_PER_TURN 64

static void on_ready(struct supervisor *s, struct slot *slot)
{
	if (slot->is_ready)
		return;
	slot->is_ready = true;
	slot->ready_at_ms = clock_monotonic_ms();
	LOG(LOG_INFO, "worker ready", F_INT("slot", slot->index), F_INT("worker_pid", slot->pid),
		F_INT("epoch", slot->epoch), F_INT("ms", slot->ready_at_ms - slot->started_at_ms));
	pool_worker_ready(s);
	rollover_worker_ready(s, slot);
	deaths_tell(s);
}

static void on_message(struct supervisor *s, struct slot *slot, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_WORKER_READY: on_ready(s, slot); return;
	case MESSAGE_WORKER_DRAINING:
		slot->is_draining = true;
		shutdown_worker_draining(s);
		return;
	case MESSAGE_WORKER_CLOSED:
		slot->closed_reports++;
		gauges_resource_closed(s, &m->closed);
		shutdown_resource_closed(s, slot, &m->closed);
		return;
	case MESSAGE_DRAIN:
	case MESSAGE_SLOT_DIED:
	case MESSAGE_LOG_LEVEL:
	case MESSAGE_LOG_FILE:
	case MESSAGE_OPTIONS:
	case MESSAGE_TURN_EVENTS:
	case MESSAGE_TURN_CANCEL:
	case MESSAGE_TURNS_RELEASED:
	case MESSAGE_CONNECTION:
	case MESSAGE_COUNT: break;
	}
	LOG(LOG_WARN, "unexpected message from a worker", F_INT("slot", slot->index), F_INT("type", m->type));
}

/* True when there may be more. */
static bool read_one(struct supervisor *s, struct slot *slot)
{
	struct message m;
	enum error e = ipc_receive(slot->control, &m);

	if (e == ERROR_PROTOCOL)
		return true;
	if (e == ERROR_BUSY)
		return false;
	if (e != ERROR_NONE) {
		/* Its end closes the channel; waitpid tells the rest. */
		if (slot->readable != NULL)
			event_del(slot->readable);
		return false;
	}
	for (int i = 0; i < m.fd_count; i++)
		close(m.fds[i]);
	on_message(s, slot, &m);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct slot *slot = arg;
	struct supervisor *s = slot->supervisor;

	(void)fd;
	(void)what;
	for (int i = 0; i < MESSAGES_PER_TURN && slot->control >= 0 && read_one(s, slot); i++)
		;
}

enum error channel_open(struct supervisor *s, struct slot *slot, int fd)
{
	slot->control = fd;
	slot->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, slot);
	must(slot->readable != NULL);
	return event_add(slot->readable, NULL) == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

void channel_close(struct slot *slot)
{
	if (slot->readable != NULL)
		event_free(slot->readable);
	slot->readable = NULL;
	if (slot->control >= 0)
		close(slot->control);
	slot->control = -1;
}

bool channel_send(const struct slot *slot, const struct message *m)
{
	return slot->control >= 0 && ipc_send(slot->control, m) == ERROR_NONE;
}

void channel_read_rest(struct supervisor *s, struct slot *slot)
{
	for (int i = 0; i < MESSAGES_PER_TURN && slot->control >= 0 && read_one(s, slot); i++)
		;
}
