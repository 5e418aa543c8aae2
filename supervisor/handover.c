/* handover.c: what a supervisor holds, written into a state before an exec and taken out of it by the program that comes after: the same process, the same
 * children, the same descriptors. Called by upgrade.c; the form of the state is state.c's. */
#include "config.h"
#include "supervisor/handover.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

_Static_assert(STATE_ENDS_MAX == RESTART_STORM_MEMORY, "the whole memory of storms is handed over");

/* ---- before the exec ----------------------------------------------------------------------------------------- */

static void capture_descriptors(const struct supervisor *s, struct state *state)
{
	state->fds.listener = s->listener;
	state->fds.log = s->log_fd;
	state->fds.options = s->options_fd;
	state->fds.scoreboard = s->scoreboard_fd;
	state->fds.rings = s->rings_fd;
	state->fds.null = s->null_fd;
	state->fds.lifeline_read = s->lifeline_read;
	state->fds.lifeline_write = s->lifeline_write;
	state->fds.pidfile = pidfile_descriptor();
	state->fds.admin_listener = s->admin_listener;
	state->fds.control_listener = control_listener_fd(s);
	for (int i = 0; i < SLOTS_MAX; i++) {
		state->inbox[i] = s->inbox[i];
		state->mesh[i] = s->mesh[i];
	}
}

static void capture_restarts(const struct restart_pool *pool, struct state *state)
{
	state->fork_fails = pool->fork_fails;
	state->fork_fails_since_ms = pool->fork_fails_since_ms;
	state->fatal_in_row = pool->fatal_in_row;
	state->last_code = pool->last_code;
	state->last_spawn_ms = pool->last_spawn_ms;
	state->none_ready_since_ms = pool->none_ready_since_ms;
	/* In order: the reader begins anew at the first place. */
	for (int i = 0; i < RESTART_STORM_MEMORY; i++)
		state->ends_ms[i] = pool->ends_ms[(pool->ends_next + i) % RESTART_STORM_MEMORY];
}

static void capture_slot(const struct slot *slot, struct state_slot *out)
{
	*out = (struct state_slot) {
		.pid = slot->pid,
		.epoch = (int64_t)slot->epoch,
		.generation = slot->generation,
		.control = slot->pid != 0 ? slot->control : -1,
		.is_wanted = slot->is_wanted,
		.is_ready = slot->is_ready,
		.is_leaving = slot->is_leaving,
		.is_draining = slot->is_draining,
		.is_unhealthy = slot->is_unhealthy,
		.is_hurried = slot->is_hurried,
		.leave_until_ms = slot->leave_until_ms,
		.killed_with = slot->killed_with,
		.killed_for = slot->killed_for,
		.killed_at_ms = slot->killed_at_ms,
		.started_at_ms = slot->started_at_ms,
		.ready_at_ms = slot->ready_at_ms,
		.closed_reports = slot->closed_reports,
		.in_row = slot->restart.in_row,
	};
}

void handover_capture(const struct supervisor *s, struct state *state)
{
	capture_descriptors(s, state);
	state->pid = getpid();
	state->generation = s->generation;
	state->last_epoch = (int64_t)s->last_epoch;
	state->wanted = s->wanted;
	state->quorum = s->quorum;
	state->size_by_hand = s->size_by_hand;
	state->was_ready = s->was_ready;
	state->is_listener_adopted = s->is_listener_adopted;
	state->started_at_us = s->started_at_us;
	(void)snprintf(state->pidfile_path, sizeof state->pidfile_path, "%s", pidfile_path());
	(void)snprintf(state->control_path, sizeof state->control_path, "%s", control_path(s));
	(void)snprintf(state->admin_path, sizeof state->admin_path, "%s", s->admin_path);
	(void)snprintf(state->admin_url, sizeof state->admin_url, "%s", s->admin_url);
	(void)snprintf(state->worker_path, sizeof state->worker_path, "%s", s->worker_program);
	capture_restarts(&s->restart, state);
	for (int i = 0; i < SLOTS_MAX; i++)
		capture_slot(&s->slots[i], &state->slots[i]);
	deaths_save(s, state->deaths);
}

/* ---- descriptors over the exec ------------------------------------------------------------------------------- */

static void keep_open(int fd, bool is_kept)
{
	(void)fcntl(fd, F_SETFD, is_kept ? 0 : FD_CLOEXEC);
}

