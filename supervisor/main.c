/* main.c: renovationd: arguments, configuration, then the parts in order: preflight, listener, privileges, descriptors, workers, loop.
 * Everything here happens once; what goes on later is in the other files of this folder. Exit codes: shared/inherit.h. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/program.h"
#include "supervisor/fdstore.h"
#include "supervisor/oom.h"
#include "supervisor/rollover.h"
#include "supervisor/spawn.h"
#include "supervisor/upgrade.h"

extern char **environ;

struct arguments {
	const char *file;     /* after -c; NULL = environment only */
	bool is_check;        /* configuration and preflight, then leave */
	bool is_print_config; /* print the configuration, then leave */
	const char *layouts;  /* after --check-layout: asked by a service that wants to become us; NULL otherwise */
};

static void print_help(FILE *out)
{
	(void)fputs(
		"renovationd: serves renovation chats: checks, listens, starts workers and keeps them alive.\n"
		"\n"
		"usage: renovationd [-c FILE] [--check | --print-config]\n"
		"\n"
		"  -c, --config FILE  read options from FILE; the environment wins over it\n"
		"      --check        check configuration, database and Gemini, print the report, leave\n"
		"      --print-config print every option with its value and origin, secrets masked, leave\n"
		"      --version      print the version\n"
		"      --help         print this\n"
		"\n"
		"Each option can be set by the environment as RENOVATIOND_ and its name in capitals; short names are\n"
		"DATABASE_URL GOOGLE_API_KEY GEMINI_BASE_URL HOST PORT WORKERS APP_ENV LOG_LEVEL LOG_FILE and others.\n"
		"Signals: TERM, INT, QUIT stop gracefully, INT or QUIT again within a second; HUP reloads, USR1 opens\n"
		"the log file anew, USR2 upgrades in place, TTIN and TTOU change the number of workers, WINCH drains.\n"
		"renovationctl(8) does the same and answers.\n"
		"Exit codes: 0 stopped, 64 usage, 69 database or Gemini unreachable, 70 workers keep dying, 71 "
		"system,\n"
		"73 cannot create a file, 74 work lost, 75 address in use, 77 credentials refused, 78 configuration.\n",
		out);
}

/* Returns an exit code, or -1 to go on. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	enum { CHECK = 256, CHECK_LAYOUT, PRINT_CONFIG, VERSION, HELP };
	static const struct option known[] = { { "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, CHECK }, { "check-layout", required_argument, NULL, CHECK_LAYOUT },
		{ "print-config", no_argument, NULL, PRINT_CONFIG }, { "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, HELP }, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1)
		switch (option) {
		case 'c': arguments->file = optarg; break;
		case CHECK: arguments->is_check = true; break;
		case CHECK_LAYOUT:
			arguments->is_check = true;
			arguments->layouts = optarg;
			break;
		case PRINT_CONFIG: arguments->is_print_config = true; break;
		case VERSION: (void)printf("renovationd %s\n", PACKAGE_VERSION); return EXIT_OK;
		case 'h':
		case HELP: print_help(stdout); return EXIT_OK;
		default: (void)fputs("try: renovationd --help\n", stderr); return EXIT_USAGE_WRONG;
		}
	if (optind < argc) {
		(void)fprintf(
			stderr, "renovationd: unexpected argument \"%s\"\ntry: renovationd --help\n", argv[optind]);
		return EXIT_USAGE_WRONG;
	}
	return -1;
}

static void init(struct supervisor *s, struct configuration *config)
{
	memset(s, 0, sizeof *s);
	s->config = config;
	s->options = &config->options;
	s->started_at_us = clock_wall_us();
	s->admin_listener = -1;
	s->worker_program_fd = s->listener = s->options_fd = s->scoreboard_fd = s->rings_fd = s->null_fd = -1;
	s->lifeline_read = s->lifeline_write = -1;
	s->log_fd = STDERR_FILENO;
	for (int i = 0; i < SLOTS_MAX; i++) {
		s->inbox[i] = s->mesh[i] = s->slots[i].control = -1;
		s->slots[i].index = i;
	}
}

static void read_configuration(struct supervisor *s, struct configuration *c, const char *file)
{
	enum log_level level;

	configuration_init(c);
	if (file != NULL)
		configuration_read_file(c, file);
	configuration_read_environment(c, (const char *const *)environ);
	configuration_check(c, CONFIGURATION_FOR_SERVICE);
	privileges_resolve(c, &s->identity);
	if (log_parse_level(text_of(c->options.log_level), &level))
		log_set_level(level);
}

static int print_configuration(const struct configuration *c)
{
	configuration_print(c, stdout);
	configuration_print_faults(c, stderr);
	return configuration_has_faults(c) ? EXIT_CONFIG_WRONG : EXIT_OK;
}

static int failed(const char *what, int code)
{
	LOG(LOG_FATAL, "cannot start", F_STR("step", what), F_STR("error", strerror(errno)), F_INT("exit_code", code));
	return code;
}

static int cannot_create(const char *what, const char *path)
{
	LOG(LOG_FATAL, "cannot start", F_STR("step", what), F_STR("file", path), F_STR("error", strerror(errno)),
		F_INT("exit_code", EXIT_CANNOT_CREATE));
	return EXIT_CANNOT_CREATE;
}

static int open_log(struct supervisor *s)
{
	const char *path = s->options->log_file;
	int fd;

	if (path[0] == '\0')
		return EXIT_OK;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return cannot_create("open log_file", path);
	/* The user that we become must be able to write to it after a rotation made it anew. */
	if (s->identity.is_change && fchown(fd, s->identity.uid, s->identity.gid) != 0)
		LOG(LOG_WARN, "cannot give the log file to the user", F_STR("error", strerror(errno)));
	s->log_fd = fd;
	log_set_fd(fd);
	return EXIT_OK;
}

