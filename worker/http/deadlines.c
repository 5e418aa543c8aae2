/* deadlines.c: when connections and event streams have had their time. Each kind has one length, so a queue in order of arrival is in order
 * of deadline: setting and clearing are O(1), and one timer watches the heads. Called by connection.c, exchange.c and sse.c.
 * A reload that changes a length moves what is set already, so that a queue stays in order. */
#include "config.h"
#include "worker/http/internal.h"

#define TIMER_MS_MIN 20   /* deadlines closer together than this share one wake-up */
#define EXPIRE_MAX   64   /* ended per turn: a horde that ends together does not hold up the others */
#define SWEEP_MS     1000 /* how often the rate of incomplete bodies is looked at */
#define GRACE_US     5000000

static int64_t length_ms(const struct http_server *server, enum deadline_kind kind)
{
	const struct options *limits = server->options.limits;

	switch (kind) {
	case DEADLINE_HEADER: return limits->http_header_timeout_ms;
	case DEADLINE_BODY: return limits->http_body_timeout_ms;
	case DEADLINE_IDLE: return limits->http_idle_timeout_ms;
	case DEADLINE_WRITE: return limits->http_write_timeout_ms;
	case DEADLINE_LINGER: return LINGER_MS;
	case DEADLINE_PING: return limits->http_sse_ping_ms;
	case DEADLINE_COUNT: break;
	}
	must(!"a deadline of no kind");
	return 0;
}

static void arm(struct http_server *server, int64_t due_ms)
{
	struct deadlines *all = &server->deadlines;
	int64_t now_ms = server->now_us / 1000, wait_ms = due_ms - now_ms;

	if (wait_ms < TIMER_MS_MIN)
		wait_ms = due_ms <= now_ms ? 1 : TIMER_MS_MIN;

	struct timeval wait = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };

	all->timer_ms = due_ms;
	must(event_add(&all->timer, &wait) == 0);
}

void deadline_clear(struct http_server *server, struct deadline *d)
{
	if (d->kind == DEADLINE_COUNT)
		return;
	TAILQ_REMOVE(&server->deadlines.queues[d->kind], d, link);
	d->kind = DEADLINE_COUNT;
}

/* Arms the timer for the earliest of all. */
static void arm_next(struct http_server *server)
{
	int64_t next_ms = INT64_MAX;

	for (int kind = 0; kind < DEADLINE_COUNT; kind++) {
		const struct deadline *first = TAILQ_FIRST(&server->deadlines.queues[kind]);

		if (first != NULL && first->due_ms < next_ms)
			next_ms = first->due_ms;
	}
	if (!TAILQ_EMPTY(&server->deadlines.queues[DEADLINE_BODY]) && server->now_us / 1000 + SWEEP_MS < next_ms)
		next_ms = server->now_us / 1000 + SWEEP_MS;
	if (next_ms < server->deadlines.timer_ms)
		arm(server, next_ms);
}

static void adjust(struct http_server *server, enum deadline_kind kind)
{
	int64_t *length = &server->deadlines.lengths_ms[kind], now = length_ms(server, kind);
	struct deadline *d;

	if (now == *length)
		return;
	TAILQ_FOREACH(d, &server->deadlines.queues[kind], link)
	{
		d->due_ms += now - *length;
	}
	*length = now;
}

void deadlines_adjust(struct http_server *server)
{
	(void)server_now_us(server);
	for (int kind = 0; kind < DEADLINE_COUNT; kind++)
		adjust(server, (enum deadline_kind)kind);
	arm_next(server);
}

void deadline_set(struct http_server *server, struct deadline *d, enum deadline_kind kind)
{
	deadline_clear(server, d);
	adjust(server, kind);
	d->kind = kind;
	d->due_ms = server_now_ms(server) + server->deadlines.lengths_ms[kind];
	TAILQ_INSERT_TAIL(&server->deadlines.queues[kind], d, link);

	int64_t wake_ms = kind == DEADLINE_BODY ? server_now_ms(server) + SWEEP_MS : d->due_ms;

	if (wake_ms < d->due_ms ? wake_ms < server->deadlines.timer_ms : d->due_ms < server->deadlines.timer_ms)
		arm(server, wake_ms < d->due_ms ? wake_ms : d->due_ms);
}

/* A body that crawls would hold a connection for its whole deadline; it is given up as soon as its rate shows. */
static void sweep_bodies(struct http_server *server)
{
	int64_t rate = server->options.limits->http_body_rate_min;
	struct deadline *next;

	for (struct deadline *d = TAILQ_FIRST(&server->deadlines.queues[DEADLINE_BODY]); d != NULL; d = next) {
		struct connection *c = CONTAINER(d, struct connection, deadline);
		const struct response *rs = c->rq->response;
		int64_t age_us = server->now_us - rs->body_started_us;

		next = TAILQ_NEXT(d, link);
		if (age_us > GRACE_US && (int64_t)rs->body_bytes < rate * (age_us - GRACE_US) / 1000000)
			connection_expired(c, DEADLINE_BODY);
	}
}

/* Ends what is due, up to `*left`. */
static void expire(struct http_server *server, enum deadline_kind kind, int *left)
{
	struct deadline *d;

	while ((d = TAILQ_FIRST(&server->deadlines.queues[kind])) != NULL && d->due_ms <= server->now_us / 1000 &&
		(*left)-- > 0) {
		if (kind == DEADLINE_PING) {
			sse_expired(d);
			continue;
		}
		deadline_clear(server, d);
		connection_expired(CONTAINER(d, struct connection, deadline), kind);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	int left = EXPIRE_MAX;

	(void)fd;
	(void)what;
	server->deadlines.timer_ms = INT64_MAX;
	(void)server_now_us(server);
	for (int kind = 0; kind < DEADLINE_COUNT; kind++)
		expire(server, (enum deadline_kind)kind, &left);
	sweep_bodies(server);
	arm_next(server);
}

void deadlines_init(struct http_server *server)
{
	for (int kind = 0; kind < DEADLINE_COUNT; kind++)
		TAILQ_INIT(&server->deadlines.queues[kind]);
	for (int kind = 0; kind < DEADLINE_COUNT; kind++)
		server->deadlines.lengths_ms[kind] = length_ms(server, (enum deadline_kind)kind);
	server->deadlines.timer_ms = INT64_MAX;
	must(event_assign(&server->deadlines.timer, server->options.base, -1, 0, on_timer, server) == 0);
}

void deadlines_fini(struct http_server *server)
{
	(void)event_del(&server->deadlines.timer);
}
