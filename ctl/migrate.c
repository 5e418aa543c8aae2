/* migrate.c: `renovationctl migrate`: reads the configuration and becomes `renovationd-worker --migrate`, which links libpq and holds the migrations.
 * The options travel by memfd, so that the password is in no argument. */
#include "config.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/configuration.h"
#include "shared/inherit.h"

#define ARGUMENTS_MAX 12

extern char **environ;

/* Checked here too, so that the message names this program. */
static int check_arguments(int argc, char *argv[])
{
	uint64_t version;

	if (argc < 2)
		return ctl_usage("migrate what? up, down or status");
	if (strcmp(argv[1], "up") != 0 && strcmp(argv[1], "down") != 0 && strcmp(argv[1], "status") != 0)
		return ctl_usage("migrate takes up, down or status, not \"%s\"", argv[1]);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--dry-run") == 0)
			continue;
		if (strcmp(argv[i], "--to") != 0)
			return ctl_usage("migrate takes --dry-run and --to VERSION, not \"%s\"", argv[i]);
		if (++i == argc)
			return ctl_usage("--to needs the number of a migration");
		if (!text_parse_u64(text_of(argv[i]), &version) || version > INT_MAX)
			return ctl_usage("--to needs the number of a migration, not \"%s\"", argv[i]);
	}
	return EXIT_OK;
}

static int become_worker(const struct configuration *c, int argc, char *argv[])
{
	const char *arguments[ARGUMENTS_MAX] = { "renovationd-worker", "--migrate" };
	int fd;

	if (argc > ARGUMENTS_MAX - 3)
		return ctl_usage("too many arguments");
	for (int i = 1; i < argc; i++)
		arguments[i + 1] = argv[i];
	if (options_store(&c->options, &fd) != ERROR_NONE) {
		(void)fprintf(stderr, "renovationctl: cannot hand over the options: %s\n", strerror(errno));
		return EXIT_OS;
	}
	/* dup2 onto itself would leave the close-on-exec flag. */
	if (fd == INHERIT_OPTIONS ? fcntl(fd, F_SETFD, 0) != 0 : dup2(fd, INHERIT_OPTIONS) < 0)
		return EXIT_OS;
	return ctl_become(c->options.worker_program, arguments[0], arguments);
}

int ctl_migrate(const struct ctl *ctl, int argc, char *argv[])
{
	struct configuration c;
	int code = check_arguments(argc, argv);

	if (code != EXIT_OK)
		return code;
	configuration_init(&c);
	if (ctl->file != NULL)
		configuration_read_file(&c, ctl->file);
	configuration_read_environment(&c, (const char *const *)environ);
	configuration_check(&c, CONFIGURATION_FOR_DATABASE);
	configuration_print_faults(&c, stderr);
	code = configuration_has_faults(&c) ? EXIT_CONFIG_WRONG : become_worker(&c, argc, argv);
	configuration_fini(&c);
	return code;
}
