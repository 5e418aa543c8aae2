/* Error answers in Google's form: a status, a message, and details by @type. */
#ifndef GEMINI_SIM_REFUSAL_H
#define GEMINI_SIM_REFUSAL_H

#include "tests/gemini-sim/json.h"

struct refusal {
	int code;             /* HTTP status and error.code */
	const char *status;   /* google.rpc.Code name; static */
	char *message;        /* owned */
	json_object *details; /* owned; list, or NULL */
	const char *fields;   /* extra header lines; static; "" if none */
};

/* Release with refusal_destroy. */
struct refusal *refusal_create(int code, const char *status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with the message of API_KEY_INVALID and its details. */
struct refusal *refusal_bad_key(void);
void refusal_destroy(struct refusal **refusal);

/* Adds one detail. */
void refusal_add_info(struct refusal *refusal, const char *reason, const char *service);
void refusal_add_quota(
	struct refusal *refusal, const char *metric, const char *quota_id, const char *model, const char *value);
void refusal_add_help(struct refusal *refusal);
void refusal_add_retry(struct refusal *refusal, const char *delay);
/* `violations` is taken over. */
void refusal_add_violations(struct refusal *refusal, json_object *violations);

/* {"error":{…}}; a new object. */
json_object *refusal_body(const struct refusal *refusal);

#endif
