/* oom.c: reads oom_kill of our own cgroup. Called by main.c once and by reap.c for each death by signal.
 * The counter is the cgroup's: in a shared one a neighbour's death can be taken for ours, so it is reported, never acted upon. */
#include "config.h"
#include "supervisor/oom.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/text.h"

static char path[PATH_MAX]; /* of the counter's file; "" = none */
static uint64_t last;       /* its value when last seen */

/* The line of v2 is "0::/path", of v1 "4:memory:/path". */
static void find_path(void)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];

	path[0] = '\0';
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		const char *memory = strstr(line, ":memory:");

		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0 && path[0] == '\0')
			(void)snprintf(path, sizeof path, "/sys/fs/cgroup%.3900s/memory.events", line + 3);
		else if (memory != NULL)
			(void)snprintf(
				path, sizeof path, "/sys/fs/cgroup/memory%.3900s/memory.oom_control", memory + 8);
	}
	if (file != NULL)
		(void)fclose(file);
}

static bool read_counter(uint64_t *value_out)
{
	static const char name[] = "oom_kill ";
	FILE *file = path[0] ? fopen(path, "re") : NULL;
	char line[128];
	bool is_found = false;

	while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, name, sizeof name - 1) == 0)
			is_found = text_parse_u64(text_of(line + sizeof name - 1), value_out);
	}
	if (file != NULL)
		(void)fclose(file);
	return is_found;
}

void oom_open(void)
{
	find_path();
	(void)read_counter(&last);
}

int64_t oom_count(void)
{
	uint64_t now, before = last;

	if (!read_counter(&now))
		return -1;
	last = now;
	return now > before ? (int64_t)(now - before) : 0;
}
