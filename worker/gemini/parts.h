/* parts.h: the parts of a model's answer as they must be stored and sent back (ai.google.dev/gemini-api/docs/thought-signatures), and the rewriting of
 * stored parts for another model. Used by gemini.c and request.c; the writers of user-side parts are in provider.h. */
#ifndef RENOVATIOND_WORKER_GEMINI_PARTS_H
#define RENOVATIOND_WORKER_GEMINI_PARTS_H

#include "shared/buffer.h"
#include "shared/text.h"
#include "worker/gemini/models.h"

struct json_object;
struct json_tokener;

struct parts {
	struct buffer array; /* finished parts, as in a JSON array, with its opening bracket; empty at first */
	struct buffer text;  /* unsigned text that the next unsigned text joins */
};

void parts_init(struct parts *p);
void parts_fini(struct parts *p);
/* A delta without signature; valid UTF-8 without NUL. */
void parts_add_text(struct parts *p, struct text delta);
/* Any other part: kept verbatim and never joined with a neighbour. Its text was made clean by parts_clean. */
void parts_add(struct parts *p, struct json_object *part);
/* The whole array, "[]" when there was nothing. Borrowed until parts_fini; nothing may be added afterwards. */
struct text parts_finish(struct parts *p);

/* `t` itself when it is valid UTF-8 without NUL, else a copy in `scratch` with U+FFFD for what is not: PostgreSQL's jsonb takes no NUL. */
struct text parts_clean_text(struct text t, struct buffer *scratch);
/* The same for all strings in a tree; also removes an empty thoughtSignature, which the API refuses. */
void parts_clean(struct json_object *value, struct buffer *scratch);

/* A call's name longer than MODEL_CALL_NAME_MAX is cut in the part itself, so that what is told, stored and sent back is one name. */
void parts_cut_call_name(struct json_object *part);

/* What stored parts need before they go to `facts`' model. */
struct parts_target {
	const struct model_family *family; /* of the model that will answer */
	bool is_foreign; /* another model made them, or the calls they answer: its signatures are void, maybe its ids */
	bool is_unsigned; /* the model has refused or missed their signatures: void, and it wants the placeholder whatever its family */
	bool is_current; /* of the current turn, where strict models look for signatures */
};
/* Appends the elements of `array` (a JSON array) to `out`, without brackets, verbatim where nothing has to change.
 * False when it is no JSON array; `out` is then untouched. */
bool parts_rewrite(
	struct json_tokener *tokener, struct text array, const struct parts_target *target, struct buffer *out);

#endif
