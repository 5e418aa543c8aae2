/* Between http.c (answers) and http_read.c (requests): the connection both work on. Nobody else includes this. */
#ifndef GEMINI_SIM_CONNECTION_H
#define GEMINI_SIM_CONNECTION_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "tests/gemini-sim/http.h"

enum http_phase {
	HTTP_PHASE_HEAD,    /* waiting for a request's head */
	HTTP_PHASE_BODY,    /* reading a body of known length */
	HTTP_PHASE_CHUNKS,  /* reading a chunked body */
	HTTP_PHASE_ANSWER,  /* the handler has the exchange */
	HTTP_PHASE_CLOSING, /* only sending what is left, then FIN or RST */
};

struct http_connection {
	struct http_server *server;         /* borrowed */
	struct bufferevent *transport;      /* owned; owns the descriptor */
	struct evbuffer *held;              /* owned; answer bytes not yet released in split mode */
	struct event *release;              /* owned; lets the next split out in the next loop turn */
	struct http_exchange *exchange;     /* owned; the current one, NULL between requests */
	struct http_connection *next, **at; /* in the server's list */
	enum http_phase phase;              /* see above */
	size_t body_left;                   /* bytes of the body (or of the current chunk) still to come */
	bool trailer;                       /* the last chunk was read, its trailer not */
	bool reset;                         /* after CLOSING: RST instead of FIN */
	bool doomed;                        /* freed when control is back in the transport's callback */
};

/* Reads as many requests as are complete; called when bytes came and when an answer is done. */
void http_read_requests(struct http_connection *c);
void http_exchange_destroy(struct http_exchange **x);
/* Puts bytes on the way, at once if nothing is queued. */
void http_push(struct http_connection *c, const void *bytes, size_t length, int split_bytes);
void http_drop(struct http_connection *c);
/* The options the server was opened with. */
const struct http_options *http_server_options(const struct http_server *server);

#endif
