/* exchange.c: one request from its first byte to its last answer byte: header, route, body, authenticator, handler, log line.
 * Called by connection.c with bytes and by response.c when an answer is complete. Refuses here what no handler should see: wrong framing,
 * unknown paths and methods, bodies that are too large or of another type. */
#include "config.h"
#include "worker/http/internal.h"

#include <stdio.h>

#include "shared/log.h"

#define CONTINUE TEXT("HTTP/1.1 100 Continue\r\n\r\n")

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

static struct request *open_request(struct connection *c)
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

static void log_request(const struct request *rq)
{
	static const char *const method_names[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
		"OPTIONS" };
	const struct response *rs = rq->response;
	enum log_level level = rs->status >= 500                          ? LOG_ERROR
			       : rs->status >= 400                        ? LOG_WARN
			       : rq->route != NULL && rq->route->is_quiet ? LOG_DEBUG
									  : LOG_INFO;
	char owner[UUID_TEXT_BYTES] = "";

	if (!log_enabled(level))
		return;
	if (rq->has_owner)
		uuid_format(&rq->owner, owner);
	LOG(level, "request", F_STR("request_id", rq->id), F_STR("trace_id", rq->trace_id),
		F_STR("span_id", rq->span_id),
		F_TEXT("parent_span_id", rq->parent_span_id[0] != '\0' ? text_of(rq->parent_span_id) : TEXT_NONE),
		F_TEXT("method", rs->has_method ? text_of(method_names[rq->method]) : TEXT_NONE),
		F_TEXT("route", rq->route != NULL ? text_of(rq->route->path) : TEXT_NONE), F_INT("status", rs->status),
		F_REAL("latency_ms", (double)(clock_monotonic_us() - rq->started_us) / 1000),
		F_INT("bytes_in", rs->bytes_in), F_INT("bytes_out", rs->bytes_out), F_STR("client", rq->client),
		F_TEXT("user_id", rq->has_owner ? text_of(owner) : TEXT_NONE),
		F_TEXT("conversation_id", text_of(rq->log_conversation)));
}

