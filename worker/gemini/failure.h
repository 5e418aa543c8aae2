/* failure.h: every way a call can fail, sorted into enum model_failure (ai.google.dev/gemini-api/docs/troubleshooting). Used by gemini.c, provider.c
 * and probe.c. Decides by HTTP status and error body, never by content type; keeps the key out of whatever is kept for the log. */
#ifndef RENOVATIOND_WORKER_GEMINI_FAILURE_H
#define RENOVATIOND_WORKER_GEMINI_FAILURE_H

#include "worker/gemini/provider.h"
#include "worker/gemini/transfer.h"

struct json_object;
struct json_tokener;

struct failure {
	enum model_failure class;  /* MODEL_OK: nothing failed */
	int retries;               /* how many attempts more may help, up to MODEL_RETRIES_MANY */
	int64_t retry_after_ms;    /* as asked for by the provider; 0 = nothing */
	int http_status;           /* 0 = no answer */
	char status[64];           /* google.rpc code's name, "" when none */
	char reason[200];          /* ErrorInfo reason, quota id, or our own word; redacted */
	unsigned refused;          /* set of enum model_member named by a 400 */
	bool is_signature_refused; /* the history has lost thought signatures, or has void ones */
};

void failure_set(struct failure *f, enum model_failure class, int retries, const char *reason);
/* Its cause are signatures: one attempt more, with placeholders. */
void failure_want_placeholders(struct failure *f);
/* An HTTP answer that is not 2xx. `body` may be anything, `retry_after` TEXT_NONE. `key` is what must not be kept. */
void failure_from_answer(struct failure *f, struct json_tokener *tokener, int http_status, struct text body,
	struct text retry_after, const char *key);
/* The member `error` of an event or of a raw tail. */
void failure_from_error(struct failure *f, struct json_object *error, const char *key);
/* No usable answer at all. */
void failure_from_transfer(struct failure *f, enum transfer_result result, int http_status);

/* "26s", "0.5s", "45.578569677s" into ms, rounded up; -1 when it is none. */
int64_t failure_parse_duration(struct text duration);
/* Retry-After: seconds or an HTTP date; 0 when neither. */
int64_t failure_parse_retry_after(struct text value, int64_t wall_us);
/* Until the next midnight in California, where daily quotas begin anew. */
int64_t failure_ms_to_pacific_midnight(int64_t wall_us);
/* Overwrites keys, ours and whatever looks like one, in a NUL-terminated text, with asterisks. */
void failure_redact(char *message, const char *key);

#endif
