/* gemini_faults_test.c: the provider against the simulator: every fault it knows, and conversations that only pass when ids and signatures
 * come back as they were sent. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/log.h"
#include "shared/report.h"
#include "tests/support/process.h"
#include "tests/unit/gemini_trace.h"

struct world {
	struct process *simulator;
	struct event_base *base;
	struct options options;
	struct provider *provider;
};

/* One call under test. */
struct told {
	struct buffer trace, text, parts, calls; /* calls: answers to them, as parts */
	struct model_event last;                 /* its numbers only */
	int calls_count;
	char reason[200], version[64];
	bool has_ended;
};

static void set(struct options *o, enum option_id id, const char *value)
{
	const char *expected;

	cr_assert(options_set(o, id, text_of(value), &expected), "%s", value);
}

static void world_open(struct world *w)
{
	char *line, *url;

	log_open("test", -1, LOG_FATAL, STDERR_FILENO);
	w->simulator = process_start(
		(const char *[]) { program_path("gemini-sim"), "--port", "0", "--chunk-delay-ms", "1", NULL },
		(const char *[]) { NULL });
	line = process_wait_output(w->simulator, "http://", 30000);
	url = strstr(line, "http://");
	url[strcspn(url, " \r\n")] = '\0';
	w->base = event_base_new();
	options_init(&w->options);
	set(&w->options, OPTION_gemini_base_url, url);
	set(&w->options, OPTION_gemini_api_key, "AQ.test-key-0123456789");
	free(line);
	cr_assert_eq(provider_open(w->base, &w->options, &w->provider), ERROR_NONE);
}

static void world_close(struct world *w)
{
	provider_close(&w->provider);
	options_fini(&w->options);
	event_base_free(w->base);
	process_end(&w->simulator);
	log_close();
}

static void told_fini(struct told *told)
{
	buffer_fini(&told->trace);
	buffer_fini(&told->text);
	buffer_fini(&told->parts);
	buffer_fini(&told->calls);
}

static void on_event(void *arg, const struct model_event *event)
{
	struct told *told = arg;

	cr_assert_not(told->has_ended);
	trace_event(&told->trace, event);
	buffer_append_text(&told->text, event->text);
	if (event->type == MODEL_EVENT_START)
		(void)snprintf(told->version, sizeof told->version, "%.*s", TEXT_ARGS(event->model_version));
	if (event->type == MODEL_EVENT_CALL) {
		provider_result_part(
			&told->calls, event->call_id, event->call_name, TEXT("{\"output\":{\"ok\":true}}"));
		told->calls_count++;
	}
	if (event->type != MODEL_EVENT_FINISH && event->type != MODEL_EVENT_FAILURE)
		return;
	told->has_ended = true;
	told->last = *event;
	buffer_append_text(&told->parts, event->parts);
	(void)snprintf(told->reason, sizeof told->reason, "%.*s", TEXT_ARGS(event->provider_reason));
}

static void run(struct world *w, const struct model_request *rq, struct told *told)
{
	int64_t deadline_ms = clock_monotonic_ms() + 60000;
	struct timeval slice = { 0, 20000 };
	struct model_call *call = provider_start(w->provider, rq, on_event, told);

	cr_assert_not_null(call);
	while (!told->has_ended && clock_monotonic_ms() < deadline_ms) {
		event_base_loopexit(w->base, &slice);
		event_base_loop(w->base, EVLOOP_ONCE);
	}
	cr_assert(told->has_ended, "the call does not end; so far:\n%.*s", TEXT_ARGS(buffer_text(&told->trace)));
}

static const struct model_tool tools[] = {
	{ "add_task", "Adds a task",
		"{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"}},\"required\":[\"title\"]}" },
};

