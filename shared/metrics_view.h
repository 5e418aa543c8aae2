/* metrics_view.h: what the writers of metrics share; used by metrics*.c only. A writer exists for each row of metrics.def and writes its samples. */
#ifndef RENOVATIOND_SHARED_METRICS_VIEW_H
#define RENOVATIOND_SHARED_METRICS_VIEW_H

#include "shared/exposition.h"
#include "shared/scoreboard.h"

struct view {
	const struct scoreboard *board;      /* as it is now */
	struct scoreboard_totals totals;     /* of it */
	const struct scoreboard_measures *m; /* its sum */
	int64_t now_us;                      /* monotonic */
	int64_t wall_us;
};

#define METRIC(name, type, unit, labels, help)   void write_##name(struct exposition *x, const struct view *v);
#define STANDARD(name, type, unit, labels, help) void write_##name(struct exposition *x, const struct view *v);
#include "shared/metrics.def"
#undef METRIC
#undef STANDARD

/* The writer of a family with one sample. */
#define NUMBER(name, value)                                                                                            \
	void write_##name(struct exposition *x, const struct view *v)                                                  \
	{                                                                                                              \
		exposition_number(x, (uint64_t)(value));                                                               \
	}
#define MICRO(name, value)                                                                                             \
	void write_##name(struct exposition *x, const struct view *v)                                                  \
	{                                                                                                              \
		exposition_micro(x, (value));                                                                          \
	}

/* One sample with one label. */
static inline void write_labelled(struct exposition *x, const char *label, uint64_t value)
{
	exposition_labels(x, &label, 1);
	exposition_number(x, value);
}

/* Since a monotonic time; 0 when it lies ahead or never was. */
static inline int64_t age_us(const struct view *v, int64_t at_us)
{
	return at_us > 0 && at_us < v->now_us ? v->now_us - at_us : 0;
}

#endif
