/* control_request.h: one line from the control socket as a command. */
#ifndef RENOVATIOND_SUPERVISOR_CONTROL_REQUEST_H
#define RENOVATIOND_SUPERVISOR_CONTROL_REQUEST_H

#include <stdbool.h>

#include "shared/arena.h"
#include "shared/error.h"
#include "shared/log.h"

#define CONTROL_LINE_BYTES 4096 /* longest request, its line end included */

/* THE table of commands: name in C, in the request, the member that it needs. */
#define CONTROL_COMMANDS(X)                                                                                            \
	X(STATUS, "status", NONE)                                                                                      \
	X(METRICS, "metrics", NONE)                                                                                    \
	X(RELOAD, "reload", NONE)                                                                                      \
	X(UPGRADE, "upgrade", NONE)                                                                                    \
	X(DRAIN, "drain", NONE)                                                                                        \
	X(RESUME, "resume", NONE)                                                                                      \
	X(STOP, "stop", NONE)                                                                                          \
	X(SCALE, "scale", WORKERS)                                                                                     \
	X(RESTART_WORKER, "restart-worker", SLOT)                                                                      \
	X(LOGS_REOPEN, "logs-reopen", NONE)                                                                            \
	X(LOGS_LEVEL, "logs-level", LEVEL)

enum control_command {
#define X(name, word, need) CONTROL_##name,
	CONTROL_COMMANDS(X)
#undef X
		CONTROL_COMMAND_COUNT
};

enum control_need { CONTROL_NEEDS_NONE, CONTROL_NEEDS_WORKERS, CONTROL_NEEDS_SLOT, CONTROL_NEEDS_LEVEL };

struct control_request {
	enum control_command command; /* what to do */
	bool is_wait;                 /* "wait":true: progress, and the answer when it is over */
	bool is_fast;                 /* "fast":true, of a stop: within a second */
	int number;                   /* "workers" of scale, "slot" of restart-worker */
	enum log_level level;         /* "level" of logs-level */
};

const char *control_command_name(enum control_command command);

/* Strict: one JSON object, known members of the right type only, all that the command needs, in range. Errors: ERROR_INVALID_JSON, ERROR_VALIDATION_FAILED (what is
 * asked for does not exist or does not fit); then *problem_out is for people and owned by the arena. */
MUST_CHECK enum error control_request_parse(
	struct arena *a, struct text line, struct control_request *request_out, const char **problem_out);

#endif
