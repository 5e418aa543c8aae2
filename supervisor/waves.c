/* waves.c: new workers take the place of old ones: as many at once as option surge and the free slots allow, all of a wave ready before as many old ones
 * are told to leave. When one fails the new ones go and the old serve on; after the first wave, workers of before come back first. Called by reload.c,
 * rollover.c and, through rollover.h, for each worker that becomes ready or dies. */
#include "config.h"
#include "supervisor/change.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/spawn.h"

#define SLOT_WAIT_MS  250  /* between looks for a free slot */
#define SLOT_STALL_MS 5000 /* without one: who drains is hurried */

uint32_t waves_next_generation(const struct supervisor *s)
{
	uint32_t newest = s->generation;

	/* After a failed change some slots may hold a later one than serves. */
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid != 0 && s->slots[i].generation > newest)
			newest = s->slots[i].generation;
	return newest + 1;
}

static bool start_one(struct supervisor *s, struct slot *slot)
{
	struct rollover *r = s->rollover;

	memset(&slot->restart, 0, sizeof slot->restart);
	slot->is_new = true;
	slot->is_old = false;
	if (spawn_worker(s, slot, &r->birth) == ERROR_NONE) {
		restart_forked(&s->restart, clock_monotonic_ms());
		LOG(LOG_INFO, "worker started", F_INT("slot", slot->index), F_INT("worker_pid", slot->pid),
			F_INT("epoch", slot->epoch), F_INT("generation", slot->generation));
		return true;
	}
	slot->is_new = slot->pid != 0;
	(void)snprintf(r->why, sizeof r->why, "cannot start a worker: %s", strerror(errno));
	return false;
}

/* Slots are held by workers that still drain. */
static void wait_for_slots(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	int64_t now_ms = clock_monotonic_ms();

	r->wave_until_ms = 0;
	if (r->stalled_ms == 0)
		r->stalled_ms = now_ms;
	if (now_ms - r->stalled_ms > SLOT_STALL_MS)
		leavers_hurry(s);
	change_set_deadline(r, SLOT_WAIT_MS);
}

/* A reload already goes by what it brings. */
static const struct options *options_of(const struct supervisor *s)
{
	const struct rollover *r = s->rollover;

	return r->step == STEP_STARTING && r->proposal.is_set ? &r->proposal.config.options : s->options;
}

static void start_wave(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	const struct options *o = options_of(s);
	int surge = o->surge > 0 ? (int)o->surge : r->needed, started = 0;
	struct slot *slot;

	while (started < surge && started < r->needed && (slot = pool_find_free(s)) != NULL) {
		if (!start_one(s, slot)) {
			waves_failed(s, r->why);
			return;
		}
		started++;
	}
	if (started == 0) {
		wait_for_slots(s);
		return;
	}
	r->stalled_ms = 0;
	r->wave_until_ms = clock_monotonic_ms() + o->boot_timeout_ms;
	change_set_deadline(r, o->boot_timeout_ms);
}

static void mark_old(struct supervisor *s)
{
	const struct rollover *r = s->rollover;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		slot->is_new = false;
		slot->is_old = slot->is_wanted && (r->now.kind != CHANGE_REPLACE || i == r->now.slot);
	}
}

void waves_begin(struct supervisor *s, const struct birth *birth, int count)
{
	struct rollover *r = s->rollover;

	r->step = STEP_STARTING;
	r->has_started = true;
	r->birth = *birth;
	r->needed = count;
	r->promoted = 0;
	r->stalled_ms = 0;
	r->why[0] = '\0';
	mark_old(s);
	start_wave(s);
}

/* ---- a wave is ready ----------------------------------------------------------------------------------------- */

static void retire_old(struct supervisor *s, int count)
{
	while (count-- > 0) {
		struct slot *oldest = NULL;

		for (int i = 0; i < SLOTS_MAX; i++)
			if (s->slots[i].is_old && (oldest == NULL || s->slots[i].epoch < oldest->epoch))
				oldest = &s->slots[i];
		if (oldest == NULL)
			return;
		leavers_add(s, oldest);
	}
}

static void clear_marks(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		s->slots[i].is_new = s->slots[i].is_old = false;
}

