/* state_fuzz.c: arbitrary bytes as the state that an upgrade hands over: no crash, and what was taken is whole and survives being written again. */
#include "config.h"

#include <stdlib.h>

#include "supervisor/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_taken(const struct state *state)
{
	struct state *again = must_alloc(sizeof *again);
	int fds[STATE_DESCRIPTORS_MAX], count = state_descriptors(state, fds);
	struct buffer lines;
	const char *where;

	must(count >= 2 * SLOTS_MAX && count <= STATE_DESCRIPTORS_MAX);
	for (int i = 0; i < count; i++)
		must(fds[i] > 2);
	buffer_init(&lines);
	state_write(state, &lines);
	must(state_read(buffer_text(&lines), again, &where) == ERROR_NONE);
	must(memcmp(again, state, sizeof *again) == 0);
	buffer_fini(&lines);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct state *state = must_alloc(sizeof *state);
	const char *where = NULL;
	char why[200] = "";
	/* Of its own size, so that a byte too far is seen. */
	char *copy = must_strndup((const char *)bytes, length);

	if (length <= STATE_BYTES_MAX &&
		state_read(text_span((const char *)bytes, length), state, &where) == ERROR_NONE)
		check_taken(state);
	must(state_knows_layouts(text_of(copy), why, sizeof why) || why[0] != '\0');
	free(copy);
	free(state);
	return 0;
}
