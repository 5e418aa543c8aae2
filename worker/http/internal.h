/* internal.h: what the files of this folder share and nobody else sees: the server, its connections, the private half of a request, deadlines.
 * One loop turn: libevent calls into connection.c, listener.c or (through response.h) a handler answers; whatever is left to do is done once,
 * at the end of the turn, by server.c: flush what was written, read on where an answer made room, free what is over, write the log. */
#ifndef RENOVATIOND_WORKER_HTTP_INTERNAL_H
#define RENOVATIOND_WORKER_HTTP_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "shared/addresses.h"
#include "shared/buffer.h"
#include "shared/clock.h"
#include "worker/http/chunked.h"
#include "worker/http/parser.h"
#include "worker/http/response.h"
#include "worker/http/server.h"

#define READ_BYTES        65536             /* one read; also what one connection may send ahead of its answers */
#define CORK_BYTES        65536             /* pipelined answers are gathered up to this */
#define PENDING_BYTES_MAX (4 * 1024 * 1024) /* a stream that has more unsent is cut: its writer ignores back-pressure */
#define LINGER_MS         2000 /* after our last byte the peer's are read away for this long, so that no reset overtakes it */
#define FREE_REQUESTS_MAX 64   /* kept for reuse, each with its first arena block */
#define HEAD_BYTES        1520 /* first block for what was received: enough for most requests */
#define OWN_BYTES         432 /* first block of the request's arena: little, because a stream that stays open keeps it */
#define FRESH_MS          2000 /* a stop waits this long for the first request of a connection that was accepted before it */
#define REFUSED_MAX       32 /* connections over the limit that are being told 503 */

/* ---- deadlines.c: one queue for each length of time, so that the first is always the next ------------------------------------ */

enum deadline_kind {
	DEADLINE_HEADER, /* connection: a header is incomplete */
	DEADLINE_BODY,   /* connection: a body is incomplete */
	DEADLINE_IDLE,   /* connection: no request */
	DEADLINE_WRITE,  /* connection: the peer takes nothing */
	DEADLINE_LINGER, /* connection: the last answer is out */
	DEADLINE_PING,   /* sse: nothing was written for a while */
	DEADLINE_COUNT   /* in no queue */
};

struct deadline {
	TAILQ_ENTRY(deadline) link;
	int64_t due_ms;          /* monotonic */
	enum deadline_kind kind; /* which queue; DEADLINE_COUNT none */
};

TAILQ_HEAD(deadline_queue, deadline);

struct deadlines {
	struct deadline_queue queues[DEADLINE_COUNT]; /* ordered by due_ms */
	int64_t lengths_ms[DEADLINE_COUNT];           /* what the queues were made with */
	struct event timer;                           /* fires for the earliest */
	int64_t timer_ms;                             /* when; INT64_MAX = not set */
};

void deadlines_init(struct http_server *server);
void deadlines_fini(struct http_server *server);
/* Due after `kind`'s option from now; moves it when it was set. */
void deadline_set(struct http_server *server, struct deadline *d, enum deadline_kind kind);
void deadline_clear(struct http_server *server, struct deadline *d);
/* The options may have changed: what is set is moved. */
void deadlines_adjust(struct http_server *server);

/* ---- connection.c ----------------------------------------------------------------------------------------------------------- */

enum connection_state {
	CONNECTION_IDLE,      /* no byte of a request has come */
	CONNECTION_HEAD,      /* a header is incomplete */
	CONNECTION_BODY,      /* a header is read, its body incomplete */
	CONNECTION_BUSY,      /* a request is with the authenticator or its handler */
	CONNECTION_FLUSHING,  /* it is answered; the socket has not taken all of it */
	CONNECTION_LINGERING, /* nothing more will be answered; input is thrown away until the peer closes */
	CONNECTION_CLOSED     /* the descriptor is closed; freed at the end of the turn */
};

struct connection {
	struct event event;             /* readable, and writable only while the socket is full */
	TAILQ_ENTRY(connection) link;   /* in server->connections, then in ->closed */
	STAILQ_ENTRY(connection) later; /* in server->later while is_queued */
	struct deadline deadline;       /* the one that counts in this state */
	struct http_server *server;     /* borrowed */
	struct request *rq;             /* being read or answered; NULL between */
	struct buffer in;               /* bytes not used yet; no memory when empty */
	struct buffer out;              /* bytes the socket did not take; no memory when empty */
	struct parser parser;           /* progress of the header */
	int64_t started_us;             /* monotonic: first byte of the current request */
	int fd;                         /* owned */
	enum connection_state state;
	short interest;      /* EV_READ, EV_WRITE: what `event` waits for */
	bool is_queued;      /* in server->later */
	bool is_feeding;     /* intake_feed is at work: it goes on by itself */
	bool is_corked;      /* more requests are in hand: gather answers */
	bool is_read_closed; /* the peer has shut its side */
	bool is_fresh;       /* has not sent a request yet */
	bool is_closing;     /* close when `out` is empty */
	bool lingers;        /* when closing, read away what still comes */
	bool was_full;       /* the socket has refused bytes since `out` was last empty */
	bool is_refused;     /* over the limit; only told so */
	bool is_admin;       /* of the admin listener: in no count of clients, and no drain waits for it */
	char client[46];     /* address as text */
};

