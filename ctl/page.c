/* page.c: the page of `renovationctl status` and `top`: a head about the pool, then a table with a line for each worker, then what is out of order.
 * Pure: from the document to lines. Whatever a worker may have written is cleaned before it reaches a terminal. */
#include "config.h"
#include "ctl/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/must.h"

#define DEATHS_SHOWN 3

struct page {
	const struct json_value *status; /* the document */
	const struct page_rates *rates;  /* NULL = one look only */
	bool is_coloured;                /* escape sequences are wanted */
	struct buffer *out;              /* the lines */
};

static const char *ink(const struct page *p, enum view_colour colour)
{
	return view_colour(p->is_coloured, colour);
}

/* ---- the pool -------------------------------------------------------------------------------------------------- */

static enum view_colour colour_of_state(struct text state)
{
	static const char *const good[] = { "running", "ready" }, *const bad[] = { "degraded", "unknown", "exited" };

	for (size_t i = 0; i < COUNT_OF(good); i++)
		if (text_equals(state, text_of(good[i])))
			return VIEW_GREEN;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (text_equals(state, text_of(bad[i])))
			return VIEW_RED;
	return VIEW_YELLOW;
}

static void write_title(const struct page *p)
{
	struct text state = view_string(p->status, "state");
	int64_t uptime_s = view_number(p->status, "uptime_s");

	buffer_printf(p->out, "%srenovationd %s%s  %s%s%s  pid %" PRId64 "  up %s  %s\n", ink(p, VIEW_BOLD),
		view_clean(view_string(p->status, "version"), 30), ink(p, VIEW_PLAIN), ink(p, colour_of_state(state)),
		view_clean(state, 12), ink(p, VIEW_PLAIN), view_number(p->status, "pid"),
		uptime_s > 0 ? view_duration(uptime_s * 1000) : "0 s", view_clean(view_string(p->status, "url"), 80));
}

static const struct json_value *last_sample(const struct json_value *status, bool has_requests)
{
	const struct json_value *list = json_find(status, "samples"), *last = NULL;

	for (const struct json_value *v = list != NULL ? list->first : NULL; v != NULL; v = v->next)
		if (!has_requests || view_number(v, "requests") > 0)
			last = v;
	return last;
}

static void write_load(const struct page *p)
{
	const struct json_value *sample = last_sample(p->status, false), *busy = last_sample(p->status, true);
	int64_t requests = view_number(sample, "requests"), seconds = view_number(p->status, "sample_s");

	buffer_printf(p->out, "workers   %" PRId64 " of %" PRId64 " ready, generation %" PRId64 "%s\n",
		view_number(p->status, "ready"), view_number(p->status, "wanted"), view_number(p->status, "generation"),
		view_is(p->status, "is_drained", "true") ? ", drained: probes only" : "");
	buffer_printf(p->out, "requests  %s", view_count(view_number(p->status, "totals.requests")));
	if (p->rates != NULL)
		buffer_printf(p->out, ", %.1f/s", p->rates->requests);
	else if (sample != NULL && seconds > 0)
		buffer_printf(p->out, ", %.1f/s", (double)requests / (double)seconds);
	/* Of the last seconds in which there were any. */
	if (busy != NULL)
		buffer_printf(p->out, ", p50 %s, p99 %s", view_latency(view_number(busy, "p50_us")),
			view_latency(view_number(busy, "p99_us")));
	buffer_printf(p->out, ", 5xx %s", view_count(view_number(p->status, "totals.requests_5xx")));
	if (p->rates != NULL && p->rates->errors > 0)
		buffer_printf(p->out, " %s(%.1f/s)%s", ink(p, VIEW_RED), p->rates->errors, ink(p, VIEW_PLAIN));
	buffer_printf(p->out,
		"\nopen      %" PRId64 " connections (%" PRId64 " idle, %" PRId64 " not yet accepted), %" PRId64
		" streams, %" PRId64 " answers\n",
		view_number(p->status, "totals.connections"), view_number(p->status, "totals.idle"),
		view_number(p->status, "accept_queue.length"), view_number(p->status, "totals.streams"),
		view_number(p->status, "totals.turns"));
}

static int64_t sum_of(const struct json_value *object)
{
	int64_t sum = 0;

	for (const struct json_value *v = object != NULL ? object->first : NULL; v != NULL; v = v->next)
		sum += view_number(v, "");
	return sum;
}