/* The new generation serves: from here on it is the pool. */
static void commit(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	bool is_drain = r->now.kind == CHANGE_DRAIN || (r->now.kind == CHANGE_TAKE_OVER && r->is_drained);

	if (r->now.kind == CHANGE_REPLACE)
		return;
	s->generation = r->birth.generation;
	if (r->now.kind == CHANGE_RELOAD) {
		proposal_adopt(s, &r->proposal);
		scale_forget(s);
	}
	if (is_drain && !r->is_drained)
		r->size = s->wanted;
	r->is_drained = is_drain;
	pool_resize(s, r->promoted);
	/* Before the old are told to go: from then on what comes is for those who answer probes only. */
	SCOREBOARD_SET(s->board->is_serving, !is_drain);
	pool_publish(s);
}

static void all_ready(struct supervisor *s)
{
	struct rollover *r = s->rollover;

	r->why[0] = '\0';
	if (r->step == STEP_STARTING)
		commit(s);
	retire_old(s, SLOTS_MAX);
	clear_marks(s);
	if (r->step == STEP_STARTING)
		change_end(s, RELOAD_REPLACED, "");
	else
		change_end(s, RELOAD_FAILED, r->refusal);
}

void waves_ready(struct supervisor *s, struct slot *slot)
{
	struct rollover *r = s->rollover;
	int ready = 0;

	if (!slot->is_new || (r->step != STEP_STARTING && r->step != STEP_RETURNING))
		return;
	for (int i = 0; i < SLOTS_MAX; i++) {
		if (s->slots[i].is_new && !s->slots[i].is_ready)
			return;
		ready += s->slots[i].is_new && !s->slots[i].is_wanted;
	}
	for (int i = 0; i < SLOTS_MAX; i++)
		s->slots[i].is_wanted = s->slots[i].is_wanted || s->slots[i].is_new;
	r->needed -= ready;
	r->promoted += ready;
	if (r->needed <= 0) {
		all_ready(s);
		return;
	}
	retire_old(s, ready);
	start_wave(s);
}

/* ---- a wave fails -------------------------------------------------------------------------------------------- */

static void drop_new(struct supervisor *s, enum death_cause cause)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (!slot->is_new || slot->is_wanted)
			continue;
		slot->is_new = false;
		if (slot->pid == 0)
			continue;
		if (slot->is_ready) {
			/* It has clients already. */
			leavers_add(s, slot);
			continue;
		}
		slot->is_leaving = true;
		slot->killed_with = SIGKILL;
		slot->killed_for = cause;
		slot->killed_at_ms = clock_monotonic_ms();
		(void)kill(slot->pid, SIGKILL);
	}
}

/* Those of the failed generation that took a place keep it until workers of before are back. */
static void go_back(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	int kept = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];
		bool is_failed = slot->is_new;

		slot->is_new = false;
		slot->is_old = is_failed;
		if (is_failed && slot->pid == 0)
			leavers_add(s, slot);
		kept += slot->is_wanted && !is_failed;
	}
	(void)snprintf(r->refusal, sizeof r->refusal, "%s", r->why);
	r->step = STEP_RETURNING;
	r->birth = pool_birth(s);
	r->needed = s->wanted - kept;
	r->promoted = 0;
	LOG(LOG_WARN, "a later wave failed: workers of before come back", F_INT("workers", r->needed));
	if (r->needed > 0)
		start_wave(s);
	else
		all_ready(s);
}

static void fail(struct supervisor *s, const char *why, enum death_cause cause)
{
	struct rollover *r = s->rollover;

	if (why != r->why)
		(void)snprintf(r->why, sizeof r->why, "%s", why);
	LOG(LOG_ERROR, "new workers do not get ready", F_STR("error", r->why),
		F_INT("generation", r->birth.generation));
	drop_new(s, cause);
	if (r->step == STEP_STARTING && r->promoted > 0) {
		go_back(s);
		return;
	}
	clear_marks(s);
	if (r->step == STEP_STARTING)
		(void)snprintf(r->refusal, sizeof r->refusal, "%s", r->why);
	change_end(s, RELOAD_FAILED, r->refusal);
}

void waves_failed(struct supervisor *s, const char *why)
{
	fail(s, why, DEATH_CAUSES);
}

void waves_timed_out(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	char why[120];

	if (r->wave_until_ms == 0) {
		start_wave(s);
		return;
	}
	(void)snprintf(why, sizeof why, "a new worker was not ready within boot_timeout_ms (%lld ms)",
		(long long)options_of(s)->boot_timeout_ms);
	fail(s, why, DEATH_BOOT);
}

void waves_forget(struct supervisor *s)
{
	clear_marks(s);
}

void waves_drop(struct supervisor *s)
{
	if (s->rollover == NULL)
		return;
	drop_new(s, DEATH_CAUSES);
	clear_marks(s);
}
