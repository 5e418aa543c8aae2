/* Answers that are sent at once: errors, single objects, blocked prompts; and the header fields of every answer.
 * Called by service.c and stream.c. */
#include "tests/gemini-sim/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/gemini-sim/gzip.h"

#define COMMON_FIELDS                                                                                                  \
	"Vary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\nX-XSS-Protection: 0\r\nX-Frame-Options: SAMEORIGIN\r\n"    \
	"X-Content-Type-Options: nosniff\r\n"

static const char *form_type(enum stream_form form)
{
	return form == STREAM_EVENTS ? "text/event-stream" : "application/json; charset=UTF-8";
}

void reply_fields(struct text *fields, enum stream_form form, int64_t took_ms)
{
	text_format(fields, "Content-Type: %s\r\n%sServer-Timing: gfet4t7; dur=%lld\r\n" COMMON_FIELDS, form_type(form),
		form == STREAM_EVENTS ? "Content-Disposition: attachment\r\n" : "", (long long)took_ms);
}

void reply_send(
	struct http_exchange *x, int status, enum stream_form form, struct text *fields, const struct text *body)
{
	const char *accepted = http_header(x, "Accept-Encoding");
	struct text packed = { 0 };
	if (form != STREAM_UNARY || accepted == NULL || find_word(accepted, "gzip") == NULL) {
		http_reply(x, status, text_get(fields), text_get(body), body->length);
		return;
	}
	text_add(fields, "Content-Encoding: gzip\r\n");
	gzip_store(&packed, text_get(body), body->length);
	http_reply(x, status, text_get(fields), packed.bytes, packed.length);
	text_fini(&packed);
}

void reply_refusal(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, enum stream_form form,
	struct refusal **refusal)
{
	struct text fields = { 0 };
	struct text body = { 0 };
	char outcome[32];
	json_object *error = refusal_body(*refusal);
	reply_fields(&fields, form, wheel_now_ms() - entry->begun_ms);
	text_add(&fields, (*refusal)->fields);
	text_add(&body, form == STREAM_ARRAY ? "[" : "");
	json_write(&body, error, JSON_PRETTY);
	text_add(&body, form == STREAM_ARRAY ? "\n]\n" : "\n");
	entry->status = (*refusal)->code;
	snprintf(outcome, sizeof outcome, "error %d", (*refusal)->code);
	reply_send(x, (*refusal)->code, form, &fields, &body);
	journal_end(sim->journal, &entry, outcome);
	refusal_destroy(refusal);
	json_object_put(error);
	text_fini(&fields);
	text_fini(&body);
}

void reply_json(struct sim *sim, struct http_exchange *x, struct journal_entry *entry, json_object *body)
{
	struct text fields = { 0 };
	struct text text = { 0 };
	reply_fields(&fields, STREAM_UNARY, wheel_now_ms() - entry->begun_ms);
	json_write(&text, body, JSON_PRETTY);
	text_add(&text, "\n");
	entry->status = 200;
	reply_send(x, 200, STREAM_UNARY, &fields, &text);
	journal_end(sim->journal, &entry, "ok");
	json_object_put(body);
	text_fini(&fields);
	text_fini(&text);
}

void reply_response_id(struct sim *sim, char *out, size_t capacity)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t number = hash_bytes(sim->start_stamp | 1, &sim->answers, sizeof sim->answers);
	uint64_t more = hash_bytes(number | 1, "id", 2);
	sim->answers++;
	for (size_t i = 0; i + 1 < capacity; i++) {
		out[i] = alphabet[(i < 10 ? number >> (i * 6) : more >> ((i - 10) * 5)) & 63];
		out[i + 1] = '\0';
	}
}