void exchange_finish(struct request *rq)
{
	struct http_server *server = rq->server;
	struct response *rs = rq->response;
	struct connection *c = rq->connection;

	must(!rs->is_finished);
	(void)server_now_us(server);
	rs->is_finished = true;
	count(server, rs->status);
	log_request(rq);
	if (rs->is_stream)
		server->stream_count--;
	TAILQ_REMOVE(&server->requests, rs, link);
	rs->next_free = server->answered;
	server->answered = rs;
	rq->connection = NULL;
	if (c != NULL)
		connection_answered(c, rs->keep_alive && !server->is_draining, rs->lingers);
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

static void authenticate(struct request *rq)
{
	struct response *rs = rq->response;

	connection_set_state(rq->connection, CONNECTION_BUSY);
	deadline_clear(rq->server, &rq->connection->deadline);
	rs->is_authenticating = true;
	if (rs->is_authenticated || rq->route->auth == AUTH_NONE || rq->server->options.authenticate == NULL)
		authenticated(rq, ERROR_NONE, NULL);
	else
		rq->server->options.authenticate(rq, authenticated);
}

static void body_is_whole(struct connection *c, bool has_more)
{
	struct request *rq = c->rq;
	struct response *rs = rq->response;

	rs->is_body_whole = true;
	c->is_corked = has_more;
	if (buffer_length(&rs->body) > 0)
		rq->body = buffer_text(&rs->body);
	if (rs->deferred == ERROR_NONE) {
		authenticate(rq);
		return;
	}
	connection_set_state(c, CONNECTION_BUSY);
	deadline_clear(c->server, &c->deadline);
	response_problem(rq, rs->deferred, rs->deferred_detail);
}

/* ---- header --------------------------------------------------------------------------------------------------------------- */

static void answer_now(struct connection *c, enum error e, const char *detail)
{
	connection_set_state(c, CONNECTION_BUSY);
	deadline_clear(c->server, &c->deadline);
	response_problem(c->rq, e, detail);
}

void exchange_refuse(struct connection *c, enum error e, const char *detail)
{
	if (c->rq == NULL)
		request_identify(open_request(c));
	close_after(c->rq);
	answer_now(c, e, detail);
}

static bool is_json(struct text content_type)
{
	const char *semicolon = content_type.bytes ? memchr(content_type.bytes, ';', content_type.length) : NULL;
	struct text media = content_type, parameter = TEXT_NONE;

	if (semicolon != NULL) {
		media.length = (size_t)(semicolon - content_type.bytes);
		parameter = text_span(semicolon + 1, content_type.length - media.length - 1);
		while (parameter.length > 0 && parameter.bytes[0] == ' ')
			parameter = text_span(parameter.bytes + 1, parameter.length - 1);
	}
	while (media.length > 0 && media.bytes[media.length - 1] == ' ')
		media.length--;
	if (!text_equals_nocase(media, TEXT("application/json")))
		return false;
	return parameter.length < 8 || strncasecmp(parameter.bytes, "charset=", 8) != 0 ||
	       text_equals_nocase(parameter, TEXT("charset=utf-8")) ||
	       text_equals_nocase(parameter, TEXT("charset=\"utf-8\""));
}

static enum error check_body(const struct request *rq, const struct head *head)
{
	struct text coding = request_header(rq, "Content-Encoding");

	if (rq->route->body == BODY_NONE)
		return ERROR_NONE;
	if (head->framing == FRAMING_NONE)
		return rq->route->body == BODY_JSON && !head->has_length ? ERROR_LENGTH_REQUIRED : ERROR_NONE;
	if (coding.bytes != NULL && !text_equals_nocase(coding, TEXT("identity")))
		return ERROR_UNSUPPORTED_MEDIA_TYPE;
	return is_json(request_header(rq, "Content-Type")) ? ERROR_NONE : ERROR_UNSUPPORTED_MEDIA_TYPE;
}

static void answer_options(struct request *rq, const char *allow)
{
	response_header(rq, "Allow", allow);
	response_send(rq, 204, NULL, TEXT_NONE);
}

/* Route and body, as far as the header tells. */
static enum error check_request(struct request *rq, const struct head *head)
{
	const char *allow = NULL;
	enum error e = router_find(rq->server->router, rq, &allow);

	if (e == ERROR_METHOD_NOT_ALLOWED)
		response_header(rq, "Allow", allow);
	return e == ERROR_NONE ? check_body(rq, head) : e;
}

static bool is_options_of_nothing(struct request *rq)
{
	const char *allow = NULL;

	if (rq->method != METHOD_OPTIONS)
		return false;
	if (text_equals(rq->raw_path, TEXT("*")))
		allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
	else if (router_find(rq->server->router, rq, &allow) != ERROR_METHOD_NOT_ALLOWED)
		return false;
	answer_options(rq, allow);
	return true;
}

static bool fill_request(struct request *rq, const struct head *head)
{
	char *path = arena_alloc(&rq->response->head, head->raw_path.length + 1);
	size_t length = 0;

	rq->method = head->method;
	rq->minor_version = head->minor_version;
	rq->target = head->target;
	rq->raw_path = head->raw_path;
	rq->query = head->query;
	rq->header_count = head->header_count;
	rq->response->has_method = head->raw_path.bytes != NULL;
	rq->response->framing = head->framing;
	rq->response->body_left = head->content_length;
	rq->response->keep_alive = head->keep_alive;
	if (head->raw_path.bytes == NULL)
		return true;

	bool is_clean = parser_decode_path(head->raw_path, path, &length);

	rq->path = text_span(path, is_clean ? length : 0);
	return is_clean;
}

/* The header is whole and well-formed: decides what becomes of the request. */
static void start_exchange(struct connection *c, const struct head *head, bool has_more)
{
	struct request *rq = c->rq;
	struct response *rs = rq->response;
	bool has_body = head->framing != FRAMING_NONE;
	enum error e;

	if (has_body && head->framing == FRAMING_LENGTH &&
		head->content_length > (uint64_t)c->server->options.limits->http_body_bytes) {
		exchange_refuse(c, ERROR_BODY_TOO_LARGE, NULL);
		return;
	}
	rs->is_body_whole = !has_body;
	if (!has_body && rq->method == METHOD_OPTIONS) {
		c->is_corked = has_more;
		connection_set_state(c, CONNECTION_BUSY);
		deadline_clear(c->server, &c->deadline);
		if (is_options_of_nothing(rq))
			return;
	}
	e = check_request(rq, head);
	if (e != ERROR_NONE && has_body && head->expects_continue) {
		exchange_refuse(c, e, NULL);
		return;
	}
	rs->deferred = e;
	rs->discards = e != ERROR_NONE || rq->route->body == BODY_NONE;
	if (!has_body) {
		body_is_whole(c, has_more);
		return;
	}
	rs->body_started_us = server_now_us(c->server);
	connection_set_state(c, CONNECTION_BODY);
	if (!head->expects_continue)
		return;
	/* Credentials are looked at before the body is asked for, except where they could make a new owner. */
	rs->is_authenticated = rq->route->auth == AUTH_MINT;
	authenticate(rq);
	if (!rs->is_finished)
		rs->is_authenticated = rq->route->auth != AUTH_MINT;
}

static size_t read_head(struct connection *c, struct text rest)
{
	const struct options *o = c->server->options.limits;
	struct parser_limits limits = { .line_bytes = (size_t)o->http_request_line_bytes,
		.headers_bytes = (size_t)o->http_headers_bytes,
		.headers_max = (size_t)o->http_headers_max };
	struct parser_fault fault = { .error = ERROR_NONE };
	struct head head;

	switch (parser_scan(&c->parser, rest, &limits, &fault)) {
	case PARSER_MORE:
		if (c->deadline.kind != DEADLINE_HEADER)
			deadline_set(c->server, &c->deadline, DEADLINE_HEADER);
		return 0;
	case PARSER_FAILED: exchange_refuse(c, fault.error, fault.detail); return rest.length;
	case PARSER_DONE: break;
	}

	size_t length = c->parser.at;
	struct request *rq = open_request(c);
	struct text copy = arena_text(&rq->response->head, text_span(rest.bytes, length));

	rq->headers = arena_alloc(&rq->response->head, (c->parser.fields + 1) * sizeof *rq->headers);
	rq->response->bytes_in = length;

	bool is_good = parser_read(&c->parser, copy, rq->headers, &head, &fault);

	if (!fill_request(rq, &head) && is_good) {
		fault = (struct parser_fault) { ERROR_MALFORMED_REQUEST,
			"The path is not percent-encoded UTF-8, or has dot segments" };
		is_good = false;
	}
	request_identify(rq);
	if (is_good)
		start_exchange(c, &head, rest.length > length);
	else
		exchange_refuse(c, fault.error, fault.detail);
	return length;
}

/* ---- body ----------------------------------------------------------------------------------------------------------------- */

static bool take_content(struct connection *c, struct text content)
{
	struct response *rs = c->rq->response;

	rs->body_bytes += content.length;
	if (rs->body_bytes > (uint64_t)c->server->options.limits->http_body_bytes) {
		exchange_refuse(c, ERROR_BODY_TOO_LARGE, NULL);
		return false;
	}
	if (!rs->discards)
		buffer_append_text(&rs->body, content);
	return true;
}

static size_t read_counted(struct connection *c, struct text rest)
{
	struct request *rq = c->rq;
	struct response *rs = rq->response;
	size_t length = rest.length < rs->body_left ? rest.length : (size_t)rs->body_left;

	rs->bytes_in += length;
	if (rs->body_bytes == 0 && length == rs->body_left && !rs->discards) {
		rq->body = arena_text(&rs->head, text_span(rest.bytes, length));
		rs->body_bytes = length;
	} else if (!take_content(c, text_span(rest.bytes, length))) {
		return length;
	}
	rs->body_left -= length;
	if (rs->body_left == 0)
		body_is_whole(c, rest.length > length);
	return length;
}

static size_t read_chunks(struct connection *c, struct text rest)
{
	struct response *rs = c->rq->response;
	struct text content = TEXT_NONE;
	const char *detail = NULL;
	size_t used = 0;

	for (;;) {
		size_t step = 0;
		enum chunked_result result = chunked_read(
			&rs->chunked, text_span(rest.bytes + used, rest.length - used), &step, &content, &detail);

		used += step;
		rs->bytes_in += step;
		switch (result) {
		case CHUNKED_MORE: return used;
		case CHUNKED_FAILED: exchange_refuse(c, ERROR_MALFORMED_REQUEST, detail); return used;
		case CHUNKED_DONE: body_is_whole(c, rest.length > used); return used;
		case CHUNKED_CONTENT:
			if (!take_content(c, content))
				return used;
			break;
		}
	}
}

static size_t read_body(struct connection *c, struct text rest)
{
	size_t used = c->rq->response->framing == FRAMING_CHUNKED ? read_chunks(c, rest) : read_counted(c, rest);

	if (c->state == CONNECTION_BODY && c->deadline.kind != DEADLINE_BODY)
		deadline_set(c->server, &c->deadline, DEADLINE_BODY);
	return used;
}

/* ---- input ---------------------------------------------------------------------------------------------------------------- */

static size_t feed_once(struct connection *c, struct text rest)
{
	switch (c->state) {
	case CONNECTION_IDLE:
		connection_set_state(c, CONNECTION_HEAD);
		c->is_fresh = false;
		c->started_us = server_now_us(c->server);
		return read_head(c, rest);
	case CONNECTION_HEAD: return read_head(c, rest);
	case CONNECTION_BODY: return read_body(c, rest);
	case CONNECTION_LINGERING: return rest.length;
	case CONNECTION_BUSY:
	case CONNECTION_FLUSHING:
	case CONNECTION_CLOSED: break;
	}
	return 0;
}

size_t exchange_feed(struct connection *c, struct text input)
{
	size_t used = 0, step = 1;

	c->is_feeding = true;
	while (used < input.length && step > 0) {
		step = feed_once(c, text_span(input.bytes + used, input.length - used));
		used += step;
	}
	c->is_feeding = false;
	/* A body of which nothing has come yet has a deadline too. */
	if (c->state == CONNECTION_BODY && c->deadline.kind != DEADLINE_BODY)
		deadline_set(c->server, &c->deadline, DEADLINE_BODY);
	if (c->is_corked && c->state != CONNECTION_CLOSED) {
		c->is_corked = false;
		if (c->state == CONNECTION_IDLE)
			connection_set_state(c, CONNECTION_FLUSHING);
		if (buffer_length(&c->out) > 0 || c->state == CONNECTION_FLUSHING)
			connection_flush(c);
	}
	return used;
}
