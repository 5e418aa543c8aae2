/* gemini_failure_test.c: how answers and broken connections are sorted, delays read, keys blotted out. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "worker/gemini/failure.h"
#include "worker/gemini/json.h"
#include "worker/gemini/models.h"

#define INFO(reason)                                                                                                   \
	"{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" reason                                 \
	"\",\"domain\":\"googleapis.com\"}"
#define RETRY(delay) "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define QUOTA(id)                                                                                                      \
	"{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaId\":\"" id "\"}]}"
#define ERROR_BODY(status, message, details)                                                                           \
	"{\"error\":{\"code\":1,\"message\":\"" message "\",\"status\":\"" status "\",\"details\":[" details "]}}"

#define PER_MINUTE "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
#define PER_DAY    "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

#define NONE 0
#define ONCE 1
#define MANY MODEL_RETRIES_MANY

static const struct {
	int http_status;
	const char *body, *retry_after;
	enum model_failure class;
	int retries;
	int64_t retry_after_ms; /* -1: some time within a day */
	const char *reason;
	unsigned refused;
} answers[] = {
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "Bad turn order", ""), NULL, MODEL_BAD_REQUEST, NONE, 0, "Bad turn order",
		0 },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "no", INFO("API_KEY_INVALID")), NULL, MODEL_AUTH, NONE, 0,
		"API_KEY_INVALID", 0 },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", ""), NULL, MODEL_AUTH,
		NONE, 0, "", 0 },
	{ 400, ERROR_BODY("FAILED_PRECONDITION", "User location is not supported", ""), NULL, MODEL_AUTH, NONE, 0, "",
		0 },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "temperature is not supported", ""), NULL, MODEL_BAD_REQUEST, NONE, 0,
		"temperature is not supported", MEMBER_TEMPERATURE },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "thinking_level MINIMAL is unknown", ""), NULL, MODEL_BAD_REQUEST, NONE,
		0, "thinking_level MINIMAL is unknown", MEMBER_THINKING },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "Thinking level is not supported for this model.", ""), NULL,
		MODEL_BAD_REQUEST, NONE, 0, "Thinking level is not supported for this model.", MEMBER_THINKING },
	{ 400, ERROR_BODY("INVALID_ARGUMENT", "Corrupted thought signature.", ""), NULL, MODEL_BAD_REQUEST, ONCE, 0,
		"Corrupted thought signature.", 0 },
	{ 400,
		ERROR_BODY(
			"INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts.", ""),
		NULL, MODEL_BAD_REQUEST, ONCE, 0, "Function call is missing a thought_signature in functionCall parts.",
		0 },
	{ 401, ERROR_BODY("UNAUTHENTICATED", "", INFO("ACCESS_TOKEN_TYPE_UNSUPPORTED")), NULL, MODEL_AUTH, NONE, 0,
		"ACCESS_TOKEN_TYPE_UNSUPPORTED", 0 },
	{ 403, ERROR_BODY("PERMISSION_DENIED", "", INFO("SERVICE_DISABLED")), NULL, MODEL_AUTH, NONE, 0,
		"SERVICE_DISABLED", 0 },
	{ 404, ERROR_BODY("NOT_FOUND", "models/x is not found", ""), NULL, MODEL_GONE, NONE, 0, "", 0 },
	{ 408, "", NULL, MODEL_DOWN, MANY, 0, "", 0 },
	{ 413, "<html>too large</html>", NULL, MODEL_BAD_REQUEST, NONE, 0, "", 0 },
	{ 429, ERROR_BODY("RESOURCE_EXHAUSTED", "quota", QUOTA(PER_MINUTE) "," RETRY("26s")), NULL, MODEL_RATE_LIMITED,
		MANY, 26000, PER_MINUTE, 0 },
	{ 429, ERROR_BODY("RESOURCE_EXHAUSTED", "quota", RETRY("0.5s")), "7", MODEL_RATE_LIMITED, MANY, 500, "", 0 },
	{ 429, ERROR_BODY("RESOURCE_EXHAUSTED", "quota", QUOTA(PER_DAY) "," RETRY("45.578569677s")), NULL,
		MODEL_QUOTA_DAY, NONE, -1, PER_DAY, 0 },
	{ 429, "", "7", MODEL_RATE_LIMITED, MANY, 7000, "", 0 },
	{ 429, "{\"error\":{\"code\":429}}", NULL, MODEL_RATE_LIMITED, MANY, 0, "", 0 },
	{ 500, ERROR_BODY("INTERNAL", "", ""), NULL, MODEL_DOWN, ONCE, 0, "", 0 },
	{ 502, "<html><title>502</title></html>", NULL, MODEL_DOWN, MANY, 0, "", 0 },
	{ 503, ERROR_BODY("UNAVAILABLE", "The model is overloaded.", ""), "3", MODEL_OVERLOADED, MANY, 3000, "", 0 },
	{ 503, "[" ERROR_BODY("UNAVAILABLE", "an array", RETRY("2s")) "]", NULL, MODEL_OVERLOADED, MANY, 2000, "", 0 },
	{ 504, ERROR_BODY("DEADLINE_EXCEEDED", "", ""), NULL, MODEL_SLOW, ONCE, 0, "", 0 },
	{ 302, "", NULL, MODEL_BROKEN, NONE, 0, "", 0 },
	{ 429,
		"{\"error\":{\"details\":[null,7,{},{\"@type\":8},{\"@type\":\"type.googleapis.com/"
		"google.rpc.QuotaFailure\","
		"\"violations\":[null,{\"quotaId\":1}]}]}}",
		NULL, MODEL_RATE_LIMITED, MANY, 0, "", 0 },
	{ 400, "{\"error\":\"words\"}", NULL, MODEL_BAD_REQUEST, NONE, 0, "", 0 },
	{ 400, "{\"error\":[]}", NULL, MODEL_BAD_REQUEST, NONE, 0, "", 0 },
};

