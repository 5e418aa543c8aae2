/* shown.h: what a turn has shown so far, folded from its events: the text, the UI-message parts to store, what is open. The writer folds while it streams
 * (emit.c); whoever takes a turn over folds what it finds in chunks and ring (takeover.c) and stands where the dead writer stood. Pure. */
#ifndef RENOVATIOND_WORKER_CHAT_SHOWN_H
#define RENOVATIOND_WORKER_CHAT_SHOWN_H

#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/text.h"

/* A tool call of the open step, as shown. */
struct shown_tool {
	struct shown_tool *next; /* in order of their inputs */
	struct text call;        /* our id; all text in the answer's arena */
	struct text tool;        /* name */
	struct text input;       /* JSON */
	struct text output;      /* JSON; TEXT_NONE until there is one */
	struct text error;       /* text of a failure; TEXT_NONE when none */
};

struct shown {
	struct arena arena;       /* of the tools */
	struct buffer text;       /* all text deltas */
	struct buffer parts;      /* stored form of what is closed, without the brackets */
	struct shown_tool *tools; /* of the open step */
	int steps;                /* steps begun */
	int text_id;              /* number of the newest text part, 0 = none yet */
	size_t text_start;        /* in `text`: where the open text part begins */
	size_t step_start;        /* in `text`: where the open step begins */
	bool has_started;         /* `start` was shown */
	bool is_step_open;
	bool is_text_open;
	bool has_ended; /* finish or abort was shown */
};

void shown_init(struct shown *a);
void shown_fini(struct shown *a);

void shown_on_start(struct shown *a);
void shown_on_start_step(struct shown *a);
void shown_on_text_start(struct shown *a);
void shown_on_text(struct shown *a, struct text delta);
void shown_on_text_end(struct shown *a);
void shown_on_tool_input(struct shown *a, struct text call, struct text tool, struct text input_json);
void shown_on_tool_output(struct shown *a, struct text call, struct text output_json);
void shown_on_tool_error(struct shown *a, struct text call, struct text message);
void shown_on_data(struct shown *a, struct text json); /* a data-… part, kept as it is */
void shown_on_finish_step(struct shown *a);
void shown_on_end(struct shown *a);

/* The same from an event's JSON. Unknown types change nothing. */
void shown_apply(struct shown *a, struct text json);
/* A call of the open step, NULL when it was not shown. */
const struct shown_tool *shown_tool(const struct shown *a, struct text call);
/* Text of the open step. */
struct text shown_step_text(const struct shown *a);
/* The parts as chat_messages stores them: a JSON array, with what is still open. */
void shown_write_parts(const struct shown *a, struct buffer *out);

#endif
