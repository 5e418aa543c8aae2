/* gemini.h: reads Gemini's answer, event by event, into model_events (ai.google.dev/api/generate-content). Used by provider.c and the
 * fuzz target. It holds no connection and no clock: it is fed JSON documents and says at the end what they amounted to. */
#ifndef RENOVATIOND_WORKER_GEMINI_GEMINI_H
#define RENOVATIOND_WORKER_GEMINI_GEMINI_H

#include "worker/gemini/chunk.h"
#include "worker/gemini/failure.h"
#include "worker/gemini/models.h"
#include "worker/gemini/parts.h"
#include "worker/gemini/provider.h"

struct json_tokener;

struct answer {
	struct json_tokener *tokener; /* borrowed; shared by all answers of a worker */
	struct model_facts *facts;    /* of the model asked; borrowed; learns the name it answers under */
	const char *key;              /* API key, for redaction; borrowed */
	model_event_fn *on_event;     /* gets START, TEXT, CALL, USAGE */
	void *arg;
	bool is_structured;       /* the text is one JSON document: told at the end, whole, without a code fence */
	bool is_slow;             /* for tests: never take the fast way */
	struct parts parts;       /* what will be stored */
	struct buffer scratch;    /* cleaned or decoded text of the event at hand */
	struct buffer document;   /* is_structured: the text so far */
	struct chunk_usage usage; /* the last seen */
	char finish_reason[64];   /* the last seen, "" = none yet */
	char block_reason[64];    /* promptFeedback's, "" = not blocked */
	bool is_started;          /* START was told */
	bool is_counted;          /* the last usage came with or after the finish reason */
	size_t text_bytes;        /* told */
	size_t calls;             /* told */
	struct failure failure;   /* class MODEL_OK until something failed */
};

/* The other fields are zeroed and may be set afterwards. */
void answer_init(
	struct answer *a, struct json_tokener *tokener, struct model_facts *facts, model_event_fn *on_event, void *arg);
void answer_fini(struct answer *a);

/* One event's data, or a whole unary body. False when it is an error or no JSON: nothing after it counts. */
bool answer_take(struct answer *a, struct text event);
/* Bytes that were left over at the end of a stream: they can only make it fail. */
void answer_take_tail(struct answer *a, struct text tail);
/* The end of the bytes. Tells what is still to be told (held text, USAGE), then writes the last event, FINISH or FAILURE, all but its
 * clocks; its texts are borrowed from the answer. */
void answer_finish(struct answer *a, enum transfer_result result, int http_status, struct model_event *last_out);

#endif
