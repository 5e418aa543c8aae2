/* worker.h: the context of one worker process: its parts, opened in order by main.c and closed in reverse by the shutdown coordinator.
 * Handlers reach it by request_context(rq); nothing here is global. */
#ifndef RENOVATIOND_WORKER_WORKER_H
#define RENOVATIOND_WORKER_WORKER_H

#include <event2/event.h>

#include "shared/options.h"
#include "shared/scoreboard.h"

struct auth;
struct bus;
struct chat;
struct db;
struct health;
struct http_server;
struct provider;
struct shutdown;
struct supervisor_link;
struct upkeep;

struct worker {
	struct event_base *base;
	struct options options;       /* inherited; LIVE ones change on reload */
	struct scoreboard *board;     /* shared memory */
	struct scoreboard_slot *slot; /* ours in it */
	int slot_index;               /* 0 .. SLOTS_MAX-1 */
	uint32_t generation;          /* configuration generation */
	uint64_t epoch;               /* this life's number */
	char lease[96];               /* "host/instance/slot/epoch": lease_owner of the turns we write */
	struct supervisor_link *link; /* control channel and lifeline: control.c */
	struct shutdown *shutdown;    /* shutdown.c */
	struct db *db;
	struct provider *provider; /* gemini/ */
	struct bus *bus;           /* realtime/bus.c: the mesh */
	struct chat *chat;         /* chat/chat.c: live turns and their readers */
	struct auth *auth;         /* auth.c: token to owner */
	struct health *health;     /* api/health.c: probe at most 1 s old */
	struct upkeep *upkeep;     /* jobs/upkeep.c: chores for the whole database */
	struct http_server *http;
};

#endif
