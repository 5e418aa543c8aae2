/* facade.c: the AI SDK's chat transport on turns, so that useChat works unchanged: POST /api/chat asks and streams, GET …/stream follows the running turn, POST …/stop
 * cancels it. The client's chat id names a conversation of the owner; its last user message is the question, everything earlier is ours to know.
 * Called by routes.c. Members that an application adds to the body are its own business and pass. */
#include "config.h"

#include "shared/json.h"
#include "worker/chat/turn.h"
#include "worker/http/response.h"

#define CHAT_ID_MAX 128

struct facade {
	struct request *rq;
	struct chat *chat;
	struct text chat_id;
	struct ask_question question;
	bool is_regenerate;
	struct text message_id; /* is_regenerate: the body's, else that of the last question in it */
	struct uuid session;    /* the body's sessionId */
	bool has_session;
};

static void invalid(struct request *rq, const char *path, const char *message)
{
	const struct field_problem problem = { text_of(path), "invalid", text_of(message) };

	response_invalid(rq, &problem, 1);
}

/* Text parts of a message, joined; older clients send `content`. */
static struct text message_text(struct request *rq, const struct json_value *message)
{
	const struct json_value *parts = json_find(message, "parts");
	struct text joined = TEXT_NONE;

	if (parts == NULL || parts->type != JSON_ARRAY)
		return json_find_string(message, "content");
	for (const struct json_value *p = parts->first; p != NULL; p = p->next) {
		struct text text = json_find_string(p, "text");

		if (!text_equals(json_find_string(p, "type"), TEXT("text")) || text.length == 0)
			continue;
		joined = joined.bytes == NULL
				 ? text
				 : arena_printf(&rq->arena, "%.*s\n%.*s", TEXT_ARGS(joined), TEXT_ARGS(text));
	}
	return joined;
}

static bool has_files(const struct json_value *message)
{
	const struct json_value *parts = json_find(message, "parts");

	for (const struct json_value *p = parts != NULL ? parts->first : NULL; p != NULL; p = p->next)
		if (text_equals(json_find_string(p, "type"), TEXT("file")))
			return true;
	return false;
}

static bool read_question(struct facade *f, const struct json_value *messages)
{
	const struct json_value *last = NULL;

	for (const struct json_value *m = messages != NULL ? messages->first : NULL; m != NULL; m = m->next)
		if (text_equals(json_find_string(m, "role"), TEXT("user")))
			last = m;
	if (f->is_regenerate) {
		if (f->message_id.bytes == NULL)
			f->message_id = json_find_string(last, "id");
		return true;
	}
	if (last == NULL) {
		invalid(f->rq, "messages", "messages must hold a message of role user");
		return false;
	}
	if (has_files(last)) {
		invalid(f->rq, "messages", "file parts are not taken yet");
		return false;
	}
	f->question.content = message_text(f->rq, last);
	f->question.client_id = json_find_string(last, "id");
	return ask_check_content(f->rq, f->question.content, "messages") &&
	       (f->question.client_id.bytes == NULL || ask_check_client_id(f->rq, f->question.client_id, "messages")) &&
	       ask_read_key(f->rq, &f->question);
}

static bool read_session(struct facade *f, const struct json_value *root)
{
	const struct json_value *v = json_find(root, "sessionId");

	if (v == NULL || v->type == JSON_NULL)
		return true;
	f->has_session = v->type == JSON_STRING && uuid_parse(v->string, &f->session);
	if (!f->has_session)
		invalid(f->rq, "sessionId", "sessionId must be the id of a session");
	return f->has_session;
}

static bool facade_read(struct facade *f)
{
	struct json_value *root = NULL;
	const char *problem = NULL;
	struct text trigger;

	if (json_parse(&f->rq->arena, f->rq->body, &root, &problem) != ERROR_NONE) {
		response_problem(f->rq, ERROR_INVALID_JSON, problem);
		return false;
	}
	f->chat_id = json_find_string(root, "id");
	if (f->chat_id.length == 0 || text_code_points(f->chat_id) > CHAT_ID_MAX) {
		invalid(f->rq, "id", "id must be the chat's id, 1 to 128 characters");
		return false;
	}
	trigger = json_find_string(root, "trigger");
	f->is_regenerate = text_equals(trigger, TEXT("regenerate-message"));
	f->message_id = json_find_string(root, "messageId");
	if (trigger.bytes != NULL && !f->is_regenerate && !text_equals(trigger, TEXT("submit-message"))) {
		invalid(f->rq, "trigger", "trigger must be submit-message or regenerate-message");
		return false;
	}
	return read_session(f, root) && read_question(f, json_find(root, "messages"));
}

