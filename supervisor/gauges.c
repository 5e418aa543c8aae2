/* gauges.c: what only the supervisor can measure, written into the scoreboard each second: its own process, the accept queue, slots that wait for their next
 * worker; and how long leaving workers took to close what they had. Opened by main.c; told by channel.c. Decides nothing. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/process.h"

static struct event *tick; /* owned; each second */

/* Of a listening socket the kernel reports the queue's length and limit in these two fields (tcp_get_info in net/ipv4/tcp.c). */
static void measure_queue(struct supervisor *s)
{
	struct scoreboard_service *service = &s->board->service;
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;

	if (s->listener < 0 || getsockopt(s->listener, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
		info.tcpi_state != TCP_LISTEN)
		info.tcpi_unacked = info.tcpi_sacked = 0;
	SCOREBOARD_SET(service->accept_queue, info.tcpi_unacked);
	SCOREBOARD_SET(service->accept_queue_max, info.tcpi_sacked);
}

static int64_t milliseconds_until(const struct timeval *due)
{
	struct timeval now;

	(void)evutil_gettimeofday(&now, NULL);
	return (due->tv_sec - now.tv_sec) * 1000 + (due->tv_usec - now.tv_usec) / 1000;
}

static void measure_waiting(struct supervisor *s)
{
	uint32_t waiting = 0;
	int64_t longest_ms = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct timeval due;

		if (s->slots[i].respawn == NULL || !event_pending(s->slots[i].respawn, EV_TIMEOUT, &due))
			continue;
		waiting++;
		if (milliseconds_until(&due) > longest_ms)
			longest_ms = milliseconds_until(&due);
	}
	SCOREBOARD_SET(s->board->service.waiting, waiting);
	SCOREBOARD_SET(s->board->service.waiting_longest_ms, longest_ms);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	int64_t now_us = clock_monotonic_us();

	(void)fd;
	(void)what;
	process_measure(&s->board->service.process, now_us);
	SCOREBOARD_SET(s->board->service.log_dropped, log_dropped());
	measure_queue(s);
	measure_waiting(s);
}

enum error gauges_open(struct supervisor *s)
{
	tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
	if (tick == NULL || event_add(tick, &(struct timeval) { .tv_sec = 1 }) != 0)
		return ERROR_SYSTEM;
	on_tick(-1, 0, s);
	return ERROR_NONE;
}

void gauges_close(void)
{
	if (tick != NULL)
		event_free(tick);
	tick = NULL;
}

void gauges_resource_closed(struct supervisor *s, const struct message_closed *closed)
{
	struct scoreboard_service *service = &s->board->service;
	char name[sizeof closed->name + 1] = "";

	memcpy(name, closed->name, strnlen(closed->name, sizeof closed->name));

	int row = scoreboard_claim(service->phases, STOP_PHASES_MAX, "", name);

	(void)histogram_observe(&service->phase_seconds[row], &histogram_requests, (int64_t)closed->ms * 1000);
	SCOREBOARD_ADD(service->phase_forced, closed->forced);
}
