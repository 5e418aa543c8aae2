/* status.c: `renovationctl status` and `metrics`: one question to the supervisor, which answers also with no worker alive and while it stops. */
#include "config.h"
#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "ctl/page.h"
#include "ctl/wire.h"
#include "shared/inherit.h"

static int print(struct text bytes)
{
	(void)fwrite(bytes.bytes, 1, bytes.length, stdout);
	if (fflush(stdout) == 0)
		return EXIT_OK;
	(void)fputs("renovationctl: cannot write the output\n", stderr);
	return EXIT_CANNOT_CREATE;
}

static int print_page(const struct json_value *status)
{
	struct buffer page;
	int code;

	buffer_init(&page);
	page_write(status, NULL, view_wants_colour(), &page);
	code = print(buffer_text(&page));
	buffer_fini(&page);
	return code;
}

static int print_json(const struct json_value *status)
{
	int code = print(status->raw);

	return code == EXIT_OK ? print(TEXT("\n")) : code;
}

/* Asks for `command`; `*value_out` is the member of that name in the answer. */
static int ask(struct wire *w, const struct ctl *ctl, const char *command, const char *request,
	const struct json_value **value_out)
{
	const struct json_value *answer = NULL;
	int code = wire_open(w, ctl, false);

	if (code == EXIT_OK)
		code = wire_ask(w, request, &answer);
	if (answer != NULL && code != EXIT_OK)
		(void)fprintf(stderr, "renovationctl: %.*s\n", TEXT_ARGS(view_string(answer, "text")));
	if (code != EXIT_OK)
		return code;
	*value_out = json_find(answer, command);
	return *value_out != NULL ? EXIT_OK : wire_lost(w, WIRE_BROKEN);
}

int ctl_status(const struct ctl *ctl, int argc, char *argv[])
{
	const struct json_value *status;
	bool is_json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct wire w;
	int code;

	if (argc > 1 && !is_json)
		return ctl_usage("status takes --json or nothing, not \"%s\"", argv[argc - 1]);
	code = ask(&w, ctl, "status", "{\"command\":\"status\"}", &status);
	if (code == EXIT_OK)
		code = is_json ? print_json(status) : print_page(status);
	wire_close(&w);
	return code;
}

int ctl_metrics(const struct ctl *ctl, int argc, char *argv[])
{
	const struct json_value *metrics;
	struct wire w;
	int code;

	if (argc > 1)
		return ctl_usage("metrics takes no argument, not \"%s\"", argv[1]);
	code = ask(&w, ctl, "metrics", "{\"command\":\"metrics\"}", &metrics);
	if (code == EXIT_OK)
		code = print(metrics->string);
	wire_close(&w);
	return code;
}
