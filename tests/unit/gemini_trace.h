/* gemini_trace.h: runs recorded bytes through the stream and answer readers and writes the model events down as text, one line each.
 * Used by the unit tests and the fuzz target of worker/gemini; no connection is involved. */
#ifndef RENOVATIOND_TESTS_UNIT_GEMINI_TRACE_H
#define RENOVATIOND_TESTS_UNIT_GEMINI_TRACE_H

#include "shared/buffer.h"
#include "worker/gemini/provider.h"

struct trace_options {
	size_t piece;       /* bytes fed at once; 0 = all */
	size_t cut;         /* one cut at this byte; 0 = none */
	bool is_slow;       /* json-c only */
	bool is_structured; /* the document is told at the end */
	bool is_unary;      /* the bytes are one body, not a stream */
};

/* Appends the line of one event. */
void trace_event(struct buffer *out, const struct model_event *event);
/* The whole life of an answer with status 200 whose connection ended properly. The result is NUL-terminated in `out`. */
void trace_answer(struct buffer *out, struct text bytes, const struct trace_options *options);

#endif
