/* http_parser_test.c: the header of a request: what is taken, what is refused and with which status, whole and split at every byte. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "worker/http/parser.h"

#define HEADERS_MAX 8

static const struct parser_limits limits = { .line_bytes = 256, .headers_bytes = 512, .headers_max = HEADERS_MAX };

struct parsed {
	enum parser_result result; /* MORE when the input ended too early */
	struct parser_fault fault;
	struct head head;
	struct header headers[HEADERS_MAX];
	size_t length; /* of the header */
};

/* Feeds what the cuts say: after `first` bytes, then all; or byte by byte when first is 0. */
static struct parsed parse(struct text input, size_t first)
{
	struct parsed p = { .result = PARSER_MORE };
	struct parser parser = { 0 };
	size_t step = first == 0 ? 1 : input.length;

	for (size_t end = first == 0 ? 1 : first; p.result == PARSER_MORE;
		end = end + step < input.length ? end + step : input.length) {
		p.result = parser_scan(&parser, text_span(input.bytes, end), &limits, &p.fault);
		if (end == input.length)
			break;
	}
	p.length = parser.at;
	if (p.result == PARSER_DONE && !parser_read(&parser, input, p.headers, &p.head, &p.fault))
		p.result = PARSER_FAILED;
	return p;
}

/* Whole, byte by byte and cut in two at every place: always the same. */
static struct parsed parse_all_ways(struct text input)
{
	struct parsed whole = parse(input, input.length);

	for (size_t first = 0; first < input.length; first++) {
		struct parsed cut = parse(input, first);

		cr_assert_eq(cut.result, whole.result, "cut at %zu: %.*s", first, TEXT_ARGS(input));
		cr_assert_eq(cut.fault.error, whole.fault.error, "cut at %zu: %.*s", first, TEXT_ARGS(input));
		cr_assert(text_equals(cut.head.target, whole.head.target));
		cr_assert_eq(cut.head.header_count, whole.head.header_count);
	}
	return whole;
}

static const struct good {
	const char *input;
	const char *path, *query;
	enum method method;
	int minor;
	size_t headers;
	enum framing framing;
	uint64_t length;
	bool keep_alive, expects;
} good[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", NULL, METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", NULL, METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "GET /a/b?x=1&y={2} HTTP/1.1\r\nhOsT: a.b:80\r\n\r\n", "/a/b", "x=1&y={2}", METHOD_GET, 1, 1, FRAMING_NONE, 0,
		true, false },
	{ "GET /a? HTTP/1.1\r\nHost:a\r\n\r\n", "/a", "", METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "HEAD http://x.y:1/p?q HTTP/1.1\r\nHost: other\r\n\r\n", "/p", "q", METHOD_HEAD, 1, 1, FRAMING_NONE, 0, true,
		false },
	{ "GET http://x.y HTTP/1.1\r\nHost: x.y\r\n\r\n", "/", NULL, METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "GET HTTPS://x.y?q HTTP/1.1\r\nHost: x.y\r\n\r\n", "/", "q", METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", NULL, METHOD_OPTIONS, 1, 1, FRAMING_NONE, 0, true, false },
	{ "GET / HTTP/1.0\r\n\r\n", "/", NULL, METHOD_GET, 0, 0, FRAMING_NONE, 0, false, false },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", NULL, METHOD_GET, 0, 1, FRAMING_NONE, 0, true,
		false },
	{ "GET / HTTP/1.9\r\nHost: a\r\n\r\n", "/", NULL, METHOD_GET, 1, 1, FRAMING_NONE, 0, true, false },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", "/", NULL, METHOD_GET, 1, 2, FRAMING_NONE, 0,
		false, false },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", "/", NULL, METHOD_POST, 1, 2, FRAMING_LENGTH, 12,
		true, false },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 0012 \t\r\n\r\n", "/", NULL, METHOD_POST, 1, 2,
		FRAMING_LENGTH, 12, true, false },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "/", NULL, METHOD_POST, 1, 2, FRAMING_NONE, 0,
		true, false },
	{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n", "/", NULL, METHOD_PUT, 1, 2,
		FRAMING_CHUNKED, 0, true, false },
	{ "PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n", "/", NULL, METHOD_PATCH,
		1, 3, FRAMING_LENGTH, 1, true, true },
	{ "DELETE / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "/", NULL, METHOD_DELETE, 1, 2, FRAMING_NONE,
		0, true, false },
	{ "GET / HTTP/1.1\r\nHost: [::1]:8080\r\nX:\r\nY: \xc3\xa4 \"z\"\r\n\r\n", "/", NULL, METHOD_GET, 1, 3,
		FRAMING_NONE, 0, true, false },
};

Test(parser, takes_what_the_rfc_allows)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		const struct good *g = &good[i];
		struct parsed p = parse_all_ways(text_of(g->input));

		cr_assert_eq(p.result, PARSER_DONE, "%s: %s", g->input, p.fault.detail);
		cr_assert_eq(p.length, strlen(g->input), "%s", g->input);
		cr_assert_eq(p.head.method, g->method);
		cr_assert_eq(p.head.minor_version, g->minor);
		cr_assert(text_equals(p.head.raw_path, text_of(g->path)), "%s", g->input);
		cr_assert(text_equals(p.head.query, text_of(g->query)), "%s", g->input);
		cr_assert_eq(p.head.query.bytes == NULL, g->query == NULL);
		cr_assert_eq(p.head.header_count, g->headers);
		cr_assert_eq(p.head.framing, g->framing, "%s", g->input);
		cr_assert_eq(p.head.content_length, g->length);
		cr_assert_eq(p.head.keep_alive, g->keep_alive, "%s", g->input);
		cr_assert_eq(p.head.expects_continue, g->expects);
	}
}

