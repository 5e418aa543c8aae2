/* lost.c: a turn whose row takes no writes from us any more. Either the row is gone (its session, conversation or owner was deleted): then the answer ends and its
 * readers are told. Or another worker has taken it: one of this host goes on in the ring, one of another host cannot see it, and the ring is let go. The database
 * is asked which. Called by whoever wrote (checkpoint.c, step.c, finish.c), by turn.c, and by the renewal of leases (chat.c). */
#include "config.h"

#include "shared/log.h"
#include "worker/chat/turn.h"

/* Nothing of it goes on: no call of a model that still costs, no write, no clock. */
static void lost_stop(struct turn *t)
{
	model_stop(t);
	tool_cancel(&t->tool);
	turn_no_timer(t);
	if (t->query != NULL)
		db_cancel(&t->query);
	if (t->checkpoint != NULL)
		db_cancel(&t->checkpoint);
	t->is_ending = true;
	if (t->state != TURN_SETTLING && t->state != TURN_FINISHING)
		turn_set_state(t, TURN_SETTLING);
	if (t->state != TURN_FINISHING)
		turn_set_state(t, TURN_FINISHING);
}

/* Readers, here and on other workers, find it gone and go to the chunks. */
static void lost_release_ring(struct turn *t)
{
	if (t->ring == NULL || !ring_is_owner(t->chat->rings, t->ring))
		return;
	chat_mark_dirty(t->chat, t->ring);
	ring_release(t->chat->rings, t->ring);
	t->ring = NULL;
}

static void lost_ask(struct turn *t);

static void on_whose(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;

	t->query = NULL;
	if (e != ERROR_NONE) {
		if (!turn_retry_later(t, e, lost_ask))
			turn_drop(t, "whose it is cannot be asked");
		return;
	}
	if (db_result_rows(r) == 0) {
		turn_gone(t);
		return;
	}
	if (!db_result_bool(r, 0, 0))
		lost_release_ring(t);
	turn_drop(t, "another worker has it");
}

static void lost_ask(struct turn *t)
{
	struct db_uuid owner, id;
	struct buffer live;

	buffer_init(&live);
	chat_live_leases(t->chat, &live);

	const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id),
		DB_TEXT(buffer_text(&live)) };

	t->query = db_submit(t->chat->w->db, SQL_turn_whose, params, on_whose, t);
	buffer_fini(&live);
}

void turn_lost(struct turn *t, const char *what)
{
	LOG(LOG_INFO, "turn takes no writes", TURN_LOG_FIELDS(t), F_STR("what", what));
	lost_stop(t);
	lost_ask(t);
}

void turn_gone(struct turn *t)
{
	LOG(LOG_INFO, "turn was deleted", TURN_LOG_FIELDS(t));
	lost_stop(t);
	finish_gone(t);
}
