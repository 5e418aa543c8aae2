/* rolling.c: a load of many clients that goes on while something else reloads and upgrades the server, for bench.mjs and by hand.
 *   rolling PORT READERS WRITERS STREAMS IDLERS [PAUSE-MS]     then lines on standard input:
 *     mark     forget latencies and gaps
 *     report   print one JSON line: requests and failures since the start; latencies and the longest gap since the mark
 * The end of standard input ends it: everything asked is answered first, then it prints a last report. Talks to 127.0.0.1 only. */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/load.h"

#define QUESTION "How long does screed dry? [sim:chunks=120][sim:delay=80ms]"

static void print_report(struct load *l)
{
	struct load_report r = load_report(l);

	(void)printf(
		"{\"requests\":%ld,\"failed\":%ld,\"answers\":%ld,\"asking\":%ld,\"reconnects\":%ld,\"measured\":%ld,"
		"\"p50_us\":%ld,\"p99_us\":%ld,\"gap_us\":%ld}\n",
		r.requests, r.failed, r.answers, r.asking, r.reconnects, r.measured, r.p50_us, r.p99_us, r.gap_us);
	(void)fflush(stdout);
	if (r.failed > 0)
		(void)fputs(r.failures, stderr);
}

/* False at the end of input. Commands come one at a time, each answered or done before the next is sent. */
static bool obey(struct load *l)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[64];
	ssize_t length;

	if (poll(&input, 1, 0) == 0)
		return true;
	length = read(STDIN_FILENO, line, sizeof line - 1);
	if (length <= 0)
		return false;
	line[length] = '\0';
	if (strstr(line, "report") != NULL)
		print_report(l);
	if (strstr(line, "mark") != NULL)
		load_mark(l);
	return true;
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct rlimit limit = { 65536, 65536 };
	struct load *l;

	if (argc < 6) {
		(void)fprintf(stderr, "usage: rolling PORT READERS WRITERS STREAMS IDLERS [PAUSE-MS]\n");
		return 64;
	}
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	l = load_start(&(struct load_plan) { .port = number(argv[1]),
		.readers = number(argv[2]),
		.writers = number(argv[3]),
		.streams = number(argv[4]),
		.idlers = number(argv[5]),
		.pause_ms = argc > 6 ? number(argv[6]) : 20,
		.idle_ms = 15000,
		.question = QUESTION });
	while (obey(l))
		load_run(l, 20);
	if (!load_finish(l, 60000))
		(void)fprintf(stderr, "rolling: not everything was answered\n");
	print_report(l);
	load_end(&l);
	return 0;
}
