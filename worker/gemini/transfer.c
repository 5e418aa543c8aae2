/* transfer.c: libcurl's multi interface driven by libevent: its sockets and its timer are events of ours, finished exchanges are reported
 * from the loop. The clocks of an exchange are one lazy timer: a byte only writes down when it came. Called by provider.c.
 * It does not look into bodies and keeps no connection alive on purpose; libcurl's cache does. */
#include "config.h"
#include "worker/gemini/transfer.h"

#include <curl/curl.h>
#include <event2/event_struct.h>

#include "shared/clock.h"
#include "worker/gemini/url.h"

#define IDLE_MAX        64   /* easy handles kept for the next exchange */
#define CONNECTIONS_MAX 256  /* idle connections that libcurl keeps */
#define STREAMS_MAX     1000 /* on one HTTP/2 connection, if the peer allows as many */

struct engine {
	struct event_base *base;  /* borrowed */
	CURLM *multi;             /* owned */
	struct event *timer;      /* libcurl's; owned */
	char *base_url;           /* where all exchanges go; owned */
	bool is_inside;           /* libcurl is on the stack: no handle may be added or removed */
	CURL *idle[IDLE_MAX];     /* owned, options set */
	size_t idle_count;        /* of them */
	struct transfer *doomed;  /* cancelled while libcurl was on the stack */
	struct watch *free_watch; /* unused socket events */
};

/* One socket of libcurl's. */
struct watch {
	struct event event;    /* persistent */
	struct engine *engine; /* back */
	struct watch *next;    /* in free_watch */
	short interest;        /* EV_READ, EV_WRITE as now registered */
};

struct transfer {
	struct engine *engine;     /* back */
	CURL *easy;                /* owned */
	struct transfer_spec spec; /* url unset: libcurl has its copy */
	struct event clock;        /* the nearest deadline when it was set */
	int64_t started_ms;        /* monotonic */
	int64_t last_byte_ms;      /* monotonic; 0 = no byte of a body yet */
	int status;                /* HTTP, 0 = not known yet */
	bool is_paused;            /* on_bytes said so */
	bool is_stopped;           /* on_bytes wants no more, or it was cancelled from inside */
	struct transfer *next;     /* in doomed */
};

static int global_count;

enum error transfer_global_open(void)
{
	if (global_count == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return ERROR_SYSTEM;
	global_count++;
	return ERROR_NONE;
}

void transfer_global_close(void)
{
	must(global_count > 0);
	if (--global_count == 0)
		curl_global_cleanup();
}

static void engine_settle(struct engine *engine);

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	struct engine *engine = watch->engine;
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running = 0;

	engine->is_inside = true;
	must(curl_multi_socket_action(engine->multi, fd, mask, &running) == CURLM_OK);
	engine->is_inside = false;
	engine_settle(engine);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct engine *engine = arg;
	int running = 0;

	(void)fd;
	(void)what;
	engine->is_inside = true;
	must(curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK);
	engine->is_inside = false;
	engine_settle(engine);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct engine *engine = arg;
	struct timeval wait = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	(void)multi;
	if (timeout_ms < 0)
		(void)event_del(engine->timer);
	else
		(void)event_add(engine->timer, &wait);
	return 0;
}

static struct watch *take_watch(struct engine *engine)
{
	struct watch *watch = engine->free_watch;

	if (watch == NULL)
		return must_alloc(sizeof *watch);
	engine->free_watch = watch->next;
	return watch;
}

static int set_socket(CURL *easy, curl_socket_t fd, int action, void *arg, void *known)
{
	struct engine *engine = arg;
	struct watch *watch = known;
	short interest = (short)((action & CURL_POLL_IN ? EV_READ : 0) | (action & CURL_POLL_OUT ? EV_WRITE : 0));

	(void)easy;
	if (action == CURL_POLL_REMOVE) {
		if (watch != NULL) {
			(void)event_del(&watch->event);
			(void)curl_multi_assign(engine->multi, fd, NULL);
			watch->next = engine->free_watch;
			engine->free_watch = watch;
		}
		return 0;
	}
	if (watch == NULL) {
		watch = take_watch(engine);
		watch->engine = engine;
		(void)curl_multi_assign(engine->multi, fd, watch);
	} else if (watch->interest == interest) {
		return 0;
	} else {
		(void)event_del(&watch->event);
	}
	watch->interest = interest;
	must(event_assign(&watch->event, engine->base, fd, (short)(interest | EV_PERSIST), on_socket, watch) == 0);
	if (interest != 0)
		must(event_add(&watch->event, NULL) == 0);
	return 0;
}

