/* pool.c: keeps the wanted number of workers alive: first start, successors after the delay that restart.c works out, quorum, giving up.
 * Called by main.c, by reap.c for each death, by channel.c for each READY. Killing hung ones is watch.c's part, the stop shutdown.c's. */
#include "config.h"
#include "supervisor/rollover.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

#define LOOK_US 500000

int pool_count_ready(const struct supervisor *s)
{
	int count = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		count += s->slots[i].pid != 0 && s->slots[i].is_ready && !s->slots[i].is_leaving;
	return count;
}

int pool_count_alive(const struct supervisor *s)
{
	int count = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		count += s->slots[i].pid != 0;
	return count;
}

void pool_finish(struct supervisor *s, int exit_code)
{
	s->is_done = true;
	s->exit_code = exit_code;
	(void)event_base_loopbreak(s->base);
}

static void set_state(struct supervisor *s, enum supervisor_state state)
{
	static const char *const names[] = { "starting", "running", "degraded", "stopping" };

	if (s->state == SUPERVISOR_STOPPING)
		return;
	if (s->state != state)
		LOG(state == SUPERVISOR_DEGRADED ? LOG_WARN : LOG_INFO, "supervisor state",
			F_STR("from", names[s->state]), F_STR("to", names[state]), F_INT("ready", pool_count_ready(s)),
			F_INT("wanted", s->wanted));
	s->state = state;
	pool_publish(s);
}

static int quorum_of(const struct supervisor *s)
{
	int64_t least = s->options->min_ready;

	return least > 0 && least < s->wanted ? (int)least : s->wanted;
}

static void judge_state(struct supervisor *s)
{
	bool is_storm = restart_is_storm(&s->restart, clock_monotonic_ms(), s->wanted);

	if (!s->was_ready || s->state == SUPERVISOR_STOPPING) {
		pool_publish(s);
		return;
	}
	if (pool_count_ready(s) >= s->wanted)
		s->quorum = quorum_of(s);
	set_state(s, is_storm || pool_count_ready(s) < s->quorum ? SUPERVISOR_DEGRADED : SUPERVISOR_RUNNING);
}

void pool_worker_ready(struct supervisor *s)
{
	if (!s->was_ready && s->state != SUPERVISOR_STOPPING && pool_count_ready(s) >= s->quorum) {
		s->was_ready = true;
		SCOREBOARD_SET(s->board->is_serving, 1);
		set_state(s, SUPERVISOR_RUNNING);
		LOG(LOG_INFO, "service ready", F_STR("url", s->url),
			F_TEXT("admin_url", s->admin_url[0] != '\0' ? text_of(s->admin_url) : TEXT_NONE),
			F_INT("workers", s->wanted), F_INT("ms", (clock_wall_us() - s->started_at_us) / 1000));
		notify_ready(s);
		(void)printf("listening on %s\n", s->url);
		(void)fflush(stdout);
	}
	judge_state(s);
}

/* ---- next lives ---------------------------------------------------------------------------------------------- */

static void wait_for_next(struct slot *slot, int64_t delay_ms)
{
	struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };

	(void)event_add(slot->respawn, &delay);
}

struct birth pool_birth(const struct supervisor *s)
{
	return (struct birth) { .generation = s->generation,
		.options_fd = s->options_fd,
		.listener = s->listener,
		.program = s->worker_program,
		.program_fd = s->worker_program_fd };
}

void pool_start_worker(struct supervisor *s, struct slot *slot)
{
	const struct birth birth = pool_birth(s);
	int64_t now_ms = clock_monotonic_ms();

	if (spawn_worker(s, slot, &birth) == ERROR_NONE) {
		restart_forked(&s->restart, now_ms);
		LOG(LOG_INFO, "worker started", F_INT("slot", slot->index), F_INT("worker_pid", slot->pid),
			F_INT("epoch", slot->epoch), F_INT("generation", slot->generation));
		return;
	}

	const char *reason = strerror(errno);
	int64_t delay_ms = restart_fork_failed(&s->restart, now_ms);

	LOG(LOG_ERROR, "cannot start a worker", F_INT("slot", slot->index), F_STR("error", reason),
		F_INT("retry_ms", delay_ms));
	notify_status("cannot start a worker: %s; trying again", reason);
	if (slot->pid == 0)
		wait_for_next(slot, delay_ms);
}

