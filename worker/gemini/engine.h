/* engine.h: libcurl's multi handle on the worker's event loop, with its sockets, timer and idle easy handles. One per worker, made after the
 * fork. Used by transfer.c, provider.c and probe.c. */
#ifndef RENOVATIOND_WORKER_GEMINI_ENGINE_H
#define RENOVATIOND_WORKER_GEMINI_ENGINE_H

#include <curl/curl.h>
#include <event2/event.h>
#include <stdbool.h>

#include "shared/error.h"
#include "shared/must.h"

struct transfer;
struct watch;

#define ENGINE_IDLE_MAX 64 /* easy handles kept for the next exchange */

struct engine {
	struct event_base *base;     /* borrowed */
	CURLM *multi;                /* owned */
	struct event *timer;         /* libcurl's; owned */
	char *base_url;              /* where all exchanges go; owned */
	bool is_inside;              /* libcurl is on the stack: no handle may be added or removed */
	CURL *idle[ENGINE_IDLE_MAX]; /* owned, options set */
	size_t idle_count;           /* of them */
	struct transfer *doomed;     /* cancelled while libcurl was on the stack */
	struct watch *free_watch;    /* unused socket events */
};

/* libcurl's global state, counted; blocking. Errors: ERROR_SYSTEM. */
MUST_CHECK enum error engine_global_open(void);
void engine_global_close(void);

/* What every handle of ours has: protocols, no redirects, no signals, no proxy to this machine. */
void engine_prepare(CURL *easy, const char *base_url);

MUST_CHECK enum error engine_open(struct event_base *base, const char *base_url, struct engine **engine_out);
void engine_close(struct engine **engine); /* all transfers must have ended or been cancelled */

/* An easy handle with all that never differs between two exchanges set, and back. */
CURL *engine_take(struct engine *engine);
void engine_give(struct engine *engine, CURL *easy);

#endif
