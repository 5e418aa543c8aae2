/* parser.c: request line, field lines and framing by RFC 9112, each refusal with its own sentence.
 * Called by exchange.c and by the fuzz target; knows no connection and allocates nothing. Where the RFC lets a recipient be lenient and
 * leniency has been used for request smuggling (bare LF, space before the colon, folded lines, repeated lengths), it refuses. */
#include "config.h"
#include "worker/http/parser.h"

#define TOKEN 1u  /* RFC 9110 section 5.6.2 */
#define VALUE 2u  /* field values: HTAB, SP, VCHAR, obs-text */
#define PATH  4u  /* RFC 3986 path, and what browsers leave unescaped in one */
#define QUERY 8u  /* the same for queries */
#define HOST  16u /* uri-host and port */
#define WORD  (TOKEN | VALUE | PATH | QUERY | HOST)
#define DELIM (VALUE | PATH | QUERY | HOST)

/* clang-format off */
static const unsigned char classes[256] = {
	['\t'] = VALUE, [' '] = VALUE, ['"'] = VALUE, ['<'] = VALUE, ['>'] = VALUE,
	['!'] = WORD, ['$'] = WORD, ['%'] = WORD, ['&'] = WORD, ['\''] = WORD, ['*'] = WORD, ['+'] = WORD, ['-'] = WORD, ['.'] = WORD,
	['0' ... '9'] = WORD, ['A' ... 'Z'] = WORD, ['_'] = WORD, ['a' ... 'z'] = WORD, ['~'] = WORD,
	['('] = DELIM, [')'] = DELIM, [','] = DELIM, [':'] = DELIM, [';'] = DELIM, ['='] = DELIM, ['['] = DELIM, [']'] = DELIM,
	['#'] = TOKEN | VALUE, ['/'] = VALUE | PATH | QUERY, ['@'] = VALUE | PATH | QUERY,
	['?'] = VALUE | QUERY, ['\\'] = VALUE | QUERY, ['{'] = VALUE | QUERY, ['}'] = VALUE | QUERY,
	['^'] = TOKEN | VALUE | PATH | QUERY, ['|'] = TOKEN | VALUE | PATH | QUERY, ['`'] = TOKEN | VALUE | QUERY,
	[0x80 ... 0xff] = VALUE,
};
/* clang-format on */

static const struct text method_names[METHOD_COUNT] = {
	[METHOD_GET] = { "GET", 3 },
	[METHOD_HEAD] = { "HEAD", 4 },
	[METHOD_POST] = { "POST", 4 },
	[METHOD_PUT] = { "PUT", 3 },
	[METHOD_PATCH] = { "PATCH", 5 },
	[METHOD_DELETE] = { "DELETE", 6 },
	[METHOD_OPTIONS] = { "OPTIONS", 7 },
};

#define EMPTY_LINES_MAX 4

static bool is_class(char c, unsigned class)
{
	return (classes[(unsigned char)c] & class) != 0;
}

static bool all_class(struct text t, unsigned class)
{
	for (size_t i = 0; i < t.length; i++)
		if (!is_class(t.bytes[i], class))
			return false;
	return true;
}

static bool refuse(struct parser_fault *fault, enum error e, const char *detail)
{
	fault->error = e;
	fault->detail = detail;
	return false;
}

static bool malformed(struct parser_fault *fault, const char *detail)
{
	return refuse(fault, ERROR_MALFORMED_REQUEST, detail);
}

/* ---- finding the end of the header ---------------------------------------------------------------------------------------- */

/* What can be said of a line while it grows: too long, too many, folded. */
static bool check_growing(
	const struct parser *p, const char *bytes, const struct parser_limits *limits, struct parser_fault *fault)
{
	if (p->fields_at == 0) {
		if (p->at > p->line_at && !is_class(bytes[p->line_at], TOKEN))
			return malformed(fault, "The request line does not begin with a method");
		if (p->at - p->line_at > limits->line_bytes)
			return refuse(fault, ERROR_URI_TOO_LONG, "The request line is longer than this server takes");
		return true;
	}
	if (p->at > p->line_at && (bytes[p->line_at] == ' ' || bytes[p->line_at] == '\t'))
		return malformed(fault, "Folded header lines are not taken");
	if (p->at - p->fields_at > limits->headers_bytes)
		return refuse(fault, ERROR_HEADERS_TOO_LARGE, "The header fields are longer than this server takes");
	if (p->fields == limits->headers_max && p->at > p->line_at)
		return refuse(fault, ERROR_HEADERS_TOO_LARGE, "There are more header fields than this server takes");
	return true;
}

