/* How answers end other than well: deleted while they are written, out of time, filtered, failed, with names that no tool can have; what readers see of it,
 * while they follow and when the events are gone. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

TestSuite(chat_ends, .timeout = 300);

#define LONG_ANSWER "Tell me. [sim:chunks=4000][sim:delay=30ms]" /* ends no test by itself */

static char *turn_member(struct talk *t, const char *turn, const char *path)
{
	struct json_object *body = talk_turn(t, turn);
	const char *found = json_at(body, path);
	char *text = strdup(found != NULL ? found : "");

	json_object_put(body);
	return text;
}

static void expect_turn(struct talk *t, const char *turn, const char *path, const char *expected)
{
	char *found = turn_member(t, turn, path);

	cr_expect_str_eq(found, expected, "%s is %s, not %s", path, found, expected);
	free(found);
}

static void expect_answer(struct talk *t, const char *turn, const char *path, const char *expected)
{
	struct json_object *answer = talk_answer(t, turn);
	const char *found = json_at(answer, path);

	cr_expect_str_eq(found, expected, "%s is %s, not %s", path, found, expected);
	json_object_put(answer);
}

static void follow_from(struct talk *t, const char *turn, const char *header, struct stream *s)
{
	stream_open(s, t->server->port, t->client.token, format("/api/turns/%s/stream", turn), header, NULL);
}

static void read_until(struct stream *s, const char *part)
{
	struct stream_event e;
	bool is_there = false;

	while (!is_there) {
		cr_assert(stream_next(s, &e), "the stream (status %d) has no %s", s->status, part);
		is_there = e.data != NULL && strstr(e.data, part) != NULL;
		stream_event_free(&e);
	}
}

/* What is left of a stream, numbered or not: each event's JSON on a line. */
static char *read_rest(struct stream *s)
{
	struct stream_event e;
	char *all = strdup("");

	for (; stream_next(s, &e); stream_event_free(&e)) {
		size_t length = strlen(all), more = e.data != NULL ? strlen(e.data) : 0;

		if (more == 0)
			continue;
		all = realloc(all, length + more + 2);
		memcpy(all + length, e.data, more);
		memcpy(all + length + more, "\n", 2);
	}
	return all;
}

static int64_t simulator_stat(struct server *s, const char *name)
{
	struct reply r = simulator_request(s, "GET", "/sim/stats", NULL);
	struct json_object *stats = reply_json(&r);
	int64_t value = json_object_get_int64(json_object_at(stats, name));

	json_object_put(stats);
	reply_free(&r);
	return value;
}

static void script(struct server *s, const char *path, const char *body)
{
	struct reply r = simulator_request(s, "POST", path, body);

	cr_assert(r.status / 100 == 2, "%s", r.body);
	reply_free(&r);
}

/* --- deleted while it is written -------------------------------------------------------------------------------------------- */

static void remove_row(struct talk *t, const char *path)
{
	struct reply r = client_request(&t->client, "DELETE", path, NULL, NULL);

	cr_assert_eq(r.status, 204, "DELETE %s gave %d: %s", path, r.status, r.body);
	reply_free(&r);
}

static bool no_call_is_open(void *arg)
{
	return simulator_stat(arg, "open") == 0;
}

static void expect_end_of_deleted(struct talk *t, const char *turn, struct stream *s)
{
	char *rest = read_rest(s);

	cr_expect_not_null(strstr(rest, "\"abort\""), "%s", rest);
	cr_expect_not_null(strstr(rest, "[DONE]"), "%s", rest);
	cr_expect(s->is_clean);
	free(rest);
	stream_close(s);
	follow_from(t, turn, NULL, s);
	cr_expect(s->status == 404 || s->status == 401, "the deleted turn gives %d", s->status);
	stream_close(s);
}

Test(chat_ends, deleting_what_it_belongs_to_ends_an_answer_and_gives_its_place_back)
{
	/* More deletions than answers may run at once. */
	struct server *s = server_start(
		(const char *[]) { "RENOVATIOND_CHAT_LIVE_TURNS=16", "RENOVATIOND_CHAT_CHECKPOINT_MS=50", NULL });
	struct talk t;

	for (int i = 0; i < 20; i++) {
		struct stream reader;

		talk_init(&t, s);

		const char *turn = talk_ask(&t, LONG_ANSWER, "");

		follow_from(&t, turn, NULL, &reader);
		read_until(&reader, "text-delta");
		if (i == 0)
			remove_row(&t, "/api/me");
		else
			remove_row(&t, format("/api/sessions/%s", t.session));
		expect_end_of_deleted(&t, turn, &reader);
		talk_fini(&t);
	}
	wait_until(no_call_is_open, s, "the model's calls are cancelled", 30000);
	cr_expect_eq(simulator_stat(s, "closedEarly"), 20);
	server_end(&s);
}

