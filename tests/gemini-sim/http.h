/* A small HTTP/1.1 server for the simulator: keep-alive, chunked bodies both ways, Expect, and the misbehaviour that tests
 * need (raw bytes, split TCP writes, close in the middle, RST). It knows nothing of Gemini. */
#ifndef GEMINI_SIM_HTTP_H
#define GEMINI_SIM_HTTP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_connection;

struct http_field {
	const char *name;  /* as sent; borrowed from the exchange's head */
	const char *value; /* trimmed; borrowed likewise */
};

/* One request and its answer. It lives from the handler's call until http_reply, http_finish, http_close or http_reset,
 * or until on_gone was called because the client left; after that it must not be touched. */
struct http_exchange {
	const char *method;                 /* borrowed from `head` */
	const char *path;                   /* without the query, still percent-encoded */
	const char *query;                  /* after the `?`; "" if none */
	struct http_field *fields;          /* owned; the header fields in order */
	size_t field_count;                 /* length of `fields` */
	unsigned char *body;                /* owned; decoded, followed by a NUL */
	size_t body_length;                 /* bytes in `body` */
	size_t body_capacity;               /* bytes allocated for it */
	char *head;                         /* owned; the head with NULs in place of separators */
	bool keep_alive;                    /* the connection may serve another request afterwards */
	bool minor_one;                     /* HTTP/1.1, so that chunked answers are allowed */
	bool chunked;                       /* the answer that began is sent chunked */
	int split_bytes;                    /* largest TCP write of this answer, chosen at random below; 0 = whole */
	int64_t received_ms;                /* when the whole request was there; wheel_now_ms */
	struct http_connection *connection; /* borrowed; the transport */
	void *owner;                        /* for the handler */
	void (*on_gone)(struct http_exchange *x, void *owner); /* the client left before the end; may be NULL */
};

typedef void http_handler_fn(struct http_exchange *x, void *context);

struct http_options {
	const char *host;           /* numeric address to listen on */
	int port;                   /* 0 = any free one */
	size_t body_limit_bytes;    /* larger requests are handed over with `too_large` as handler instead */
	uint64_t seed;              /* for the split sizes */
	http_handler_fn *handle;    /* called for each complete request */
	http_handler_fn *too_large; /* called instead when the body passes the limit; the connection closes after it */
	void *context;              /* for both */
};

/* NULL with errno when the address cannot be listened on. */
struct http_server *http_open(struct event_base *base, const struct http_options *options);
int http_port(const struct http_server *server);
size_t http_connections(const struct http_server *server);
/* Stops listening and drops all connections without calling on_gone. */
void http_close_server(struct http_server **server);

/* Value of a header field, compared without case; NULL if absent. */
const char *http_header(const struct http_exchange *x, const char *name);
/* Copies the decoded value of a query parameter. False if absent or too long. */
bool http_query(const struct http_exchange *x, const char *name, char *out, size_t capacity);

/* A whole answer with Content-Length. `fields` is "Name: value\r\n" lines or "". Ends the exchange. */
void http_reply(struct http_exchange *x, int status, const char *fields, const void *body, size_t length);
/* An answer in pieces. Empty writes are ignored. */
void http_begin(struct http_exchange *x, int status, const char *fields);
void http_write(struct http_exchange *x, const void *bytes, size_t length);
void http_finish(struct http_exchange *x);
/* Bytes put on the connection exactly so. */
void http_write_raw(struct http_exchange *x, const void *bytes, size_t length);
/* Ends the exchange and the connection: http_close sends what is queued and then FIN, http_reset then RST. */
void http_close(struct http_exchange *x);
void http_reset(struct http_exchange *x);

const char *http_reason(int status);

#endif
