/* show.c: what needs no running service: `renovationctl config` shows what renovationd would run with, `check` lets renovationd itself check it, `openapi`
 * lets renovationd-worker print the description of its HTTP interface. */
#include "config.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/manual.h"
#include "shared/configuration.h"
#include "shared/inherit.h"
#include "shared/program.h"

extern char **environ;

static void read_configuration(struct configuration *c, const char *file)
{
	configuration_init(c);
	if (file != NULL)
		configuration_read_file(c, file);
	configuration_read_environment(c, (const char *const *)environ);
}

int ctl_config(const struct ctl *ctl, int argc, char *argv[])
{
	struct configuration c;
	int code;

	if (argc == 2 && strcmp(argv[1], "--man") == 0)
		return manual_print(stdout);
	if (argc > 2 || (argc == 2 && strcmp(argv[1], "--defaults") != 0))
		return ctl_usage("config takes --defaults or nothing, not \"%s\"", argv[argc - 1]);
	if (argc == 2) {
		configuration_print_sample(stdout);
		return fflush(stdout) == 0 ? EXIT_OK : EXIT_CANNOT_CREATE;
	}
	read_configuration(&c, ctl->file);
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	configuration_print(&c, stdout);
	(void)fflush(stdout);
	configuration_print_faults(&c, stderr);
	code = configuration_has_faults(&c) ? EXIT_CONFIG_WRONG : EXIT_OK;
	configuration_fini(&c);
	return code;
}

int ctl_become(const char *chosen, const char *name, const char *const arguments[])
{
	char program[PATH_MAX];

	(void)program_find(chosen, name, program, sizeof program);
	(void)fflush(NULL);
	(void)execv(program, (char *const *)(uintptr_t)arguments);
	(void)fprintf(stderr, "renovationctl: cannot run %s: %s\n    -> install it beside renovationctl%s\n", program,
		strerror(errno), strcmp(name, "renovationd-worker") == 0 ? ", or set worker_program" : "");
	return EXIT_CONFIG_WRONG;
}

int ctl_check(const struct ctl *ctl, int argc, char *argv[])
{
	const char *arguments[] = { "renovationd", "--check", ctl->file != NULL ? "-c" : NULL, ctl->file, NULL };

	if (argc > 1)
		return ctl_usage("check takes no argument, not \"%s\"", argv[1]);
	return ctl_become("", "renovationd", arguments);
}

int ctl_openapi(const struct ctl *ctl, int argc, char *argv[])
{
	static const char *const arguments[] = { "renovationd-worker", "--print-openapi", NULL };
	struct configuration c;
	int code;

	if (argc > 1)
		return ctl_usage("openapi takes no argument, not \"%s\"", argv[1]);
	read_configuration(&c, ctl->file);
	code = ctl_become(c.options.worker_program, arguments[0], arguments);
	configuration_fini(&c);
	return code;
}
