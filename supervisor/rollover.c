/* rollover.c: one change of the pool at a time: who asked waits here until it can begin, is told how it ended, and the rest of the world is told too
 * (log, scoreboard, service manager). What a change does is in reload.c and waves.c. Called by signals.c, control.c and upgrade.c. */
#include "config.h"
#include "supervisor/outcome.h"
#include "supervisor/upgrade.h"

#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

#define BETWEEN_RELOADS_MS 2000 /* that start workers */
#define BETWEEN_READS_MS   200  /* that were refused before, or told to workers that run */
#define NOT_YET_MS         200  /* the first generation is still on its way */
#define TICK_US            500000

const char *const change_names[] = { "none", "reload", "drain", "resume", "replace", "take_over" };

/* ---- the queue ----------------------------------------------------------------------------------------------- */

void rollover_forget(struct supervisor *s, void *arg)
{
	struct rollover *r = s->rollover;

	if (r == NULL)
		return;
	waiters_forget(&r->now.waiters, arg);
	waiters_forget(&r->next.waiters, arg);
	waiters_forget(&r->telling, arg);
	waiters_forget(&r->overtaken, arg);
}

static void arm(struct event *timer, int64_t ms)
{
	struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)event_add(timer, &delay);
}

void change_set_deadline(struct rollover *r, int64_t ms)
{
	arm(r->deadline, ms);
}

static void arm_begin(struct rollover *r)
{
	int64_t wait_ms = 0;

	if (r->next.kind == CHANGE_RELOAD && r->begun_ms != 0)
		wait_ms = r->begun_ms + (r->has_started ? BETWEEN_RELOADS_MS : BETWEEN_READS_MS) - clock_monotonic_ms();
	arm(r->begin, wait_ms > 0 ? wait_ms : 0);
}

bool change_ask(struct supervisor *s, enum change_kind kind, int slot, const char *who, rollover_done_fn *done,
	void *arg, const char **why_out)
{
	struct rollover *r = s->rollover;

	if (r == NULL || s->state == SUPERVISOR_STOPPING) {
		*why_out = "the service is stopping";
		return false;
	}
	if (upgrade_is_running(s) && kind != CHANGE_TAKE_OVER) {
		*why_out = "an upgrade is under way";
		return false;
	}
	if (kind == CHANGE_REPLACE && rollover_is_busy(s)) {
		*why_out = "another change is under way";
		return false;
	}
	if (r->next.kind != CHANGE_NONE && r->next.kind != kind)
		waiters_join(&r->overtaken, &r->next.waiters);
	if (!waiters_add(&r->next.waiters, done, arg)) {
		*why_out = "too many wait for it already";
		return false;
	}
	if (r->next.kind != kind) {
		r->next.kind = kind;
		r->next.slot = slot;
		(void)snprintf(r->next.who, sizeof r->next.who, "%s", who);
	} else {
		LOG(LOG_INFO, "joined to the one that waits", F_STR("event", change_names[kind]), F_STR("who", who));
	}
	if (r->step == STEP_IDLE)
		arm_begin(r);
	return true;
}

static void tell_overtaken(struct supervisor *s)
{
	const struct rollover_outcome outcome = { .generation = s->generation,
		.text = "overtaken by another change",
		.changed_live = "",
		.changed_workers = "",
		.needs_restart = "",
		.faults_json = "" };

	waiters_tell(&s->rollover->overtaken, &outcome);
}

/* ---- begin and end ------------------------------------------------------------------------------------------- */

static void begin_waves(struct supervisor *s, int count)
{
	struct birth birth = pool_birth(s);

	if (s->rollover->now.kind != CHANGE_REPLACE)
		birth.generation = waves_next_generation(s);
	waves_begin(s, &birth, count);
	pool_publish(s);
}

