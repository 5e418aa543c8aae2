/* takeover.c: turns whose writer is gone: those of a worker that the supervisor names, and those whose lease has lapsed (their whole host died). They are claimed in one
 * statement, fence + 1, then each is built up again from its stored steps and calls and from its events (chunks, then the ring that its writer left), and goes
 * on exactly there. Stored calls are run, never asked for again; text in the middle is continued. Called by chat.c. */
#include "config.h"

#include "shared/log.h"
#include "worker/chat/parts.h"
#include "worker/chat/turn.h"

#define RETRY_MS      200
#define ROUND_MS      1000
#define TAKEOVERS_MAX 5 /* a turn that killed this many workers is not tried again */

/* One dead worker whose turns are being claimed. */
struct claim {
	struct chat *chat;
	struct claim *next;
	int slot;               /* of the dead */
	uint64_t epoch;         /* of the dead */
	int rounds;             /* answered claims */
	struct db_query *query; /* in flight */
	struct event *again;    /* the database did not answer: once more */
};

/* One idle conversation whose next question is being begun. */
struct begin {
	struct chat *chat;
	struct begin *next;
	struct db_query *query; /* in flight */
};

static void begin_destroy(struct begin *b);

/* --- claiming --------------------------------------------------------------------------------------------------------------- */

static void claim_destroy(struct claim *c)
{
	struct claim **place = &c->chat->claims;

	while (*place != c)
		place = &(*place)->next;
	*place = c->next;
	if (c->query != NULL)
		db_cancel(&c->query);
	event_free(c->again);
	free(c);
}

static void create_from_rows(struct chat *chat, const struct db_result *r)
{
	struct turn_row row;

	for (int i = 0; i < db_result_rows(r); i++) {
		struct turn *known;

		if (!turn_row_read(r, i, &row))
			continue;
		/* Claimed from ourselves: what we hold has the old fence. */
		known = chat_find(chat, &row.id);
		if (known != NULL)
			turn_drop(known, "claimed anew");
		turn_create(chat, &row, NULL, true);
	}
}

/* Rings of the dead that no claimed turn wants: their turns ended before their last events were shown, or were never stored. Readers go to the chunks. */
static void release_orphans(struct chat *chat, uint64_t epoch)
{
	for (uint32_t i = 0; i < rings_count(chat->rings); i++) {
		struct ring *ring = ring_at(chat->rings, i);

		if (!ring_is_live(ring) || ring_owner_epoch(ring) != epoch)
			continue;
		ring_release(chat->rings, ring);
		readers_pump(chat, i);
	}
}

static void on_claimed(void *arg, enum error e, const struct db_result *r)
{
	struct claim *c = arg;
	struct chat *chat = c->chat;

	c->query = NULL;
	if (e != ERROR_NONE) {
		timer_in(c->again, RETRY_MS);
		return;
	}
	if (c->rounds == 0 || db_result_rows(r) > 0)
		LOG(LOG_INFO, "turns of a dead worker taken over", F_INT("slot", c->slot), F_INT("epoch", c->epoch),
			F_INT("turns", db_result_rows(r)));
	create_from_rows(chat, r);
	/* A statement that the dead worker had sent may commit after its death, and another worker may have claimed the same turns and not come to
	 * their rings yet: once more, a little later, and only then is a ring without a turn an orphan. */
	if (c->rounds++ == 0) {
		timer_in(c->again, ROUND_MS);
		return;
	}
	release_orphans(chat, c->epoch);
	claim_destroy(c);
}

static void on_claim(evutil_socket_t fd, short what, void *arg)
{
	struct claim *c = arg;
	char lease[96];
	struct db_number room;

	(void)fd;
	(void)what;
	if (!chat_lease_of(c->chat, c->slot, c->epoch, lease))
		return;

	const struct db_param params[] = { DB_TEXT(text_of(lease)), DB_TEXT(text_of(c->chat->w->lease)),
		db_int(&room, c->chat->w->options.chat_lease_ms), DB_TEXT(TEXT("f")) };

	c->query = db_submit(c->chat->w->db, SQL_turns_claim_dead, params, on_claimed, c);
}

