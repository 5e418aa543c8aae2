/* turn.c: one answer from its beginning to its end: its states and which may follow which, its clocks, cancel, the history. The steps between are step.c's, what is
 * shown goes through emit.c, attempts of the model through model.c, the end through finish.c.
 * Deliberately knows no reader: nobody who reads can hold it up. */
#include "config.h"
#include "worker/chat/turn.h"

#include <stdio.h>

#include "shared/clock.h"
#include "shared/log.h"

#define HISTORY_TURNS 200 /* questions looked at; the token budget cuts further */

static const char *const state_names[] = { "loading", "waiting", "asking", "streaming", "settling", "storing", "acting",
	"finishing", "ended" };

/* Which states may follow; anything else is a mistake in this folder. */
static bool is_possible(enum turn_state from, enum turn_state to)
{
	switch (from) {
	case TURN_LOADING: return to != TURN_STREAMING && to != TURN_STORING;
	case TURN_WAITING:
		return to == TURN_LOADING || to == TURN_WAITING || to == TURN_ASKING || to == TURN_SETTLING ||
		       to == TURN_ENDED;
	case TURN_ASKING:
		return to == TURN_STREAMING || to == TURN_WAITING || to == TURN_ASKING || to == TURN_SETTLING ||
		       to == TURN_ENDED;
	case TURN_STREAMING: return to == TURN_SETTLING || to == TURN_ENDED;
	case TURN_SETTLING: return to == TURN_STORING || to == TURN_FINISHING || to == TURN_ENDED;
	case TURN_STORING: return to == TURN_ACTING || to == TURN_SETTLING || to == TURN_ENDED;
	case TURN_ACTING: return to == TURN_WAITING || to == TURN_ASKING || to == TURN_SETTLING || to == TURN_ENDED;
	case TURN_FINISHING: return to == TURN_ENDED;
	case TURN_ENDED: return false;
	}
	return false;
}

void turn_set_state(struct turn *t, enum turn_state state)
{
	must(is_possible(t->state, state));
	measure_turn_state(t);
	LOG(LOG_DEBUG, "turn state", TURN_LOG_FIELDS(t), F_STR("from", state_names[t->state]),
		F_STR("to", state_names[state]));
	t->state = state;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct turn *t = arg;
	void (*fn)(struct turn *) = t->on_timer;

	(void)fd;
	(void)what;
	t->on_timer = NULL;
	if (fn != NULL)
		fn(t);
}

void turn_later(struct turn *t, int64_t after_ms, void (*fn)(struct turn *t))
{
	if (t->timer == NULL)
		t->timer = evtimer_new(t->chat->w->base, on_timer, t);
	t->on_timer = fn;
	timer_in(t->timer, after_ms);
}

void turn_no_timer(struct turn *t)
{
	t->on_timer = NULL;
	if (t->timer != NULL)
		(void)evtimer_del(t->timer);
}

bool turn_retry_later(struct turn *t, enum error e, void (*fn)(struct turn *t))
{
	if (e != ERROR_DATABASE_UNAVAILABLE && e != ERROR_OVERLOADED && e != ERROR_TIMEOUT)
		return false;
	LOG(LOG_WARN, "turn waits for the database", TURN_LOG_FIELDS(t), F_STR("code", error_code(e)),
		F_STR("state", state_names[t->state]), F_INT("failures", t->failures));
	turn_later(t, t->failures < 4 ? 100 << t->failures : 1500, fn);
	t->failures++;
	return true;
}

/* --- rows ------------------------------------------------------------------------------------------------------------------- */

static enum model_role role_of(struct text name)
{
	if (text_equals(name, TEXT("chat")))
		return MODEL_ROLE_CHAT;
	if (text_equals(name, TEXT("vision")))
		return MODEL_ROLE_VISION;
	return text_equals(name, TEXT("structured")) ? MODEL_ROLE_STRUCTURED : MODEL_ROLE_STREAMING;
}

