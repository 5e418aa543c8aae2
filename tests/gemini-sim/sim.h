/* The simulator as a whole: what main.c opens and the other files share. */
#ifndef GEMINI_SIM_SIM_H
#define GEMINI_SIM_SIM_H

#include <event2/event.h>

#include "tests/gemini-sim/faults.h"
#include "tests/gemini-sim/generate.h"
#include "tests/gemini-sim/http.h"
#include "tests/gemini-sim/journal.h"
#include "tests/gemini-sim/markers.h"
#include "tests/gemini-sim/script.h"
#include "tests/gemini-sim/wheel.h"

#define SIM_VERSION    "0.1.0"
#define SIM_FAULTS_MAX 16
#define SIM_KEYS_MAX   16

struct settings {
	const char *host;                   /* where to listen */
	int port;                           /* 0 = any free one */
	const char *keys[SIM_KEYS_MAX];     /* valid API keys; none = any that does not begin with "bad" */
	int key_count;                      /* length of `keys` */
	int first_byte_ms;                  /* before the first chunk of every answer */
	int chunk_ms;                       /* between chunks */
	int split_bytes;                    /* largest TCP write; 0 = whole */
	int overlap;                        /* characters repeated at the seam of a continuation */
	const char *faults[SIM_FAULTS_MAX]; /* applied to every request */
	int fault_count;                    /* length of `faults` */
	uint64_t seed;                      /* of the random TCP splits */
	int body_limit_mib;                 /* larger requests are answered 413 */
};

struct sim {
	struct settings settings;      /* from the command line */
	struct event_base *base;       /* owned */
	struct wheel *wheel;           /* owned */
	struct http_server *http;      /* owned */
	struct fault_rules *rules;     /* owned; from /sim/faults */
	struct marker_counts *markers; /* owned; for times= in markers */
	struct script_queue *script;   /* owned; from /sim/script */
	struct journal *journal;       /* owned */
	struct answer_memory *memory;  /* owned; for continuations */
	struct stream *streams;        /* open ones; owned by stream.c */
	uint64_t answers;              /* so far, for response ids */
	uint64_t start_stamp;          /* so that response ids differ between runs */
};

/* The handler of every request (an http_handler_fn; `context` is the struct sim) and of those above the size limit. */
void service_handle(struct http_exchange *x, void *context);
void service_too_large(struct http_exchange *x, void *context);
/* The /sim/… endpoints. */
void control_handle(struct sim *sim, struct http_exchange *x);

#endif