void takeover_claim_dead(struct chat *chat, int slot, uint64_t epoch)
{
	for (struct claim *c = chat->claims; c != NULL; c = c->next)
		if (c->epoch == epoch)
			return;

	struct claim *c = must_alloc(sizeof *c);

	*c = (struct claim) { .chat = chat, .next = chat->claims, .slot = slot, .epoch = epoch };
	chat->claims = c;
	c->again = evtimer_new(chat->w->base, on_claim, c);
	on_claim(-1, 0, c);
}

void takeover_close(struct chat *chat)
{
	while (chat->claims != NULL)
		claim_destroy(chat->claims);
	while (chat->begins != NULL)
		begin_destroy(chat->begins);
}

/* --- our own that we were never told of -------------------------------------------------------------------------------------- */

static void on_adopted(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->renew_query = NULL;
	if (e != ERROR_NONE)
		return;
	if (db_result_rows(r) > 0)
		LOG(LOG_WARN, "turns whose beginning was lost are begun now", F_INT("turns", db_result_rows(r)));
	create_from_rows(chat, r);
}

void takeover_adopt(struct chat *chat)
{
	struct db_number room;
	struct db_param lease = DB_TEXT(text_of(chat->w->lease));
	const struct db_param params[] = { lease, lease, db_int(&room, chat->w->options.chat_lease_ms),
		DB_TEXT(TEXT("t")) };

	chat->renew_query = db_submit(chat->w->db, SQL_turns_claim_dead, params, on_adopted, chat);
}

/* --- the sweep -------------------------------------------------------------------------------------------------------------- */

static void claim_expired(struct chat *chat);

static void on_expired(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->sweep_query = NULL;
	if (e != ERROR_NONE)
		return;
	if (db_result_rows(r) > 0)
		LOG(LOG_INFO, "turns without a writer taken over", F_INT("turns", db_result_rows(r)));
	create_from_rows(chat, r);
	/* There may be more than one statement takes, and some were released while it ran. */
	if ((chat->sweeps_again || db_result_rows(r) > 0) && !chat->is_draining)
		claim_expired(chat);
}

static void begin_destroy(struct begin *b)
{
	struct begin **place = &b->chat->begins;

	while (*place != b)
		place = &(*place)->next;
	*place = b->next;
	if (b->query != NULL)
		db_cancel(&b->query);
	free(b);
}

static void on_next_begun(void *arg, enum error e, const struct db_result *r)
{
	struct begin *b = arg;
	struct chat *chat = b->chat;
	struct turn_row row;

	b->query = NULL;
	begin_destroy(b);
	if (e == ERROR_NONE && db_result_rows(r) > 0 && turn_row_read(r, 0, &row))
		turn_create(chat, &row, NULL, false);
}

static void begin_next(struct chat *chat, const struct uuid *owner, const struct uuid *conversation)
{
	struct db_uuid rooms[2];
	struct db_number room, zero;
	struct db_param o = db_uuid(&rooms[0], owner), c = db_uuid(&rooms[1], conversation);
	const struct db_param lock[] = { o, c };
	const struct db_param next[] = { o, c, DB_NULL, db_int(&zero, 0), DB_TEXT(text_of(chat->w->lease)),
		db_int(&room, chat->w->options.chat_lease_ms) };
	const struct db_step steps[] = { { SQL_conversation_lock, lock }, { SQL_turn_next, next } };

	struct begin *b = must_alloc(sizeof *b);

	*b = (struct begin) { .chat = chat, .next = chat->begins };
	chat->begins = b;
	b->query = db_submit_steps(chat->w->db, steps, COUNT_OF(steps), on_next_begun, b);
}

static void on_idle_queues(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->queue_query = NULL;
	for (int row = 0; e == ERROR_NONE && row < db_result_rows(r); row++) {
		struct uuid owner = db_result_uuid(r, row, 0), conversation = db_result_uuid(r, row, 1);

		begin_next(chat, &owner, &conversation);
	}
}