/* A line from line_at to its CR at `at` is complete; moves behind its LF. */
static enum parser_result end_line(struct parser *p, struct parser_fault *fault)
{
	bool is_empty = p->at == p->line_at;

	p->at += 2;
	p->line_at = p->at;
	if (p->fields_at == 0 && is_empty) {
		p->first_at = p->at;
		if (p->at > 2 * EMPTY_LINES_MAX) {
			(void)malformed(fault, "The request does not begin with a request line");
			return PARSER_FAILED;
		}
		return PARSER_MORE;
	}
	if (is_empty)
		return PARSER_DONE;
	if (p->fields_at == 0)
		p->fields_at = p->at;
	else
		p->fields++;
	return PARSER_MORE;
}

enum parser_result parser_scan(
	struct parser *p, struct text bytes, const struct parser_limits *limits, struct parser_fault *fault)
{
	for (;;) {
		const char *at = bytes.bytes + p->at, *end = bytes.bytes + bytes.length;

		while (at < end && is_class(*at, VALUE))
			at++;
		p->at = (uint32_t)(at - bytes.bytes);
		if (!check_growing(p, bytes.bytes, limits, fault))
			return PARSER_FAILED;
		if (at == end || (*at == '\r' && at + 1 == end))
			return PARSER_MORE;
		if (*at != '\r' || at[1] != '\n') {
			(void)malformed(fault, *at == '\n'   ? "A line ends with LF alone; CR LF is needed"
					       : *at == '\r' ? "CR without LF in the header"
							     : "Control byte in the header");
			return PARSER_FAILED;
		}

		enum parser_result result = end_line(p, fault);

		if (result != PARSER_MORE)
			return result;
	}
}

/* ---- request line --------------------------------------------------------------------------------------------------------- */

static bool read_method(struct text name, enum method *method_out, struct parser_fault *fault)
{
	if (name.length == 0 || !all_class(name, TOKEN))
		return malformed(fault, "The method is not a token");
	for (int m = 0; m < METHOD_COUNT; m++)
		if (text_equals(name, method_names[m])) {
			*method_out = (enum method)m;
			return true;
		}
	return refuse(fault, ERROR_NOT_IMPLEMENTED, "This method is not known here");
}

static bool read_version(struct text v, int *minor_out, struct parser_fault *fault)
{
	bool is_version = v.length == 8 && memcmp(v.bytes, "HTTP/", 5) == 0 && v.bytes[6] == '.' && v.bytes[5] >= '0' &&
			  v.bytes[5] <= '9' && v.bytes[7] >= '0' && v.bytes[7] <= '9';

	if (!is_version)
		return malformed(fault, "The request line does not end with an HTTP version");
	if (v.bytes[5] != '1')
		return refuse(fault, ERROR_HTTP_VERSION, NULL);
	*minor_out = v.bytes[7] == '0' ? 0 : 1; /* a higher 1.x is spoken to as 1.1, RFC 9110 section 2.5 */
	return true;
}

/* http://authority/path: the scheme and authority are taken off. RFC 9112 section 3.2.2. */
static bool strip_authority(struct head *head, struct text *rest, struct parser_fault *fault)
{
	size_t scheme = rest->length >= 7 && strncasecmp(rest->bytes, "http://", 7) == 0    ? 7
			: rest->length >= 8 && strncasecmp(rest->bytes, "https://", 8) == 0 ? 8
											    : 0;
	size_t end = scheme;

	if (scheme == 0)
		return malformed(fault, "The request target is neither a path nor an http address");
	while (end < rest->length && is_class(rest->bytes[end], HOST))
		end++;
	if (end == scheme || (end < rest->length && rest->bytes[end] != '/' && rest->bytes[end] != '?'))
		return malformed(fault, "The request target has a malformed authority");
	head->host = text_span(rest->bytes + scheme, end - scheme);
	*rest = text_span(rest->bytes + end, rest->length - end);
	return true;
}