/* One question to a model; the parts are free for the caller to look at. */
static void ask(struct world *w, const char *model, const char *question, bool has_tools, struct told *told)
{
	struct buffer parts;

	buffer_init(&parts);
	buffer_append_char(&parts, '[');
	struct buffer one;
	buffer_init(&one);
	provider_text_part(&one, text_of(question));
	buffer_append_text(&parts, buffer_text(&one));
	buffer_append_char(&parts, ']');

	struct model_content content = { .parts = buffer_text(&parts), .is_current = true };
	struct model_request rq = { .role = MODEL_ROLE_STREAMING,
		.model = model,
		.contents = &content,
		.content_count = 1,
		.tools = tools,
		.tool_count = has_tools ? 1 : 0 };

	run(w, &rq, told);
	buffer_fini(&one);
	buffer_fini(&parts);
}

static const struct {
	const char *fault;
	enum model_failure failure; /* MODEL_OK: a FINISH */
	bool is_retryable;
	bool has_text;
	int64_t retry_after_ms; /* -1: some */
} faults[] = {
	{ "429_minute", MODEL_RATE_LIMITED, true, false, 26000 },
	{ "429_half_second", MODEL_RATE_LIMITED, true, false, 500 },
	{ "429_day", MODEL_QUOTA_DAY, false, false, -1 },
	{ "429_header", MODEL_RATE_LIMITED, true, false, -1 },
	{ "429_no_details", MODEL_RATE_LIMITED, true, false, 0 },
	{ "400", MODEL_BAD_REQUEST, false, false, 0 },
	{ "400_key", MODEL_AUTH, false, false, 0 },
	{ "400_region", MODEL_AUTH, false, false, 0 },
	{ "400_context", MODEL_BAD_REQUEST, false, false, 0 },
	{ "400_signature", MODEL_BAD_REQUEST, true, false, 0 },
	{ "401", MODEL_AUTH, false, false, 0 },
	{ "403", MODEL_AUTH, false, false, 0 },
	{ "403_leaked", MODEL_AUTH, false, false, 0 },
	{ "key_in_message", MODEL_AUTH, false, false, 0 },
	{ "404", MODEL_GONE, false, false, 0 },
	{ "404_new_users", MODEL_GONE, false, false, 0 },
	{ "408", MODEL_DOWN, true, false, 0 },
	{ "413", MODEL_BAD_REQUEST, false, false, 0 },
	{ "499", MODEL_DOWN, true, false, 0 },
	{ "500", MODEL_DOWN, true, false, 0 },
	{ "503", MODEL_OVERLOADED, true, false, 0 },
	{ "503_demand", MODEL_OVERLOADED, true, false, 0 },
	{ "504", MODEL_SLOW, true, false, 0 },
	{ "502_html", MODEL_DOWN, true, false, 0 },
	{ "empty_body", MODEL_BROKEN, true, false, 0 },
	{ "500_empty", MODEL_DOWN, true, false, 0 },
	{ "garbage", MODEL_BROKEN, true, false, 0 },
	{ "close", MODEL_DOWN, true, false, 0 },
	{ "rst_before", MODEL_DOWN, true, false, 0 },
	{ "silence", MODEL_SLOW, true, false, 0 },
	{ "silence_headers", MODEL_SLOW, true, false, 0 },
	{ "silence_middle", MODEL_SLOW, true, true, 0 },
	{ "split", MODEL_OK, false, true, 0 },
	{ "error_framed", MODEL_OVERLOADED, true, true, 0 },
	{ "error_raw_tail", MODEL_OVERLOADED, true, true, 0 },
	{ "eof", MODEL_BROKEN, true, true, 0 },
	{ "cut", MODEL_BROKEN, true, true, 0 },
	{ "rst", MODEL_BROKEN, true, true, 0 },
	{ "malformed_event", MODEL_BROKEN, true, true, 0 },
	{ "half_event", MODEL_BROKEN, true, true, 0 },
	{ "safety", MODEL_OK, false, true, 0 },
	{ "recitation", MODEL_OK, false, true, 0 },
	{ "max_tokens", MODEL_OK, false, true, 0 },
	{ "finish,reason=LANGUAGE", MODEL_OTHER, false, true, 0 },
	{ "empty_stop", MODEL_EMPTY, true, false, 0 },
	{ "empty_stop_no_content", MODEL_EMPTY, true, false, 0 },
	{ "empty_stop_signature", MODEL_EMPTY, true, false, 0 },
	{ "malformed_call", MODEL_MALFORMED_CALL, true, false, 0 },
	{ "unexpected_tool_call", MODEL_MALFORMED_CALL, true, false, 0 },
	{ "missing_signature", MODEL_BAD_REQUEST, true, false, 0 },
	{ "blocked", MODEL_OK, false, false, 0 },
	{ "usage_missing_middle", MODEL_OK, false, true, 0 },
	{ "usage_absent", MODEL_OK, false, true, 0 },
	{ "usage_uncounted", MODEL_OK, false, true, 0 },
	{ "usage_changes", MODEL_OK, false, true, 0 },
	{ "finish_separate", MODEL_OK, false, true, 0 },
	{ "chunk_after_finish", MODEL_OK, false, true, 0 },
	{ "signature_empty_text", MODEL_OK, false, true, 0 },
	{ "index_missing", MODEL_OK, false, true, 0 },
	{ "model_version,version=gemini-2.5-flash-001", MODEL_OK, false, true, 0 },
	{ "delimiter_lf", MODEL_OK, false, true, 0 },
	{ "delimiter_cr", MODEL_OK, false, true, 0 },
	{ "comments", MODEL_OK, false, true, 0 },
};

