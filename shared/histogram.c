/* histogram.c: the lists of bounds, and arithmetic with what was counted. Called by those who read: exposition, status, history.
 * Counting itself is in the header, because it happens with each request. */
#include "config.h"
#include "shared/histogram.h"

/* clang-format off */
const struct histogram_bounds histogram_requests = { 18, 1e-6,
	{ 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 120000000 } };
const struct histogram_bounds histogram_queries = { 16, 1e-6,
	{ 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000 } };
const struct histogram_bounds histogram_sizes = { 10, 1,
	{ 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216 } };
const struct histogram_bounds histogram_tokens = { 14, 1,
	{ 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864 } };
const struct histogram_bounds histogram_operations = { 14, 1e-6,
	{ 10000, 20000, 40000, 80000, 160000, 320000, 640000, 1280000, 2560000, 5120000, 10240000, 20480000, 40960000, 81920000 } };
/* clang-format on */

void histogram_add(struct histogram_total *total, const struct histogram *h)
{
	for (int i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++) {
		uint64_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

		total->buckets[i] += n;
		total->count += n;
	}
	total->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

struct histogram_total histogram_since(const struct histogram_total *now, const struct histogram_total *before)
{
	struct histogram_total between = { 0 };

	if (now->count < before->count || now->sum < before->sum)
		return *now;
	for (int i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++)
		if (now->buckets[i] > before->buckets[i]) {
			between.buckets[i] = now->buckets[i] - before->buckets[i];
			between.count += between.buckets[i];
		}
	between.sum = now->sum - before->sum;
	return between;
}

double histogram_quantile(const struct histogram_total *total, const struct histogram_bounds *bounds, double q)
{
	double wanted = q * (double)total->count, below = 0, from = 0;

	if (total->count == 0)
		return 0;
	for (int i = 0; i < bounds->count; i++) {
		double here = (double)total->buckets[i], to = (double)bounds->bounds[i];

		if (here > 0 && below + here >= wanted)
			return wanted > below ? from + (to - from) * (wanted - below) / here : from;
		below += here;
		from = to;
	}
	return from;
}