/* What only a plain start does: everything that an upgrade hands over. An exit code, or -1 when a stop signal came first. */
static int prepare(struct supervisor *s)
{
	int code = preflight_run(s, false);

	if (code == EXIT_OK)
		code = open_log(s);
	fdstore_open();
	if (code == EXIT_OK)
		code = listeners_open(s);
	if (code == EXIT_OK)
		code = control_open(s);
	if (code == EXIT_OK)
		code = admin_listener_open(s);
	fdstore_close();
	if (code != EXIT_OK)
		return code;
	if (pidfile_open(s->options->pid_file) != ERROR_NONE)
		return cannot_create("write pid_file", s->options->pid_file);
	if (privileges_drop(&s->identity) != ERROR_NONE)
		return failed("become the user", EXIT_OS);
	if (descriptors_open(s) != ERROR_NONE)
		return failed("make what workers inherit", EXIT_OS);
	return EXIT_OK;
}

/* Steps until the workers are on their way; results as of prepare. */
static int start(struct supervisor *s)
{
	int code = upgrade_is_adopting(s) ? upgrade_adopt(s) : prepare(s);

	if (code != EXIT_OK)
		return code;
	deaths_open(s);
	if (notify_open(s) != ERROR_NONE || signals_open(s) != ERROR_NONE || watch_open(s) != ERROR_NONE ||
		history_open(s) != ERROR_NONE || gauges_open(s) != ERROR_NONE || pool_open(s) != ERROR_NONE ||
		rollover_open(s) != ERROR_NONE)
		return failed("open the loop", EXIT_OS);
	if (upgrade_is_adopting(s))
		upgrade_continue(s);
	else
		pool_start(s);
	return EXIT_OK;
}

static void close_all(struct supervisor *s)
{
	upgrade_close(s);
	rollover_close(s);
	shutdown_free(s);
	watch_close(s);
	history_close(s);
	gauges_close();
	pool_close(s);
	notify_close();
	signals_close(s);
	deaths_close(s);
	listeners_close(s);
	admin_listener_close(s);
	descriptors_close(s);
	control_close(s);
	pidfile_close();
}

static int serve(struct supervisor *s)
{
	struct event_config *wishes = event_config_new();
	int code;

	if (wishes == NULL || event_config_set_flag(wishes, EVENT_BASE_FLAG_NOLOCK) != 0 ||
		(s->base = event_base_new_with_config(wishes)) == NULL)
		return failed("make the event loop", EXIT_OS);
	event_config_free(wishes);
	code = start(s);
	while (code == EXIT_OK && !s->is_done) {
		if (event_base_loop(s->base, EVLOOP_ONCE) < 0)
			code = failed("run the loop", EXIT_OS);
		if (code == EXIT_OK && upgrade_is_due(s))
			upgrade_exec(s);
		log_flush();
	}
	if (code == -1)
		LOG(LOG_INFO, "stopped before the start was complete");
	close_all(s);
	event_base_free(s->base);
	return code > 0 ? code : s->exit_code;
}

int main(int argc, char **argv)
{
	static struct supervisor s;
	struct arguments arguments = { .file = NULL };
	struct configuration config;
	int code = parse_arguments(argc, argv, &arguments);

	if (code >= 0)
		return code;
	signals_block();
	log_open("renovationd", -1, LOG_INFO, STDERR_FILENO);
	init(&s, &config);
	s.config_file = arguments.file;
	s.check_layouts = arguments.layouts;
	code = arguments.is_check || arguments.is_print_config ? EXIT_OK : upgrade_open(&s, argv);
	if (code != EXIT_OK)
		return code;
	read_configuration(&s, &config, arguments.file);
	if (upgrade_is_adopting(&s) && (code = upgrade_configure(&s, &config)) != EXIT_OK)
		return code;
	s.environment = spawn_environment();
	(void)program_find(s.options->worker_program, "renovationd-worker", s.worker_program, sizeof s.worker_program);
	s.worker_program_fd = descriptor_lift(open(s.worker_program, O_PATH | O_CLOEXEC));
	if (descriptors_raise_limit() != ERROR_NONE)
		LOG(LOG_WARN, "cannot raise the limit of open files", F_STR("error", strerror(errno)));
	oom_open();
	if (arguments.is_print_config)
		code = print_configuration(&config);
	else if (arguments.is_check)
		code = preflight_run(&s, true);
	else
		code = serve(&s);
	if (s.worker_program_fd >= 0)
		close(s.worker_program_fd);
	free(s.environment);
	log_close();
	configuration_fini(&config);
	return code > 0 ? code : EXIT_OK;
}
