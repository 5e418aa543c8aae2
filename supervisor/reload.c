/* reload.c: HUP: a child reads the configuration, the worker program checks what only it can (database, Gemini), then live options are told to running workers or
 * a new generation takes over. Whatever fails on the way refuses the reload and leaves everything as it was. Never blocks. Called by rollover.c. */
#include "config.h"
#include "supervisor/change.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/log.h"
#include "supervisor/checker.h"

#define READ_LIMIT_MS  10000
#define CHECK_LIMIT_MS 30000

static void close_child_fds(struct rollover *r)
{
	if (r->child_options >= 0)
		close(r->child_options);
	if (r->child_report >= 0)
		close(r->child_report);
	r->child_options = r->child_report = -1;
}

void reload_abort(struct supervisor *s)
{
	struct rollover *r = s->rollover;

	/* It is reaped as an unknown child. */
	if (r->child != 0)
		(void)kill(r->child, SIGKILL);
	r->child = 0;
	close_child_fds(r);
	proposal_fini(&r->proposal);
}

static void refuse(struct supervisor *s, const char *text)
{
	change_end(s, RELOAD_REJECTED, text);
}

static void refuse_errno(struct supervisor *s, const char *step)
{
	char text[160];

	(void)snprintf(text, sizeof text, "%s: %s", step, strerror(errno));
	refuse(s, text);
}

static int make_memfd(const char *name)
{
	return descriptor_lift(memfd_create(name, MFD_CLOEXEC));
}

void reload_begin(struct supervisor *s)
{
	struct rollover *r = s->rollover;

	r->step = STEP_READING;
	r->is_announced = true;
	notify_reloading("reloading: reading the configuration");
	pool_publish(s);
	r->child_options = make_memfd("renovationd-read-options");
	r->child_report = make_memfd("renovationd-read-report");
	r->child =
		r->child_options < 0 || r->child_report < 0 ? -1 : reader_start(s, r->child_options, r->child_report);
	if (r->child < 0) {
		r->child = 0;
		refuse_errno(s, "cannot start the reader of the configuration");
		return;
	}
	change_set_deadline(r, READ_LIMIT_MS);
}

/* ---- the configuration is good ------------------------------------------------------------------------------- */

static void begin_generation(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	const struct proposal *p = &r->proposal;
	struct birth birth = { .generation = waves_next_generation(s),
		.options_fd = p->options_fd,
		.listener = p->listener >= 0 ? p->listener : s->listener,
		.program = p->program,
		.program_fd = p->program_fd };

	waves_begin(s, &birth, options_workers(&p->config.options));
}

static void apply_live(struct supervisor *s)
{
	struct proposal *p = &s->rollover->proposal;

	/* A successor in this generation runs what the others run. */
	if (p->program_fd >= 0)
		close(p->program_fd);
	p->program_fd = -1;
	proposal_adopt(s, &s->rollover->proposal);
	scale_forget(s);
	scale_to(s, options_workers(s->options));
	proposal_tell_workers(s);
	change_end(s, RELOAD_LIVE, "");
}

/* Bound before any worker is started: the usual mistake is an address that is taken. False when it is refused. */
static bool move_listener(struct supervisor *s)
{
	struct proposal *p = &s->rollover->proposal;
	const struct options *o = &p->config.options;
	bool is_moved = strcmp(o->host, s->options->host) != 0 || o->port != s->options->port;
	char text[400];

	if (!is_moved)
		return true;
	p->listener = listeners_bind(o, &p->address, p->address_length);
	if (p->listener >= 0)
		return true;
	(void)snprintf(
		text, sizeof text, "cannot listen on %.200s port %d: %s", o->host, (int)o->port, strerror(errno));
	refuse(s, text);
	return false;
}

static void begin_check(struct supervisor *s)
{
	struct rollover *r = s->rollover;
	const struct proposal *p = &r->proposal;
	struct checker checker = { .options_fd = p->options_fd, .program = p->program, .program_fd = p->program_fd };

	r->step = STEP_CHECKING;
	r->child_report = make_memfd("renovationd-check-report");
	checker.report_fd = r->child_report;
	r->child = r->child_report < 0 ? -1 : checker_start(s, &checker);
	if (r->child < 0) {
		r->child = 0;
		refuse_errno(s, "cannot start renovationd-worker --check");
		return;
	}
	change_set_deadline(r, CHECK_LIMIT_MS);
}

static void compare(struct supervisor *s)
{
	struct rollover *r = s->rollover;

	if (proposal_compare(s, &r->proposal) != ERROR_NONE) {
		refuse_errno(s, "cannot store the options");
		return;
	}
	/* Workers that run need no check: a higher log level must not wait for the database. */
	if (proposal_is_live(&r->proposal) && !r->is_drained)
		apply_live(s);
	else if (move_listener(s))
		begin_check(s);
}

/* ---- what the children found --------------------------------------------------------------------------------- */

/* True when it ended as it should. */
static bool has_ended_well(struct supervisor *s, const char *name, int status)
{
	char text[160];

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK)
		return true;
	if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof text, "%s died of SIG%s", name, sigabbrev_np(WTERMSIG(status)));
	else
		(void)snprintf(text, sizeof text, "%s ended with %d", name, WEXITSTATUS(status));
	refuse(s, text);
	return false;
}

static void reader_ended(struct supervisor *s, int status)
{
	struct rollover *r = s->rollover;
	struct proposal *p = &r->proposal;

	if (!has_ended_well(s, "the reader of the configuration", status))
		return;
	if (reader_take(r->child_options, r->child_report, p) != ERROR_NONE) {
		refuse(s, "the reader of the configuration left something that cannot be read");
		return;
	}
	close_child_fds(r);
	if (p->refusal[0] != '\0')
		refuse(s, p->refusal);
	else
		compare(s);
}

static void checker_ended(struct supervisor *s, int status)
{
	struct rollover *r = s->rollover;
	struct report *report = must_alloc(sizeof *report);
	char text[400] = "";

	checker_take(r->child_report, status, report);
	close_child_fds(r);
	r->proposal.gemini = checker_gemini(report);
	for (int i = 0; i < report->count && text[0] == '\0'; i++)
		if (report->rows[i].state == REPORT_FAILED)
			(void)snprintf(text, sizeof text, "%s: %.330s", report->rows[i].name, report->rows[i].detail);
	if (text[0] != '\0') {
		buffer_clear(&r->proposal.faults);
		report_write_json(report, &r->proposal.faults);
		refuse(s, text);
	} else {
		begin_generation(s);
	}
	free(report);
}

void reload_child_ended(struct supervisor *s, int status)
{
	if (s->rollover->step == STEP_READING)
		reader_ended(s, status);
	else if (s->rollover->step == STEP_CHECKING)
		checker_ended(s, status);
}

void reload_timed_out(struct supervisor *s)
{
	refuse(s, s->rollover->step == STEP_READING ? "reading the configuration took longer than 10 s"
						    : "renovationd-worker --check took longer than 30 s");
}
