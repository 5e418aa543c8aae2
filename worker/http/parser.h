/* parser.h: the header of a request, RFC 9112, strict. Pure: bytes in, a struct or an error out; no sockets, no memory of its own.
 * Two steps, so that a slow peer costs a dozen bytes of state and no byte is looked at twice: parser_scan finds the end of the header as
 * bytes arrive (and refuses what can be refused early); parser_read then takes the whole header apart and decides how the body is framed. */
#ifndef RENOVATIOND_WORKER_HTTP_PARSER_H
#define RENOVATIOND_WORKER_HTTP_PARSER_H

#include "shared/must.h"
#include "worker/http/request.h"

struct parser_limits {
	size_t line_bytes;    /* request line without CR LF; beyond: ERROR_URI_TOO_LONG */
	size_t headers_bytes; /* all field lines with their CR LF; beyond: ERROR_HEADERS_TOO_LARGE */
	size_t headers_max;   /* field lines; beyond: ERROR_HEADERS_TOO_LARGE */
};

/* Progress of one header; all zero at its start. */
struct parser {
	uint32_t at;        /* bytes looked at; when done: length of the header with its empty line */
	uint32_t line_at;   /* where the current line begins */
	uint32_t first_at;  /* where the request line begins: after empty lines, RFC 9112 section 2.2 */
	uint32_t fields_at; /* where the first field line begins; 0 while the request line is incomplete */
	uint32_t fields;    /* complete field lines */
};

enum parser_result { PARSER_MORE, PARSER_DONE, PARSER_FAILED };

struct parser_fault {
	enum error error;   /* what to answer; the connection is closed after it */
	const char *detail; /* static sentence for people */
};

enum framing {
	FRAMING_NONE,   /* no body */
	FRAMING_LENGTH, /* content_length bytes */
	FRAMING_CHUNKED /* chunked.h */
};

struct head {
	enum method method;
	int minor_version;       /* 0 or 1 */
	struct text target;      /* as sent */
	struct text raw_path;    /* part of target; "*" for OPTIONS * */
	struct text query;       /* part of target, TEXT_NONE when there is no '?' */
	struct text host;        /* of an absolute target, else of Host; TEXT_NONE in HTTP/1.0 without */
	size_t header_count;     /* filled rows of `headers` */
	enum framing framing;    /* how the body ends */
	uint64_t content_length; /* FRAMING_LENGTH */
	bool has_length;         /* Content-Length or Transfer-Encoding was there */
	bool keep_alive;         /* RFC 9112 section 9.3 */
	bool expects_continue;   /* Expect: 100-continue in HTTP/1.1 */
};

/* `bytes` always begins at the same byte of the stream (the first after the previous request), and only grows between calls. */
enum parser_result parser_scan(
	struct parser *p, struct text bytes, const struct parser_limits *limits, struct parser_fault *fault_out);

/* Takes a header apart that parser_scan found whole. `headers` has room for p->fields rows. All texts point into `bytes`.
 * On failure *head_out holds what was read so far (method, version and target for the log line). */
MUST_CHECK bool parser_read(const struct parser *p, struct text bytes, struct header headers[], struct head *head_out,
	struct parser_fault *fault_out);

/* Does the comma-separated list hold this token (any case)? */
bool parser_list_has(struct text list, const char *token);

/* Percent-decodes a raw path into `out` (raw.length bytes are enough). False for malformed escapes, control bytes, invalid UTF-8 and
 * dot segments: what is left needs no normalisation. */
MUST_CHECK bool parser_decode_path(struct text raw, char *out, size_t *length_out);
/* The same for one segment or (with plus_is_space) one query value; dot segments are not looked for. */
MUST_CHECK bool parser_decode(struct text raw, bool plus_is_space, char *out, size_t *length_out);

#endif
