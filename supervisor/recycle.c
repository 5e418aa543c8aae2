/* recycle.c: replaces workers that are older or larger than the options allow, one at a time, the new one ready first.
 * Called each half second by rollover.c; looks at sizes every few seconds. */
#include "config.h"
#include "supervisor/change.h"

#include <stdio.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

#define LOOK_MS         2000
#define MIB             (1024L * 1024)
#define MEMORY_AGE_MS   5000 /* a limit below what a fresh worker needs must not make them follow each other */
#define SPREAD_PARTS    10   /* a tenth more or less */
#define SPREAD_PERMILLE 1000

/* Second field of statm: resident pages. -1 when it cannot be read. */
static int64_t resident_mib(pid_t pid)
{
	char path[64];
	long long size, resident;
	FILE *file;
	int fields = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	fields = fscanf(file, "%lld %lld", &size, &resident);
	(void)fclose(file);
	return fields == 2 ? (int64_t)resident * sysconf(_SC_PAGESIZE) / MIB : -1;
}

/* Each life has its own, so that workers started together do not leave together. */
static int64_t age_limit_ms(const struct supervisor *s, const struct slot *slot)
{
	int64_t age_ms = s->options->worker_age_max_s * 1000, spread_ms = age_ms / SPREAD_PARTS;
	int64_t part = (int64_t)(slot->epoch * 2654435761u % (2 * SPREAD_PERMILLE + 1)) - SPREAD_PERMILLE;

	return age_ms + spread_ms * part / SPREAD_PERMILLE;
}

static const char *why_replace(const struct supervisor *s, const struct slot *slot, int64_t now_ms)
{
	const struct options *o = s->options;

	if (!slot->is_wanted || slot->pid == 0 || !slot->is_ready || slot->is_leaving)
		return NULL;
	if (o->worker_age_max_s > 0 && now_ms - slot->ready_at_ms > age_limit_ms(s, slot))
		return "worker_age_max_s";
	if (o->worker_memory_max_mib > 0 && now_ms - slot->ready_at_ms > MEMORY_AGE_MS &&
		resident_mib(slot->pid) >= o->worker_memory_max_mib)
		return "worker_memory_max_mib";
	return NULL;
}

void recycle_tick(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	int64_t now_ms = clock_monotonic_ms();
	const char *why_not;

	/* The one before has left: a limit that is too low must not fill all slots with workers that drain. */
	if (!s->was_ready || rollover_is_busy(s) || leavers_are_there(s) || now_ms - r->recycled_ms < LOOK_MS)
		return;
	r->recycled_ms = now_ms;
	for (int i = 0; i < SLOTS_MAX; i++) {
		const char *why = why_replace(s, &s->slots[i], now_ms);

		if (why != NULL) {
			(void)rollover_replace(s, i, why, NULL, NULL, &why_not);
			return;
		}
	}
}
