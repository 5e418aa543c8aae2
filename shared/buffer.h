/* buffer.h: bytes that grow at the end and are consumed at the front. Embedded by its owner; frees its memory when empty
 * on request, so that an idle connection holds none. Running out of memory ends the worker. */
#ifndef RENOVATIOND_SHARED_BUFFER_H
#define RENOVATIOND_SHARED_BUFFER_H

#include "shared/must.h"
#include "shared/text.h"

struct buffer {
	char *bytes;     /* owned; NULL when nothing was ever stored or after buffer_fini */
	size_t start;    /* first byte not consumed */
	size_t end;      /* one past the last byte */
	size_t capacity; /* allocated bytes */
};

void buffer_init(struct buffer *b);
void buffer_fini(struct buffer *b);  /* frees the memory; may be used again */
void buffer_clear(struct buffer *b); /* forgets the content, keeps the memory */

static inline size_t buffer_length(const struct buffer *b)
{
	return b->end - b->start;
}

static inline struct text buffer_text(const struct buffer *b)
{
	return (struct text) { b->bytes ? b->bytes + b->start : "", b->end - b->start };
}

/* Room for `bytes` more at the end; write there, then buffer_grown. The pointer is good until the next call. */
char *buffer_reserve(struct buffer *b, size_t bytes);
void buffer_grown(struct buffer *b, size_t bytes);

void buffer_append(struct buffer *b, const void *bytes, size_t length);
void buffer_append_text(struct buffer *b, struct text t);
void buffer_append_string(struct buffer *b, const char *string);
void buffer_append_char(struct buffer *b, char c);
void buffer_append_number(struct buffer *b, int64_t number); /* decimal */
void buffer_printf(struct buffer *b, const char *format, ...) PRINTF(2, 3);
void buffer_consume(struct buffer *b, size_t bytes);

#endif
