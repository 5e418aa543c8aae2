/* turns.c: the handlers of /api/turns/{id}: read, follow, cancel. Cancel is a row first and a wake-up second: any worker takes it, the writer obeys, and the answer
 * shows the turn as it then is. Called by routes.c. */
#include "config.h"

#include "worker/chat/turn.h"
#include "worker/http/response.h"
#include "worker/realtime/bus.h"

#define CANCEL_FIRST_MS 10
#define CANCEL_LAST_MS  2000 /* a writer on another host hears of it with its next lease */

static void answer_error(struct request *rq, enum error e)
{
	if (error_status(e) == 503)
		response_problem_retry(rq, e, NULL, 1);
	else
		response_problem(rq, ERROR_INTERNAL, NULL);
}

/* --- read ------------------------------------------------------------------------------------------------------------------- */

static void on_turn(void *arg, enum error e, const struct db_result *r)
{
	struct request *rq = arg;
	struct uuid conversation;

	if (e != ERROR_NONE) {
		answer_error(rq, e);
		return;
	}
	if (db_result_rows(r) == 0) {
		response_problem(rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	conversation = db_result_uuid(r, 0, 3);
	request_set_conversation(rq, &conversation);
	response_json(rq, 200, db_result_text(r, 0, 2));
}

static void submit_read(struct request *rq, const struct uuid *turn, db_done_fn *done, void *arg)
{
	struct worker *w = request_context(rq);
	struct db_uuid owner, id;
	const struct db_param params[] = { db_uuid(&owner, &rq->owner), db_uuid(&id, turn) };

	(void)db_submit(w->db, SQL_turn_read, params, done, arg);
}

void chat_turn_read(struct request *rq)
{
	submit_read(rq, &rq->ids[0], on_turn, rq);
}

/* --- follow ----------------------------------------------------------------------------------------------------------------- */

/* "<turn>.<n>"; false when it is something else. */
static bool read_event_id(struct text id, const struct uuid *turn, uint64_t *n_out)
{
	struct uuid named;
	size_t length = UUID_TEXT_BYTES - 1;

	return id.length > length + 1 && id.bytes[length] == '.' && uuid_parse(text_span(id.bytes, length), &named) &&
	       uuid_equals(&named, turn) &&
	       text_parse_u64(text_span(id.bytes + length + 1, id.length - length - 1), n_out) &&
	       *n_out < UINT64_C(1) << 53;
}

void chat_turn_stream(struct request *rq)
{
	struct worker *w = request_context(rq);
	struct reader_request request = { .owner = rq->owner, .turn = rq->ids[0] };
	struct text last = request_header(rq, "Last-Event-ID");

	if (rq->method == METHOD_HEAD) { /* what a stream would say, without one */
		chat_turn_read(rq);
		return;
	}

	if (last.length > 0) {
		request.is_rewind = !read_event_id(last, &rq->ids[0], &request.after);
		request.wants_204 = !request.is_rewind && request.after > 0;
		if (request.is_rewind)
			request.after = 0;
	}
	reader_open(w->chat, rq, &request);
}

/* --- cancel ----------------------------------------------------------------------------------------------------------------- */

void cancel_wake(struct chat *chat, const struct uuid *turn)
{
	struct turn *t = chat_find(chat, turn);
	struct ring *ring = t == NULL ? ring_find(chat->rings, turn) : NULL;

	if (t != NULL) {
		turn_cancel(t);
	} else if (ring != NULL) {
		const struct message m = { .type = MESSAGE_TURN_CANCEL,
			.turn = { .ring = (uint32_t)ring_index(chat->rings, ring),
				.use = ring_use(ring),
				.turn = *turn } };

		bus_send(chat->w->bus, ring_owner_slot(ring), &m);
	}
}

/* One cancel that waits for the writer to store the end. */
struct cancel {
	struct request *rq;
	struct chat *chat;
	struct uuid turn;
	struct event *timer;
	int wait_ms;   /* until the next look */
	int waited_ms; /* so far */
};

static void cancel_end(struct cancel *c)
{
	event_free(c->timer);
	c->timer = NULL;
}

static void on_cancelled(void *arg, enum error e, const struct db_result *r)
{
	struct cancel *c = arg;
	bool is_running =
		e == ERROR_NONE && db_result_rows(r) > 0 && text_equals(db_result_text(r, 0, 0), TEXT("running"));

	if (is_running && c->waited_ms < CANCEL_LAST_MS) {
		c->waited_ms += c->wait_ms;
		timer_in(c->timer, c->wait_ms);
		c->wait_ms *= 2;
		return;
	}
	cancel_end(c);
	on_turn(c->rq, e, r); /* shown as cancelled even when its writer has not heard of it yet */
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct cancel *c = arg;

	(void)fd;
	(void)what;
	submit_read(c->rq, &c->turn, on_cancelled, c);
}

static void on_requested(void *arg, enum error e, const struct db_result *r)
{
	struct cancel *c = arg;

	if (e != ERROR_NONE || db_result_rows(r) == 0) {
		cancel_end(c);
		on_turn(c->rq, e, r);
		return;
	}
	if (text_equals(db_result_text(r, 0, 0), TEXT("running")))
		cancel_wake(c->chat, &c->turn);
	readers_peek(c->chat);
	timer_in(c->timer, CANCEL_FIRST_MS);
}

void cancel_start(struct request *rq, const struct uuid *turn)
{
	struct cancel *c = arena_alloc(&rq->arena, sizeof *c);
	struct worker *w = request_context(rq);
	struct db_uuid owner, id;
	const struct db_param params[] = { db_uuid(&owner, &rq->owner), db_uuid(&id, turn) };
	const struct db_step steps[] = { { SQL_conversation_lock_of_turn, params }, { SQL_turn_cancel, params } };

	*c = (struct cancel) { .rq = rq, .chat = w->chat, .turn = *turn, .wait_ms = CANCEL_FIRST_MS * 2 };
	c->timer = evtimer_new(w->base, on_look, c);
	(void)db_submit_steps(w->db, steps, COUNT_OF(steps), on_requested, c);
}

void chat_turn_cancel(struct request *rq)
{
	cancel_start(rq, &rq->ids[0]);
}
