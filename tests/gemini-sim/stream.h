/* Plays an answer (or an error) to the client in the form its method asks for, with the rhythm and faults of the plan. */
#ifndef GEMINI_SIM_STREAM_H
#define GEMINI_SIM_STREAM_H

#include "tests/gemini-sim/plan.h"
#include "tests/gemini-sim/reply.h"
#include "tests/gemini-sim/sim.h"
#include "tests/gemini-sim/tokens.h"

struct stream_request {
	struct sim *sim;             /* borrowed */
	struct http_exchange *x;     /* borrowed; ended by the stream */
	struct journal_entry *entry; /* reference taken over */
	enum stream_form form;       /* see above */
	const struct model *model;   /* borrowed */
	const char *key;             /* borrowed from the exchange; for signatures */
	struct tokens prompt;        /* of the request */
};

/* Starts playing. `plan` and `answer` are taken over. */
void stream_start(const struct stream_request *request, struct plan *plan, struct answer *answer);
/* Drops all streams that are still open, without telling their clients. */
void stream_drop_all(struct sim *sim);

#endif
