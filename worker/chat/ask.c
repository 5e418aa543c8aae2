/* ask.c: a question comes in. What cannot be answered is refused before anything is stored (no model to be had, no ring free); else one transaction stores the question
 * and its turn behind a lock of the conversation, and the turn begins here or waits in its queue. Called by routes.c and facade.c. */
#include "config.h"

#include "shared/json.h"
#include "shared/log.h"
#include "worker/chat/turn.h"
#include "worker/http/response.h"
#include "worker/realtime/bus.h"

#define CONTENT_MAX   32000
#define CLIENT_ID_MAX 128

struct ask {
	struct chat *chat;
	struct request *rq;
	struct uuid conversation;
	struct uuid message, turn, answer; /* ids of what will be made */
	struct ask_question question;
	struct text when_busy; /* enqueue, reject or interrupt */
	struct ring *ring;     /* claimed for the turn; given back when it does not begin */
	bool is_regenerate;    /* a question again, not a new one */
	bool is_stream;        /* the answer is the stream */
	struct text again;     /* is_regenerate: as ask_again has it */
};

/* --- what is asked ---------------------------------------------------------------------------------------------------------- */

static void invalid(struct request *rq, const char *path, const char *code, const char *message)
{
	const struct field_problem problem = { text_of(path), code, text_of(message) };

	response_invalid(rq, &problem, 1);
}

bool ask_check_content(struct request *rq, struct text content, const char *path)
{
	size_t length = content.bytes != NULL ? text_code_points(content) : 0;

	if (content.bytes == NULL)
		invalid(rq, path, "required", "content is required and must be text");
	else if (length < 1)
		invalid(rq, path, "too_short", "content must be 1 to 32,000 characters");
	else if (length > CONTENT_MAX)
		invalid(rq, path, "too_long", "content must be 1 to 32,000 characters");
	return length >= 1 && length <= CONTENT_MAX;
}

bool ask_check_client_id(struct request *rq, struct text id, const char *path)
{
	size_t length = text_code_points(id);
	bool is_good = length >= 1 && length <= CLIENT_ID_MAX;

	for (size_t i = 0; i < id.length; i++)
		is_good = is_good && (unsigned char)id.bytes[i] >= 0x20 && id.bytes[i] != 0x7F;
	if (!is_good)
		invalid(rq, path, "invalid", "clientMessageId must be 1 to 128 printable characters");
	return is_good;
}

bool ask_read_key(struct request *rq, struct ask_question *q)
{
	struct text key = TEXT_NONE;

	if (q->client_id.bytes != NULL)
		return true;
	if (!request_idempotency_key(rq, &key) || key.length > CLIENT_ID_MAX) {
		invalid(rq, "Idempotency-Key", "invalid",
			"Idempotency-Key must be 1 to 128 printable ASCII characters without spaces here");
		return false;
	}
	q->client_id = key;
	q->has_key = key.bytes != NULL;
	return true;
}

static bool check_when_busy(struct request *rq, struct text when_busy)
{
	if (text_equals(when_busy, TEXT("enqueue")) || text_equals(when_busy, TEXT("reject")) ||
		text_equals(when_busy, TEXT("interrupt")))
		return true;
	invalid(rq, "whenBusy", "invalid", "whenBusy must be enqueue, reject or interrupt");
	return false;
}

static bool check_member(struct ask *a, const struct json_value *v)
{
	struct request *rq = a->rq;

	if (text_equals(v->name, TEXT("content"))) {
		if (v->type == JSON_STRING)
			a->question.content = v->string;
		return true;
	}
	if (text_equals(v->name, TEXT("attachments"))) {
		if (v->type == JSON_NULL || (v->type == JSON_ARRAY && v->count == 0))
			return true;
		invalid(rq, "attachments", "invalid", "attachments are not taken yet");
		return false;
	}
	if (text_equals(v->name, TEXT("clientMessageId"))) {
		if (v->type == JSON_NULL)
			return true;
		a->question.client_id = v->type == JSON_STRING ? v->string : TEXT("");
		return ask_check_client_id(rq, a->question.client_id, "clientMessageId");
	}
	if (text_equals(v->name, TEXT("whenBusy"))) {
		if (v->type == JSON_NULL)
			return true;
		a->when_busy = v->type == JSON_STRING ? v->string : TEXT("");
		return check_when_busy(rq, a->when_busy);
	}

	const struct field_problem problem = { v->name, "unknown",
		arena_printf(&rq->arena, "%.*s is not known here", TEXT_ARGS(v->name)) };

	response_invalid(rq, &problem, 1);
	return false;
}

static bool ask_read_body(struct ask *a)
{
	struct json_value *root = NULL;
	const char *problem = NULL;

	if (json_parse(&a->rq->arena, a->rq->body, &root, &problem) != ERROR_NONE) {
		response_problem(a->rq, ERROR_INVALID_JSON, problem);
		return false;
	}
	if (root->type != JSON_OBJECT) {
		invalid(a->rq, "", "wrong_type", "the body must be an object");
		return false;
	}
	for (const struct json_value *v = root->first; v != NULL; v = v->next)
		if (!check_member(a, v))
			return false;
	return ask_check_content(a->rq, a->question.content, "content") && ask_read_key(a->rq, &a->question);
}

