/* What was asked and how it ended: the record behind /sim/log and /sim/stats. */
#ifndef GEMINI_SIM_JOURNAL_H
#define GEMINI_SIM_JOURNAL_H

#include <time.h>

#include "tests/gemini-sim/http.h"
#include "tests/gemini-sim/json.h"

struct journal;

struct journal_entry {
	uint64_t number;         /* counts from 1 */
	struct timespec time;    /* wall clock of arrival */
	int64_t begun_ms;        /* wheel clock of arrival */
	char *method;            /* owned; "generateContent", "models.get", … */
	char *model;             /* owned; as asked; "" if none */
	char *path;              /* owned; with the query, a `key` parameter blanked */
	json_object *headers;    /* owned; without the key's value */
	bool key_ok;             /* the key was there and right */
	char *body;              /* owned; NULL if there was none */
	size_t body_length;      /* of the body as received, even when only its beginning is kept */
	char *outcome;           /* owned; "open", "ok", "error 429", "reset", … */
	char *faults;            /* owned; names of faults applied; "" if none */
	int status;              /* HTTP status sent; 0 = none yet */
	int chunks;              /* events sent */
	int input_tokens;        /* of the prompt, as the last chunk said; 0 when it was not sent */
	int output_tokens;       /* likewise: text and thoughts */
	int64_t duration_ms;     /* until the end; -1 while open */
	int64_t closed_after_ms; /* the client left before the end, after so long; -1 = it did not */
	int references;          /* the journal's and the stream's */
};

struct journal *journal_create(size_t capacity);
void journal_destroy(struct journal **journal);
/* Begins an entry for a request; the caller holds a reference until journal_end. */
struct journal_entry *journal_begin(
	struct journal *journal, const struct http_exchange *x, const char *method, const char *model, bool key_ok);
/* Ends it. `outcome` is copied. The reference is given back. */
void journal_end(struct journal *journal, struct journal_entry **entry, const char *outcome);
void journal_clear(struct journal *journal);
/* All kept entries, one JSON object a line, oldest first. */
void journal_write(const struct journal *journal, struct text *out);
/* Totals; a new object. */
json_object *journal_stats(const struct journal *journal);

#endif
