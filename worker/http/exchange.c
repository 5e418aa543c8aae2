/* exchange.c: the life of one request: made, handed to the authenticator and the handler, counted, logged, freed. Called by intake.c when a request
 * has arrived, by response.c when its answer is complete, by connection.c when its client went away. */
#include "config.h"
#include "worker/http/internal.h"

#include <stdio.h>

#include "shared/log.h"

#define CONTINUE        TEXT("HTTP/1.1 100 Continue\r\n\r\n")
#define LOGGED_PATH_MAX 256 /* bytes of the path in a log line */

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

static struct exchange *take_exchange(struct http_server *server)
{
	struct response *rs = server->free_requests;
	struct exchange *x;

	if (rs == NULL) {
		x = must_alloc(sizeof *x);
		arena_reserve(&x->rq.arena, OWN_BYTES);
	} else {
		x = CONTAINER(rs, struct exchange, rs);
		server->free_requests = rs->next_free;
		server->free_count--;
		*x = (struct exchange) { .rq = { .arena = x->rq.arena }, .rs = { .head = x->rs.head } };
	}
	if (x->rs.head.newest == NULL)
		arena_reserve(&x->rs.head, HEAD_BYTES);
	return x;
}

struct request *exchange_open(struct connection *c)
{
	struct http_server *server = c->server;
	struct exchange *x = take_exchange(server);

	x->rq.server = server;
	x->rq.connection = c;
	x->rq.response = &x->rs;
	x->rq.started_us = c->started_us;
	x->rq.body = TEXT("");
	x->rs.rq = &x->rq;
	x->rs.last = &x->rs.first;
	x->rs.is_refused = c->is_refused;
	memcpy(x->rq.client, c->client, sizeof x->rq.client);
	TAILQ_INSERT_TAIL(&server->requests, &x->rs, link);
	c->rq = &x->rq;
	return &x->rq;
}

/* At the end of the turn, once it is answered. */
void exchange_free(struct response *rs)
{
	struct exchange *x = CONTAINER(rs, struct exchange, rs);
	struct http_server *server = x->rq.server;

	buffer_fini(&rs->body);
	if (server->free_count >= FREE_REQUESTS_MAX || server->is_closing) {
		arena_fini(&x->rq.arena);
		arena_fini(&rs->head);
		free(x);
		return;
	}
	arena_reset(&x->rq.arena);
	arena_reset(&rs->head);
	rs->next_free = server->free_requests;
	server->free_requests = rs;
	server->free_count++;
}

void exchange_forget_head(struct request *rq)
{
	for (int i = 0; i < REQUEST_PARAMS_MAX; i++)
		if (rq->params[i].bytes != NULL)
			rq->params[i] = arena_text(&rq->arena, rq->params[i]);
	rq->headers = NULL;
	rq->header_count = 0;
	rq->target = rq->raw_path = rq->path = rq->query = TEXT_NONE;
	rq->body = TEXT("");
	buffer_fini(&rq->response->body);
	arena_fini(&rq->response->head);
}

static void count(struct http_server *server, int status)
{
	struct scoreboard_counters *counters = &server->slot->counters;

	SCOREBOARD_ADD(counters->requests, 1);
	if (status < 300)
		SCOREBOARD_ADD(counters->requests_2xx, 1);
	else if (status < 400)
		SCOREBOARD_ADD(counters->requests_3xx, 1);
	else if (status < 500)
		SCOREBOARD_ADD(counters->requests_4xx, 1);
	else
		SCOREBOARD_ADD(counters->requests_5xx, 1);
}

