/* cursor.h: where the next page of a list begins, as an opaque text that only we can make. Pure. */
#ifndef RENOVATIOND_WORKER_API_CURSOR_H
#define RENOVATIOND_WORKER_API_CURSOR_H

#include "shared/arena.h"
#include "shared/error.h"
#include "shared/must.h"
#include "shared/uuid.h"

#define CURSOR_KEY_MAX 64 /* bytes of a sort key in PostgreSQL's text form */

struct cursor {
	struct text key; /* the last row's sort key as PostgreSQL wrote it */
	struct uuid id;  /* the last row's id, which decides between equal keys */
};

/* `list` says which list this is: path, order and filters; a cursor of one list or owner is not valid in another. */
struct text cursor_format(struct arena *a, const struct uuid *owner, struct text list, const struct cursor *cursor);
/* Errors: ERROR_INVALID_CURSOR for whatever cursor_format did not make for this owner and list. */
MUST_CHECK enum error cursor_parse(
	struct arena *a, const struct uuid *owner, struct text list, struct text encoded, struct cursor *cursor_out);

#endif