static void write_restarts(const struct page *p)
{
	const struct json_value *restarts = json_find(p->status, "restarts");
	int64_t sum = sum_of(restarts);
	const char *before = " (";

	buffer_printf(p->out, "restarts  %" PRId64, sum);
	for (const struct json_value *v = restarts != NULL ? restarts->first : NULL; v != NULL; v = v->next)
		if (view_number(v, "") > 0) {
			buffer_printf(p->out, "%s%s %" PRId64, before, view_clean(v->name, 12), view_number(v, ""));
			before = ", ";
		}
	buffer_append_string(p->out, sum > 0 ? ")" : "");
	if (view_number(p->status, "respawning.slots") > 0)
		buffer_printf(p->out, "; %s%" PRId64 " slots wait for up to %s%s", ink(p, VIEW_YELLOW),
			view_number(p->status, "respawning.slots"),
			view_duration(view_number(p->status, "respawning.longest_ms")), ink(p, VIEW_PLAIN));
	buffer_append_char(p->out, '\n');
}

static void write_reloads(const struct page *p)
{
	const struct json_value *last = view_find(p->status, "reloads.last");
	int64_t done = view_number(p->status, "reloads.live") + view_number(p->status, "reloads.replaced");
	int64_t not_done = view_number(p->status, "reloads.rejected") + view_number(p->status, "reloads.failed");
	bool is_bad = view_is(last, "result", "rejected") || view_is(last, "result", "failed");

	buffer_printf(p->out, "reloads   %" PRId64 " done, %" PRId64 " not", done, not_done);
	if (last != NULL && last->type == JSON_OBJECT)
		buffer_printf(p->out, "; last %sZ: %s%s%s, %s", view_clean(view_string(last, "at"), 19),
			ink(p, is_bad ? VIEW_RED : VIEW_PLAIN), view_clean(view_string(last, "result"), 12),
			ink(p, VIEW_PLAIN), view_clean(view_string(last, "text"), 120));
	buffer_append_char(p->out, '\n');
	last = view_find(p->status, "upgrades.last");
	if (last != NULL && last->type == JSON_OBJECT)
		buffer_printf(p->out, "upgrades  %" PRId64 " done, %" PRId64 " not; last %sZ: %s\n",
			view_number(p->status, "upgrades.done"), view_number(p->status, "upgrades.failed"),
			view_clean(view_string(last, "at"), 19), view_clean(view_string(last, "text"), 120));
}

/* ---- workers --------------------------------------------------------------------------------------------------- */

static void write_worker(const struct page *p, const struct json_value *w, double rate)
{
	char pool[40], requests[24];
	struct text state = view_string(w, "state");
	int64_t drain_ms = view_number(w, "drain_left_ms");
	bool is_late = view_number(w, "heartbeat_age_ms") > 5000, is_lagging = view_number(w, "loop_lag_us") > 50000;

	(void)snprintf(pool, sizeof pool, "%" PRId64 "/%" PRId64 "+%" PRId64,
		view_number(w, "db.open") - view_number(w, "db.idle"), view_number(w, "db.open"),
		view_number(w, "db.waiting"));
	if (p->rates != NULL)
		(void)snprintf(requests, sizeof requests, "%.1f", rate);
	else
		(void)snprintf(requests, sizeof requests, "%s", view_count(view_number(w, "requests")));
	buffer_printf(p->out,
		"%4" PRId64 " %7" PRId64 " %3" PRId64 " %s%-8s%s %6s %s%6s%s %s%6s%s %5s %4s %4s %7s %7s  ",
		view_number(w, "slot"), view_number(w, "pid"), view_number(w, "generation"),
		ink(p, view_is(w, "is_sick", "true") ? VIEW_RED : colour_of_state(state)),
		view_is(w, "is_sick", "true") ? "sick" : view_clean(state, 8), ink(p, VIEW_PLAIN),
		view_age(view_number(w, "age_ms")), ink(p, is_late ? VIEW_RED : VIEW_PLAIN),
		view_age(view_number(w, "heartbeat_age_ms")), ink(p, VIEW_PLAIN),
		ink(p, is_lagging ? VIEW_YELLOW : VIEW_PLAIN), view_latency(view_number(w, "loop_lag_us")),
		ink(p, VIEW_PLAIN), view_count(view_number(w, "connections")), view_count(view_number(w, "streams")),
		view_count(view_number(w, "turns")), requests, pool);
	if (view_find(w, "drain_left_ms") != NULL && view_find(w, "drain_left_ms")->type == JSON_NUMBER)
		buffer_printf(p->out, "leaves within %s\n", view_duration(drain_ms));
	else
		buffer_printf(p->out, "%s\n", view_clean(view_string(w, "last_request.text"), 60));
}

