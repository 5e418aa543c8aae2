/* stream.h: bytes of a text/event-stream, in pieces of any size, into whole events (WHATWG HTML 9.2).
 * An event that arrives in one piece is handed on without copying. Used by provider.c and the fuzz target; ignorant of JSON. */
#ifndef RENOVATIOND_WORKER_GEMINI_STREAM_H
#define RENOVATIOND_WORKER_GEMINI_STREAM_H

#include "shared/buffer.h"
#include "shared/text.h"

#define STREAM_EVENT_MAX_BYTES (8UL * 1024 * 1024)
#define STREAM_TAIL_MAX_BYTES  (64UL * 1024) /* of a raw error, more is not kept */

struct stream {
	struct buffer line; /* the beginning of a line whose end has not come */
	struct buffer data; /* the event's data lines so far, joined by LF */
	struct buffer tail; /* bytes that are no SSE, from a line that begins like JSON to the end */
	bool has_data;      /* the event has a data line, maybe an empty one */
	bool is_tail;       /* in the raw tail */
	bool after_cr;      /* the last byte was CR: a LF that follows belongs to it */
	bool is_started;    /* a byte order mark is possible no more */
};

/* One event's data, borrowed during the call. False stops the feeding after it. */
typedef bool(stream_event_fn)(void *arg, struct text event);

enum stream_result {
	STREAM_MORE,     /* everything was taken */
	STREAM_STOPPED,  /* the callback stopped it: *used_out says how much was taken */
	STREAM_TOO_LARGE /* an event beyond STREAM_EVENT_MAX_BYTES */
};

void stream_init(struct stream *s);
void stream_fini(struct stream *s);
enum stream_result stream_feed(
	struct stream *s, struct text bytes, stream_event_fn *on_event, void *arg, size_t *used_out);
/* At the end of the bytes: what was never dispatched and may be a bare JSON error; TEXT_NONE when nothing. Borrowed. */
struct text stream_end(struct stream *s);

#endif
