/* One request on its way through service.c and service_generate.c. Nobody else includes this. */
#ifndef GEMINI_SIM_CALL_H
#define GEMINI_SIM_CALL_H

#include "tests/gemini-sim/reply.h"
#include "tests/gemini-sim/sim.h"

struct call {
	struct sim *sim;             /* borrowed */
	struct http_exchange *x;     /* borrowed */
	struct journal_entry *entry; /* reference, handed on to the stream */
	char model_name[128];        /* from the path; "" if none */
	char method[64];             /* after the colon; "" for GET */
	const struct model *model;   /* NULL if unknown */
	char key[512];               /* as sent; "" if none */
	enum stream_form form;       /* how it wants to be answered */
	json_object *request;        /* owned; the normalised body */
};

/* Answers with an error; the call is over. `refusal` is taken over. */
void call_refuse(struct call *call, struct refusal *refusal);
/* generateContent and streamGenerateContent of a request that is well-formed. */
void call_generate(struct call *call);

#endif
