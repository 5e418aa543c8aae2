/* main.c: renovationctl: the operator's hand. Finds the command in the table and runs it; says what is known when it is none.
 * The table is also what help, the completion's and the manual page's tests go by. */
#include "config.h"
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/inherit.h"
#include "shared/log.h"

struct command {
	const char *name;      /* as typed */
	ctl_run_fn *run;       /* does it */
	const char *arguments; /* for help */
	const char *help;      /* one line */
	const char *more;      /* what `COMMAND --help` says besides; lines */
};

static ctl_run_fn run_version, run_help;

#define WAITS "With --wait it prints what happens and stays until it is over.\n"

static const struct command commands[] = {
	{ "status", ctl_status, "[--json]", "how the service and its workers are",
		"--json prints the same document as /admin/status.json of the admin listener.\n"
		"DB is connections that work / open ones + queries not answered yet. 69: nobody answers.\n" },
	{ "top", ctl_top, "[--once] [--interval SECONDS]", "the same, live, with rates; q quits",
		"Without a terminal, or with --once, it prints one page. It goes on while the service restarts.\n" },
	{ "metrics", ctl_metrics, "", "all metrics in Prometheus' text format",
		"Works without a worker too; the admin listener's /metrics has the same.\n" },
	{ "reload", ctl_reload, "[--wait]", "read the configuration again, replace workers where needed",
		"The configuration is checked first; with a fault in it everything stays as it was.\n" WAITS
		"78: rejected, each fault is printed with its place. 70: the new workers did not get ready, the old "
		"ones serve.\n75: a stop or an upgrade is under way.\n" },
	{ "upgrade", ctl_upgrade, "[--wait]", "let the renovationd now installed take over, same process id",
		"The new program checks itself first; when its workers do not get ready the old program comes "
		"back.\n" WAITS "78: refused by its own check. 70: rolled back, the old program serves. 75: busy.\n" },
	{ "drain", ctl_drain, "[--wait]", "send all clients away; one worker answers health probes",
		WAITS
		"Readiness is 503 then, so that a balancer takes this host out. `resume`, or a reload, ends it.\n" },
	{ "resume", ctl_resume, "[--wait]", "serve again after a drain", WAITS },
	{ "stop", ctl_stop, "[--wait] [--fast]", "stop the service gracefully",
		WAITS "--fast cuts every deadline to one second. With --wait the exit code is the service's own:\n"
		      "0 clean, 74 acknowledged work was lost.\n" },
	{ "scale", ctl_scale, "N [--wait]", "run N workers from now on, until the next reload",
		WAITS "N is 1 to 4 for each core. 75: not possible now.\n" },
	{ "restart-worker", ctl_restart_worker, "SLOT [--wait]", "put a new worker in the place of one",
		"The new one is ready before the old one leaves.\n" WAITS },
	{ "logs", ctl_logs, "reopen | level LEVEL", "open the log file anew, or change what is logged",
		"LEVEL is debug, info, warn, error or fatal, until the next reload or restart.\n" },
	{ "check", ctl_check, "", "check configuration, database and Gemini as a start would",
		"Runs renovationd --check; needs no running service.\n" },
	{ "config", ctl_config, "[--defaults]", "show every option, its value and origin; or the sample file",
		"Secrets are masked. 78: the configuration has faults, which are printed.\n" },
	{ "migrate", ctl_migrate, "up|down|status [--dry-run] [--to VERSION]",
		"bring the database's schema up, back, or show where it is",
		"Needs database_url alone. 69: the database cannot be reached. 77: it refuses us.\n" },
	{ "openapi", ctl_openapi, "", "print the description of the HTTP interface (OpenAPI, JSON)",
		"Needs no running service.\n" },
	{ "version", run_version, "", "print the version", "" },
	{ "help", run_help, "[COMMAND]", "print this, or what a command does", "" },
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

static int run_version(const struct ctl *ctl, int argc, char *argv[])
{
	(void)ctl;
	if (argc > 1)
		return ctl_usage("version takes no argument, not \"%s\"", argv[1]);
	(void)printf("renovationctl %s\n", PACKAGE_VERSION);
	return EXIT_OK;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int help_on(const struct command *command)
{
	(void)printf("usage: renovationctl [-c FILE] [-s SOCKET] %s%s%s\n\n%s.\n%s", command->name,
		command->arguments[0] ? " " : "", command->arguments, command->help, command->more);
	return EXIT_OK;
}

static int run_help(const struct ctl *ctl, int argc, char *argv[])
{
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;

	(void)ctl;
	if (argc > 1 && command == NULL)
		return ctl_usage("there is no command \"%s\"", argv[1]);
	if (command != NULL)
		return help_on(command);
	(void)fputs("renovationctl: looks after renovationd.\n\n"
		    "usage: renovationctl [-c FILE] [-s SOCKET] COMMAND ...\n\n",
		stdout);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		(void)printf("  %-14s %-29s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
	(void)fputs(
		"\n  -c, --config FILE    read options from FILE; the environment (DATABASE_URL and the others) wins\n"
		"  -s, --socket SOCKET  the control socket of the service; else option control_socket, else\n"
		"                       $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/renovationd or /run/renovationd\n\n"
		"Exit codes: 0 done, 64 usage, 69 nobody answers or the database is unreachable, 70 it did not work "
		"and\n"
		"the old state serves, 73 cannot create a file, 74 work lost, 75 busy, 77 not allowed, 78 rejected.\n",
		stdout);
	return EXIT_OK;
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

/* Takes "-x VALUE", "--name VALUE" or "--name=VALUE" at argv[at] out of the arguments: 0 = it is another, 1 = taken, -1 = its value is missing. */
static int take_option(int *argc, char *argv[], int at, const char *letter, const char *name, const char **value_out)
{
	size_t length = strlen(name);
	int count = 1;

	if (strncmp(argv[at], name, length) == 0 && argv[at][length] == '=') {
		*value_out = argv[at] + length + 1;
	} else if (strcmp(argv[at], letter) == 0 || strcmp(argv[at], name) == 0) {
		if (at + 1 >= *argc)
			return -1;
		*value_out = argv[at + 1];
		count = 2;
	} else {
		return 0;
	}
	memmove(&argv[at], &argv[at + count], (size_t)(*argc - at - count + 1) * sizeof *argv);
	*argc -= count;
	return 1;
}

/* They may stand before and after the command. */
static int take_options(struct ctl *ctl, int *argc, char *argv[])
{
	for (int i = 1; i < *argc;) {
		int file = take_option(argc, argv, i, "-c", "--config", &ctl->file);
		int path = file == 0 ? take_option(argc, argv, i, "-s", "--socket", &ctl->socket) : 0;

		if (file < 0 || path < 0)
			return ctl_usage("%s needs the name of a %s", argv[i], file < 0 ? "file" : "socket");
		i += file == 0 && path == 0;
	}
	return EXIT_OK;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char *argv[])
{
	const struct command *command;
	struct ctl ctl = { .file = NULL };
	int code;

	log_open("renovationctl", -1, LOG_WARN, 2);
	code = take_options(&ctl, &argc, argv);
	if (code != EXIT_OK)
		return code;
	if (argc < 2)
		return ctl_usage("a command is missing");
	command = find_command(is_help(argv[1]) ? "help" : strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (command == NULL)
		return ctl_usage("there is no command \"%s\"", argv[1]);
	for (int i = 2; i < argc; i++)
		if (is_help(argv[i]))
			return help_on(command);
	return command->run(&ctl, argc - 1, argv + 1);
}
