/* sse.h: an event stream as an answer: header fields, comments while silent, events. One per reader; built on response_stream_*. */
#ifndef RENOVATIOND_WORKER_HTTP_SSE_H
#define RENOVATIOND_WORKER_HTTP_SSE_H

#include "worker/http/response.h"

struct sse;

/* Answers 200 text/event-stream with Cache-Control: no-cache, no-transform, X-Accel-Buffering: no and, when `is_ui_message`,
 * x-vercel-ai-ui-message-stream: v1; writes a comment after each http_sse_ping_ms without an event. */
struct sse *sse_start(struct request *rq, bool is_ui_message, const struct stream_events *events);
/* One event. `id` TEXT_NONE leaves the id out. `json` is one line. */
void sse_event(struct sse *sse, struct text id, struct text json);
void sse_retry(struct sse *sse, int retry_ms);
size_t sse_pending(const struct sse *sse);
/* Ends the answer and frees. */
void sse_end(struct sse **sse);

#endif