Test(gemini_failure, answers_are_sorted_by_status_and_details)
{
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);

	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		struct failure f;

		failure_from_answer(&f, tokener, answers[i].http_status, text_of(answers[i].body),
			text_of(answers[i].retry_after), "");
		cr_assert_eq(f.class, answers[i].class, "%zu: class %d", i, f.class);
		cr_assert_eq(f.retries, answers[i].retries, "%zu: %d", i, f.retries);
		cr_assert_eq(
			f.is_signature_refused, answers[i].http_status == 400 && answers[i].retries == ONCE, "%zu", i);
		if (answers[i].retry_after_ms >= 0)
			cr_assert_eq(f.retry_after_ms, answers[i].retry_after_ms, "%zu: %lld", i,
				(long long)f.retry_after_ms);
		else
			cr_assert(f.retry_after_ms > 0 && f.retry_after_ms <= 86400000, "%zu", i);
		cr_assert_str_eq(f.reason, answers[i].reason, "%zu", i);
		cr_assert_eq(f.refused, answers[i].refused, "%zu", i);
		cr_assert_eq(f.http_status, answers[i].http_status);
	}
	json_tokener_free(tokener);
}

Test(gemini_failure, an_error_inside_a_stream_is_sorted_by_its_code)
{
	static const struct {
		const char *error;
		enum model_failure class;
		int http_status;
	} errors[] = {
		{ "{\"code\":503,\"status\":\"UNAVAILABLE\"}", MODEL_OVERLOADED, 503 },
		{ "{\"code\":429}", MODEL_RATE_LIMITED, 429 },
		{ "{\"code\":\"504\"}", MODEL_SLOW, 504 },
		{ "{\"code\":14}", MODEL_DOWN, 500 },
		{ "\"words\"", MODEL_DOWN, 500 },
	};

	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		struct json_object *error = json_tokener_parse(errors[i].error);
		struct failure f;

		failure_from_error(&f, error, "");
		cr_assert_eq(f.class, errors[i].class, "%zu", i);
		cr_assert_eq(f.http_status, errors[i].http_status, "%zu", i);
		json_object_put(error);
	}
}

