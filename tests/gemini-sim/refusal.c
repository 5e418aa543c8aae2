/* Builds error bodies. Called by service.c, rules.c and faults.c; sending them (and the content type that depends on the
 * method) is done in stream.c. */
#include "tests/gemini-sim/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BAD_KEY "API key not valid. Please pass a valid API key."

struct refusal *refusal_create(int code, const char *status, const char *format, ...)
{
	struct refusal *refusal = memory_take(sizeof *refusal);
	va_list arguments;
	char message[4096];
	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	refusal->code = code;
	refusal->status = status;
	refusal->message = memory_copy(message);
	refusal->fields = "";
	return refusal;
}

void refusal_destroy(struct refusal **refusal)
{
	if (*refusal == NULL)
		return;
	free((*refusal)->message);
	json_object_put((*refusal)->details);
	free(*refusal);
	*refusal = NULL;
}

static json_object *refusal_detail(struct refusal *refusal, const char *type)
{
	json_object *detail = json_object_new_object();
	char name[80];
	snprintf(name, sizeof name, "type.googleapis.com/google.rpc.%s", type);
	json_put_text(detail, "@type", name);
	if (refusal->details == NULL)
		refusal->details = json_object_new_array();
	json_object_array_add(refusal->details, detail);
	return detail;
}

void refusal_add_info(struct refusal *refusal, const char *reason, const char *service)
{
	json_object *detail = refusal_detail(refusal, "ErrorInfo");
	json_object *metadata = json_object_new_object();
	json_put_text(detail, "reason", reason);
	json_put_text(detail, "domain", "googleapis.com");
	json_put_text(metadata, "service", service);
	json_put(detail, "metadata", metadata);
}

struct refusal *refusal_bad_key(void)
{
	struct refusal *refusal = refusal_create(400, "INVALID_ARGUMENT", BAD_KEY);
	refusal_add_info(refusal, "API_KEY_INVALID", "generativelanguage.googleapis.com");
	json_object *detail = refusal_detail(refusal, "LocalizedMessage");
	json_put_text(detail, "locale", "en-US");
	json_put_text(detail, "message", BAD_KEY);
	return refusal;
}

void refusal_add_quota(
	struct refusal *refusal, const char *metric, const char *quota_id, const char *model, const char *value)
{
	json_object *detail = refusal_detail(refusal, "QuotaFailure");
	json_object *violations = json_object_new_array();
	json_object *violation = json_object_new_object();
	json_object *dimensions = json_object_new_object();
	json_put_text(violation, "quotaMetric", metric);
	json_put_text(violation, "quotaId", quota_id);
	json_put_text(dimensions, "location", "global");
	json_put_text(dimensions, "model", model);
	json_put(violation, "quotaDimensions", dimensions);
	json_put_text(violation, "quotaValue", value);
	json_object_array_add(violations, violation);
	json_put(detail, "violations", violations);
}

void refusal_add_help(struct refusal *refusal)
{
	json_object *detail = refusal_detail(refusal, "Help");
	json_object *links = json_object_new_array();
	json_object *link = json_object_new_object();
	json_put_text(link, "description", "Learn more about Gemini API quotas");
	json_put_text(link, "url", "https://ai.google.dev/gemini-api/docs/rate-limits");
	json_object_array_add(links, link);
	json_put(detail, "links", links);
}

void refusal_add_retry(struct refusal *refusal, const char *delay)
{
	json_put_text(refusal_detail(refusal, "RetryInfo"), "retryDelay", delay);
}

void refusal_add_violations(struct refusal *refusal, json_object *violations)
{
	json_put(refusal_detail(refusal, "BadRequest"), "fieldViolations", violations);
}

json_object *refusal_body(const struct refusal *refusal)
{
	json_object *body = json_object_new_object();
	json_object *error = json_object_new_object();
	json_put_int(error, "code", refusal->code);
	json_put_text(error, "message", refusal->message);
	json_put_text(error, "status", refusal->status);
	if (refusal->details != NULL)
		json_put(error, "details", json_object_get(refusal->details));
	json_put(body, "error", error);
	return body;
}