static void on_opened(void *arg, enum error e, const struct db_result *r)
{
	struct facade *f = arg;
	struct uuid conversation;

	if (e != ERROR_NONE) {
		response_problem_retry(f->rq, error_status(e) == 503 ? e : ERROR_INTERNAL, NULL, 1);
		return;
	}
	if (db_result_rows(r) == 0) {
		response_problem(f->rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	conversation = db_result_uuid(r, 0, 0);
	if (f->is_regenerate)
		ask_again(f->rq, &conversation, f->message_id);
	else
		ask_start(f->rq, &conversation, &f->question);
}

static void submit_open(struct facade *f)
{
	struct db_uuid rooms[4];
	struct uuid conversation = uuid_create(), session = uuid_create();
	struct db_param owner = db_uuid(&rooms[0], &f->rq->owner);
	const struct db_param lock[] = { owner };
	const struct db_param open[] = { owner, DB_TEXT(f->chat_id), db_uuid(&rooms[1], &conversation),
		f->has_session ? db_uuid(&rooms[2], &f->session) : DB_NULL, db_uuid(&rooms[3], &session) };
	const struct db_step steps[] = { { SQL_chat_open_lock, lock }, { SQL_chat_open, open } };

	(void)db_submit_steps(f->chat->w->db, steps, COUNT_OF(steps), on_opened, f);
}

static void on_known(void *arg, enum error e, const struct db_result *r)
{
	struct facade *f = arg;

	if (e == ERROR_NONE && db_result_rows(r) == 0 && !f->is_regenerate)
		submit_open(f);
	else
		on_opened(f, e, r);
}

static struct facade *facade_create(struct request *rq)
{
	struct facade *f = arena_alloc(&rq->arena, sizeof *f);
	struct worker *w = request_context(rq);

	f->rq = rq;
	f->chat = w->chat;
	return f;
}

static void submit_find(struct facade *f, db_done_fn *done)
{
	struct db_uuid room;
	const struct db_param params[] = { db_uuid(&room, &f->rq->owner), DB_TEXT(f->chat_id) };

	(void)db_submit(f->chat->w->db, SQL_chat_find, params, done, f);
}

void chat_facade_ask(struct request *rq)
{
	struct facade *f = facade_create(rq);

	if (facade_read(f))
		submit_find(f, on_known);
}

static bool active_turn(struct facade *f, enum error e, const struct db_result *r, struct uuid *turn_out)
{
	if (e != ERROR_NONE) {
		response_problem_retry(f->rq, error_status(e) == 503 ? e : ERROR_INTERNAL, NULL, 1);
		return false;
	}
	if (db_result_rows(r) > 0) {
		struct uuid conversation = db_result_uuid(r, 0, 0);

		request_set_conversation(f->rq, &conversation);
	}
	if (db_result_rows(r) == 0 || db_result_is_null(r, 0, 1)) {
		response_send(f->rq, 204, NULL, TEXT(""));
		return false;
	}
	*turn_out = db_result_uuid(r, 0, 1);
	return true;
}

static void on_stream(void *arg, enum error e, const struct db_result *r)
{
	struct facade *f = arg;
	struct reader_request request = { .owner = f->rq->owner, .is_known = true };

	if (!active_turn(f, e, r, &request.turn))
		return;
	if (f->rq->method == METHOD_HEAD)
		response_send(f->rq, 200, "text/event-stream", TEXT(""));
	else
		reader_open(f->chat, f->rq, &request);
}

void chat_facade_stream(struct request *rq)
{
	struct facade *f = facade_create(rq);

	f->chat_id = rq->params[0];
	submit_find(f, on_stream);
}

static void on_stop(void *arg, enum error e, const struct db_result *r)
{
	struct facade *f = arg;
	struct uuid turn;

	if (active_turn(f, e, r, &turn))
		cancel_start(f->rq, &turn);
}

void chat_facade_stop(struct request *rq)
{
	struct facade *f = facade_create(rq);

	f->chat_id = rq->params[0];
	submit_find(f, on_stop);
}
