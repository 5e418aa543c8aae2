/* shared_histogram_test.c: values fall into the bucket whose bound includes them; quantiles and differences of what was counted. */
#include "config.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shared/histogram.h"

static struct histogram counted;

static struct histogram_total total_of(const struct histogram *h)
{
	struct histogram_total total = { 0 };

	histogram_add(&total, h);
	return total;
}

Test(histogram, a_value_falls_into_the_bucket_whose_bound_includes_it)
{
	static const struct {
		int64_t value;
		int bucket;
	} rows[] = { { -5, 0 }, { 0, 0 }, { 250, 0 }, { 251, 1 }, { 1000, 2 }, { 120000000, 17 }, { 120000001, 18 } };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_expect(eq(int, histogram_observe(&counted, &histogram_requests, rows[i].value), rows[i].bucket),
			"%lld", (long long)rows[i].value);
	cr_expect(eq(u64, total_of(&counted).count, 7));
	cr_expect(eq(u64, total_of(&counted).sum, 240001502), "what is negative adds nothing");
}

Test(histogram, all_bounds_rise_and_fit)
{
	const struct histogram_bounds *const lists[] = { &histogram_requests, &histogram_queries, &histogram_sizes,
		&histogram_tokens, &histogram_operations };

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		cr_expect(le(int, lists[i]->count, HISTOGRAM_BOUNDS_MAX));
		for (int b = 1; b < lists[i]->count; b++)
			cr_expect(gt(i64, lists[i]->bounds[b], lists[i]->bounds[b - 1]));
	}
}

Test(histogram, quantiles_lie_between_the_bounds_in_proportion)
{
	struct histogram_total total;

	for (int i = 0; i < 100; i++)
		(void)histogram_observe(&counted, &histogram_requests, i < 98 ? 700 : 40000);
	total = total_of(&counted);
	cr_expect(epsilon_eq(dbl, histogram_quantile(&total, &histogram_requests, 0.49), 750, 1));
	cr_expect(epsilon_eq(dbl, histogram_quantile(&total, &histogram_requests, 0.98), 1000, 1));
	cr_expect(epsilon_eq(dbl, histogram_quantile(&total, &histogram_requests, 0.99), 37500, 1));
	cr_expect(epsilon_eq(dbl, histogram_quantile(&total, &histogram_requests, 1), 50000, 1));
	cr_expect(epsilon_eq(dbl, histogram_quantile(&total, &histogram_requests, 0), 500, 1));
}

Test(histogram, a_quantile_of_nothing_is_0_and_beyond_the_last_bound_is_that_bound)
{
	struct histogram_total total = { 0 };

	cr_expect(eq(dbl, histogram_quantile(&total, &histogram_requests, 0.5), 0));
	(void)histogram_observe(&counted, &histogram_requests, INT64_C(900000000));
	total = total_of(&counted);
	cr_expect(eq(dbl, histogram_quantile(&total, &histogram_requests, 0.5), 120000000));
}

Test(histogram, a_difference_holds_only_what_came_in_between)
{
	struct histogram_total before, now, between;

	(void)histogram_observe(&counted, &histogram_queries, 90);
	before = total_of(&counted);
	(void)histogram_observe(&counted, &histogram_queries, 90);
	(void)histogram_observe(&counted, &histogram_queries, 3000);
	now = total_of(&counted);
	between = histogram_since(&now, &before);
	cr_expect(eq(u64, between.count, 2));
	cr_expect(eq(u64, between.sum, 3090));
	cr_expect(eq(u64, between.buckets[0], 1));
	between = histogram_since(&before, &now);
	cr_expect(eq(u64, between.count, 1), "it began anew: all there is came since");
}
