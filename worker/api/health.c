/* health.c: /health, /health/live and /health/ready. Named by routes.c.
 * /health is the same bytes for a second. /health/ready is answered from one probe of the database, at most a second old: who asks while it runs
 * waits for it, and it never waits longer than PROBE_TIMEOUT. It changes nothing and closes nothing: that is the supervisor's. */
#include "config.h"
#include "worker/api/health.h"

#include "shared/clock.h"
#include "shared/json.h"
#include "worker/db/db.h"
#include "worker/db/migrations.h"
#include "worker/gemini/provider.h"
#include "worker/http/response.h"

#define FRESH_MS      1000 /* how old a probe's result may be */
#define TIMEOUT_MS    800  /* the database must answer within */
#define WAITING_MAX   1024 /* requests that may wait for one probe */
#define RETRY_AFTER_S 1

struct health {
	struct worker *worker;                /* borrowed */
	struct event *second;                 /* each second: new bytes for /health */
	struct event *timeout;                /* of the probe under way */
	char alive[256];                      /* the answer of /health */
	size_t alive_length;                  /* its bytes */
	struct db_query *query;               /* the probe under way; NULL when none */
	int64_t asked_ms;                     /* monotonic: when it began */
	int64_t answered_ms;                  /* monotonic: when the last one ended; 0 = never */
	enum error result;                    /* of the last probe */
	int latency_ms;                       /* of the last probe */
	int64_t newest, applied;              /* migrations in the database: version of the last one, how many */
	struct request *waiting[WAITING_MAX]; /* who waits for the probe under way */
	size_t waiting_count;                 /* … how many */
};

static struct health *health_of(const struct request *rq)
{
	return ((struct worker *)request_context(rq))->health;
}

static void write_alive(struct health *h)
{
	char now[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(clock_wall_us(), now);

	int length = snprintf(h->alive, sizeof h->alive,
		"{\"status\":\"ok\",\"timestamp\":\"%s\",\"environment\":\"%s\",\"version\":\"" PACKAGE_VERSION "\"}",
		now, h->worker->options.app_env);

	must(length > 0 && (size_t)length < sizeof h->alive);
	h->alive_length = (size_t)length;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	write_alive(arg);
}

void health_get(struct request *rq)
{
	const struct health *h = health_of(rq);

	response_json(rq, 200, text_span(h->alive, h->alive_length));
}

void health_live(struct request *rq)
{
	response_json(rq, 200, TEXT("{\"status\":\"live\"}"));
}

static bool has_successor(const struct worker *w)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (&w->board->slots[i] != w->slot && SCOREBOARD_GET(w->board->slots[i].pid) != 0 &&
			SCOREBOARD_GET(w->board->slots[i].state) == WORKER_READY)
			return true;
	return false;
}

/* Readiness is the service's, not this worker's: on a connection that an old worker keeps over a reload it is as ready as those who follow. An orphan has
 * lost its supervisor, so nobody follows. */
static bool is_draining(const struct worker *w)
{
	if (SCOREBOARD_GET(w->board->stop_at_us) != 0)
		return true;
	if (SCOREBOARD_GET(w->slot->state) < WORKER_DRAINING)
		return false;
	return SCOREBOARD_GET(w->board->pool.is_drained) != 0 || !has_successor(w);
}

/* By the operator: this worker only says so. */
static bool is_drained(const struct worker *w)
{
	return SCOREBOARD_GET(w->board->pool.is_drained) != 0 &&
	       SCOREBOARD_GET(w->board->pool.generation) == w->generation;
}

static bool is_migrated(const struct health *h)
{
	return h->result == ERROR_NONE && migrations_count > 0 && h->newest >= migrations[migrations_count - 1].version;
}

static void write_database(struct buffer *out, const struct health *h)
{
	if (h->result == ERROR_NONE)
		buffer_printf(out, "\"database\":{\"status\":\"up\",\"latencyMs\":%d}", h->latency_ms);
	else
		buffer_printf(out, "\"database\":{\"status\":\"down\",\"code\":\"%s\"}", error_code(h->result));
}

static void write_migrations(struct buffer *out, const struct health *h)
{
	const char *status = h->result != ERROR_NONE ? "unknown" : is_migrated(h) ? "up" : "pending";

	buffer_printf(out, "\"migrations\":{\"status\":\"%s\",\"applied\":%lld,\"newest\":%lld,\"known\":%ld}", status,
		(long long)h->applied, (long long)h->newest,
		migrations_count > 0 ? migrations[migrations_count - 1].version : 0);
}

