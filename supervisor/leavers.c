/* leavers.c: workers that drain because others took their place: told once, given the time of a drain, told again to end it soon, then killed. At most two
 * generations drain side by side. Called by waves.c and scale.c, and each half second by rollover.c. A stop of the service is shutdown.c's part. */
#include "config.h"
#include "supervisor/change.h"

#include <signal.h>

#include "shared/clock.h"
#include "shared/log.h"

#define DRAINING_GENERATIONS_MAX 2
#define MARGIN_MS                5000 /* beyond what the worker gives itself */

static bool is_draining(const struct slot *slot)
{
	return slot->pid != 0 && slot->leave_until_ms != 0;
}

static void tell(struct slot *slot, bool is_stop)
{
	struct message m = { .type = MESSAGE_DRAIN, .drain = { .is_stop = is_stop, .t0_us = clock_monotonic_us() } };

	if (!channel_send(slot, &m))
		(void)kill(slot->pid, SIGTERM);
}

static void give_time(struct supervisor *s, struct slot *slot, int64_t ms)
{
	slot->leave_until_ms = clock_monotonic_ms() + ms;
	SCOREBOARD_SET(s->board->slots[slot->index].drain_until_us, slot->leave_until_ms * 1000);
}

static void hurry(struct supervisor *s, struct slot *slot, const char *why)
{
	LOG(LOG_WARN, "draining worker hurried", F_STR("reason", why), F_INT("slot", slot->index),
		F_INT("worker_pid", slot->pid), F_INT("generation", slot->generation));
	slot->is_hurried = true;
	give_time(s, slot, s->options->shutdown_ms);
	/* Told a second time, a drain ends within seconds and still closes nothing that a client may be about to use. */
	tell(slot, false);
}

bool leavers_are_there(const struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (is_draining(&s->slots[i]))
			return true;
	return false;
}

void leavers_hurry(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (is_draining(&s->slots[i]) && !s->slots[i].is_hurried)
			hurry(s, &s->slots[i], "its slot is needed");
}

/* The oldest of more than two, 0 when there are not so many. */
static uint32_t find_surplus(const struct supervisor *s)
{
	uint32_t known[DRAINING_GENERATIONS_MAX + 1], oldest = UINT32_MAX;
	int count = 0;

	for (int i = 0; i < SLOTS_MAX && count <= DRAINING_GENERATIONS_MAX; i++) {
		const struct slot *slot = &s->slots[i];
		bool is_known = false;

		if (!is_draining(slot) || slot->is_hurried)
			continue;
		for (int k = 0; k < count; k++)
			is_known = is_known || known[k] == slot->generation;
		if (!is_known)
			known[count++] = slot->generation;
	}
	if (count <= DRAINING_GENERATIONS_MAX)
		return 0;
	for (int i = 0; i < SLOTS_MAX; i++)
		if (is_draining(&s->slots[i]) && !s->slots[i].is_hurried && s->slots[i].generation < oldest)
			oldest = s->slots[i].generation;
	return oldest;
}

static void bound_generations(struct supervisor *s)
{
	uint32_t surplus;

	while ((surplus = find_surplus(s)) != 0)
		for (int i = 0; i < SLOTS_MAX; i++)
			if (is_draining(&s->slots[i]) && s->slots[i].generation == surplus && !s->slots[i].is_hurried)
				hurry(s, &s->slots[i], "a third generation drains");
}

void leavers_add(struct supervisor *s, struct slot *slot)
{
	const struct options *o = s->options;
	int64_t drain_ms = o->drain_timeout_ms > o->drain_streams_ms ? o->drain_timeout_ms : o->drain_streams_ms;

	slot->is_wanted = slot->is_new = slot->is_old = false;
	(void)event_del(slot->respawn);
	if (slot->pid == 0 || slot->is_leaving)
		return;
	slot->is_leaving = true;
	give_time(s, slot, drain_ms + o->shutdown_database_ms + MARGIN_MS);
	LOG(LOG_INFO, "worker told to leave", F_INT("slot", slot->index), F_INT("worker_pid", slot->pid),
		F_INT("epoch", slot->epoch), F_INT("generation", slot->generation));
	tell(slot, false);
	bound_generations(s);
}

void leavers_tick(struct supervisor *s)
{
	int64_t now_ms = clock_monotonic_ms();

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (!is_draining(slot) || now_ms < slot->leave_until_ms || slot->killed_with != 0)
			continue;
		if (!slot->is_hurried) {
			hurry(s, slot, "its time to drain is over");
			continue;
		}
		LOG(LOG_ERROR, "draining worker killed: it did not leave in time", F_INT("slot", slot->index),
			F_INT("worker_pid", slot->pid), F_INT("generation", slot->generation));
		slot->killed_with = SIGKILL;
		slot->killed_for = DEATH_CAUSES;
		slot->killed_at_ms = now_ms;
		(void)kill(slot->pid, SIGKILL);
	}
}
