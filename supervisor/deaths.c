/* deaths.c: tells one ready worker about each worker that died, so that its turns are taken over within a second. A death nobody could be told of waits
 * for the next that becomes ready; one whose hearer died soon after is told again. Called by reap.c, channel.c and pool.c's clock. */
#include "config.h"
#include "supervisor/supervisor.h"

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/state.h"

#define DEATHS_MAX    256
#define REMEMBERED_MS 10000 /* after this the hearer has surely acted */

struct death {
	uint32_t slot;         /* of the dead */
	uint64_t epoch;        /* of the dead; 0 = this entry is free */
	int hearer;            /* slot that was told; -1 = nobody yet */
	uint64_t hearer_epoch; /* of it */
	int64_t told_at_ms;    /* monotonic */
};

_Static_assert(DEATHS_MAX == STATE_DEATHS_MAX, "all are handed over in an upgrade");

struct deaths {
	struct death list[DEATHS_MAX]; /* any order */
};

void deaths_open(struct supervisor *s)
{
	s->deaths = must_alloc(sizeof *s->deaths);
}

void deaths_close(struct supervisor *s)
{
	free(s->deaths);
	s->deaths = NULL;
}

static struct death *find_room(struct deaths *deaths)
{
	struct death *oldest = &deaths->list[0];

	for (int i = 0; i < DEATHS_MAX; i++) {
		if (deaths->list[i].epoch == 0)
			return &deaths->list[i];
		if (deaths->list[i].epoch < oldest->epoch)
			oldest = &deaths->list[i];
	}
	/* Its turns are found by their leases, later. */
	return oldest;
}

void deaths_add(struct supervisor *s, int slot, uint64_t epoch)
{
	*find_room(s->deaths) = (struct death) { .slot = (uint32_t)slot, .epoch = epoch, .hearer = -1 };
}

/* The least loaded, because it will get the work. */
static struct slot *choose_hearer(struct supervisor *s)
{
	struct slot *best = NULL;
	uint32_t least = UINT32_MAX;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];
		uint32_t turns = SCOREBOARD_GET(s->board->slots[i].turns);

		if (slot->pid != 0 && slot->is_ready && !slot->is_leaving && !slot->is_unhealthy && turns < least) {
			least = turns;
			best = slot;
		}
	}
	return best;
}

void deaths_tell(struct supervisor *s)
{
	int64_t now_ms = clock_monotonic_ms();

	for (int i = 0; i < DEATHS_MAX; i++) {
		struct death *death = &s->deaths->list[i];
		struct message m = { .type = MESSAGE_SLOT_DIED,
			.slot = { .slot = death->slot, .epoch = death->epoch } };
		struct slot *hearer;

		if (death->epoch != 0 && death->hearer >= 0 && now_ms - death->told_at_ms > REMEMBERED_MS)
			death->epoch = 0;
		if (death->epoch == 0 || death->hearer >= 0)
			continue;
		hearer = choose_hearer(s);
		if (hearer == NULL || !channel_send(hearer, &m))
			continue;
		death->hearer = hearer->index;
		death->hearer_epoch = hearer->epoch;
		death->told_at_ms = now_ms;
		LOG(LOG_INFO, "turns of a dead worker handed over", F_INT("slot", death->slot),
			F_INT("epoch", death->epoch), F_INT("to_slot", hearer->index));
	}
}

void deaths_untold(struct supervisor *s, int slot, uint64_t epoch)
{
	for (int i = 0; i < DEATHS_MAX; i++)
		if (s->deaths->list[i].hearer == slot && s->deaths->list[i].hearer_epoch == epoch)
			s->deaths->list[i].hearer = -1;
}

/* Those told moments ago count as untold: being told twice does no harm. */
void deaths_save(const struct supervisor *s, struct state_death *list_out)
{
	for (int i = 0; i < DEATHS_MAX; i++) {
		const struct death *death = &s->deaths->list[i];

		list_out[i] = (struct state_death) { .slot = death->slot, .epoch = (int64_t)death->epoch };
	}
}

void deaths_restore(struct supervisor *s, const struct state_death *list)
{
	for (int i = 0; i < DEATHS_MAX; i++)
		if (list[i].epoch != 0)
			deaths_add(s, (int)list[i].slot, (uint64_t)list[i].epoch);
}
