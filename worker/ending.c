/* ending.c: what a worker closes when it leaves, other than chat's part: HTTP, the database, transfers from the model, log lines, each registered with the
 * shutdown coordinator with its deadlines. Called by main.c. Decides nothing about when: that is shutdown.c's. */
#include "config.h"
#include "worker/ending.h"

#include <stdio.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/log.h"
#include "worker/chat/chat.h"
#include "worker/db/db.h"
#include "worker/gemini/provider.h"
#include "worker/http/server.h"
#include "worker/shutdown.h"

#define HTTP_LATE_MS 15000 /* what connections of a drain get after its streams have had their time */

static bool has_listener = true;   /* our copy of the listening socket is open */
static bool is_drained;            /* http was asked to close */
static struct event *cancel_timer; /* asks PostgreSQL to cancel what still runs late in a stop; NULL before */

static void http_drained(void *arg)
{
	struct worker *w = arg;

	chat_clients_gone(w->chat);
	shutdown_done(w->shutdown, "http", SHUTDOWN_DONE, "");
}

static void close_http(void *arg, bool is_stop)
{
	struct worker *w = arg;

	http_stop_accepting(w->http, true);
	/* Until the last copy is closed the kernel goes on taking connections for nobody. */
	if (has_listener)
		(void)close(INHERIT_LISTENER);
	has_listener = false;
	/* Asked again without a stop, the drain is to end soon. */
	if (is_drained && !is_stop)
		http_drain_sooner(w->http);
	else
		http_drain(w->http, is_stop, http_drained, w);
	is_drained = true;
}

static int cut_http(void *arg, int *lost_out)
{
	struct worker *w = arg;

	(void)lost_out;
	return http_cut(w->http);
}

static void database_drained(void *arg)
{
	struct worker *w = arg;

	if (cancel_timer != NULL)
		(void)event_del(cancel_timer);
	shutdown_done(w->shutdown, "database", SHUTDOWN_DONE, "");
}

/* A query that hangs on another's lock ends by asking PostgreSQL, while there is time to hear its answer. */
static void on_cancel_time(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	int cancelled = db_cancel_all(w->db);

	(void)fd;
	(void)what;
	LOG(LOG_WARN, "queries cancelled", F_INT("queries", cancelled));
}

static void close_database(void *arg, bool is_stop)
{
	struct worker *w = arg;
	int64_t cancel_ms = w->options.shutdown_database_ms * 4 / 5;
	struct timeval delay = { .tv_sec = cancel_ms / 1000, .tv_usec = cancel_ms % 1000 * 1000 };

	(void)is_stop;
	if (cancel_timer == NULL && (cancel_timer = evtimer_new(w->base, on_cancel_time, w)) != NULL)
		(void)event_add(cancel_timer, &delay);
	db_drain(w->db, database_drained, w);
}

static int cut_database(void *arg, int *lost_out)
{
	struct worker *w = arg;

	if (w->chat != NULL)
		*lost_out = chat_take_unstored(w->chat);
	return db_cancel_all(w->db);
}

static void close_gemini(void *arg, bool is_stop)
{
	struct worker *w = arg;
	char detail[64];

	(void)is_stop;
	(void)snprintf(detail, sizeof detail, "%zu transfers ended", provider_active(w->provider));
	provider_close(&w->provider);
	shutdown_done(w->shutdown, "gemini", SHUTDOWN_DONE, detail);
}

static void close_logs(void *arg, bool is_stop)
{
	struct worker *w = arg;

	(void)is_stop;
	log_flush();
	shutdown_done(w->shutdown, "logs", log_dropped() ? SHUTDOWN_ERROR : SHUTDOWN_DONE,
		log_dropped() ? "lines were dropped" : "");
}

/* Idle connections leave after drain_timeout_ms; those with a stream when it has moved. */
static int64_t http_drain_ms(const struct options *o)
{
	int64_t streams_ms = o->drain_streams_ms + HTTP_LATE_MS, idle_ms = o->drain_timeout_ms + HTTP_LATE_MS;

	return streams_ms > idle_ms ? streams_ms : idle_ms;
}

void ending_register(struct worker *w)
{
	const struct shutdown_resource resources[] = {
		{ .name = "http", .phase = SHUTDOWN_SOCKETS, .close = close_http, .cut = cut_http, .arg = w },
		{ .name = "database",
			.phase = SHUTDOWN_DATABASE,
			.close = close_database,
			.cut = cut_database,
			.arg = w },
		{ .name = "gemini", .phase = SHUTDOWN_CLIENTS, .close = close_gemini, .arg = w },
		{ .name = "logs", .phase = SHUTDOWN_LOGS, .close = close_logs, .arg = w },
	};

	for (size_t i = 0; i < COUNT_OF(resources); i++)
		shutdown_register(w->shutdown, &resources[i]);
	ending_options_changed(w);
}

void ending_options_changed(struct worker *w)
{
	const struct options *o = &w->options;

	shutdown_set_deadlines(w->shutdown, "http", o->shutdown_http_ms, http_drain_ms(o));
	shutdown_set_deadlines(w->shutdown, "database", o->shutdown_database_ms, 0);
	shutdown_set_deadlines(w->shutdown, "gemini", o->shutdown_gemini_ms, 0);
	shutdown_set_deadlines(w->shutdown, "logs", o->shutdown_logs_ms, 0);
}

void ending_close(void)
{
	if (cancel_timer != NULL)
		event_free(cancel_timer);
	cancel_timer = NULL;
}
