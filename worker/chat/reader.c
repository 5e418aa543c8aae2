/* reader.c: who follows a turn: one event stream each. A reader takes events from the ring while they are there, older ones from the chunks, and those of a turn whose
 * chunks are gone from the stored message. It stops at 64 KiB that its client has not taken and goes on when it has; it never holds anything but its
 * place, so leaving, coming back and being slow cost the turn nothing. Called by the handlers of ask.c, turns.c and facade.c; woken by chat.c. */
#include "config.h"

#include <stdio.h>

#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"
#include "worker/http/sse.h"

#define PENDING_MAX 65536 /* bytes the client has not taken: then we wait */
#define READERS_MAX 100000

enum reader_state {
	READER_ASKING,  /* the database is asked where the turn stands */
	READER_RING,    /* events come from the ring */
	READER_CHUNKS,  /* older events are on their way from the chunks */
	READER_WAITING, /* the turn has no ring here: it waits in its queue, or another host writes it */
	READER_STORED,  /* the stored message is on its way */
	READER_DONE     /* ended; freed at the end of its own call */
};

struct reader {
	struct chat *chat;
	struct reader *next_of_all, *previous_of_all; /* in chat->readers */
	struct reader *next;                          /* in its ring's list or the waiting list */
	struct reader **list;                         /* which; NULL while it is in none */
	struct request *rq;                           /* not answered yet; NULL once the stream has begun */
	struct sse *sse;                              /* the stream; NULL before */
	struct uuid owner, turn;
	char id_text[UUID_TEXT_BYTES];
	uint64_t next_n; /* number of the next event it wants */
	enum reader_state state;
	struct ring *ring;         /* RING */
	struct ring_cursor cursor; /* RING */
	struct db_query *query;    /* in flight */
	bool is_known;             /* the owner was checked */
	bool is_rewind;            /* the client is told to forget first */
	bool wants_204;            /* until the stream begins */
	bool has_ended;            /* the turn, as the database says */
	bool is_blocked;           /* waits for on_writable */
	bool is_gone;              /* the client left */
	bool is_running;           /* reader_run is on the stack */
	int failures;              /* of the database in a row */
};

static void reader_run(struct reader *r);
static void reader_ask(struct reader *r);

/* --- lists ------------------------------------------------------------------------------------------------------------------ */

static void reader_unlist(struct reader *r)
{
	struct reader **place = r->list;

	if (place == NULL)
		return;
	while (*place != r)
		place = &(*place)->next;
	*place = r->next;
	r->next = NULL;
	if (r->ring != NULL && *r->list == NULL)
		ring_unwatch(r->ring, r->chat->w->slot_index);
	r->list = NULL;
	r->ring = NULL;
}

static void reader_list(struct reader *r, struct reader **list)
{
	r->next = *list;
	*list = r;
	r->list = list;
}

static void reader_wait(struct reader *r)
{
	r->state = READER_WAITING;
	reader_list(r, &r->chat->waiting);
	if (!evtimer_pending(r->chat->peek, NULL))
		timer_in(r->chat->peek, 200);
}

/* --- the stream ------------------------------------------------------------------------------------------------------------- */

static void on_writable(void *arg)
{
	struct reader *r = arg;

	if (!r->is_blocked || r->is_gone)
		return;
	r->is_blocked = false;
	reader_run(r);
}

static void reader_destroy(struct reader *r)
{
	reader_unlist(r);
	if (r->query != NULL)
		db_cancel(&r->query);
	if (r->sse != NULL)
		sse_end(&r->sse);
	if (r->next_of_all != NULL)
		r->next_of_all->previous_of_all = r->previous_of_all;
	if (r->previous_of_all != NULL)
		r->previous_of_all->next_of_all = r->next_of_all;
	else
		r->chat->readers = r->next_of_all;
	r->chat->reader_count--;
	chat_reader_gone(r->chat);
	free(r);
}

static void on_gone(void *arg)
{
	struct reader *r = arg;

	r->is_gone = true;
	if (!r->is_running)
		reader_destroy(r);
}

/* Tells the client that what it has seen after the next event's predecessor does not count. */
static void reader_tell_rewind(struct reader *r)
{
	struct buffer json;

	buffer_init(&json);
	part_rewind(&json, r->next_n - 1);
	sse_event(r->sse, TEXT_NONE, buffer_text(&json));
	buffer_fini(&json);
}

static void reader_begin(struct reader *r)
{
	const struct stream_events events = { .on_writable = on_writable, .on_gone = on_gone, .arg = r };
	struct request *rq = r->rq;

	if (r->sse != NULL)
		return;
	r->rq = NULL;
	r->sse = sse_start(rq, true, &events);
	if (r->is_rewind)
		reader_tell_rewind(r);
}

