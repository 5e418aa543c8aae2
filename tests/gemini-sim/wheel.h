/* One timer for everything that waits: a wheel of one-millisecond slots, driven by a single libevent timer.
 * Hundreds of streams with the same rhythm then cost one wake-up per millisecond, not one per stream. */
#ifndef GEMINI_SIM_WHEEL_H
#define GEMINI_SIM_WHEEL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct wheel;

struct wheel_timer {
	struct wheel_timer *next; /* in its slot; NULL at the end */
	struct wheel_timer **at;  /* the pointer that points here; NULL while not running */
	int64_t due_ms;           /* on the wheel's clock */
	void (*run)(void *owner); /* called once when due, from the loop */
	void *owner;              /* handed to `run` */
};

struct wheel *wheel_create(struct event_base *base);
void wheel_destroy(struct wheel **wheel);
/* Milliseconds since some fixed moment, monotonic. */
int64_t wheel_now_ms(void);
/* (Re)starts `timer`; `run` is called at `due_ms` or at once in the next loop turn if that is past. */
void wheel_start(struct wheel *wheel, struct wheel_timer *timer, int64_t due_ms);
/* Harmless for a timer that is not running. */
void wheel_cancel(struct wheel_timer *timer);

#endif
