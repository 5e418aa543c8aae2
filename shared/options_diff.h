/* options_diff.h: what a new reading of the configuration changes, sorted by what a reload does with it. Pure; used by the supervisor. */
#ifndef RENOVATIOND_SHARED_OPTIONS_DIFF_H
#define RENOVATIOND_SHARED_OPTIONS_DIFF_H

#include "shared/options.h"

struct options_diff {
	bool differs[OPTION_COUNT];            /* the two have different values */
	enum option_class class[OPTION_COUNT]; /* what a reload does about it; the row's, until options_diff_pin */
};

void options_diff(const struct options *running, const struct options *fresh, struct options_diff *diff_out);
/* This one cannot be applied here and now, whatever its row says. */
void options_diff_pin(struct options_diff *diff, enum option_id id);
bool options_diff_has(const struct options_diff *diff, enum option_class class);
/* Names of those that differ in this class: "log_level, surge"; appends nothing when there are none. */
void options_diff_write(const struct options_diff *diff, enum option_class class, struct buffer *out);
/* Gives those that need a restart their running values, so that `fresh` is what can be served with. */
void options_diff_keep(const struct options_diff *diff, const struct options *running, struct options *fresh);
/* Exchanges the storage of all values that need a restart: who borrowed the text of one from `running` finds it in `fresh` afterwards. */
void options_diff_hand_over(const struct options_diff *diff, struct options *running, struct options *fresh);

#endif
