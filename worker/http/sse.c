/* sse.c: server-sent events on top of a stream. Called by the readers of turns and feeds. Buffers nothing of its own; a reader watches
 * sse_pending and reads on later from where its events are kept. */
#include "config.h"
#include "worker/http/internal.h"
#include "worker/http/sse.h"

struct sse {
	struct request *rq;       /* borrowed until sse_end */
	struct deadline deadline; /* the next comment */
};

struct sse *sse_start(struct request *rq, bool is_ui_message, const struct stream_events *events)
{
	struct sse *sse = must_alloc(sizeof *sse);

	sse->rq = rq;
	sse->deadline.kind = DEADLINE_COUNT;
	response_header(rq, "Cache-Control", "no-cache, no-transform");
	response_header(rq, "X-Accel-Buffering", "no");
	if (is_ui_message)
		response_header(rq, "x-vercel-ai-ui-message-stream", "v1");
	response_stream_start(rq, 200, "text/event-stream", events);
	deadline_set(rq->server, &sse->deadline, DEADLINE_PING);
	return sse;
}

static void write(struct sse *sse, struct text bytes)
{
	response_stream_write(sse->rq, bytes);
	deadline_set(sse->rq->server, &sse->deadline, DEADLINE_PING);
}

void sse_event(struct sse *sse, struct text id, struct text json)
{
	struct buffer *b = &sse->rq->server->json;

	buffer_clear(b);
	if (id.bytes != NULL) {
		buffer_append_string(b, "id: ");
		buffer_append_text(b, id);
		buffer_append_char(b, '\n');
	}
	buffer_append_string(b, "data: ");
	buffer_append_text(b, json);
	buffer_append_string(b, "\n\n");
	write(sse, buffer_text(b));
}

void sse_retry(struct sse *sse, int retry_ms)
{
	struct buffer *b = &sse->rq->server->json;

	buffer_clear(b);
	buffer_printf(b, "retry: %d\n\n", retry_ms);
	write(sse, buffer_text(b));
}

void sse_expired(struct deadline *d)
{
	struct sse *sse = CONTAINER(d, struct sse, deadline);

	/* A peer that takes nothing gets no more comments; the write deadline sees to it. */
	if (sse_pending(sse) > 0)
		deadline_set(sse->rq->server, d, DEADLINE_PING);
	else
		write(sse, TEXT(": ping\n\n"));
}

size_t sse_pending(const struct sse *sse)
{
	return response_stream_pending(sse->rq);
}

void sse_end(struct sse **sse)
{
	if (*sse == NULL)
		return;
	deadline_clear((*sse)->rq->server, &(*sse)->deadline);
	response_stream_end((*sse)->rq);
	free(*sse);
	*sse = NULL;
}
