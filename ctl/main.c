/* main.c: renovationctl: the operator's hand. Finds the command in the table and runs it; says what is known when it is none.
 * Commands that talk to a running renovationd join the table with its control socket. */
#include "config.h"
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/inherit.h"
#include "shared/log.h"

struct command {
	const char *name;                                     /* as typed */
	int (*run)(const char *file, int argc, char *argv[]); /* `file`: after -c, or NULL */
	const char *arguments;                                /* for help */
	const char *help;                                     /* one line */
};

static int run_version(const char *file, int argc, char *argv[]);
static int run_help(const char *file, int argc, char *argv[]);

static const struct command commands[] = {
	{ "migrate", ctl_migrate, "up|down|status [--dry-run] [--to VERSION]",
		"bring the database's schema up, back, or show where it is" },
	{ "check", ctl_check, "", "check configuration, database and Gemini as a start would" },
	{ "config", ctl_config, "[--defaults]", "show every option, its value and origin; or the sample file" },
	{ "version", run_version, "", "print the version" },
	{ "help", run_help, "", "print this" },
};

int ctl_usage(const char *problem, ...)
{
	va_list arguments;

	(void)fputs("renovationctl: ", stderr);
	va_start(arguments, problem);
	(void)vfprintf(stderr, problem, arguments);
	va_end(arguments);
	(void)fputs("\ntry: renovationctl help\n", stderr);
	return EXIT_USAGE_WRONG;
}

static int run_version(const char *file, int argc, char *argv[])
{
	(void)file;
	if (argc > 1)
		return ctl_usage("version takes no argument, not \"%s\"", argv[1]);
	(void)printf("renovationctl %s\n", PACKAGE_VERSION);
	return EXIT_OK;
}

static int run_help(const char *file, int argc, char *argv[])
{
	(void)file;
	(void)argc;
	(void)argv;
	(void)fputs(
		"renovationctl: looks after renovationd.\n\nusage: renovationctl [-c FILE] COMMAND ...\n\n", stdout);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		(void)printf("  %-8s %-42s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
	(void)fputs("\nOptions come from FILE and the environment (DATABASE_URL and the others of renovationd), which "
		    "wins.\n"
		    "Exit codes: 0 done, 64 usage, 69 database unreachable, 77 refused, 78 configuration or migrations "
		    "wrong.\n",
		stdout);
	return EXIT_OK;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const char *without_dashes(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ? "help"
	       : strcmp(word, "--version") == 0                       ? "version"
								      : word;
}

int main(int argc, char *argv[])
{
	const char *file = NULL;
	const struct command *command;
	int first = 1;

	log_open("renovationctl", -1, LOG_WARN, 2);
	if (argc > 1 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0)) {
		if (argc < 3)
			return ctl_usage("%s needs the name of a file", argv[1]);
		file = argv[2];
		first = 3;
	}
	if (argc <= first)
		return ctl_usage("a command is missing");
	command = find_command(without_dashes(argv[first]));
	if (command == NULL)
		return ctl_usage("there is no command \"%s\"", argv[first]);
	return command->run(file, argc - first, argv + first);
}
