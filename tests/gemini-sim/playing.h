/* Inside the playing of one answer: stream.c (the normal course) and stream_faults.c (every other course). Nobody else includes this. */
#ifndef GEMINI_SIM_PLAYING_H
#define GEMINI_SIM_PLAYING_H

#include "tests/gemini-sim/frames.h"
#include "tests/gemini-sim/reply.h"
#include "tests/gemini-sim/stream.h"

struct stream {
	struct stream_request request;  /* as given */
	struct plan plan;               /* owned */
	struct answer *answer;          /* owned */
	struct frames frames;           /* owned */
	struct wheel_timer timer;       /* the next thing to do */
	struct response_facts facts;    /* for each frame */
	char response_id[24];           /* constant over the stream */
	size_t next;                    /* frame to be sent next */
	size_t end_after;               /* frames before the plan's ending */
	int64_t due_ms;                 /* when `next` is sent */
	bool begun;                     /* the head was sent */
	bool silent;                    /* waiting for ever: for the client to leave */
	struct stream *next_open, **at; /* in the simulator's list */
};

/* Sends the head unless it was sent. */
void stream_begin(struct stream *stream);
/* Ends the record, frees the stream; the exchange must be ended by the caller, afterwards. */
void stream_end(struct stream *stream, const char *outcome);
/* One JSON value in the clothes of the stream's form, appended. */
void stream_put_json(struct stream *stream, struct text *out, const json_object *value);
/* The frame that is next, in the same way. */
void stream_put_frame(struct stream *stream, struct text *out);

/* Everything that is not an answer at all. True if it was dealt with. */
bool stream_play_before(struct stream *stream);
/* What the plan says shall happen instead of the rest of the answer. */
void stream_play_ending(struct stream *stream);
/* The same for a unary answer: takes the whole body and ends the exchange. */
void stream_play_broken_unary(struct stream *stream);

#endif