static const char *const method_names[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

/* The line on the way in, for following what is slow or never answered; at debug, as the line of the answer says all of it again. */
static void log_received(const struct request *rq)
{
	LOG(LOG_DEBUG, "request received", F_STR("request_id", rq->id), F_STR("trace_id", rq->trace_id),
		F_STR("span_id", rq->span_id), F_STR("method", method_names[rq->method]),
		F_STR("route", rq->route->path), F_INT("bytes_in", rq->response->bytes_in),
		F_STR("client", rq->client));
}

static enum log_level level_of(const struct request *rq)
{
	int status = rq->response->status;

	if (status >= 500)
		return LOG_ERROR;
	if (status >= 400)
		return LOG_WARN;
	return rq->route != NULL && rq->route->is_quiet ? LOG_DEBUG : LOG_INFO;
}

static struct text name_owner(const struct request *rq, char out[UUID_TEXT_BYTES])
{
	if (!rq->has_owner)
		return TEXT_NONE;
	if (rq->server->options.name_owner != NULL)
		rq->server->options.name_owner(rq, out);
	else
		uuid_format(&rq->owner, out);
	return text_of(out);
}

/* A stream has given its path back. */
static struct text path_for_log(const struct request *rq)
{
	return rq->raw_path.length > LOGGED_PATH_MAX ? text_span(rq->raw_path.bytes, LOGGED_PATH_MAX) : rq->raw_path;
}

static void log_request(const struct request *rq, int64_t now_us)
{
	const struct response *rs = rq->response;
	enum log_level level = level_of(rq);
	char owner[UUID_TEXT_BYTES], conversation[UUID_TEXT_BYTES];

	if (rs->is_refused || !log_enabled(level))
		return;
	if (rq->has_conversation)
		uuid_format(&rq->conversation, conversation);
	LOG(level, "request", F_STR("request_id", rq->id), F_STR("trace_id", rq->trace_id),
		F_STR("span_id", rq->span_id),
		F_TEXT("parent_span_id", rq->parent_span_id[0] != '\0' ? text_of(rq->parent_span_id) : TEXT_NONE),
		F_TEXT("method", rs->has_method ? text_of(method_names[rq->method]) : TEXT_NONE),
		F_TEXT("route", rq->route != NULL ? text_of(rq->route->path) : TEXT_NONE),
		F_TEXT("path", path_for_log(rq)), F_INT("status", rs->status),
		F_REAL("latency_ms", (double)(now_us - rq->started_us) / 1000), F_INT("bytes_in", rs->bytes_in),
		F_INT("bytes_out", rs->bytes_out), F_STR("client", rq->client),
		F_TEXT("user_id", name_owner(rq, owner)),
		F_TEXT("conversation_id", rq->has_conversation ? text_of(conversation) : TEXT_NONE));
}

void exchange_finish(struct request *rq)
{
	struct http_server *server = rq->server;
	struct response *rs = rq->response;
	struct connection *c = rq->connection;
	/* The turn's own time would hide what a handler took; those that are quiet take next to nothing, and come often. */
	bool is_quiet = rq->route != NULL && rq->route->is_quiet && rs->status < 400;
	int64_t turn_us = server_now_us(server), now_us = is_quiet ? turn_us : clock_monotonic_us();

	must(!rs->is_finished);
	rs->is_finished = true;
	count(server, rs->status);
	measure_end(rq, now_us);
	log_request(rq, now_us);
	if (rs->is_stream)
		server->stream_count--;
	TAILQ_REMOVE(&server->requests, rs, link);
	rs->next_free = server->answered;
	server->answered = rs;
	rq->connection = NULL;
	if (c != NULL)
		connection_answered(c, rs->keep_alive, rs->lingers);
}

/* Nobody waits for the answer, and no handler has seen the request. */
static void drop(struct request *rq)
{
	rq->response->status = error_status(ERROR_CANCELLED);
	exchange_finish(rq);
}

void exchange_client_gone(struct request *rq)
{
	struct response *rs = rq->response;

	if (rs->is_stream && !rs->is_gone_told) {
		rs->is_gone_told = true;
		if (rs->events.on_gone != NULL)
			rs->events.on_gone(rs->events.arg);
	} else if (rs->status == 0 && !rs->is_body_whole && !rs->is_authenticating) {
		drop(rq); /* with a status it is just being answered, and its answer found the socket dead */
	}
}

/* ---- handing on ----------------------------------------------------------------------------------------------------------- */

static void close_after(struct request *rq)
{
	rq->response->keep_alive = false;
	rq->response->lingers = true;
}

static void authenticated(struct request *rq, enum error e, const char *detail)
{
	struct response *rs = rq->response;
	struct connection *c = rq->connection;

	must(rs->is_authenticating);
	rs->is_authenticating = false;
	rs->is_authenticated = true;
	if (e != ERROR_NONE) {
		if (!rs->is_body_whole)
			close_after(rq);
		response_problem(rq, e, detail);
		return;
	}
	if (rs->is_body_whole) {
		log_received(rq);
		rq->route->handle(rq);
		return;
	}
	if (c == NULL) {
		drop(rq);
		return;
	}
	connection_send(c, CONTINUE, TEXT_NONE);
	if (c->state == CONNECTION_CLOSED)
		return;
	rs->body_started_us = server_now_us(rq->server);
	connection_set_state(c, CONNECTION_BODY);
	deadline_set(c->server, &c->deadline, DEADLINE_BODY);
	if (!c->is_feeding)
		connection_queue(c);
}

void exchange_authenticate(struct request *rq)
{
	struct response *rs = rq->response;

	connection_set_state(rq->connection, CONNECTION_BUSY);
	deadline_clear(rq->server, &rq->connection->deadline);
	if (rq->route->admit != NULL && rs->is_body_whole && !rq->route->admit(rq))
		return;
	rs->is_authenticating = true;
	if (rs->is_authenticated || rq->route->auth == AUTH_NONE || rq->server->options.authenticate == NULL)
		authenticated(rq, ERROR_NONE, NULL);
	else
		rq->server->options.authenticate(rq, authenticated);
}

static void answer_options(struct request *rq)
{
	response_header(rq, "Allow", rq->response->allow);
	response_send(rq, 204, NULL, TEXT_NONE);
}

void exchange_body_whole(struct connection *c, bool has_more)
{
	struct request *rq = c->rq;
	struct response *rs = rq->response;

	rs->is_body_whole = true;
	c->is_corked = has_more;
	if (buffer_length(&rs->body) > 0)
		rq->body = buffer_text(&rs->body);
	if (rs->deferred == ERROR_NONE && rs->allow == NULL) {
		exchange_authenticate(rq);
		return;
	}
	connection_set_state(c, CONNECTION_BUSY);
	deadline_clear(c->server, &c->deadline);
	if (rs->allow != NULL)
		answer_options(rq);
	else
		response_problem(rq, rs->deferred, rs->deferred_detail);
}

/* ---- refusing --------------------------------------------------------------------------------------------------------------- */

static void answer_now(struct connection *c, enum error e, const char *detail)
{
	connection_set_state(c, CONNECTION_BUSY);
	deadline_clear(c->server, &c->deadline);
	response_problem(c->rq, e, detail);
}

void exchange_refuse(struct connection *c, enum error e, const char *detail)
{
	if (c->rq == NULL)
		request_identify(exchange_open(c));
	close_after(c->rq);
	answer_now(c, e, detail);
}
