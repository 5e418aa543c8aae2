/* commands.c: the short lives of renovationd-worker: `--check` for the supervisor's preflight, `--migrate` for renovationctl, `--print-routes` for tests,
 * `--print-openapi` for renovationctl.
 * They may block; nothing of the serving worker is open here. */
#include "config.h"
#include "worker/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/log.h"
#include "shared/options.h"
#include "shared/report.h"
#include "worker/api/openapi.h"
#include "worker/db/migrate.h"
#include "worker/db/probe.h"
#include "worker/gemini/provider.h"
#include "worker/routes.h"

/* For both commands: who starts them by hand is told what they are for. */
static enum error load_options(struct options *options)
{
	enum log_level level;
	enum error e = options_load(options, INHERIT_OPTIONS);

	if (e != ERROR_NONE) {
		(void)fputs("renovationd-worker: no options at descriptor 3; renovationd and renovationctl start this "
			    "program\n",
			stderr);
		return e;
	}
	if (log_parse_level(text_of(options->log_level), &level))
		log_set_level(level);
	return ERROR_NONE;
}

static bool write_report(const struct report *report)
{
	struct buffer lines;
	bool is_written = true;

	buffer_init(&lines);
	report_write(report, &lines);
	while (is_written && buffer_length(&lines) > 0) {
		ssize_t written = write(INHERIT_REPORT, buffer_text(&lines).bytes, buffer_length(&lines));

		if (written > 0)
			buffer_consume(&lines, (size_t)written);
		else
			is_written = written < 0 && errno == EINTR;
	}
	buffer_fini(&lines);
	return is_written;
}

/* What failed without being required is a warning that keeps its exit code: by it the supervisor tells it from advice. */
static void check_gemini(const struct options *options, struct report *report)
{
	int before = report->count;

	if (!options_is_strict(options) && !options->gemini_validate) {
		struct report_row *row = report_add(report, "gemini");

		row->state = REPORT_SKIPPED;
		report_detail(row, "not checked in %s; GEMINI_VALIDATE=1 does", options->app_env);
		return;
	}
	provider_probe(options, report);
	for (int i = before; i < report->count && !options->gemini_required; i++)
		if (report->rows[i].state == REPORT_FAILED)
			report->rows[i].state = REPORT_WARNING;
}

int command_check(bool may_migrate)
{
	struct options options;
	struct report *report;
	bool is_written;

	if (load_options(&options) != ERROR_NONE)
		return EXIT_USAGE_WRONG;
	report = must_alloc(sizeof *report);
	db_probe(&options, may_migrate, report);
	check_gemini(&options, report);
	is_written = write_report(report);
	free(report);
	options_fini(&options);
	return is_written ? EXIT_OK : EXIT_OS;
}

static int usage(void)
{
	(void)fputs("usage: renovationd-worker --migrate up|down|status [--dry-run] [--to VERSION]\n", stderr);
	return EXIT_USAGE_WRONG;
}

static bool parse_migrate(int argc, char *argv[], struct migrate_request *request)
{
	static const char *const names[] = {
		[MIGRATE_STATUS] = "status", [MIGRATE_UP] = "up", [MIGRATE_DOWN] = "down"
	};
	size_t command = 0;
	uint64_t version;

	while (argc > 0 && command < COUNT_OF(names) && strcmp(argv[0], names[command]) != 0)
		command++;
	if (argc == 0 || command == COUNT_OF(names))
		return false;
	*request = (struct migrate_request) { .command = (enum migrate_command)command, .to = -1, .out = stdout };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--dry-run") == 0) {
			request->is_dry_run = true;
			continue;
		}
		if (strcmp(argv[i], "--to") != 0 || i + 1 == argc || !text_parse_u64(text_of(argv[++i]), &version) ||
			version > INT32_MAX)
			return false;
		request->to = (long)version;
	}
	return true;
}

int command_migrate(int argc, char *argv[])
{
	struct migrate_request request;
	struct options options;
	int code;

	if (!parse_migrate(argc, argv, &request))
		return usage();
	if (load_options(&options) != ERROR_NONE)
		return EXIT_USAGE_WRONG;
	code = migrate_run(options.database_url, &request);
	(void)fflush(stdout);
	options_fini(&options);
	return code;
}

int command_print_routes(void)
{
	static const char *const methods[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
	static const char *const auths[] = { [AUTH_NONE] = "none",
		[AUTH_OPTIONAL] = "optional",
		[AUTH_OWNER] = "owner",
		[AUTH_MINT] = "mint",
		[AUTH_ADMIN] = "admin" };

	for (size_t i = 0; i < worker_route_count; i++) {
		const struct route *route = &worker_routes[i];

		(void)printf(
			"%s\t%s\t%s\t%s\n", methods[route->method], route->path, auths[route->auth], route->summary);
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_OS;
}

int command_print_openapi(void)
{
	struct buffer out;

	buffer_init(&out);
	openapi_write(worker_routes, worker_route_count, &out);
	buffer_append_char(&out, '\n');
	(void)fwrite(buffer_text(&out).bytes, 1, buffer_length(&out), stdout);
	buffer_fini(&out);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_OS;
}
