/* holder.c: from a port to the sockets that listen on it (/proc/net/tcp and tcp6) to the process that has one open (/proc/PID/fd).
 * Called by listeners.c when the address is in use, only for its message. Slow on a host with many processes, which no longer matters then. */
#include "config.h"
#include "supervisor/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INODES_MAX   16
#define STATE_LISTEN 0x0a

struct inodes {
	unsigned long list[INODES_MAX]; /* of listening sockets */
	int count;
};

/* "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode", proc(5) */
static void read_table(const char *path, uint16_t port, struct inodes *found)
{
	FILE *file = fopen(path, "re");
	char line[512];

	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		unsigned local_port, state;
		unsigned long inode;

		if (sscanf(line, " %*[^:]: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port,
			    &state, &inode) == 3 &&
			local_port == port && state == STATE_LISTEN && found->count < INODES_MAX)
			found->list[found->count++] = inode;
	}
	if (file != NULL)
		(void)fclose(file);
}

static bool is_listed(const struct inodes *inodes, const char *link)
{
	char *end;
	unsigned long inode;

	if (strncmp(link, "socket:[", 8) != 0)
		return false;
	inode = strtoul(link + 8, &end, 10);
	for (int i = 0; i < inodes->count; i++)
		if (*end == ']' && inodes->list[i] == inode)
			return true;
	return false;
}

static bool has_socket(const char *pid, const struct inodes *inodes)
{
	char path[PATH_MAX], link[64];
	struct dirent *entry;
	bool is_found = false;
	DIR *folder;

	(void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
	folder = opendir(path);
	while (folder != NULL && !is_found && (entry = readdir(folder)) != NULL) {
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);

		if (length <= 0)
			continue;
		link[length] = '\0';
		is_found = is_listed(inodes, link);
	}
	if (folder != NULL)
		(void)closedir(folder);
	return is_found;
}

static void read_program(const char *pid, char *program, size_t room)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (file == NULL || fgets(program, (int)room, file) == NULL)
		(void)snprintf(program, room, "?");
	program[strcspn(program, "\n")] = '\0';
	if (file != NULL)
		(void)fclose(file);
}

bool holder_find(uint16_t port, pid_t *pid_out, char *program, size_t room)
{
	struct inodes inodes = { .count = 0 };
	struct dirent *entry;
	pid_t lowest = 0;
	DIR *proc;

	read_table("/proc/net/tcp", port, &inodes);
	read_table("/proc/net/tcp6", port, &inodes);
	proc = inodes.count > 0 ? opendir("/proc") : NULL;
	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		/* Of a server and its children, the one that came first is most likely the one to stop. */
		if (!isdigit((unsigned char)entry->d_name[0]) || (lowest != 0 && pid > lowest) ||
			!has_socket(entry->d_name, &inodes))
			continue;
		lowest = pid;
		read_program(entry->d_name, program, room);
	}
	if (proc != NULL)
		(void)closedir(proc);
	*pid_out = lowest;
	return lowest != 0;
}