static bool start_is_stored(void *arg)
{
	const struct server *s = arg;

	return cluster_count(s->cluster, s->database, "SELECT count(*) FROM renovationd.turn_chunks") > 0;
}

Test(chat_ends, a_deleted_answer_costs_nothing_more_although_its_model_still_thinks)
{
	struct server *s = server_start(
		(const char *[]) { "RENOVATIOND_CHAT_LEASE_MS=5000", "RENOVATIOND_CHAT_CHECKPOINT_MS=50", NULL });
	struct talk t;
	struct stream reader, waiting;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, "Tell me. [sim:first=200s]", ""), *queued = talk_ask(&t, "And then?", "");

	follow_from(&t, turn, NULL, &reader);
	follow_from(&t, queued, NULL, &waiting);
	read_until(&reader, "start-step");
	wait_until(start_is_stored, s, "the first events are stored: nothing more is written of the turn", 30000);
	remove_row(&t, format("/api/sessions/%s", t.session));
	expect_end_of_deleted(&t, turn, &reader);
	expect_end_of_deleted(&t, queued, &waiting);
	wait_until(no_call_is_open, s, "the model's call is cancelled", 30000);
	talk_fini(&t);
	server_end(&s);
}

/* As the workers saw them at their last look. */
static bool a_ring_is_used(void *arg)
{
	const struct scoreboard *board = arg;
	uint32_t used = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		used += SCOREBOARD_GET(board->slots[i].rings);
	return used > 0;
}

static bool no_ring_is_used(void *arg)
{
	return !a_ring_is_used(arg);
}

Test(chat_ends, an_answer_that_another_host_took_leaves_no_ring_behind_and_its_readers_stay)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_CHECKPOINT_MS=50", NULL });
	struct scoreboard *board = board_open(s);
	struct talk t;
	struct stream reader;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	follow_from(&t, turn, NULL, &reader);
	read_until(&reader, "text-delta");
	wait_until(a_ring_is_used, board, "the workers have counted the ring", 30000);
	free(cluster_sql(s->cluster, s->database,
		format("UPDATE renovationd.turns SET fence = fence + 1, lease_owner = 'elsewhere/1/0/1', lease_until = "
		       "now() + interval '1 hour' WHERE id = '%s' RETURNING id",
			turn)));
	wait_until(no_ring_is_used, board, "the ring is given back", 60000);
	wait_until(no_call_is_open, s, "the model's call is cancelled", 30000);
	/* The other host ends it, as far as it is stored. */
	free(cluster_sql(s->cluster, s->database,
		format("UPDATE renovationd.turns SET status = 'completed', finish_reason = 'stop', lease_owner = NULL, "
		       "lease_until = NULL, ended_at = now() WHERE id = '%s' RETURNING id",
			turn)));

	char *rest = read_rest(&reader);

	cr_expect_not_null(strstr(rest, "[DONE]"), "%s", rest);
	cr_expect_null(strstr(rest, "\"abort\""), "%s", rest);
	free(rest);
	stream_close(&reader);
	talk_fini(&t);
	board_close(&board);
	server_end(&s);
}

/* --- out of time ------------------------------------------------------------------------------------------------------------ */

Test(chat_ends, an_answer_that_takes_too_long_fails_with_what_was_said)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_TIMEOUT_MS=6000", NULL });
	struct talk t;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");
	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect(strlen(f.text) > 0);
	cr_expect_not_null(strstr(f.events, "\"data-error\",\"data\":{\"code\":\"model_timeout\""), "%s", f.events);
	cr_expect_not_null(strstr(f.events, "\"type\":\"error\""), "%s", f.events);
	cr_expect_not_null(strstr(f.events, "\"finishReason\":\"error\""), "%s", f.events);
	expect_turn(&t, turn, "status", "failed");
	expect_turn(&t, turn, "error.code", "model_timeout");
	expect_turn(&t, turn, "finishReason", "error");
	expect_answer(&t, turn, "status", "partial");
	expect_answer(&t, turn, "content", f.text);
	wait_until(no_call_is_open, s, "the model's call is cancelled", 30000);
	followed_free(&f);
	talk_fini(&t);
	server_end(&s);
}

