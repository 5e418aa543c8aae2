/* spawn.c: starts one process of the worker program: signals blocked across the fork, privileges dropped, then bound to our life, descriptors put in
 * place, exec. Called by pool.c for workers and preflight.c for the checker. Always from the one thread, whose death PDEATHSIG watches. */
#include "config.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

extern char **environ;

void spawn_add(struct spawn_plan *plan, int from, int to)
{
	must(plan->count < SPAWN_DESCRIPTORS_MAX);
	plan->descriptors[plan->count++] = (struct spawn_descriptor) { .from = from, .to = to };
}

char **spawn_environment(void)
{
	size_t count = 0, kept = 0;
	char **list;

	while (environ[count] != NULL)
		count++;
	list = must_alloc((count + 1) * sizeof *list);
	for (size_t i = 0; i < count; i++)
		if (!configuration_owns_variable(text_span(environ[i], strcspn(environ[i], "="))))
			list[kept++] = environ[i];
	return list;
}

/* ---- in the child -------------------------------------------------------------------------------------------- */

static _Noreturn void child_failed(const char *what)
{
	char line[256];
	int length = snprintf(line, sizeof line,
		"{\"level\":\"error\",\"msg\":\"cannot start a "
		"process\",\"service\":\"renovationd\",\"step\":\"%s\",\"error\":\"%s\"}\n",
		what, strerror(errno));

	(void)!write(STDERR_FILENO, line, (size_t)length);
	_exit(EXIT_OS);
}

/* What a group or pkill sends to us is harmless to workers from their first instruction on; the rest is as the kernel made it. */
static void child_signals(bool is_worker)
{
	static const int harmless[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH };
	struct sigaction action = { .sa_handler = SIG_DFL };

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; is_worker && i < COUNT_OF(harmless); i++)
		(void)sigaction(harmless[i], &action, NULL);
}

