/* arena.h: memory that lives as long as one request (or one message, or one parse) and is freed all at once.
 * The owner embeds a struct arena. Blocks are never freed alone; running out of memory ends the worker (must.h). */
#ifndef RENOVATIOND_SHARED_ARENA_H
#define RENOVATIOND_SHARED_ARENA_H

#include <stdarg.h>

#include "shared/must.h"
#include "shared/text.h"

struct arena_block; /* one malloc, newest first */

struct arena {
	struct arena_block *newest; /* NULL until first used; owned */
	size_t used;                /* bytes handed out of the newest block */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a); /* frees all; the arena may be used again afterwards */

/* Forgets all, but keeps the oldest block for the next user; for owners that are used again and again. */
void arena_reset(struct arena *a);
/* Makes the first block this large instead of the usual size; only for an arena that holds nothing. */
void arena_reserve(struct arena *a, size_t bytes);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t bytes);
/* NUL-terminated copies. */
char *arena_strndup(struct arena *a, const char *bytes, size_t length);
struct text arena_text(struct arena *a, struct text t);
struct text arena_printf(struct arena *a, const char *format, ...) PRINTF(2, 3);

#endif
