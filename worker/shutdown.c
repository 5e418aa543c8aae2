/* shutdown.c: closes the registered resources phase by phase, each under its own timer: who is late is cut, who fails is noted, and the next goes on in
 * any case. main.c registers most resources, chat its own; control.c starts it. Does not end the process: `finished` does. */
#include "config.h"
#include "worker/shutdown.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/must.h"

#define RESOURCES_MAX 16
#define HASTE_MS      6000 /* what is left of a drain that is to end soon */

/* One resource's way: it waits for its phase, closes, and is closed by itself or by us. */
enum entry_state { ENTRY_WAITING, ENTRY_CLOSING, ENTRY_CLOSED };

struct entry {
	struct shutdown_resource resource; /* as registered; the name is borrowed for ever */
	enum entry_state state;            /* see above */
	int64_t started_ms;                /* monotonic; when its close was called */
	struct event *timer;               /* its deadline; owned */
	struct shutdown *shutdown;         /* whose it is */
};

struct shutdown {
	struct event_base *base;                                        /* borrowed */
	void (*report)(void *arg, const struct message_closed *closed); /* for each resource, once */
	void (*finished)(void *arg);                                    /* once, after the last */
	void *arg;                                                      /* of both */
	struct entry entries[RESOURCES_MAX];                            /* in the order of registration */
	int count;                                                      /* of them */
	bool is_started;                                                /* by stop or drain */
	bool is_stop;                                                   /* a stop, not only a drain */
	bool is_hastened;                                               /* a drain that is to end soon */
	bool is_finished;                                               /* `finished` was called */
	enum shutdown_phase phase;                                      /* the one that runs */
	int64_t phase_start_ms;                                         /* monotonic */
	int64_t hurry_from_ms, hurry_ms;                                /* of shutdown_hurry; hurry_ms 0 = none */
	int lost_noted;                                                 /* not yet reported */
	struct event *advance; /* looks whether the phase is over, from the loop */
};

static void on_advance(evutil_socket_t fd, short what, void *arg);

enum error shutdown_open(struct event_base *base, void (*report)(void *arg, const struct message_closed *closed),
	void (*finished)(void *arg), void *arg, struct shutdown **shutdown_out)
{
	struct shutdown *s = must_alloc(sizeof *s);

	s->base = base;
	s->report = report;
	s->finished = finished;
	s->arg = arg;
	s->advance = evtimer_new(base, on_advance, s);
	if (s->advance == NULL) {
		free(s);
		return ERROR_SYSTEM;
	}
	*shutdown_out = s;
	return ERROR_NONE;
}

/* ---- one resource -------------------------------------------------------------------------------------------- */

static void close_entry(struct entry *entry, enum shutdown_result result, int forced, int lost, const char *detail)
{
	lost += entry->shutdown->lost_noted;
	entry->shutdown->lost_noted = 0;

	struct message_closed closed = { .result = result,
		.ms = (uint32_t)(clock_monotonic_ms() - entry->started_ms),
		.forced = (uint32_t)forced,
		.lost = (uint32_t)lost };
	struct shutdown *s = entry->shutdown;
	struct timeval now = { 0 };

	entry->state = ENTRY_CLOSED;
	(void)event_del(entry->timer);
	(void)snprintf(closed.name, sizeof closed.name, "%s", entry->resource.name);
	(void)snprintf(closed.detail, sizeof closed.detail, "%s", detail ? detail : "");
	LOG(result == SHUTDOWN_DONE || result == SHUTDOWN_SKIPPED ? LOG_DEBUG : LOG_WARN, "resource closed",
		F_STR("name", entry->resource.name), F_INT("result", result), F_INT("ms", closed.ms),
		F_INT("forced", forced), F_INT("lost", lost), F_STR("detail", detail));
	s->report(s->arg, &closed);
	/* From the loop: we may be inside this resource's close. */
	(void)event_add(s->advance, &now);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct entry *entry = arg;
	int lost = 0, forced;

	(void)fd;
	(void)what;
	if (entry->state != ENTRY_CLOSING)
		return;
	/* First ours, so that a `done` that the cut brings about is late and counts no more. */
	entry->state = ENTRY_CLOSED;
	forced = entry->resource.cut != NULL ? entry->resource.cut(entry->resource.arg, &lost) : 0;
	close_entry(entry, SHUTDOWN_TIMEOUT, forced, lost, "cut at its deadline");
}

/* When a hurry is on, the sockets get the first half of it, so that checkpoints still have the other. */
static int64_t deadline_at_ms(const struct shutdown *s, const struct entry *entry)
{
	const struct shutdown_resource *resource = &entry->resource;
	int64_t own_ms = !s->is_stop && resource->drain_ms > 0 ? resource->drain_ms : resource->deadline_ms;
	int64_t at_ms = s->phase_start_ms + own_ms, limit_ms;

	if (s->hurry_ms == 0)
		return at_ms;
	limit_ms = s->hurry_from_ms + (resource->phase == SHUTDOWN_SOCKETS ? s->hurry_ms / 2 : s->hurry_ms);
	return at_ms < limit_ms ? at_ms : limit_ms;
}

static void arm(const struct shutdown *s, struct entry *entry)
{
	int64_t left_ms = deadline_at_ms(s, entry) - clock_monotonic_ms();
	struct timeval left = { 0 };

	if (left_ms > 0)
		left = (struct timeval) { .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000 };
	(void)event_add(entry->timer, &left);
}