enum error engine_open(struct event_base *base, const char *base_url, struct engine **engine_out)
{
	enum error e = transfer_global_open();

	if (e != ERROR_NONE)
		return e;

	struct engine *engine = must_alloc(sizeof *engine);

	engine->base = base;
	engine->base_url = must_strdup(base_url);
	engine->multi = curl_multi_init();
	engine->timer = event_new(base, -1, 0, on_timer, engine);
	must(engine->multi != NULL && engine->timer != NULL);
	curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
	curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
	curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
	curl_multi_setopt(engine->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_MAX);
	*engine_out = engine;
	return ERROR_NONE;
}

void engine_close(struct engine **engine)
{
	struct engine *e = *engine;

	if (e == NULL)
		return;
	must(!e->is_inside && e->doomed == NULL);
	while (e->idle_count > 0)
		curl_easy_cleanup(e->idle[--e->idle_count]);
	(void)curl_multi_cleanup(e->multi);
	while (e->free_watch != NULL) {
		struct watch *next = e->free_watch->next;

		free(e->free_watch);
		e->free_watch = next;
	}
	event_free(e->timer);
	free(e->base_url);
	free(e);
	*engine = NULL;
	transfer_global_close();
}

/* ---- one exchange ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t length = size * count;

	if (t->is_stopped)
		return CURL_WRITEFUNC_ERROR;
	t->last_byte_ms = clock_monotonic_ms();
	if (t->status == 0) {
		long status = 0;

		(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->status = (int)status;
	}
	switch (t->spec.on_bytes(t->spec.arg, t->status, text_span(bytes, length))) {
	case TRANSFER_TAKEN: break;
	case TRANSFER_PAUSE: t->is_paused = true; return CURL_WRITEFUNC_PAUSE;
	case TRANSFER_STOP: t->is_stopped = true; break;
	}
	return t->is_stopped ? CURL_WRITEFUNC_ERROR : length;
}

/* What never differs between two exchanges is set once in the life of a handle. */
static CURL *take_easy(struct engine *engine)
{
	if (engine->idle_count > 0)
		return engine->idle[--engine->idle_count];

	CURL *easy = curl_easy_init();

	must(easy != NULL);
	transfer_prepare(easy, engine->base_url);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	return easy;
}

void transfer_prepare(void *easy, const char *base_url)
{
	bool is_https = url_is_https(base_url), is_loopback = url_is_loopback(base_url);

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_loopback && !is_https ? "http" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "renovationd/" PACKAGE_VERSION);
	/* Waiting for a connection to share is for HTTP/2 only: in clear text libcurl would hold the second call back until the first
	 * has its answer's header, which is as long as the model thinks. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)(is_https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, is_https ? 1L : 0L);
	if (is_loopback)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

/* When the nearest clock runs out, monotonic ms. The clock between bytes stands still while we are the ones who do not read. */
static int64_t next_deadline(struct transfer *t)
{
	int64_t whole = t->started_ms + t->spec.whole_ms;
	int64_t near = t->started_ms + t->spec.first_byte_ms;
	int64_t heard_ms = t->last_byte_ms;

	if (t->is_paused)
		return whole;
	if (heard_ms == 0) {
		curl_off_t header_us = 0;

		(void)curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &header_us);
		if (header_us != 0)
			heard_ms = t->started_ms + (int64_t)header_us / 1000;
	}
	if (heard_ms != 0)
		near = t->spec.between_bytes_ms > 0 ? heard_ms + t->spec.between_bytes_ms : whole;
	return near < whole ? near : whole;
}

static void set_clock(struct transfer *t, int64_t at_ms, int64_t now_ms)
{
	int64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
	struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };

	(void)event_add(&t->clock, &wait);
}

static void transfer_free(struct transfer *t)
{
	struct engine *engine = t->engine;

	(void)event_del(&t->clock);
	must(curl_multi_remove_handle(engine->multi, t->easy) == CURLM_OK);
	if (engine->idle_count < IDLE_MAX)
		engine->idle[engine->idle_count++] = t->easy;
	else
		curl_easy_cleanup(t->easy);
	free(t);
}

