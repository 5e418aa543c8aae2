/* wire.h: one HTTP/1.1 client connection that a loop turns, for loads of many clients at once: one request at a time, kept between them. */
#ifndef RENOVATIOND_TESTS_SUPPORT_WIRE_H
#define RENOVATIOND_TESTS_SUPPORT_WIRE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "shared/buffer.h"

struct wire {
	struct event_base *base; /* borrowed */
	int port;                /* on 127.0.0.1 */
	int fd;                  /* -1 when not connected */
	struct event event;      /* of fd */
	struct buffer out;       /* what the socket did not take */
	struct buffer in;        /* bytes that are not used yet */
	bool is_asking;          /* a request waits for the end of its answer */
	bool has_byte;           /* of the answer */
	bool has_head;           /* of the answer */
	bool is_chunked;         /* the answer */
	bool is_last;            /* it says Connection: close, or ends with the connection */
	bool is_reused;          /* the connection carried a request before this one */
	int status;              /* of the answer; 0 before */
	long left;        /* bytes of the body, or of its chunk, to come; -1: a chunk's head, -2: up to the end */
	int unasked_ends; /* times the server closed it while nothing was asked */
	void (*on_body)(void *arg, struct text bytes);  /* de-chunked */
	void (*on_end)(void *arg, const char *problem); /* the answer is whole, or why it is not */
	void *arg;                                      /* of both */
};

void wire_init(struct wire *w, struct event_base *base, int port);
/* Connects when needed. `request` is whole. */
void wire_ask(struct wire *w, struct text request);
void wire_close(struct wire *w);
void wire_fini(struct wire *w);

#endif
