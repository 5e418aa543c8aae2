/* shutdown.h: the one coordinator of a worker's end. Parts register as resources; on a drain or stop each is closed in its phase with its own
 * deadline; a resource that fails or hangs never holds up or skips another. Idempotent: later calls only shorten deadlines.
 * The result of each goes to the supervisor, which prints the report of the pool. */
#ifndef RENOVATIOND_WORKER_SHUTDOWN_H
#define RENOVATIOND_WORKER_SHUTDOWN_H

#include <event2/event.h>

#include "shared/error.h"
#include "shared/ipc.h"

struct shutdown;

enum shutdown_phase { SHUTDOWN_SOCKETS, SHUTDOWN_DATABASE, SHUTDOWN_CLIENTS, SHUTDOWN_LOGS, SHUTDOWN_PHASE_COUNT };
enum shutdown_result { SHUTDOWN_DONE, SHUTDOWN_TIMEOUT, SHUTDOWN_ERROR, SHUTDOWN_SKIPPED };

struct shutdown_resource {
	const char *name;          /* http realtime turns database gemini logs */
	enum shutdown_phase phase; /* phases run in order, resources of one phase side by side */
	int64_t deadline_ms;       /* of a stop: from the start of its phase */
	int64_t drain_ms;          /* of a drain (is_stop false): the same; 0 = deadline_ms */
	/* Begins to close. Calls shutdown_done(s, name, …) when closed, now or later. `is_stop` as message_drain. Safe to call again: with true a drain has
	 * become a stop, with false a drain is to end soon. */
	void (*close)(void *arg, bool is_stop);
	/* The deadline has passed: cut what is left, at once; returns how many things were cut; *lost_out counts acknowledged things not stored. */
	int (*cut)(void *arg, int *lost_out);
	void *arg;
};

MUST_CHECK enum error shutdown_open(struct event_base *base,
	void (*report)(void *arg, const struct message_closed *closed), void (*finished)(void *arg), void *arg,
	struct shutdown **shutdown_out);
void shutdown_register(struct shutdown *s, const struct shutdown_resource *resource);
/* A second call with is_stop turns a drain into a stop; a second call without tells a drain to end soon. */
void shutdown_start(struct shutdown *s, bool is_stop, int64_t t0_us);
/* Acknowledged things were not stored: goes with the report of the resource that closes next. */
void shutdown_note_lost(struct shutdown *s, int lost);
/* New deadlines of a resource; also of one that closes already. */
void shutdown_set_deadlines(struct shutdown *s, const char *name, int64_t deadline_ms, int64_t drain_ms);
void shutdown_hurry(
	struct shutdown *s, int64_t deadline_ms); /* a second INT or QUIT: every deadline is at most this from now */
void shutdown_done(struct shutdown *s, const char *name, enum shutdown_result result, const char *detail);
bool shutdown_is_started(const struct shutdown *s);
void shutdown_close(struct shutdown **s);

#endif