Test(gemini_failure, durations_of_protobuf_are_read)
{
	static const struct {
		const char *duration;
		int64_t ms;
	} durations[] = { { "26s", 26000 }, { "0.5s", 500 }, { "45.578569677s", 45579 }, { "0s", 0 },
		{ "0.0000001s", 1 }, { "1.s", 1000 }, { "", -1 }, { "s", -1 }, { "26", -1 }, { "-1s", -1 },
		{ "1e3s", -1 }, { "99999999999s", -1 }, { "1sx", -1 }, { "1.0000000000001s", 1000 } };

	for (size_t i = 0; i < COUNT_OF(durations); i++)
		cr_assert_eq(failure_parse_duration(text_of(durations[i].duration)), durations[i].ms, "%s",
			durations[i].duration);
	cr_assert_eq(failure_parse_duration(TEXT_NONE), -1);
}

Test(gemini_failure, retry_after_is_seconds_or_a_date)
{
	int64_t now_us = INT64_C(1795262400) * 1000000; /* Sat, 21 Nov 2026 12:00:00 GMT */

	cr_assert_eq(failure_parse_retry_after(TEXT("120"), now_us), 120000);
	cr_assert_eq(failure_parse_retry_after(TEXT("Sat, 21 Nov 2026 12:00:30 GMT"), now_us), 30000);
	cr_assert_eq(failure_parse_retry_after(TEXT("Sat, 21 Nov 2026 11:00:00 GMT"), now_us), 0);
	cr_assert_eq(failure_parse_retry_after(TEXT("soon"), now_us), 0);
	cr_assert_eq(failure_parse_retry_after(TEXT_NONE, now_us), 0);
}

Test(gemini_failure, days_of_quota_end_at_midnight_in_california)
{
	static const struct {
		int64_t utc; /* seconds */
		int64_t left_s;
	} times[] = {
		{ 1795262400, 20 * 3600 },     /* 2026-11-21 12:00 UTC = 04:00 PST */
		{ 1784635200, 19 * 3600 },     /* 2026-07-21 12:00 UTC = 05:00 PDT */
		{ 1772963999, 22 * 3600 + 1 }, /* 2026-03-08 09:59:59 UTC = 01:59:59 PST, a second before summer time */
		{ 1772964000, 21 * 3600 },     /* = 03:00:00 PDT */
		{ 1793523599,
			22 * 3600 + 1 },   /* 2026-11-01 08:59:59 UTC = 01:59:59 PDT, a second before standard time */
		{ 1793523600, 23 * 3600 }, /* = 01:00:00 PST */
	};

	for (size_t i = 0; i < COUNT_OF(times); i++)
		cr_assert_eq(failure_ms_to_pacific_midnight(times[i].utc * 1000000), times[i].left_s * 1000,
			"%zu: %lld", i, (long long)failure_ms_to_pacific_midnight(times[i].utc * 1000000) / 1000);
}

Test(gemini_failure, keys_are_blotted_out)
{
	static const struct {
		const char *message, *expected;
	} messages[] = {
		{ "Consumer 'api_key:AIzaSyA123456789012345678901' has",
			"Consumer 'api_key:****************************' has" },
		{ "AQ.Ab8RN6L_x-y.z12 AQ.short AIzaShort", "****************** AQ.short AIzaShort" },
		{ "my secret twice: secretsecret", "my ****** twice: ************" },
		{ "nothing", "nothing" },
	};

	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		char message[128];

		(void)snprintf(message, sizeof message, "%s", messages[i].message);
		failure_redact(message, "secret");
		cr_assert_str_eq(message, messages[i].expected);
	}
}

Test(gemini_failure, connections_that_break_are_worth_another_attempt)
{
	static const struct {
		enum transfer_result result;
		int status;
		enum model_failure class;
		int retries;
	} ends[] = {
		{ TRANSFER_UNREACHABLE, 0, MODEL_DOWN, MANY },
		{ TRANSFER_UNTRUSTED, 0, MODEL_DOWN, NONE },
		{ TRANSFER_LOST, 0, MODEL_DOWN, MANY },
		{ TRANSFER_LOST, 200, MODEL_BROKEN, MANY },
		{ TRANSFER_TIMED_OUT, 200, MODEL_SLOW, MANY },
		{ TRANSFER_COMPLETE, 200, MODEL_BROKEN, MANY },
	};

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		struct failure f;

		failure_from_transfer(&f, ends[i].result, ends[i].status);
		cr_assert_eq(f.class, ends[i].class, "%zu", i);
		cr_assert_eq(f.retries, ends[i].retries, "%zu", i);
		cr_assert_eq(f.http_status, ends[i].status);
	}
}
