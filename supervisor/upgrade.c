/* upgrade.c: another renovationd in the place of this one: the program on disk is checked, then exec'd in this very process with everything we hold; what it
 * does there is adoption.c's part. Called by signals.c and control.c for the beginning, by main.c for the exec, outside of the loop. */
#include "config.h"
#include "supervisor/upgrading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/handover.h"
#include "supervisor/rollover.h"

extern char **environ;

/* ---- words --------------------------------------------------------------------------------------------------- */

static void publish(struct supervisor *s, bool is_done, const char *text)
{
	struct scoreboard_pool *pool = &s->board->pool;

	(void)snprintf(pool->last_upgrade_text, sizeof pool->last_upgrade_text, "%s", text);
	SCOREBOARD_SET(pool->last_upgrade_done, is_done);
	SCOREBOARD_ADD(pool->upgrades[is_done], 1);
	/* Last: who waits looks for the change of this one. */
	atomic_store_explicit(&pool->last_upgrade_at_us, clock_wall_us(), memory_order_release);
	LOG(is_done ? LOG_INFO : LOG_ERROR, is_done ? "upgrade done" : "upgrade failed", F_STR("event", "upgrade"),
		F_STR("result", is_done ? "done" : "failed"), F_STR("who", s->upgrade->who), F_STR("text", text),
		F_INT("ms", clock_monotonic_ms() - s->upgrade->begun_at_ms), F_STR("version", PACKAGE_VERSION));
}

void upgrade_settle(struct supervisor *s, bool is_done, const char *text)
{
	struct upgrade *u = s->upgrade;
	upgrade_done_fn *done = u->done;

	u->phase = UPGRADE_IDLE;
	u->done = NULL;
	publish(s, is_done, text);
	pool_publish(s);
	notify_reloaded("%s; %d of %d workers ready", text, pool_count_ready(s), s->wanted);
	if (done != NULL)
		done(u->done_arg, is_done, text);
}

/* ---- before the exec ----------------------------------------------------------------------------------------- */

static void on_checked(struct supervisor *s, const char *problem)
{
	struct upgrade *u = s->upgrade;
	char text[512];

	if (problem != NULL) {
		(void)snprintf(text, sizeof text, "upgrade refused: %s", problem);
		upgrade_settle(s, false, text);
		return;
	}
	LOG(LOG_INFO, "the new program is fit, it takes over", F_STR("program", u->path));
	u->phase = UPGRADE_EXEC_DUE;
	(void)event_base_loopbreak(s->base);
}

static bool can_begin(const struct supervisor *s, const char **why_out)
{
	*why_out = "the service is stopping";
	if (s->upgrade == NULL || s->state == SUPERVISOR_STOPPING)
		return false;
	*why_out = "an upgrade is under way";
	if (s->upgrade->phase != UPGRADE_IDLE)
		return false;
	*why_out = "the service has not started yet";
	return s->was_ready;
}

bool upgrade_begin(struct supervisor *s, const char *who, upgrade_done_fn *done, void *arg, const char **why_out)
{
	struct upgrade *u = s->upgrade;

	if (!can_begin(s, why_out)) {
		LOG(LOG_WARN, "no upgrade", F_STR("who", who), F_STR("reason", *why_out));
		return false;
	}
	(void)snprintf(u->who, sizeof u->who, "%s", who);
	u->begun_at_ms = clock_monotonic_ms();
	if (stat(u->path, &u->checked) != 0)
		memset(&u->checked, 0, sizeof u->checked);
	LOG(LOG_INFO, "upgrade begins", F_STR("who", who), F_STR("program", u->path));
	if (upgrade_check_start(s, &u->check, u->path, u->argv, on_checked) != ERROR_NONE) {
		*why_out = "cannot start the new program's check";
		LOG(LOG_ERROR, "no upgrade", F_STR("who", who), F_STR("reason", *why_out),
			F_STR("error", strerror(errno)));
		return false;
	}
	u->phase = UPGRADE_CHECKING;
	u->done = done;
	u->done_arg = arg;
	SCOREBOARD_SET(s->board->pool.state, POOL_UPGRADING);
	notify_reloading("upgrading: checking %s", u->path);
	return true;
}

void upgrade_forget(struct supervisor *s, void *arg)
{
	if (s->upgrade != NULL && s->upgrade->done_arg == arg)
		s->upgrade->done = NULL;
}

bool upgrade_child_ended(struct supervisor *s, pid_t pid, int status)
{
	return s->upgrade != NULL && upgrade_check_ended(&s->upgrade->check, pid, status);
}

bool upgrade_is_running(const struct supervisor *s)
{
	return s->upgrade != NULL && s->upgrade->phase != UPGRADE_IDLE;
}

void upgrade_cancel(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;

	if (!upgrade_is_running(s))
		return;
	upgrade_check_cancel(&u->check);
	u->phase = UPGRADE_IDLE;
	publish(s, false, "overtaken by a stop");
	if (u->done != NULL)
		u->done(u->done_arg, false, "overtaken by a stop");
	u->done = NULL;
}

/* ---- the exec ------------------------------------------------------------------------------------------------ */

bool upgrade_is_due(const struct supervisor *s)
{
	return s->upgrade != NULL && (s->upgrade->phase == UPGRADE_EXEC_DUE || s->upgrade->phase == UPGRADE_BACK_DUE);
}

