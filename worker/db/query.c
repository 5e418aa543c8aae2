/* query.c: makes and frees queries: one block of memory holds the query, its steps and copies of their parameters in the form libpq takes.
 * Called by db.c; knows nothing of connections. */
#include "config.h"

#include "worker/db/query.h"

#include <stdio.h>

#include "shared/must.h"

static size_t step_bytes(const struct db_step *step)
{
	const struct statement_row *row = &statement_rows[step->statement];
	size_t count = (size_t)row->param_count;
	size_t bytes = count * (sizeof(char *) + 2 * sizeof(int)) + _Alignof(max_align_t);
	for (size_t i = 0; i < count; i++)
		bytes += step->params[i].text.length + 1;
	return bytes;
}

/* Lays the step's arrays and texts out at `room`; returns the first byte after them, aligned. */
static char *step_copy(struct query_step *to, const struct db_step *from, char *room, bool *is_sound_out)
{
	size_t count = (size_t)statement_rows[from->statement].param_count;
	bool has_binary = false;
	to->statement = from->statement;
	to->values = (const char **)(void *)room;
	to->lengths = (int *)(void *)(room + count * sizeof(char *));
	int *formats = to->lengths + count;
	char *bytes = (char *)(formats + count);
	for (size_t i = 0; i < count; i++) {
		struct text t = from->params[i].text;
		must(t.length < INT32_MAX);
		formats[i] = from->params[i].is_binary;
		has_binary |= from->params[i].is_binary;
		to->lengths[i] = (int)t.length;
		to->values[i] = NULL;
		if (t.bytes == NULL)
			continue;
		if (!formats[i] && memchr(t.bytes, '\0', t.length) != NULL)
			*is_sound_out = false;
		to->values[i] = bytes;
		memcpy(bytes, t.bytes, t.length);
		bytes += t.length;
		*bytes++ = '\0';
	}
	to->formats = has_binary ? formats : NULL;
	size_t used = (size_t)(bytes - room), align = _Alignof(max_align_t);
	return room + (used + align - 1) / align * align;
}

struct db_query *query_create(const struct db_step steps[], size_t count, bool *is_sound_out)
{
	size_t align = _Alignof(max_align_t);
	size_t bytes = sizeof(struct db_query) + count * sizeof(struct query_step);
	size_t start = (bytes + align - 1) / align * align;
	bytes = start;
	for (size_t i = 0; i < count; i++) {
		must((unsigned)steps[i].statement < SQL_COUNT);
		bytes += step_bytes(&steps[i]);
	}
	struct db_query *q = must_alloc(bytes);
	q->step_count = (int)count;
	*is_sound_out = true;
	char *room = (char *)q + start;
	for (size_t i = 0; i < count; i++)
		room = step_copy(&q->steps[i], &steps[i], room, is_sound_out);
	return q;
}

void query_reset(struct db_query *q)
{
	PQclear(q->result);
	q->result = NULL;
	q->error = ERROR_NONE;
	q->is_retryable = false;
}

void query_destroy(struct db_query **query)
{
	if (*query == NULL)
		return;
	PQclear((*query)->result);
	free(*query);
	*query = NULL;
}

struct db_param db_int(struct db_number *room, int64_t value)
{
	int length = snprintf(room->text, sizeof room->text, "%lld", (long long)value);
	return DB_TEXT(text_span(room->text, (size_t)length));
}

struct db_param db_uuid(struct db_uuid *room, const struct uuid *id)
{
	uuid_format(id, room->text);
	return DB_TEXT(text_span(room->text, UUID_TEXT_BYTES - 1));
}
