/* One answer cut into the chunks of a stream. */
#ifndef GEMINI_SIM_FRAMES_H
#define GEMINI_SIM_FRAMES_H

#include "tests/gemini-sim/answer.h"
#include "tests/gemini-sim/models.h"
#include "tests/gemini-sim/plan.h"
#include "tests/gemini-sim/signature.h"
#include "tests/gemini-sim/tokens.h"

struct frame {
	json_object *parts;  /* owned; list of parts; NULL = content without parts */
	bool no_content;     /* the candidate has no content at all */
	bool no_candidate;   /* only usage */
	bool last;           /* usage is complete here */
	const char *finish;  /* finishReason; borrowed from the answer or the plan; NULL = still generating */
	const char *message; /* finishMessage; borrowed; NULL = none */
	int delay_ms;        /* after the frame before; -1 = the usual rhythm */
};

struct frames {
	struct frame *list; /* owned */
	size_t count;       /* length of `list` */
	int output_tokens;  /* candidatesTokenCount */
};

/* Cuts `answer`; with `whole` (unary) into the single frame that holds everything. `answer` and `plan` must outlive it. */
void frames_build(struct frames *frames, const struct answer *answer, const struct plan *plan,
	const struct model *model, const char *key, bool whole);
void frames_fini(struct frames *frames);

struct response_facts {
	struct tokens prompt;      /* of the request */
	int output_tokens;         /* of the answer */
	int thoughts;              /* thinking tokens */
	const char *model_version; /* borrowed */
	const char *response_id;   /* borrowed */
};

/* The JSON of one frame; a new object. */
json_object *frame_response(const struct frame *frame, const struct plan *plan, const struct response_facts *facts);

#endif
