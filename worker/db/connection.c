/* connection.c: the life of one connection: connect without blocking, our settings, reading and writing as the socket allows, ping, loss.
 * Opened, retired and given work by pool.c. It never decides what becomes of queries: pipeline.c does. */
#include "config.h"

#include "worker/db/connection.h"

#include <stdio.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/db/pool.h"

#define PING_TIMEOUT_MS 1000
#define KEYWORDS_MAX    16

static void on_timer(evutil_socket_t fd, short what, void *arg);

void connection_init(struct connection *c, struct db *db, enum connection_kind kind, int index)
{
	*c = (struct connection) { .db = db, .kind = kind, .index = index, .state = CONNECTION_CLOSED };
	c->prepared = must_alloc((SQL_COUNT / 64 + 1) * sizeof *c->prepared);
	c->timer = evtimer_new(db->base, on_timer, c);
	must(c->timer != NULL);
}

static void forget_events(struct connection *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	c->readable = c->writable = NULL;
}

static void close_socket(struct connection *c)
{
	forget_events(c);
	evtimer_del(c->timer);
	address_lookup_cancel(&c->lookup);
	if (c->pg)
		PQfinish(c->pg);
	c->pg = NULL;
	c->state = CONNECTION_CLOSED;
	memset(c->prepared, 0, (SQL_COUNT / 64 + 1) * sizeof *c->prepared);
}

void connection_fini(struct connection *c)
{
	close_socket(c);
	event_free(c->timer);
	free(c->entries);
	free(c->prepared);
}

static void set_timer(struct connection *c, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	evtimer_add(c->timer, &tv);
}

void connection_open_later(struct connection *c, int delay_ms)
{
	must(c->state == CONNECTION_CLOSED);
	set_timer(c, delay_ms);
}

static const char *kind_name(const struct connection *c)
{
	switch (c->kind) {
	case CONNECTION_READER: return "reader";
	case CONNECTION_WRITER: return "writer";
	case CONNECTION_LISTENER: return "listener";
	}
	return "";
}

/* The first line without its end: libpq's messages have several. */
static struct text first_line(const char *message)
{
	struct text t = text_of(message);
	const char *end = t.bytes ? memchr(t.bytes, '\n', t.length) : NULL;
	return end ? text_span(t.bytes, (size_t)(end - t.bytes)) : t;
}

static void fail(struct connection *c, const char *why)
{
	LOG(LOG_WARN, "database connection failed", F_STR("kind", kind_name(c)), F_TEXT("reason", first_line(why)));
	c->host_turn++;
	close_socket(c);
	pipeline_abandon(c);
	pool_on_failed(c);
}

void connection_lose(struct connection *c, const char *why)
{
	if (!connection_is_up(c)) {
		fail(c, why);
		return;
	}
	bool is_planned = c->state == CONNECTION_RETIRING && c->count == 0;
	LOG(is_planned ? LOG_DEBUG : LOG_WARN, "database connection closed", F_STR("kind", kind_name(c)),
		F_TEXT("reason", first_line(why)), F_INT("unanswered", c->load));
	pipeline_abandon(c);
	close_socket(c);
	pool_on_lost(c, is_planned);
}

