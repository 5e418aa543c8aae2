/* What the model says in one answer, before it is cut into chunks: texts, calls, and how it ends. */
#ifndef GEMINI_SIM_ANSWER_H
#define GEMINI_SIM_ANSWER_H

#include "tests/gemini-sim/json.h"

enum piece_kind { PIECE_TEXT, PIECE_THOUGHT, PIECE_CALL, PIECE_FAULT };

struct piece {
	enum piece_kind kind; /* decides which members count */
	char *text;           /* owned; text of a TEXT or THOUGHT; name of a CALL's function or of a FAULT */
	json_object *args;    /* owned; arguments of a CALL, params of a FAULT */
	int delay_ms;         /* before it is sent; -1 = the usual rhythm */
	bool whole;           /* a scripted chunk: sent as it is, never divided */
};

struct answer {
	struct piece *pieces; /* owned */
	size_t count;         /* length of `pieces` */
	char *finish_reason;  /* owned; NULL = STOP */
	char *finish_message; /* owned; NULL = none, or the one usual for calls */
	int thoughts;         /* thinking tokens spent */
	size_t skip_bytes;    /* text that the client already has (continuation) */
	uint64_t seed;        /* of everything that is drawn at random for it */
};

struct answer *answer_create(void);
void answer_destroy(struct answer **answer);
struct answer *answer_copy(const struct answer *answer);
/* `text` is copied. */
struct piece *answer_add_text(struct answer *answer, const char *text);
/* `args` is taken over; NULL = none. */
struct piece *answer_add_call(struct answer *answer, const char *name, json_object *args);
/* Puts a thought in front of everything. */
void answer_insert_thought(struct answer *answer, const char *text);
bool answer_has_call(const struct answer *answer);
/* All TEXT pieces in a row, appended. */
void answer_text(const struct answer *answer, struct text *out);
/* Keeps the first `bytes` of all text; pieces after them go. */
void answer_cut(struct answer *answer, size_t bytes);

#endif
