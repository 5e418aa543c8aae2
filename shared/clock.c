/* clock.c: reads the kernel's clocks, or the hand-set ones of a unit test, and writes times the two ways users see them. */
#include "config.h"
#include "shared/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

static bool frozen;
static int64_t frozen_monotonic_us;
static int64_t frozen_wall_us;

static int64_t read_us(clockid_t id)
{
	struct timespec now;

	(void)clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
	return frozen ? frozen_monotonic_us : read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

int64_t clock_wall_us(void)
{
	return frozen ? frozen_wall_us : read_us(CLOCK_REALTIME);
}

void clock_format_rfc3339(int64_t wall_us, char out[CLOCK_RFC3339_BYTES])
{
	/* Most calls are for log lines of the same second: only the milliseconds differ. */
	static time_t last_seconds = -1;
	static char last[CLOCK_RFC3339_BYTES] = "1969-12-31T23:59:59.000Z";
	time_t seconds = (time_t)(wall_us / 1000000);
	unsigned ms = (unsigned)(wall_us / 1000 % 1000) % 1000;
	struct tm utc;

	if (seconds != last_seconds) {
		(void)gmtime_r(&seconds, &utc);
		(void)strftime(last, sizeof last, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
		last_seconds = seconds;
	}
	memcpy(out, last, CLOCK_RFC3339_BYTES);
	out[20] = (char)('0' + ms / 100);
	out[21] = (char)('0' + ms / 10 % 10);
	out[22] = (char)('0' + ms % 10);
}

void clock_format_http_date(int64_t wall_us, char out[CLOCK_HTTP_DATE_BYTES])
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm utc;

	(void)gmtime_r(&seconds, &utc);
	(void)strftime(out, CLOCK_HTTP_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &utc);
}

void clock_freeze(int64_t monotonic_us, int64_t wall_us)
{
	frozen = true;
	frozen_monotonic_us = monotonic_us;
	frozen_wall_us = wall_us;
}

void clock_thaw(void)
{
	frozen = false;
}