static bool read_target(struct head *head, struct parser_fault *fault)
{
	struct text rest = head->target;

	if (text_equals(rest, TEXT("*")) && head->method == METHOD_OPTIONS) {
		head->raw_path = rest;
		return true;
	}
	if (rest.length == 0)
		return malformed(fault, "The request target is missing");
	if (rest.bytes[0] != '/' && !strip_authority(head, &rest, fault))
		return false;

	const char *mark = memchr(rest.bytes, '?', rest.length);
	size_t path_length = mark != NULL ? (size_t)(mark - rest.bytes) : rest.length;

	head->raw_path = path_length > 0 ? text_span(rest.bytes, path_length) : TEXT("/");
	if (mark != NULL)
		head->query = text_span(mark + 1, rest.length - path_length - 1);
	if (!all_class(head->raw_path, PATH) || !all_class(head->query, QUERY))
		return malformed(fault, "The request target has a byte that must be percent-encoded");
	return true;
}

/* method SP request-target SP HTTP-version, single spaces only. */
static bool read_request_line(struct text line, struct head *head, struct parser_fault *fault)
{
	const char *first = memchr(line.bytes, ' ', line.length);
	const char *last = memrchr(line.bytes, ' ', line.length);

	if (first == NULL || first == last)
		return malformed(fault, "The request line needs a method, a target and a version");
	head->target = text_span(first + 1, (size_t)(last - first) - 1);
	if (memchr(head->target.bytes, ' ', head->target.length) != NULL)
		return malformed(fault, "The request line has a space too many");

	struct text version = text_span(last + 1, (size_t)(line.bytes + line.length - last) - 1);

	return read_version(version, &head->minor_version, fault) &&
	       read_method(text_span(line.bytes, (size_t)(first - line.bytes)), &head->method, fault) &&
	       read_target(head, fault);
}

/* ---- fields and framing --------------------------------------------------------------------------------------------------- */

static struct text trim(struct text t)
{
	while (t.length > 0 && (t.bytes[0] == ' ' || t.bytes[0] == '\t'))
		t = text_span(t.bytes + 1, t.length - 1);
	while (t.length > 0 && (t.bytes[t.length - 1] == ' ' || t.bytes[t.length - 1] == '\t'))
		t.length--;
	return t;
}

/* Takes the next element off a comma-separated list; false at its end. */
static bool next_element(struct text *list, struct text *element_out)
{
	if (list->bytes == NULL)
		return false;

	const char *comma = memchr(list->bytes, ',', list->length);
	size_t length = comma != NULL ? (size_t)(comma - list->bytes) : list->length;

	*element_out = trim(text_span(list->bytes, length));
	*list = comma != NULL ? text_span(comma + 1, list->length - length - 1) : TEXT_NONE;
	return true;
}

bool parser_list_has(struct text list, const char *token)
{
	struct text element;

	while (next_element(&list, &element))
		if (text_equals_nocase(element, text_of(token)))
			return true;
	return false;
}

static bool read_field(struct text line, struct header *header_out, struct parser_fault *fault)
{
	size_t colon = 0;

	while (colon < line.length && is_class(line.bytes[colon], TOKEN))
		colon++;
	if (colon == 0 || colon == line.length || line.bytes[colon] != ':')
		return malformed(fault, "A header field has a malformed name, or a space before its colon");
	header_out->name = text_span(line.bytes, colon);
	header_out->value = trim(text_span(line.bytes + colon + 1, line.length - colon - 1));
	return true;
}

/* What the fields say about framing, gathered before it is judged. */
struct framing_fields {
	struct text host, length, coding, expect; /* first of each */
	int hosts, lengths, codings, expects;     /* how many */
	bool says_close, says_keep_alive;         /* in any Connection field */
};

static void note(struct text value, struct text *first, int *count)
{
	if ((*count)++ == 0)
		*first = value;
}

