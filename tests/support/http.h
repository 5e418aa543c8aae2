/* http.h: a blocking HTTP/1.1 client for tests, over raw sockets so that it can also misbehave; and a reader of event streams. */
#ifndef RENOVATIOND_TESTS_SUPPORT_HTTP_H
#define RENOVATIOND_TESTS_SUPPORT_HTTP_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reply {
	int status; /* 0: no answer (refused, reset or timeout) */
	char *head; /* status line and fields, NUL-terminated; owned */
	char *body; /* de-chunked, NUL-terminated; owned */
	size_t body_length;
	bool is_closed; /* the server closed the connection after it */
};

struct client {
	int fd;          /* -1 when not connected */
	int port;        /* on 127.0.0.1 */
	int timeout_ms;  /* for each wait; 30 s by default, less for a stream */
	char token[128]; /* sent as X-Owner-Token when not empty; taken from answers that bring one */
	char *pending;   /* bytes read beyond the last answer; owned */
	size_t pending_length;
};

void client_init(struct client *c, int port);
void client_fini(struct client *c);
bool client_connect(struct client *c); /* false: refused */
void client_disconnect(struct client *c);
/* Raw bytes out; false when the peer is gone. */
bool client_send(struct client *c, const void *bytes, size_t length);
/* The next answer on the connection. `is_head`: it has no body whatever it says. */
struct reply client_receive(struct client *c, bool is_head);
/* One request on the kept connection (connects first when needed, once again when the kept one was closed). `headers` are whole lines with CRLF, or NULL;
 * `body` NULL for none, else sent as application/json unless headers say otherwise. */
struct reply client_request(
	struct client *c, const char *method, const char *path, const char *headers, const char *body);
/* A POST whose body never comes, on a connection of its own; returns when the server has asked for the body: from then on, until the client leaves, the
 * worker has a request under way. False when it was answered otherwise. */
bool client_hold_request(struct client *c, const char *path);
void reply_free(struct reply *r);
/* Value of a field, NULL when absent; static until the next call but seven. */
const char *reply_header(const struct reply *r, const char *name);
/* The body as JSON (fails the test when it is none); put with json_object_put. */
struct json_object *reply_json(const struct reply *r);
/* String at a dotted path ("turn.id", "data.0.title") of an object; NULL when absent. Borrowed from the object. */
const char *json_at(struct json_object *object, const char *path);
struct json_object *json_object_at(struct json_object *object, const char *path);
/* printf into a static buffer; good until the next call but seven. */
const char *format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));

/* One GET on a connection of its own; the status, 0 without an answer. */
int get_status(int port, const char *path);
/* How many of `count` such GETs of /health were answered with 200: by whoever is there, also by one who leaves. */
int get_many(int port, int count);

/* One event of a stream. */
struct stream_event {
	char id[80];  /* "" when it had none */
	char *data;   /* owned; joined data lines; NULL for a comment or a lone retry */
	int retry_ms; /* -1 when absent */
};
struct stream {
	struct client client; /* its connection */
	int status;           /* of the answer; 0 = none */
	char *head;           /* owned */
	bool is_chunked;
	bool is_ended;     /* the body has ended */
	bool is_clean;     /* … as it should (last chunk seen) */
	size_t chunk_left; /* bytes of the current chunk not yet taken */
	char *text;        /* de-chunked bytes not yet made into events; owned */
	size_t text_length;
};

/* Sends the request (body NULL: GET) with Accept: text/event-stream and reads the head. */
void stream_open(
	struct stream *s, int port, const char *token, const char *path, const char *headers, const char *body);
/* The next event; false at the end or after the client's timeout. Comments are passed over. Free with stream_event_free. */
bool stream_next(struct stream *s, struct stream_event *e);
void stream_event_free(struct stream_event *e);
void stream_close(struct stream *s);
/* Everything to the end: each event that has an id as "id data\n", in one string; *text_out (may be NULL) gets the deltas of text-delta parts joined. */
char *stream_rest(struct stream *s, char **text_out, char *last_id);

#endif
