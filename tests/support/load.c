/* load.c: see load.h. Each client is one connection and walks from request to request: an owner, a session, then what it is for. Used by the tests of
 * reload and upgrade and by the benchmark; asserts nothing itself. */
#include "config.h"
#include "tests/support/load.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/must.h"
#include "tests/support/wire.h"

#define SAMPLES_MAX 200000
#define START_MS    500 /* clients begin within this time */

enum kind { READER, WRITER, STREAMER, IDLER };

enum step {
	STEP_OWNER,   /* POST /api/anonymous */
	STEP_SESSION, /* POST /api/sessions */
	STEP_WORK,    /* reader, idler: GET; writer: POST; streamer: the question */
	STEP_FOLLOW   /* streamer: back to the answer */
};

struct peer {
	struct load *load;
	struct peer *next;
	enum kind kind;
	enum step step;
	int number;
	long turn_number; /* requests of its work so far */
	struct wire wire;
	struct event timer; /* the next request */
	int64_t asked_us;
	struct buffer body;    /* of the answer; of a stream: what is no whole event yet */
	char token[128];       /* owner's */
	char session[40];      /* id */
	char conversation[40]; /* id */
	char turn[40];         /* id; "" before the first event */
	long last;             /* number of the last event */
	struct buffer text;    /* of the answer */
	int retry_ms;          /* -1: not told to come back */
	bool is_done;          /* [DONE] was seen */
};

struct load {
	struct load_plan plan;
	struct event_base *base;
	struct peer *peers;
	bool is_ending; /* nothing new is asked */
	struct load_report report;
	uint32_t *samples; /* microseconds */
	long sample_count;
	int64_t last_us; /* when a request was last answered */
	struct load_answer *answers;
	long answer_count;
};

static void peer_ask(struct peer *p);

static void fail(struct peer *p, const char *what)
{
	static const char *const kinds[] = { "reader", "writer", "stream", "idle" };
	struct load_report *r = &p->load->report;
	size_t used = strlen(r->failures);

	r->failed++;
	(void)snprintf(r->failures + used, sizeof r->failures - used, "%s %d step %d request %ld status %d: %.200s\n",
		kinds[p->kind], p->number, (int)p->step, p->turn_number, p->wire.status, what);
}

