/* upgrade.c: another renovationd in the place of this one: the program on disk is checked, then exec'd in this very process with everything we hold; it starts
 * its workers, and the old ones leave when those are ready. When they do not get ready it execs the saved old program, which goes on as before.
 * Called by signals.c and control.c for the beginning, by main.c for the exec (outside of the loop) and for what comes after it. */
#include "config.h"
#include "supervisor/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/options_diff.h"
#include "supervisor/handover.h"
#include "supervisor/rollover.h"
#include "supervisor/upgrade_check.h"

extern char **environ;

#define MARKER          "RENOVATIOND_STATE_FD"
#define LAST_WORKERS_MS 10000 /* after a state that cannot be read: what workers get to end in order */

enum upgrade_phase {
	UPGRADE_IDLE,        /* none is under way */
	UPGRADE_CHECKING,    /* the new program's check runs */
	UPGRADE_EXEC_DUE,    /* main shall exec the new program after this turn of the loop */
	UPGRADE_TAKING_OVER, /* this is the new program; its workers are on their way */
	UPGRADE_BACK_DUE     /* main shall exec the old program after this turn */
};

struct upgrade {
	enum upgrade_phase phase;
	char **argv;         /* of main; borrowed */
	char path[PATH_MAX]; /* where the next program is looked for */
	char who[80];        /* asked for it */
	int64_t begun_at_ms; /* monotonic */
	struct upgrade_check check;
	upgrade_done_fn *done; /* NULL = nobody waits */
	void *done_arg;        /* of it */
	struct stat checked;   /* the file whose check runs or was good; all zero when there is none */
	int program_fd;        /* O_PATH of the program that runs; -1 when it cannot be opened */
	struct state *state;   /* that brought us here; NULL after a plain start, and once it is used up */
	int old_options_fd;    /* way back: values of the old workers; -1 = there is none */
	char problem[512];     /* why this program cannot go on, found before the loop; "" = it can */
	char not_applied[256]; /* changed options that keep their old values; for the text */
};

/* ---- where programs are -------------------------------------------------------------------------------------- */

