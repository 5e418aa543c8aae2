/* writer.h: JSON written member by member into a buffer; the commas come by themselves. For documents that we build ourselves (OpenAPI). */
#ifndef RENOVATIOND_WORKER_API_WRITER_H
#define RENOVATIOND_WORKER_API_WRITER_H

#include "shared/json.h"

/* A comma unless something was just opened or named. */
static inline void write_separator(struct buffer *out)
{
	char last = buffer_length(out) > 0 ? out->bytes[out->end - 1] : '{';

	if (last != '{' && last != '[' && last != ':')
		buffer_append_char(out, ',');
}

static inline void write_name(struct buffer *out, const char *name)
{
	write_separator(out);
	json_write_string(out, text_of(name));
	buffer_append_char(out, ':');
}

/* `name` NULL writes an element instead of a member. */
static inline void write_open(struct buffer *out, const char *name, char bracket)
{
	if (name != NULL)
		write_name(out, name);
	else
		write_separator(out);
	buffer_append_char(out, bracket);
}

static inline void write_close(struct buffer *out, char bracket)
{
	buffer_append_char(out, bracket);
}

static inline void write_string(struct buffer *out, const char *name, const char *value)
{
	if (name != NULL)
		write_name(out, name);
	else
		write_separator(out);
	json_write_string(out, text_of(value));
}

/* A number, a word or a piece of JSON that is written as it is. */
static inline void write_raw(struct buffer *out, const char *name, const char *json)
{
	if (name != NULL)
		write_name(out, name);
	else
		write_separator(out);
	buffer_append_string(out, json);
}

static inline void write_int(struct buffer *out, const char *name, int64_t value)
{
	write_name(out, name);
	buffer_printf(out, "%lld", (long long)value);
}

#endif