#define HOST "Host: a\r\n"

static const struct bad {
	const char *input;
	int status;
} bad[] = {
	/* line ends and control bytes */
	{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
	{ "GET / HTTP/1.1\rHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400 },
	{ "GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "\x16\x03\x01\x02\x00", 400 },
	{ "\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400 },
	/* request line */
	{ " GET / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /  HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", 400 },
	{ "GET /a b HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\r\n\r\n", 400 },
	{ "GET\r\n\r\n", 400 },
	{ "GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "G(T / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / http/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/1.10\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/11\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505 },
	{ "GET / HTTP/0.9\r\n" HOST "\r\n", 505 },
	{ "PRI * HTTP/2.0\r\n\r\n", 505 },
	{ "BREW / HTTP/1.1\r\n" HOST "\r\n", 501 },
	{ "get / HTTP/1.1\r\n" HOST "\r\n", 501 },
	{ "TRACE / HTTP/1.1\r\n" HOST "\r\n", 501 },
	{ "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 501 },
	/* target */
	{ "GET * HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET a HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET http:// HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /<x> HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400 },
	/* fields */
	{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST "\tfolded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST "X(Y): 1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST "\xc3\xa4: 1\r\n\r\n", 400 },
	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" HOST "HOST: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
	/* framing */
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1 2\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;x=y\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
	  "chunked\r\n\r\n",
		400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 200-maybe\r\n\r\n", 417 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n", 417 },
};

Test(parser, refuses_what_could_be_read_in_two_ways)
{
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct parsed p = parse_all_ways(text_of(bad[i].input));

		cr_assert_eq(p.result, PARSER_FAILED, "%s", bad[i].input);
		cr_assert_eq(error_status(p.fault.error), bad[i].status, "%s: %s", bad[i].input, p.fault.detail);
	}
}

Test(parser, refuses_nul_wherever_it_stands)
{
	static const char whole[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
	char input[sizeof whole];

	for (size_t i = 0; i + 1 < sizeof whole; i++) {
		memcpy(input, whole, sizeof whole);
		input[i] = '\0';
		cr_assert_eq(
			parse(text_span(input, sizeof whole - 1), sizeof whole - 1).result, PARSER_FAILED, "at %zu", i);
	}
}

Test(parser, waits_while_the_header_is_incomplete)
{
	static const char whole[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

	for (size_t length = 1; length + 1 < sizeof whole; length++)
		cr_assert_eq(parse(text_span(whole, length), length).result, PARSER_MORE, "%zu bytes", length);
}

static struct parsed parse_long(const char *start, char filler, size_t count, const char *end)
{
	static char input[4096];
	size_t at = strlen(start);

	memcpy(input, start, at);
	memset(input + at, filler, count);
	memcpy(input + at + count, end, strlen(end));
	return parse_all_ways(text_span(input, at + count + strlen(end)));
}

Test(parser, refuses_what_is_longer_than_its_limits)
{
	struct parsed p = parse_long("GET /", 'a', 256 - 14, " HTTP/1.1\r\nHost: a\r\n\r\n");

	cr_assert_eq(p.result, PARSER_DONE);
	p = parse_long("GET /", 'a', 256 - 13, " HTTP/1.1\r\nHost: a\r\n\r\n");
	cr_assert_eq(error_status(p.fault.error), 414);
	p = parse_long("GET /", 'a', 1000, "");
	cr_assert_eq(error_status(p.fault.error), 414, "refused before its end is seen");
	p = parse_long("GET / HTTP/1.1\r\nHost: a\r\nX: ", 'a', 512, "");
	cr_assert_eq(error_status(p.fault.error), 431);
	p = parse_all_ways(TEXT("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\n\r\n"));
	cr_assert_eq(p.result, PARSER_DONE);
	p = parse_all_ways(TEXT("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\nI:\r\n\r\n"));
	cr_assert_eq(error_status(p.fault.error), 431);
}

static const struct {
	const char *raw, *decoded; /* NULL: refused */
} paths[] = {
	{ "/", "/" },
	{ "/a%20b", "/a b" },
	{ "/%C3%A4", "/\xc3\xa4" },
	{ "/a%2Fb", "/a/b" },
	{ "/a+b", "/a+b" },
	{ "/...", "/..." },
	{ "/.a", "/.a" },
	{ "/a..", "/a.." },
	{ "/%", NULL },
	{ "/%2", NULL },
	{ "/%zz", NULL },
	{ "/%00", NULL },
	{ "/%0a", NULL },
	{ "/%7f", NULL },
	{ "/%ff", NULL },
	{ "/%C3", NULL },
	{ "/%C0%AF", NULL },
	{ "/%ED%A0%80", NULL },
	{ "/..", NULL },
	{ "/.", NULL },
	{ "/a/../b", NULL },
	{ "/a/./b", NULL },
	{ "/a/..", NULL },
	{ "/%2e%2E/b", NULL },
	{ "/a%2f..%2fb", NULL },
	{ "/a/.%2e/b", NULL },
};

Test(parser, decodes_paths_strictly)
{
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		char out[64];
		size_t length = 0;
		bool is_good = parser_decode_path(text_of(paths[i].raw), out, &length);

		cr_assert_eq(is_good, paths[i].decoded != NULL, "%s", paths[i].raw);
		if (is_good)
			cr_assert(text_equals(text_span(out, length), text_of(paths[i].decoded)), "%s", paths[i].raw);
	}
}