static void reader_event(struct reader *r, uint64_t n, struct text json)
{
	char id[UUID_TEXT_BYTES + 24];
	size_t length = UUID_TEXT_BYTES - 1;
	char digits[20];
	size_t at = sizeof digits;

	memcpy(id, r->id_text, length);
	id[length++] = '.';
	for (uint64_t rest = n; rest > 0; rest /= 10)
		digits[--at] = (char)('0' + rest % 10);
	memcpy(id + length, digits + at, sizeof digits - at);
	length += sizeof digits - at;
	reader_begin(r);
	sse_event(r->sse, text_span(id, length), json);
	r->next_n = n + 1;
}

static bool reader_is_full(struct reader *r)
{
	if (r->sse == NULL || sse_pending(r->sse) < PENDING_MAX)
		return false;
	r->is_blocked = true;
	return true;
}

/* All was read and there will be no more. */
static void reader_done(struct reader *r)
{
	if (r->sse == NULL && r->wants_204) {
		response_send(r->rq, 204, NULL, TEXT(""));
		r->rq = NULL;
	} else {
		reader_begin(r);
		sse_event(r->sse, TEXT_NONE, TEXT("[DONE]"));
	}
	reader_unlist(r);
	r->state = READER_DONE;
}

/* The turn was deleted while it was followed: the stream ends as that of a cancelled answer does. */
static void reader_end_deleted(struct reader *r)
{
	struct buffer json;

	buffer_init(&json);
	part_abort(&json);
	sse_event(r->sse, TEXT_NONE, buffer_text(&json));
	buffer_fini(&json);
	reader_done(r);
}

static void reader_refuse(struct reader *r, enum error e)
{
	if (r->sse != NULL && e == ERROR_NOT_FOUND) {
		reader_end_deleted(r);
		return;
	}
	if (r->sse == NULL) {
		if (e == ERROR_NOT_FOUND)
			response_problem(r->rq, e, NULL);
		else
			response_problem_retry(r->rq, e, NULL, 1);
		r->rq = NULL;
	}
	/* A stream that has begun ends without [DONE]: the client comes back with its Last-Event-ID. */
	reader_unlist(r);
	r->state = READER_DONE;
}

/* --- the stored message ----------------------------------------------------------------------------------------------------- */

static void on_stored_event(void *arg, struct text json)
{
	struct reader *r = arg;

	sse_event(r->sse, TEXT_NONE, json);
}

/* It begins at the start whatever the client has seen. */
static void reader_start_over(struct reader *r)
{
	bool has_seen = r->next_n > 1;

	r->next_n = 1;
	r->wants_204 = false;
	r->is_rewind = r->is_rewind || has_seen;
	if (r->sse == NULL)
		reader_begin(r);
	else if (has_seen)
		reader_tell_rewind(r);
}

static void on_stored(void *arg, enum error e, const struct db_result *rows)
{
	struct reader *r = arg;

	r->query = NULL;
	if (e != ERROR_NONE || db_result_rows(rows) == 0) {
		reader_refuse(r, e != ERROR_NONE ? e : ERROR_NOT_FOUND);
		reader_destroy(r);
		return;
	}

	const struct stored_turn stored = { .turn = r->turn,
		.answer = db_result_uuid(rows, 0, 0),
		.status = db_result_text(rows, 0, 1),
		.finish_reason = db_result_text(rows, 0, 2),
		.error = db_result_text(rows, 0, 3),
		.parts = db_result_text(rows, 0, 4),
		.input_tokens = db_result_int(rows, 0, 5),
		.output_tokens = db_result_int(rows, 0, 6) };

	reader_start_over(r);
	stored_tell(&stored, on_stored_event, r);
	reader_done(r);
	reader_destroy(r);
}

static void reader_ask_stored(struct reader *r)
{
	struct db_uuid owner, turn;
	const struct db_param params[] = { db_uuid(&owner, &r->owner), db_uuid(&turn, &r->turn) };

	r->state = READER_STORED;
	r->query = db_submit(r->chat->w->db, SQL_turn_stored, params, on_stored, r);
}

/* --- chunks ----------------------------------------------------------------------------------------------------------------- */

static void chunk_events(struct reader *r, uint64_t n, struct text body)
{
	struct text json;

	for (; chunk_take(&body, &json) && !reader_is_full(r); n++)
		if (n >= r->next_n)
			reader_event(r, n, json);
}