static char **environment_with(char *marker)
{
	size_t count = 0;
	char **list;

	while (environ[count] != NULL)
		count++;
	list = must_alloc((count + 2) * sizeof *list);
	memcpy(list, environ, count * sizeof *list);
	list[count] = marker;
	return list;
}

/* Forward: what we are, with ourselves as the way back. Back: what the old program was, without the new one's options and workers' program. */
static void fill_state(const struct supervisor *s, bool is_back, struct state *state)
{
	const struct upgrade *u = s->upgrade;

	state_init(state);
	handover_capture(s, state);
	state->purpose = is_back ? STATE_ROLL_BACK : STATE_UPGRADE;
	state->begun_at_ms = u->begun_at_ms;
	(void)snprintf(state->version, sizeof state->version, "%s", PACKAGE_VERSION);
	(void)snprintf(state->who, sizeof state->who, "%s", u->who);
	(void)snprintf(state->program_path, sizeof state->program_path, "%s", u->path);
	state->fds.program = is_back ? -1 : u->program_fd;
	state->fds.worker_program = s->worker_program_fd;
	if (!is_back)
		return;
	(void)snprintf(state->reason, sizeof state->reason, "%s", u->problem);
	state->fds.worker_program = u->state->fds.worker_program;
	state->fds.options = u->old_options_fd;
	(void)snprintf(state->worker_path, sizeof state->worker_path, "%s", u->state->worker_path);
}

/* By its path when the file there is the one meant: a program that was exec'd by descriptor has a number for a name. */
static void exec_program(const char *path, int fd, char *const argv[], char *const environment[])
{
	struct stat there, meant;

	if (fd < 0 || (stat(path, &there) == 0 && fstat(fd, &meant) == 0 && there.st_ino == meant.st_ino &&
			      there.st_dev == meant.st_dev))
		(void)execve(path, argv, environment);
	else
		(void)syscall(SYS_execveat, fd, "", argv, environment, AT_EMPTY_PATH);
}

/* The next program would end the service over a state that it cannot read: better to find out while there is a way back. */
static enum error store_readable(const struct state *state, int *fd_out)
{
	struct state *back = must_alloc(sizeof *back);
	const char *where = "";
	int fd = -1;
	enum error e = state_store(state, &fd);

	if (e == ERROR_NONE && (fd = descriptor_lift(fd)) < 0)
		e = ERROR_SYSTEM;
	if (e == ERROR_NONE && state_load(fd, back, &where) != ERROR_NONE) {
		LOG(LOG_ERROR, "what would be handed over cannot be read", F_STR("where", where));
		close(fd);
		errno = EPROTO;
		e = ERROR_PROTOCOL;
	}
	free(back);
	if (e == ERROR_NONE)
		*fd_out = fd;
	return e;
}

/* Returns only when it failed; then nothing has changed, and errno says why. */
static void exec_with(struct supervisor *s, bool is_back, const struct state *state)
{
	struct upgrade *u = s->upgrade;
	char marker[sizeof UPGRADE_MARKER + 16], **environment = environment_with(marker);
	int fd = -1, error;

	if (store_readable(state, &fd) != ERROR_NONE) {
		error = errno;
		free(environment);
		errno = error;
		return;
	}
	(void)snprintf(marker, sizeof marker, UPGRADE_MARKER "=%d", fd);
	log_flush();
	(void)fflush(NULL);
	handover_keep_open(state, fd, true);
	exec_program(u->path, is_back ? (int)u->state->fds.program : -1, u->argv, environment);
	error = errno;
	handover_keep_open(state, fd, false);
	close(fd);
	free(environment);
	errno = error;
}

static void exec_failed(struct supervisor *s, bool is_back, int error)
{
	char text[512];

	if (is_back)
		(void)snprintf(text, sizeof text, "%.300s; the way back failed, too: %s", s->upgrade->problem,
			strerror(error));
	else
		(void)snprintf(text, sizeof text, "upgrade refused: cannot hand over to %.300s: %s", s->upgrade->path,
			strerror(error));
	upgrade_settle(s, false, text);
}

/* An installation under way may have put yet another file there; one that is gone is the exec's to tell. */
static bool is_another_by_now(const struct upgrade *u)
{
	struct stat there;

	return stat(u->path, &there) == 0 &&
	       (there.st_ino != u->checked.st_ino || there.st_dev != u->checked.st_dev ||
		       there.st_size != u->checked.st_size || there.st_mtim.tv_sec != u->checked.st_mtim.tv_sec ||
		       there.st_mtim.tv_nsec != u->checked.st_mtim.tv_nsec);
}

void upgrade_exec(struct supervisor *s)
{
	bool is_back = s->upgrade->phase == UPGRADE_BACK_DUE;
	struct state *state;

	/* What came until now is acted on; what comes from here on waits in the kernel for the next program. */
	signals_hold(true);
	(void)event_base_loop(s->base, EVLOOP_NONBLOCK);
	if (upgrade_is_due(s) && !is_back && is_another_by_now(s->upgrade))
		upgrade_settle(s, false, "upgrade refused: the program changed while it was checked; ask again");
	if (upgrade_is_due(s) && !s->is_done) {
		int error;

		rollover_abandon(s);
		notify_status(
			is_back ? "upgrading: going back to the old program" : "upgrading: the new program takes over");
		state = must_alloc(sizeof *state);
		fill_state(s, is_back, state);
		exec_with(s, is_back, state);
		error = errno;
		free(state);
		exec_failed(s, is_back, error);
	}
	signals_hold(false);
}
