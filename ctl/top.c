/* top.c: `renovationctl top`: the page of `status` drawn each second, with rates from one look to the next. Goes on while the service is away: a restart is
 * what one wants to watch. Prints the page once where there is no terminal. */
#include "config.h"
#include "ctl/ctl.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/change.h"
#include "ctl/page.h"
#include "ctl/screen.h"
#include "shared/clock.h"
#include "shared/inherit.h"

#define WORKERS_KEPT   COUNT_OF(((struct page_rates *)0)->workers)
#define FIRST_LOOK_MS  300  /* between the two looks that a single page needs */
#define LOOK_MS        2000 /* keys wait no longer */
#define INTERVAL_MAX_S 3600

/* What the last look counted. */
struct before {
	int64_t at_ms;    /* monotonic; 0 = there was none */
	int64_t requests; /* of the pool */
	int64_t errors;   /* of the pool */
	struct {
		int64_t epoch;    /* of the worker; 0 = no row */
		int64_t requests; /* of it */
	} workers[WORKERS_KEPT];
};

/* Counters only fall when another process counts now. */
static double rate(int64_t now, int64_t then, int64_t ms)
{
	return ms > 0 && now > then ? (double)(now - then) * 1000.0 / (double)ms : 0;
}

static int64_t requests_then(const struct before *before, int64_t epoch)
{
	for (size_t i = 0; i < WORKERS_KEPT; i++)
		if (before->workers[i].epoch == epoch)
			return before->workers[i].requests;
	return 0;
}

/* From the last look to this one, which becomes the last. False when there was none. */
static bool take_rates(const struct json_value *status, struct before *before, struct page_rates *rates_out)
{
	const struct json_value *workers = json_find(status, "workers");
	struct before now = { .at_ms = clock_monotonic_ms(),
		.requests = view_number(status, "totals.requests"),
		.errors = view_number(status, "totals.requests_5xx") };
	int64_t ms = now.at_ms - before->at_ms;
	bool is_first = before->at_ms == 0;
	size_t i = 0;

	memset(rates_out, 0, sizeof *rates_out);
	rates_out->requests = rate(now.requests, before->requests, ms);
	rates_out->errors = rate(now.errors, before->errors, ms);
	for (const struct json_value *w = workers != NULL ? workers->first : NULL; w != NULL && i < WORKERS_KEPT;
		w = w->next, i++) {
		now.workers[i].epoch = view_number(w, "epoch");
		now.workers[i].requests = view_number(w, "requests");
		rates_out->workers[i] = rate(now.workers[i].requests, requests_then(before, now.workers[i].epoch), ms);
	}
	*before = now;
	return !is_first;
}

/* Asks once; false when nobody answers. */
static bool look(struct wire *w, const struct json_value **status_out)
{
	const struct json_value *answer;

	if ((w->fd < 0 && !wire_reopen(w)) || !wire_send(w, "{\"command\":\"status\"}") ||
		wire_next(w, LOOK_MS, &answer) != WIRE_LINE)
		return false;
	*status_out = json_find(answer, "status");
	return *status_out != NULL;
}

static void draw(struct wire *w, struct before *before, bool is_coloured)
{
	const struct json_value *status;
	struct page_rates rates;
	struct buffer page;

	buffer_init(&page);
	/* A connection that a restart or an upgrade ended is made again in the same look. */
	if (look(w, &status) || (wire_reopen(w) && look(w, &status))) {
		bool has_rates = take_rates(status, before, &rates);

		page_write(status, has_rates ? &rates : NULL, is_coloured, &page);
	} else {
		buffer_printf(&page, "no renovationd answers at %s; trying again\n", w->path);
		before->at_ms = 0;
	}
	buffer_append_string(&page, "\nq quits\n");
	screen_draw(buffer_text(&page));
	buffer_fini(&page);
}

static int run_screen(struct wire *w, int interval_ms)
{
	struct before before = { .at_ms = 0 };
	bool is_coloured = view_wants_colour();
	enum screen_event event = SCREEN_TIME;

	while (event != SCREEN_QUIT) {
		draw(w, &before, is_coloured);
		event = screen_wait(interval_ms);
	}
	screen_close();
	return EXIT_OK;
}

/* Two looks, for the rates, and one page. */
static int run_once(struct wire *w)
{
	struct before before = { .at_ms = 0 };
	const struct json_value *status;
	struct page_rates rates;
	struct buffer page;
	int code = EXIT_OK;

	if (!look(w, &status))
		return wire_lost(w, WIRE_END);
	(void)take_rates(status, &before, &rates);
	(void)poll(NULL, 0, FIRST_LOOK_MS);
	if (!look(w, &status))
		return wire_lost(w, WIRE_END);
	(void)take_rates(status, &before, &rates);
	buffer_init(&page);
	page_write(status, &rates, view_wants_colour(), &page);
	(void)fwrite(buffer_text(&page).bytes, 1, buffer_length(&page), stdout);
	if (fflush(stdout) != 0)
		code = EXIT_CANNOT_CREATE;
	buffer_fini(&page);
	return code;
}

static bool take_interval(int *argc, char *argv[], int *interval_ms_out)
{
	uint64_t seconds;

	for (int i = 1; i + 1 < *argc; i++)
		if (strcmp(argv[i], "--interval") == 0 || strcmp(argv[i], "-n") == 0) {
			if (!text_parse_u64(text_of(argv[i + 1]), &seconds) || seconds < 1 || seconds > INTERVAL_MAX_S)
				return false;
			*interval_ms_out = (int)seconds * 1000;
			memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 1) * sizeof *argv);
			*argc -= 2;
			return true;
		}
	return true;
}

int ctl_top(const struct ctl *ctl, int argc, char *argv[])
{
	bool is_once = change_take_flag(&argc, argv, "--once");
	int interval_ms = 1000, code;
	struct wire w;

	if (!take_interval(&argc, argv, &interval_ms))
		return ctl_usage("--interval needs seconds from 1 to %d", INTERVAL_MAX_S);
	if (argc > 1)
		return ctl_usage("top takes --once and --interval SECONDS, not \"%s\"", argv[1]);
	code = wire_open(&w, ctl, false);
	if (code == EXIT_OK)
		code = !is_once && screen_open() ? run_screen(&w, interval_ms) : run_once(&w);
	wire_close(&w);
	return code;
}