Test(chat_ends, a_model_that_falls_silent_fails_the_answer_with_what_was_said)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_GEMINI_BETWEEN_BYTES_TIMEOUT_MS=2000", NULL });
	struct talk t;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, "x [sim:chunks=20][sim:fault=silence_middle,afterChunks=3]", "");
	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect(strlen(f.text) > 0);
	cr_expect_not_null(strstr(f.events, "\"type\":\"error\""), "%s", f.events);
	cr_expect_not_null(strstr(f.events, "\"finishReason\":\"error\""), "%s", f.events);
	expect_turn(&t, turn, "status", "failed");
	expect_turn(&t, turn, "error.code", "model_timeout");
	expect_turn(&t, turn, "finishReason", "error");
	expect_answer(&t, turn, "status", "partial");
	expect_answer(&t, turn, "content", f.text);
	wait_until(no_call_is_open, s, "the model's call is cancelled", 30000);
	followed_free(&f);
	talk_fini(&t);
	server_end(&s);
}

#define OF_PRODUCTS "relation = 'renovationd.product_recommendations'::regclass"

static bool products_are_locked(void *arg)
{
	const struct server *s = arg;

	return cluster_count(s->cluster, s->database,
		       "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' "
		       "AND " OF_PRODUCTS) > 0;
}

static void unlock(struct server *s)
{
	free(cluster_sql(s->cluster, s->database,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' "
		"AND " OF_PRODUCTS));
}

Test(chat_ends, an_answer_whose_history_does_not_come_in_time_fails_in_order)
{
	struct server *s = server_start(
		(const char *[]) { "RENOVATIOND_CHAT_TIMEOUT_MS=6000", "RENOVATIOND_DB_WAIT_TIMEOUT_MS=60000", NULL });
	struct talk t;
	struct stream reader;
	pid_t before[4], after[4];

	talk_init(&t, s);
	cr_assert_eq(server_workers(s, before, 4), 2);

	/* Of all that an answer needs, only the history reads the products. */
	struct process *holder = process_start(
		(const char *[]) { "psql", cluster_url(s->cluster, s->database), "-c",
			"begin; lock table renovationd.product_recommendations; select pg_sleep(250)", NULL },
		NULL);

	wait_until(products_are_locked, s, "the table is locked", 30000);
	stream_open(&reader, s->port, t.client.token, format("/api/conversations/%s/messages", t.conversation), NULL,
		"{\"content\":\"How long does screed dry?\"}");
	cr_assert_eq(reader.status, 200);

	char *rest = read_rest(&reader);

	cr_expect_not_null(strstr(rest, "\"code\":\"database_unavailable\""), "%s", rest);
	cr_expect_not_null(strstr(rest, "\"finishReason\":\"error\""), "%s", rest);
	cr_expect_not_null(strstr(rest, "[DONE]"), "%s", rest);
	cr_expect(products_are_locked(s), "the history came after all");
	free(rest);
	stream_close(&reader);
	unlock(s);

	/* The history comes now, to nobody; the next question is answered. */
	struct followed f = talk_follow(&t, talk_ask(&t, "[sim:repeat=fine]", ""), "", 60000);

	cr_expect_str_eq(f.text, "fine");
	followed_free(&f);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect((after[0] == before[0] && after[1] == before[1]) || (after[0] == before[1] && after[1] == before[0]),
		"a worker died");
	process_end(&holder);
	talk_fini(&t);
	server_end(&s);
}

/* --- the model is away ------------------------------------------------------------------------------------------------------ */

static void open_breakers(struct scoreboard *board, int64_t for_ms)
{
	int opened = 0;

	for (int i = 0; i < BREAKERS_MAX; i++)
		if (atomic_load(&board->breakers[i].name_hash) != 0) {
			atomic_store(&board->breakers[i].open_until_ms, now_ms() + for_ms);
			opened++;
		}
	cr_assert(opened > 0);
}

struct waiting {
	struct talk *talk;
	const char *turn; /* that is queued at first */
};

