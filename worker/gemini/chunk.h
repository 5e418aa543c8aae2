/* chunk.h: the fast way through the usual event of a text stream: one candidate with at most one plain text part, usage, version, id.
 * Whatever is not exactly of that shape is left to json-c (gemini.c), which is always right; the two are fuzzed against each other. */
#ifndef RENOVATIOND_WORKER_GEMINI_CHUNK_H
#define RENOVATIOND_WORKER_GEMINI_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/text.h"

/* usageMetadata's counts; absent is 0, as in proto3's JSON. */
struct chunk_usage {
	int64_t prompt;
	int64_t candidates;
	int64_t thoughts;
	bool is_seen; /* the chunk had the member */
};

/* Borrowed from the event or from `scratch`. TEXT_NONE means absent. */
struct chunk {
	struct text text;          /* decoded, valid UTF-8 without NUL */
	struct text finish_reason; /* of candidate 0 */
	struct text model_version;
	struct text response_id;
	struct chunk_usage usage;
};

/* False when the event is of another shape, or no JSON at all. `scratch` holds decoded text until the next call. */
bool chunk_read(struct text event, struct buffer *scratch, struct chunk *chunk_out);

#endif
