/* checkpoint.c: the ring's events as packed chunks in turn_chunks: after chat_checkpoint_ms or chat_checkpoint_bytes, when the ring is full, and before a step or the
 * end is stored (those carry their own chunk). One write of a turn at a time, so chunks follow each other without a gap; a write whose outcome is unknown is made
 * again from the same event, which replaces it. Called by emit.c and turn.c. */
#include "config.h"

#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

static void on_checkpoint_timer(evutil_socket_t fd, short what, void *arg)
{
	struct turn *t = arg;

	(void)fd;
	(void)what;
	if (t->state == TURN_SETTLING)
		checkpoint_settle(t);
	else
		checkpoint_start(t);
}

/* The state's own write carries the events. */
static bool is_carried(const struct turn *t)
{
	return t->state == TURN_STORING || t->state == TURN_FINISHING || t->state == TURN_ENDED;
}

static void checkpoint_later(struct turn *t, int64_t after_ms)
{
	if (t->checkpoint_timer == NULL)
		t->checkpoint_timer = evtimer_new(t->chat->w->base, on_checkpoint_timer, t);
	if (!evtimer_pending(t->checkpoint_timer, NULL))
		timer_in(t->checkpoint_timer, after_ms);
}

void checkpoint_note(struct turn *t, size_t bytes)
{
	const struct options *o = &t->chat->w->options;

	t->unstored_bytes += bytes;
	if (t->checkpoint != NULL || t->state == TURN_SETTLING || is_carried(t))
		return;
	if (t->unstored_bytes >= (size_t)o->chat_checkpoint_bytes) {
		checkpoint_start(t);
		return;
	}
	checkpoint_later(t, o->chat_checkpoint_ms);
}

void checkpoint_pack(struct turn *t, struct buffer *chunk, uint64_t *from_out, uint64_t *to_out)
{
	struct ring_cursor cursor;
	uint64_t from = ring_stored(t->ring) + 1, n = from - 1;

	*from_out = from;
	*to_out = from - 1;
	if (ring_seek(t->ring, &t->id, from, &cursor) != RING_EVENT)
		return;
	while (ring_next(t->ring, &cursor, &t->chat->read_room, &n) == RING_EVENT) {
		chunk_append(chunk, buffer_text(&t->chat->read_room));
		*to_out = n;
	}
}

/* A stop began while this write was under way, and more was shown meanwhile: that is stored before the turn is let go. */
static bool stores_rest(struct turn *t)
{
	if (!t->chat->is_stop || !t->chat->is_released || ring_last(t->ring) <= ring_stored(t->ring))
		return false;
	checkpoint_start(t);
	return t->checkpoint != NULL;
}

static void on_stored(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;

	t->checkpoint = NULL;
	if (e == ERROR_NONE && db_result_rows(r) == 0) {
		turn_lost(t, "a checkpoint");
		return;
	}
	if (e == ERROR_NONE) {
		t->failures = 0;
		ring_set_stored(t->ring, t->checkpoint_to);
		emit_flush_backlog(t);
	} else {
		LOG(LOG_WARN, "checkpoint failed", TURN_LOG_FIELDS(t), F_STR("code", error_code(e)),
			F_INT("failures", t->failures));
		t->failures++;
	}
	if (e == ERROR_NONE && stores_rest(t))
		return;
	if (turn_is_left(t))
		return;
	if (t->state == TURN_SETTLING && (e == ERROR_NONE || buffer_length(&t->backlog) == 0))
		checkpoint_settle(t);
	else if (e != ERROR_NONE)
		checkpoint_later(t, 250);
	else if (buffer_length(&t->backlog) > 0)
		checkpoint_start(t);
	else if (ring_last(t->ring) > ring_stored(t->ring))
		checkpoint_later(t, t->chat->w->options.chat_checkpoint_ms);
}

void checkpoint_start(struct turn *t)
{
	struct buffer chunk;
	uint64_t from, to;

	if (t->checkpoint != NULL || t->ring == NULL || is_carried(t))
		return;
	buffer_init(&chunk);
	checkpoint_pack(t, &chunk, &from, &to);
	t->unstored_bytes = 0;
	if (to >= from) {
		struct db_uuid owner, id;
		struct db_number fence, from_room, to_room;
		const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id),
			db_int(&fence, (int64_t)t->fence), db_int(&from_room, (int64_t)from),
			db_int(&to_room, (int64_t)to), DB_BYTES(buffer_text(&chunk)) };

		t->checkpoint_to = to;
		t->checkpoint = db_submit(t->chat->w->db, SQL_turn_checkpoint, params, on_stored, t);
	}
	buffer_fini(&chunk);
}

void checkpoint_settle(struct turn *t)
{
	if (t->checkpoint != NULL)
		return; /* on_stored comes back here */
	if (t->checkpoint_timer != NULL)
		(void)evtimer_del(t->checkpoint_timer);
	emit_flush_backlog(t);
	if (buffer_length(&t->backlog) > 0) {
		checkpoint_start(t);
		return;
	}
	turn_settled(t);
}