static void begin(struct shutdown *s, struct entry *entry)
{
	entry->state = ENTRY_CLOSING;
	entry->started_ms = clock_monotonic_ms();
	arm(s, entry);
	entry->resource.close(entry->resource.arg, s->is_stop);
}

void shutdown_register(struct shutdown *s, const struct shutdown_resource *resource)
{
	must(s->count < RESOURCES_MAX && !s->is_started);

	struct entry *entry = &s->entries[s->count++];

	entry->resource = *resource;
	entry->shutdown = s;
	entry->timer = evtimer_new(s->base, on_deadline, entry);
	must(entry->timer != NULL);
}

void shutdown_set_deadlines(struct shutdown *s, const char *name, int64_t deadline_ms, int64_t drain_ms)
{
	for (int i = 0; i < s->count; i++) {
		struct entry *entry = &s->entries[i];

		if (strcmp(entry->resource.name, name) != 0)
			continue;
		entry->resource.deadline_ms = deadline_ms;
		entry->resource.drain_ms = drain_ms;
		if (entry->state == ENTRY_CLOSING)
			arm(s, entry);
	}
}

void shutdown_done(struct shutdown *s, const char *name, enum shutdown_result result, const char *detail)
{
	for (int i = 0; i < s->count; i++)
		if (s->entries[i].state == ENTRY_CLOSING && strcmp(s->entries[i].resource.name, name) == 0) {
			close_entry(&s->entries[i], result, 0, 0, detail);
			return;
		}
	/* Cut before it was done, or done twice: the first word counts. */
	LOG(LOG_DEBUG, "late word from a resource", F_STR("name", name), F_INT("result", result));
}

/* ---- phases -------------------------------------------------------------------------------------------------- */

static void begin_phase(struct shutdown *s)
{
	/* `close` may call shutdown_done at once; that only changes its own entry. */
	for (int i = 0; i < s->count; i++)
		if (s->entries[i].resource.phase == s->phase && s->entries[i].state == ENTRY_WAITING)
			begin(s, &s->entries[i]);
}

static bool is_phase_over(const struct shutdown *s)
{
	for (int i = 0; i < s->count; i++)
		if (s->entries[i].resource.phase == s->phase && s->entries[i].state != ENTRY_CLOSED)
			return false;
	return true;
}

static void on_advance(evutil_socket_t fd, short what, void *arg)
{
	struct shutdown *s = arg;

	(void)fd;
	(void)what;
	while (!s->is_finished && is_phase_over(s)) {
		if (s->phase + 1 == SHUTDOWN_PHASE_COUNT) {
			s->is_finished = true;
			s->finished(s->arg);
			return;
		}
		s->phase++;
		s->phase_start_ms = clock_monotonic_ms();
		begin_phase(s);
	}
}

static void close_again(struct shutdown *s)
{
	for (int i = 0; i < s->count; i++)
		if (s->entries[i].state == ENTRY_CLOSING) {
			arm(s, &s->entries[i]);
			s->entries[i].resource.close(s->entries[i].resource.arg, s->is_stop);
		}
}

/* A drain that becomes a stop: shorter deadlines, and each that still closes is told. */
static void upgrade_to_stop(struct shutdown *s)
{
	s->is_stop = true;
	s->phase_start_ms = clock_monotonic_ms();
	close_again(s);
}

/* A drain whose successor drains too: whoever asked for it wants it over, though nothing may be lost for it. */
static void hasten(struct shutdown *s)
{
	if (s->is_hastened)
		return;
	s->is_hastened = true;
	close_again(s);
	shutdown_hurry(s, HASTE_MS);
}

void shutdown_start(struct shutdown *s, bool is_stop, int64_t t0_us)
{
	struct timeval now = { 0 };

	if (s->is_started) {
		if (is_stop && !s->is_stop)
			upgrade_to_stop(s);
		else if (!is_stop && !s->is_stop)
			hasten(s);
		return;
	}
	s->is_started = true;
	s->is_stop = is_stop;
	s->phase = SHUTDOWN_SOCKETS;
	/* All workers count from the same moment. */
	s->phase_start_ms = t0_us / 1000;
	begin_phase(s);
	(void)event_add(s->advance, &now);
}

void shutdown_hurry(struct shutdown *s, int64_t deadline_ms)
{
	int64_t now_ms = clock_monotonic_ms();

	if (s->hurry_ms != 0 && s->hurry_from_ms + s->hurry_ms <= now_ms + deadline_ms)
		return;
	s->hurry_from_ms = now_ms;
	s->hurry_ms = deadline_ms > 0 ? deadline_ms : 1;
	for (int i = 0; i < s->count; i++)
		if (s->entries[i].state == ENTRY_CLOSING)
			arm(s, &s->entries[i]);
}

void shutdown_note_lost(struct shutdown *s, int lost)
{
	s->lost_noted += lost;
}

bool shutdown_is_started(const struct shutdown *s)
{
	return s->is_started;
}

void shutdown_close(struct shutdown **shutdown)
{
	struct shutdown *s = *shutdown;

	if (s == NULL)
		return;
	for (int i = 0; i < s->count; i++)
		event_free(s->entries[i].timer);
	event_free(s->advance);
	free(s);
	*shutdown = NULL;
}
