/* chat.c: the chat of one worker: its live turns by id, who is told of new events, its clocks (leases, sweep), and its leave. Opened by main.c.
 * Deliberately knows no step of a turn (turn.c) and no reader's place (reader.c). */
#include "config.h"
#include "worker/chat/chat.h"

#include <stdio.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/log.h"
#include "worker/chat/turn.h"
#include "worker/realtime/bus.h"

#define TICK_MS        1000
#define RING_LINGER_MS 5000

void timer_in(struct event *timer, int64_t ms)
{
	const struct timeval after = { ms / 1000, ms % 1000 * 1000 };

	(void)evtimer_add(timer, &after);
}

/* --- turns by id ------------------------------------------------------------------------------------------------------------ */

static size_t bucket_of(const struct uuid *id)
{
	return ((size_t)id->bytes[15] | (size_t)id->bytes[14] << 8) % TURN_BUCKETS;
}

struct turn *chat_find(struct chat *chat, const struct uuid *id)
{
	struct turn *t = chat->buckets[bucket_of(id)];

	while (t != NULL && !uuid_equals(&t->id, id))
		t = t->next_in_bucket;
	return t;
}

void chat_add(struct chat *chat, struct turn *t)
{
	struct turn **bucket = &chat->buckets[bucket_of(&t->id)];

	t->next_in_bucket = *bucket;
	*bucket = t;
	chat->turn_count++;
	SCOREBOARD_SET(chat->w->slot->turns, (uint32_t)chat->turn_count);
}

void chat_remove(struct chat *chat, struct turn *t)
{
	struct turn **place = &chat->buckets[bucket_of(&t->id)];

	while (*place != t)
		place = &(*place)->next_in_bucket;
	*place = t->next_in_bucket;
	chat->turn_count--;
	SCOREBOARD_SET(chat->w->slot->turns, (uint32_t)chat->turn_count);
}

void chat_each_turn(struct chat *chat, void (*fn)(struct turn *t))
{
	for (size_t i = 0; i < TURN_BUCKETS; i++)
		for (struct turn *t = chat->buckets[i], *next; t != NULL; t = next) {
			next = t->next_in_bucket;
			fn(t);
		}
}

/* --- telling readers -------------------------------------------------------------------------------------------------------- */

void chat_mark_dirty(struct chat *chat, const struct ring *ring)
{
	uint32_t index = (uint32_t)ring_index(chat->rings, ring);

	if (chat->is_dirty[index])
		return;
	chat->is_dirty[index] = true;
	chat->dirty[chat->dirty_count++] = index;
	event_active(chat->flush, EV_TIMEOUT, 0);
}

static void wake_others(struct chat *chat, uint32_t index)
{
	struct ring *ring = ring_at(chat->rings, index);
	uint64_t watchers = ring_watchers(ring) & ~(UINT64_C(1) << chat->w->slot_index);
	struct message m = { .type = MESSAGE_TURN_EVENTS };

	if (watchers == 0)
		return;
	m.turn = (struct message_turn) { .ring = index, .use = ring_use(ring), .turn = ring_turn(ring) };
	for (int slot = 0; slot < SLOTS_MAX; slot++)
		if ((watchers >> slot & 1) != 0)
			bus_send(chat->w->bus, slot, &m);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct chat *chat = arg;
	size_t count = chat->dirty_count;

	(void)fd;
	(void)what;
	chat->dirty_count = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t index = chat->dirty[i];

		chat->is_dirty[index] = false;
		readers_pump(chat, index);
		wake_others(chat, index);
	}
}

static void on_turn_events(void *arg, const struct message *m)
{
	struct chat *chat = arg;
	struct ring *ring = ring_at(chat->rings, m->turn.ring);

	if (ring != NULL && ring_use(ring) == m->turn.use)
		readers_pump(chat, m->turn.ring);
}

static void on_turns_released(void *arg, const struct message *m)
{
	struct chat *chat = arg;

	(void)m;
	if (!chat->is_draining)
		takeover_released(chat);
}

static void on_turn_cancel(void *arg, const struct message *m)
{
	struct turn *t = chat_find(arg, &m->turn.turn);

	if (t != NULL)
		turn_cancel(t);
}

