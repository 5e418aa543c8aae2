/* intake.c: from bytes to a request: takes headers and bodies off the input, and refuses what no handler should see: wrong framing, unknown paths and
 * methods, bodies that are too large or of another type. Called by connection.c with what it has read; hands on to exchange.c. */
#include "config.h"
#include "worker/http/internal.h"

#define DRAINED_RETRY_S "5"

/* ---- header --------------------------------------------------------------------------------------------------------------- */

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

/* Among the routes that exist for whoever asks. The operator's token is looked at only where it can matter. */
static enum error find_route(struct request *rq, const char **allow_out)
{
	struct http_server *server = rq->server;
	enum error e;

	rq->is_admin = rq->connection->is_admin;
	e = router_find(server->routers[rq->is_admin ? ROUTER_ADMIN : ROUTER_PUBLIC], rq, allow_out);
	if (e != ERROR_NOT_FOUND || rq->is_admin || server->options.is_operator == NULL ||
		!server->options.is_operator(rq))
		return e;
	rq->is_admin = true;
	return router_find(server->routers[ROUTER_OPERATOR], rq, allow_out);
}

/* The operator has drained the pool: this worker is there to say so. */
static bool is_drained(const struct http_server *server)
{
	const struct scoreboard_pool *pool = &server->options.board->pool;

	return SCOREBOARD_GET(pool->is_drained) != 0 && SCOREBOARD_GET(pool->generation) == server->options.generation;
}

/* Route and body, as far as the header tells. */
static enum error check_request(struct request *rq, const struct head *head)
{
	const char *allow = NULL;
	enum error e = find_route(rq, &allow);

	if (is_drained(rq->server) && !rq->is_admin && (e != ERROR_NONE || !rq->route->is_probe)) {
		response_header(rq, "Retry-After", DRAINED_RETRY_S);
		rq->response->keep_alive = false;
		return ERROR_SERVICE_UNAVAILABLE;
	}
	if (e == ERROR_METHOD_NOT_ALLOWED)
		response_header(rq, "Allow", allow);
	if (e != ERROR_NONE)
		return e;
	measure_begin(rq);
	if (rq->route->names_conversation)
		request_set_conversation(rq, &rq->ids[0]);
	return check_body(rq, head);
}

/* What OPTIONS is answered; NULL when there is nothing at the path. */
static const char *find_allow(struct request *rq)
{
	const char *allow = NULL;

	if (text_equals(rq->raw_path, TEXT("*")))
		return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
	return find_route(rq, &allow) == ERROR_METHOD_NOT_ALLOWED ? allow : NULL;
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

/* No handler's: a body means nothing here (RFC 9110 section 9.3.7), and is read away first; one that waits to be asked for is not. */
static void start_options(struct connection *c, const struct head *head, bool has_more)
{
	struct response *rs = c->rq->response;

	if (head->framing != FRAMING_NONE && !head->expects_continue) {
		rs->discards = true;
		rs->body_started_us = server_now_us(c->server);
		connection_set_state(c, CONNECTION_BODY);
		return;
	}
	if (head->expects_continue) {
		rs->keep_alive = false;
		rs->lingers = true;
	}
	exchange_body_whole(c, has_more);
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
	if (rq->method == METHOD_OPTIONS && (rs->allow = find_allow(rq)) != NULL) {
		start_options(c, head, has_more);
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
		exchange_body_whole(c, has_more);
		return;
	}
	rs->body_started_us = server_now_us(c->server);
	connection_set_state(c, CONNECTION_BODY);
	if (!head->expects_continue)
		return;
	/* Credentials are looked at before the body is asked for, except where they could make a new owner. */
	rs->is_authenticated = rq->route->auth == AUTH_MINT;
	exchange_authenticate(rq);
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
	struct request *rq = exchange_open(c);
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
	client_resolve(rq);
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
		exchange_body_whole(c, rest.length > length);
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
		case CHUNKED_DONE: exchange_body_whole(c, rest.length > used); return used;
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

size_t intake_feed(struct connection *c, struct text input)
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
