/* adoption.c: the program that an upgrade exec'd: finds the state that the one before left, takes everything over and starts its own workers; the old ones leave
 * when those are ready. When they do not get ready it asks for the exec of the saved old program, which adopts the same way and goes on as before.
 * Called by main.c in the steps of a start. Also knows where this program came from. */
#include "config.h"
#include "supervisor/upgrading.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/options_diff.h"
#include "supervisor/handover.h"
#include "supervisor/rollover.h"

#define LAST_WORKERS_MS 10000 /* after a state that cannot be read: what workers get to end in order */

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
	const char *value = getenv(UPGRADE_MARKER);
	uint64_t fd = 0;
	bool is_number = value != NULL && text_parse_u64(text_of(value), &fd) && fd > 2 && fd < INT_MAX;

	if (value == NULL)
		return -1;
	(void)unsetenv(UPGRADE_MARKER);
	if (is_number && state_is_ours((int)fd))
		return (int)fd;
	LOG(LOG_WARN, "ignored: a variable of the environment that only an upgrade sets",
		F_STR("name", UPGRADE_MARKER));
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

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void upgrade_forget_old(struct upgrade *u)
{
	int program = (int)u->state->fds.program, worker = (int)u->state->fds.worker_program;

	close_one(&program);
	if (u->state->purpose == STATE_UPGRADE)
		close_one(&worker);
	close_one(&u->old_options_fd);
	free(u->state);
	u->state = NULL;
}

static void go_back(struct supervisor *s, const char *why)
{
	struct upgrade *u = s->upgrade;

	if (why != u->problem)
		(void)snprintf(u->problem, sizeof u->problem, "%s", why);
	if (u->state->fds.program < 0 || u->old_options_fd < 0) {
		upgrade_forget_old(u);
		upgrade_settle(s, false, u->problem);
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
	upgrade_forget_old(u);
	upgrade_settle(s, true, text);
}

static void rolled_back(struct supervisor *s)
{
	struct upgrade *u = s->upgrade;
	char text[512];

	(void)snprintf(text, sizeof text, "upgrade rolled back: %.480s", u->state->reason);
	upgrade_forget_old(u);
	/* Who died while the new program ruled. */
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].is_wanted && s->slots[i].pid == 0)
			pool_start_worker(s, &s->slots[i]);
	upgrade_settle(s, false, text);
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
		upgrade_forget_old(u);
	close_one(&u->program_fd);
	free(u);
	s->upgrade = NULL;
}