static bool has_begun(void *arg)
{
	const struct waiting *w = arg;

	return strcmp(talk_status(w->talk, w->turn), "queued") != 0;
}

Test(chat_ends, a_queued_question_waits_for_the_model_and_fails_when_it_does_not_come_back)
{
	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_STREAMING_MODELS=gemini-3.8-flash", "RENOVATIOND_CHAT_TIMEOUT_MS=12000", NULL });
	struct scoreboard *board = board_open(s);
	struct talk t;

	for (int is_back = 1; is_back >= 0; is_back--) {
		talk_init(&t, s);

		const char *running = talk_ask(&t, LONG_ANSWER, ""), *queued = talk_ask(&t, "[sim:repeat=back]", "");
		struct stream first;
		int64_t requests, opened;

		follow_from(&t, running, NULL, &first);
		read_until(&first, "text-delta");
		stream_close(&first);
		if (!is_back)
			script(s, "/sim/faults",
				"[{\"match\":{\"method\":\"streamGenerateContent\"},\"fault\":\"503\"}]");
		opened = now_ms();
		open_breakers(board, 1500);
		requests = simulator_stat(s, "requests");

		struct reply r = client_request(&t.client, "POST", format("/api/turns/%s/cancel", running), NULL, NULL);

		cr_expect_eq(r.status, 200);
		reply_free(&r);
		wait_until(has_begun, &(struct waiting) { &t, queued }, "the queued question begins", 30000);

		bool is_asked = simulator_stat(s, "requests") != requests;

		cr_expect(!is_asked || now_ms() - opened >= 1500, "the model is asked while it is away");

		struct followed f = talk_follow(&t, queued, "", 60000);

		cr_expect(now_ms() - opened >= 1500, "it did not wait");
		cr_expect_str_eq(f.text, is_back ? "back" : "", "%s", f.events);
		expect_turn(&t, queued, "status", is_back ? "completed" : "failed");
		expect_turn(&t, queued, "error.code", is_back ? "" : "model_unavailable");
		expect_answer(&t, queued, "status", is_back ? "complete" : "failed");
		followed_free(&f);
		talk_fini(&t);
	}
	board_close(&board);
	server_end(&s);
}

Test(chat_ends, without_continuation_the_death_of_the_writer_fails_the_answer_with_what_was_said)
{
	struct server *s = server_start((const char *[]) { "RENOVATIOND_CHAT_CONTINUE=false", NULL });
	struct talk t;
	struct stream first;

	talk_init(&t, s);

	const char *turn = talk_ask(&t, LONG_ANSWER, "");

	follow_from(&t, turn, NULL, &first);
	read_until(&first, "text-delta");
	stream_close(&first);

	pid_t writer = talk_writer(&t, turn);

	cr_assert(writer > 0 && kill(writer, SIGKILL) == 0);

	struct followed f = talk_follow(&t, turn, "", 60000);

	cr_expect(!f.has_gap);
	cr_expect(strlen(f.text) > 0);
	cr_expect_not_null(strstr(f.events, "\"type\":\"error\""), "%s", f.events);
	expect_turn(&t, turn, "status", "failed");
	expect_turn(&t, turn, "error.code", "model_failed");
	expect_answer(&t, turn, "status", "partial");
	expect_answer(&t, turn, "content", f.text);
	followed_free(&f);
	talk_fini(&t);
	server_end(&s);
}

/* --- filtered --------------------------------------------------------------------------------------------------------------- */

