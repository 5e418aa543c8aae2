/* What the model is told: how far the history goes back, that calls and their results stay together, whose signatures go back. The rows of the history are made by
 * hand: this file stands in for the few functions that read a database's result. */
#include "config.h"
#include "worker/chat/prompt.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct history_row {
	const char *kind; /* user, model or result */
	const char *body; /* as the statement chat_history has it */
};

struct db_result {
	struct history_row rows[400];
	char bodies[400][64]; /* of rows made by exchange() */
	int count;            /* of both */
};

int db_result_rows(const struct db_result *r)
{
	return r->count;
}

struct text db_result_text(const struct db_result *r, int row, int column)
{
	switch (column) {
	case 0: return text_of(r->rows[row].kind);
	case 1: return text_of(r->rows[row].body);
	case 2: return TEXT("gemini-3.5-flash-lite");
	case 3: return TEXT("fc_1");
	default: return TEXT("add_task");
	}
}

static struct db_result history;
static struct prompt prompt;

static void add(const char *kind, const char *body)
{
	history.rows[history.count++] = (struct history_row) { kind, body };
}

static const char *numbered(const char *before, int n, const char *after)
{
	char *room = history.bodies[history.count];

	(void)snprintf(room, sizeof history.bodies[0], "%s%d%s", before, n, after);
	return room;
}

/* A question and its answer, with a call in between when `has_call`: two messages either way. */
static void exchange(int n, bool has_call)
{
	add("user", numbered("question ", n, ""));
	if (has_call) {
		add("model",
			"[{\"functionCall\": {\"name\": \"add_task\", \"args\": {}}, \"thoughtSignature\": \"QQ==\"}]");
		add("result", "{\"output\": {\"ok\": true}}");
	}
	add("model", numbered("[{\"text\": \"answer ", n, "\"}]"));
}

static bool has(const char *what)
{
	for (size_t i = 0; i < prompt.count; i++)
		if (memmem(prompt.contents[i].parts.bytes + prompt.contents[i].parts.start,
			    buffer_length(&prompt.contents[i].parts), what, strlen(what)) != NULL)
			return true;
	return false;
}

static void load(size_t bytes_max, int messages_min)
{
	prompt_init(&prompt);
	prompt_load(&prompt, &history, bytes_max, messages_min);
	cr_expect(prompt.contents[0].is_question, "the history begins with a question");
	for (size_t i = 0; i < prompt.count; i++) {
		bool is_call = memmem(prompt.contents[i].parts.bytes + prompt.contents[i].parts.start,
				       buffer_length(&prompt.contents[i].parts), "functionCall", 12) != NULL;

		if (is_call)
			cr_expect(i + 1 < prompt.count && prompt.contents[i + 1].is_results, "a call has its result");
		if (prompt.contents[i].is_results)
			cr_expect(i > 0 && !prompt.contents[i - 1].is_question, "a result has its call");
	}
}

static void forget(void)
{
	prompt_fini(&prompt);
	history.count = 0;
}

TestSuite(prompt, .fini = forget);

Test(prompt, the_newest_ten_messages_stay_whatever_their_size)
{
	for (int has_calls = 0; has_calls < 2; has_calls++) {
		for (int n = 1; n <= 20; n++)
			exchange(n, has_calls);
		add("user", "now");
		load(1, 10);
		/* "now", five exchanges: eleven, for the history begins with a question. */
		cr_expect(has("\"answer 16\""), "message 10 from the end, %s calls", has_calls ? "with" : "without");
		cr_expect(has("\"question 16\""));
		cr_expect(!has("\"answer 15\""), "nothing more than was asked for");
		cr_expect(has("\"now\""));
		forget();
	}
}

Test(prompt, what_fits_stays_and_what_does_not_goes_as_whole_exchanges)
{
	size_t all;

	for (int n = 1; n <= 40; n++)
		exchange(n, n % 3 == 0);
	add("user", "now");
	load(1000000, 10);
	all = prompt.bytes;
	cr_expect(has("\"question 1\""));
	prompt_fini(&prompt);
	for (size_t most = 0; most <= all; most += 50) {
		load(most, 1);
		cr_expect(prompt.bytes <= most || prompt.count == 1, "%zu of %zu bytes", prompt.bytes, most);
		cr_expect(has("\"now\""));
		prompt_fini(&prompt);
	}
	load(all, 1);
	cr_expect_eq(prompt.bytes, all);
}

Test(prompt, questions_without_an_answer_are_one_content_and_as_many_messages)
{
	for (int n = 1; n <= 9; n++)
		exchange(n, false);
	add("user", "unanswered");
	add("user", "now");
	load(1, 4);
	cr_expect(has("\"unanswered\"") && has("\"now\"") && has("\"question 9\""));
	cr_expect(!has("\"question 8\""), "two questions and an exchange are four");
	cr_expect_eq(prompt.count, 3);
}

Test(prompt, signatures_that_were_refused_do_not_go_back_and_later_ones_do)
{
	const struct model_content *view;
	size_t count;

	exchange(1, true);
	add("user", "now");
	load(1000000, 10);
	prompt_add_model(&prompt, TEXT("[{\"functionCall\":{\"name\":\"f\"}}]"), "gemini-3.5-flash-lite");
	prompt_add_result(&prompt, TEXT("fc_2"), TEXT("f"), TEXT("{}"));
	prompt_void_signatures(&prompt);
	prompt_add_model(&prompt, TEXT("[{\"text\":\"b\",\"thoughtSignature\":\"QQ==\"}]"), "gemini-3.5-flash-lite");
	view = prompt_view(&prompt, TEXT_NONE, &count);
	cr_assert_eq(count, prompt.count);
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(view[i].is_unsigned, i + 1 < count, "%zu of %zu", i, count);
}