static struct text find_header(CURL *easy, const char *name)
{
	struct curl_header *header = NULL;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return TEXT_NONE;
	return text_of(header->value);
}

static enum transfer_result result_of(const struct transfer *t, CURLcode code)
{
	if (t->is_stopped)
		return TRANSFER_STOPPED;
	if (code == CURLE_OK)
		return TRANSFER_COMPLETE;
	if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT)
		return TRANSFER_UNREACHABLE;
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
		code == CURLE_SSL_CACERT_BADFILE)
		return TRANSFER_UNTRUSTED;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return TRANSFER_TIMED_OUT;
	return TRANSFER_LOST;
}

static void finish(struct transfer *t, enum transfer_result result)
{
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);

	struct transfer_end end = { .result = result,
		.status = (int)status,
		.retry_after = find_header(t->easy, "Retry-After"),
		.server = find_header(t->easy, "Server") };

	t->spec.on_end(t->spec.arg, &end);
	transfer_free(t);
}

static void on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct transfer *t = arg;
	int64_t now_ms = clock_monotonic_ms(), deadline_ms = next_deadline(t);

	(void)fd;
	(void)what;
	if (now_ms < deadline_ms)
		set_clock(t, deadline_ms, now_ms);
	else
		finish(t, TRANSFER_TIMED_OUT);
}

/* After libcurl ran: what was cancelled meanwhile is removed, what has ended is reported. */
static void engine_settle(struct engine *engine)
{
	CURLMsg *message;
	int left = 0;

	while (engine->doomed != NULL) {
		struct transfer *t = engine->doomed;

		engine->doomed = t->next;
		transfer_free(t);
	}
	while ((message = curl_multi_info_read(engine->multi, &left)) != NULL) {
		struct transfer *t = NULL;
		CURLcode code = message->data.result;

		must(message->msg == CURLMSG_DONE);
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(t, result_of(t, code));
	}
}

struct transfer *transfer_start(struct engine *engine, const struct transfer_spec *spec)
{
	struct transfer *t = must_alloc(sizeof *t);

	must(!engine->is_inside);
	t->engine = engine;
	t->spec = *spec;
	t->spec.url = NULL;
	t->easy = take_easy(engine);
	t->started_ms = clock_monotonic_ms();
	must(curl_easy_setopt(t->easy, CURLOPT_URL, spec->url) == CURLE_OK);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, spec->headers);
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_ms);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	if (spec->body.bytes == NULL) {
		curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
	} else {
		curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, spec->body.bytes);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.length);
	}
	must(event_assign(&t->clock, engine->base, -1, 0, on_clock, t) == 0);

	int64_t first_ms = spec->first_byte_ms;

	if (spec->between_bytes_ms > 0 && spec->between_bytes_ms < first_ms)
		first_ms = spec->between_bytes_ms; /* the header may come at once and then nothing */
	set_clock(t, t->started_ms + (first_ms < spec->whole_ms ? first_ms : spec->whole_ms), t->started_ms);
	must(curl_multi_add_handle(engine->multi, t->easy) == CURLM_OK);
	return t;
}

void transfer_resume(struct transfer *t)
{
	struct engine *engine = t->engine;

	must(!engine->is_inside);
	if (!t->is_paused)
		return;
	t->is_paused = false;
	t->last_byte_ms = clock_monotonic_ms();
	/* The clock may have been set for the end of the attempt meanwhile. */
	set_clock(t, next_deadline(t), t->last_byte_ms);
	engine->is_inside = true;
	(void)curl_easy_pause(t->easy, CURLPAUSE_CONT);
	engine->is_inside = false;
	engine_settle(engine);
}

bool transfer_is_sent(const struct transfer *t)
{
	curl_off_t sent = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return (size_t)sent >= t->spec.body.length;
}

void transfer_cancel(struct transfer **transfer)
{
	struct transfer *t = *transfer;

	if (t == NULL)
		return;
	*transfer = NULL;
	if (!t->engine->is_inside) {
		transfer_free(t);
		return;
	}
	t->is_stopped = true; /* on_body gives libcurl an error from now on */
	(void)event_del(&t->clock);
	t->next = t->engine->doomed;
	t->engine->doomed = t;
}