/* Body of the newest request of a model; free it. */
static char *last_request(struct server *s)
{
	struct reply log = simulator_request(s, "GET", "/sim/log", NULL);
	char *last = strdup(""), *save = NULL;

	for (char *line = strtok_r(log.body, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		if (strstr(line, "streamGenerateContent") != NULL) {
			free(last);
			last = strdup(line);
		}
	reply_free(&log);
	return last;
}

Test(chat_ends, a_conversation_goes_on_after_a_filtered_answer_as_if_that_had_not_been_asked)
{
	static const struct {
		const char *question, *reason;
	} filtered[] = { { "tabooA [sim:fault=safety]", "SAFETY" },
		{ "tabooB [sim:fault=blocked]", "PROHIBITED_CONTENT" } };
	struct server *s = server_start(NULL);
	struct talk t;

	talk_init(&t, s);
	talk_wait(&t, talk_ask(&t, "greeting [sim:repeat=hello]", ""), "completed", 60000);
	for (size_t i = 0; i < COUNT_OF(filtered); i++) {
		const char *turn = talk_ask(&t, filtered[i].question, "");
		struct followed f = talk_follow(&t, turn, "", 60000);

		cr_expect_not_null(strstr(f.events, format("{\"type\":\"data-refusal\",\"data\":{\"reason\":\"%s\"}}",
							    filtered[i].reason)),
			"%s", f.events);
		cr_expect_not_null(strstr(f.events, "\"finishReason\":\"content-filter\""), "%s", f.events);
		expect_turn(&t, turn, "status", "completed");
		expect_turn(&t, turn, "finishReason", "content-filter");
		followed_free(&f);
	}

	struct followed f = talk_follow(&t, talk_ask(&t, "afterwards [sim:repeat=fine]", ""), "", 60000);
	char *request = last_request(s);

	cr_expect_str_eq(f.text, "fine");
	cr_expect_not_null(strstr(request, "greeting"), "what went well is history");
	cr_expect_not_null(strstr(request, "hello"));
	cr_expect_not_null(strstr(request, "afterwards"));
	cr_expect_null(strstr(request, "taboo"), "what was filtered would be filtered again: %s", request);
	free(request);
	followed_free(&f);
	talk_fini(&t);
	server_end(&s);
}

/* --- names that no tool can have -------------------------------------------------------------------------------------------- */

static char *long_script(const char *before, const char *after)
{
	size_t room = 300000;
	char *text = malloc(room), *at = text;

	at += snprintf(at, room, "[{\"steps\":[{\"text\":\"Noting it.\"},{\"call\":%s", before);
	/* Three bytes each, so that a cut falls within one. */
	for (int i = 0; i < 50000; i++)
		at += snprintf(at, 4, "\xe2\x82\xac");
	(void)snprintf(at, 100, "%s}]}]", after);
	return text;
}

Test(chat_ends, a_name_without_end_is_an_unknown_one_and_ends_no_worker)
{
	static const struct {
		const char *before, *after, *problem;
	} calls[] = {
		{ "{\"name\":\"", "\",\"args\":{}}", "there is no tool called \xe2\x82\xac" },
		{ "{\"name\":\"add_task\",\"args\":{\"", "\":1}}", "add_task has no argument \xe2\x82\xac" },
	};
	struct server *s = server_start(NULL);
	struct talk t;

	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		char *body = long_script(calls[i].before, calls[i].after);

		talk_init(&t, s);
		script(s, "/sim/script", body);

		const char *turn = talk_ask(&t, "Please plan.", "");
		struct followed f = talk_follow(&t, turn, "", 60000);

		cr_expect_not_null(strstr(f.events, calls[i].problem), "%s", f.events);
		cr_expect(!f.has_gap);
		expect_turn(&t, turn, "status", "completed");
		cr_expect_eq(cluster_count(s->cluster, s->database,
				     format("SELECT attempt FROM renovationd.turns WHERE id = '%s'", turn)),
			0, "a worker died of it");
		followed_free(&f);
		talk_fini(&t);
		free(body);
	}
	server_end(&s);
}

/* --- when the events are gone ----------------------------------------------------------------------------------------------- */

struct ending {
	const char *question;
	const char *status; /* of its turn */
	const char *turn;
	char *live; /* what was streamed, as read_rest gives it */
	char *text; /* of it */
};

static char *joined_text(const char *events)
{
	char *copy = strdup(events), *text = calloc(1, strlen(events) + 1), *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		struct json_object *part = line[0] == '{' ? json_tokener_parse(line) : NULL;
		const char *delta = part != NULL ? json_at(part, "delta") : NULL;

		if (delta != NULL)
			memcpy(text + strlen(text), delta, strlen(delta) + 1);
		json_object_put(part);
	}
	free(copy);
	return text;
}

/* The events as a list, without those that a whole part does not have: texts in one piece, no beginnings of inputs. */
static struct json_object *outline(const char *events)
{
	struct json_object *list = json_object_new_array();
	char *copy = strdup(events), *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		if (strstr(line, "\"text-delta\"") == NULL && strstr(line, "\"tool-input-start\"") == NULL)
			(void)json_object_array_add(
				list, line[0] == '{' ? json_tokener_parse(line) : json_object_new_string(line));
	free(copy);
	return list;
}