/* --- leases ----------------------------------------------------------------------------------------------------------------- */

/* "host/instance/slot/epoch" of another life on this host. */
bool chat_lease_of(const struct chat *chat, int slot, uint64_t epoch, char out[96])
{
	const char *second = strchr(chat->w->lease, '/');

	second = second != NULL ? strchr(second + 1, '/') : NULL;
	if (second == NULL)
		return false;
	(void)snprintf(out, 96, "%.*s/%d/%llu", (int)(second - chat->w->lease), chat->w->lease, slot,
		(unsigned long long)epoch);
	return true;
}

static bool slot_lives(const struct chat *chat, int slot)
{
	uint32_t state = SCOREBOARD_GET(chat->w->board->slots[slot].state);

	return state != WORKER_NONE && state != WORKER_EXITED;
}

void chat_live_leases(const struct chat *chat, struct buffer *out)
{
	char lease[96];
	const char *separator = "{";

	for (int slot = 0; slot < SLOTS_MAX; slot++) {
		if (!slot_lives(chat, slot) ||
			!chat_lease_of(chat, slot, SCOREBOARD_GET(chat->w->board->slots[slot].epoch), lease))
			continue;
		buffer_printf(out, "%s\"%s\"", separator, lease);
		separator = ",";
	}
	buffer_append_string(out, separator[0] == '{' ? "{}" : "}");
}

bool chat_is_lowest(const struct chat *chat)
{
	for (int slot = 0; slot < chat->w->slot_index; slot++) {
		uint32_t state = SCOREBOARD_GET(chat->w->board->slots[slot].state);

		if (state == WORKER_BOOT || state == WORKER_READY)
			return false;
	}
	return true;
}

static void on_renewed(void *arg, enum error e, const struct db_result *r)
{
	struct chat *chat = arg;

	chat->renew_query = NULL;
	if (e != ERROR_NONE)
		return;
	for (int row = 0; row < db_result_rows(r); row++) {
		struct uuid id = db_result_uuid(r, row, 0);
		struct turn *t = chat_find(chat, &id);

		if (t != NULL && db_result_bool(r, row, 3))
			turn_gone(t);
		else if (t != NULL && db_result_bool(r, row, 2))
			turn_cancel(t);
	}
	if (!chat->is_draining)
		takeover_adopt(chat);
}

static void write_ids(const struct chat *chat, struct buffer *out)
{
	buffer_append_char(out, '{');
	for (size_t i = 0; i < TURN_BUCKETS; i++)
		for (const struct turn *t = chat->buckets[i]; t != NULL; t = t->next_in_bucket) {
			if (buffer_length(out) > 1)
				buffer_append_char(out, ',');
			buffer_append_string(out, t->id_text);
		}
	buffer_append_char(out, '}');
}

static void on_renew(evutil_socket_t fd, short what, void *arg)
{
	struct chat *chat = arg;
	struct db_number room;
	struct buffer ids;

	(void)fd;
	(void)what;
	timer_in(chat->renew, chat->w->options.chat_lease_ms / 3);
	if (chat->renew_query != NULL)
		return;
	if (chat->turn_count == 0) {
		if (!chat->is_draining)
			takeover_adopt(chat);
		return;
	}
	buffer_init(&ids);
	write_ids(chat, &ids);

	const struct db_param params[] = { DB_TEXT(text_of(chat->w->lease)),
		db_int(&room, chat->w->options.chat_lease_ms), DB_TEXT(buffer_text(&ids)) };

	chat->renew_query = db_submit(chat->w->db, SQL_turns_renew, params, on_renewed, chat);
	buffer_fini(&ids);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct chat *chat = arg;

	(void)fd;
	(void)what;
	timer_in(chat->tick, TICK_MS);
	chat->ticks++;
	SCOREBOARD_SET(chat->w->slot->rings, rings_sweep(chat->rings, RING_LINGER_MS));
	SCOREBOARD_SET(chat->w->slot->rings_max, rings_count(chat->rings));
	readers_look(chat);
	if (!chat->is_draining)
		takeover_sweep(chat);
}

static void on_peek(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	readers_peek(arg);
}

/* --- open and close --------------------------------------------------------------------------------------------------------- */

