/* connection.c: one client's socket: reads into the worker's scratch, hands the bytes to exchange.c, writes answers at once and keeps only what the
 * socket did not take. Called by libevent, by response.c and at the end of the turn; knows nothing of what the bytes mean.
 * An idle connection is this struct and nothing else. */
#include "config.h"
#include "worker/http/internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void on_event(evutil_socket_t fd, short what, void *arg);

static void want(struct connection *c, short interest)
{
	if (c->interest == interest)
		return;
	if (c->interest != 0)
		(void)event_del(&c->event);
	c->interest = interest;
	if (interest == 0)
		return;
	must(event_assign(&c->event, c->server->options.base, c->fd, (short)(interest | EV_PERSIST), on_event, c) == 0);
	must(event_add(&c->event, NULL) == 0);
}

static void want_more(struct connection *c, short interest)
{
	want(c, (short)(c->interest | interest));
}

static void want_less(struct connection *c, short interest)
{
	want(c, (short)(c->interest & ~interest));
}

void connection_set_state(struct connection *c, enum connection_state state)
{
	must(c->state != CONNECTION_CLOSED);
	if (c->state == state)
		return;
	if (!c->is_admin)
		c->server->idle_count += (state == CONNECTION_IDLE) - (c->state == CONNECTION_IDLE);
	c->state = state;
}

void connection_queue(struct connection *c)
{
	if (c->is_queued || c->state == CONNECTION_CLOSED)
		return;
	(void)server_now_us(c->server);
	c->is_queued = true;
	STAILQ_INSERT_TAIL(&c->server->later, c, later);
}

void connection_open(struct http_server *server, int fd, const struct connection_origin *origin)
{
	struct connection *c = must_alloc(sizeof *c);

	c->server = server;
	c->fd = fd;
	c->is_fresh = !origin->is_used;
	c->is_refused = origin->is_refused;
	c->is_admin = origin->is_admin;
	c->deadline.kind = DEADLINE_COUNT;
	memcpy(c->client, origin->client, strnlen(origin->client, sizeof c->client - 1));
	TAILQ_INSERT_TAIL(&server->connections, c, link);
	server->connection_count += !c->is_admin;
	server->admin_count += c->is_admin;
	server->refused_count += c->is_refused && !c->is_admin;
	server->idle_count += !c->is_admin;
	want(c, EV_READ);
	deadline_set(server, &c->deadline, DEADLINE_IDLE);
	if (c->is_refused) {
		c->started_us = server->now_us;
		exchange_refuse(c, ERROR_OVERLOADED, "Too many connections are open");
	}
}

/* ---- the end -------------------------------------------------------------------------------------------------------------- */

void connection_lost(struct connection *c, bool is_cut)
{
	struct http_server *server = c->server;
	struct request *rq = c->rq;

	if (c->state == CONNECTION_CLOSED)
		return;
	(void)server_now_us(server);
	want(c, 0);
	deadline_clear(server, &c->deadline);
	if (is_cut)
		(void)setsockopt(
			c->fd, SOL_SOCKET, SO_LINGER, &(struct linger) { .l_onoff = 1 }, sizeof(struct linger));
	(void)close(c->fd);
	c->fd = -1;
	connection_set_state(c, CONNECTION_CLOSED);
	TAILQ_REMOVE(&server->connections, c, link);
	TAILQ_INSERT_TAIL(&server->closed, c, link);
	server->connection_count -= !c->is_admin;
	server->admin_count -= c->is_admin;
	server->refused_count -= c->is_refused && !c->is_admin;
	c->rq = NULL;
	if (rq != NULL) {
		rq->connection = NULL;
		exchange_client_gone(rq);
	}
}

void connection_free(struct connection *c)
{
	buffer_fini(&c->in);
	buffer_fini(&c->out);
	free(c);
}

/* Our last byte is out. A close with unread input makes the kernel send a reset, which can overtake the answer; so then only our side is
 * shut, and the peer's bytes are read away for a while. */
