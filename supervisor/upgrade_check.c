/* upgrade_check.c: runs the new program's own check as a child that can harm nobody: a process group of its own, no notify socket, a report over a pipe, a
 * time limit. Called by upgrade.c; the child's end comes from reap.c. What the check looks at is preflight.c's part, in the new program. */
#include "config.h"
#include "supervisor/upgrade_check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/report.h"
#include "supervisor/spawn.h"
#include "supervisor/state.h"

extern char **environ;

#define REPORT_BYTES_MAX 65536
#define ARGUMENTS_MAX    32
#define LAYOUTS_BYTES    256

/* ---- the child ----------------------------------------------------------------------------------------------- */

/* The service manager's words are for the main process; the rest of the environment is where options come from. */
static char **child_environment(void)
{
	static const char *const hidden[] = {
		"NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="
	};
	size_t count = 0, kept = 0;
	char **list;

	while (environ[count] != NULL)
		count++;
	list = must_alloc((count + 1) * sizeof *list);
	for (size_t i = 0; i < count; i++) {
		bool is_hidden = false;

		for (size_t k = 0; k < COUNT_OF(hidden); k++)
			is_hidden |= strncmp(environ[i], hidden[k], strlen(hidden[k])) == 0;
		if (!is_hidden)
			list[kept++] = environ[i];
	}
	return list;
}

/* Into the report that the program would have written. */
static _Noreturn void child_failed(const char *program)
{
	struct report *r = must_alloc(sizeof *r);
	struct report_row *row = report_add(r, "program");
	struct buffer lines;

	row->state = REPORT_FAILED;
	row->exit_code = EXIT_OS;
	report_detail(row, "cannot run %.200s: %s", program, strerror(errno));
	buffer_init(&lines);
	report_write(r, &lines);
	(void)!write(INHERIT_REPORT, buffer_text(&lines).bytes, buffer_length(&lines));
	_exit(EXIT_OS);
}

static _Noreturn void child_run(const struct supervisor *s, pid_t parent, const char *program, char *const argv[],
	char *const environment[], int report)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	(void)setpgid(0, 0);
	spawn_die_with(parent, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0 || dup2(s->null_fd, STDIN_FILENO) < 0 ||
		dup2(s->log_fd, STDERR_FILENO) < 0 || dup2(s->log_fd, STDOUT_FILENO) < 0 ||
		dup2(report, INHERIT_REPORT) < 0)
		_exit(EXIT_OS);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(program, argv, environment);
	child_failed(program);
}

static pid_t start_child(struct supervisor *s, const char *program, char *const argv[], int report)
{
	char *arguments[ARGUMENTS_MAX + 4] = { NULL }, **environment = child_environment();
	static char check[] = "--check", layout[] = "--check-layout", layouts[LAYOUTS_BYTES];
	struct buffer text;
	pid_t parent = getpid(), pid;
	int count = 0, error;

	buffer_init(&text);
	state_write_layouts(&text);
	(void)snprintf(layouts, sizeof layouts, "%.*s", TEXT_ARGS(buffer_text(&text)));
	buffer_fini(&text);
	for (; argv[count] != NULL && count < ARGUMENTS_MAX; count++)
		arguments[count] = argv[count];
	arguments[count++] = check;
	arguments[count++] = layout;
	arguments[count] = layouts;
	pid = spawn_fork();
	if (pid == 0)
		child_run(s, parent, program, arguments, environment, report);
	error = errno;
	free(environment);
	errno = error;
	return pid;
}

/* ---- its end ------------------------------------------------------------------------------------------------- */

static void end(struct upgrade_check *check)
{
	if (check->report >= 0)
		close(check->report);
	check->report = -1;
	check->pid = 0;
	if (check->limit != NULL)
		event_free(check->limit);
	check->limit = NULL;
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade_check *check = arg;

	(void)fd;
	(void)what;
	check->is_late = true;
	(void)kill(-check->pid, SIGKILL);
	(void)kill(check->pid, SIGKILL);
}

/* What it wrote until now; it is dead, or about to be. */
static void read_report(int fd, struct buffer *lines)
{
	while (buffer_length(lines) < REPORT_BYTES_MAX) {
		ssize_t length = read(fd, buffer_reserve(lines, 4096), 4096);

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return;
		buffer_grown(lines, (size_t)length);
	}
}

static void describe_end(int status, bool has_report, char *out, size_t room)
{
	const char *rest = has_report ? "" : " and no report";

	if (WIFSIGNALED(status))
		(void)snprintf(out, room, "the new renovationd --check died of SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		(void)snprintf(out, room, "the new renovationd --check ended with %d%s", WEXITSTATUS(status), rest);
}

/* False with a sentence when the program is not fit. */
static bool judge(const struct upgrade_check *check, const struct buffer *lines, int status, char *out, size_t room)
{
	struct report *r = must_alloc(sizeof *r);
	bool is_readable = report_read(buffer_text(lines), r) == ERROR_NONE && r->count > 0;
	bool is_fit =
		is_readable && report_exit_code(r) == EXIT_OK && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK;

	if (check->is_late)
		(void)snprintf(out, room, "the new renovationd --check took longer than %lld ms",
			(long long)check->service->options->upgrade_check_ms);
	else if (!is_fit) {
		describe_end(status, is_readable, out, room);
		for (int i = 0; is_readable && i < r->count; i++)
			if (r->rows[i].state == REPORT_FAILED) {
				(void)snprintf(out, room, "%s: %s%s%s", r->rows[i].name, r->rows[i].detail,
					r->rows[i].remedy[0] ? "; " : "", r->rows[i].remedy);
				break;
			}
	}
	free(r);
	return is_fit && !check->is_late;
}

bool upgrade_check_ended(struct upgrade_check *check, pid_t pid, int status)
{
	char problem[512];
	struct buffer lines;
	bool is_fit;

	if (check->pid == 0 || pid != check->pid)
		return false;
	/* Whatever it left behind goes with it. */
	(void)kill(-pid, SIGKILL);
	buffer_init(&lines);
	read_report(check->report, &lines);
	is_fit = judge(check, &lines, status, problem, sizeof problem);
	buffer_fini(&lines);
	end(check);
	check->done(check->service, is_fit ? NULL : problem);
	return true;
}

void upgrade_check_cancel(struct upgrade_check *check)
{
	/* Alone, too: it may not have come to make its own group yet. */
	if (check->pid != 0) {
		(void)kill(-check->pid, SIGKILL);
		(void)kill(check->pid, SIGKILL);
	}
	end(check);
}

enum error upgrade_check_start(struct supervisor *s, struct upgrade_check *check, const char *program,
	char *const argv[], upgrade_checked_fn *done)
{
	int64_t limit_ms = s->options->upgrade_check_ms;
	struct timeval limit = { .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000 };
	int ends[2], error;

	*check = (struct upgrade_check) { .report = -1, .done = done, .service = s };
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return ERROR_SYSTEM;
	/* Only our end must not wait. */
	(void)fcntl(ends[1], F_SETFL, 0);
	check->report = descriptor_lift(ends[0]);
	ends[1] = descriptor_lift(ends[1]);
	check->limit = evtimer_new(s->base, on_limit, check);
	if (check->report >= 0 && ends[1] >= 0 && check->limit != NULL && event_add(check->limit, &limit) == 0)
		check->pid = start_child(s, program, argv, ends[1]);
	error = errno;
	if (ends[1] >= 0)
		close(ends[1]);
	if (check->pid > 0)
		return ERROR_NONE;
	check->pid = 0;
	end(check);
	errno = error;
	return ERROR_SYSTEM;
}
