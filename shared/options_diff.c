/* options_diff.c: compares two sets of options and sorts what differs by the class of its row. Called by the supervisor's reload; starts and
 * applies nothing. */
#include "config.h"
#include "shared/options_diff.h"

static bool is_same(const struct options *a, const struct options *b, enum option_id id)
{
	struct buffer left, right;
	bool is_equal;

	buffer_init(&left);
	buffer_init(&right);
	options_write_value(a, id, &left);
	options_write_value(b, id, &right);
	is_equal = text_equals(buffer_text(&left), buffer_text(&right));
	/* Secrets went through here. */
	if (option_rows[id].kind == OPTION_KIND_SECRET && left.bytes != NULL)
		explicit_bzero(left.bytes, left.capacity);
	if (option_rows[id].kind == OPTION_KIND_SECRET && right.bytes != NULL)
		explicit_bzero(right.bytes, right.capacity);
	buffer_fini(&left);
	buffer_fini(&right);
	return is_equal;
}

void options_diff(const struct options *running, const struct options *fresh, struct options_diff *diff_out)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		diff_out->differs[id] = !is_same(running, fresh, id);
		diff_out->class[id] = option_rows[id].class;
	}
}

void options_diff_pin(struct options_diff *diff, enum option_id id)
{
	diff->class[id] = OPTION_CLASS_RESTART;
}

bool options_diff_has(const struct options_diff *diff, enum option_class class)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (diff->differs[id] && diff->class[id] == class)
			return true;
	return false;
}

void options_diff_write(const struct options_diff *diff, enum option_class class, struct buffer *out)
{
	const char *between = "";

	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (diff->differs[id] && diff->class[id] == class) {
			buffer_printf(out, "%s%s", between, option_rows[id].name);
			between = ", ";
		}
}

void options_diff_keep(const struct options_diff *diff, const struct options *running, struct options *fresh)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (diff->differs[id] && diff->class[id] == OPTION_CLASS_RESTART)
			options_copy(running, fresh, id);
}

void options_diff_hand_over(const struct options_diff *diff, struct options *running, struct options *fresh)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (diff->class[id] == OPTION_CLASS_RESTART)
			options_exchange(running, fresh, id);
}