struct connection_origin {
	const char *client; /* address as text */
	bool is_used;       /* something was asked on it before, of another worker */
	bool is_refused;    /* over the limit: told so and closed */
	bool is_admin;      /* came over the admin listener */
};
void connection_open(struct http_server *server, int fd, const struct connection_origin *origin);
/* Puts bytes out: to the socket at once, or behind what waits. */
void connection_send(struct connection *c, struct text head, struct text body);
/* Gathers bytes for the end of the turn. */
void connection_append(struct connection *c, struct text bytes);
void connection_flush(struct connection *c);
/* Called again at the end of this turn. */
void connection_queue(struct connection *c);
void connection_end_turn(struct connection *c);
void connection_set_state(struct connection *c, enum connection_state state);
/* The current request is answered: on to the next, or close. */
void connection_answered(struct connection *c, bool keep_alive, bool lingers);
void connection_expired(struct connection *c, enum deadline_kind kind);
/* For the end of a drain or stop: an idle one without unread bytes is given to another worker or closed; one that has a request again counts as busy.
 * False when it must be tried again soon. */
bool connection_leave(struct connection *c);
/* Ends it now, whatever it does; with a reset when `is_cut`. Its request lives on without it. */
void connection_lost(struct connection *c, bool is_cut);
void connection_free(struct connection *c);

/* ---- intake.c, exchange.c: from bytes to an answered request --------------------------------------------------------------------------- */

struct header_line {
	struct header_line *next;
	struct text line; /* "Name: value\r\n" */
};

/* The private half of a request. */
struct response {
	TAILQ_ENTRY(response) link;        /* in server->requests */
	struct request *rq;                /* the other half, in the same block */
	struct response *next_free;        /* in server->answered or ->free_requests */
	struct header_line *first, **last; /* fields added by the handler */
	struct stream_events events;       /* of a stream */
	struct arena head;                 /* header, path and body as received; given back when a stream starts */
	uint64_t bytes_in;                 /* header and body as received */
	uint64_t bytes_out;                /* header and body of the answer */
	int status;                        /* 0 until answered or streaming */
	/* the body, while it arrives */
	enum framing framing;
	uint64_t body_left;          /* FRAMING_LENGTH: bytes to come */
	uint64_t body_bytes;         /* content received so far */
	struct chunked chunked;      /* FRAMING_CHUNKED */
	struct buffer body;          /* content in pieces; owned; empty when it came at once */
	int64_t body_started_us;     /* monotonic */
	int64_t stream_us;           /* monotonic: when the stream began */
	enum error deferred;         /* answered once the body is read away */
	const char *deferred_detail; /* static or in the arena, or NULL */
	const char *allow;           /* of OPTIONS: the methods to answer; static or in the arena; NULL = a handler's */
	bool discards;               /* the body is thrown away */
	bool awaits_body;            /* 100 Continue is due once authenticated */
	bool is_body_whole;          /* or there is none */
	bool is_authenticating;      /* the authenticator has not called back yet */
	bool is_authenticated;       /* done, or not needed */
	bool has_method;             /* the request line was understood that far */
	bool keep_alive;             /* as the request wants it */
	bool lingers;                /* closing: unread bytes may follow */
	bool is_stream;              /* started as a stream */
	bool is_chunked;             /* the stream is chunked */
	bool is_finished;            /* answered: freed at the end of the turn */
	bool is_in_flight;           /* counted so, in its route's row */
	bool is_gone_told;           /* on_gone was called */
	bool is_refused;             /* its connection is over the limit: the listener has a line for all of these */
};

struct exchange {
	struct request rq;
	struct response rs;
};

/* intake.c: takes as many requests out of the input as can be answered now; returns the bytes used. */
size_t intake_feed(struct connection *c, struct text input);
/* A new request on this connection, with nothing but its address. */
struct request *exchange_open(struct connection *c);
/* Asks who it is; then the handler is called, or the body asked for that it announced (Expect). */
void exchange_authenticate(struct request *rq);
/* Nothing of the request is missing: answers it with the error found before, or hands it on. `has_more`: input of the next one is in hand. */
void exchange_body_whole(struct connection *c, bool has_more);
/* The answer is complete: counts, logs, lets the connection go on. */
void exchange_finish(struct request *rq);
/* The client went away: tells the stream, or drops a request whose body is not whole. */
void exchange_client_gone(struct request *rq);
/* Answers 408 or the like for a request that is not whole, and closes. */
void exchange_refuse(struct connection *c, enum error e, const char *detail);
void exchange_free(struct response *rs);

/* ---- measure.c: what the metrics count of requests ------------------------------------------------------------------------------ */

