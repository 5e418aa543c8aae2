/* failure.c: reads google.rpc.Status bodies and sorts failures. Called at the end of a failed exchange, or for an error inside a stream.
 * It does not retry and does not log; provider messages stay here, apart from a redacted line of a refused request. */
#include "config.h"
#include "worker/gemini/failure.h"

#include <curl/curl.h>
#include <stdio.h>

#include "shared/clock.h"
#include "worker/gemini/json.h"
#include "worker/gemini/models.h"

void failure_set(struct failure *f, enum model_failure class, int retries, const char *reason)
{
	*f = (struct failure) { .class = class, .retries = retries };
	(void)snprintf(f->reason, sizeof f->reason, "%s", reason);
}

void failure_want_placeholders(struct failure *f)
{
	f->is_signature_refused = true;
	f->retries = 1;
}

int64_t failure_parse_duration(struct text duration)
{
	int64_t seconds = 0, nanos = 0, unit = 100000000;
	size_t i = 0;

	for (; i < duration.length && duration.bytes[i] >= '0' && duration.bytes[i] <= '9'; i++) {
		seconds = seconds * 10 + (duration.bytes[i] - '0');
		if (seconds > 10000000)
			return -1;
	}
	if (i == 0)
		return -1;
	if (i < duration.length && duration.bytes[i] == '.')
		for (i++; i < duration.length && duration.bytes[i] >= '0' && duration.bytes[i] <= '9'; i++) {
			nanos += (int64_t)(duration.bytes[i] - '0') * unit;
			unit /= 10;
		}
	if (i + 1 != duration.length || duration.bytes[i] != 's')
		return -1;
	return seconds * 1000 + (nanos + 999999) / 1000000;
}

int64_t failure_parse_retry_after(struct text value, int64_t wall_us)
{
	char copy[64];
	uint64_t seconds;

	if (value.length == 0 || value.length >= sizeof copy)
		return 0;
	if (text_parse_u64(value, &seconds))
		return seconds < 10000000 ? (int64_t)seconds * 1000 : 0;
	memcpy(copy, value.bytes, value.length);
	copy[value.length] = '\0';

	time_t at = curl_getdate(copy, NULL);
	int64_t wait_ms = (int64_t)at * 1000 - wall_us / 1000;

	return at > 0 && wait_ms > 0 ? wait_ms : 0;
}

/* Day of the month of the nth Sunday, from the weekday (0 = Sunday) of any day of that month. */
static int nth_sunday(const struct tm *day, int nth)
{
	int first = ((day->tm_mday - 1 - day->tm_wday) % 7 + 7) % 7 + 1;

	return first + 7 * (nth - 1);
}

/* Energy Policy Act of 2005: from the second Sunday of March to the first of November, changes at 2:00 local time. */
static bool is_summer_time(int64_t standard_seconds)
{
	time_t seconds = (time_t)standard_seconds;
	struct tm day;

	(void)gmtime_r(&seconds, &day);

	int month = day.tm_mon + 1;

	if (month == 3) {
		int start = nth_sunday(&day, 2);

		return day.tm_mday > start || (day.tm_mday == start && day.tm_hour >= 2);
	}
	if (month == 11) {
		int end = nth_sunday(&day, 1);

		return day.tm_mday < end || (day.tm_mday == end && day.tm_hour < 1);
	}
	return month > 3 && month < 11;
}

int64_t failure_ms_to_pacific_midnight(int64_t wall_us)
{
	int64_t local = wall_us / 1000000 - INT64_C(8) * 3600;

	if (is_summer_time(local))
		local += 3600;
	return (86400 - local % 86400) * 1000;
}

static bool is_key_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-' ||
	       c == '.';
}

static void redact_shape(char *message, const char *start, size_t shortest)
{
	for (char *at = message; (at = strstr(at, start)) != NULL;) {
		char *end = at + strlen(start);

		while (is_key_char(*end))
			end++;
		if ((size_t)(end - at) >= strlen(start) + shortest)
			memset(at, '*', (size_t)(end - at));
		at = end;
	}
}

