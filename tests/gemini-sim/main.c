/* gemini-sim: a local stand-in for the Gemini API, for tests and the offline demo. Reads the command line, opens the parts
 * in order, says where it listens, and stops on TERM or INT. It is never installed and never talks to the network. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/sim.h"
#include "tests/gemini-sim/stream.h"

#define LOG_CAPACITY 4096
#define EXIT_USAGE   64

static void print_help(void)
{
	struct text list = { 0 };
	fault_list(&list);
	printf("Usage: gemini-sim [OPTION]...\n"
	       "A local stand-in for the Gemini API (v1beta, generateContent family).\n\n"
	       "  --port N             port to listen on; 0 = any free one (default 0)\n"
	       "  --host ADDRESS       numeric address to listen on (default 127.0.0.1)\n"
	       "  --api-key KEY        a valid key, may be repeated; default: every key that does not begin with "
	       "\"bad\"\n"
	       "  --chunk-delay-ms N   time between chunks (default 15)\n"
	       "  --first-byte-ms N    time before the first chunk (default 0)\n"
	       "  --split-bytes N      TCP writes of random sizes up to N bytes\n"
	       "  --seed N             of those sizes (default 1)\n"
	       "  --overlap N          repeat N characters at the seam of a continued answer\n"
	       "  --body-limit-mib N   larger requests get 413 (default 100)\n"
	       "  --fault NAME         apply a fault to every request, may be repeated\n"
	       "  --help, --version\n\n"
	       "Control: POST, GET, DELETE /sim/faults; POST, DELETE /sim/script; GET, DELETE /sim/log; GET "
	       "/sim/stats; POST /sim/reset\n\n"
	       "Faults:\n%s",
		text_get(&list));
	text_fini(&list);
}

static bool read_number(const char *string, long low, long high, long *value_out)
{
	char *end = NULL;
	errno = 0;
	long value = strtol(string, &end, 10);
	if (errno != 0 || end == string || *end != '\0' || value < low || value > high)
		return false;
	*value_out = value;
	return true;
}

enum option_id {
	OPTION_PORT = 256,
	OPTION_HOST,
	OPTION_KEY,
	OPTION_CHUNK,
	OPTION_FIRST,
	OPTION_SPLIT,
	OPTION_SEED,
	OPTION_OVERLAP,
	OPTION_BODY,
	OPTION_FAULT,
	OPTION_HELP,
	OPTION_VERSION
};

static bool read_option(struct settings *settings, int id, char *argument)
{
	long value = 0;
	switch (id) {
	case OPTION_HOST: settings->host = argument; return true;
	case OPTION_KEY:
		if (settings->key_count == SIM_KEYS_MAX)
			return false;
		settings->keys[settings->key_count++] = argument;
		return true;
	case OPTION_FAULT:
		if (settings->fault_count == SIM_FAULTS_MAX || !fault_exists(argument))
			return false;
		settings->faults[settings->fault_count++] = argument;
		return true;
	default: break;
	}
	if (!read_number(argument, 0, id == OPTION_PORT ? 65535 : 1000000, &value))
		return false;
	switch (id) {
	case OPTION_PORT: settings->port = (int)value; return true;
	case OPTION_CHUNK: settings->chunk_ms = (int)value; return true;
	case OPTION_FIRST: settings->first_byte_ms = (int)value; return true;
	case OPTION_SPLIT: settings->split_bytes = (int)value; return true;
	case OPTION_SEED: settings->seed = (uint64_t)value; return true;
	case OPTION_OVERLAP: settings->overlap = (int)value; return true;
	case OPTION_BODY: settings->body_limit_mib = (int)value; return value > 0 && value < 2048;
	default: return false;
	}
}

/* -1 = go on; otherwise the exit code. */
static int read_command_line(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, OPTION_PORT },
		{ "host", required_argument, NULL, OPTION_HOST },
		{ "api-key", required_argument, NULL, OPTION_KEY },
		{ "chunk-delay-ms", required_argument, NULL, OPTION_CHUNK },
		{ "first-byte-ms", required_argument, NULL, OPTION_FIRST },
		{ "split-bytes", required_argument, NULL, OPTION_SPLIT },
		{ "seed", required_argument, NULL, OPTION_SEED },
		{ "overlap", required_argument, NULL, OPTION_OVERLAP },
		{ "body-limit-mib", required_argument, NULL, OPTION_BODY },
		{ "fault", required_argument, NULL, OPTION_FAULT },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{ NULL, 0, NULL, 0 },
	};
	int id;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == OPTION_HELP) {
			print_help();
			return EXIT_SUCCESS;
		}
		if (id == OPTION_VERSION) {
			printf("gemini-sim %s\n", SIM_VERSION);
			return EXIT_SUCCESS;
		}
		if (id == '?' || !read_option(settings, id, optarg)) {
			if (id != '?')
				fprintf(stderr, "gemini-sim: bad value: %s\n", optarg);
			fputs("Try gemini-sim --help.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "gemini-sim: unexpected argument: %s\n", argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	event_base_loopbreak(context);
}

static bool sim_open(struct sim *sim)
{
	struct http_options options = { .host = sim->settings.host,
		.port = sim->settings.port,
		.body_limit_bytes = (size_t)sim->settings.body_limit_mib << 20,
		.seed = sim->settings.seed,
		.handle = service_handle,
		.too_large = service_too_large,
		.context = sim };
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	sim->start_stamp = hash_bytes(0, &now, sizeof now);
	sim->base = event_base_new();
	sim->wheel = wheel_create(sim->base);
	sim->rules = fault_rules_create();
	sim->markers = marker_counts_create();
	sim->script = script_create();
	sim->journal = journal_create(LOG_CAPACITY);
	sim->memory = answer_memory_create();
	sim->http = http_open(sim->base, &options);
	if (sim->http == NULL)
		fprintf(stderr, "gemini-sim: cannot listen on %s port %d: %s\n", options.host, options.port,
			strerror(errno));
	return sim->http != NULL;
}

static void sim_close(struct sim *sim)
{
	stream_drop_all(sim);
	http_close_server(&sim->http);
	answer_memory_destroy(&sim->memory);
	journal_destroy(&sim->journal);
	script_destroy(&sim->script);
	marker_counts_destroy(&sim->markers);
	fault_rules_destroy(&sim->rules);
	wheel_destroy(&sim->wheel);
	event_base_free(sim->base);
}

static void sim_run(struct sim *sim)
{
	struct event *term = evsignal_new(sim->base, SIGTERM, on_signal, sim->base);
	struct event *interrupt = evsignal_new(sim->base, SIGINT, on_signal, sim->base);
	event_add(term, NULL);
	event_add(interrupt, NULL);
	printf(strchr(sim->settings.host, ':') != NULL ? "listening on http://[%s]:%d\n"
						       : "listening on http://%s:%d\n",
		sim->settings.host, http_port(sim->http));
	fflush(stdout);
	event_base_dispatch(sim->base);
	event_free(term);
	event_free(interrupt);
}

int main(int argc, char **argv)
{
	struct sim sim = { .settings = { .host = "127.0.0.1", .chunk_ms = 15, .seed = 1, .body_limit_mib = 100 } };
	int code = read_command_line(&sim.settings, argc, argv);
	if (code >= 0)
		return code;
	signal(SIGPIPE, SIG_IGN);
	bool open = sim_open(&sim);
	if (open)
		sim_run(&sim);
	sim_close(&sim);
	return open ? EXIT_SUCCESS : EXIT_FAILURE;
}
