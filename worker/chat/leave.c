/* leave.c: how chat leaves a worker that drains or stops. Registers `realtime` and `turns` with the shutdown coordinator, which calls in here.
 * A stop: readers are told to come back, answers are finished if there is time, else stored as far as they are and given back.
 * A drain: everything goes on, new questions too, for clients may still have connections here; readers of answers that other workers write are moved one by one;
 * answers that are still being written after drain_streams_ms are given to the workers that stay, and their readers follow. Deliberately knows no step of a turn. */
#include "config.h"

#include "shared/log.h"
#include "worker/chat/turn.h"
#include "worker/realtime/bus.h"
#include "worker/shutdown.h"

#define AWAY_BEFORE_MS  900 /* readers are sent away this long before the deadline */
#define PAUSE_BEFORE_MS 700 /* turns that are not done stop and store what they have, this long before it */
#define RELEASE_POLL_MS 20
#define MOVE_MS                                                                                                        \
	20 /* a drain moves one reader in this time, faster when they would not all be moved in half the drain */
#define MOVE_IDLE_MS    200   /* how often it looks for one to move */
#define HASTE_MS        2000  /* within which all are moved when the drain is to end soon */
#define TURNS_LATE_MS   5000  /* what turns get for their last checkpoint after drain_streams_ms */
#define READERS_LATE_MS 10000 /* what their readers get to follow them */

/* While a drained worker has connections, new readers and turns may come. */
static bool is_last(const struct chat *chat)
{
	return chat->is_draining && (chat->is_stop || chat->has_no_clients);
}

static void realtime_is_done(struct chat *chat)
{
	if (is_last(chat) && chat->reader_count == 0)
		shutdown_done(chat->w->shutdown, "realtime", SHUTDOWN_DONE, "");
}

static void turns_are_done(struct chat *chat)
{
	if (is_last(chat) && chat->turn_count == 0 && chat->release_query == NULL)
		shutdown_done(chat->w->shutdown, "turns", SHUTDOWN_DONE, "");
}

void chat_turn_gone(struct chat *chat)
{
	turns_are_done(chat);
}

void chat_reader_gone(struct chat *chat)
{
	realtime_is_done(chat);
}

void chat_clients_gone(struct chat *chat)
{
	chat->has_no_clients = true;
	realtime_is_done(chat);
	turns_are_done(chat);
}

bool chat_takes_questions(const struct chat *chat)
{
	return !chat->is_draining || (!chat->is_stop && !chat->is_late);
}

/* ---- readers --------------------------------------------------------------------------------------------------- */

/* A thousand clients do not come back at once: one leaves in this time. */
static int64_t move_interval_ms(const struct chat *chat)
{
	int64_t within_ms = chat->is_hastened ? HASTE_MS : chat->w->options.drain_timeout_ms / 2;
	int64_t each_ms = within_ms / (int64_t)(chat->reader_count + 1);

	return each_ms < MOVE_MS ? each_ms : MOVE_MS;
}

static void on_drain(evutil_socket_t fd, short what, void *arg)
{
	struct chat *chat = arg;

	(void)fd;
	(void)what;
	if (chat->is_stop)
		readers_send_away(chat);
	else
		timer_in(chat->drain_timer, readers_move_one(chat) ? move_interval_ms(chat) : MOVE_IDLE_MS);
}

static int64_t leave_after(int64_t deadline_ms, int64_t before_ms)
{
	return deadline_ms > 2 * before_ms ? deadline_ms - before_ms : deadline_ms / 2;
}

static void close_realtime(void *arg, bool is_stop)
{
	struct chat *chat = arg;
	int64_t stop_ms = chat->w->options.shutdown_realtime_ms;

	chat->is_hastened = chat->is_draining;
	chat->is_draining = true;
	chat->is_stop = chat->is_stop || is_stop;
	timer_in(chat->drain_timer, chat->is_stop ? leave_after(stop_ms, AWAY_BEFORE_MS) : 0);
	realtime_is_done(chat);
}

static int cut_realtime(void *arg, int *lost_out)
{
	struct chat *chat = arg;
	int cut = (int)chat->reader_count;

	(void)lost_out;
	readers_send_away(chat);
	return cut;
}

/* ---- turns ----------------------------------------------------------------------------------------------------- */

static void turn_pause(struct turn *t)
{
	if (t->state == TURN_ASKING || t->state == TURN_STREAMING)
		model_stop(t);
	checkpoint_start(t);
}

/* That an answer has begun is no word of it: whoever takes it begins it again. What one that was taken over shows is not known until its ring is read. */
static bool has_words(const struct turn *t)
{
	return t->is_resumed || buffer_length(&t->shown.text) > 0 || buffer_length(&t->shown.parts) > 0 ||
	       t->shown.tools != NULL;
}

static bool is_unstored(const struct turn *t)
{
	return t->ring != NULL && ring_last(t->ring) > ring_stored(t->ring) && has_words(t);
}

void leave_drop_turn(struct turn *t)
{
	if (t->chat->is_stop && !t->chat->is_counted && is_unstored(t))
		shutdown_note_lost(t->chat->w->shutdown, 1);
	turn_drop(t, "this worker leaves");
}

