/* process.c: starts, watches and ends the real programs for the black-box tests. Knows nothing of what they do. */
#include "config.h"
#include "tests/support/process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/must.h"

#define FREE_PORT_MIN 15000

static char folder[200];
static pid_t folder_owner;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static void remove_folder(void)
{
	if (folder_owner == getpid())
		(void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *test_folder(void)
{
	if (folder_owner == getpid())
		return folder;

	const char *parent = getenv("TMPDIR");

	(void)snprintf(folder, sizeof folder, "%s/renovationd-test-XXXXXX", parent != NULL ? parent : "/tmp");
	must(mkdtemp(folder) != NULL);
	must(chmod(folder, 0755) == 0);
	folder_owner = getpid();
	(void)atexit(remove_folder);
	return folder;
}

const char *program_path(const char *name)
{
	static char paths[8][512];
	static int turn;
	char *path = paths[turn++ % 8];
	const char *where = getenv("RENOVATIOND_PROGRAMS");
	char self[400];

	if (where == NULL) {
		ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

		must(length > 0);
		self[length] = '\0';
		*strrchr(self, '/') = '\0'; /* the build folder: tests are linked at its top or in tests/ below it */
		where = self;
		char *tests = strstr(self, "/tests/");

		if (tests != NULL)
			*tests = '\0';
	}
	(void)snprintf(path, sizeof paths[0], "%s/%s", where, name);
	return path;
}

int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void pause_ms(int ms)
{
	struct timespec length = { ms / 1000, (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&length, NULL);
}

void wait_until(bool (*condition)(void *arg), void *arg, const char *what, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!condition(arg)) {
		if (now_ms() > deadline) {
			cr_assert(false, "waited %d ms in vain: %s", timeout_ms, what);
			return;
		}
		pause_ms(5);
	}
}

static void apply_environment(const char *const environment[])
{
	for (; environment != NULL && *environment != NULL; environment++) {
		if (strchr(*environment, '=') != NULL)
			must(putenv(must_strdup(*environment)) == 0);
		else
			(void)unsetenv(*environment);
	}
}

#define PASSED_MAX 16

static void pass(int held[], int count, const char *names)
{
	char number[16];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		must(dup2(held[i], 3 + i) == 3 + i);
	(void)snprintf(number, sizeof number, "%d", count);
	(void)setenv("LISTEN_FDS", number, 1);
	(void)snprintf(number, sizeof number, "%d", (int)getpid());
	(void)setenv("LISTEN_PID", number, 1);
	if (names != NULL)
		(void)setenv("LISTEN_FDNAMES", names, 1);
}

static void become(const struct process *p, const char *const argv[], const char *const environment[], const int fds[],
	int count, const char *names)
{
	int held[PASSED_MAX];
	int out = open(p->out_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	int err = open(p->err_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	int in = open("/dev/null", O_RDONLY);
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)dup2(in, 0);
	(void)dup2(out, 1);
	(void)dup2(err, 2);
	must(count <= PASSED_MAX);
	for (int i = 0; i < count; i++)
		held[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 256);
	for (int fd = 3; fd < 256; fd++)
		(void)close(fd);
	pass(held, count, names);
	apply_environment(environment);
	execvp(argv[0], (char *const *)argv);
	(void)dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

struct process *process_start(const char *const argv[], const char *const environment[])
{
	return process_start_passing(argv, environment, NULL, 0, NULL);
}

struct process *process_start_passing(
	const char *const argv[], const char *const environment[], const int fds[], int count, const char *names)
{
	static int number;
	struct process *p = must_alloc(sizeof *p);
	const char *name = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];

	number++;
	(void)snprintf(p->out_path, sizeof p->out_path, "%s/%s-%d.out", test_folder(), name, number);
	(void)snprintf(p->err_path, sizeof p->err_path, "%s/%s-%d.err", test_folder(), name, number);
	p->pid = fork();
	must(p->pid >= 0);
	if (p->pid == 0)
		become(p, argv, environment, fds, count, names);
	return p;
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *content = NULL;
	size_t length = 0, capacity = 0;

	if (file == NULL)
		return must_strdup("");
	do {
		capacity = capacity * 2 + 4096;
		content = must_realloc(content, capacity);
		length += fread(content + length, 1, capacity - length - 1, file);
	} while (!feof(file) && !ferror(file));
	(void)fclose(file);
	content[length] = '\0';
	return content;
}

char *process_output(const struct process *p)
{
	return read_file(p->out_path);
}

char *process_errors(const struct process *p)
{
	return read_file(p->err_path);
}

bool process_is_running(struct process *p)
{
	if (p->pid != 0 && waitpid(p->pid, &p->exit_status, WNOHANG) == p->pid)
		p->pid = 0;
	return p->pid != 0;
}

static char *find_line(const char *path, const char *part)
{
	char *content = read_file(path), *rest = content, *line, *found = NULL;

	while (found == NULL && (line = strsep(&rest, "\n")) != NULL)
		if (rest != NULL && strstr(line, part) != NULL)
			found = must_strdup(line);
	free(content);
	return found;
}

static char *wait_line(struct process *p, const char *path, const char *part, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		bool is_running = process_is_running(p);
		char *line = find_line(path, part);

		if (line != NULL)
			return line;
		if (!is_running || now_ms() > deadline) {
			char *errors = process_errors(p);

			cr_assert(false, "no \"%s\" from a program that %s; it said:\n%.6000s", part,
				is_running ? "still runs" : "has ended", errors);
			return errors;
		}
		pause_ms(3);
	}
}

char *process_wait_output(struct process *p, const char *part, int timeout_ms)
{
	return wait_line(p, p->out_path, part, timeout_ms);
}

char *process_wait_error(struct process *p, const char *part, int timeout_ms)
{
	return wait_line(p, p->err_path, part, timeout_ms);
}

int process_wait(struct process *p, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (process_is_running(p)) {
		if (now_ms() > deadline) {
			char *errors = process_errors(p);

			cr_assert(false, "a program still runs after %d ms; it said:\n%.6000s", timeout_ms, errors);
			free(errors);
			return -1;
		}
		pause_ms(3);
	}
	return WIFSIGNALED(p->exit_status) ? 128 + WTERMSIG(p->exit_status) : WEXITSTATUS(p->exit_status);
}

void process_signal(struct process *p, int signal)
{
	if (process_is_running(p))
		(void)kill(p->pid, signal);
}

void process_end(struct process **process)
{
	struct process *p = *process;

	if (p == NULL)
		return;
	if (process_is_running(p)) {
		(void)kill(p->pid, SIGKILL);
		(void)waitpid(p->pid, &p->exit_status, 0);
	}
	free(p);
	*process = NULL;
}

int process_run(const char *const argv[], const char *const environment[], char **out, char **err, int timeout_ms)
{
	struct process *p = process_start(argv, environment);
	int code = process_wait(p, timeout_ms);

	if (out != NULL)
		*out = process_output(p);
	if (err != NULL)
		*err = process_errors(p);
	process_end(&p);
	return code;
}

/* Fields of /proc/PID/stat: name, state, parent. */
static bool read_stat(pid_t pid, char name[64], char *state, pid_t *parent)
{
	char path[64], line[512];
	FILE *file;
	int found = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fgets(line, sizeof line, file) != NULL) {
		char *open_paren = strchr(line, '('), *close_paren = strrchr(line, ')');

		if (open_paren != NULL && close_paren != NULL) {
			*close_paren = '\0';
			(void)snprintf(name, 64, "%s", open_paren + 1);
			found = sscanf(close_paren + 2, "%c %d", state, parent);
		}
	}
	(void)fclose(file);
	return found == 2;
}

int process_children(pid_t parent, const char *name, pid_t *pids, int max)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	must(proc != NULL);
	while ((entry = readdir(proc)) != NULL && count < max) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), its_parent;
		char its_name[64], state;

		/* the kernel keeps 15 characters of a name */
		if (pid > 0 && read_stat(pid, its_name, &state, &its_parent) && its_parent == parent && state != 'Z' &&
			strncmp(its_name, name, 15) == 0)
			pids[count++] = pid;
	}
	(void)closedir(proc);
	return count;
}

