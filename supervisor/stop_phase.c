/* stop_phase.c: the phases of a stop and which resources belong to them, as worker/shutdown.h has them. Called by shutdown.c to say what a stop waits for.
 * Has no deadlines: those are the workers' own. */
#include "config.h"
#include "supervisor/stop_phase.h"

#include <string.h>

#include "shared/must.h"

const char *const stop_phase_names[] = { "quiesce", "sockets", "database", "model", "log", "leaving" };

/* In the order of the phases. */
static const struct {
	const char *name;      /* on the wire */
	enum stop_phase phase; /* in which it is closed */
} resources[] = {
	{ "http", STOP_SOCKETS },
	{ "realtime", STOP_SOCKETS },
	{ "turns", STOP_SOCKETS },
	{ "database", STOP_DATABASE },
	{ "gemini", STOP_MODEL },
	{ "logs", STOP_LOG },
};

void stop_progress_note(struct stop_progress *p, int slot, const char *resource)
{
	for (size_t i = 0; i < COUNT_OF(resources); i++)
		if (strcmp(resources[i].name, resource) == 0)
			p->closed[slot] |= 1U << i;
}

enum stop_phase stop_progress_phase(const struct stop_progress *p, int slot)
{
	for (size_t i = 0; i < COUNT_OF(resources); i++)
		if ((p->closed[slot] & 1U << i) == 0)
			return resources[i].phase;
	return STOP_LEAVING;
}