static void note_field(struct framing_fields *f, const struct header *h)
{
	switch (h->name.length) {
	case 4:
		if (text_equals_nocase(h->name, TEXT("Host")))
			note(h->value, &f->host, &f->hosts);
		break;
	case 6:
		if (text_equals_nocase(h->name, TEXT("Expect")))
			note(h->value, &f->expect, &f->expects);
		break;
	case 10:
		if (text_equals_nocase(h->name, TEXT("Connection"))) {
			f->says_close = f->says_close || parser_list_has(h->value, "close");
			f->says_keep_alive = f->says_keep_alive || parser_list_has(h->value, "keep-alive");
		}
		break;
	case 14:
		if (text_equals_nocase(h->name, TEXT("Content-Length")))
			note(h->value, &f->length, &f->lengths);
		break;
	case 17:
		if (text_equals_nocase(h->name, TEXT("Transfer-Encoding")))
			note(h->value, &f->coding, &f->codings);
		break;
	default: break;
	}
}

static bool read_host(struct head *head, const struct framing_fields *f, struct parser_fault *fault)
{
	if (f->hosts > 1)
		return malformed(fault, "Host is given more than once");
	if (f->hosts == 0 && head->minor_version > 0)
		return malformed(fault, "Host is missing");
	if (!all_class(f->host, HOST))
		return malformed(fault, "Host is malformed");
	if (head->host.bytes == NULL)
		head->host = f->host;
	return true;
}

/* RFC 9112 section 6.1: chunked once, last, in HTTP/1.1, without Content-Length. */
static bool read_coding(struct head *head, const struct framing_fields *f, struct parser_fault *fault)
{
	struct text list = f->coding, coding = TEXT(""), previous = TEXT_NONE;

	if (f->lengths > 0)
		return malformed(fault, "Content-Length and Transfer-Encoding exclude each other");
	if (f->codings > 1 || head->minor_version == 0)
		return malformed(fault, "Transfer-Encoding is given twice, or in HTTP/1.0");
	while (next_element(&list, &coding)) {
		if (coding.length == 0 || text_equals_nocase(previous, TEXT("chunked")))
			return malformed(fault, "Transfer-Encoding must end with a single chunked");
		if (list.bytes != NULL)
			previous = coding;
	}
	if (!text_equals_nocase(coding, TEXT("chunked")))
		return malformed(fault, "Transfer-Encoding must end with chunked");
	if (previous.bytes != NULL)
		return refuse(fault, ERROR_NOT_IMPLEMENTED, "The only transfer coding known here is chunked");
	head->framing = FRAMING_CHUNKED;
	head->has_length = true;
	return true;
}

static bool read_length(struct head *head, const struct framing_fields *f, struct parser_fault *fault)
{
	if (f->lengths > 1)
		return malformed(fault, "Content-Length is given more than once");
	if (!text_parse_u64(f->length, &head->content_length) || head->content_length > INT64_MAX)
		return malformed(fault, "Content-Length is not a number");
	head->framing = head->content_length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
	head->has_length = true;
	return true;
}

static bool judge(struct head *head, const struct framing_fields *f, struct parser_fault *fault)
{
	head->keep_alive = !f->says_close && (head->minor_version > 0 || f->says_keep_alive);
	if (!read_host(head, f, fault))
		return false;
	if (f->codings > 0 ? !read_coding(head, f, fault) : f->lengths > 0 && !read_length(head, f, fault))
		return false;
	if (f->expects > 0 && head->minor_version > 0) {
		if (f->expects > 1 || !text_equals_nocase(f->expect, TEXT("100-continue")))
			return refuse(fault, ERROR_EXPECTATION_FAILED, NULL);
		head->expects_continue = head->framing != FRAMING_NONE;
	}
	return true;
}

bool parser_read(const struct parser *p, struct text bytes, struct header headers[], struct head *head,
	struct parser_fault *fault)
{
	struct framing_fields fields = { .hosts = 0 };
	const char *at = bytes.bytes + p->fields_at;

	*head = (struct head) { .query = TEXT_NONE, .host = TEXT_NONE };
	must(p->fields_at > p->first_at + 2 && p->at <= bytes.length);
	if (!read_request_line(text_span(bytes.bytes + p->first_at, p->fields_at - 2 - p->first_at), head, fault))
		return false;
	for (; head->header_count < p->fields; head->header_count++) {
		const char *cr = memchr(at, '\r', (size_t)(bytes.bytes + p->at - at));

		must(cr != NULL);
		if (!read_field(text_span(at, (size_t)(cr - at)), &headers[head->header_count], fault))
			return false;
		note_field(&fields, &headers[head->header_count]);
		at = cr + 2;
	}
	return judge(head, &fields, fault);
}
