/* endpoint.h: where the admin listener listens, as an option names it: a loopback address with port, or the path of a UNIX socket. Pure. */
#ifndef RENOVATIOND_SHARED_ENDPOINT_H
#define RENOVATIOND_SHARED_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shared/error.h"
#include "shared/must.h"
#include "shared/text.h"

struct endpoint {
	struct sockaddr_storage address; /* for bind */
	socklen_t length;                /* of it */
	bool is_unix;                    /* address is a path */
};

/* "127.0.0.1:9090", "[::1]:9090", "localhost:9090" (which is 127.0.0.1), "/run/renovationd/admin.sock". ERROR_CONFIG: not that; then *problem_out
 * and *remedy_out (static) say why and what to write. Port 0 takes any free one. */
MUST_CHECK enum error endpoint_parse(
	const char *value, struct endpoint *endpoint_out, const char **problem_out, const char **remedy_out);

#endif
