/* chunked.h: the chunked transfer coding of request bodies, RFC 9112 section 7.1, strict and incremental. Pure; trailers are checked,
 * bounded and dropped. */
#ifndef RENOVATIOND_WORKER_HTTP_CHUNKED_H
#define RENOVATIOND_WORKER_HTTP_CHUNKED_H

#include <stdint.h>

#include "shared/must.h"
#include "shared/text.h"

#define CHUNKED_EXTENSION_BYTES 1024 /* all chunk extensions of one body together */
#define CHUNKED_TRAILER_BYTES   8192 /* all trailer fields together */

enum chunked_state {
	CHUNKED_SIZE_FIRST,    /* the first digit of a chunk's size comes next */
	CHUNKED_SIZE,          /* digits, an extension, or CR */
	CHUNKED_SPACE,         /* white space after the size: only an extension may follow */
	CHUNKED_EXTENSION,     /* inside an extension, up to CR */
	CHUNKED_SIZE_LF,       /* LF of the size line */
	CHUNKED_BYTES,         /* content */
	CHUNKED_BYTES_CR,      /* CR after the content */
	CHUNKED_BYTES_LF,      /* LF after it */
	CHUNKED_TRAILER_FIRST, /* a trailer's name, or the CR of the empty line */
	CHUNKED_TRAILER_NAME,  /* up to the colon */
	CHUNKED_TRAILER_VALUE, /* up to CR */
	CHUNKED_TRAILER_LF,    /* LF of a trailer */
	CHUNKED_END_LF,        /* the very last LF */
	CHUNKED_END            /* whole */
};

/* All zero at the start of a body. */
struct chunked {
	enum chunked_state state;
	unsigned digits;   /* of the size that is being read, leading zeros too */
	uint64_t left;     /* content bytes of this chunk still to come */
	unsigned overhead; /* bytes of extensions, later of trailers, so far */
};

enum chunked_result {
	CHUNKED_MORE,    /* the input is used up */
	CHUNKED_CONTENT, /* *content_out is a piece of the body, pointing into `bytes`; call again with what follows */
	CHUNKED_DONE,    /* the body is whole; what follows *used_out belongs to the next request */
	CHUNKED_FAILED   /* 400 and close; *detail_out says why */
};

/* Reads on in `bytes`. *used_out: bytes taken by this call. */
enum chunked_result chunked_read(
	struct chunked *c, struct text bytes, size_t *used_out, struct text *content_out, const char **detail_out);

#endif
