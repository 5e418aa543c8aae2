/* change.c: the commands that change a running service: one request each over its control socket; with --wait also what happens until the end.
 * The supervisor does the work and says how it went; here it is put into words and an exit code. An upgrade's end is upgrade.c's part. */
#include "config.h"
#include "ctl/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/view.h"
#include "shared/inherit.h"

/* ---- words ------------------------------------------------------------------------------------------------------ */

static void print_list(const struct json_value *answer, const char *name, const char *text)
{
	struct text list = view_string(answer, name);

	if (list.length > 0)
		(void)printf("  %s: %.*s\n", text, TEXT_ARGS(list));
}

static void print_faults(const struct json_value *answer)
{
	const struct json_value *faults = json_find(answer, "faults");

	for (const struct json_value *f = faults != NULL ? faults->first : NULL; f != NULL; f = f->next)
		(void)fprintf(stderr, "%s%.*s: %.*s\n    -> %.*s\n", view_is(f, "warning", "true") ? "warning: " : "",
			TEXT_ARGS(view_string(f, "where")), TEXT_ARGS(view_string(f, "problem")),
			TEXT_ARGS(view_string(f, "remedy")));
}

int change_report(const struct json_value *answer)
{
	int64_t code = view_number(answer, "code");
	struct text text = view_string(answer, "text");
	bool is_done = view_is(answer, "ok", "true");

	(void)fflush(stdout);
	if (is_done) {
		if (text.length > 0)
			(void)printf("%.*s\n", TEXT_ARGS(text));
		print_list(answer, "changed_live", "applied to the running workers");
		print_list(answer, "changed_workers", "in force with the new workers");
		print_list(answer, "needs_restart", "changed in the file, but needs a restart");
		(void)fflush(stdout);
	} else {
		(void)fprintf(stderr, "renovationctl: %.*s\n", TEXT_ARGS(text));
		print_faults(answer);
	}
	return code >= 0 && code <= 255 && (code != EXIT_OK || is_done) ? (int)code : EXIT_UNAVAILABLE;
}

/* ---- one request ------------------------------------------------------------------------------------------------ */

enum wire_result change_follow(struct wire *w, bool is_wait, const struct json_value **answer_out)
{
	enum wire_result result;

	while ((result = wire_next(w, is_wait ? -1 : WIRE_ANSWER_MS, answer_out)) == WIRE_LINE &&
		!view_is(*answer_out, "done", "true")) {
		(void)printf("%.*s\n", TEXT_ARGS(view_string(*answer_out, "text")));
		(void)fflush(stdout);
	}
	return result;
}

static int change(const struct ctl *ctl, const char *request, bool is_wait)
{
	const struct json_value *answer;
	enum wire_result result = WIRE_END;
	struct wire w;
	int code = wire_open(&w, ctl, false);

	if (code == EXIT_OK) {
		if (wire_send(&w, request))
			result = change_follow(&w, is_wait, &answer);
		code = result == WIRE_LINE ? change_report(answer) : wire_lost(&w, result);
	}
	wire_close(&w);
	/* The hard end of a stop, and kill -9, leave no last word. */
	return code == EXIT_UNAVAILABLE && result == WIRE_END && is_wait ? EXIT_STORM : code;
}

bool change_take_flag(int *argc, char *argv[], const char *flag)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], flag) == 0) {
			memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof *argv);
			(*argc)--;
			return true;
		}
	return false;
}

/* A command that takes nothing but --wait. */
static int change_plainly(const struct ctl *ctl, int argc, char *argv[])
{
	bool is_wait = change_take_flag(&argc, argv, "--wait");
	char request[80];

	if (argc > 1)
		return ctl_usage("%s takes --wait or nothing, not \"%s\"", argv[0], argv[1]);
	(void)snprintf(
		request, sizeof request, "{\"command\":\"%s\",\"wait\":%s}", argv[0], is_wait ? "true" : "false");
	return change(ctl, request, is_wait);
}

int ctl_reload(const struct ctl *ctl, int argc, char *argv[])
{
	return change_plainly(ctl, argc, argv);
}

int ctl_drain(const struct ctl *ctl, int argc, char *argv[])
{
	return change_plainly(ctl, argc, argv);
}

int ctl_resume(const struct ctl *ctl, int argc, char *argv[])
{
	return change_plainly(ctl, argc, argv);
}

int ctl_stop(const struct ctl *ctl, int argc, char *argv[])
{
	bool is_wait = change_take_flag(&argc, argv, "--wait"), is_fast = change_take_flag(&argc, argv, "--fast");
	char request[80];

	if (argc > 1)
		return ctl_usage("stop takes --wait and --fast, not \"%s\"", argv[1]);
	(void)snprintf(request, sizeof request, "{\"command\":\"stop\",\"wait\":%s,\"fast\":%s}",
		is_wait ? "true" : "false", is_fast ? "true" : "false");
	return change(ctl, request, is_wait);
}

/* A command with one number. */
static int change_numbered(const struct ctl *ctl, int argc, char *argv[], const char *member, uint64_t least)
{
	bool is_wait = change_take_flag(&argc, argv, "--wait");
	uint64_t number;
	char request[120];

	if (argc < 2)
		return ctl_usage("%s needs a number", argv[0]);
	if (argc > 2)
		return ctl_usage("%s takes one number and --wait, not \"%s\"", argv[0], argv[2]);
	if (!text_parse_u64(text_of(argv[1]), &number) || number < least || number > SLOTS_MAX)
		return ctl_usage(
			"%s needs a number from %d to %d, not \"%s\"", argv[0], (int)least, SLOTS_MAX, argv[1]);
	(void)snprintf(request, sizeof request, "{\"command\":\"%s\",\"%s\":%d,\"wait\":%s}", argv[0], member,
		(int)number, is_wait ? "true" : "false");
	return change(ctl, request, is_wait);
}

int ctl_scale(const struct ctl *ctl, int argc, char *argv[])
{
	return change_numbered(ctl, argc, argv, "workers", 1);
}

int ctl_restart_worker(const struct ctl *ctl, int argc, char *argv[])
{
	return change_numbered(ctl, argc, argv, "slot", 0);
}

int ctl_logs(const struct ctl *ctl, int argc, char *argv[])
{
	enum log_level level;
	char request[80];

	if (argc == 2 && strcmp(argv[1], "reopen") == 0)
		return change(ctl, "{\"command\":\"logs-reopen\"}", false);
	if (argc != 3 || strcmp(argv[1], "level") != 0)
		return ctl_usage("logs what? reopen, or level and one of debug, info, warn, error, fatal");
	if (!log_parse_level(text_of(argv[2]), &level))
		return ctl_usage("a level is debug, info, warn, error or fatal, not \"%s\"", argv[2]);
	(void)snprintf(request, sizeof request, "{\"command\":\"logs-level\",\"level\":\"%s\"}", argv[2]);
	return change(ctl, request, false);
}
