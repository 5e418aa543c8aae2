/* clock.h: the two clocks and how a time is written. Deadlines are monotonic, what people read is wall time (UTC).
 * Unit tests set both by hand with clock_freeze. */
#ifndef RENOVATIOND_SHARED_CLOCK_H
#define RENOVATIOND_SHARED_CLOCK_H

#include <stdint.h>
#include <stddef.h>

int64_t clock_monotonic_us(void); /* microseconds, CLOCK_MONOTONIC: the same in all processes of the host */
int64_t clock_monotonic_ms(void);
int64_t clock_wall_us(void); /* microseconds since 1970, UTC */

#define CLOCK_RFC3339_BYTES   25 /* 2026-11-21T12:00:00.000Z and its NUL */
#define CLOCK_HTTP_DATE_BYTES 30 /* Sat, 21 Nov 2026 12:00:00 GMT and its NUL */

/* RFC 3339 with milliseconds, as the API shows times. */
void clock_format_rfc3339(int64_t wall_us, char out[CLOCK_RFC3339_BYTES]);
/* IMF-fixdate, RFC 9110 section 5.6.7. */
void clock_format_http_date(int64_t wall_us, char out[CLOCK_HTTP_DATE_BYTES]);

/* For unit tests: both clocks stand still at these values until clock_thaw. */
void clock_freeze(int64_t monotonic_us, int64_t wall_us);
void clock_thaw(void);

#endif