int chat_take_unstored(struct chat *chat)
{
	int count = 0;

	for (size_t i = 0; i < TURN_BUCKETS; i++)
		for (const struct turn *t = chat->buckets[i]; t != NULL; t = t->next_in_bucket)
			count += is_unstored(t);
	chat->is_counted = true;
	return count;
}

static void turn_release(struct turn *t)
{
	/* A write that is under way may still end in the database's phase; the turn goes with its answer. */
	if (t->checkpoint == NULL && t->query == NULL && t->tool == NULL)
		leave_drop_turn(t);
}

/* Whoever stays takes them at once instead of finding them at its next look. */
static void tell_successor(struct chat *chat)
{
	const struct message m = { .type = MESSAGE_TURNS_RELEASED };

	for (int slot = 0; slot < SLOTS_MAX; slot++) {
		const struct scoreboard_slot *other = &chat->w->board->slots[slot];

		if (other == chat->w->slot || SCOREBOARD_GET(other->state) != WORKER_READY)
			continue;
		bus_send(chat->w->bus, slot, &m);
		return;
	}
}

static void on_released(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->release_query = NULL;
	if (e == ERROR_NONE && db_result_rows(r) > 0)
		tell_successor(chat);
	LOG(e == ERROR_NONE ? LOG_INFO : LOG_WARN, "turns released",
		F_INT("count", e == ERROR_NONE ? db_result_rows(r) : 0), F_STR("code", error_code(e)));
	turns_are_done(chat);
}

static bool has_writes(const struct chat *chat)
{
	for (size_t i = 0; i < TURN_BUCKETS; i++)
		for (const struct turn *t = chat->buckets[i]; t != NULL; t = t->next_in_bucket)
			if (t->checkpoint != NULL || t->tool != NULL || t->state == TURN_STORING ||
				t->state == TURN_FINISHING)
				return true;
	return false;
}

static void chat_release(struct chat *chat)
{
	const struct db_param params[] = { DB_TEXT(text_of(chat->w->lease)) };

	chat->is_released = true;
	if (chat->release_query == NULL)
		chat->release_query = db_submit(chat->w->db, SQL_turns_release, params, on_released, chat);
	chat_each_turn(chat, turn_release);
}

static void on_release_poll(evutil_socket_t fd, short what, void *arg)
{
	struct chat *chat = arg;

	(void)fd;
	(void)what;
	chat->is_late = !chat->is_stop;
	/* Of a drain, turns may have come and gone: what they may have left is released in any case. */
	if (chat->turn_count == 0 && !chat->is_late)
		return;
	chat_each_turn(chat, turn_pause);
	if (has_writes(chat))
		timer_in(chat->release_timer, RELEASE_POLL_MS);
	else
		chat_release(chat);
}

static void close_turns(void *arg, bool is_stop)
{
	struct chat *chat = arg;
	const struct options *o = &chat->w->options;
	int64_t after_ms = o->drain_streams_ms;

	/* Asked twice, a drain is to end soon. */
	if (is_stop)
		after_ms = leave_after(o->shutdown_turns_ms, PAUSE_BEFORE_MS);
	else if (chat->has_turns_leaving)
		after_ms = 0;
	chat->is_draining = true;
	chat->is_stop = chat->is_stop || is_stop;
	chat->has_turns_leaving = true;
	timer_in(chat->release_timer, after_ms);
	turns_are_done(chat);
}

static int cut_turns(void *arg, int *lost_out)
{
	struct chat *chat = arg;
	int cut = (int)chat->turn_count;

	(void)lost_out; /* rows, steps and chunks are stored or being stored, the lease goes back; what fails is counted in the database's phase */
	chat_each_turn(chat, turn_pause);
	if (cut > 0)
		chat_release(chat);
	return cut;
}

void leave_late_question(struct chat *chat)
{
	if (chat->is_late)
		timer_in(chat->release_timer, 0);
}

void leave_options_changed(struct chat *chat)
{
	const struct options *o = &chat->w->options;

	shutdown_set_deadlines(
		chat->w->shutdown, "realtime", o->shutdown_realtime_ms, o->drain_streams_ms + READERS_LATE_MS);
	shutdown_set_deadlines(chat->w->shutdown, "turns", o->shutdown_turns_ms, o->drain_streams_ms + TURNS_LATE_MS);
}

void leave_open(struct chat *chat)
{
	const struct shutdown_resource realtime = {
		.name = "realtime", .phase = SHUTDOWN_SOCKETS, .close = close_realtime, .cut = cut_realtime, .arg = chat
	};
	const struct shutdown_resource turns = {
		.name = "turns", .phase = SHUTDOWN_SOCKETS, .close = close_turns, .cut = cut_turns, .arg = chat
	};

	chat->drain_timer = evtimer_new(chat->w->base, on_drain, chat);
	chat->release_timer = evtimer_new(chat->w->base, on_release_poll, chat);
	shutdown_register(chat->w->shutdown, &realtime);
	shutdown_register(chat->w->shutdown, &turns);
	leave_options_changed(chat);
}

void leave_drop_turns(struct chat *chat)
{
	chat_each_turn(chat, leave_drop_turn);
}
