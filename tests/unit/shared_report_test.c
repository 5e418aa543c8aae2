/* shared_report_test.c: the preflight's rows over the pipe and back, and what they mean together. */
#include "config.h"

#include <criterion/criterion.h>

#include "shared/inherit.h"
#include "shared/report.h"

static struct report report;

static void add(const char *name, enum report_state state, int exit_code, bool is_transient)
{
	struct report_row *row = report_add(&report, name);

	row->state = state;
	row->exit_code = exit_code;
	row->is_transient = is_transient;
}

Test(report, rows_survive_the_pipe)
{
	static struct report back;
	struct report_row *row = report_add(&report, "database");
	struct buffer lines;

	row->state = REPORT_WARNING;
	row->latency_ms = 12;
	report_detail(row, "tab\tand\nline %d", 5);
	report_remedy(row, "\"quoted\"");
	add("gemini", REPORT_FAILED, EXIT_REFUSED, true);
	buffer_init(&lines);
	report_write(&report, &lines);
	cr_assert_eq(report_read(buffer_text(&lines), &back), ERROR_NONE);
	cr_expect_eq(back.count, 2);
	cr_expect_str_eq(back.rows[0].detail, "tab and line 5");
	cr_expect_str_eq(back.rows[0].remedy, "\"quoted\"");
	cr_expect_eq(back.rows[0].latency_ms, 12);
	cr_expect_eq(back.rows[0].state, REPORT_WARNING);
	cr_expect(back.rows[1].is_transient);
	cr_expect_eq(back.rows[1].exit_code, EXIT_REFUSED);
	buffer_clear(&lines);
	report_write_json(&back, &lines);
	cr_expect(text_starts_with(
		buffer_text(&lines), TEXT("[{\"name\":\"database\",\"state\":\"warning\",\"latency_ms\":12,")));
	buffer_fini(&lines);
}

Test(report, damaged_lines_are_a_protocol_error)
{
	static const char *const damaged[] = { "x", "database\tok\n", "database\tgreat\t1\t0\t0\td\tr\n",
		"\tok\t1\t0\t0\td\tr\n", "database\tok\t-1\t0\t0\td\tr\n", "database\tok\t1\t0\t0\td\tr" };

	for (size_t i = 0; i < COUNT_OF(damaged); i++) {
		static struct report r;

		r.count = 0;
		cr_expect_eq(report_read(text_of(damaged[i]), &r), ERROR_PROTOCOL, "%s", damaged[i]);
	}
}

Test(report, too_many_lines_are_a_protocol_error)
{
	static struct report r;
	struct buffer lines;

	buffer_init(&lines);
	for (int i = 0; i <= REPORT_ROWS_MAX; i++)
		buffer_append_string(&lines, "a\tok\t1\t0\t0\td\tr\n");
	cr_expect_eq(report_read(buffer_text(&lines), &r), ERROR_PROTOCOL);
	buffer_fini(&lines);
}

Test(report, what_cannot_be_waited_away_decides_the_exit_code)
{
	cr_expect_eq(report_exit_code(&report), EXIT_OK);
	add("files", REPORT_OK, 0, false);
	add("database", REPORT_FAILED, EXIT_UNAVAILABLE, true);
	cr_expect_eq(report_exit_code(&report), EXIT_UNAVAILABLE);
	cr_expect(report_is_only_transient(&report));
	add("migrations", REPORT_FAILED, EXIT_CONFIG_WRONG, false);
	cr_expect_eq(report_exit_code(&report), EXIT_CONFIG_WRONG);
	cr_expect_not(report_is_only_transient(&report));
	add("gemini", REPORT_FAILED, EXIT_REFUSED, false);
	cr_expect_eq(report_exit_code(&report), EXIT_REFUSED);
}

Test(report, warnings_and_skipped_checks_do_not_fail)
{
	add("a", REPORT_WARNING, 0, false);
	add("b", REPORT_SKIPPED, 0, false);
	cr_expect_eq(report_exit_code(&report), EXIT_OK);
	cr_expect_not(report_is_only_transient(&report));
}
