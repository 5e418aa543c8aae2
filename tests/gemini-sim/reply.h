/* Answers that are sent at once, and what all answers have in common. */
#ifndef GEMINI_SIM_REPLY_H
#define GEMINI_SIM_REPLY_H

#include "tests/gemini-sim/refusal.h"
#include "tests/gemini-sim/sim.h"

enum stream_form {
	STREAM_UNARY,  /* one JSON object */
	STREAM_EVENTS, /* alt=sse */
	STREAM_ARRAY,  /* streamGenerateContent without alt=sse */
};

#define RESPONSE_ID_BYTES 24

/* Content-Type and the other header fields of Google's front end, as lines. */
void reply_fields(struct text *fields, enum stream_form form, int64_t took_ms);
/* Sends a whole answer, as gzip if it is unary and the client accepts that. Ends the exchange. `fields` may grow. */
void reply_send(
	struct http_exchange *x, int status, enum stream_form form, struct text *fields, const struct text *body);
/* Answers with an error. `refusal` is destroyed, the entry ended. `form` decides the content type. */
void reply_refusal(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, enum stream_form form,
	struct refusal **refusal);
/* Answers with one JSON object. `body` is taken over. */
void reply_json(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, json_object *body);
/* A responseId, never the same again. */
void reply_response_id(struct sim *sim, char *out, size_t capacity);

#endif