/* --- answering -------------------------------------------------------------------------------------------------------------- */

static void give_back_ring(struct ask *a)
{
	if (a->ring != NULL)
		ring_release(a->chat->rings, a->ring);
	a->ring = NULL;
}

static void answer_stream(struct ask *a, const struct uuid *turn)
{
	const struct reader_request request = { .owner = a->rq->owner, .turn = *turn, .is_known = true };

	reader_open(a->chat, a->rq, &request);
}

static void answer_json(struct ask *a, const struct db_result *r, int status)
{
	struct buffer body;

	buffer_init(&body);
	buffer_printf(&body, "{\"message\":%.*s,\"turn\":%.*s}", TEXT_ARGS(db_result_text(r, 0, 5)),
		TEXT_ARGS(db_result_text(r, 0, 6)));
	response_json(a->rq, status, buffer_text(&body));
	buffer_fini(&body);
}

static void answer_turn_in_progress(struct ask *a, const struct db_result *r)
{
	struct uuid active = db_result_uuid(r, 0, 2);
	char id[UUID_TEXT_BYTES];

	uuid_format(&active, id);
	response_problem_with(
		a->rq, ERROR_TURN_IN_PROGRESS, NULL, arena_printf(&a->rq->arena, "\"turnId\":\"%s\"", id));
}

static void begin_turn(struct ask *a, const struct db_result *r)
{
	const struct turn_row row = { .id = a->turn,
		.owner = a->rq->owner,
		.conversation = a->conversation,
		.session = db_result_uuid(r, 0, 3),
		.has_session = !db_result_is_null(r, 0, 3),
		.message = a->message,
		.answer = a->answer,
		.fence = 1,
		.role = MODEL_ROLE_STREAMING,
		.trace_id = a->rq->trace_id,
		.request_id = a->rq->id };
	struct ring *ring = a->ring;

	a->ring = NULL;
	turn_create(a->chat, &row, ring, false);
	leave_late_question(a->chat);
}

static void answer_refusal(struct ask *a, struct text outcome, const struct db_result *r)
{
	if (text_equals(outcome, TEXT("reused")))
		response_problem(a->rq,
			a->question.has_key ? ERROR_IDEMPOTENCY_KEY_REUSED : ERROR_CLIENT_MESSAGE_ID_REUSED, NULL);
	else if (text_equals(outcome, TEXT("full")))
		response_problem(a->rq, ERROR_TOO_MANY_QUEUED, NULL);
	else
		answer_turn_in_progress(a, r);
}

static void on_asked(void *arg, enum error e, const struct db_result *r)
{
	struct ask *a = arg;

	if (e != ERROR_NONE || db_result_rows(r) == 0) {
		give_back_ring(a);
		if (e == ERROR_NONE || e == ERROR_CONFLICT)
			response_problem(a->rq, ERROR_NOT_FOUND, NULL);
		else if (error_status(e) == 503)
			response_problem_retry(a->rq, e, NULL, 1);
		else
			response_problem(a->rq, ERROR_INTERNAL, NULL);
		return;
	}
	struct text outcome = db_result_text(r, 0, 0);
	bool is_run = text_equals(outcome, TEXT("run")), is_replay = text_equals(outcome, TEXT("replay"));
	struct uuid turn = db_result_uuid(r, 0, 1), active = db_result_uuid(r, 0, 2);

	if (!is_run)
		give_back_ring(a);
	if (!is_run && !is_replay && !text_equals(outcome, TEXT("queue"))) {
		answer_refusal(a, outcome, r);
		return;
	}
	if (is_run)
		begin_turn(a, r);
	else if (!is_replay && text_equals(a->when_busy, TEXT("interrupt")))
		cancel_wake(a->chat, &active);
	if (is_replay)
		response_header(a->rq, "Idempotent-Replayed", "true");
	if (a->is_stream)
		answer_stream(a, &turn);
	else
		answer_json(a, r, is_replay ? 200 : 202);
}

/* --- storing ---------------------------------------------------------------------------------------------------------------- */

static void submit_question(struct ask *a)
{
	struct worker *w = a->chat->w;
	struct db_uuid ids[5];
	struct db_number queue, lease;
	struct db_param owner = db_uuid(&ids[0], &a->rq->owner), conversation = db_uuid(&ids[1], &a->conversation);
	const struct db_param lock[] = { owner, conversation };
	const struct db_param ask[] = { owner, conversation, db_uuid(&ids[2], &a->message), db_uuid(&ids[3], &a->turn),
		db_uuid(&ids[4], &a->answer), DB_TEXT(a->question.content),
		a->question.client_id.bytes != NULL ? DB_TEXT(a->question.client_id) : DB_NULL, DB_TEXT(a->when_busy),
		db_int(&queue, w->options.chat_queue_max), DB_TEXT(text_of(w->lease)),
		db_int(&lease, w->options.chat_lease_ms), DB_TEXT(TEXT("streaming")) };
	const struct db_step steps[] = { { SQL_conversation_lock, lock }, { SQL_chat_ask, ask } };

	(void)db_submit_steps(w->db, steps, COUNT_OF(steps), on_asked, a);
}

