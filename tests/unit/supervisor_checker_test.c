/* supervisor_checker_test.c: what the supervisor makes of a report of renovationd-worker --check, also of one that is none. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "supervisor/checker.h"

/* As waitpid says it. */
#define EXITED(code)   ((code) << 8)
#define KILLED(signal) (signal)

static struct report *r;

static void setup(void)
{
	r = must_alloc(sizeof *r);
}

static void teardown(void)
{
	free(r);
}

TestSuite(checker, .init = setup, .fini = teardown);

#define GOOD "database\tok\t3\t0\t0\tPostgreSQL 15\t\n"

Test(checker, the_rows_of_a_report_are_added)
{
	(void)report_add(r, "files");
	checker_judge(r, TEXT(GOOD "gemini\tfailed\t9\t69\t1\tno answer\ttry again\n"), EXITED(0));
	cr_assert_eq(r->count, 3);
	cr_expect_str_eq(r->rows[1].name, "database");
	cr_expect_eq(report_exit_code(r), EXIT_UNAVAILABLE);
	cr_expect(report_is_only_transient(r));
}

Test(checker, a_report_that_is_none_is_a_failed_row_that_says_why)
{
	static const struct {
		const char *lines;
		int status;
		const char *detail;
	} list[] = {
		{ "nonsense", EXITED(0), "cannot be read" },
		{ GOOD "database\tperhaps\t3\t0\t0\t\t\n", EXITED(0), "cannot be read" },
		{ GOOD "database\tok\tthree\t0\t0\t\t\n", EXITED(0), "cannot be read" },
		{ GOOD "database\tok\t3\t0\t0\tno end", EXITED(0), "cannot be read" },
		{ "", EXITED(71), "ended with 71 and no report" },
		{ "", EXITED(0), "ended with 0 and no report" },
		{ GOOD, KILLED(11), "died of SIGSEGV" },
	};

	for (size_t i = 0; i < COUNT_OF(list); i++) {
		r->count = 0;
		(void)report_add(r, "files");
		checker_judge(r, text_of(list[i].lines), list[i].status);
		cr_assert_geq(r->count, 2, "%s", list[i].lines);
		cr_expect_str_eq(r->rows[r->count - 1].name, "checker", "%s", list[i].lines);
		cr_expect_not_null(
			strstr(r->rows[r->count - 1].detail, list[i].detail), "%s", r->rows[r->count - 1].detail);
		cr_expect_eq(report_exit_code(r), EXIT_STORM, "%s", list[i].lines);
		cr_expect_not(report_is_only_transient(r), "%s", list[i].lines);
	}
}

Test(checker, what_it_says_of_gemini_is_told_by_state_and_exit_code)
{
	static const struct {
		enum report_state state;
		int exit_code;
		enum scoreboard_gemini gemini;
	} list[] = {
		{ REPORT_OK, 0, SCOREBOARD_GEMINI_GOOD },
		{ REPORT_WARNING, 0, SCOREBOARD_GEMINI_GOOD }, /* advice about a model */
		{ REPORT_WARNING, EXIT_UNAVAILABLE, SCOREBOARD_GEMINI_FAILING },
		{ REPORT_WARNING, EXIT_CONFIG_WRONG, SCOREBOARD_GEMINI_FAILING },
		{ REPORT_WARNING, EXIT_REFUSED, SCOREBOARD_GEMINI_REFUSED },
		{ REPORT_FAILED, EXIT_REFUSED, SCOREBOARD_GEMINI_REFUSED },
		{ REPORT_SKIPPED, 0, SCOREBOARD_GEMINI_UNKNOWN },
	};

	cr_expect_eq(checker_gemini(r), SCOREBOARD_GEMINI_UNKNOWN);
	for (size_t i = 0; i < COUNT_OF(list); i++) {
		struct report_row *row;

		r->count = 0;
		(void)report_add(r, "database");
		row = report_add(r, "gemini");
		row->state = list[i].state;
		row->exit_code = list[i].exit_code;
		cr_expect_eq(checker_gemini(r), list[i].gemini, "row %zu", i);
	}
}