static void write_workers(const struct page *p)
{
	const struct json_value *workers = json_find(p->status, "workers");
	size_t i = 0;

	buffer_printf(p->out, "\n%s%4s %7s %3s %-8s %6s %6s %6s %5s %4s %4s %7s %7s  %s%s\n", ink(p, VIEW_BOLD), "SLOT",
		"PID", "GEN", "STATE", "AGE", "BEAT", "LAG", "CONN", "STRM", "ANSW",
		p->rates != NULL ? "REQ/S" : "REQS", "DB", "LAST REQUEST", ink(p, VIEW_PLAIN));
	for (const struct json_value *w = workers != NULL ? workers->first : NULL; w != NULL; w = w->next, i++)
		write_worker(p, w, p->rates != NULL && i < COUNT_OF(p->rates->workers) ? p->rates->workers[i] : 0);
	if (i == 0)
		buffer_append_string(p->out, "     there is no worker\n");
}

/* ---- what is out of order -------------------------------------------------------------------------------------- */

static void write_breakers(const struct page *p)
{
	const struct json_value *list = json_find(p->status, "breakers");
	bool is_any = false;

	for (const struct json_value *b = list != NULL ? list->first : NULL; b != NULL; b = b->next) {
		if (view_is(b, "state", "closed"))
			continue;
		is_any = true;
		buffer_printf(p->out, "breaker   %s%s%s is %s: %s, %s left\n", ink(p, VIEW_YELLOW),
			view_clean(view_string(b, "model"), 40), ink(p, VIEW_PLAIN),
			view_clean(view_string(b, "state"), 8), view_clean(view_string(b, "reason"), 20),
			view_duration(view_number(b, "left_ms")));
	}
	if (!is_any)
		buffer_printf(
			p->out, "breaker   closed; Gemini %s\n", view_clean(view_string(p->status, "gemini"), 30));
}

static void write_deaths(const struct page *p)
{
	const struct json_value *list = json_find(p->status, "deaths");
	int shown = 0;

	for (const struct json_value *d = list != NULL ? list->first : NULL; d != NULL && shown < DEATHS_SHOWN;
		d = d->next, shown++)
		buffer_printf(p->out,
			"died      %sZ  slot %" PRId64 ", pid %" PRId64 ": %s %s after %s, %" PRId64
			" answers, last request %s\n",
			view_clean(view_string(d, "at"), 19), view_number(d, "slot"), view_number(d, "pid"),
			view_clean(view_string(d, "cause"), 10),
			view_number(d, "signal") > 0 ? view_clean(view_string(d, "signal_name"), 10)
						     : view_count(view_number(d, "exit_code")),
			view_duration(view_number(d, "lived_ms")), view_number(d, "turns"),
			view_clean(view_string(d, "last_request"), 60));
}

static void write_stop(const struct page *p)
{
	const struct json_value *stop = json_find(p->status, "stop");

	if (stop != NULL && stop->type == JSON_OBJECT)
		buffer_printf(p->out, "%sstopping%s  phase %s, %" PRId64 " workers left after %s%s\n",
			ink(p, VIEW_YELLOW), ink(p, VIEW_PLAIN), view_clean(view_string(stop, "phase"), 12),
			view_number(stop, "workers_left"), view_duration(view_number(stop, "elapsed_ms")),
			view_is(stop, "is_fast", "true") ? ", fast" : "");
}

void page_write(const struct json_value *status, const struct page_rates *rates, bool is_coloured, struct buffer *out)
{
	const struct page p = { .status = status, .rates = rates, .is_coloured = is_coloured, .out = out };

	write_title(&p);
	write_stop(&p);
	write_load(&p);
	write_breakers(&p);
	write_restarts(&p);
	write_reloads(&p);
	write_workers(&p);
	if (json_find(status, "deaths") != NULL && json_find(status, "deaths")->count > 0) {
		buffer_append_char(out, '\n');
		write_deaths(&p);
	}
}
