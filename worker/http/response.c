/* response.c: answers that are sent whole, and the header of all answers: THE one place for fields that every answer carries.
 * Called by handlers and by the parts of this folder that refuse requests. Builds the header in the server's scratch, hands header and body to the
 * connection in one write. */
#include "config.h"
#include "worker/http/internal.h"
#include "worker/http/head.h"

#include "shared/log.h"

/* Every answer of every status carries these. */
#define SECURITY_FIELDS "X-Content-Type-Options: nosniff\r\n"

/* A body up to this size is sent as one piece with its header: copying it is cheaper than handing the kernel two pieces. */
#define COPY_BYTES_MAX 2048

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < COUNT_OF(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

static void append_literal(struct buffer *b, struct text name, struct text value)
{
	buffer_append_text(b, name);
	buffer_append_text(b, value);
	buffer_append(b, "\r\n", 2);
}

static struct text current_date(struct http_server *server)
{
	int64_t now_us = server_now_us(server);

	if (now_us >= server->date_until_us) {
		int64_t wall_us = clock_wall_us();

		clock_format_http_date(wall_us, server->date);
		server->date_until_us = now_us + 1000000 - wall_us % 1000000;
	}
	return text_span(server->date, CLOCK_HTTP_DATE_BYTES - 1);
}

void head_begin(struct request *rq, int status, const char *content_type)
{
	struct buffer *head = &rq->server->head;
	struct response *rs = rq->response;

	must(rs->status == 0 && status >= 200 && status < 600);
	rs->status = status;
	/* Told first: a connection whose last answer did not say so is not closed behind it. */
	if (rq->server->is_draining)
		rs->keep_alive = false;
	buffer_clear(head);
	buffer_append(head, "HTTP/1.1 ", 9);
	buffer_append_number(head, status);
	append_literal(head, TEXT(" "), text_of(reason_of(status)));
	append_literal(head, TEXT("Date: "), current_date(rq->server));
	if (content_type != NULL)
		append_literal(head, TEXT("Content-Type: "), text_of(content_type));
	append_literal(head, TEXT("X-Request-Id: "), text_of(rq->id));
	buffer_append_text(head, TEXT(SECURITY_FIELDS));
	if (rq->is_new_owner)
		append_literal(head, TEXT("X-Owner-Token: "), rq->owner_token);
	for (const struct header_line *line = rs->first; line != NULL; line = line->next)
		buffer_append_text(head, line->line);
	if (!rs->keep_alive)
		buffer_append_string(head, "Connection: close\r\n");
	else if (rq->minor_version == 0)
		buffer_append_string(head, "Connection: keep-alive\r\n");
}

struct text head_end(struct request *rq)
{
	buffer_append(&rq->server->head, "\r\n", 2);
	return buffer_text(&rq->server->head);
}

void response_header(struct request *rq, const char *name, const char *value)
{
	struct response *rs = rq->response;
	struct header_line *line = arena_alloc(&rq->arena, sizeof *line);

	must(strpbrk(value, "\r\n") == NULL && rs->status == 0);
	size_t name_length = strlen(name), value_length = strlen(value);
	char *bytes = arena_alloc(&rq->arena, name_length + value_length + 5);

	memcpy(bytes, name, name_length);
	memcpy(bytes + name_length, ": ", 2);
	memcpy(bytes + name_length + 2, value, value_length);
	memcpy(bytes + name_length + 2 + value_length, "\r\n", 2);
	line->line = text_span(bytes, name_length + value_length + 4);
	*rs->last = line;
	rs->last = &line->next;
}

void response_send(struct request *rq, int status, const char *content_type, struct text body)
{
	struct response *rs = rq->response;
	struct buffer *head = &rq->server->head;
	bool has_body = content_type != NULL && status != 204 && status != 304;

	head_begin(rq, status, content_type);
	if (has_body || (status != 204 && status != 304)) {
		buffer_append_string(head, "Content-Length: ");
		buffer_append_number(head, has_body ? (int64_t)body.length : 0);
		buffer_append(head, "\r\n", 2);
	}

	struct text bytes = head_end(rq);

	if (!has_body || rq->method == METHOD_HEAD)
		body = TEXT_NONE;
	rs->bytes_out = bytes.length + body.length;
	if (body.length > 0 && body.length <= COPY_BYTES_MAX) {
		buffer_append_text(head, body);
		bytes = buffer_text(head);
		body = TEXT_NONE;
	}
	if (rq->connection != NULL)
		connection_send(rq->connection, bytes, body);
	exchange_finish(rq);
}

void response_json(struct request *rq, int status, struct text body)
{
	response_send(rq, status, "application/json", body);
}

bool response_is_open(const struct request *rq)
{
	return rq->connection != NULL;
}
