/* transfer.h: one HTTP exchange over libcurl's multi interface on the libevent loop, with our clocks. Used by provider.c alone.
 * Knows nothing of Gemini: it carries bytes, says how an exchange ended, and never retries or follows a redirect. */
#ifndef RENOVATIOND_WORKER_GEMINI_TRANSFER_H
#define RENOVATIOND_WORKER_GEMINI_TRANSFER_H

#include <event2/event.h>

#include "shared/error.h"
#include "shared/must.h"
#include "shared/text.h"

struct curl_slist;
struct engine;   /* engine.h */
struct transfer; /* one exchange in flight */

/* How an exchange ended. */
enum transfer_result {
	TRANSFER_COMPLETE,    /* the peer ended its answer properly */
	TRANSFER_UNREACHABLE, /* name, address, connection: nothing was exchanged */
	TRANSFER_UNTRUSTED,   /* TLS: the peer could not prove who it is */
	TRANSFER_LOST,        /* the connection broke while sending or while the answer came */
	TRANSFER_TIMED_OUT,   /* one of the clocks */
	TRANSFER_STOPPED      /* on_bytes asked for it */
};

enum transfer_answer {
	TRANSFER_TAKEN,
	TRANSFER_PAUSE /* not taken: offer them again after transfer_resume */,
	TRANSFER_STOP
};

struct transfer_end {
	enum transfer_result result;
	int status;              /* HTTP, 0 when no answer began */
	struct text retry_after; /* header Retry-After, else TEXT_NONE; borrowed during the callback */
	struct text server;      /* header Server, likewise */
};

struct transfer_spec {
	const char *url;            /* copied */
	struct curl_slist *headers; /* borrowed until the end */
	struct text body;           /* TEXT_NONE: GET, else POST; borrowed until the end */
	int64_t connect_ms;         /* connect and TLS */
	int64_t first_byte_ms;      /* from the start to the answer's header */
	int64_t between_bytes_ms;   /* silence afterwards; 0 = no such clock */
	int64_t whole_ms;           /* everything */
	/* A piece of the body, of any size. Called inside libcurl. */
	enum transfer_answer (*on_bytes)(void *arg, int status, struct text bytes);
	/* Exactly once, unless cancelled; from the loop, never inside transfer_start. The transfer is gone afterwards. */
	void (*on_end)(void *arg, const struct transfer_end *end);
	void *arg;
};

/* After libcurl ran: what was cancelled meanwhile is removed, what has ended is reported. For engine.c. */
void transfer_settle(struct engine *engine);

/* Not from inside on_bytes. */
struct transfer *transfer_start(struct engine *engine, const struct transfer_spec *spec);
void transfer_resume(
	struct transfer *t); /* after TRANSFER_PAUSE; on_bytes may be called at once; not from inside on_bytes */
bool transfer_is_sent(const struct transfer *t); /* has the whole body left us? */
/* No more callbacks; the connection is closed, or the HTTP/2 stream reset, at once. May be called from inside on_bytes. */
void transfer_cancel(struct transfer **transfer);

#endif
