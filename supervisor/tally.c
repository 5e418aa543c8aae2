/* tally.c: adds up what workers report about the end of their resources: worst state, slowest time, sums of what was cut and lost.
 * Called by shutdown.c. Decides the exit code of a stop: 74 only when something acknowledged was lost. */
#include "config.h"
#include "supervisor/tally.h"

#include <stdio.h>
#include <string.h>

#include "shared/inherit.h"
#include "shared/json.h"

static const char *const state_names[] = { "done", "timeout", "error", "skipped" };

#define LISTENER "listener" /* the supervisor's own: workers do not speak of it */

void tally_init(struct tally *t, int told)
{
	static const char *const known[] = { LISTENER, "http", "realtime", "turns", "database", "gemini", "logs" };

	memset(t, 0, sizeof *t);
	t->told = told;
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		struct tally_row *row = &t->rows[t->count++];

		(void)snprintf(row->name, sizeof row->name, "%s", known[i]);
		row->state = TALLY_SKIPPED;
	}
}

static struct tally_row *find_row(struct tally *t, const char *name)
{
	for (int i = 0; i < t->count; i++)
		if (strncmp(t->rows[i].name, name, sizeof t->rows[i].name) == 0)
			return &t->rows[i];
	if (t->count == TALLY_ROWS_MAX)
		return NULL;

	struct tally_row *row = &t->rows[t->count++];

	(void)snprintf(row->name, sizeof row->name, "%.15s", name);
	row->state = TALLY_SKIPPED;
	return row;
}

static int gravity(enum tally_state state)
{
	switch (state) {
	case TALLY_SKIPPED: return 0;
	case TALLY_DONE: return 1;
	case TALLY_TIMEOUT: return 2;
	case TALLY_ERROR: return 3;
	}
	return 3;
}

void tally_add(struct tally *t, const struct message_closed *closed)
{
	enum tally_state state = closed->result <= TALLY_SKIPPED ? (enum tally_state)closed->result : TALLY_ERROR;
	struct tally_row *row = find_row(t, closed->name);

	t->forced += closed->forced;
	t->lost += closed->lost;
	if (row == NULL)
		return;
	row->reports++;
	row->forced += closed->forced;
	row->lost += closed->lost;
	if (closed->ms > row->ms)
		row->ms = closed->ms;
	if (gravity(state) > gravity(row->state) || row->detail[0] == '\0')
		(void)snprintf(row->detail, sizeof row->detail, "%s", closed->detail);
	if (gravity(state) > gravity(row->state))
		row->state = state;
}

void tally_add_killed(struct tally *t, uint32_t turns)
{
	t->killed++;
	t->forced++;
	t->lost += turns;
}

void tally_finish(struct tally *t)
{
	for (int i = 0; i < t->count; i++) {
		struct tally_row *row = &t->rows[i];

		if (t->killed == 0 || row->reports == 0 || row->reports >= t->told ||
			strcmp(row->name, LISTENER) == 0 || gravity(row->state) >= gravity(TALLY_TIMEOUT))
			continue;
		row->state = TALLY_TIMEOUT;
		(void)snprintf(row->detail, sizeof row->detail, "%d of %d workers were killed before they closed it",
			t->told - row->reports, t->told);
	}
}

const char *tally_result(const struct tally *t)
{
	if (t->lost > 0)
		return "lost";
	return t->forced > 0 ? "forced" : "clean";
}

int tally_exit_code(const struct tally *t)
{
	return t->lost > 0 ? EXIT_WORK_LOST : EXIT_OK;
}

void tally_write_phases(const struct tally *t, struct buffer *json)
{
	buffer_append_char(json, '[');
	for (int i = 0; i < t->count; i++) {
		const struct tally_row *row = &t->rows[i];

		buffer_append_string(json, i ? ",{\"name\":" : "{\"name\":");
		json_write_string(json, text_of(row->name));
		buffer_printf(json,
			",\"state\":\"%s\",\"ms\":%u,\"forced\":%u,\"lost\":%u,\"detail\":", state_names[row->state],
			row->ms, row->forced, row->lost);
		json_write_string(json, text_of(row->detail));
		buffer_append_char(json, '}');
	}
	buffer_append_char(json, ']');
}

void tally_write_summary(const struct tally *t, int64_t ms, struct buffer *line)
{
	const char *separator = ": ";

	buffer_printf(line, "stopped (%s) in %lld ms", tally_result(t), (long long)ms);
	for (int i = 0; i < t->count; i++) {
		const struct tally_row *row = &t->rows[i];

		if (row->state == TALLY_SKIPPED)
			continue;
		buffer_printf(line, "%s%s %s %u ms", separator, row->name, state_names[row->state], row->ms);
		separator = ", ";
	}
	if (t->forced > 0)
		buffer_printf(line, "; %u cut", t->forced);
	if (t->lost > 0)
		buffer_printf(line, "; %u LOST", t->lost);
	if (t->killed > 0)
		buffer_printf(line, "; %u workers killed", t->killed);
}
