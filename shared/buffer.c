/* buffer.c: one growing block with a start and an end. Called by connections, log lines, builders of JSON and SQL parameters.
 * Moves the content to the front only when that frees at least half the block, so appending stays linear. */
#include "config.h"
#include "shared/buffer.h"

#include <stdarg.h>
#include <stdio.h>

void buffer_init(struct buffer *b)
{
	*b = (struct buffer) { 0 };
}

void buffer_fini(struct buffer *b)
{
	free(b->bytes);
	buffer_init(b);
}

void buffer_clear(struct buffer *b)
{
	b->start = 0;
	b->end = 0;
}

char *buffer_reserve(struct buffer *b, size_t bytes)
{
	if (b->capacity - b->end >= bytes && b->bytes != NULL)
		return b->bytes + b->end;

	size_t length = buffer_length(b);

	if (b->start > 0 && b->start >= b->capacity / 2 && b->capacity - length >= bytes) {
		memmove(b->bytes, b->bytes + b->start, length);
		b->start = 0;
		b->end = length;
		return b->bytes + b->end;
	}

	size_t capacity = b->capacity > 0 ? b->capacity : 256;

	must(bytes < SIZE_MAX / 4 && b->end < SIZE_MAX / 4);
	while (capacity - b->end < bytes || capacity < b->end)
		capacity *= 2;
	b->bytes = must_realloc(b->bytes, capacity);
	b->capacity = capacity;
	return b->bytes + b->end;
}

void buffer_grown(struct buffer *b, size_t bytes)
{
	must(b->capacity - b->end >= bytes);
	b->end += bytes;
}

void buffer_append(struct buffer *b, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	memcpy(buffer_reserve(b, length), bytes, length);
	b->end += length;
}

void buffer_append_text(struct buffer *b, struct text t)
{
	buffer_append(b, t.bytes, t.length);
}

void buffer_append_string(struct buffer *b, const char *string)
{
	buffer_append(b, string, strlen(string));
}

void buffer_append_char(struct buffer *b, char c)
{
	buffer_append(b, &c, 1);
}

void buffer_append_number(struct buffer *b, int64_t number)
{
	char digits[20];
	size_t at = sizeof digits;
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do
		digits[--at] = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (number < 0)
		digits[--at] = '-';
	buffer_append(b, digits + at, sizeof digits - at);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args, again;
	char *room = buffer_reserve(b, 128);
	size_t capacity = b->capacity - b->end;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(room, capacity, format, args);
	va_end(args);
	must(length >= 0);
	if ((size_t)length >= capacity) {
		room = buffer_reserve(b, (size_t)length + 1);
		(void)vsnprintf(room, (size_t)length + 1, format, again);
	}
	va_end(again);
	b->end += (size_t)length;
}

void buffer_consume(struct buffer *b, size_t bytes)
{
	must(bytes <= buffer_length(b));
	b->start += bytes;
	if (b->start == b->end)
		buffer_clear(b);
}
