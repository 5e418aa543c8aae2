/* engine.c: libcurl's multi interface driven by libevent: its sockets and its timer are events of ours. Called by transfer.c (handles) and
 * provider.c (open, close). It knows exchanges only as what transfer_settle looks after; idle connections are libcurl's own business. */
#include "config.h"
#include "worker/gemini/engine.h"

#include <event2/event_struct.h>

#include "worker/gemini/transfer.h"
#include "worker/gemini/url.h"

#define CONNECTIONS_MAX 256  /* idle connections that libcurl keeps */
#define STREAMS_MAX     1000 /* on one HTTP/2 connection, if the peer allows as many */

/* One socket of libcurl's. */
struct watch {
	struct event event;    /* persistent */
	struct engine *engine; /* back */
	struct watch *next;    /* in free_watch */
	short interest;        /* EV_READ, EV_WRITE as now registered */
};

static int global_count;

enum error engine_global_open(void)
{
	if (global_count == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return ERROR_SYSTEM;
	global_count++;
	return ERROR_NONE;
}

void engine_global_close(void)
{
	must(global_count > 0);
	if (--global_count == 0)
		curl_global_cleanup();
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	struct engine *engine = watch->engine;
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running = 0;

	engine->is_inside = true;
	must(curl_multi_socket_action(engine->multi, fd, mask, &running) == CURLM_OK);
	engine->is_inside = false;
	transfer_settle(engine);
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
	transfer_settle(engine);
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
	enum error e = engine_global_open();

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
	engine_global_close();
}

void engine_prepare(CURL *easy, const char *base_url)
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

/* What never differs between two exchanges is set once in the life of a handle. */
CURL *engine_take(struct engine *engine)
{
	if (engine->idle_count > 0)
		return engine->idle[--engine->idle_count];

	CURL *easy = curl_easy_init();

	must(easy != NULL);
	engine_prepare(easy, engine->base_url);
	return easy;
}

void engine_give(struct engine *engine, CURL *easy)
{
	if (engine->idle_count < ENGINE_IDLE_MAX)
		engine->idle[engine->idle_count++] = easy;
	else
		curl_easy_cleanup(easy);
}
