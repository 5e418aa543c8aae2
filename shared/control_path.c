/* control_path.c: the places of the control socket, in order. Called by supervisor/control_socket.c and ctl/connect.c. Touches nothing. */
#include "config.h"
#include "shared/control_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_NAME "control.sock"
#define RUN_FOLDER  "/run/renovationd"

/* False when the variable is not set or what comes out does not fit. systemd may name several folders, with colons; the first is the service's own. */
static bool path_below(const char *variable, const char *between, char path_out[CONTROL_PATH_BYTES])
{
	const char *folder = getenv(variable);
	int length;

	if (folder == NULL || folder[0] != '/')
		return false;
	length = snprintf(
		path_out, CONTROL_PATH_BYTES, "%.*s%s/" SOCKET_NAME, (int)strcspn(folder, ":"), folder, between);
	return length > 0 && length < CONTROL_PATH_BYTES;
}

static bool path_chosen(const struct options *o, char path_out[CONTROL_PATH_BYTES])
{
	if (o->control_socket[0] == '\0')
		return false;
	(void)snprintf(path_out, CONTROL_PATH_BYTES, "%s", o->control_socket);
	return true;
}

enum control_path_source control_path_make(const struct options *o, bool is_changing, char path_out[CONTROL_PATH_BYTES])
{
	if (path_chosen(o, path_out) || path_below("RUNTIME_DIRECTORY", "", path_out))
		return CONTROL_PATH_CHOSEN;
	if (strcmp(o->app_env, "test") == 0)
		return CONTROL_PATH_NONE;
	if (!is_changing && path_below("XDG_RUNTIME_DIR", "/renovationd", path_out))
		return CONTROL_PATH_DEFAULT;
	if (geteuid() != 0)
		return CONTROL_PATH_NONE;
	(void)snprintf(path_out, CONTROL_PATH_BYTES, "%s", RUN_FOLDER "/" SOCKET_NAME);
	return CONTROL_PATH_DEFAULT;
}

static bool is_there(const char *path, struct buffer *tried)
{
	struct stat status;

	if (buffer_length(tried) > 0)
		buffer_append_string(tried, ", ");
	buffer_append_string(tried, path);
	/* Whoever may not look into the folder is told so by connect(2), not that there is nothing. */
	return lstat(path, &status) == 0 || errno == EACCES;
}

bool control_path_find(const struct options *o, char path_out[CONTROL_PATH_BYTES], struct buffer *tried)
{
	if (path_chosen(o, path_out))
		return true;
	if (path_below("RUNTIME_DIRECTORY", "", path_out) && is_there(path_out, tried))
		return true;
	if (path_below("XDG_RUNTIME_DIR", "/renovationd", path_out) && is_there(path_out, tried))
		return true;
	(void)snprintf(path_out, CONTROL_PATH_BYTES, "%s", RUN_FOLDER "/" SOCKET_NAME);
	return is_there(path_out, tried);
}
