/* stream.c: answers that are written piece by piece. What is written in a loop turn goes out together at its end; what the socket does not take
 * waits in the connection, and on_writable says when it is gone. Called by handlers and sse.c. */
#include "config.h"
#include "worker/http/internal.h"
#include "worker/http/head.h"

void response_stream_start(struct request *rq, int status, const char *content_type, const struct stream_events *events)
{
	struct response *rs = rq->response;
	struct buffer *head = &rq->server->head;

	rs->is_chunked = rq->minor_version > 0;
	if (!rs->is_chunked)
		rs->keep_alive = false;
	head_begin(rq, status, content_type);
	if (rs->is_chunked)
		buffer_append_string(head, "Transfer-Encoding: chunked\r\n");

	struct text bytes = head_end(rq);

	rs->is_stream = true;
	rs->stream_us = clock_monotonic_us();
	rs->bytes_out = bytes.length;
	rq->server->stream_count++;
	SCOREBOARD_ADD(rq->server->slot->counters.streams_opened, 1);
	if (events != NULL)
		rs->events = *events;
	if (rq->connection != NULL)
		connection_append(rq->connection, bytes);
	exchange_forget_head(rq);
}

void response_stream_write(struct request *rq, struct text bytes)
{
	struct connection *c = rq->connection;
	struct response *rs = rq->response;

	must(rs->is_stream && !rs->is_finished);
	if (c == NULL || bytes.length == 0 || rq->method == METHOD_HEAD)
		return;
	rs->bytes_out += bytes.length;
	if (!rs->is_chunked) {
		connection_append(c, bytes);
		return;
	}
	buffer_printf(&c->out, "%zx\r\n", bytes.length);
	buffer_append_text(&c->out, bytes);
	connection_append(c, TEXT("\r\n"));
}

size_t response_stream_pending(const struct request *rq)
{
	return rq->connection != NULL ? buffer_length(&rq->connection->out) : 0;
}

void response_stream_end(struct request *rq)
{
	struct response *rs = rq->response;

	must(rs->is_stream && !rs->is_finished);
	if (rq->connection != NULL && rs->is_chunked && rq->method != METHOD_HEAD)
		connection_append(rq->connection, TEXT("0\r\n\r\n"));
	rs->is_gone_told = true;
	exchange_finish(rq);
}
