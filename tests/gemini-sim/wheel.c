/* The timer wheel: 1024 slots of one millisecond, later timers wait in their slot for another round.
 * Called by stream.c, http.c and faults; it knows nothing of what it wakes. */
#include "tests/gemini-sim/wheel.h"

#include <stdlib.h>
#include <time.h>

#include "tests/gemini-sim/text.h"

#define WHEEL_SLOTS 1024

struct wheel {
	struct event *tick;                    /* owned; armed for the next slot that has timers */
	int64_t armed_ms;                      /* when `tick` fires; 0 = not armed */
	int64_t done_ms;                       /* slots up to and with this moment are handled */
	struct wheel_timer *slot[WHEEL_SLOTS]; /* lists of timers, by due_ms modulo the size */
};

int64_t wheel_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wheel_arm(struct wheel *wheel, int64_t due_ms)
{
	int64_t wait_ms = due_ms - wheel_now_ms();
	if (wait_ms < 0)
		wait_ms = 0;
	struct timeval wait = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
	wheel->armed_ms = due_ms;
	evtimer_add(wheel->tick, &wait);
}

static void wheel_unlink(struct wheel_timer *timer)
{
	*timer->at = timer->next;
	if (timer->next != NULL)
		timer->next->at = timer->at;
	timer->at = NULL;
	timer->next = NULL;
}

/* Timers that come due are moved to a list of their own first: `run` may start, cancel or free any timer. */
static void wheel_run_slot(struct wheel *wheel, int64_t slot_ms)
{
	struct wheel_timer *due = NULL;
	struct wheel_timer **tail = &due;
	struct wheel_timer *timer = wheel->slot[slot_ms % WHEEL_SLOTS];
	while (timer != NULL) {
		struct wheel_timer *next = timer->next;
		if (timer->due_ms <= slot_ms) {
			wheel_unlink(timer);
			timer->at = tail;
			*tail = timer;
			tail = &timer->next;
		}
		timer = next;
	}
	while (due != NULL) {
		timer = due;
		wheel_unlink(timer);
		timer->run(timer->owner);
	}
}

static void wheel_rearm(struct wheel *wheel)
{
	for (int64_t ahead = 1; ahead <= WHEEL_SLOTS; ahead++) {
		if (wheel->slot[(wheel->done_ms + ahead) % WHEEL_SLOTS] != NULL) {
			wheel_arm(wheel, wheel->done_ms + ahead);
			return;
		}
	}
}

static void on_tick(evutil_socket_t unused, short what, void *context)
{
	struct wheel *wheel = context;
	(void)unused;
	(void)what;
	wheel->armed_ms = 0;
	int64_t now_ms = wheel_now_ms();
	if (now_ms - wheel->done_ms > WHEEL_SLOTS)
		wheel->done_ms = now_ms - WHEEL_SLOTS;
	while (wheel->done_ms < now_ms) {
		wheel->done_ms++;
		wheel_run_slot(wheel, wheel->done_ms);
	}
	wheel_rearm(wheel);
}

struct wheel *wheel_create(struct event_base *base)
{
	struct wheel *wheel = memory_take(sizeof *wheel);
	wheel->tick = evtimer_new(base, on_tick, wheel);
	wheel->done_ms = wheel_now_ms();
	return wheel;
}

void wheel_destroy(struct wheel **wheel)
{
	if (*wheel == NULL)
		return;
	event_free((*wheel)->tick);
	free(*wheel);
	*wheel = NULL;
}

void wheel_start(struct wheel *wheel, struct wheel_timer *timer, int64_t due_ms)
{
	wheel_cancel(timer);
	if (due_ms <= wheel->done_ms)
		due_ms = wheel->done_ms + 1;
	timer->due_ms = due_ms;
	struct wheel_timer **slot = &wheel->slot[due_ms % WHEEL_SLOTS];
	timer->next = *slot;
	if (timer->next != NULL)
		timer->next->at = &timer->next;
	timer->at = slot;
	*slot = timer;
	if (wheel->armed_ms == 0 || due_ms < wheel->armed_ms)
		wheel_arm(wheel, due_ms);
}

void wheel_cancel(struct wheel_timer *timer)
{
	if (timer->at != NULL)
		wheel_unlink(timer);
}
