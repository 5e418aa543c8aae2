/* show.c: `renovationctl config` shows what renovationd would run with, `renovationctl check` lets renovationd itself check it.
 * Neither needs a running service. */
#include "config.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/configuration.h"
#include "shared/inherit.h"
#include "shared/program.h"

extern char **environ;

int ctl_config(const char *file, int argc, char *argv[])
{
	struct configuration c;
	int code;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "--defaults") != 0))
		return ctl_usage("config takes --defaults or nothing, not \"%s\"", argv[argc - 1]);
	if (argc == 2) {
		configuration_print_sample(stdout);
		return fflush(stdout) == 0 ? EXIT_OK : EXIT_CANNOT_CREATE;
	}
	configuration_init(&c);
	if (file != NULL)
		configuration_read_file(&c, file);
	configuration_read_environment(&c, (const char *const *)environ);
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	configuration_print(&c, stdout);
	(void)fflush(stdout);
	configuration_print_faults(&c, stderr);
	code = configuration_has_faults(&c) ? EXIT_CONFIG_WRONG : EXIT_OK;
	configuration_fini(&c);
	return code;
}

int ctl_check(const char *file, int argc, char *argv[])
{
	const char *arguments[] = { "renovationd", "--check", file != NULL ? "-c" : NULL, file, NULL };
	char program[PATH_MAX];

	if (argc > 1)
		return ctl_usage("check takes no argument, not \"%s\"", argv[1]);
	(void)program_find("", "renovationd", program, sizeof program);
	(void)fflush(NULL);
	(void)execv(program, (char *const *)arguments);
	(void)fprintf(stderr, "renovationctl: cannot run %s: %s\n    -> install it beside renovationctl\n", program,
		strerror(errno));
	return EXIT_CONFIG_WRONG;
}