void connection_push(struct connection *c)
{
	int left = PQflush(c->pg);
	if (left < 0)
		connection_lose(c, PQerrorMessage(c->pg));
	else if (left > 0)
		event_add(c->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	connection_push(arg);
}

/* Everything that was asked of it is answered. */
static void on_idle(struct connection *c)
{
	if (c->state == CONNECTION_SETTING) {
		evtimer_del(c->timer);
		c->state = CONNECTION_READY;
		c->delay_ms = 0;
		c->opened_ms = clock_monotonic_ms();
		pool_on_ready(c);
	} else if (c->state == CONNECTION_PINGING) {
		evtimer_del(c->timer);
		c->state = CONNECTION_READY;
	} else if (c->state == CONNECTION_RETIRING) {
		connection_lose(c, "replaced by a new one");
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	(void)fd, (void)what;
	const char *why = "";
	if (!pipeline_receive(c, &why)) {
		connection_lose(c, why);
		return;
	}
	if (c->kind == CONNECTION_LISTENER)
		listen_receive(c);
	/* Reading may have made room to write. */
	if (event_pending(c->writable, EV_WRITE, NULL))
		connection_push(c);
	if (c->pg == NULL)
		return;
	if (c->count == 0) {
		on_idle(c);
		/* Who looks at the pool later shall not find the last query under way. */
		pool_measure(c->db);
	}
	pool_wake(c->db);
}

static bool send_settings(struct connection *c)
{
	char settings[600];
	snprintf(settings, sizeof settings,
		"SELECT set_config('search_path', 'renovationd', false), set_config('TimeZone', 'UTC', false),"
		" set_config('DateStyle', 'ISO', false), set_config('statement_timeout', '%lld', false),"
		/* every statement is written for its index; planning anew for the values costs more than running it */
		" set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false)",
		(long long)c->db->options->db_wait_timeout_ms);
	if (PQsetnonblocking(c->pg, 1) != 0 || PQenterPipelineMode(c->pg) != 1)
		return false;
	if (!pipeline_send_setting(c, settings))
		return false;
	if (c->kind == CONNECTION_LISTENER && !pipeline_send_setting(c, "LISTEN renovationd"))
		return false;
	return pipeline_sync(c, NULL);
}

static void on_connected(struct connection *c)
{
	forget_events(c);
	c->readable = event_new(c->db->base, PQsocket(c->pg), EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(c->db->base, PQsocket(c->pg), EV_WRITE, on_writable, c);
	must(c->readable != NULL && c->writable != NULL);
	event_add(c->readable, NULL);
	c->state = CONNECTION_SETTING;
	if (!send_settings(c))
		fail(c, PQerrorMessage(c->pg));
	else
		connection_push(c);
}

static void on_connecting(evutil_socket_t fd, short what, void *arg);

/* libpq may change the socket between steps (next address, next host), so the event is made anew each time. */
static void wait_for_socket(struct connection *c, PostgresPollingStatusType next)
{
	forget_events(c);
	if (next == PGRES_POLLING_OK) {
		on_connected(c);
	} else if (next == PGRES_POLLING_FAILED) {
		fail(c, PQerrorMessage(c->pg));
	} else {
		short what = next == PGRES_POLLING_READING ? EV_READ : EV_WRITE;
		c->readable = event_new(c->db->base, PQsocket(c->pg), what, on_connecting, c);
		must(c->readable != NULL);
		event_add(c->readable, NULL);
	}
}

static void on_connecting(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	(void)fd, (void)what;
	wait_for_socket(c, PQconnectPoll(c->pg));
}

struct keywords {
	const char *names[KEYWORDS_MAX];
	const char *values[KEYWORDS_MAX];
	int count;
};

static void keyword(struct keywords *k, const char *name, const char *value)
{
	must(k->count < KEYWORDS_MAX - 1);
	if (value == NULL)
		return;
	k->names[k->count] = name;
	k->values[k->count++] = value;
}

static bool is_given(const PQconninfoOption *given, const char *name)
{
	for (; given->keyword; given++)
		if (strcmp(given->keyword, name) == 0)
			return given->val != NULL;
	return false;
}

/* The operator's conninfo, what it leaves open, and where to go. Later entries win over earlier ones. */
static PGconn *start(const struct connection *c, const PQconninfoOption *given, const struct address *to)
{
	struct keywords k = { .count = 0 };
	keyword(&k, "dbname", c->db->options->database_url);
	keyword(&k, "application_name", "renovationd");
	keyword(&k, "client_encoding", "UTF8");
	keyword(&k, "host", to->hosts);
	keyword(&k, "hostaddr", to->addresses);
	keyword(&k, "port", to->ports);
	if (!is_given(given, "target_session_attrs"))
		keyword(&k, "target_session_attrs", "read-write");
	if (!is_given(given, "keepalives_idle"))
		keyword(&k, "keepalives_idle", "30");
	return PQconnectStartParams(k.names, k.values, 1);
}

static void ignore_notice(void *arg, const char *message)
{
	(void)arg;
	LOG(LOG_DEBUG, "database notice", F_TEXT("text", first_line(message)));
}

static void connect_to(struct connection *c, const PQconninfoOption *given, const struct address *to)
{
	c->pg = start(c, given, to);
	must(c->pg != NULL); /* out of memory */
	PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
	if (PQstatus(c->pg) == CONNECTION_BAD)
		fail(c, PQerrorMessage(c->pg));
	else
		wait_for_socket(c, PGRES_POLLING_WRITING);
}

static void on_address(void *arg, const struct address *found, const char *why)
{
	struct connection *c = arg;
	if (found == NULL) {
		fail(c, why);
		return;
	}
	PQconninfoOption *given = PQconninfoParse(c->db->options->database_url, NULL);
	must(given != NULL); /* db_open has parsed it */
	connect_to(c, given, found);
	PQconninfoFree(given);
}

void connection_dial(struct connection *c)
{
	must(c->state == CONNECTION_CLOSED && c->pg == NULL);
	c->state = CONNECTION_CONNECTING;
	set_timer(c, c->db->options->db_connect_timeout_ms);
	address_lookup_cancel(&c->lookup);
	PQconninfoOption *given = PQconninfoParse(c->db->options->database_url, NULL);
	must(given != NULL); /* db_open has parsed it */
	struct address to;
	address_init(&to, given, c->host_turn);
	if (address_has_names(&to))
		c->lookup = address_lookup_start(c->db->base, &to, on_address, c);
	else
		connect_to(c, given, &to);
	address_fini(&to);
	PQconninfoFree(given);
}

void connection_ping(struct connection *c)
{
	c->state = CONNECTION_PINGING;
	set_timer(c, PING_TIMEOUT_MS);
	if (!pipeline_sync(c, NULL))
		connection_lose(c, PQerrorMessage(c->pg));
	else
		connection_push(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	(void)fd, (void)what;
	switch (c->state) {
	case CONNECTION_CLOSED: connection_dial(c); break;
	case CONNECTION_CONNECTING:
	case CONNECTION_SETTING: fail(c, "no answer in db_connect_timeout_ms"); break;
	case CONNECTION_PINGING: connection_lose(c, "no answer to a ping"); break;
	case CONNECTION_READY:
	case CONNECTION_RETIRING: break;
	}
}
