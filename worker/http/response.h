/* response.h: how a handler answers: once and whole, with a problem, or as a stream. Bytes are written at once when the socket takes them;
 * only what it did not take is copied. Nothing here fails for the handler: a client that is gone makes the call a no-op. */
#ifndef RENOVATIOND_WORKER_HTTP_RESPONSE_H
#define RENOVATIOND_WORKER_HTTP_RESPONSE_H

#include "worker/http/request.h"

/* Adds a field to the answer, before it is sent. Name and value are copied. Values must hold no CR, LF or NUL (must). */
void response_header(struct request *rq, const char *name, const char *value);

/* The whole answer. `content_type` NULL means no body (204, 304). `body` may be freed after the call. Adds Date, Content-Length,
 * X-Request-Id, X-Owner-Token of a new owner, Connection where needed. 304 and HEAD leave the body out. */
void response_send(struct request *rq, int status, const char *content_type, struct text body);

/* application/json */
void response_json(struct request *rq, int status, struct text body);

/* A problem (RFC 9457 with the members of our API): status, code and title from errors.def; `detail` is one sentence for people (NULL: the
 * title). Sent as application/problem+json, or application/json when that is what Accept asks for. */
void response_problem(struct request *rq, enum error e, const char *detail);
/* The same with Retry-After in seconds. */
void response_problem_retry(struct request *rq, enum error e, const char *detail, int retry_after_s);

struct field_problem {
	struct text path;    /* "title", "address.city", "items[2].name" */
	const char *code;    /* required too_long too_short wrong_type unknown invalid out_of_range not_unique */
	struct text message; /* "title must be 1 to 200 characters" */
};
/* ERROR_VALIDATION_FAILED with its list; `error` and `detail` are the first message. */
void response_invalid(struct request *rq, const struct field_problem problems[], size_t count);
/* A problem with extra members: `extra` is JSON without braces, e.g. "\"turnId\":\"…\"". */
void response_problem_with(struct request *rq, enum error e, const char *detail, struct text extra);

/* --- streams (SSE and long answers) ---------------------------------------------------------------------------------------- */

struct stream_events {
	void (*on_writable)(void *arg); /* the socket took everything that was pending; write on */
	void (*on_gone)(
		void *arg); /* the client is gone, or was cut for taking nothing; comes at most once, then write and end are
	                                 * no-ops, and response_stream_end must still be called once */
	void *arg;          /* borrowed */
};

/* Sends the header (chunked for HTTP/1.1, until close for 1.0). Exactly one response_stream_end must follow.
 * From then on the request's header fields, target, path, query and body are gone, so that an idle stream is small: copy before what is
 * needed later. Parameters, ids and the arena stay. */
void response_stream_start(
	struct request *rq, int status, const char *content_type, const struct stream_events *events);
/* Queues bytes (copied only as far as the socket did not take them at the end of this loop turn). */
void response_stream_write(struct request *rq, struct text bytes);
/* Bytes queued and not yet taken by the socket: stop writing above a limit of your own and wait for on_writable. */
size_t response_stream_pending(const struct request *rq);
void response_stream_end(struct request *rq);
/* Is somebody still there to read? */
bool response_is_open(const struct request *rq);

#endif