static bool is_running_program(const char *path)
{
	struct stat ours, there;

	return stat("/proc/self/exe", &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

static bool take_path(struct upgrade *u, const char *folder, int length, const char *name)
{
	char own[PATH_MAX], path[PATH_MAX];

	if (length == 0 || folder[0] != '/') {
		if (getcwd(own, sizeof own) == NULL)
			return false;
		if ((size_t)snprintf(path, sizeof path, "%s/%.*s%s%s", own, length, folder, length ? "/" : "", name) >=
			sizeof path)
			return false;
	} else if ((size_t)snprintf(path, sizeof path, "%.*s/%s", length, folder, name) >= sizeof path) {
		return false;
	}
	if (!is_running_program(path))
		return false;
	(void)snprintf(u->path, sizeof u->path, "%s", path);
	return true;
}

/* The name we were started by, because it may be a symbolic link that the operator moves to the next version; the kernel's name has it resolved. */
static void find_path(struct upgrade *u)
{
	const char *name = u->argv[0] != NULL ? u->argv[0] : "", *list = getenv("PATH");
	ssize_t length;

	if (name[0] == '/' && is_running_program(name)) {
		(void)snprintf(u->path, sizeof u->path, "%s", name);
		return;
	}
	if (strchr(name, '/') != NULL && name[0] != '/' && take_path(u, "", 0, name))
		return;
	while (name[0] != '\0' && strchr(name, '/') == NULL && list != NULL) {
		size_t span = strcspn(list, ":");

		if (take_path(u, list, (int)span, name))
			return;
		list = list[span] == ':' ? list + span + 1 : NULL;
	}
	length = readlink("/proc/self/exe", u->path, sizeof u->path - 1);
	u->path[length > 0 ? length : 0] = '\0';
}

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

/* The upgrade is over; everything is as it was, or new. */
static void settle(struct supervisor *s, bool is_done, const char *text)
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

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* No way back is needed any more. */
static void forget_old(struct upgrade *u)
{
	int program = (int)u->state->fds.program, worker = (int)u->state->fds.worker_program;

	close_one(&program);
	if (u->state->purpose == STATE_UPGRADE)
		close_one(&worker);
	close_one(&u->old_options_fd);
	free(u->state);
	u->state = NULL;
}

/* ---- before the exec ----------------------------------------------------------------------------------------- */

static void on_checked(struct supervisor *s, const char *problem)
{
	struct upgrade *u = s->upgrade;
	char text[512];

	if (problem != NULL) {
		(void)snprintf(text, sizeof text, "upgrade refused: %s", problem);
		settle(s, false, text);
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

/* Returns only when it failed; then nothing has changed, and errno says why. */
static void exec_with(struct supervisor *s, bool is_back, const struct state *state)
{
	struct upgrade *u = s->upgrade;
	char marker[sizeof MARKER + 16], **environment = environment_with(marker);
	int fd = -1, error;

	if (state_store(state, &fd) != ERROR_NONE || (fd = descriptor_lift(fd)) < 0) {
		free(environment);
		return;
	}
	(void)snprintf(marker, sizeof marker, MARKER "=%d", fd);
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
		(void)snprintf(
			text, sizeof text, "upgrade refused: cannot run %.300s: %s", s->upgrade->path, strerror(error));
	settle(s, false, text);
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
		settle(s, false, "upgrade refused: the program changed while it was checked; ask again");
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

/* ---- after the exec ------------------------------------------------------------------------------------------ */

/* Nobody can say what we hold, but the workers are still our children. */
static int give_up(const char *where)
{
	char path[64];
	FILE *list;
	int64_t end_ms = clock_monotonic_ms() + LAST_WORKERS_MS;
	struct timespec pause = { .tv_nsec = 20000000 };
	int pid;

	LOG(LOG_FATAL, "what the program before handed over cannot be read: workers are told to leave",
		F_STR("where", where), F_INT("exit_code", EXIT_STATE_CORRUPT));
	log_flush();
	(void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	list = fopen(path, "re");
	while (list != NULL && fscanf(list, "%d", &pid) == 1)
		(void)kill(pid, SIGTERM);
	if (list != NULL)
		(void)fclose(list);
	/* A service manager kills the group once we are gone. */
	while (clock_monotonic_ms() < end_ms && waitpid(-1, NULL, WNOHANG) >= 0)
		(void)nanosleep(&pause, NULL);
	return EXIT_STATE_CORRUPT;
}

/* The descriptor that the environment names, when it is ours to use; -1 otherwise. */
static int take_marker(void)
{
	const char *value = getenv(MARKER);
	uint64_t fd = 0;
	bool is_number = value != NULL && text_parse_u64(text_of(value), &fd) && fd > 2 && fd < INT_MAX;

	if (value == NULL)
		return -1;
	(void)unsetenv(MARKER);
	if (is_number && state_is_ours((int)fd))
		return (int)fd;
	LOG(LOG_WARN, "ignored: a variable of the environment that only an upgrade sets", F_STR("name", MARKER));
	return -1;
}

int upgrade_open(struct supervisor *s, char **argv)
{
	struct upgrade *u = must_alloc(sizeof *u);
	int fd = take_marker();
	const char *where = "";

	s->upgrade = u;
	u->argv = argv;
	u->check.report = u->old_options_fd = -1;
	u->program_fd = descriptor_lift(open("/proc/self/exe", O_PATH | O_CLOEXEC));
	if (fd < 0) {
		find_path(u);
		return EXIT_OK;
	}
	(void)prctl(PR_SET_NAME, "renovationd", 0, 0, 0);
	u->state = must_alloc(sizeof *u->state);
	if (state_load(fd, u->state, &where) != ERROR_NONE)
		return give_up(where);
	close(fd);
	if (u->state->pid != getpid())
		return give_up("the process id");
	handover_keep_open(u->state, -1, false);
	s->log_fd = (int)u->state->fds.log;
	log_set_fd(s->log_fd);
	(void)snprintf(u->path, sizeof u->path, "%s", u->state->program_path);
	(void)snprintf(u->who, sizeof u->who, "%.79s", u->state->who);
	u->begun_at_ms = u->state->begun_at_ms;
	return EXIT_OK;
}

bool upgrade_is_adopting(const struct supervisor *s)
{
	return s->upgrade != NULL && s->upgrade->state != NULL;
}

static void use_running_options(struct configuration *c, struct options *running)
{
	configuration_fini(c);
	configuration_init(c);
	options_fini(&c->options);
	c->options = *running;
	for (int i = 0; i < OPTION_COUNT; i++)
		(void)snprintf(c->origins[i], sizeof c->origins[i], "the service before the upgrade");
}

static void keep_what_stays(struct upgrade *u, const struct options *running, struct options *fresh)
{
	struct options_diff diff;
	struct buffer names;

	options_diff(running, fresh, &diff);
	/* The sockets go over as they are; the next reload moves them. */
	options_diff_pin(&diff, OPTION_host);
	options_diff_pin(&diff, OPTION_port);
	options_diff_pin(&diff, OPTION_listen_backlog);
	buffer_init(&names);
	options_diff_write(&diff, OPTION_CLASS_RESTART, &names);
	(void)snprintf(u->not_applied, sizeof u->not_applied, "%.*s", TEXT_ARGS(buffer_text(&names)));
	buffer_fini(&names);
	options_diff_keep(&diff, running, fresh);
}

int upgrade_configure(struct supervisor *s, struct configuration *c)
{
	struct upgrade *u = s->upgrade;
	struct options running;

	/* Whoever we are, we have been that before. */
	memset(&s->identity, 0, sizeof s->identity);
	if (options_load(&running, (int)u->state->fds.options) != ERROR_NONE)
		return give_up("the options");
	if (u->state->purpose == STATE_UPGRADE && !configuration_has_faults(c)) {
		keep_what_stays(u, &running, &c->options);
		options_fini(&running);
		return EXIT_OK;
	}
	if (u->state->purpose == STATE_UPGRADE)
		(void)snprintf(u->problem, sizeof u->problem,
			"the configuration has become wrong meanwhile: %.200s: %.200s", c->faults[0].where,
			c->faults[0].problem);
	use_running_options(c, &running);
	return EXIT_OK;
}

/* The new program's options and workers for what it starts; the old ones stay for the way back. */
static enum error prepare_new(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;
	int fd;

	u->old_options_fd = s->options_fd;
	s->options_fd = -1;
	if (options_store(s->options, &fd) != ERROR_NONE || (s->options_fd = descriptor_lift(fd)) < 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

static void prepare_old(struct supervisor *s)
{
	const struct state *state = s->upgrade->state;

	if (s->worker_program_fd >= 0)
		close(s->worker_program_fd);
	s->worker_program_fd = (int)state->fds.worker_program;
	(void)snprintf(s->worker_program, sizeof s->worker_program, "%s", state->worker_path);
}

int upgrade_adopt(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;
	const char *why = "";

	if (handover_adopt(s, u->state, &why) != ERROR_NONE)
		return give_up(why);
	listeners_name(s);
	if (u->state->purpose == STATE_ROLL_BACK)
		prepare_old(s);
	else if (prepare_new(s) != ERROR_NONE)
		(void)snprintf(
			u->problem, sizeof u->problem, "cannot hand the options to workers: %s", strerror(errno));
	LOG(LOG_INFO, "service adopted", F_STR("event", "upgrade"),
		F_STR("purpose", u->state->purpose == STATE_ROLL_BACK ? "roll back" : "upgrade"),
		F_STR("from_version", u->state->version), F_STR("version", PACKAGE_VERSION),
		F_INT("generation", s->generation), F_INT("workers", pool_count_alive(s)));
	return EXIT_OK;
}

static void go_back(struct supervisor *s, const char *why)
{
	struct upgrade *u = s->upgrade;

	if (why != u->problem)
		(void)snprintf(u->problem, sizeof u->problem, "%s", why);
	if (u->state->fds.program < 0 || u->old_options_fd < 0) {
		forget_old(u);
		settle(s, false, u->problem);
		return;
	}
	LOG(LOG_ERROR, "the upgrade fails, going back to the old program", F_STR("reason", u->problem));
	u->phase = UPGRADE_BACK_DUE;
	(void)event_base_loopbreak(s->base);
}

static void on_taken_over(void *arg, const struct rollover_outcome *outcome)
{
	struct supervisor *s = arg;
	struct upgrade *u = s->upgrade;
	char text[512];

	if (u->phase != UPGRADE_TAKING_OVER || outcome->result == RELOAD_NONE)
		return;
	if (outcome->result != RELOAD_REPLACED) {
		go_back(s, outcome->text);
		return;
	}
	(void)snprintf(text, sizeof text, "upgraded from %.40s to %s, generation %u%s%s", u->state->version,
		PACKAGE_VERSION, outcome->generation, u->not_applied[0] ? "; not applied by an upgrade: " : "",
		u->not_applied);
	forget_old(u);
	settle(s, true, text);
}

static void rolled_back(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;
	char text[512];

	(void)snprintf(text, sizeof text, "upgrade rolled back: %.480s", u->state->reason);
	forget_old(u);
	/* Who died while the new program ruled. */
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].is_wanted && s->slots[i].pid == 0)
			pool_start_worker(s, &s->slots[i]);
	settle(s, false, text);
}

void upgrade_continue(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;
	const char *why = "";

	if (handover_adopt_workers(s, u->state) != ERROR_NONE)
		(void)snprintf(u->problem, sizeof u->problem, "cannot hear the workers: %s", strerror(errno));
	SCOREBOARD_SET(s->board->pool.state, POOL_UPGRADING);
	/* Who died during the exec: its signal may have come before there was anybody to hear it. */
	reap_all(s);
	if (u->state->purpose == STATE_ROLL_BACK) {
		rolled_back(s);
		return;
	}
	u->phase = UPGRADE_TAKING_OVER;
	notify_reloading("upgrading: new workers are on their way");
	if (u->problem[0] != '\0')
		go_back(s, u->problem);
	else if (!rollover_take_over(s, u->who, on_taken_over, s, &why))
		go_back(s, why);
}

void upgrade_close(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;

	if (u == NULL)
		return;
	upgrade_check_cancel(&u->check);
	if (u->state != NULL)
		forget_old(u);
	close_one(&u->program_fd);
	free(u);
	s->upgrade = NULL;
}
