/* chat.h: the answers of this worker: opened by main.c after db, provider and bus, its handlers named in routes.c. An answer (turn) is a durable row; what
 * runs here is its writer (turn.c) and whoever reads it (reader.c). It registers `realtime` and `turns` with the shutdown coordinator when it is opened. */
#ifndef RENOVATIOND_WORKER_CHAT_CHAT_H
#define RENOVATIOND_WORKER_CHAT_CHAT_H

#include "shared/error.h"
#include "shared/must.h"
#include "worker/http/request.h"
#include "worker/worker.h"

struct chat;

/* Needs w->db, w->provider, w->bus, w->board, w->shutdown, w->lease; sets nothing in `w`. `rings_fd` is INHERIT_RINGS. Turns that nobody writes are looked
 * for at once and then every second by the lowest ready worker. Errors: ERROR_SYSTEM. */
MUST_CHECK enum error chat_open(struct worker *w, int rings_fd, struct chat **chat_out);
/* Ends readers, leaves turns to others (their leases lapse unless the shutdown coordinator has released them), frees. */
void chat_close(struct chat **chat);
/* Answers that were shown further than they are stored: what a stop loses when the database takes no more. To be asked once, at the end of its phase. */
int chat_take_unstored(struct chat *chat);
/* During a drain: no client has a connection here any more, so that nothing more will be asked. */
void chat_clients_gone(struct chat *chat);
/* The chat_*, drain_* and shutdown_* options may have changed. */
void chat_options_changed(struct chat *chat);
/* For control_on_slot_died, `arg` is the worker: its turns are ours now. */
void chat_slot_died(void *arg, int slot, uint64_t epoch);

/* For the route that could make an owner: what would only be stored to fail (every model's breaker is open, the service stops) is answered here, without
 * the database. */
bool chat_admits(struct request *rq);

/* Handlers; the rows are in routes.c. */
void chat_ask_conversation(struct request *rq); /* POST /api/conversations/{id}/messages   AUTH_OWNER BODY_JSON */
void chat_ask_session(struct request *rq);      /* POST /api/sessions/{id}/messages        AUTH_OWNER BODY_JSON */
void chat_turn_read(struct request *rq);        /* GET  /api/turns/{id}                    AUTH_OWNER */
void chat_turn_stream(struct request *rq);      /* GET  /api/turns/{id}/stream             AUTH_OWNER */
void chat_turn_cancel(struct request *rq);      /* POST /api/turns/{id}/cancel             AUTH_OWNER BODY_OPTIONAL */
void chat_facade_ask(struct request *rq);       /* POST /api/chat                          AUTH_MINT BODY_JSON */
void chat_facade_stream(
	struct request *rq); /* GET  /api/chat/{chat}/stream            AUTH_OWNER (the chat id is free text) */
void chat_facade_stop(struct request *rq); /* POST /api/chat/{chat}/stop              AUTH_OWNER BODY_OPTIONAL */

#endif