void failure_redact(char *message, const char *key)
{
	if (key != NULL && key[0] != '\0')
		for (char *at = message; (at = strstr(at, key)) != NULL; at += strlen(key))
			memset(at, '*', strlen(key));
	redact_shape(message, "AIza", 20);
	redact_shape(message, "AQ.", 10);
}

/* What the details of a google.rpc.Status say; all of it optional. */
struct details {
	struct text reason;   /* ErrorInfo.reason */
	struct text quota_id; /* of the first violation */
	bool is_daily;        /* some violation is of a quota per day */
	int64_t retry_ms;     /* RetryInfo; -1 = none */
};

static void read_violations(struct json_object *violations, struct details *d)
{
	if (!json_object_is_type(violations, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(violations); i++) {
		struct text id = json_string(json_object_array_get_idx(violations, i), "quotaId");

		if (d->quota_id.length == 0)
			d->quota_id = id;
		if (id.length > 0 && memmem(id.bytes, id.length, "PerDay", 6) != NULL)
			d->is_daily = true;
	}
}

static struct details read_details(struct json_object *error)
{
	struct details d = { .reason = TEXT_NONE, .quota_id = TEXT_NONE, .retry_ms = -1 };
	struct json_object *list = json_member(error, "details");

	if (!json_object_is_type(list, json_type_array))
		return d;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *detail = json_object_array_get_idx(list, i);
		struct text type = json_string(detail, "@type");

		if (text_equals(type, TEXT("type.googleapis.com/google.rpc.ErrorInfo")))
			d.reason = json_string(detail, "reason");
		else if (text_equals(type, TEXT("type.googleapis.com/google.rpc.QuotaFailure")))
			read_violations(json_member(detail, "violations"), &d);
		else if (text_equals(type, TEXT("type.googleapis.com/google.rpc.RetryInfo")))
			d.retry_ms = failure_parse_duration(json_string(detail, "retryDelay"));
	}
	return d;
}

static bool mentions(struct text message, const char *word)
{
	return message.length > 0 && memmem(message.bytes, message.length, word, strlen(word)) != NULL;
}

/* A 400 can be about the key, the account, or the request; only the last is ours to repair: without the members it names here, or (the caller) without the
 * signatures that another model or key has made. */
static void classify_400(struct failure *f, struct text message, const struct details *d)
{
	if ((d->reason.length > 0 && text_starts_with(d->reason, TEXT("API_KEY_"))) ||
		text_equals(text_of(f->status), TEXT("FAILED_PRECONDITION")) ||
		mentions(message, "API key not valid") || mentions(message, "API key expired")) {
		f->class = MODEL_AUTH;
		return;
	}
	if (mentions(message, "temperature"))
		f->refused |= MEMBER_TEMPERATURE;
	/* thinkingBudget, thinking_level, "Thinking level is not supported", "only works in thinking mode": the wording varies. */
	if (mentions(message, "hinking"))
		f->refused |= MEMBER_THINKING;
	/* "Corrupted thought signature.", "Function call is missing a thought_signature in functionCall parts." */
	if (mentions(message, "thought signature") || mentions(message, "thought_signature"))
		failure_want_placeholders(f);
}

/* clang-format off */
/* THE table of HTTP statuses (ai.google.dev/gemini-api/docs/troubleshooting). A row holds up to the next one. */
static const struct status_row {
	int from;                 /* first status */
	enum model_failure class; /* what it means, unless the body knows better */
	int retries;              /* attempts more that may help */
} statuses[] = {
	{ 0, MODEL_BROKEN, 0 },
	{ 400, MODEL_BAD_REQUEST, 0 },
	{ 401, MODEL_AUTH, 0 },
	{ 402, MODEL_BAD_REQUEST, 0 },
	{ 403, MODEL_AUTH, 0 },
	{ 404, MODEL_GONE, 0 },
	{ 405, MODEL_BAD_REQUEST, 0 },
	{ 408, MODEL_DOWN, MODEL_RETRIES_MANY },
	{ 409, MODEL_BAD_REQUEST, 0 },
	{ 429, MODEL_RATE_LIMITED, MODEL_RETRIES_MANY },
	{ 430, MODEL_BAD_REQUEST, 0 },
	{ 499, MODEL_DOWN, MODEL_RETRIES_MANY },
	{ 500, MODEL_DOWN, 1 }, /* may be a context that is too long: then the next attempt fails as well */
	{ 502, MODEL_DOWN, MODEL_RETRIES_MANY },
	{ 503, MODEL_OVERLOADED, MODEL_RETRIES_MANY },
	{ 504, MODEL_SLOW, 1 }, /* the same deadline will pass again */
	{ 505, MODEL_DOWN, 1 },
};
/* clang-format on */

