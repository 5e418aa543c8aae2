/* main.c: renovationd-worker: arguments, then the parts in order, the loop, and the parts closed in reverse. Started by renovationd with everything at the
 * agreed descriptors (shared/inherit.h); parses no file and no environment. The short commands are commands.c's. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/log.h"
#include "worker/api/health.h"
#include "worker/auth.h"
#include "worker/chat/chat.h"
#include "worker/commands.h"
#include "worker/control.h"
#include "worker/db/db.h"
#include "worker/ending.h"
#include "worker/gemini/provider.h"
#include "worker/handover.h"
#include "worker/http/server.h"
#include "worker/realtime/bus.h"
#include "worker/jobs/upkeep.h"
#include "worker/routes.h"
#include "worker/shutdown.h"
#include "worker/worker.h"

struct arguments {
	uint64_t slot, generation, epoch; /* which life this is */
	uint64_t given;                   /* bit per argument seen */
	const char *role;                 /* "web" */
};

static bool is_finished;        /* the shutdown is through: the loop ends */
static bool has_admin_listener; /* we inherited one; it stays open to the end */

/* ---- called back --------------------------------------------------------------------------------------------- */

static void on_closed(void *arg, const struct message_closed *closed)
{
	struct worker *w = arg;

	control_report(w->link, closed);
}

static void on_finished(void *arg)
{
	struct worker *w = arg;

	SCOREBOARD_SET(w->slot->state, WORKER_CLOSING);
	is_finished = true;
	(void)event_base_loopbreak(w->base);
}

/* A reload changed LIVE options; most parts read them where they need them, these have kept some. */
static void on_options(void *arg)
{
	struct worker *w = arg;

	http_options_changed(w->http);
	chat_options_changed(w->chat);
	db_options_changed(w->db);
	upkeep_options_changed(w->upkeep);
	ending_options_changed(w);
}

/* ---- the parts, in order ------------------------------------------------------------------------------------- */

static enum error open_memory(struct worker *w, const struct arguments *arguments)
{
	enum error e = options_load(&w->options, INHERIT_OPTIONS);
	enum log_level level = LOG_INFO;
	char host[65] = "?";

	if (e != ERROR_NONE)
		return e;
	(void)log_parse_level(text_of(w->options.log_level), &level);
	log_open("renovationd-worker", (int)arguments->slot, level, STDERR_FILENO);
	w->slot_index = (int)arguments->slot;
	w->generation = (uint32_t)arguments->generation;
	w->epoch = arguments->epoch;
	e = scoreboard_map(INHERIT_SCOREBOARD, &w->board);
	if (e != ERROR_NONE)
		return e;
	w->slot = &w->board->slots[w->slot_index];
	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(w->lease, sizeof w->lease, "%.40s/%llx/%d/%llu", host,
		(unsigned long long)SCOREBOARD_GET(w->board->instance), w->slot_index, (unsigned long long)w->epoch);
	return ERROR_NONE;
}

static enum error open_loop(struct worker *w)
{
	struct event_config *wishes = event_config_new();

	if (wishes == NULL || event_config_set_flag(wishes, EVENT_BASE_FLAG_NOLOCK) != 0)
		return ERROR_SYSTEM;
	w->base = event_base_new_with_config(wishes);
	event_config_free(wishes);
	return w->base != NULL ? ERROR_NONE : ERROR_SYSTEM;
}

static enum error open_http(struct worker *w)
{
	const struct http_options options = { .base = w->base,
		.listener = INHERIT_LISTENER,
		.admin_listener = has_admin_listener ? INHERIT_ADMIN : -1,
		.limits = &w->options,
		.board = w->board,
		.slot = w->slot_index,
		.routes = worker_routes,
		.route_count = worker_route_count,
		.authenticate = auth_request,
		.is_operator = auth_is_operator,
		.name_owner = auth_name_owner,
		.give = handover_give,
		.generation = w->generation,
		.context = w };

	return http_open(&options, &w->http);
}

/* Names the part that would not open. */
static enum error open_parts(struct worker *w, const struct arguments *arguments, const char **part_out)
{
	enum error e;

	*part_out = "options and scoreboard";
	if ((e = open_memory(w, arguments)) != ERROR_NONE)
		return e;
	*part_out = "event loop";
	if ((e = open_loop(w)) != ERROR_NONE)
		return e;
	*part_out = "shutdown";
	if ((e = shutdown_open(w->base, on_closed, on_finished, w, &w->shutdown)) != ERROR_NONE)
		return e;
	*part_out = "link to the supervisor";
	if ((e = control_open(w, &w->link)) != ERROR_NONE)
		return e;
	*part_out = "database";
	if ((e = db_open(w->base, &w->options, w->slot, &w->db)) != ERROR_NONE)
		return e;
	db_measure(w->db, &w->board->measures[w->slot_index].common);
	*part_out = "model provider";
	if ((e = provider_open(w->base, &w->options, &w->provider)) != ERROR_NONE)
		return e;
	*part_out = "mesh";
	if ((e = bus_open(w->base, w->slot_index, w->board, &w->bus)) != ERROR_NONE)
		return e;
	*part_out = "chat";
	if ((e = chat_open(w, INHERIT_RINGS, &w->chat)) != ERROR_NONE)
		return e;
	control_on_slot_died(w->link, chat_slot_died, w);
	*part_out = "authentication and health";
	w->auth = auth_open(w);
	w->health = health_open(w);
	if (w->auth == NULL || w->health == NULL)
		return ERROR_SYSTEM;
	w->upkeep = upkeep_open(w);
	*part_out = "HTTP server";
	if ((e = open_http(w)) != ERROR_NONE)
		return e;
	handover_open(w);
	ending_register(w);
	control_on_options(w->link, on_options, w);
	return ERROR_NONE;
}