void measure_open(struct http_server *server); /* a row for each route */
void measure_close(struct http_server *server);
/* Its route is known. */
void measure_begin(struct request *rq);
/* It is answered, or given up. */
void measure_end(struct request *rq, int64_t now_us);

/* A stream has started: what was received is given back, parameters and ids stay. */
void exchange_forget_head(struct request *rq);

/* ---- request.c -------------------------------------------------------------------------------------------------------------- */

void request_identify(struct request *rq);

/* ---- client.c --------------------------------------------------------------------------------------------------------------- */

void client_set_options(struct http_server *server);
/* rq->client is the peer; behind a trusted proxy it becomes whom that has seen. Needs the headers. */
void client_resolve(struct request *rq);

/* ---- listener.c, admin.c, balance.c ---------------------------------------------------------------------------------------------- */

struct listener {
	struct event event;     /* the listening socket; persistent */
	struct event timer;     /* ends a pause */
	int spare_fd;           /* given up to accept and close one connection when descriptors run out */
	int pause_ms;           /* last pause for want of descriptors; 0 = none */
	int gate_ms;            /* last pause for balance */
	int64_t gated_since_ms; /* readable but gated since; 0 = not gated */
	int64_t gated_last_ms;  /* last time the gate was found shut */
	bool is_open;           /* accepts at all */
	struct event refusals;  /* a second after refused connections were logged: no line before */
	uint64_t refused;       /* connections over the limit that no line has told of yet */
};

void listener_init(struct http_server *server);
void listener_start(struct http_server *server);
void listener_stop(struct http_server *server, bool accept_rest);
void listener_fini(struct http_server *server);
void listener_set_options(struct http_server *server);
/* The peer's address as text, "unix" for a UNIX socket. */
void listener_format_client(const struct sockaddr_storage *address, char out[46]);

/* The admin listener: taken from by whoever wakes first, without balance. */
struct admin_listener {
	struct event event; /* the listening socket; persistent */
	struct event timer; /* ends a pause for want of descriptors */
	bool is_open;       /* accepts */
};

void admin_init(struct http_server *server);
void admin_start(struct http_server *server);
void admin_stop(struct http_server *server);
/* Is this worker so much busier than the least busy one that it should leave the next connection to others? */
bool balance_is_shut(const struct http_server *server);

/* ---- server.c --------------------------------------------------------------------------------------------------------------- */

TAILQ_HEAD(connection_list, connection);
STAILQ_HEAD(connection_queue, connection);
TAILQ_HEAD(response_list, response);

struct http_server {
	struct http_options options;
	struct router *routers[ROUTER_VIEWS]; /* owned */
	struct scoreboard_slot *slot;         /* ours */
	struct scoreboard_measures *measures; /* likewise */
	struct route_measure *rows;           /* by route; owned: measure.c */
	struct address_ranges trusted;        /* option trusted_proxies */
	struct listener listener;
	struct admin_listener admin;
	struct deadlines deadlines;
	struct event turn_event;            /* made active once per turn */
	struct event next_event;            /* begins another turn for what came up while this one ended */
	bool in_turn;                       /* it is, and now_us is this turn's */
	int64_t now_us;                     /* monotonic, read once per turn */
	struct connection_list connections; /* open */
	struct connection_list closed;      /* freed at the end of the turn */
	struct connection_queue later;      /* to be looked at again at the end of the turn */
	int connection_count;               /* of `connections` clients' */
	int admin_count;                    /* of `connections` the operator's */
	int idle_count;                     /* of the clients' idle */
	int refused_count;                  /* of these over the limit */
	int stream_count;                   /* open streams */
	struct response_list requests;      /* not answered yet */
	struct response *answered;          /* freed at the end of the turn */
	struct response *free_requests;     /* for reuse */
	int free_count;                     /* of them */
	bool is_draining;
	bool closes_idle;  /* of the drain */
	bool gives_idle;   /* to other workers, before they would be closed */
	bool closes_fresh; /* also those that have not asked yet */
	bool is_closing;   /* http_close is at work */
	struct event
		leave_timer; /* of a drain: idle connections have had their time; of a stop: those without a first request too */
	struct event give_timer;    /* the worker that takes connections did not keep up */
	void (*drained)(void *arg); /* called once when no connection is left; NULL = not asked or told */
	void *drained_arg;
	int64_t date_until_us;            /* monotonic: `date` is right until then */
	char date[CLOCK_HTTP_DATE_BYTES]; /* for the Date field */
	struct buffer head;               /* scratch: header of the answer that is being sent */
	struct buffer json;               /* scratch: problems */
	char *scratch;                    /* READ_BYTES: where sockets are read to */
};

/* This turn's time; schedules the end of the turn. Called first by everything that comes from outside. */
int64_t server_now_us(struct http_server *server);
static inline int64_t server_now_ms(struct http_server *server)
{
	return server_now_us(server) / 1000;
}
int server_connections_max(const struct http_server *server);
void server_give_later(struct http_server *server); /* idle connections leave a little later */
void sse_expired(struct deadline *d);

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
