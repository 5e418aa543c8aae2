/* leave.c: how chat leaves a worker that drains or stops: readers are told to come back (to another worker), answers are finished if there is time, else stored as
 * far as they are and given back, so that whoever looks next goes on. Registers `realtime` and `turns` with the shutdown coordinator, which calls in here. */
#include "config.h"

#include "shared/log.h"
#include "worker/chat/turn.h"
#include "worker/shutdown.h"

#define AWAY_BEFORE_MS  900 /* readers are sent away this long before the deadline */
#define PAUSE_BEFORE_MS 700 /* turns that are not done stop and store what they have, this long before it */
#define RELEASE_POLL_MS 20

static void realtime_is_done(struct chat *chat)
{
	if (chat->is_draining && chat->reader_count == 0)
		shutdown_done(chat->w->shutdown, "realtime", SHUTDOWN_DONE, "");
}

static void turns_are_done(struct chat *chat)
{
	if (chat->is_draining && chat->turn_count == 0 && chat->release_query == NULL)
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

static void on_drain(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	readers_send_away(arg);
}

static int64_t leave_after(int64_t deadline_ms, int64_t before_ms)
{
	return deadline_ms > 2 * before_ms ? deadline_ms - before_ms : deadline_ms / 2;
}

static int64_t resource_deadline(const struct chat *chat, int64_t stop_ms)
{
	return chat->is_stop ? stop_ms : chat->w->options.drain_timeout_ms;
}

static void close_realtime(void *arg, bool is_stop)
{
	struct chat *chat = arg;

	chat->is_draining = true;
	chat->is_stop = chat->is_stop || is_stop;
	timer_in(chat->drain_timer,
		leave_after(resource_deadline(chat, chat->w->options.shutdown_realtime_ms), AWAY_BEFORE_MS));
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

static void turn_pause(struct turn *t)
{
	if (t->state == TURN_ASKING || t->state == TURN_STREAMING)
		model_stop(t);
	checkpoint_start(t);
}

static void turn_release(struct turn *t)
{
	/* A write that is under way may still end in the database's phase; the turn goes with its answer. */
	if (t->checkpoint == NULL && t->query == NULL && t->tool == NULL)
		turn_drop(t, "this worker leaves");
}

static void turn_leave(struct turn *t)
{
	turn_drop(t, "this worker leaves");
}

static void on_released(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->release_query = NULL;
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
	if (chat->turn_count == 0)
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

	chat->is_draining = true;
	chat->is_stop = chat->is_stop || is_stop;
	timer_in(chat->release_timer,
		leave_after(resource_deadline(chat, chat->w->options.shutdown_turns_ms), PAUSE_BEFORE_MS));
	turns_are_done(chat);
}

static int cut_turns(void *arg, int *lost_out)
{
	struct chat *chat = arg;
	int cut = (int)chat->turn_count;

	(void)lost_out; /* nothing acknowledged is lost: rows, steps and chunks are stored, the lease goes back */
	chat_each_turn(chat, turn_pause);
	if (cut > 0)
		chat_release(chat);
	return cut;
}

void leave_open(struct chat *chat)
{
	const struct options *o = &chat->w->options;
	const struct shutdown_resource realtime = { .name = "realtime",
		.phase = SHUTDOWN_SOCKETS,
		.deadline_ms = o->shutdown_realtime_ms,
		.drain_ms = o->drain_timeout_ms,
		.close = close_realtime,
		.cut = cut_realtime,
		.arg = chat };
	const struct shutdown_resource turns = { .name = "turns",
		.phase = SHUTDOWN_SOCKETS,
		.deadline_ms = o->shutdown_turns_ms,
		.drain_ms = o->drain_timeout_ms,
		.close = close_turns,
		.cut = cut_turns,
		.arg = chat };

	chat->drain_timer = evtimer_new(chat->w->base, on_drain, chat);
	chat->release_timer = evtimer_new(chat->w->base, on_release_poll, chat);
	shutdown_register(chat->w->shutdown, &realtime);
	shutdown_register(chat->w->shutdown, &turns);
}

void leave_drop_turns(struct chat *chat)
{
	chat_each_turn(chat, turn_leave);
}
