/* Keeps the last requests and counts all of them. Called by service.c and stream.c, read by control.c.
 * It never keeps the value of a key. */
#include "tests/gemini-sim/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/gemini-sim/wheel.h"

#define BODY_KEPT_BYTES (256 * 1024)

struct journal {
	struct journal_entry **entries; /* owned; a ring */
	size_t capacity;                /* its length */
	uint64_t begun;                 /* entries so far, since the start */
	uint64_t cleared;               /* entries before this number are not shown */
	uint64_t ended;                 /* of those, ended */
	uint64_t errors;                /* ended with a status of 400 or more */
	uint64_t left_early;            /* the client closed before the end */
	uint64_t chunks;                /* events sent */
	uint64_t input_tokens;          /* told */
	uint64_t output_tokens;         /* told */
	int open_peak;                  /* most at once */
};

struct journal *journal_create(size_t capacity)
{
	struct journal *journal = memory_take(sizeof *journal);
	journal->entries = memory_take(capacity * sizeof *journal->entries);
	journal->capacity = capacity;
	return journal;
}

static void entry_release(struct journal_entry *entry)
{
	if (entry == NULL || --entry->references > 0)
		return;
	free(entry->method);
	free(entry->model);
	free(entry->path);
	json_object_put(entry->headers);
	free(entry->body);
	free(entry->outcome);
	free(entry->faults);
	free(entry);
}

void journal_destroy(struct journal **journal)
{
	for (size_t i = 0; *journal != NULL && i < (*journal)->capacity; i++)
		entry_release((*journal)->entries[i]);
	if (*journal != NULL)
		free((*journal)->entries);
	free(*journal);
	*journal = NULL;
}

static json_object *safe_headers(const struct http_exchange *x)
{
	json_object *headers = json_object_new_object();
	for (size_t i = 0; i < x->field_count; i++) {
		char name[64];
		bool secret = strcasecmp(x->fields[i].name, "x-goog-api-key") == 0 ||
			      strcasecmp(x->fields[i].name, "authorization") == 0;
		snprintf(name, sizeof name, "%s", x->fields[i].name);
		for (char *c = name; *c != '\0'; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
		json_put_text(headers, name, secret ? "(hidden)" : x->fields[i].value);
	}
	return headers;
}

static char *safe_path(const struct http_exchange *x)
{
	struct text t = { 0 };
	text_add(&t, x->path);
	for (const char *at = x->query; *at != '\0';) {
		size_t width = strcspn(at, "&");
		text_add(&t, at == x->query ? "?" : "&");
		if (strncmp(at, "key=", 4) == 0)
			text_add(&t, "key=(hidden)");
		else
			text_append(&t, at, width);
		at += width;
		at += *at == '&';
	}
	return text_take(&t);
}

struct journal_entry *journal_begin(
	struct journal *journal, const struct http_exchange *x, const char *method, const char *model, bool key_ok)
{
	struct journal_entry *entry = memory_take(sizeof *entry);
	entry->number = ++journal->begun;
	clock_gettime(CLOCK_REALTIME, &entry->time);
	entry->begun_ms = x->received_ms;
	entry->method = memory_copy(method);
	entry->model = memory_copy(model);
	entry->path = safe_path(x);
	entry->headers = safe_headers(x);
	entry->key_ok = key_ok;
	entry->body_length = x->body_length;
	if (x->body_length > 0)
		entry->body = memory_copy_part(
			(const char *)x->body, x->body_length < BODY_KEPT_BYTES ? x->body_length : BODY_KEPT_BYTES);
	entry->outcome = memory_copy("open");
	entry->faults = memory_copy("");
	entry->duration_ms = -1;
	entry->closed_after_ms = -1;
	entry->references = 2;
	struct journal_entry **slot = &journal->entries[entry->number % journal->capacity];
	entry_release(*slot);
	*slot = entry;
	int open = (int)(journal->begun - journal->ended);
	journal->open_peak = open > journal->open_peak ? open : journal->open_peak;
	return entry;
}

void journal_end(struct journal *journal, struct journal_entry **entry, const char *outcome)
{
	if (*entry == NULL)
		return;
	free((*entry)->outcome);
	(*entry)->outcome = memory_copy(outcome);
	(*entry)->duration_ms = wheel_now_ms() - (*entry)->begun_ms;
	journal->ended++;
	journal->errors += (*entry)->status >= 400;
	journal->left_early += (*entry)->closed_after_ms >= 0;
	journal->chunks += (uint64_t)(*entry)->chunks;
	journal->input_tokens += (uint64_t)(*entry)->input_tokens;
	journal->output_tokens += (uint64_t)(*entry)->output_tokens;
	entry_release(*entry);
	*entry = NULL;
}

void journal_clear(struct journal *journal)
{
	for (size_t i = 0; i < journal->capacity; i++) {
		entry_release(journal->entries[i]);
		journal->entries[i] = NULL;
	}
	journal->cleared = journal->begun;
}

static void write_entry(const struct journal_entry *entry, struct text *out)
{
	char moment[40];
	char time[64];
	struct tm parts;
	gmtime_r(&entry->time.tv_sec, &parts);
	strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(time, sizeof time, "%s.%03dZ", moment, (int)(entry->time.tv_nsec / 1000000));
	json_object *line = json_object_new_object();
	json_put_int(line, "number", (long long)entry->number);
	json_put_text(line, "time", time);
	json_put_text(line, "method", entry->method);
	json_put_text(line, "model", entry->model);
	json_put_text(line, "path", entry->path);
	json_put(line, "headers", json_object_get(entry->headers));
	json_put(line, "keyOk", json_object_new_boolean(entry->key_ok));
	json_object *body = entry->body == NULL ? NULL : json_read(entry->body, strlen(entry->body), NULL);
	json_put(line, "body", body != NULL || entry->body == NULL ? body : json_object_new_string(entry->body));
	json_put_int(line, "bodyBytes", (long long)entry->body_length);
	json_put_text(line, "outcome", entry->outcome);
	json_put_text(line, "faults", entry->faults);
	json_put_int(line, "status", entry->status);
	json_put_int(line, "chunks", entry->chunks);
	json_put(line, "durationMs", entry->duration_ms < 0 ? NULL : json_object_new_int64(entry->duration_ms));
	json_put(line, "closedAfterMs",
		entry->closed_after_ms < 0 ? NULL : json_object_new_int64(entry->closed_after_ms));
	text_add(out, json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	text_add(out, "\n");
	json_object_put(line);
}

void journal_write(const struct journal *journal, struct text *out)
{
	uint64_t first = journal->begun > journal->capacity ? journal->begun - journal->capacity + 1 : 1;
	if (first <= journal->cleared)
		first = journal->cleared + 1;
	for (uint64_t number = first; number <= journal->begun; number++)
		if (journal->entries[number % journal->capacity] != NULL)
			write_entry(journal->entries[number % journal->capacity], out);
}

json_object *journal_stats(const struct journal *journal)
{
	json_object *stats = json_object_new_object();
	json_put_int(stats, "open", (long long)(journal->begun - journal->ended));
	json_put_int(stats, "openPeak", journal->open_peak);
	json_put_int(stats, "requests", (long long)journal->begun);
	json_put_int(stats, "ended", (long long)journal->ended);
	json_put_int(stats, "errors", (long long)journal->errors);
	json_put_int(stats, "closedEarly", (long long)journal->left_early);
	json_put_int(stats, "chunks", (long long)journal->chunks);
	json_put_int(stats, "inputTokens", (long long)journal->input_tokens);
	json_put_int(stats, "outputTokens", (long long)journal->output_tokens);
	return stats;
}