/* Short where silence is the fault, and only for the silence that it is: whoever is merely slow has all the time in the world. */
static void set_patience(struct world *w, const char *fault)
{
	bool is_silent = strcmp(fault, "silence") == 0 || strcmp(fault, "silence_headers") == 0;
	bool is_silent_later = strcmp(fault, "silence_middle") == 0;

	set(&w->options, OPTION_gemini_first_byte_timeout_ms, is_silent ? "200" : "60000");
	set(&w->options, OPTION_gemini_between_bytes_timeout_ms,
		is_silent         ? "200"
		: is_silent_later ? "1000"
				  : "45000");
}

Test(gemini_faults, each_fault_of_the_simulator_is_told_apart, .timeout = 300)
{
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		struct told told = { 0 };
		char question[128];

		(void)snprintf(question, sizeof question, "How long does screed dry? [sim:fault=%s]", faults[i].fault);
		set_patience(&w, faults[i].fault);
		ask(&w, "gemini-3.5-flash-lite", question, false, &told);
		cr_assert_eq(told.last.failure, faults[i].failure, "%s:\n%.*s", faults[i].fault,
			TEXT_ARGS(buffer_text(&told.trace)));
		cr_assert_eq(told.last.retries > 0, faults[i].is_retryable, "%s", faults[i].fault);
		cr_assert_eq(buffer_length(&told.text) > 0, faults[i].has_text, "%s:\n%.*s", faults[i].fault,
			TEXT_ARGS(buffer_text(&told.trace)));
		if (faults[i].retry_after_ms >= 0)
			cr_assert_eq(told.last.retry_after_ms, faults[i].retry_after_ms, "%s", faults[i].fault);
		else
			cr_assert_gt(told.last.retry_after_ms, 0, "%s", faults[i].fault);
		cr_assert_null(memmem(told.trace.bytes, told.trace.end, "AQ.test", 7), "%s", faults[i].fault);
		told_fini(&told);
	}
	cr_assert_eq(provider_active(w.provider), 0);
	cr_assert(provider_is_simulator(w.provider));
	world_close(&w);
}