/* What was asked for may have come about while it waited. */
static void begin_or_end(struct supervisor *s, bool is_needed, int count)
{
	if (is_needed)
		begin_waves(s, count);
	else
		change_end(s, RELOAD_REPLACED, "");
}

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct rollover *r = s->rollover;

	(void)fd;
	(void)what;
	tell_overtaken(s);
	if (r->step != STEP_IDLE || r->next.kind == CHANGE_NONE || s->state == SUPERVISOR_STOPPING)
		return;
	if (!s->was_ready && r->next.kind != CHANGE_TAKE_OVER) {
		arm(r->begin, NOT_YET_MS);
		return;
	}
	r->now = r->next;
	memset(&r->next, 0, sizeof r->next);
	r->begun_ms = clock_monotonic_ms();
	r->has_started = false;
	r->undone_size = 0;
	LOG(LOG_INFO, "change begins", F_STR("event", change_names[r->now.kind]), F_STR("who", r->now.who),
		F_INT("generation", s->generation));
	switch (r->now.kind) {
	case CHANGE_NONE: return;
	case CHANGE_RELOAD: reload_begin(s); return;
	case CHANGE_DRAIN: begin_or_end(s, !r->is_drained, 1); return;
	case CHANGE_RESUME: begin_or_end(s, r->is_drained, r->size); return;
	case CHANGE_REPLACE: begin_waves(s, 1); return;
	case CHANGE_TAKE_OVER: begin_waves(s, r->is_drained ? 1 : scale_wanted(s)); return;
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	switch (s->rollover->step) {
	case STEP_IDLE: return;
	case STEP_READING:
	case STEP_CHECKING: reload_timed_out(s); return;
	case STEP_STARTING:
	case STEP_RETURNING: waves_timed_out(s); return;
	}
}

void change_end(struct supervisor *s, enum reload_result result, const char *text)
{
	struct rollover *r = s->rollover;
	bool is_reload = r->now.kind == CHANGE_RELOAD;
	struct change ended = r->now;
	struct outcome outcome;
	char status[512];

	outcome_init(&outcome, s, result, text);
	(void)event_del(r->deadline);
	if (is_reload)
		(void)snprintf(r->refusal, sizeof r->refusal, "%.399s",
			result == RELOAD_REJECTED || result == RELOAD_FAILED ? outcome.text : "");
	reload_abort(s);
	memset(&r->now, 0, sizeof r->now);
	r->step = STEP_IDLE;
	r->wave_until_ms = 0;
	pool_fill(s);
	pool_publish(s);
	/* A reload may have been announced, and then overtaken by this while it waited. */
	if (r->is_announced && s->state != SUPERVISOR_STOPPING) {
		publish_write_status(s, status, sizeof status);
		notify_reloaded("%s", status);
	}
	r->is_announced = false;
	waiters_join(&r->telling, &ended.waiters);
	waiters_tell(&r->telling, &outcome.told);
	outcome_fini(&outcome);
	if (r->next.kind != CHANGE_NONE && r->step == STEP_IDLE)
		arm_begin(r);
}

/* Ends what is under way and what waits. */
static void give_up(struct supervisor *s, const char *why)
{
	struct rollover *r = s->rollover;

	if (r == NULL)
		return;
	(void)event_del(r->begin);
	waiters_join(&r->overtaken, &r->next.waiters);
	memset(&r->next, 0, sizeof r->next);
	if (r->step != STEP_IDLE)
		change_end(s, RELOAD_NONE, why);
	tell_overtaken(s);
}

void rollover_stop(struct supervisor *s)
{
	waves_forget(s);
	give_up(s, "overtaken by a stop");
}

void rollover_abandon(struct supervisor *s)
{
	waves_drop(s);
	give_up(s, "overtaken by an upgrade");
}

/* ---- what others ask ----------------------------------------------------------------------------------------- */