static void on_chunks(void *arg, enum error e, const struct db_result *rows)
{
	struct reader *r = arg;
	uint64_t before = r->next_n;

	r->query = NULL;
	if (e != ERROR_NONE && r->failures++ > 5) {
		reader_refuse(r, e);
		reader_destroy(r);
		return;
	}
	r->is_running = true;
	for (int row = 0; e == ERROR_NONE && row < db_result_rows(rows) && !r->is_blocked; row++) {
		r->failures = 0;
		chunk_events(r, (uint64_t)db_result_int(rows, row, 0), db_result_text(rows, row, 2));
	}
	r->is_running = false;
	if (r->is_gone) {
		reader_destroy(r);
		return;
	}
	if (r->is_blocked) {
		r->state = READER_ASKING; /* on_writable looks anew */
		return;
	}
	/* Nothing new: the turn is where the database says, and waiting costs less than asking again and again. */
	if (r->next_n == before && !r->has_ended) {
		reader_wait(r);
		return;
	}
	reader_run(r);
}

static void reader_ask_chunks(struct reader *r)
{
	struct db_uuid owner, turn;
	struct db_number from;
	const struct db_param params[] = { db_uuid(&owner, &r->owner), db_uuid(&turn, &r->turn),
		db_int(&from, (int64_t)r->next_n) };

	r->state = READER_CHUNKS;
	r->query = db_submit(r->chat->w->db, SQL_turn_chunks_read, params, on_chunks, r);
}

/* --- where the turn stands -------------------------------------------------------------------------------------------------- */

static void reader_clamp(struct reader *r, uint64_t last)
{
	if (r->next_n <= last + 1)
		return;
	r->next_n = last + 1;
	if (r->sse != NULL) {
		reader_tell_rewind(r);
		return;
	}
	r->is_rewind = true;
	r->wants_204 = false;
}

static void on_follow(void *arg, enum error e, const struct db_result *rows)
{
	struct reader *r = arg;
	uint64_t last;
	bool has_chunks;

	r->query = NULL;
	if (e != ERROR_NONE || db_result_rows(rows) == 0) {
		reader_refuse(r, e != ERROR_NONE ? e : ERROR_NOT_FOUND);
		reader_destroy(r);
		return;
	}
	struct text status = db_result_text(rows, 0, 0);
	struct uuid conversation = db_result_uuid(rows, 0, 3);

	if (r->rq != NULL)
		request_set_conversation(r->rq, &conversation);
	r->is_known = true;
	r->has_ended = !text_equals(status, TEXT("queued")) && !text_equals(status, TEXT("running")) &&
		       !text_equals(status, TEXT("waiting_approval"));
	last = (uint64_t)db_result_int(rows, 0, 1);
	has_chunks = db_result_bool(rows, 0, 2);
	if (ring_find(r->chat->rings, &r->turn) != NULL) {
		reader_run(r);
		return;
	}
	reader_clamp(r, last);
	if (r->has_ended && r->next_n == last + 1 && r->next_n > 1) {
		reader_done(r);
		reader_destroy(r);
		return;
	}
	if (r->has_ended && !has_chunks) {
		reader_ask_stored(r);
		return;
	}
	r->wants_204 = false;
	reader_begin(r);
	if (r->next_n <= last)
		reader_ask_chunks(r);
	else
		reader_wait(r);
}

static void reader_ask(struct reader *r)
{
	struct db_uuid owner, turn;
	const struct db_param params[] = { db_uuid(&owner, &r->owner), db_uuid(&turn, &r->turn) };

	r->state = READER_ASKING;
	r->query = db_submit(r->chat->w->db, SQL_turn_follow, params, on_follow, r);
}

/* --- the ring --------------------------------------------------------------------------------------------------------------- */

/* True when the reader stands in the ring now. */
static bool reader_enter_ring(struct reader *r)
{
	struct ring *ring = ring_find(r->chat->rings, &r->turn);
	enum ring_read found;

	if (ring == NULL)
		return false;
	/* Watched before the first look, so that nothing is appended unseen between the look and the wait. */
	ring_watch(ring, r->chat->w->slot_index);
	/* Another ring than before may go on from less than was shown. In the same one, `last` may lag behind what was just read. */
	if (r->sse == NULL || r->cursor.use != ring_use(ring))
		reader_clamp(r, ring_last(ring));
	found = ring_seek(ring, &r->turn, r->next_n, &r->cursor);
	if (found != RING_EVENT) {
		if (r->chat->followers[ring_index(r->chat->rings, ring)] == NULL)
			ring_unwatch(ring, r->chat->w->slot_index);
		if (found == RING_PASSED)
			reader_ask_chunks(r);
		return found == RING_PASSED;
	}
	r->ring = ring;
	reader_list(r, &r->chat->followers[ring_index(r->chat->rings, ring)]);
	r->state = READER_RING;
	return true;
}