Test(gemini_faults, refused_members_are_left_out_once_and_for_all)
{
	struct world w;
	struct told first = { 0 }, second = { 0 };

	world_open(&w);
	ask(&w, "gemini-3.5-flash-lite", "Hello [sim:fault=refuse_level]", false, &first);
	cr_assert_eq(first.last.type, MODEL_EVENT_FINISH, "%.*s", TEXT_ARGS(buffer_text(&first.trace)));
	ask(&w, "gemini-2.5-flash", "Hello [sim:fault=refuse_thinking]", false, &second);
	cr_assert_eq(second.last.type, MODEL_EVENT_FINISH, "%.*s", TEXT_ARGS(buffer_text(&second.trace)));
	told_fini(&first);
	told_fini(&second);
	world_close(&w);
}

/* Question, calls, answers to them, text: with `first` calling and `second` going on from the stored parts. */
static void round_trip(const char *first_model, const char *second_model, const char *marker)
{
	struct world w;
	struct told first = { 0 }, second = { 0 };
	char question[256];
	struct buffer parts, results;

	world_open(&w);
	(void)snprintf(question, sizeof question,
		"Add two tasks. [sim:tool=add_task {\"title\":\"a\"}][sim:tool=add_task {\"title\":\"b\"}]%s", marker);
	ask(&w, first_model, question, true, &first);
	cr_assert_eq(first.last.type, MODEL_EVENT_FINISH, "%.*s", TEXT_ARGS(buffer_text(&first.trace)));
	cr_assert_eq(first.last.finish, MODEL_FINISH_TOOL_CALLS, "%.*s", TEXT_ARGS(buffer_text(&first.trace)));
	cr_assert_eq(first.calls_count, 2, "%.*s", TEXT_ARGS(buffer_text(&first.trace)));
	buffer_init(&parts);
	buffer_init(&results);
	provider_text_part(&results, text_of(question));
	buffer_append_char(&parts, '[');
	buffer_append_text(&parts, buffer_text(&results));
	buffer_append_char(&parts, ']');
	buffer_clear(&results);
	buffer_append_char(&results, '[');
	buffer_append_text(&results, buffer_text(&first.calls));
	buffer_append_char(&results, ']');

	struct model_content contents[] = {
		{ .parts = buffer_text(&parts), .is_current = true },
		{ .role = MESSAGE_ROLE_MODEL,
			.parts = buffer_text(&first.parts),
			.model = text_of(first.version),
			.is_current = true },
		{ .parts = buffer_text(&results), .is_current = true },
	};
	struct model_request rq = { .role = MODEL_ROLE_STREAMING,
		.model = second_model,
		.contents = contents,
		.content_count = 3,
		.tools = tools,
		.tool_count = 1 };

	run(&w, &rq, &second);
	cr_assert_eq(second.last.type, MODEL_EVENT_FINISH, "%s then %s: %.*s", first_model, second_model,
		TEXT_ARGS(buffer_text(&second.trace)));
	cr_assert_gt(buffer_length(&second.text), 0);
	buffer_fini(&parts);
	buffer_fini(&results);
	told_fini(&first);
	told_fini(&second);
	world_close(&w);
}

Test(gemini_faults, signatures_and_ids_go_back_as_they_came)
{
	round_trip("gemini-3.5-flash-lite", "gemini-3.5-flash-lite", "");
	round_trip("gemini-3.8-flash", "gemini-3.8-flash", "[sim:fault=parallel_calls_spread]");
	round_trip("gemini-2.5-flash", "gemini-2.5-flash", "");
}

Test(gemini_faults, a_conversation_goes_on_with_another_model)
{
	round_trip("gemini-2.5-flash", "gemini-3.8-flash", "");
	round_trip("gemini-3.5-flash-lite", "gemini-3.8-flash", "");
	round_trip("gemini-3.8-flash", "gemini-2.5-flash", "");
}

