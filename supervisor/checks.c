/* checks.c: what the supervisor can tell by itself before the start: is the configuration whole, are programs and folders there, do limits suffice.
 * Called by preflight.c; each adds one row. Changes nothing. */
#include "config.h"
#include "supervisor/checks.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisor/state.h"

#define RESERVED_FDS 128 /* of a worker: mesh, database, Gemini, files */

void checks_configuration(const struct supervisor *s, struct report *r)
{
	struct report_row *row = report_add(r, "configuration");
	const struct configuration *c = s->config;
	int faults = 0, warnings = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_fault *fault = &c->faults[i];

		faults += !fault->is_warning;
		warnings += fault->is_warning;
		if (row->remedy[0] == '\0')
			report_remedy(row, "%s: %s: %s", fault->where, fault->problem, fault->remedy);
	}
	if (faults > 0) {
		row->state = REPORT_FAILED;
		row->exit_code = EXIT_CONFIG_WRONG;
		report_detail(row, "%d faults, listed above", faults);
	} else {
		row->state = warnings ? REPORT_WARNING : REPORT_OK;
		report_detail(row, "%s, %d workers, %s:%d%s", s->options->app_env, options_workers(s->options),
			s->options->host, (int)s->options->port, warnings ? "; with warnings, listed above" : "");
	}
}

static void failed(struct report_row *row, int exit_code)
{
	row->state = REPORT_FAILED;
	row->exit_code = exit_code;
}

static bool is_folder_writable(const char *path, char *folder, size_t room)
{
	char copy[PATH_MAX];

	(void)snprintf(copy, sizeof copy, "%s", path);
	(void)snprintf(folder, room, "%s", dirname(copy));
	return access(folder, W_OK | X_OK) == 0;
}

void checks_files(const struct supervisor *s, struct report *r)
{
	struct report_row *row = report_add(r, "files");
	const char *written[] = { s->options->pid_file, s->options->log_file };
	char folder[PATH_MAX];

	/* Before an upgrade they are open already, perhaps since we were root. */
	for (size_t i = 0; i < COUNT_OF(written) && s->check_layouts == NULL; i++)
		if (written[i][0] != '\0' && access(written[i], W_OK) != 0 &&
			!is_folder_writable(written[i], folder, sizeof folder)) {
			failed(row, EXIT_CANNOT_CREATE);
			report_detail(row, "cannot write %.150s: %s", written[i], strerror(errno));
			report_remedy(row, "make the folder %.150s, writable for the service's user", folder);
			return;
		}
	if (access(s->worker_program, X_OK) != 0) {
		failed(row, EXIT_CONFIG_WRONG);
		report_detail(row, "cannot run %.200s: %s", s->worker_program, strerror(errno));
		report_remedy(row, "install renovationd-worker beside renovationd, or set worker_program");
		return;
	}
	row->state = REPORT_OK;
	report_detail(row, "worker %.300s", s->worker_program);
}

void checks_limits(const struct supervisor *s, struct report *r)
{
	struct report_row *row = report_add(r, "limits");
	rlim_t needed = (rlim_t)s->options->http_connections_max + RESERVED_FDS;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max < RESERVED_FDS * 4) {
		failed(row, EXIT_OS);
		report_detail(row, "%llu open files are too few", (unsigned long long)files.rlim_max);
		report_remedy(row, "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the unit");
		return;
	}
	row->state = REPORT_OK;
	report_detail(row, "%llu open files", (unsigned long long)files.rlim_cur);
	if (files.rlim_cur < needed) {
		row->state = REPORT_WARNING;
		report_detail(row, "%llu open files, fewer than http_connections_max (%lld) needs",
			(unsigned long long)files.rlim_cur, (long long)s->options->http_connections_max);
		report_remedy(row, "raise LimitNOFILE, or lower http_connections_max");
	}
}

void checks_layouts(const struct supervisor *s, struct report *r)
{
	struct report_row *row;
	char why[200];

	if (s->check_layouts == NULL)
		return;
	row = report_add(r, "layouts");
	row->state = REPORT_OK;
	report_detail(row, "%.300s", s->check_layouts);
	if (state_knows_layouts(text_of(s->check_layouts), why, sizeof why))
		return;
	failed(row, EXIT_STATE_CORRUPT);
	report_detail(row, "%s", why);
	report_remedy(row, "restart the service instead of upgrading it in place");
}

void checks_hand_over(const struct report *r)
{
	struct buffer lines;
	struct text rest;

	buffer_init(&lines);
	report_write(r, &lines);
	rest = buffer_text(&lines);
	while (rest.length > 0) {
		ssize_t written = write(INHERIT_REPORT, rest.bytes, rest.length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		rest = text_span(rest.bytes + written, rest.length - (size_t)written);
	}
	buffer_fini(&lines);
}