static void on_respawn(evutil_socket_t fd, short what, void *arg)
{
	struct slot *slot = arg;
	struct supervisor *s = slot->supervisor;
	int64_t wait_ms = restart_storm_wait_ms(&s->restart, clock_monotonic_ms(), s->wanted);

	(void)fd;
	(void)what;
	if (s->state == SUPERVISOR_STOPPING || !slot->is_wanted || slot->pid != 0)
		return;
	if (wait_ms > 0)
		wait_for_next(slot, wait_ms);
	else
		pool_start_worker(s, slot);
}

static double jitter(void)
{
	return (double)arc4random_uniform(2001) / 1000.0 - 1.0;
}

void pool_worker_ended(struct supervisor *s, struct slot *slot, bool is_abnormal, int exit_code, int64_t ready_for_ms)
{
	int64_t delay_ms = 0;

	/* Not the pool's yet: whoever started it decides. */
	if (slot->is_new && s->state != SUPERVISOR_STOPPING) {
		rollover_new_worker_ended(s, slot, exit_code);
		return;
	}
	if (is_abnormal && slot->is_wanted) {
		restart_note_end(&s->restart, clock_monotonic_ms(), exit_code, pool_count_ready(s) > 0);
		delay_ms = restart_delay_ms(&slot->restart, ready_for_ms, jitter());
	}
	judge_state(s);
	if (s->state == SUPERVISOR_STOPPING || !slot->is_wanted)
		return;
	if (delay_ms > 0)
		LOG(LOG_WARN, "worker restart delayed", F_INT("slot", slot->index), F_INT("delay_ms", delay_ms));
	/* At once, but from the loop: several may have died in one turn, and all must be reaped first. */
	wait_for_next(slot, delay_ms);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	int code;

	(void)fd;
	(void)what;
	judge_state(s);
	if (s->state == SUPERVISOR_STOPPING)
		return;
	deaths_tell(s);
	if (!rollover_is_busy(s))
		pool_fill(s);
	code = restart_escalate(&s->restart, clock_monotonic_ms(), pool_count_ready(s), pool_count_alive(s));
	if (code == EXIT_OK)
		return;
	LOG(LOG_FATAL, "no worker can serve, giving up", F_INT("exit_code", code), F_INT("wanted", s->wanted));
	s->give_up_code = code;
	shutdown_begin(s, 0);
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

enum error pool_open(struct supervisor *s)
{
	struct timeval interval = { .tv_usec = LOOK_US };

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		slot->supervisor = s;
		slot->index = i;
		slot->control = -1;
		slot->respawn = evtimer_new(s->base, on_respawn, slot);
		if (slot->respawn == NULL)
			return ERROR_SYSTEM;
	}
	s->escalation = event_new(s->base, -1, EV_PERSIST, on_look, s);
	if (s->escalation == NULL || event_add(s->escalation, &interval) != 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

void pool_start(struct supervisor *s)
{
	s->generation = 1;
	SCOREBOARD_SET(s->board->gemini_state, s->gemini_checked);
	pool_resize(s, options_workers(s->options));
	pool_fill(s);
	pool_publish(s);
}

void pool_resize(struct supervisor *s, int workers)
{
	s->wanted = workers;
	/* A pool that grows is not degraded while the new ones start. */
	if (!s->was_ready || quorum_of(s) < s->quorum)
		s->quorum = quorum_of(s);
}

struct slot *pool_find_free(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid == 0 && !s->slots[i].is_wanted)
			return &s->slots[i];
	return NULL;
}

void pool_fill(struct supervisor *s)
{
	struct slot *slot;
	int claimed = 0;

	if (s->state == SUPERVISOR_STOPPING)
		return;
	for (int i = 0; i < SLOTS_MAX; i++)
		claimed += s->slots[i].is_wanted;
	for (; claimed < s->wanted && (slot = pool_find_free(s)) != NULL; claimed++) {
		memset(&slot->restart, 0, sizeof slot->restart);
		slot->is_wanted = true;
		pool_start_worker(s, slot);
	}
}

void pool_stop_spawning(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		s->slots[i].is_wanted = false;
		(void)event_del(s->slots[i].respawn);
	}
}

void pool_close(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		channel_close(&s->slots[i]);
		if (s->slots[i].respawn != NULL)
			event_free(s->slots[i].respawn);
	}
	if (s->escalation != NULL)
		event_free(s->escalation);
}
