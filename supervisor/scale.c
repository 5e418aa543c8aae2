/* scale.c: TTIN, TTOU and `renovationctl scale`: more workers, or the youngest drain, until the next reload reads the option again.
 * Called by signals.c and control.c. */
#include "config.h"
#include "supervisor/change.h"

#include <sched.h>

#include "shared/log.h"

#define PER_CORE 4

int scale_most(const struct supervisor *s)
{
	cpu_set_t cores;
	int most = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) * PER_CORE : PER_CORE;

	/* Who asked for more in the configuration may go down from there. */
	if (most < s->wanted)
		most = s->wanted;
	return most < SLOTS_MAX ? most : SLOTS_MAX - 1;
}

static bool remove_youngest(struct supervisor *s)
{
	struct slot *youngest = NULL;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->is_wanted && !slot->is_old && !slot->is_new &&
			(youngest == NULL || slot->epoch > youngest->epoch))
			youngest = slot;
	}
	if (youngest == NULL)
		return false;
	leavers_add(s, youngest);
	return true;
}

/* NULL when it may begin. */
static const char *why_not(const struct supervisor *s, int workers)
{
	static char too_many[64];
	const struct rollover *r = s->rollover;

	if (r == NULL || s->state == SUPERVISOR_STOPPING)
		return "the service is stopping";
	if (upgrade_is_running(s))
		return "an upgrade is under way";
	if (r->step != STEP_IDLE && r->now.kind != CHANGE_REPLACE)
		return "another change is under way";
	if (r->is_drained)
		return "the service is drained: resume it first";
	if (workers < 1)
		return "one worker is the least";
	if (workers <= scale_most(s))
		return NULL;
	(void)snprintf(too_many, sizeof too_many, "%d workers are the most", scale_most(s));
	return too_many;
}

int scale_wanted(const struct supervisor *s)
{
	return s->size_by_hand > 0 ? s->size_by_hand : options_workers(s->options);
}

void scale_forget(struct supervisor *s)
{
	s->rollover->undone_size = s->size_by_hand;
	s->size_by_hand = 0;
}

void scale_to(struct supervisor *s, int workers)
{
	int now = s->wanted;

	while (now > workers && remove_youngest(s))
		now--;
	if (now < workers)
		now = workers;
	pool_resize(s, now);
	/* What finds no free slot now comes when one is. */
	pool_fill(s);
}

bool rollover_scale(struct supervisor *s, int workers, const char *who, const char **why_out)
{
	const char *why = why_not(s, workers);
	int before = s->wanted;

	if (why != NULL) {
		*why_out = why;
		return false;
	}
	scale_to(s, workers);
	s->size_by_hand = s->wanted;
	LOG(LOG_INFO, "pool scaled", F_STR("event", "scale"), F_STR("who", who), F_INT("from", before),
		F_INT("to", s->wanted));
	pool_publish(s);
	return true;
}