/* A death that nobody was told of (its hearer died too) shows in the rings. */
static void claim_ownerless(struct chat *chat)
{
	for (uint32_t i = 0; i < rings_count(chat->rings); i++) {
		struct ring *ring = ring_at(chat->rings, i);
		int slot = ring_owner_slot(ring);
		uint64_t epoch = ring_owner_epoch(ring);

		if (!ring_is_live(ring) || epoch == 0 || slot < 0 || slot >= SLOTS_MAX)
			continue;

		const struct scoreboard_slot *s = &chat->w->board->slots[slot];

		if (SCOREBOARD_GET(s->pid) == 0 || SCOREBOARD_GET(s->epoch) != epoch)
			takeover_claim_dead(chat, slot, epoch);
	}
}

static void claim_expired(struct chat *chat)
{
	struct buffer live;
	struct db_number room;

	chat->sweeps_again = chat->sweep_query != NULL;
	if (chat->sweeps_again)
		return;
	buffer_init(&live);
	chat_live_leases(chat, &live);

	const struct db_param params[] = { DB_TEXT(text_of(chat->w->lease)),
		db_int(&room, chat->w->options.chat_lease_ms), DB_TEXT(buffer_text(&live)) };

	chat->sweep_query = db_submit(chat->w->db, SQL_turns_claim_expired, params, on_expired, chat);
	buffer_fini(&live);
}

void takeover_released(struct chat *chat)
{
	claim_expired(chat);
}

void takeover_sweep(struct chat *chat)
{
	if (!chat_is_lowest(chat))
		return;
	claim_ownerless(chat);
	if (chat->sweep_query == NULL)
		claim_expired(chat);
	if (chat->queue_query == NULL && chat->ticks % 2 == 1)
		chat->queue_query = db_submit(chat->w->db, SQL_turns_idle_queues, NULL, on_idle_queues, chat);
}

/* --- building a turn up again ----------------------------------------------------------------------------------------------- */

static void resume_read_steps(struct turn *t);

static void resume_refuse(struct turn *t, enum error e, void (*again)(struct turn *t))
{
	if (!turn_retry_later(t, e, again))
		turn_drop(t, "what it has done cannot be read");
}

/* Events of the ring that no chunk holds. */
static void resume_read_ring(struct turn *t)
{
	struct ring_cursor cursor;
	uint64_t n;

	ring_set_stored(t->ring, t->checkpoint_to);
	if (ring_seek(t->ring, &t->id, t->checkpoint_to + 1, &cursor) != RING_EVENT)
		return;
	while (ring_next(t->ring, &cursor, &t->chat->read_room, &n) == RING_EVENT)
		shown_apply(&t->shown, buffer_text(&t->chat->read_room));
}

/* The dead writer's ring, or one that goes on where the chunks end; then the history, which comes back to takeover_resume. */
static void resume_with_ring(struct turn *t)
{
	if (t->ring != NULL) {
		resume_read_ring(t);
	} else if (ring_claim(t->chat->rings, &t->id, t->fence, t->checkpoint_to, &t->ring) != ERROR_NONE) {
		t->ring = NULL;
		turn_later(t, RETRY_MS, resume_with_ring);
		return;
	}
	turn_load_history(t);
}

static void resume_read_chunks(struct turn *t);

static void on_chunks(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;

	t->query = NULL;
	if (e != ERROR_NONE) {
		resume_refuse(t, e, resume_read_chunks);
		return;
	}
	t->failures = 0;
	for (int row = 0; row < db_result_rows(r); row++) {
		uint64_t n = (uint64_t)db_result_int(r, row, 0);
		struct text body = db_result_text(r, row, 2), json;

		for (; chunk_take(&body, &json); n++)
			if (n > t->checkpoint_to) {
				shown_apply(&t->shown, json);
				t->checkpoint_to = n;
			}
	}
	if (db_result_rows(r) > 0) {
		resume_read_chunks(t);
		return;
	}
	resume_with_ring(t);
}

static void resume_read_chunks(struct turn *t)
{
	struct db_uuid owner, id;
	struct db_number from;
	const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id),
		db_int(&from, (int64_t)t->checkpoint_to + 1) };

	t->query = db_submit(t->chat->w->db, SQL_turn_chunks_read, params, on_chunks, t);
}

/* --- going on --------------------------------------------------------------------------------------------------------------- */