static void submit_regenerate(struct ask *a)
{
	struct worker *w = a->chat->w;
	struct db_uuid ids[5];
	struct db_number queue, lease;
	struct uuid message;
	struct db_param owner = db_uuid(&ids[0], &a->rq->owner), conversation = db_uuid(&ids[1], &a->conversation);
	const struct db_param lock[] = { owner, conversation };
	const struct db_param ask[] = { owner, conversation, db_uuid(&ids[2], &a->turn), db_uuid(&ids[3], &a->answer),
		DB_TEXT(a->when_busy), db_int(&queue, w->options.chat_queue_max), DB_TEXT(text_of(w->lease)),
		db_int(&lease, w->options.chat_lease_ms), DB_TEXT(TEXT("streaming")),
		uuid_parse(a->again, &message) ? db_uuid(&ids[4], &message) : DB_NULL,
		a->again.length > 0 ? DB_TEXT(a->again) : DB_NULL };
	const struct db_step steps[] = { { SQL_conversation_lock, lock }, { SQL_chat_regenerate, ask } };

	(void)db_submit_steps(w->db, steps, COUNT_OF(steps), on_asked, a);
}

bool chat_admits(struct request *rq)
{
	const struct worker *w = request_context(rq);
	int64_t retry_in_ms = 0;

	if (!chat_takes_questions(w->chat)) {
		response_problem_retry(rq, ERROR_SERVICE_UNAVAILABLE, NULL, 1);
		return false;
	}
	if (!model_is_available(w->chat, MODEL_ROLE_STREAMING, &retry_in_ms)) {
		response_problem_retry(rq, ERROR_MODEL_UNAVAILABLE, NULL, (int)((retry_in_ms + 999) / 1000));
		return false;
	}
	return true;
}

static void ask_submit(struct ask *a)
{
	request_set_conversation(a->rq, &a->conversation);
	a->message = uuid_create();
	a->turn = uuid_create();
	a->answer = uuid_create();
	if (ring_claim(a->chat->rings, &a->turn, 1, 0, &a->ring) != ERROR_NONE) {
		a->ring = NULL;
		response_problem_retry(a->rq, ERROR_OVERLOADED, NULL, 2);
		return;
	}
	if (a->is_regenerate)
		submit_regenerate(a);
	else
		submit_question(a);
}

static struct ask *ask_create(struct request *rq)
{
	struct ask *a = arena_alloc(&rq->arena, sizeof *a);
	struct worker *w = request_context(rq);

	a->chat = w->chat;
	a->rq = rq;
	/* A copy: a reload may change the option while the question is being stored. */
	a->when_busy = arena_text(&rq->arena, text_of(w->options.chat_when_busy));
	a->is_stream = request_prefers(rq, "text/event-stream");
	return a;
}

void ask_start(struct request *rq, const struct uuid *conversation, const struct ask_question *question)
{
	struct ask *a = ask_create(rq);

	a->conversation = *conversation;
	a->question = *question;
	a->is_stream = true;
	ask_submit(a);
}

void ask_again(struct request *rq, const struct uuid *conversation, struct text message_id)
{
	struct ask *a = ask_create(rq);

	a->conversation = *conversation;
	a->again = message_id;
	a->is_regenerate = true;
	a->is_stream = true;
	ask_submit(a);
}

void chat_ask_conversation(struct request *rq)
{
	struct ask *a = ask_create(rq);

	a->conversation = rq->ids[0];
	if (ask_read_body(a) && chat_admits(rq))
		ask_submit(a);
}

static void on_conversation(void *arg, enum error e, const struct db_result *r)
{
	struct ask *a = arg;

	if (e != ERROR_NONE) {
		response_problem_retry(a->rq, error_status(e) == 503 ? e : ERROR_INTERNAL, NULL, 1);
		return;
	}
	if (db_result_rows(r) == 0) {
		response_problem(a->rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	a->conversation = db_result_uuid(r, 0, 0);
	ask_submit(a);
}

void chat_ask_session(struct request *rq)
{
	struct ask *a = ask_create(rq);
	struct db_uuid owner, session;
	const struct db_param params[] = { db_uuid(&owner, &rq->owner), db_uuid(&session, &rq->ids[0]) };

	if (ask_read_body(a) && chat_admits(rq))
		(void)db_submit(a->chat->w->db, SQL_conversation_of_session, params, on_conversation, a);
}