static void close_parts(struct worker *w)
{
	upkeep_close(&w->upkeep);
	chat_close(&w->chat);
	bus_close(&w->bus);
	provider_close(&w->provider);
	/* Queries that end here still answer their requests, so those who wait for them come after. */
	ending_close();
	db_close(&w->db);
	http_close(&w->http);
	health_close(&w->health);
	auth_close(&w->auth);
	control_close(&w->link);
	shutdown_close(&w->shutdown);
	if (w->base != NULL)
		event_base_free(w->base);
	scoreboard_unmap(&w->board);
	options_fini(&w->options);
}

static int exit_code_of(enum error e)
{
	switch ((int)e) {
	case ERROR_CONFIG: return EXIT_CONFIG_WRONG;
	case ERROR_PROTOCOL: return EXIT_STATE_CORRUPT;
	case ERROR_CLOSED: return EXIT_STORM;
	default: return EXIT_OS;
	}
}

/* Asked before anything else can have taken that number. */
static bool is_listening(int fd)
{
	int is_accepting = 0;
	socklen_t length = sizeof is_accepting;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_accepting, &length) == 0 && is_accepting != 0;
}

static int serve(const struct arguments *arguments)
{
	static struct worker w;
	const char *part = "";
	int code = EXIT_OK;
	enum error e;

	has_admin_listener = is_listening(INHERIT_ADMIN);
	e = open_parts(&w, arguments, &part);
	if (e != ERROR_NONE) {
		LOG(LOG_FATAL, "cannot open a part", F_STR("part", part), F_STR("error", error_code(e)),
			F_STR("errno", strerror(errno)));
		code = exit_code_of(e);
	} else {
		http_start(w.http);
		control_ready(w.link);
	}
	while (code == EXIT_OK && !is_finished) {
		if (event_base_loop(w.base, EVLOOP_ONCE) < 0)
			code = EXIT_OS;
		log_flush();
	}
	if (code == EXIT_OK)
		code = control_exit_code(w.link);
	close_parts(&w);
	log_close();
	return code;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

enum argument {
	ROLE = 256,
	SLOT,
	GENERATION,
	EPOCH,
	CHECK,
	CHECK_FOR_START,
	MIGRATE,
	PRINT_ROUTES,
	PRINT_OPENAPI,
	VERSION,
	HELP
};

static void print_help(FILE *out)
{
	(void)fputs("renovationd-worker: serves requests; started by renovationd, not by hand.\n"
		    "\n"
		    "usage: renovationd-worker --role web --slot S --generation G --epoch E\n"
		    "       renovationd-worker --check | --check-for-start\n"
		    "       renovationd-worker --migrate up|down|status [--dry-run] [--to VERSION]\n"
		    "       renovationd-worker --print-routes | --print-openapi | --version | --help\n",
		out);
}

static bool take_number(struct arguments *arguments, int option, uint64_t *value, uint64_t most)
{
	arguments->given |= 1u << (option - ROLE);
	return text_parse_u64(text_of(optarg), value) && *value <= most;
}

static int wrong_usage(void)
{
	print_help(stderr);
	return EXIT_USAGE_WRONG;
}

static int run_worker(const struct arguments *arguments)
{
	const uint64_t needed = 1u << (SLOT - ROLE) | 1u << (GENERATION - ROLE) | 1u << (EPOCH - ROLE);

	if (arguments->role == NULL || strcmp(arguments->role, "web") != 0 || (arguments->given & needed) != needed)
		return wrong_usage();
	return serve(arguments);
}

int main(int argc, char *argv[])
{
	static const struct option known[] = { { "role", required_argument, NULL, ROLE },
		{ "slot", required_argument, NULL, SLOT }, { "generation", required_argument, NULL, GENERATION },
		{ "epoch", required_argument, NULL, EPOCH }, { "check", no_argument, NULL, CHECK },
		{ "check-for-start", no_argument, NULL, CHECK_FOR_START }, { "migrate", no_argument, NULL, MIGRATE },
		{ "print-routes", no_argument, NULL, PRINT_ROUTES },
		{ "print-openapi", no_argument, NULL, PRINT_OPENAPI }, { "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, HELP }, { NULL, 0, NULL, 0 } };
	struct arguments arguments = { .role = NULL };
	int option;

	/* When it was started through a descriptor, the kernel named it after that. */
	(void)prctl(PR_SET_NAME, "renovationd-worker", 0, 0, 0);
	log_open("renovationd-worker", -1, LOG_INFO, STDERR_FILENO);
	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1)
		switch (option) {
		case ROLE: arguments.role = optarg; break;
		case SLOT:
			if (!take_number(&arguments, option, &arguments.slot, SLOTS_MAX - 1))
				return wrong_usage();
			break;
		case GENERATION:
			if (!take_number(&arguments, option, &arguments.generation, UINT32_MAX))
				return wrong_usage();
			break;
		case EPOCH:
			if (!take_number(&arguments, option, &arguments.epoch, INT64_MAX))
				return wrong_usage();
			break;
		case CHECK: return command_check(false);
		case CHECK_FOR_START: return command_check(true);
		case MIGRATE: return command_migrate(argc - optind, argv + optind);
		case PRINT_ROUTES: return command_print_routes();
		case PRINT_OPENAPI: return command_print_openapi();
		case VERSION: (void)printf("renovationd-worker %s\n", PACKAGE_VERSION); return EXIT_OK;
		case HELP: print_help(stdout); return EXIT_OK;
		default: return wrong_usage();
		}
	if (optind < argc)
		return wrong_usage();
	return run_worker(&arguments);
}