static void take_step(struct turn *t, const struct db_result *r, int row)
{
	struct text model = db_result_text(r, row, 4);

	t->stored_steps = (int)db_result_int(r, row, 1);
	t->step = t->stored_steps;
	t->input_tokens += db_result_int(r, row, 9);
	t->output_tokens += db_result_int(r, row, 10);
	if (model.length > 0) {
		free(t->model);
		t->model = must_strndup(model.bytes, model.length);
	}
	turn_clear_calls(t);
	prompt_add_model(&t->prompt, db_result_text(r, row, 3), t->model != NULL ? t->model : "");
}

static void take_call(struct turn *t, const struct db_result *r, int row)
{
	struct turn_call *call = turn_add_call(t);
	struct text status = db_result_text(r, row, 7), result = db_result_text(r, row, 8),
		    id = db_result_text(r, row, 5);

	call->has_id = id.bytes != NULL;
	buffer_append_text(&call->id, id);
	buffer_append_text(&call->arguments, db_result_text(r, row, 3));
	buffer_append_text(&call->name, db_result_text(r, row, 6));
	if (text_equals(status, TEXT("pending")))
		return;
	call->is_done = true;
	t->call_at++;
	prompt_add_result(&t->prompt, call->has_id ? id : TEXT_NONE, buffer_text(&call->name), result);
}

/* Results that are stored and were not shown. Those of earlier steps were shown before their step ended. */
static void show_results(struct turn *t, const struct db_result *r)
{
	for (size_t i = 0; i < t->call_count; i++)
		emit_tool_input(t, i);
	for (int row = 0; row < db_result_rows(r); row++) {
		size_t ordinal = (size_t)db_result_int(r, row, 2);

		if (db_result_int(r, row, 1) != t->stored_steps ||
			!text_equals(db_result_text(r, row, 0), TEXT("call")) || ordinal >= t->call_count ||
			!t->calls[ordinal].is_done)
			continue;
		emit_tool_result(
			t, ordinal, text_equals(db_result_text(r, row, 7), TEXT("ok")), db_result_text(r, row, 8));
	}
}

static void resume_go_on(struct turn *t, const struct db_result *r)
{
	LOG(LOG_INFO, "turn goes on", TURN_LOG_FIELDS(t), F_INT("stored_steps", t->stored_steps),
		F_INT("shown_steps", t->shown.steps), F_INT("events", ring_last(t->ring)),
		F_INT("text_bytes", buffer_length(&t->shown.text)), F_INT("take_overs", t->attempt));
	t->is_resumed = false;
	if (!t->shown.has_started)
		emit_start(t);
	if (t->is_cancelled) {
		finish_cancelled(t);
		return;
	}
	if (t->attempt > TAKEOVERS_MAX) {
		finish_failed(t, ERROR_INTERNAL, 0);
		return;
	}
	if (t->stored_steps > 0 && t->shown.steps <= t->stored_steps && t->shown.is_step_open) {
		/* The model's step is stored: its text is whole, its calls are run, nothing is asked again. */
		emit_text_end(t);
		show_results(t, r);
		turn_set_state(t, TURN_ACTING);
		turn_run_tools(t);
		return;
	}
	struct text shown = t->shown.steps > t->stored_steps ? shown_step_text(&t->shown) : TEXT("");

	if (shown.length > 0 && !t->chat->w->options.chat_continue) {
		finish_failed(t, ERROR_MODEL_FAILED, 0);
		return;
	}
	buffer_append_text(&t->unfinished, shown);
	turn_begin_step(t);
}

static void on_steps(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;

	t->query = NULL;
	if (e != ERROR_NONE) {
		resume_refuse(t, e, resume_read_steps);
		return;
	}
	t->failures = 0;
	for (int row = 0; row < db_result_rows(r); row++) {
		if (text_equals(db_result_text(r, row, 0), TEXT("step")))
			take_step(t, r, row);
		else
			take_call(t, r, row);
	}
	resume_go_on(t, r);
}

static void resume_read_steps(struct turn *t)
{
	struct db_uuid owner, id;
	const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id) };

	t->query = db_submit(t->chat->w->db, SQL_turn_resume, params, on_steps, t);
}

void takeover_resume(struct turn *t)
{
	if (t->is_loaded)
		resume_read_steps(t);
	else
		resume_read_chunks(t);
}