static void child_descriptors(const struct supervisor *s, const struct spawn_plan *plan)
{
	/* Whatever we or our parent left open ends at the exec; dup2 gives the chosen ones without that flag. */
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
		child_failed("close_range");
	if (s->null_fd >= 0 && dup2(s->null_fd, STDIN_FILENO) < 0)
		child_failed("dup2");
	if (dup2(s->log_fd, STDERR_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		child_failed("dup2");
	for (int i = 0; i < plan->count; i++)
		if (dup2(plan->descriptors[i].from, plan->descriptors[i].to) < 0)
			child_failed("dup2");
}

/* Is the file at this path the one that was opened? Without a descriptor it is. */
static bool is_file_at(const char *path, int fd)
{
	struct stat there, meant;

	return fd < 0 || (stat(path, &there) == 0 && fstat(fd, &meant) == 0 && there.st_ino == meant.st_ino &&
				 there.st_dev == meant.st_dev);
}

void spawn_die_with(pid_t parent, int signal)
{
	(void)prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
	/* Killed between the fork and this, it would never tell. */
	if (getppid() != parent)
		_exit(EXIT_STORM);
}

static _Noreturn void child_run(const struct supervisor *s, const struct spawn_plan *plan, pid_t parent)
{
	const char *program;
	int program_fd;
	sigset_t none;

	/* Ours alone: a copy of the write end would keep the others alive after our death. */
	if (s->lifeline_write >= 0)
		close(s->lifeline_write);
	if (plan->board_slot != NULL)
		SCOREBOARD_SET(plan->board_slot->pid, (int32_t)getpid());
	/* Ctrl-C in a terminal is for the supervisor, which then tells us. */
	if (plan->is_worker)
		(void)setpgid(0, 0);
	if (geteuid() == 0 && privileges_drop(&s->identity) != ERROR_NONE)
		child_failed("become the user");
	spawn_die_with(parent, SIGTERM);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	child_descriptors(s, plan);
	child_signals(plan->is_worker);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	program = plan->program != NULL ? plan->program : s->worker_program;
	program_fd = plan->program != NULL ? plan->program_fd : s->worker_program_fd;
	if (is_file_at(program, program_fd))
		(void)execve(program, (char *const *)plan->argv, s->environment);
	/* Another version has that name by now, or the way to it is closed to this user; the file itself was opened before. */
	else
		(void)syscall(SYS_execveat, program_fd, "", (char *const *)plan->argv, s->environment, AT_EMPTY_PATH);
	child_failed("exec");
}

/* ---- in the supervisor --------------------------------------------------------------------------------------- */

pid_t spawn_fork(void)
{
	sigset_t all, before;
	pid_t pid;
	int error;

	log_flush();
	(void)fflush(NULL);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		return 0;
	error = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

pid_t spawn_run(const struct supervisor *s, const struct spawn_plan *plan)
{
	pid_t parent = getpid(), pid = spawn_fork();

	if (pid == 0)
		child_run(s, plan, parent);
	return pid;
}

static void plan_worker(
	struct supervisor *s, const struct slot *slot, const struct birth *birth, int control, struct spawn_plan *plan)
{
	spawn_add(plan, birth->options_fd, INHERIT_OPTIONS);
	spawn_add(plan, birth->listener, INHERIT_LISTENER);
	spawn_add(plan, control, INHERIT_CONTROL);
	if (s->admin_listener >= 0)
		spawn_add(plan, s->admin_listener, INHERIT_ADMIN);
	spawn_add(plan, s->lifeline_read, INHERIT_LIFELINE);
	spawn_add(plan, s->scoreboard_fd, INHERIT_SCOREBOARD);
	spawn_add(plan, s->rings_fd, INHERIT_RINGS);
	spawn_add(plan, s->inbox[slot->index], INHERIT_INBOX);
	for (int i = 0; i < SLOTS_MAX; i++)
		spawn_add(plan, s->mesh[i], INHERIT_MESH + i);
	plan->program = birth->program;
	plan->program_fd = birth->program_fd;
	plan->is_worker = true;
	plan->board_slot = &s->board->slots[slot->index];
}

/* Words to the last holder of the slot are not for the next. */
static void empty_inbox(const struct supervisor *s, int slot)
{
	char bytes[64];

	for (int i = 0; i < 100000; i++)
		if (recv(s->inbox[slot], bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno != EINTR)
			return;
}

static void prepare_board(struct supervisor *s, const struct slot *slot)
{
	struct scoreboard_slot *board = &s->board->slots[slot->index];
	int64_t now_us = clock_monotonic_us();

	SCOREBOARD_SET(board->generation, slot->generation);
	SCOREBOARD_SET(board->epoch, slot->epoch);
	SCOREBOARD_SET(board->started_at_us, now_us);
	SCOREBOARD_SET(board->heartbeat_us, now_us);
	SCOREBOARD_SET(board->state, WORKER_BOOT);
}

static void reset_slot(struct supervisor *s, struct slot *slot, uint32_t generation)
{
	slot->epoch = ++s->last_epoch;
	slot->generation = generation;
	slot->is_ready = slot->is_leaving = slot->is_draining = slot->is_unhealthy = false;
	slot->is_hurried = false;
	slot->leave_until_ms = 0;
	slot->killed_with = 0;
	slot->killed_for = DEATH_CAUSES;
	slot->killed_at_ms = slot->ready_at_ms = 0;
	slot->started_at_ms = clock_monotonic_ms();
	slot->closed_reports = 0;
}

enum error spawn_worker(struct supervisor *s, struct slot *slot, const struct birth *birth)
{
	struct spawn_plan plan = { .count = 0 };
	char place[16], generation[16], epoch[24];
	int pair[2], control = -1, error;
	enum error e = ERROR_SYSTEM;

	must(slot->pid == 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return ERROR_SYSTEM;
	control = descriptor_lift(pair[1]);
	if (control < 0)
		goto out;
	reset_slot(s, slot, birth->generation);
	empty_inbox(s, slot->index);
	prepare_board(s, slot);
	(void)snprintf(place, sizeof place, "%d", slot->index);
	(void)snprintf(generation, sizeof generation, "%u", slot->generation);
	(void)snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)slot->epoch);
	plan_worker(s, slot, birth, control, &plan);
	memcpy(plan.argv,
		((const char *[]) { "renovationd-worker", "--role", "web", "--slot", place, "--generation", generation,
			"--epoch", epoch, NULL }),
		10 * sizeof plan.argv[0]);

	slot->pid = spawn_run(s, &plan);
	if (slot->pid < 0) {
		slot->pid = 0;
		scoreboard_retire(s->board, slot->index);
		goto out;
	}
	SCOREBOARD_SET(s->board->slots[slot->index].pid, (int32_t)slot->pid);
	e = channel_open(s, slot, pair[0]);
	pair[0] = -1;
out:
	error = errno;
	if (control >= 0)
		close(control);
	if (pair[0] >= 0)
		close(pair[0]);
	errno = error;
	return e;
}
