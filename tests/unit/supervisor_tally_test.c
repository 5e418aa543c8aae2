/* supervisor_tally_test.c: the report of a stop, and how far it is, from what several workers say. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "shared/inherit.h"
#include "supervisor/stop_phase.h"
#include "supervisor/tally.h"

static const struct tally_row *find(const struct tally *t, const char *name)
{
	for (int i = 0; i < t->count; i++)
		if (strcmp(t->rows[i].name, name) == 0)
			return &t->rows[i];
	cr_assert(false, "no row %s", name);
	return NULL;
}

Test(tally, the_worst_state_the_slowest_time_and_all_sums_are_kept)
{
	struct tally t;

	tally_init(&t, 2);
	tally_add(&t, &(struct message_closed) { .name = "http", .result = TALLY_DONE, .ms = 30, .detail = "fine" });
	tally_add(&t, &(struct message_closed) {
			      .name = "http", .result = TALLY_TIMEOUT, .ms = 20, .forced = 2, .detail = "cut" });
	cr_expect_eq(find(&t, "http")->state, TALLY_TIMEOUT);
	cr_expect_eq(find(&t, "http")->ms, 30);
	cr_expect_eq(find(&t, "http")->forced, 2);
	cr_expect_str_eq(find(&t, "http")->detail, "cut");
	cr_expect_eq(find(&t, "database")->state, TALLY_SKIPPED);
	cr_expect_str_eq(tally_result(&t), "forced");
	cr_expect_eq(tally_exit_code(&t), EXIT_OK);
}

Test(tally, nothing_cut_is_clean)
{
	struct tally t;

	tally_init(&t, 1);
	tally_add(&t, &(struct message_closed) { .name = "turns", .result = TALLY_DONE });
	tally_finish(&t);
	cr_expect_str_eq(tally_result(&t), "clean");
	cr_expect_eq(tally_exit_code(&t), EXIT_OK);
}

Test(tally, lost_work_is_74)
{
	struct tally t;

	tally_init(&t, 1);
	tally_add(&t, &(struct message_closed) { .name = "database", .result = TALLY_TIMEOUT, .lost = 1 });
	cr_expect_str_eq(tally_result(&t), "lost");
	cr_expect_eq(tally_exit_code(&t), EXIT_WORK_LOST);
}

Test(tally, a_killed_worker_is_forced_and_loses_only_what_it_wrote)
{
	struct tally t;

	tally_init(&t, 2);
	tally_add(&t, &(struct message_closed) { .name = "http", .result = TALLY_DONE });
	tally_add_killed(&t, 0);
	tally_finish(&t);
	cr_expect_str_eq(tally_result(&t), "forced");
	cr_expect_eq(tally_exit_code(&t), EXIT_OK);
	cr_expect_eq(find(&t, "http")->state, TALLY_TIMEOUT, "the killed one never closed it");
	tally_add_killed(&t, 2);
	cr_expect_eq(tally_exit_code(&t), EXIT_WORK_LOST);
}

Test(tally, unknown_resources_and_states_are_reported_too)
{
	struct tally t;
	struct buffer json;

	tally_init(&t, 1);
	tally_add(&t, &(struct message_closed) { .name = "jobs", .result = 42, .detail = "say \"so\"" });
	for (int i = 0; i < TALLY_ROWS_MAX; i++) {
		struct message_closed closed = { .forced = 1 };

		(void)snprintf(closed.name, sizeof closed.name, "more%d", i);
		tally_add(&t, &closed);
	}
	cr_expect_eq(find(&t, "jobs")->state, TALLY_ERROR);
	cr_expect_eq(t.count, TALLY_ROWS_MAX);
	cr_expect_eq(t.forced, TALLY_ROWS_MAX, "what has no row still counts");
	buffer_init(&json);
	tally_write_phases(&t, &json);
	buffer_append_char(&json, '\0');
	cr_expect_not_null(strstr(json.bytes, "{\"name\":\"jobs\",\"state\":\"error\",\"ms\":0,\"forced\":0,\"lost\":0,"
					      "\"detail\":\"say \\\"so\\\"\"}"));
	buffer_fini(&json);
}

Test(stop_phase, a_worker_is_in_the_first_phase_of_which_something_is_open)
{
	static const struct {
		const char *closed;       /* next */
		enum stop_phase expected; /* then */
	} steps[] = { { "turns", STOP_SOCKETS }, { "http", STOP_SOCKETS }, { "unheard of", STOP_SOCKETS },
		{ "realtime", STOP_DATABASE }, { "gemini", STOP_DATABASE }, { "database", STOP_LOG },
		{ "logs", STOP_LEAVING } };
	struct stop_progress p = { .closed = { 0 } };

	cr_expect_eq(stop_progress_phase(&p, 3), STOP_SOCKETS);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		stop_progress_note(&p, 3, steps[i].closed);
		cr_expect_eq(stop_progress_phase(&p, 3), steps[i].expected, "after %s: %s", steps[i].closed,
			stop_phase_names[stop_progress_phase(&p, 3)]);
	}
	cr_expect_eq(stop_progress_phase(&p, 4), STOP_SOCKETS, "another worker's are its own");
}
