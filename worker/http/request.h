/* request.h: one request as handlers see it. Made by the connection when a header is whole, handed to the route's handler when the body is
 * whole and the caller is authenticated, freed at the end of the loop turn in which it was answered.
 * A request outlives its connection: when the client goes away the handler is told nothing and answers as if it were there; the answer is
 * thrown away. So every handler answers exactly once, on every path (response.h), and never cancels work because a client left. */
#ifndef RENOVATIOND_WORKER_HTTP_REQUEST_H
#define RENOVATIOND_WORKER_HTTP_REQUEST_H

#include "shared/arena.h"
#include "shared/error.h"
#include "shared/text.h"
#include "shared/uuid.h"

struct connection;
struct route;
struct http_server;

enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHOD_COUNT
};

struct header {
	struct text name;  /* as sent; compare with text_equals_nocase */
	struct text value; /* without surrounding space; repeated fields stay apart */
};

#define REQUEST_PARAMS_MAX 4
#define REQUEST_ID_BYTES   (UUID_TEXT_BYTES + 96) /* with NUL */

struct request {
	struct arena arena;            /* everything below lives here */
	struct http_server *server;    /* borrowed */
	struct connection *connection; /* NULL once the client is gone */
	const struct route *route;     /* never NULL in a handler */
	enum method method;            /* HEAD has METHOD_HEAD; its answer's body is left out by the response */
	int minor_version;             /* 0 or 1 of HTTP/1.x */
	struct text target;            /* as sent */
	struct text raw_path;          /* path as sent, without query: what the router matches, segment by segment */
	struct text path;              /* percent-decoded, without query, valid UTF-8, no NUL */
	struct text query;             /* as sent, without '?'; TEXT_NONE when there is none */
	struct text params[REQUEST_PARAMS_MAX]; /* path parameters in order, decoded */
	struct uuid ids[REQUEST_PARAMS_MAX];    /* the same parsed, where the route's type is uuid */
	struct header *headers;                 /* count below */
	size_t header_count;
	char client
		[46]; /* the peer's address as text, "unix" for a UNIX socket; behind a trusted proxy whom it has seen */
	struct text body;          /* whole, de-chunked; TEXT("") when there is none */
	char id[REQUEST_ID_BYTES]; /* X-Request-Id when safe, else a UUIDv7 */
	char trace_id[33];         /* W3C: from traceparent, else made */
	char span_id[17];          /* ours, the child */
	char parent_span_id[17];   /* the caller's; "" when there was none */
	int64_t started_us;        /* monotonic, first byte of the request */
	struct uuid owner;         /* set by the authenticator; valid when has_owner */
	bool has_owner;
	bool is_admin;     /* came over the admin listener, or brought the admin token to a route that is not public */
	bool is_new_owner; /* minted by this request: the answer carries X-Owner-Token */
	struct text owner_token;   /* the clear token of a new owner, else TEXT_NONE; never logged */
	struct uuid conversation;  /* what it is about, for the log line; valid when has_conversation */
	bool has_conversation;     /* the route's path names it, or the handler has found it */
	void *handler_state;       /* the handler's own, in the arena */
	struct response *response; /* state of the answer, owned by response.c */
};

/* First field of that name (any case), TEXT_NONE when absent. */
struct text request_header(const struct request *rq, const char *name);
/* Value of a query parameter, percent- and plus-decoded into the arena; TEXT_NONE when absent. TEXT_NONE for malformed
 * escapes too. */
struct text request_query(struct request *rq, const char *name);
/* Idempotency-Key, bare or quoted: 1 to 255 printable ASCII characters without spaces; TEXT_NONE when absent. False when it is malformed. */
bool request_idempotency_key(const struct request *rq, struct text *key_out);
/* Value of a cookie, TEXT_NONE when absent. */
struct text request_cookie(const struct request *rq, const char *name);
/* Does Accept name this media type with a q above that of JSON? A missing Accept accepts anything (false). */
bool request_prefers(const struct request *rq, const char *media_type);
/* The same with a type of one's own in the place of JSON. */
bool request_prefers_over(const struct request *rq, const char *media_type, const char *other);
/* For handlers: the conversation that the request turned out to be about. */
void request_set_conversation(struct request *rq, const struct uuid *conversation);
/* What http_options.context holds: the worker. */
void *request_context(const struct request *rq);

#endif