static void reader_read_ring(struct reader *r)
{
	struct buffer *json = &r->chat->read_room;
	uint64_t n;

	while (!reader_is_full(r) && !r->is_gone) {
		switch (ring_next(r->ring, &r->cursor, json, &n)) {
		case RING_EVENT: reader_event(r, n, buffer_text(json)); continue;
		case RING_WAIT: reader_begin(r); return;
		case RING_ENDED: reader_done(r); return;
		case RING_PASSED:
			reader_unlist(r);
			reader_ask_chunks(r);
			return;
		case RING_GONE:
			reader_unlist(r);
			reader_ask(r);
			return;
		}
	}
}

static void reader_run(struct reader *r)
{
	r->is_running = true;
	if (r->query == NULL && !r->is_blocked) {
		if (r->state == READER_WAITING)
			reader_unlist(r);
		if (r->state == READER_RING)
			reader_read_ring(r);
		else if (!r->is_known || !reader_enter_ring(r))
			reader_ask(r);
		else if (r->state == READER_RING)
			reader_read_ring(r);
	}
	r->is_running = false;
	if (r->is_gone || r->state == READER_DONE)
		reader_destroy(r);
}

/* --- from outside ----------------------------------------------------------------------------------------------------------- */

void reader_open(struct chat *chat, struct request *rq, const struct reader_request *request)
{
	struct reader *r;

	bool is_stopping = chat->is_draining && chat->is_stop;

	if (chat->reader_count >= READERS_MAX || is_stopping) {
		response_problem_retry(rq, is_stopping ? ERROR_SERVICE_UNAVAILABLE : ERROR_OVERLOADED, NULL, 1);
		return;
	}
	r = must_alloc(sizeof *r);
	*r = (struct reader) { .chat = chat,
		.rq = rq,
		.owner = request->owner,
		.turn = request->turn,
		.next_n = request->after + 1,
		.is_known = request->is_known,
		.is_rewind = request->is_rewind,
		.wants_204 = request->wants_204 };
	uuid_format(&r->turn, r->id_text);
	r->next_of_all = chat->readers;
	if (chat->readers != NULL)
		chat->readers->previous_of_all = r;
	chat->readers = r;
	chat->reader_count++;
	reader_run(r);
}

void readers_pump(struct chat *chat, uint32_t ring_index)
{
	struct reader *next;

	for (struct reader *r = chat->followers[ring_index]; r != NULL; r = next) {
		next = r->next;
		reader_run(r);
	}
}

void readers_look(struct chat *chat)
{
	for (uint32_t i = 0; i < rings_count(chat->rings); i++)
		if (chat->followers[i] != NULL)
			readers_pump(chat, i);
}

void readers_peek(struct chat *chat)
{
	struct reader *list = chat->waiting, *next;

	/* Those that still have to wait go onto the new list. */
	chat->waiting = NULL;
	for (struct reader *r = list; r != NULL; r = next) {
		next = r->next;
		r->next = NULL;
		r->list = NULL;
		reader_run(r);
	}
}

static void reader_send_away(struct reader *r)
{
	struct uuid dice = uuid_create();
	struct buffer json;
	/* Different for each client, so that they do not come back all at once. Those that are moved one by one need not wait as long. */
	int spread_ms = r->chat->is_stop ? 2400 : 400;
	int after_ms = 100 + (dice.bytes[14] << 8 | dice.bytes[15]) * spread_ms / 65536;

	if (r->sse != NULL) {
		buffer_init(&json);
		sse_retry(r->sse, after_ms);
		part_reconnect(&json, after_ms);
		sse_event(r->sse, TEXT_NONE, buffer_text(&json));
		buffer_fini(&json);
	} else if (r->rq != NULL) {
		response_problem_retry(r->rq, ERROR_SERVICE_UNAVAILABLE, NULL, 1);
		r->rq = NULL;
	}
	reader_destroy(r);
}

void readers_send_away(struct chat *chat)
{
	while (chat->readers != NULL)
		reader_send_away(chat->readers);
}

/* Its turn has ended and is gone from here: the rest and [DONE] come later in this turn of the loop. */
static bool is_ending(const struct reader *r)
{
	return r->state == READER_RING && !r->is_blocked && !ring_is_live(r->ring);
}

static bool is_movable(const struct reader *r)
{
	return r->sse != NULL && r->query == NULL && chat_find(r->chat, &r->turn) == NULL && !is_ending(r);
}

bool readers_move_one(struct chat *chat)
{
	struct reader *r = chat->readers;

	while (r != NULL && !is_movable(r))
		r = r->next_of_all;
	if (r == NULL)
		return false;
	reader_send_away(r);
	return true;
}