static void ask_in(struct peer *p, int ms)
{
	struct timeval wait = { ms / 1000, ms % 1000 * 1000 };

	must(event_add(&p->timer, &wait) == 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	/* An answer that was begun is followed to its end. */
	if (!p->load->is_ending || p->step == STEP_FOLLOW)
		peer_ask(p);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static void send_request(struct peer *p, const char *method, const char *path, const char *fields, const char *body)
{
	struct buffer request;

	buffer_init(&request);
	buffer_printf(&request, "%s %s HTTP/1.1\r\nHost: load.test\r\n%s", method, path, fields);
	if (p->token[0] != '\0')
		buffer_printf(&request, "X-Owner-Token: %s\r\n", p->token);
	if (body != NULL)
		buffer_printf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
			body);
	else
		buffer_append_string(&request, "\r\n");
	buffer_clear(&p->body);
	p->asked_us = clock_monotonic_us();
	wire_ask(&p->wire, buffer_text(&request));
	buffer_fini(&request);
}

static void ask_work(struct peer *p)
{
	char path[128], body[1024];

	p->turn_number++;
	switch (p->kind) {
	case IDLER:
	case READER:
		(void)snprintf(path, sizeof path, "/api/sessions/%s", p->session);
		send_request(p, "GET", path, "", NULL);
		return;
	case WRITER:
		(void)snprintf(body, sizeof body, "{\"title\":\"load %d %ld\"}", p->number, p->turn_number);
		send_request(p, "POST", p->turn_number % 4 == 0 ? "/api/sessions" : "/api/tasks", "", body);
		return;
	case STREAMER:
		p->turn[0] = '\0';
		p->last = 0;
		p->is_done = false;
		p->retry_ms = -1;
		buffer_clear(&p->text);
		(void)snprintf(path, sizeof path, "/api/conversations/%s/messages", p->conversation);
		(void)snprintf(body, sizeof body, "{\"content\":\"%s\"}", p->load->plan.question);
		send_request(p, "POST", path, "Accept: text/event-stream\r\n", body);
		return;
	}
}

static void peer_ask(struct peer *p)
{
	char path[128], fields[128] = "Accept: text/event-stream\r\n";

	switch (p->step) {
	case STEP_OWNER: send_request(p, "POST", "/api/anonymous", "", "{}"); return;
	case STEP_SESSION: send_request(p, "POST", "/api/sessions", "", "{\"title\":\"a load\"}"); return;
	case STEP_WORK: ask_work(p); return;
	case STEP_FOLLOW:
		p->retry_ms = -1;
		(void)snprintf(path, sizeof path, "/api/turns/%s/stream", p->turn);
		if (p->last > 0)
			(void)snprintf(fields, sizeof fields, "Accept: text/event-stream\r\nLast-Event-ID: %s.%ld\r\n",
				p->turn, p->last);
		send_request(p, "GET", path, fields, NULL);
		return;
	}
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void keep_answer(struct peer *p)
{
	struct load *l = p->load;
	struct load_answer *a;

	l->answers = must_realloc(l->answers, (size_t)(l->answer_count + 1) * sizeof *l->answers);
	a = &l->answers[l->answer_count++];
	(void)snprintf(a->turn, sizeof a->turn, "%s", p->turn);
	a->text = must_strndup(buffer_text(&p->text).bytes, buffer_length(&p->text));
	a->events = p->last;
	l->report.answers++;
}

static void take_number(struct peer *p, const char *id)
{
	const char *dot = strchr(id, '.');
	long n = dot != NULL ? strtol(dot + 1, NULL, 10) : -1;
	char what[120];

	if (n == p->last + 1 && (p->turn[0] == '\0' || strncmp(p->turn, id, strlen(p->turn)) == 0)) {
		(void)snprintf(p->turn, sizeof p->turn, "%.*s", (int)(dot - id), id);
		p->last = n;
		return;
	}
	(void)snprintf(what, sizeof what, "event %.60s after number %ld", id, p->last);
	fail(p, what);
	p->last = n;
}

static void take_part(struct peer *p, const char *data)
{
	struct json_object *part = json_tokener_parse(data), *type = NULL, *delta = NULL;

	if (part == NULL || !json_object_object_get_ex(part, "type", &type))
		fail(p, "an event is no part");
	else if (strcmp(json_object_get_string(type), "data-rewind") == 0)
		fail(p, "told to rewind");
	else if (strcmp(json_object_get_string(type), "error") == 0)
		fail(p, data);
	else if (strcmp(json_object_get_string(type), "text-delta") == 0 &&
		 json_object_object_get_ex(part, "delta", &delta))
		buffer_append_string(&p->text, json_object_get_string(delta));
	json_object_put(part);
}

/* One event, its lines ended by newlines. */
static void take_event(struct peer *p, char *event)
{
	char *line, *data = NULL;

	while ((line = strsep(&event, "\n")) != NULL) {
		if (strncmp(line, "id: ", 4) == 0)
			take_number(p, line + 4);
		else if (strncmp(line, "retry: ", 7) == 0)
			p->retry_ms = (int)strtol(line + 7, NULL, 10);
		else if (strncmp(line, "data: ", 6) == 0)
			data = line + 6;
	}
	if (data != NULL && strcmp(data, "[DONE]") == 0)
		p->is_done = true;
	else if (data != NULL)
		take_part(p, data);
}

static void on_body(void *arg, struct text bytes)
{
	struct peer *p = arg;
	bool is_stream = p->kind == STREAMER && p->step >= STEP_WORK && p->wire.status == 200;

	buffer_append_text(&p->body, bytes);
	while (is_stream) {
		struct text in = buffer_text(&p->body);
		const char *stop = in.length > 0 ? memmem(in.bytes, in.length, "\n\n", 2) : NULL;
		char *event;

		if (stop == NULL)
			return;
		event = must_strndup(in.bytes, (size_t)(stop - in.bytes));
		take_event(p, event);
		free(event);
		buffer_consume(&p->body, (size_t)(stop - in.bytes) + 2);
	}
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void measure(struct peer *p)
{
	struct load *l = p->load;
	int64_t now_us = clock_monotonic_us();

	if (l->last_us != 0 && now_us - l->last_us > l->report.gap_us)
		l->report.gap_us = (long)(now_us - l->last_us);
	l->last_us = now_us;
	if (l->sample_count < SAMPLES_MAX)
		l->samples[l->sample_count++] = (uint32_t)(now_us - p->asked_us);
}

static void take_text(struct json_object *body, const char *name, char *out, size_t size)
{
	struct json_object *value = NULL;

	if (json_object_object_get_ex(body, name, &value))
		(void)snprintf(out, size, "%s", json_object_get_string(value));
}

static void on_prepared(struct peer *p)
{
	struct json_object *body;

	buffer_append_char(&p->body, '\0');
	body = json_tokener_parse(buffer_text(&p->body).bytes);
	if (body == NULL) {
		fail(p, "no JSON");
		return;
	}
	if (p->step == STEP_OWNER) {
		take_text(body, "ownerToken", p->token, sizeof p->token);
	} else {
		take_text(body, "id", p->session, sizeof p->session);
		take_text(body, "conversationId", p->conversation, sizeof p->conversation);
	}
	p->step++;
	json_object_put(body);
	ask_in(p, 0);
}

/* 204: nothing was left after our last event. */
static void on_streamed(struct peer *p, const char *problem)
{
	struct load_report *r = &p->load->report;

	if (p->is_done || p->wire.status == 204) {
		keep_answer(p);
		p->step = STEP_WORK;
		ask_in(p, p->load->plan.pause_ms);
		return;
	}
	if (p->wire.status != 200)
		fail(p, problem != NULL ? problem : "a stream was refused");
	else if (p->retry_ms < 0)
		fail(p, problem != NULL ? problem : "a stream ended without a word");
	else
		r->reconnects++;
	if (p->turn[0] != '\0')
		p->step = STEP_FOLLOW;
	ask_in(p, p->retry_ms >= 0 ? p->retry_ms : 100);
}

static void on_end(void *arg, const char *problem)
{
	struct peer *p = arg;
	struct load_report *r = &p->load->report;
	bool is_good = problem == NULL && p->wire.status / 100 == 2;

	r->requests += is_good;
	if (p->kind == STREAMER && p->step >= STEP_WORK) {
		on_streamed(p, problem);
		return;
	}
	if (!is_good) {
		buffer_append_char(&p->body, '\0');
		fail(p, problem != NULL ? problem : buffer_text(&p->body).bytes);
		ask_in(p, 100);
		return;
	}
	if (p->step < STEP_WORK) {
		on_prepared(p);
		if (p->kind == STREAMER && p->step == STEP_WORK)
			ask_in(p, p->number * 37 % START_MS);
		return;
	}
	if (p->kind != IDLER)
		measure(p);
	if (p->kind == WRITER)
		*(p->turn_number % 4 == 0 ? &r->sessions : &r->tasks) += 1;
	ask_in(p, p->kind == IDLER ? p->load->plan.idle_ms : p->load->plan.pause_ms);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static void add_peers(struct load *l, enum kind kind, int count)
{
	for (int i = 0; i < count; i++) {
		struct peer *p = must_alloc(sizeof *p);

		p->load = l;
		p->next = l->peers;
		l->peers = p;
		p->kind = kind;
		p->number = i;
		p->retry_ms = -1;
		wire_init(&p->wire, l->base, l->plan.port);
		p->wire.on_body = on_body;
		p->wire.on_end = on_end;
		p->wire.arg = p;
		must(evtimer_assign(&p->timer, l->base, on_timer, p) == 0);
		buffer_init(&p->body);
		buffer_init(&p->text);
		ask_in(p, i * START_MS / count);
	}
}

struct load *load_start(const struct load_plan *plan)
{
	struct load *l = must_alloc(sizeof *l);

	l->plan = *plan;
	l->base = event_base_new();
	must(l->base != NULL);
	l->samples = must_alloc(SAMPLES_MAX * sizeof *l->samples);
	add_peers(l, READER, plan->readers);
	add_peers(l, WRITER, plan->writers);
	add_peers(l, STREAMER, plan->streams);
	add_peers(l, IDLER, plan->idlers);
	return l;
}

void load_run(struct load *l, int ms)
{
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };

	(void)event_base_loopexit(l->base, &limit);
	(void)event_base_dispatch(l->base);
}

bool load_run_until(struct load *l, bool (*condition)(void *arg), void *arg, int timeout_ms)
{
	int64_t give_up_ms = clock_monotonic_ms() + timeout_ms;

	while (!condition(arg)) {
		if (clock_monotonic_ms() > give_up_ms)
			return false;
		load_run(l, 20);
	}
	return true;
}

static bool is_quiet(void *arg)
{
	const struct load *l = arg;

	for (const struct peer *p = l->peers; p != NULL; p = p->next)
		if (p->wire.is_asking || (p->step == STEP_FOLLOW && p->kind == STREAMER))
			return false;
	return true;
}

bool load_finish(struct load *l, int timeout_ms)
{
	l->is_ending = true;
	return load_run_until(l, is_quiet, l, timeout_ms);
}

void load_mark(struct load *l)
{
	l->sample_count = 0;
	l->report.gap_us = 0;
	l->last_us = clock_monotonic_us();
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

struct load_report load_report(struct load *l)
{
	struct load_report r = l->report;

	qsort(l->samples, (size_t)l->sample_count, sizeof *l->samples, compare);
	r.measured = l->sample_count;
	if (l->sample_count > 0) {
		r.p50_us = l->samples[l->sample_count / 2];
		r.p99_us = l->samples[(l->sample_count - 1) * 99 / 100];
	}
	r.asking = r.unasked_ends = 0;
	for (const struct peer *p = l->peers; p != NULL; p = p->next) {
		r.unasked_ends += p->wire.unasked_ends;
		r.asking += p->kind == STREAMER && p->wire.is_asking && p->wire.status == 200;
	}
	return r;
}

const struct load_answer *load_answers(const struct load *l, long *count_out)
{
	*count_out = l->answer_count;
	return l->answers;
}

void load_end(struct load **load)
{
	struct load *l = *load;

	for (struct peer *next, *p = l->peers; p != NULL; p = next) {
		next = p->next;
		(void)event_del(&p->timer);
		wire_fini(&p->wire);
		buffer_fini(&p->body);
		buffer_fini(&p->text);
		free(p);
	}
	for (long i = 0; i < l->answer_count; i++)
		free(l->answers[i].text);
	free(l->answers);
	free(l->samples);
	event_base_free(l->base);
	free(l);
	*load = NULL;
}
