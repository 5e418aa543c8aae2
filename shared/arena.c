/* arena.c: blocks of 4 KiB (larger where asked), handed out from the front, freed together.
 * Called by whoever owns something with the life of a request; keeps no global state. */
#include "config.h"
#include "shared/arena.h"

#include <stdalign.h>
#include <stdio.h>

#define BLOCK_BYTES 4000 /* with malloc's own header one 4 KiB chunk */

struct arena_block {
	struct arena_block *older; /* NULL at the first */
	size_t capacity;           /* bytes that follow */
	alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a)
{
	*a = (struct arena) { 0 };
}

void arena_fini(struct arena *a)
{
	for (struct arena_block *block = a->newest; block != NULL;) {
		struct arena_block *older = block->older;

		free(block);
		block = older;
	}
	arena_init(a);
}

static void add_block(struct arena *a, size_t capacity)
{
	struct arena_block *block = malloc(sizeof *block + capacity);

	must(block != NULL);
	block->older = a->newest;
	block->capacity = capacity;
	a->newest = block;
	a->used = 0;
}

void arena_reserve(struct arena *a, size_t bytes)
{
	must(a->newest == NULL);
	add_block(a, bytes);
}

void arena_reset(struct arena *a)
{
	while (a->newest != NULL && a->newest->older != NULL) {
		struct arena_block *older = a->newest->older;

		free(a->newest);
		a->newest = older;
	}
	a->used = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	must(rounded >= bytes);
	if (a->newest == NULL || a->newest->capacity - a->used < rounded)
		add_block(a, rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES);

	char *start = a->newest->bytes + a->used;

	a->used += rounded;
	memset(start, 0, bytes);
	return start;
}

char *arena_strndup(struct arena *a, const char *bytes, size_t length)
{
	char *copy = arena_alloc(a, length + 1);

	if (length > 0)
		memcpy(copy, bytes, length);
	return copy;
}

struct text arena_text(struct arena *a, struct text t)
{
	return text_span(arena_strndup(a, t.bytes, t.length), t.length);
}

struct text arena_printf(struct arena *a, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	must(length >= 0);

	char *string = arena_alloc(a, (size_t)length + 1);

	(void)vsnprintf(string, (size_t)length + 1, format, again);
	va_end(again);
	return text_span(string, (size_t)length);
}
