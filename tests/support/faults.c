/* faults.c: see faults.h. Used by the fault and balance tests. */
#include "config.h"
#include "tests/support/faults.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/must.h"

/* ---- forms ----------------------------------------------------------------------------------------------------- */

bool faults_are_whole(void)
{
	const char *form = getenv("RENOVATIOND_FAULTS");

	return form != NULL && strcmp(form, "all") == 0;
}

bool faults_in_sanitizer(void)
{
	static int is_known; /* 1: no, 2: yes */
	struct stat status;
	void *program;
	int fd;

	if (is_known != 0)
		return is_known == 2;
	fd = open(program_path("renovationd"), O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && fstat(fd, &status) == 0);
	program = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	must(program != MAP_FAILED);
	is_known = memmem(program, (size_t)status.st_size, "__asan_init", strlen("__asan_init")) != NULL ? 2 : 1;
	(void)munmap(program, (size_t)status.st_size);
	(void)close(fd);
	return is_known == 2;
}

/* ---- switches -------------------------------------------------------------------------------------------------- */

const char *test_path(const char *name)
{
	return format("%s/%s", test_folder(), name);
}

struct switches *switches_open(void)
{
	int fd = open(test_path("switches"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	void *mapped;

	must(fd >= 0 && ftruncate(fd, sizeof(struct switches)) == 0);
	mapped = mmap(NULL, sizeof(struct switches), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(mapped != MAP_FAILED);
	(void)close(fd);
	return mapped;
}

const char *switches_preload(void)
{
	char self[400];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

	must(length > 0);
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	must(access(format("%s/tests/support/preload.so", self), R_OK) == 0);
	return format("LD_PRELOAD=%s/tests/support/preload.so", self);
}

const char *switches_file(void)
{
	return format("FAULT_SWITCHES=%s", test_path("switches"));
}

/* ---- log ------------------------------------------------------------------------------------------------------- */

int log_count_both(const struct process *p, const char *part, const char *other)
{
	char *all = process_errors(p), *rest = all, *line;
	int count = 0;

	while ((line = strsep(&rest, "\n")) != NULL)
		count += rest != NULL && strstr(line, part) != NULL && strstr(line, other) != NULL;
	free(all);
	return count;
}

int log_count(const struct process *p, const char *part)
{
	return log_count_both(p, part, "");
}

#define LOG_TOLD_BYTES 6000

/* Its end: what happened last tells most. */
static const char *end_of(const char *log)
{
	size_t length = strlen(log);

	return length > LOG_TOLD_BYTES ? log + length - LOG_TOLD_BYTES : log;
}

void log_wait_count(const struct process *p, const char *part, int count, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	int found;

	while ((found = log_count(p, part)) < count) {
		if (now_ms() > deadline) {
			char *errors = process_errors(p);

			cr_assert(
				false, "%d of %d lines with %s; it said last:\n%s", found, count, part, end_of(errors));
			free(errors);
			return;
		}
		pause_ms(10);
	}
}

void server_wait(struct server *s, bool (*condition)(void *arg), void *arg, const char *what, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!condition(arg)) {
		if (now_ms() > deadline) {
			char *errors = process_errors(s->supervisor);

			cr_assert(
				false, "waited %d ms in vain: %s; it said last:\n%s", timeout_ms, what, end_of(errors));
			free(errors);
			return;
		}
		pause_ms(5);
	}
}

/* ---- scoreboard ------------------------------------------------------------------------------------------------ */

/* NULL when the worker has left meanwhile. */
static struct scoreboard *board_of(pid_t worker)
{
	struct scoreboard *board = NULL;
	int fd = open(format("/proc/%d/fd/%d", (int)worker, INHERIT_SCOREBOARD), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (scoreboard_map(fd, &board) != ERROR_NONE)
		board = NULL;
	(void)close(fd);
	return board;
}

struct scoreboard *board_open(struct server *s)
{
	struct scoreboard *board;
	pid_t worker = 0;

	cr_assert_geq(server_workers(s, &worker, 1), 1);
	board = board_of(worker);
	cr_assert_not_null(board);
	return board;
}

void board_close(struct scoreboard **board)
{
	scoreboard_unmap(board);
}

int board_slot(const struct scoreboard *board, pid_t worker)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(board->slots[i].pid) == worker)
			return i;
	cr_assert(false, "process %d has no slot", (int)worker);
	return -1;
}

/* ---- service --------------------------------------------------------------------------------------------------- */

unsigned long port_listener(int port)
{
	FILE *file = fopen("/proc/net/tcp", "re");
	char line[512];
	unsigned long found = 0;

	must(file != NULL);
	while (found == 0 && fgets(line, sizeof line, file) != NULL) {
		unsigned local, state;
		unsigned long inode;

		if (sscanf(line, "%*d: %*8x:%4x %*8x:%*4x %2x %*s %*s %*s %*u %*u %lu", &local, &state, &inode) == 3 &&
			(int)local == port && state == 0x0a)
			found = inode;
	}
	(void)fclose(file);
	return found;
}

struct wanted_workers {
	struct server *server;
	pid_t old;
	int count;
};

static bool are_ready(void *arg)
{
	const struct wanted_workers *wanted = arg;
	struct scoreboard *board;
	pid_t pids[SLOTS_MAX];
	int count = server_workers(wanted->server, pids, SLOTS_MAX), ready = 0;

	if (count != wanted->count)
		return false;
	for (int i = 0; i < count; i++)
		if (pids[i] == wanted->old)
			return false;
	board = count > 0 ? board_of(pids[0]) : NULL;
	if (board == NULL)
		return false;
	for (int i = 0; i < SLOTS_MAX; i++)
		ready += SCOREBOARD_GET(board->slots[i].state) == WORKER_READY;
	board_close(&board);
	return ready == wanted->count;
}

void workers_wait(struct server *s, pid_t old, int count, int timeout_ms)
{
	struct wanted_workers wanted = { s, old, count };

	server_wait(s, are_ready, &wanted, "the pool is whole", timeout_ms);
}

struct wanted_connections {
	const struct scoreboard *board;
	uint32_t count;
};

static bool are_connected(void *arg)
{
	const struct wanted_connections *wanted = arg;
	uint32_t busy = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct scoreboard_slot *slot = &wanted->board->slots[i];
		uint32_t idle = SCOREBOARD_GET(slot->connections_idle), all = SCOREBOARD_GET(slot->connections);

		busy += all > idle ? all - idle : 0;
	}
	return busy >= wanted->count;
}