/* The breakers that are open now, with what opened them. */
static int write_breakers(struct buffer *out, struct scoreboard *board)
{
	static const char *const reasons[] = { "failures", "daily_quota", "credentials", "model_gone" };
	int64_t now_ms = clock_monotonic_ms();
	int open = 0;

	buffer_append_string(out, "\"breakers\":[");
	for (int i = 0; i < BREAKERS_MAX; i++) {
		struct scoreboard_breaker *b = &board->breakers[i];
		int64_t left_ms = SCOREBOARD_GET(b->open_until_ms) - now_ms;
		uint32_t reason = SCOREBOARD_GET(b->reason);

		if (SCOREBOARD_GET(b->name_hash) == 0 || left_ms <= 0)
			continue;
		buffer_printf(out, "%s{\"model\":", open++ > 0 ? "," : "");
		json_write_string(out, text_span(b->model, strnlen(b->model, sizeof b->model)));
		buffer_printf(out, ",\"reason\":\"%s\",\"retryAfterS\":%lld}",
			reasons[reason < COUNT_OF(reasons) ? reason : 0], (long long)(left_ms + 999) / 1000);
	}
	buffer_append_char(out, ']');
	return open;
}

void health_write_gemini(struct buffer *out, const struct worker *w)
{
	static const char *const states[] = { "unknown", "up", "failing", "credentials_refused" };
	uint32_t state = SCOREBOARD_GET(w->board->gemini_state);

	buffer_printf(out, "\"gemini\":{\"status\":\"%s\",\"simulator\":%s,",
		states[state < COUNT_OF(states) ? state : 0],
		w->provider != NULL && provider_is_simulator(w->provider) ? "true" : "false");
	(void)write_breakers(out, w->board);
	buffer_append_char(out, '}');
}

static void answer_ready(struct request *rq, const struct health *h)
{
	bool is_ready = !is_draining(h->worker) && !is_drained(h->worker) && is_migrated(h);
	struct buffer out;

	buffer_init(&out);
	buffer_printf(&out, "{\"status\":\"%s\",\"checks\":{",
		is_ready                 ? "ready"
		: is_draining(h->worker) ? "draining"
		: is_drained(h->worker)  ? "drained"
					 : "not_ready");
	write_database(&out, h);
	buffer_append_char(&out, ',');
	write_migrations(&out, h);
	buffer_append_char(&out, ',');
	health_write_gemini(&out, h->worker);
	buffer_append_string(&out, ",\"features\":{\"status\":\"up\",\"chat\":true,\"anonymousOwners\":true}}}");
	response_header(rq, "Cache-Control", "no-store");
	if (!is_ready)
		response_header(rq, "Retry-After", "1");
	response_json(rq, is_ready ? 200 : 503, buffer_text(&out));
	buffer_fini(&out);
}

static void end_probe(struct health *h, enum error e)
{
	size_t count = h->waiting_count;

	h->result = e;
	h->answered_ms = clock_monotonic_ms();
	h->latency_ms = (int)(h->answered_ms - h->asked_ms);
	h->query = NULL;
	h->waiting_count = 0;
	(void)event_del(h->timeout);
	for (size_t i = 0; i < count; i++)
		answer_ready(h->waiting[i], h);
}

static void on_probed(void *arg, enum error e, const struct db_result *r)
{
	struct health *h = arg;

	if (e == ERROR_NONE && db_result_rows(r) == 1) {
		h->newest = db_result_int(r, 0, 0);
		h->applied = db_result_int(r, 0, 1);
	}
	end_probe(h, e);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;

	(void)fd;
	(void)what;
	if (h->query != NULL)
		db_cancel(&h->query);
	end_probe(h, ERROR_TIMEOUT);
}

static void start_probe(struct health *h)
{
	const struct timeval limit = { .tv_usec = TIMEOUT_MS * 1000 };

	h->asked_ms = clock_monotonic_ms();
	h->query = db_submit(h->worker->db, SQL_health_probe, NULL, on_probed, h);
	(void)event_add(h->timeout, &limit);
}

void health_ready(struct request *rq)
{
	struct health *h = health_of(rq);
	bool is_probing = evtimer_pending(h->timeout, NULL);

	if (!is_probing && h->answered_ms != 0 && clock_monotonic_ms() - h->answered_ms < FRESH_MS) {
		answer_ready(rq, h);
		return;
	}
	if (h->waiting_count == WAITING_MAX) {
		response_problem_retry(rq, ERROR_OVERLOADED, NULL, RETRY_AFTER_S);
		return;
	}
	h->waiting[h->waiting_count++] = rq;
	if (!is_probing)
		start_probe(h);
}

struct health *health_open(struct worker *w)
{
	const struct timeval second = { .tv_sec = 1 };
	struct health *h = must_alloc(sizeof *h);

	h->worker = w;
	h->second = event_new(w->base, -1, EV_PERSIST, on_second, h);
	h->timeout = evtimer_new(w->base, on_timeout, h);
	must(h->second != NULL && h->timeout != NULL && event_add(h->second, &second) == 0);
	write_alive(h);
	return h;
}

void health_close(struct health **health)
{
	struct health *h = *health;

	if (h == NULL)
		return;
	if (h->query != NULL)
		db_cancel(&h->query);
	event_free(h->second);
	event_free(h->timeout);
	free(h);
	*health = NULL;
}
