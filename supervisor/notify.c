/* notify.c: tells systemd's service manager how we are, and pings its watchdog while we serve. Nothing happens without one (sd_notify(3)).
 * Called by main.c, pool.c, preflight.c and shutdown.c. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "shared/clock.h"
#include "shared/log.h"

#define UNSERVED_MS 60000 /* no worker ready for so long: no more pings */

static struct event *ping_timer; /* NULL without a watchdog */
static int64_t last_served_ms;   /* monotonic */

void notify_ready(const struct supervisor *s)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=listening on %s", s->url);
}

void notify_status(const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	(void)sd_notifyf(0, "STATUS=%s", text);
}

void notify_checking(int extend_ms)
{
	(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%lld", (long long)extend_ms * 1000);
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	const struct supervisor *s = arg;
	int64_t now_ms = clock_monotonic_ms();

	(void)fd;
	(void)what;
	if (pool_count_ready(s) > 0 || s->state == SUPERVISOR_STOPPING)
		last_served_ms = now_ms;
	if (now_ms - last_served_ms < UNSERVED_MS)
		(void)sd_notify(0, "WATCHDOG=1");
}

enum error notify_open(struct supervisor *s)
{
	uint64_t limit_us = 0;

	last_served_ms = clock_monotonic_ms();
	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return ERROR_NONE;

	struct timeval interval = { .tv_sec = (time_t)(limit_us / 3 / 1000000),
		.tv_usec = (suseconds_t)(limit_us / 3 % 1000000) };

	ping_timer = event_new(s->base, -1, EV_PERSIST, on_ping, s);
	if (ping_timer == NULL || event_add(ping_timer, &interval) != 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

void notify_close(void)
{
	if (ping_timer != NULL)
		event_free(ping_timer);
	ping_timer = NULL;
}