static void declare_tools(struct chat *chat)
{
	chat->declarations = must_alloc(tool_count * sizeof *chat->declarations);
	chat->schemas = must_alloc(tool_count * sizeof *chat->schemas);
	for (size_t i = 0; i < tool_count; i++) {
		struct buffer schema;

		buffer_init(&schema);
		tool_write_schema(&tool_rows[i], &schema);
		chat->schemas[i] = must_strndup(buffer_text(&schema).bytes, buffer_length(&schema));
		buffer_fini(&schema);
		chat->declarations[i] =
			(struct model_tool) { tool_rows[i].name, tool_rows[i].description, chat->schemas[i] };
	}
}

enum error chat_open(struct worker *w, int rings_fd, struct chat **chat_out)
{
	struct chat *chat = must_alloc(sizeof *chat);
	enum error e = rings_open(rings_fd, w->slot_index, w->epoch, &chat->rings);

	chat->w = w;
	if (e != ERROR_NONE) {
		free(chat);
		return e;
	}
	uint32_t count = rings_count(chat->rings);

	chat->bytes_per_token = 4;
	chat->dirty = must_alloc(count * sizeof *chat->dirty);
	chat->is_dirty = must_alloc(count * sizeof *chat->is_dirty);
	chat->followers = must_alloc(count * sizeof *chat->followers);
	chat->flush = event_new(w->base, -1, 0, on_flush, chat);
	chat->tick = evtimer_new(w->base, on_tick, chat);
	chat->peek = evtimer_new(w->base, on_peek, chat);
	chat->renew = evtimer_new(w->base, on_renew, chat);
	declare_tools(chat);
	bus_receive(w->bus, MESSAGE_TURN_EVENTS, on_turn_events, chat);
	bus_receive(w->bus, MESSAGE_TURN_CANCEL, on_turn_cancel, chat);
	bus_receive(w->bus, MESSAGE_TURNS_RELEASED, on_turns_released, chat);
	leave_open(chat);
	timer_in(chat->tick, 20); /* what nobody writes is looked for at once */
	timer_in(chat->renew, w->options.chat_lease_ms / 3);
	*chat_out = chat;
	return ERROR_NONE;
}

void chat_options_changed(struct chat *chat)
{
	/* A shorter lease wants to be renewed sooner than the timer was set for. */
	timer_in(chat->renew, 0);
	leave_options_changed(chat);
}

static void chat_cancel_queries(struct chat *chat)
{
	struct db_query **const queries[] = { &chat->renew_query, &chat->sweep_query, &chat->queue_query,
		&chat->release_query };

	for (size_t i = 0; i < COUNT_OF(queries); i++)
		if (*queries[i] != NULL)
			db_cancel(queries[i]);
}

void chat_close(struct chat **chat_at)
{
	struct chat *chat = *chat_at;

	if (chat == NULL)
		return;
	struct event *const events[] = { chat->flush, chat->tick, chat->peek, chat->renew, chat->drain_timer,
		chat->release_timer };

	chat->is_draining = false; /* the coordinator has heard all there is */
	bus_receive(chat->w->bus, MESSAGE_TURN_EVENTS, NULL, NULL);
	bus_receive(chat->w->bus, MESSAGE_TURN_CANCEL, NULL, NULL);
	bus_receive(chat->w->bus, MESSAGE_TURNS_RELEASED, NULL, NULL);
	readers_send_away(chat);
	leave_drop_turns(chat);
	takeover_close(chat);
	chat_cancel_queries(chat);
	for (size_t i = 0; i < COUNT_OF(events); i++)
		event_free(events[i]);
	for (size_t i = 0; i < tool_count; i++)
		free(chat->schemas[i]);
	free(chat->schemas);
	free(chat->declarations);
	free(chat->followers);
	free(chat->dirty);
	free(chat->is_dirty);
	buffer_fini(&chat->scratch);
	buffer_fini(&chat->read_room);
	rings_close(&chat->rings);
	free(chat);
	*chat_at = NULL;
}

void chat_slot_died(void *arg, int slot, uint64_t epoch)
{
	struct worker *w = arg;

	if (w->chat != NULL)
		takeover_claim_dead(w->chat, slot, epoch);
}
