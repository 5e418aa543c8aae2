/* attempt.h: one attempt in flight, between provider.c (who starts, pauses and cancels it) and the parts it is made of. Inside gemini/ only. */
#ifndef RENOVATIOND_WORKER_GEMINI_ATTEMPT_H
#define RENOVATIOND_WORKER_GEMINI_ATTEMPT_H

#include <curl/curl.h>

#include "worker/gemini/gemini.h"
#include "worker/gemini/request.h"
#include "worker/gemini/roles.h"
#include "worker/gemini/stream.h"

struct json_tokener;

struct provider {
	struct event_base *base;        /* borrowed */
	const struct options *options;  /* borrowed; its clocks may change while running */
	struct engine *engine;          /* owned */
	struct json_tokener *tokener;   /* owned; one is enough: documents are parsed whole, never in pieces */
	struct roles roles;             /* owned */
	struct models models;           /* learned facts */
	enum request_sampling sampling; /* option gemini_send_sampling */
	struct curl_slist *headers;     /* common to all requests; owned; never changed once made */
	struct event *kick;             /* runs what must not run inside the caller */
	struct model_call *first;       /* all calls */
	struct model_call *first_due;   /* calls that wait for the kick */
	struct model_call **last_due;   /* where the next is linked */
	size_t active;                  /* calls */
	struct event *learn_timer;      /* next try of the probe; provider.c */
	struct transfer *learning;      /* the probe under way, or NULL */
	struct buffer learn_url;        /* of the probe */
	struct buffer learned;          /* its answer so far */
	int64_t learn_wait_ms;          /* until the next try, doubles */
	bool is_simulator;              /* what it found */
};

enum call_state {
	CALL_WAITING, /* to be sent, for the first or second time, by the next kick */
	CALL_SENT,    /* the transfer runs */
	CALL_ENDED    /* the transfer is over; bytes that came while paused may still have to be told */
};

struct model_call {
	struct provider *provider; /* back */
	enum call_state state;
	struct model_call *next, **link;  /* in provider->first */
	struct model_call *next_due;      /* in provider->first_due */
	struct transfer *transfer;        /* owned; NULL before the start, between two sendings, and after the end */
	struct stream stream;             /* bytes to events */
	struct answer answer;             /* events to model_events */
	struct request_settings settings; /* what the body's end was made of */
	struct buffer url;                /* NUL-terminated */
	struct buffer body;               /* request; its memory is given back once the answer begins */
	size_t settings_at;               /* where in the body the settings begin */
	unsigned members;                 /* set of enum model_member in the body */
	struct buffer collected;          /* unary or failed answer; or bytes that came while paused */
	struct curl_slist lines[3];       /* our own header lines in front of the common ones */
	char timeout_line[48];            /* X-Server-Timeout */
	char trace_line[96];              /* traceparent */
	int64_t started_ms;               /* monotonic */
	int64_t first_ms;                 /* monotonic, first event; 0 = none yet */
	model_event_fn *on_event;         /* the caller's */
	void *arg;                        /* the caller's */
	struct transfer_end end;          /* CALL_ENDED; its texts are not used any more */
	bool is_unary;                    /* read whole */
	bool is_due;                      /* in first_due */
	bool is_paused;                   /* by the caller */
	bool is_busy;                     /* on the stack: freed by whoever put it there */
	bool is_cancelled;                /* by the caller: no more events */
	bool is_repaired;                 /* sent a second time without a refused member */
};

/* A new call in state CALL_WAITING, kicked. See provider_start. */
struct model_call *attempt_create(
	struct provider *p, const struct model_request *rq, model_event_fn *on_event, void *arg);
/* Has it run from the loop, soon: it is to be sent, or resumed. */
void attempt_kick(struct model_call *call);
/* Sends and resumes what was kicked. */
void attempt_run_due(struct provider *p);
/* Frees a call that was cancelled or has told its last event, unless somebody still holds it: whoever is on the stack, or the kick. True when
 * it was such a call; it must not be touched then. */
bool attempt_reap(struct model_call *call);

/* The header lines that every request has; the key is in them. The caller frees the list. */
struct curl_slist *provider_headers(const struct options *options);

#endif
