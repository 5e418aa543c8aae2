/* control_path.h: where the control socket is: the supervisor asks where to make it, renovationctl where to look for it. */
#ifndef RENOVATIOND_SHARED_CONTROL_PATH_H
#define RENOVATIOND_SHARED_CONTROL_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buffer.h"
#include "shared/options.h"

#define CONTROL_PATH_BYTES 108 /* of sun_path in unix(7), the NUL included */

/* Who chose a path: decides what a failure means. */
enum control_path_source {
	CONTROL_PATH_NONE,   /* there is no place for one */
	CONTROL_PATH_CHOSEN, /* option control_socket, or the folder that the service manager made ($RUNTIME_DIRECTORY) */
	CONTROL_PATH_DEFAULT /* $XDG_RUNTIME_DIR/renovationd, or /run/renovationd for root */
};

/* Where to make it. `is_changing`: root becomes another user, whose socket has no place in root's $XDG_RUNTIME_DIR. A test (app_env) has none but a chosen one. */
enum control_path_source control_path_make(
	const struct options *o, bool is_changing, char path_out[CONTROL_PATH_BYTES]);

/* Where to look: the chosen one, else the first of the defaults that exists. False when none does; then `tried` has the places as a list for people. */
bool control_path_find(const struct options *o, char path_out[CONTROL_PATH_BYTES], struct buffer *tried);

#endif
