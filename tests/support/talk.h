/* talk.h: a conversation with the server as tests have it: asking, following an answer over lost connections, waiting for its end. */
#ifndef RENOVATIOND_TESTS_SUPPORT_TALK_H
#define RENOVATIOND_TESTS_SUPPORT_TALK_H

#include "tests/support/server.h"

struct talk {
	struct server *server;
	struct client client;
	char session[64];
	char conversation[64];
};

/* A new owner with a session. */
void talk_init(struct talk *t, struct server *s);
void talk_fini(struct talk *t);
/* Asks and expects 202; the turn's id, good for the next 63 calls. `more`: further members (", \"whenBusy\":…") or "". */
const char *talk_ask(struct talk *t, const char *content, const char *more);
struct reply talk_post(struct talk *t, const char *content, const char *more);
const char *talk_keep(const char *id); /* a copy that lives as long */
/* The turn's status, "unavailable" while the database is away; static until the next call of format() but seven. */
const char *talk_status(struct talk *t, const char *turn);
/* Waits until it has this status. */
void talk_wait(struct talk *t, const char *turn, const char *status, int timeout_ms);
/* The turn, or the answer's message; put with json_object_put. */
struct json_object *talk_turn(struct talk *t, const char *turn);
struct json_object *talk_answer(struct talk *t, const char *turn);

/* What one reader of a turn has seen. */
struct followed {
	char *events;     /* "id data\n" of each numbered event; owned */
	char *text;       /* its deltas joined; owned */
	char last_id[80]; /* of the newest event */
	int count;        /* numbered events */
	int reconnects;   /* connections after the first */
	int rewinds;      /* data-rewind parts */
	bool is_done;     /* [DONE] was seen, or 204 after all */
	bool has_gap;     /* numbers did not grow by one */
};
/* Follows a turn to its end, coming back with Last-Event-ID as often as needed. `from` is the first Last-Event-ID, or "". */
struct followed talk_follow(struct talk *t, const char *turn, const char *from, int timeout_ms);
void followed_free(struct followed *f);

/* The simulator says only `chunks` chunks of the answer that it is asked for after `skip` others, then nothing until its caller leaves: the answer is sure to be
 * under way for as long as a test needs it. Whoever is asked to go on with it does so as usual. */
void talk_hush(struct talk *t, int skip, int chunks);
/* Waits until it was asked for all of these: whoever begins an answer shows its beginning before. */
void talk_wait_hushed(struct talk *t);
/* What the simulator was asked for answers so far: a list of the lines of its log (model, body, status), oldest first; put with json_object_put. */
struct json_object *talk_model_calls(struct talk *t);
/* The worker that writes a turn, from its lease; 0 when nobody does. */
pid_t talk_writer(struct talk *t, const char *turn);

#endif