bool turn_row_read(const struct db_result *r, int row, struct turn_row *out)
{
	if (db_result_is_null(r, row, 1))
		return false;
	*out = (struct turn_row) {
		.id = db_result_uuid(r, row, 1),
		.owner = db_result_uuid(r, row, 2),
		.conversation = db_result_uuid(r, row, 3),
		.session = db_result_uuid(r, row, 4),
		.has_session = !db_result_is_null(r, row, 4),
		.message = db_result_uuid(r, row, 5),
		.answer = db_result_uuid(r, row, 6),
		.fence = (uint64_t)db_result_int(r, row, 7),
		.role = role_of(db_result_text(r, row, 8)),
		.attempt = (int)db_result_int(r, row, 10),
		.is_cancelled = db_result_bool(r, row, 11),
		.age_ms = db_result_int(r, row, 12),
	};
	return true;
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

static void turn_load(struct turn *t);
static void turn_go(struct turn *t);

/* Who was waited for. */
static enum error deadline_code(const struct turn *t)
{
	if (t->state == TURN_LOADING)
		return ERROR_DATABASE_UNAVAILABLE;
	return t->state == TURN_WAITING ? ERROR_MODEL_UNAVAILABLE : ERROR_MODEL_TIMEOUT;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct turn *t = arg;

	(void)fd;
	(void)what;
	if (t->is_ending)
		return;
	if (t->ring == NULL || t->is_resumed || t->tool != NULL || t->state == TURN_STORING ||
		t->state == TURN_SETTLING) {
		/* A write that has begun ends first, and the end needs a ring and what was shown. */
		timer_in(t->deadline, 200);
		return;
	}
	if (t->query != NULL)
		db_cancel(&t->query); /* the history: it would go on with a turn that has ended */
	finish_failed(t, deadline_code(t), 0);
}

static void turn_arm_deadline(struct turn *t, int64_t age_ms)
{
	int64_t left_ms = t->chat->w->options.chat_timeout_ms - age_ms;

	if (left_ms < 1000)
		left_ms = 1000; /* a turn found after a long outage still gets its end stored in order */
	t->deadline_ms = clock_monotonic_ms() + left_ms;
	t->deadline = evtimer_new(t->chat->w->base, on_deadline, t);
	timer_in(t->deadline, left_ms);
}

static void turn_init_buffers(struct turn *t)
{
	struct buffer *const buffers[] = { &t->step_parts, &t->unfinished, &t->seam, &t->backlog, &t->end_error,
		&t->refusal, &t->end_events };

	for (size_t i = 0; i < COUNT_OF(buffers); i++)
		buffer_init(buffers[i]);
	shown_init(&t->shown);
	prompt_init(&t->prompt);
}

static void take_trace(struct turn *t, const char *trace_id)
{
	size_t at = 0;

	if (trace_id != NULL) {
		(void)snprintf(t->trace_id, sizeof t->trace_id, "%s", trace_id);
		return;
	}
	for (const char *c = t->id_text; *c != '\0'; c++)
		if (*c != '-')
			t->trace_id[at++] = *c;
}

void turn_create(struct chat *chat, const struct turn_row *row, struct ring *ring, bool is_resumed)
{
	struct turn *t = must_alloc(sizeof *t);

	*t = (struct turn) { .chat = chat,
		.id = row->id,
		.owner = row->owner,
		.conversation = row->conversation,
		.session = row->session,
		.has_session = row->has_session,
		.message = row->message,
		.answer_id = row->answer,
		.fence = row->fence,
		.role = row->role,
		.attempt = row->attempt,
		.is_cancelled = row->is_cancelled,
		.ring = ring,
		.is_resumed = is_resumed };
	uuid_format(&t->id, t->id_text);
	uuid_format(&t->conversation, t->conversation_text);
	if (row->request_id != NULL)
		(void)snprintf(t->request_id, sizeof t->request_id, "%s", row->request_id);
	take_trace(t, row->trace_id);
	turn_init_buffers(t);
	t->started_ms = clock_monotonic_ms() - row->age_ms;
	turn_arm_deadline(t, row->age_ms);
	measure_turn_begin(t);
	chat_add(chat, t);
	SCOREBOARD_ADD(chat->w->slot->counters.turns_started, is_resumed ? 0 : 1);
	if (is_resumed)
		SCOREBOARD_ADD(chat->w->slot->counters.turns_taken_over, 1);
	turn_go(t);
}

/* A ring, then what there is to load. */
static void turn_go(struct turn *t)
{
	struct rings *rings = t->chat->rings;

	if (t->ring == NULL && (t->ring = ring_find(rings, &t->id)) != NULL &&
		ring_take_over(rings, t->ring, t->fence) != ERROR_NONE) {
		turn_drop(t, "its ring has another writer");
		return;
	}
	if (t->ring == NULL && !t->is_resumed && ring_claim(rings, &t->id, t->fence, 0, &t->ring) != ERROR_NONE) {
		t->ring = NULL;
		if (t->state != TURN_WAITING)
			turn_set_state(t, TURN_WAITING);
		turn_later(t, 100, turn_go);
		return;
	}
	if (t->state != TURN_LOADING)
		turn_set_state(t, TURN_LOADING);
	if (t->is_resumed) {
		takeover_resume(t);
		return;
	}
	emit_start(t);
	readers_peek(t->chat);
	turn_load(t);
}

static void turn_destroy(struct turn *t)
{
	struct buffer *const buffers[] = { &t->step_parts, &t->unfinished, &t->seam, &t->backlog, &t->end_error,
		&t->refusal, &t->end_events };
	struct event *const events[] = { t->timer, t->deadline, t->checkpoint_timer };
	struct chat *chat = t->chat;

	model_stop(t);
	tool_cancel(&t->tool);
	if (t->query != NULL)
		db_cancel(&t->query);
	if (t->checkpoint != NULL)
		db_cancel(&t->checkpoint);
	for (size_t i = 0; i < COUNT_OF(events); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	for (size_t i = 0; i < COUNT_OF(buffers); i++)
		buffer_fini(buffers[i]);
	turn_clear_calls(t);
	free(t->calls);
	free(t->model);
	shown_fini(&t->shown);
	prompt_fini(&t->prompt);
	chat_remove(chat, t);
	free(t);
	chat_turn_gone(chat);
}

void turn_drop(struct turn *t, const char *why)
{
	LOG(LOG_WARN, "turn given up", TURN_LOG_FIELDS(t), F_STR("why", why), F_STR("state", state_names[t->state]));
	turn_set_state(t, TURN_ENDED);
	turn_destroy(t);
}

bool turn_is_left(struct turn *t)
{
	if (!t->chat->is_released)
		return false;
	leave_drop_turn(t);
	return true;
}

void turn_end(struct turn *t)
{
	turn_set_state(t, TURN_ENDED);
	turn_destroy(t);
}

void turn_cancel(struct turn *t)
{
	if (t->is_ending)
		return;
	t->is_cancelled = true;
	switch (t->state) {
	case TURN_LOADING:
		if (t->is_resumed)
			return; /* decided when it is known what was shown */
		if (t->query != NULL)
			db_cancel(&t->query);
		finish_cancelled(t);
		return;
	case TURN_WAITING:
		if (t->ring == NULL)
			return; /* decided once there is a ring for its last events */
		finish_cancelled(t);
		return;
	case TURN_ASKING:
	case TURN_STREAMING: finish_cancelled(t); return;
	case TURN_SETTLING:
	case TURN_STORING:
	case TURN_ACTING:
	case TURN_FINISHING:
	case TURN_ENDED: return; /* decided when the write under way is done */
	}
}

/* --- history ---------------------------------------------------------------------------------------------------------------- */

static void on_history(void *arg, enum error e, const struct db_result *r)
{
	struct turn *t = arg;
	const struct options *o = &t->chat->w->options;

	t->query = NULL;
	if (e != ERROR_NONE) {
		if (!turn_retry_later(t, e, turn_load))
			finish_failed(t, ERROR_INTERNAL, 0);
		return;
	}
	t->failures = 0;
	if (db_result_rows(r) == 0) { /* not even its own question */
		turn_lost(t, "its history");
		return;
	}
	prompt_load(&t->prompt, r, (size_t)((double)o->chat_history_tokens * t->chat->bytes_per_token),
		(int)o->chat_history_messages_min);
	t->is_loaded = true;
	/* Asked for before there was a ring, or when its writer was dead: nobody could be told. Who asks after this read finds the ring. */
	t->is_cancelled = t->is_cancelled || db_result_bool(r, 0, 5);
	if (t->is_resumed)
		takeover_resume(t);
	else if (t->is_cancelled)
		finish_cancelled(t);
	else
		turn_begin_step(t);
}

static void turn_load(struct turn *t)
{
	struct db_uuid owner, id;
	struct db_number limit, most, least;
	const struct options *o = &t->chat->w->options;
	int64_t bytes = (int64_t)((double)o->chat_history_tokens * t->chat->bytes_per_token);
	const struct db_param params[] = { db_uuid(&owner, &t->owner), db_uuid(&id, &t->id),
		db_int(&limit, HISTORY_TURNS), db_int(&most, bytes), db_int(&least, o->chat_history_messages_min) };

	t->query = db_submit(t->chat->w->db, SQL_chat_history, params, on_history, t);
}

void turn_load_history(struct turn *t)
{
	turn_load(t);
}
