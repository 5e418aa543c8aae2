/* program.c: finds a sibling program. Called by the supervisor (its worker) and renovationctl (all of them). */
#include "config.h"
#include "shared/program.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool program_find(const char *chosen, const char *name, char *out, size_t room)
{
	static const char *const folders[] = { RENOVATIOND_LIBEXECDIR, RENOVATIOND_SBINDIR };
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);

	if (chosen[0] != '\0') {
		(void)snprintf(out, room, "%s", chosen);
		return access(out, X_OK) == 0;
	}
	if (length > 0) {
		own[length] = '\0';

		char *slash = strrchr(own, '/');

		if (slash != NULL)
			*slash = '\0';
		if ((size_t)snprintf(out, room, "%s/%s", own, name) < room && access(out, X_OK) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
		if ((size_t)snprintf(out, room, "%s/%s", folders[i], name) < room && access(out, X_OK) == 0)
			return true;
	return false;
}
