/* histogram.h: counts of values by size, as plain atomics in shared memory: one writer each, any number of readers. Values are whole numbers of
 * a unit (microseconds, bytes, tokens); their bounds are one of the lists below. Adding, subtracting and asking for a quantile are pure. */
#ifndef RENOVATIOND_SHARED_HISTOGRAM_H
#define RENOVATIOND_SHARED_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 18

struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BOUNDS_MAX +
				 1]; /* values up to the bound; after the last bound, all that are larger */
	_Atomic uint64_t sum;        /* of all values, in the unit */
};

struct histogram_bounds {
	int count;                            /* of them */
	double scale;                         /* one of the unit in seconds, bytes or tokens */
	int64_t bounds[HISTOGRAM_BOUNDS_MAX]; /* rising, each included in its bucket; in the unit */
};

extern const struct histogram_bounds histogram_requests; /* µs: 0.25 ms to 120 s */
extern const struct histogram_bounds histogram_queries;  /* µs: 0.1 ms to 10 s */
extern const struct histogram_bounds histogram_sizes;    /* bytes: 64 to 16 Mi */
extern const struct histogram_bounds
	histogram_tokens; /* tokens: 1 to 67108864, as OpenTelemetry says for gen_ai.client.token.usage */
extern const struct histogram_bounds
	histogram_operations; /* µs: 0.01 to 81.92 s, as it says for gen_ai.client.operation.duration */

/* By the only writer. Negative values count as 0. Returns the bucket. */
static inline int histogram_observe(struct histogram *h, const struct histogram_bounds *bounds, int64_t value)
{
	int i = 0;

	if (value < 0)
		value = 0;
	while (i < bounds->count && value > bounds->bounds[i])
		i++;
	atomic_store_explicit(
		&h->buckets[i], atomic_load_explicit(&h->buckets[i], memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_store_explicit(
		&h->sum, atomic_load_explicit(&h->sum, memory_order_relaxed) + (uint64_t)value, memory_order_relaxed);
	return i;
}

/* What was counted, at one moment. */
struct histogram_total {
	uint64_t count;                             /* of all values */
	uint64_t sum;                               /* of them, in the unit */
	uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1]; /* each its own values alone */
};

void histogram_add(struct histogram_total *total, const struct histogram *h);
/* What came between two moments of the same histogram; all of `now` when it began anew in between. */
struct histogram_total histogram_since(const struct histogram_total *now, const struct histogram_total *before);
/* The value, in the unit, that the share `q` (0 to 1) of the values does not exceed; between two bounds in proportion, as Prometheus does it.
 * The last bound when it lies beyond; 0 without values. */
double histogram_quantile(const struct histogram_total *total, const struct histogram_bounds *bounds, double q);

#endif
