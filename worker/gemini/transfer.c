/* transfer.c: one exchange from start to end, pause and cancel included; the end is reported from the loop. Its clocks are one lazy timer:
 * a byte only writes down when it came. Called by call.c and learn.c, settled by engine.c. It does not look into bodies. */
#include "config.h"
#include "worker/gemini/transfer.h"

#include <curl/curl.h>
#include <event2/event_struct.h>

#include "shared/clock.h"
#include "worker/gemini/engine.h"

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
	engine_give(engine, t->easy);
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

void transfer_settle(struct engine *engine)
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
	t->easy = engine_take(engine);
	t->started_ms = clock_monotonic_ms();
	must(curl_easy_setopt(t->easy, CURLOPT_URL, spec->url) == CURLE_OK);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, spec->headers);
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_ms);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
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
	transfer_settle(engine);
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