static void ask_and_follow(struct talk *t, struct ending *e)
{
	struct stream s;
	bool is_cancelled = strcmp(e->status, "cancelled") == 0;

	e->turn = talk_ask(t, e->question, "");
	follow_from(t, e->turn, NULL, &s);
	if (is_cancelled) {
		struct stream other;
		struct reply r;

		follow_from(t, e->turn, NULL, &other);
		read_until(&other, "text-delta");
		stream_close(&other);
		r = client_request(&t->client, "POST", format("/api/turns/%s/cancel", e->turn), NULL, NULL);
		cr_expect_eq(r.status, 200);
		reply_free(&r);
	}
	e->live = read_rest(&s);
	e->text = joined_text(e->live);
	stream_close(&s);
	talk_wait(t, e->turn, e->status, 60000);
}

/* The ring of an ended turn lingers a while; then only the stored answer is left. */
static char *stored_stream(struct talk *t, const struct ending *e, const char *header)
{
	for (int64_t deadline = now_ms() + 60000;; pause_ms(200)) {
		struct stream s;
		struct stream_event first;

		cr_assert(now_ms() < deadline, "the ring stays");
		follow_from(t, e->turn, header, &s);
		cr_assert(stream_next(&s, &first), "status %d", s.status);

		bool is_numbered = first.id[0] != '\0';
		char *rest = read_rest(&s), *all = malloc(strlen(first.data) + strlen(rest) + 2);

		(void)snprintf(all, strlen(first.data) + strlen(rest) + 2, "%s\n%s", first.data, rest);
		free(rest);
		stream_event_free(&first);
		stream_close(&s);
		if (!is_numbered)
			return all;
		free(all);
	}
}

static void expect_stored_as_live(struct talk *t, const struct ending *e)
{
	char *stored = stored_stream(t, e, NULL), *text = joined_text(stored);
	struct json_object *of_live = outline(e->live), *of_stored = outline(stored);

	cr_expect(json_object_equal(of_stored, of_live), "%s\n--- stored\n%s\n--- live\n%s", e->question,
		json_object_to_json_string(of_stored), json_object_to_json_string(of_live));
	cr_expect_str_eq(text, e->text, "%s", e->question);
	json_object_put(of_live);
	json_object_put(of_stored);
	free(text);
	free(stored);
}

/* Whoever has seen a part is told to forget it, and sees everything once. */
static void expect_rewind(struct talk *t, const struct ending *e)
{
	char *stored = stored_stream(t, e, format("Last-Event-ID: %s.3\r\n", e->turn)), *text = joined_text(stored);

	cr_expect_eq(strncmp(stored, "{\"type\":\"data-rewind\",\"data\":{\"to\":0}", 37), 0, "%s", stored);
	cr_expect_str_eq(text, e->text);
	free(text);
	free(stored);
}

Test(chat_ends, a_stream_made_from_the_stored_answer_ends_as_the_live_one_did)
{
	struct ending endings[] = {
		{ .question = "x [sim:repeat=fine]", .status = "completed" },
		{ .question = "Plan. [sim:tool=add_task {\"title\":\"x\"}]", .status = "completed" },
		{ .question = "x [sim:fault=max_tokens]", .status = "completed" },
		{ .question = "x [sim:chunks=6][sim:fault=finish,reason=SAFETY,afterChunks=3]", .status = "completed" },
		{ .question = "x [sim:chunks=20][sim:fault=eof,afterChunks=5]", .status = "failed" },
		{ .question = "x [sim:fault=429_minute]", .status = "failed" },
		{ .question = LONG_ANSWER, .status = "cancelled" },
	};
	struct server *s = server_start(NULL);
	struct talk t;

	talk_init(&t, s);
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		/* A new conversation: questions that failed go to the model again with the next one. */
		(void)snprintf(t.conversation, sizeof t.conversation, "%s",
			server_conversation(&t.client, server_new_session(&t.client, "Kitchen")));
		ask_and_follow(&t, &endings[i]);
	}
	free(cluster_sql(s->cluster, s->database, "DELETE FROM renovationd.turn_chunks; SELECT 1"));
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		expect_stored_as_live(&t, &endings[i]);
		if (i == 0)
			expect_rewind(&t, &endings[i]);
		free(endings[i].live);
		free(endings[i].text);
	}
	talk_fini(&t);
	server_end(&s);
}