Test(gemini_faults, a_schema_gives_one_document)
{
	static const char *const markers[] = { "", "[sim:fault=fenced_json]" };
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < COUNT_OF(markers); i++) {
		struct told told = { 0 };
		char parts[128];
		struct model_content content = { .is_current = true };
		struct model_request rq = { .role = MODEL_ROLE_STRUCTURED,
			.model = "gemini-3.5-flash-lite",
			.contents = &content,
			.content_count = 1,
			.schema = TEXT("{\"type\":\"object\",\"properties\":{\"room\":{\"type\":\"string\"}},"
				       "\"required\":[\"room\"]}") };

		(void)snprintf(parts, sizeof parts, "[{\"text\":\"Bathroom 6 m2 %s\"}]", markers[i]);
		content.parts = text_of(parts);
		run(&w, &rq, &told);
		cr_assert_eq(told.last.type, MODEL_EVENT_FINISH, "%.*s", TEXT_ARGS(buffer_text(&told.trace)));
		cr_assert_eq(told.text.bytes[0], '{', "%.*s", TEXT_ARGS(buffer_text(&told.trace)));
		cr_assert_not_null(memmem(told.text.bytes, told.text.end, "\"room\":", 7));
		told_fini(&told);
	}
	world_close(&w);
}

Test(gemini_faults, the_preflight_says_what_is_wrong_with_key_model_or_address)
{
	static const struct {
		const char *key, *models, *base_url; /* NULL: the simulator's */
		enum report_state state;
		int exit_code;
		bool is_transient;
		const char *detail; /* contains */
	} rows[] = {
		{ "good", "gemini-3.5-flash-lite", NULL, REPORT_OK, 0, false, "serves gemini-3.5-flash-lite" },
		{ "good", "gemini-2.5-flash", NULL, REPORT_WARNING, 0, false, "2026-12-01" },
		{ "bad", "gemini-3.5-flash-lite", NULL, REPORT_FAILED, EXIT_REFUSED, false, "API_KEY_INVALID" },
		{ "", "gemini-3.5-flash-lite", NULL, REPORT_FAILED, EXIT_CONFIG_WRONG, false, "no API key" },
		{ "a b", "gemini-3.5-flash-lite", NULL, REPORT_FAILED, EXIT_CONFIG_WRONG, false, "spaces" },
		{ "good", "gemini-1.0-none", NULL, REPORT_FAILED, EXIT_CONFIG_WRONG, false,
			"no model gemini-1.0-none" },
		{ "good", "gemini-3.5-flash-lite", "http://127.0.0.1:1", REPORT_FAILED, EXIT_UNAVAILABLE, true,
			"127.0.0.1" },
		{ "good", "gemini-3.5-flash-lite", "http://example.org", REPORT_FAILED, EXIT_CONFIG_WRONG, false,
			"gemini_base_url" },
	};
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct options options;
		struct report report = { .count = 0 };
		const char *expected;

		options_init(&options);
		set(&options, OPTION_gemini_base_url,
			rows[i].base_url != NULL ? rows[i].base_url : w.options.gemini_base_url);
		set(&options, OPTION_streaming_models, rows[i].models);
		cr_assert(options_set(&options, OPTION_gemini_api_key, text_of(rows[i].key), &expected));
		provider_probe(&options, &report);
		cr_assert_eq(report.count, 1);
		cr_assert_str_eq(report.rows[0].name, "gemini");
		cr_assert_eq(report.rows[0].state, rows[i].state, "%zu: %s", i, report.rows[0].detail);
		cr_assert_eq(report.rows[0].exit_code, rows[i].exit_code, "%zu: %s", i, report.rows[0].detail);
		cr_assert_eq(report.rows[0].is_transient, rows[i].is_transient, "%zu", i);
		cr_assert_not_null(strstr(report.rows[0].detail, rows[i].detail), "%s", report.rows[0].detail);
		cr_assert_eq(report.rows[0].remedy[0] != '\0', rows[i].state != REPORT_OK);
		options_fini(&options);
	}
	world_close(&w);
}

/* At the end of its life a name is served by a newer model, which signs and numbers its calls. */
Test(gemini_faults, an_old_name_answered_by_a_new_model_keeps_its_ids)
{
	round_trip("gemini-2.5-flash", "gemini-2.5-flash", "[sim:fault=model_version,version=gemini-3.5-flash-lite]");
}