static void classify(struct failure *f, struct text message, const struct details *d)
{
	const struct status_row *row = statuses;

	for (size_t i = 0; i < COUNT_OF(statuses) && f->http_status >= statuses[i].from; i++)
		row = &statuses[i];
	f->class = row->class;
	f->retries = row->retries;
	if (f->http_status == 400)
		classify_400(f, message, d);
	if (f->class == MODEL_RATE_LIMITED && d->is_daily) {
		f->class = MODEL_QUOTA_DAY;
		f->retries = 0;
	}
}

/* The reason for the log; of a refused request, where the reason is in the words, the beginning of them. */
static void write_reason(struct failure *f, struct text message, const struct details *d, const char *key)
{
	struct text reason = d->quota_id.length > 0 ? d->quota_id : d->reason;
	char words[2048];

	if (reason.length == 0 && f->class == MODEL_BAD_REQUEST)
		reason = message;
	/* Redacted before it is cut: a key that begins in what is kept is whole in 2 KiB. */
	(void)snprintf(words, sizeof words, "%.*s", TEXT_ARGS(reason));
	failure_redact(words, key);
	(void)snprintf(f->reason, sizeof f->reason, "%.160s", words);
}

static void fill(struct failure *f, struct json_object *error, const char *key)
{
	struct text message = json_string(error, "message");
	struct details d = read_details(error);

	(void)snprintf(f->status, sizeof f->status, "%.*s", TEXT_ARGS(json_string(error, "status")));
	failure_redact(f->status, key);
	classify(f, message, &d);
	if (f->class == MODEL_QUOTA_DAY)
		f->retry_after_ms = failure_ms_to_pacific_midnight(clock_wall_us());
	else if (d.retry_ms > 0)
		f->retry_after_ms = d.retry_ms;
	write_reason(f, message, &d, key);
}

void failure_from_error(struct failure *f, struct json_object *error, const char *key)
{
	int64_t code = json_integer(error, "code");

	*f = (struct failure) { .http_status = code >= 400 && code < 600 ? (int)code : 500 };
	fill(f, error, key);
}

void failure_from_answer(struct failure *f, struct json_tokener *tokener, int http_status, struct text body,
	struct text retry_after, const char *key)
{
	struct json_object *root = json_parse_text(tokener, body);
	struct json_object *first = json_object_is_type(root, json_type_array) && json_object_array_length(root) > 0
					    ? json_object_array_get_idx(root, 0)
					    : root;

	*f = (struct failure) { .http_status = http_status };
	fill(f, json_member(first, "error"), key);
	if (f->retry_after_ms == 0)
		f->retry_after_ms = failure_parse_retry_after(retry_after, clock_wall_us());
	json_object_put(root);
}

void failure_from_transfer(struct failure *f, enum transfer_result result, int http_status)
{
	switch (result) {
	case TRANSFER_UNREACHABLE: failure_set(f, MODEL_DOWN, MODEL_RETRIES_MANY, "UNREACHABLE"); break;
	case TRANSFER_UNTRUSTED: failure_set(f, MODEL_DOWN, 0, "TLS"); break;
	case TRANSFER_TIMED_OUT: failure_set(f, MODEL_SLOW, MODEL_RETRIES_MANY, "TIMEOUT"); break;
	case TRANSFER_LOST:
		if (http_status == 0)
			failure_set(f, MODEL_DOWN, MODEL_RETRIES_MANY, "CONNECTION_LOST");
		else
			failure_set(f, MODEL_BROKEN, MODEL_RETRIES_MANY, "CONNECTION_LOST");
		break;
	case TRANSFER_STOPPED:
	case TRANSFER_COMPLETE: failure_set(f, MODEL_BROKEN, MODEL_RETRIES_MANY, "NO_FINISH"); break;
	}
	f->http_status = http_status;
}
