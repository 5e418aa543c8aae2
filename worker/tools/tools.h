/* tools.h: THE table of functions that the model may call, what is declared of them, and how one call runs exactly once.
 * Called by chat/. A tool is a row: name, fields, effect; its effect is one statement of sql/queries/tools.sql. */
#ifndef RENOVATIOND_WORKER_TOOLS_TOOLS_H
#define RENOVATIOND_WORKER_TOOLS_TOOLS_H

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/text.h"
#include "shared/uuid.h"
#include "worker/db/db.h"

/* Of a name that a model made up, in a sentence that tells it so. */
#define TOOL_ECHO_MAX 64

enum tool_kind {
	TOOL_TEXT,     /* min..max characters */
	TOOL_INT,      /* min..max; 2.0 is taken for 2 */
	TOOL_NUMBER,   /* greater than min, at most max; also as decimal text */
	TOOL_MONEY,    /* 0..max with at most two decimals kept; also as decimal text */
	TOOL_CURRENCY, /* ISO 4217; any case */
	TOOL_CHOICE,   /* one of `choices` */
	TOOL_TIME,     /* RFC 3339 date or date and time */
	TOOL_ID        /* UUID */
};

struct tool_field {
	const char *name;           /* member of the arguments */
	enum tool_kind kind;        /* how it is read */
	bool is_required;           /* missing or null is an error */
	int64_t min, max;           /* see kind */
	const char *const *choices; /* CHOICE: NULL-terminated */
	const char *description;    /* for the model */
};

enum tool_effect {
	EFFECT_NONE,       /* reads only */
	EFFECT_IDEMPOTENT, /* doing it again changes nothing */
	EFFECT_ONCE        /* adds a row: exactly once, by the call's place in its turn */
};

struct tool {
	const char *name;
	const char *description;         /* for the model */
	const struct tool_field *fields; /* in the order of the schema */
	size_t field_count;
	enum tool_effect effect;
	bool needs_session; /* of no use in a conversation without one */
	bool needs_one;     /* at least one member must be there */
	enum statement run; /* its effect */
};

extern const struct tool tool_rows[];
extern const size_t tool_count;

const struct tool *tool_find(struct text name); /* NULL when unknown */
/* Appends the JSON Schema of the arguments. */
void tool_write_schema(const struct tool *tool, struct buffer *out);
/* Checks arguments as a model sent them and writes them as the statement takes them. False: `problem` says what is wrong, for the model to read. */
bool tool_check(const struct tool *tool, struct text arguments, struct buffer *out, struct buffer *problem);

/* One call of a stored model step. */
struct tool_request {
	struct uuid owner, turn;
	uint64_t fence;        /* of the turn's lease */
	int step, ordinal;     /* its place in the turn: the key of its effect */
	struct text name;      /* as the model wrote it */
	struct text arguments; /* JSON object */
	bool has_session;
	const char *refusal; /* not run for this reason (too_many_calls), or NULL */
};

struct tool_run; /* one call in flight */
/* `e`: NONE with is_ok and the stored result; LOST_OWNERSHIP when the fence is not ours any more; DATABASE_UNAVAILABLE, OVERLOADED, TIMEOUT: it may or may
 * not have happened, running it again is safe; INTERNAL. Comes once, never inside tool_start. */
typedef void(tool_done_fn)(void *arg, enum error e, bool is_ok, struct text result);
struct tool_run *tool_start(struct db *db, const struct tool_request *request, tool_done_fn *done, void *arg);
/* The callback will not come; the effect may still happen. Sets the handle to NULL. */
void tool_cancel(struct tool_run **run);

#endif
