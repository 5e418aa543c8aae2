/* publish.c: says how the pool is: board->pool for workers, renovationctl and metrics, one line of status for the service manager, sent when it changes.
 * Called by pool.c's clock and wherever something changed. Decides nothing. */
#include "config.h"
#include "supervisor/change.h"

#include <string.h>
#include <unistd.h>

#include "shared/clock.h"

static bool is_changing(const struct supervisor *s)
{
	const struct rollover *r = s->rollover;

	return r != NULL && r->step != STEP_IDLE && r->now.kind != CHANGE_REPLACE;
}

static enum pool_state state_of(const struct supervisor *s)
{
	if (s->state == SUPERVISOR_STOPPING)
		return POOL_STOPPING;
	if (upgrade_is_running(s))
		return POOL_UPGRADING;
	if (is_changing(s))
		return POOL_RELOADING;
	if (rollover_is_drained(s))
		return POOL_DRAINED;
	switch (s->state) {
	case SUPERVISOR_STARTING: return POOL_STARTING;
	case SUPERVISOR_RUNNING: return POOL_RUNNING;
	case SUPERVISOR_DEGRADED: return POOL_DEGRADED;
	case SUPERVISOR_STOPPING: break;
	}
	return POOL_STOPPING;
}

/* Workers on their way out of the drained state serve as soon as they are ready. */
static bool is_drained(const struct supervisor *s)
{
	const struct rollover *r = s->rollover;
	bool is_leaving_it =
		r != NULL && r->step == STEP_STARTING && (r->now.kind == CHANGE_RELOAD || r->now.kind == CHANGE_RESUME);

	return rollover_is_drained(s) && !is_leaving_it;
}

const char *publish_gemini(const struct supervisor *s)
{
	switch (SCOREBOARD_GET(s->board->gemini_state)) {
	case SCOREBOARD_GEMINI_FAILING: return "; Gemini does not answer as it should";
	case SCOREBOARD_GEMINI_REFUSED: return "; Gemini refuses the API key";
	default: return "";
	}
}

void publish_write_status(const struct supervisor *s, char *text, size_t room)
{
	static const char *const names[] = { "starting", "running", "degraded", "reloading", "upgrading", "drained",
		"stopping" };
	const char *refusal = s->rollover != NULL ? s->rollover->refusal : "";
	enum pool_state state = state_of(s);
	int ready = pool_count_ready(s);

	if (state == POOL_DRAINED)
		(void)snprintf(text, room, "drained");
	else if (state == POOL_RUNNING && refusal[0] != '\0')
		(void)snprintf(text, room, "reload REJECTED: %s; serving config gen %u", refusal, s->generation);
	else
		(void)snprintf(text, room, "%s: %d of %d workers ready, config gen %u%s", names[state], ready,
			s->wanted, s->generation, publish_gemini(s));
}

static void tell_service_manager(const struct supervisor *s, enum pool_state state)
{
	static char last[512];
	char text[sizeof last];

	/* Those two have their own words. */
	if (state == POOL_STOPPING || state == POOL_UPGRADING) {
		last[0] = '\0';
		return;
	}
	publish_write_status(s, text, sizeof text);
	if (strcmp(text, last) == 0)
		return;
	(void)snprintf(last, sizeof last, "%s", text);
	notify_status("%s", text);
}

void pool_publish(struct supervisor *s)
{
	struct scoreboard_pool *pool = &s->board->pool;
	enum pool_state state = state_of(s);

	(void)snprintf(pool->version, sizeof pool->version, "%s", PACKAGE_VERSION);
	(void)snprintf(pool->url, sizeof pool->url, "%.127s", s->url);
	(void)snprintf(pool->admin_url, sizeof pool->admin_url, "%.127s", s->admin_url);
	SCOREBOARD_SET(pool->supervisor_pid, (int32_t)getpid());
	SCOREBOARD_SET(pool->supervisor_beat_us, clock_monotonic_us());
	SCOREBOARD_SET(pool->wanted, (uint32_t)s->wanted);
	SCOREBOARD_SET(pool->generation, s->generation);
	SCOREBOARD_SET(pool->is_drained, is_drained(s));
	SCOREBOARD_SET(pool->state, state);
	tell_service_manager(s, state);
}