void handover_keep_open(const struct state *state, int state_fd, bool is_kept)
{
	int fds[STATE_DESCRIPTORS_MAX], count = state_descriptors(state, fds);

	/* A library's descriptor may lack the flag: the next program would never close it. */
	if (is_kept)
		(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (int i = 0; i < count; i++)
		keep_open(fds[i], is_kept);
	keep_open(state_fd, is_kept);
}

/* ---- after the exec ------------------------------------------------------------------------------------------ */

static bool is_kind(int64_t fd, mode_t kind)
{
	struct stat status;

	return fstat((int)fd, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

/* Is each descriptor open and of its kind? NULL when they are, else the name of the one that is not. */
static const char *check_descriptors(const struct state *state)
{
	int fds[STATE_DESCRIPTORS_MAX], count = state_descriptors(state, fds);

	for (int i = 0; i < count; i++)
		if (fcntl(fds[i], F_GETFD) < 0)
			return "a descriptor that is not open";
	if (!is_kind(state->fds.listener, S_IFSOCK))
		return "the listener";
	if (!is_kind(state->fds.lifeline_read, S_IFIFO) || !is_kind(state->fds.lifeline_write, S_IFIFO))
		return "the lifeline";
	for (int i = 0; i < SLOTS_MAX; i++)
		if (!is_kind(state->inbox[i], S_IFSOCK) || !is_kind(state->mesh[i], S_IFSOCK) ||
			(state->slots[i].control >= 0 && !is_kind(state->slots[i].control, S_IFSOCK)))
			return "the mesh";
	return NULL;
}

static void adopt_restarts(struct restart_pool *pool, const struct state *state)
{
	pool->fork_fails = (int)state->fork_fails;
	pool->fork_fails_since_ms = state->fork_fails_since_ms;
	pool->fatal_in_row = (int)state->fatal_in_row;
	pool->last_code = (int)state->last_code;
	pool->last_spawn_ms = state->last_spawn_ms;
	pool->none_ready_since_ms = state->none_ready_since_ms;
	for (int i = 0; i < RESTART_STORM_MEMORY; i++)
		pool->ends_ms[i] = state->ends_ms[i];
}

static void adopt_slot(struct slot *slot, const struct state_slot *from)
{
	slot->is_wanted = from->is_wanted;
	slot->pid = (pid_t)from->pid;
	slot->epoch = (uint64_t)from->epoch;
	slot->generation = (uint32_t)from->generation;
	slot->is_ready = from->is_ready;
	slot->is_leaving = from->is_leaving;
	slot->is_draining = from->is_draining;
	slot->is_unhealthy = from->is_unhealthy;
	slot->is_hurried = from->is_hurried;
	slot->leave_until_ms = from->leave_until_ms;
	slot->killed_with = (int)from->killed_with;
	slot->killed_for = (enum death_cause)from->killed_for;
	slot->killed_at_ms = from->killed_at_ms;
	slot->started_at_ms = from->started_at_ms;
	slot->ready_at_ms = from->ready_at_ms;
	slot->closed_reports = (uint32_t)from->closed_reports;
	slot->restart.in_row = (int)from->in_row;
}

enum error handover_adopt(struct supervisor *s, const struct state *state, const char **why_out)
{
	*why_out = check_descriptors(state);
	if (*why_out == NULL && scoreboard_map((int)state->fds.scoreboard, &s->board) != ERROR_NONE)
		*why_out = "the scoreboard";
	if (*why_out != NULL)
		return ERROR_PROTOCOL;
	s->listener = (int)state->fds.listener;
	s->admin_listener = (int)state->fds.admin_listener;
	(void)snprintf(s->admin_path, sizeof s->admin_path, "%.107s", state->admin_path);
	(void)snprintf(s->admin_url, sizeof s->admin_url, "%.127s", state->admin_url);
	s->options_fd = (int)state->fds.options;
	s->scoreboard_fd = (int)state->fds.scoreboard;
	s->rings_fd = (int)state->fds.rings;
	s->null_fd = (int)state->fds.null;
	s->lifeline_read = (int)state->fds.lifeline_read;
	s->lifeline_write = (int)state->fds.lifeline_write;
	for (int i = 0; i < SLOTS_MAX; i++) {
		s->inbox[i] = (int)state->inbox[i];
		s->mesh[i] = (int)state->mesh[i];
		adopt_slot(&s->slots[i], &state->slots[i]);
	}
	s->generation = (uint32_t)state->generation;
	s->last_epoch = (uint64_t)state->last_epoch;
	s->wanted = (int)state->wanted;
	s->quorum = (int)state->quorum;
	s->size_by_hand = (int)state->size_by_hand;
	s->was_ready = state->was_ready;
	s->is_listener_adopted = state->is_listener_adopted;
	s->started_at_us = state->started_at_us;
	s->state = s->was_ready ? SUPERVISOR_RUNNING : SUPERVISOR_STARTING;
	if (state->fds.pidfile >= 0)
		pidfile_adopt((int)state->fds.pidfile, state->pidfile_path);
	adopt_restarts(&s->restart, state);
	if (state->fds.control_listener >= 0 &&
		control_adopt(s, (int)state->fds.control_listener, state->control_path) != EXIT_OK)
		LOG(LOG_ERROR, "the control socket is lost", F_STR("path", state->control_path));
	return ERROR_NONE;
}

enum error handover_adopt_workers(struct supervisor *s, const struct state *state)
{
	deaths_restore(s, state->deaths);
	for (int i = 0; i < SLOTS_MAX; i++)
		if (state->slots[i].pid != 0 &&
			channel_open(s, &s->slots[i], (int)state->slots[i].control) != ERROR_NONE)
			return ERROR_SYSTEM;
	return ERROR_NONE;
}