static void finish(struct connection *c)
{
	if (!c->lingers || c->is_read_closed) {
		connection_lost(c, false);
		return;
	}
	(void)shutdown(c->fd, SHUT_WR);
	buffer_fini(&c->in);
	connection_set_state(c, CONNECTION_LINGERING);
	want(c, EV_READ);
	deadline_set(c->server, &c->deadline, DEADLINE_LINGER);
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

/* What the socket takes now, with SIGPIPE kept away; -1 when the peer is gone. */
static ssize_t put(struct connection *c, struct iovec parts[], size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };

	for (;;) {
		ssize_t taken = count == 1
					? send(c->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
					: sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (taken >= 0) {
			SCOREBOARD_ADD(c->server->slot->counters.bytes_out, (uint64_t)taken);
			return taken;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

static void wait_writable(struct connection *c)
{
	c->was_full = true;
	want_more(c, EV_WRITE);
	if (c->state == CONNECTION_BUSY || c->state == CONNECTION_FLUSHING || c->is_closing)
		deadline_set(c->server, &c->deadline, DEADLINE_WRITE);
}

void connection_append(struct connection *c, struct text bytes)
{
	buffer_append_text(&c->out, bytes);
	connection_queue(c);
}

void connection_send(struct connection *c, struct text head, struct text body)
{
	if (c->state == CONNECTION_CLOSED)
		return;
	if (c->is_corked || buffer_length(&c->out) > 0) {
		buffer_append_text(&c->out, head);
		connection_append(c, body);
		return;
	}

	struct iovec parts[2] = { { .iov_base = (void *)(uintptr_t)head.bytes, .iov_len = head.length },
		{ .iov_base = (void *)(uintptr_t)body.bytes, .iov_len = body.length } };
	ssize_t taken = put(c, parts, body.length > 0 ? 2 : 1);
	size_t sent = taken > 0 ? (size_t)taken : 0;

	if (taken < 0) {
		connection_lost(c, false);
		return;
	}
	if (sent == head.length + body.length)
		return;
	if (sent < head.length)
		buffer_append(&c->out, head.bytes + sent, head.length - sent);
	sent = sent > head.length ? sent - head.length : 0;
	buffer_append(&c->out, body.bytes + sent, body.length - sent);
	wait_writable(c);
}

/* The socket has taken everything. */
static void emptied(struct connection *c)
{
	buffer_fini(&c->out);
	c->was_full = false;
	want_less(c, EV_WRITE);
	if (c->is_closing) {
		finish(c);
		return;
	}
	if (c->deadline.kind == DEADLINE_WRITE)
		deadline_clear(c->server, &c->deadline);
	if (c->state == CONNECTION_FLUSHING) {
		connection_set_state(c, CONNECTION_IDLE);
		deadline_set(c->server, &c->deadline, DEADLINE_IDLE);
		connection_queue(c);
	} else if (c->rq != NULL && c->rq->response->is_stream && c->rq->response->events.on_writable != NULL) {
		c->rq->response->events.on_writable(c->rq->response->events.arg);
	}
}

void connection_flush(struct connection *c)
{
	bool has_progress = false;

	if (c->state == CONNECTION_CLOSED || (c->interest & EV_WRITE))
		return;
	while (buffer_length(&c->out) > 0) {
		struct text waiting = buffer_text(&c->out);
		struct iovec part = { .iov_base = (void *)(uintptr_t)waiting.bytes, .iov_len = waiting.length };
		ssize_t taken = put(c, &part, 1);

		if (taken < 0) {
			connection_lost(c, false);
			return;
		}
		buffer_consume(&c->out, (size_t)taken);
		has_progress = has_progress || taken > 0;
		if ((size_t)taken < waiting.length) {
			if (has_progress || !c->was_full)
				wait_writable(c);
			else
				want_more(c, EV_WRITE);
			return;
		}
	}
	emptied(c);
}

static void on_writable(struct connection *c)
{
	want_less(c, EV_WRITE);
	connection_flush(c);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

/* The peer sends nothing more. What it asked for is still answered. */
static void on_read_closed(struct connection *c)
{
	c->is_read_closed = true;
	want_less(c, EV_READ);
	switch (c->state) {
	case CONNECTION_BUSY:
	case CONNECTION_FLUSHING: return;
	case CONNECTION_IDLE:
	case CONNECTION_HEAD:
	case CONNECTION_BODY:
	case CONNECTION_LINGERING: break;
	case CONNECTION_CLOSED: return;
	}
	if (c->state != CONNECTION_LINGERING && buffer_length(&c->out) > 0)
		c->is_closing = true;
	else
		connection_lost(c, false);
}

/* A client may ask ahead, but only so much; a header or body that is still arriving has limits of its own. */
static void adjust_reading(struct connection *c)
{
	bool is_answering = c->state == CONNECTION_BUSY || c->state == CONNECTION_FLUSHING;

	if (c->state == CONNECTION_CLOSED || c->state == CONNECTION_LINGERING || c->is_read_closed)
		return;
	if (is_answering && buffer_length(&c->in) >= READ_BYTES)
		want_less(c, EV_READ);
	else
		want_more(c, EV_READ);
}

/* Feeds what is kept; called when an answer has made room for the next request. */
static void feed_kept(struct connection *c)
{
	size_t used = intake_feed(c, buffer_text(&c->in));

	if (c->state == CONNECTION_CLOSED)
		return;
	if (used >= buffer_length(&c->in))
		buffer_fini(&c->in);
	else
		buffer_consume(&c->in, used);
	adjust_reading(c);
}

static void on_readable(struct connection *c)
{
	char *scratch = c->server->scratch;
	ssize_t got = recv(c->fd, scratch, READ_BYTES, MSG_DONTWAIT);

	if (got < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			connection_lost(c, false);
		return;
	}
	if (got == 0) {
		on_read_closed(c);
		return;
	}
	SCOREBOARD_ADD(c->server->slot->counters.bytes_in, (uint64_t)got);
	if (c->state == CONNECTION_LINGERING)
		return;
	if (buffer_length(&c->in) > 0) {
		buffer_append(&c->in, scratch, (size_t)got);
		feed_kept(c);
	} else {
		size_t used = intake_feed(c, text_span(scratch, (size_t)got));

		if (c->state != CONNECTION_CLOSED && c->state != CONNECTION_LINGERING && used < (size_t)got)
			buffer_append(&c->in, scratch + used, (size_t)got - used);
	}
	adjust_reading(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)server_now_us(c->server);
	if (what & EV_WRITE)
		on_writable(c);
	if ((what & EV_READ) && c->state != CONNECTION_CLOSED && (c->interest & EV_READ))
		on_readable(c);
}

/* ---- between requests ----------------------------------------------------------------------------------------------------- */

void connection_answered(struct connection *c, bool keep_alive, bool lingers)
{
	c->rq = NULL;
	c->parser = (struct parser) { 0 };
	if (c->state == CONNECTION_CLOSED)
		return;
	if (!keep_alive) {
		c->is_closing = true;
		c->lingers = c->lingers || lingers || c->is_corked || buffer_length(&c->in) > 0;
		c->is_corked = false;
		connection_set_state(c, CONNECTION_FLUSHING);
		if (buffer_length(&c->out) == 0)
			finish(c);
		else
			connection_flush(c);
		return;
	}
	if (c->is_corked && buffer_length(&c->out) < CORK_BYTES) {
		connection_set_state(c, CONNECTION_IDLE);
		return;
	}
	c->is_corked = false;
	if (buffer_length(&c->out) > 0) {
		connection_set_state(c, CONNECTION_FLUSHING);
		if (c->interest & EV_WRITE)
			deadline_set(c->server, &c->deadline, DEADLINE_WRITE);
		else
			connection_flush(c);
		return;
	}
	connection_set_state(c, CONNECTION_IDLE);
	deadline_set(c->server, &c->deadline, DEADLINE_IDLE);
	if (!c->is_feeding && (buffer_length(&c->in) > 0 || c->is_read_closed || c->server->is_draining))
		connection_queue(c);
}

static bool is_overfull_stream(const struct connection *c)
{
	return c->rq != NULL && c->rq->response->is_stream && buffer_length(&c->out) > PENDING_BYTES_MAX;
}

void connection_end_turn(struct connection *c)
{
	if (is_overfull_stream(c))
		connection_lost(c, true);
	if (c->state != CONNECTION_CLOSED && buffer_length(&c->out) > 0)
		connection_flush(c);
	if (c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD || c->state == CONNECTION_BODY) {
		if (buffer_length(&c->in) > 0)
			feed_kept(c);
		if (c->is_read_closed && !c->is_closing &&
			(c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD || c->state == CONNECTION_BODY))
			on_read_closed(c);
	}
	if (c->state == CONNECTION_IDLE && c->server->is_draining)
		(void)connection_leave(c);
}

/* Whatever the peer has sent meanwhile is in the socket, and goes with it. */
static enum http_gift give(struct connection *c)
{
	const struct http_options *options = &c->server->options;

	if (!c->server->gives_idle || options->give == NULL || c->is_refused || c->is_admin)
		return HTTP_GIFT_NOBODY;
	return options->give(options->context, c->fd, c->client, c->is_fresh);
}

bool connection_leave(struct connection *c)
{
	char byte;

	if (c->state != CONNECTION_IDLE || buffer_length(&c->out) > 0 || buffer_length(&c->in) > 0 || c->is_read_closed)
		return true;
	switch (give(c)) {
	case HTTP_GIFT_TAKEN: connection_lost(c, false); return true;
	case HTTP_GIFT_LATER: server_give_later(c->server); return false;
	case HTTP_GIFT_NOBODY: break;
	}
	if (!c->server->closes_idle || (c->is_fresh && !c->server->closes_fresh))
		return true;
	/* A request that is already in the kernel's buffer is answered first. */
	if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		connection_lost(c, false);
	return true;
}

void connection_expired(struct connection *c, enum deadline_kind kind)
{
	switch (kind) {
	case DEADLINE_HEADER: exchange_refuse(c, ERROR_REQUEST_TIMEOUT, "The header did not arrive in time"); return;
	case DEADLINE_BODY: exchange_refuse(c, ERROR_REQUEST_TIMEOUT, "The body did not arrive in time"); return;
	case DEADLINE_WRITE: connection_lost(c, true); return;
	case DEADLINE_IDLE:
	case DEADLINE_LINGER:
	case DEADLINE_PING:
	case DEADLINE_COUNT: connection_lost(c, false); return;
	}
}