bool pid_is_alive(pid_t pid)
{
	char name[64], state;
	pid_t parent;

	return read_stat(pid, name, &state, &parent) && state != 'Z';
}

bool pids_are_gone(const pid_t *pids, int count)
{
	for (int i = 0; i < count; i++)
		if (pid_is_alive(pids[i]))
			return false;
	return true;
}

static bool is_frozen(void *arg)
{
	char name[64], state = '?';
	pid_t parent;

	return read_stat(*(const pid_t *)arg, name, &state, &parent) && state == 'T';
}

static bool is_thawed(void *arg)
{
	return !is_frozen(arg);
}

void pid_freeze(pid_t pid)
{
	cr_assert_eq(kill(pid, SIGSTOP), 0, "process %d: %s", (int)pid, strerror(errno));
	wait_until(is_frozen, &pid, "the process stands still", 60000);
}

void pid_thaw(pid_t pid)
{
	cr_assert_eq(kill(pid, SIGCONT), 0, "process %d: %s", (int)pid, strerror(errno));
	wait_until(is_thawed, &pid, "the process goes on", 60000);
}

/* Lowest port that the kernel gives to clients; one below it stays free of them, also between the end of a server and its next start. */
static int ephemeral_first(void)
{
	FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	char line[64] = "32768";

	if (range != NULL) {
		(void)!fgets(line, sizeof line, range);
		(void)fclose(range);
	}

	int first = (int)strtol(line, NULL, 10);

	return first > FREE_PORT_MIN + 1000 ? first : 32768;
}

static bool is_port_free(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);

	bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

	(void)close(fd);
	return is_free;
}

/* Other tests look for free ports too. A name without a file is ours until this process ends, and as wide as the ports are: a network namespace. */
static bool claim_port(int port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "renovationd-test-port-%d", port);

	must(fd >= 0 && length > 0);
	if (bind(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
		return true;
	(void)close(fd);
	return false;
}

int free_port(void)
{
	int first = ephemeral_first(), port;

	do
		port = FREE_PORT_MIN + (int)arc4random_uniform((uint32_t)(first - FREE_PORT_MIN));
	while (!is_port_free(port) || !claim_port(port));
	return port;
}

int reserve_port(int *port_out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t length = sizeof address;

	must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}
