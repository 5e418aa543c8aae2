/* checker.c: starts `renovationd-worker --check` and reads its report. Called by preflight.c, which waits for it, and reload.c, which does not. */
#include "config.h"
#include "supervisor/checker.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/spawn.h"

#define REPORT_MAX_BYTES 65536

void checker_failed(struct report *r, int exit_code, const char *what)
{
	struct report_row *row = report_add(r, "checker");

	row->state = REPORT_FAILED;
	row->exit_code = exit_code;
	report_detail(row, "%s", what);
	report_remedy(row, "see the lines before this one");
}

pid_t checker_start(struct supervisor *s, const struct checker *checker)
{
	struct spawn_plan plan = { .count = 0,
		.argv = { "renovationd-worker", checker->is_for_start ? "--check-for-start" : "--check", NULL },
		.program = checker->program,
		.program_fd = checker->program_fd };

	spawn_add(&plan, checker->options_fd, INHERIT_OPTIONS);
	spawn_add(&plan, checker->report_fd, INHERIT_REPORT);
	return spawn_run(s, &plan);
}

void checker_judge(struct report *r, struct text lines, int status)
{
	char what[160];
	int before = r->count;

	if (report_read(lines, r) != ERROR_NONE) {
		r->count = before;
		checker_failed(r, EXIT_STORM, "renovationd-worker --check sent a report that cannot be read");
	} else if (WIFSIGNALED(status)) {
		(void)snprintf(
			what, sizeof what, "renovationd-worker --check died of SIG%s", sigabbrev_np(WTERMSIG(status)));
		checker_failed(r, EXIT_STORM, what);
	} else if (r->count == before) {
		(void)snprintf(what, sizeof what, "renovationd-worker --check ended with %d and no report",
			WEXITSTATUS(status));
		checker_failed(r, EXIT_STORM, what);
	}
}

enum scoreboard_gemini checker_gemini(const struct report *r)
{
	const struct report_row *row = NULL;

	for (int i = 0; i < r->count; i++)
		if (strcmp(r->rows[i].name, "gemini") == 0)
			row = &r->rows[i];
	if (row == NULL || row->state == REPORT_SKIPPED)
		return SCOREBOARD_GEMINI_UNKNOWN;
	if (row->state == REPORT_OK || row->exit_code == EXIT_OK)
		return SCOREBOARD_GEMINI_GOOD;
	return row->exit_code == EXIT_REFUSED ? SCOREBOARD_GEMINI_REFUSED : SCOREBOARD_GEMINI_FAILING;
}

void checker_take(int report_fd, int status, struct report *r)
{
	char *bytes = must_alloc(REPORT_MAX_BYTES);
	ssize_t length = pread(report_fd, bytes, REPORT_MAX_BYTES, 0);

	checker_judge(r, text_span(bytes, length > 0 ? (size_t)length : 0), status);
	free(bytes);
}