void connections_wait(struct server *s, uint32_t count, int timeout_ms)
{
	struct scoreboard *board = board_open(s);
	struct wanted_connections wanted = { board, count };

	wait_until(are_connected, &wanted, "clients are connected", timeout_ms);
	board_close(&board);
}

struct leaving {
	struct server *server;
	const pid_t *workers;
	int count;
};

static bool is_leaving(const struct scoreboard *board, pid_t worker)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(board->slots[i].pid) == worker)
			return SCOREBOARD_GET(board->slots[i].state) >= WORKER_DRAINING;
	return true;
}

static bool are_leaving(void *arg)
{
	const struct leaving *l = arg;
	struct scoreboard *board;
	pid_t any;
	bool are = true;

	if (server_workers(l->server, &any, 1) != 1 || (board = board_of(any)) == NULL)
		return false;
	for (int i = 0; i < l->count; i++)
		are = are && (!pid_is_alive(l->workers[i]) || is_leaving(board, l->workers[i]));
	board_close(&board);
	return are;
}

void workers_wait_leaving(struct server *s, const pid_t *workers, int count)
{
	struct leaving l = { s, workers, count };

	server_wait(s, are_leaving, &l, "the old workers accept nothing more", 60000);
}

/* ---- /proc ----------------------------------------------------------------------------------------------------- */

static size_t read_proc(pid_t pid, const char *name, char *out, size_t room)
{
	int fd = open(format("/proc/%d/%s", (int)pid, name), O_RDONLY | O_CLOEXEC);
	ssize_t length = fd >= 0 ? read(fd, out, room - 1) : -1;

	if (fd >= 0)
		(void)close(fd);
	out[length > 0 ? length : 0] = '\0';
	return length > 0 ? (size_t)length : 0;
}

int64_t cpu_ms(pid_t pid)
{
	char line[512];
	unsigned long user = 0, system = 0;
	const char *end;

	(void)read_proc(pid, "stat", line, sizeof line);
	end = strrchr(line, ')');
	if (end == NULL || sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		return 0;
	return (int64_t)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

int processes_marked(const char *mark, pid_t *pids, int max)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	must(proc != NULL);
	while ((entry = readdir(proc)) != NULL && count < max) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		static char environment[65536];
		size_t length;

		if (pid <= 0)
			continue;
		length = read_proc(pid, "environ", environment, sizeof environment);
		for (size_t at = 0; at < length; at += strlen(environment + at) + 1)
			if (strcmp(environment + at, mark) == 0 && pid_is_alive(pid)) {
				pids[count++] = pid;
				break;
			}
	}
	(void)closedir(proc);
	return count;
}

const char *worker_script(const char *shell)
{
	const char *path = test_path("worker.sh");
	FILE *file = fopen(path, "we");

	must(file != NULL);
	(void)fprintf(file, "#!/bin/sh\n%s\nexec %s \"$@\"\n", shell, program_path("renovationd-worker"));
	must(fclose(file) == 0);
	must(chmod(path, 0755) == 0);
	return path;
}

/* ---- service manager ------------------------------------------------------------------------------------------- */

int notify_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0 && strlen(path) < sizeof address.sun_path);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	must(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
	must(chmod(path, 0777) == 0);
	return fd;
}

char *notify_read(int fd)
{
	char *all = must_alloc(65536), word[4096];
	size_t used = 0;
	ssize_t length;

	while ((length = recv(fd, word, sizeof word, 0)) > 0 && used + (size_t)length + 2 < 65536) {
		memcpy(all + used, word, (size_t)length);
		used += (size_t)length;
		all[used++] = '\n';
	}
	return all;
}

/* ---- UNIX sockets ---------------------------------------------------------------------------------------------- */

int unix_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 30 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

bool unix_converse(const char *path, const void *bytes, size_t length, char answer[UNIX_ANSWER_BYTES])
{
	int fd = unix_connect(path);
	size_t used = 0;
	ssize_t got = -1;

	if (fd < 0)
		return false;
	(void)send(fd, bytes, length, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	while (used < UNIX_ANSWER_BYTES - 1 && (got = recv(fd, answer + used, UNIX_ANSWER_BYTES - 1 - used, 0)) > 0)
		used += (size_t)got;
	answer[used] = '\0';
	(void)close(fd);
	return got == 0 || used > 0;
}