bool rollover_reload(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out)
{
	bool is_idle = s->rollover != NULL && !rollover_is_busy(s);

	if (!change_ask(s, CHANGE_RELOAD, -1, who, done, arg, why_out))
		return false;
	/* The service manager wants to hear it at once, also when the beginning has to wait. */
	if (is_idle) {
		notify_reloading("reloading");
		s->rollover->is_announced = true;
	}
	return true;
}

bool rollover_drain(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out)
{
	if (rollover_is_drained(s) && !rollover_is_busy(s)) {
		*why_out = "already drained";
		return false;
	}
	return change_ask(s, CHANGE_DRAIN, -1, who, done, arg, why_out);
}

bool rollover_resume(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out)
{
	if (!rollover_is_drained(s) && !rollover_is_busy(s)) {
		*why_out = "not drained";
		return false;
	}
	return change_ask(s, CHANGE_RESUME, -1, who, done, arg, why_out);
}

bool rollover_replace(
	struct supervisor *s, int slot, const char *who, rollover_done_fn *done, void *arg, const char **why_out)
{
	if (slot < 0 || slot >= SLOTS_MAX || !s->slots[slot].is_wanted) {
		*why_out = "no worker of the pool has this slot";
		return false;
	}
	return change_ask(s, CHANGE_REPLACE, slot, who, done, arg, why_out);
}

bool rollover_take_over(struct supervisor *s, const char *who, rollover_done_fn *done, void *arg, const char **why_out)
{
	return change_ask(s, CHANGE_TAKE_OVER, -1, who, done, arg, why_out);
}

bool rollover_is_busy(const struct supervisor *s)
{
	return s->rollover != NULL && (s->rollover->step != STEP_IDLE || s->rollover->next.kind != CHANGE_NONE);
}

bool rollover_is_drained(const struct supervisor *s)
{
	return s->rollover != NULL && s->rollover->is_drained;
}

/* ---- what the pool tells ------------------------------------------------------------------------------------- */

void rollover_worker_ready(struct supervisor *s, struct slot *slot)
{
	if (s->rollover == NULL)
		return;
	logs_worker_ready(s, slot);
	waves_ready(s, slot);
}

void rollover_new_worker_ended(struct supervisor *s, const struct slot *slot, int exit_code)
{
	char why[160];

	(void)snprintf(why, sizeof why, "the new worker in slot %d ended with %s%d before all were ready", slot->index,
		exit_code >= 128 ? "signal " : "exit code ", exit_code >= 128 ? exit_code - 128 : exit_code);
	waves_failed(s, why);
}

bool rollover_child_ended(struct supervisor *s, pid_t pid, int status)
{
	if (s->rollover == NULL || pid != s->rollover->child)
		return false;
	s->rollover->child = 0;
	reload_child_ended(s, status);
	return true;
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->state == SUPERVISOR_STOPPING)
		return;
	leavers_tick(s);
	recycle_tick(s);
}

enum error rollover_open(struct supervisor *s)
{
	struct rollover *r = must_alloc(sizeof *r);
	struct timeval interval = { .tv_usec = TICK_US };

	s->rollover = r;
	r->child_options = r->child_report = -1;
	r->log_level = -1;
	proposal_init(&r->proposal);
	/* After an upgrade the pool is as the program before left it. */
	r->is_drained = SCOREBOARD_GET(s->board->pool.is_drained) != 0;
	r->size = scale_wanted(s);
	r->begin = evtimer_new(s->base, on_begin, s);
	r->deadline = evtimer_new(s->base, on_deadline, s);
	r->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
	if (r->begin == NULL || r->deadline == NULL || r->tick == NULL || event_add(r->tick, &interval) != 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

void rollover_close(struct supervisor *s)
{
	struct rollover *r = s->rollover;

	if (r == NULL)
		return;
	give_up(s, "the service ends");
	reload_abort(s);
	struct event *events[] = { r->begin, r->deadline, r->tick };

	for (size_t i = 0; i < COUNT_OF(events); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	free(r);
	s->rollover = NULL;
}
