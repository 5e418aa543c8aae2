/* http_parser_fuzz.c: the header parser on any bytes, whole and in pieces: both must agree, and what is taken must lie in the input and be clean.
 * The first byte chooses the size of the pieces. */
#include "config.h"

#include <stdint.h>

#include "worker/http/parser.h"

#define HEADERS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct parser_limits limits = { .line_bytes = 512, .headers_bytes = 2048, .headers_max = HEADERS_MAX };

static enum parser_result scan(struct parser *p, struct text input, size_t piece, struct parser_fault *fault)
{
	size_t end = 0;

	for (;;) {
		end = input.length - end > piece ? end + piece : input.length;

		enum parser_result result = parser_scan(p, text_span(input.bytes, end), &limits, fault);

		if (result != PARSER_MORE || end == input.length)
			return result;
	}
}

static void check_inside(struct text part, struct text whole)
{
	must(part.length == 0 || (part.bytes >= whole.bytes && part.bytes + part.length <= whole.bytes + whole.length));
}

static void check_headers(const struct head *head, const struct header headers[], struct text input)
{
	for (size_t i = 0; i < head->header_count; i++) {
		check_inside(headers[i].name, input);
		check_inside(headers[i].value, input);
		must(headers[i].name.length > 0 && memchr(headers[i].name.bytes, ' ', headers[i].name.length) == NULL);
		must(memchr(headers[i].value.bytes, '\r', headers[i].value.length) == NULL);
		must(memchr(headers[i].value.bytes, '\n', headers[i].value.length) == NULL);
	}
}

static void check_head(const struct head *head, struct text input)
{
	char path[2048];
	size_t length = 0;

	check_inside(head->target, input);
	check_inside(head->query, input);
	check_inside(head->host, input);
	must(head->raw_path.length > 0 && (head->raw_path.bytes[0] == '/' || head->method == METHOD_OPTIONS));
	must(head->framing == FRAMING_LENGTH || head->content_length == 0);
	if (parser_decode_path(head->raw_path, path, &length)) {
		must(length <= head->raw_path.length && text_is_utf8(text_span(path, length)));
		must(memmem(path, length, "/../", 4) == NULL);
	}
	if (head->query.bytes != NULL && parser_decode(head->query, true, path, &length))
		must(length <= head->query.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct parser whole = { 0 }, pieces = { 0 };
	struct parser_fault whole_fault = { .error = ERROR_NONE }, pieces_fault = { .error = ERROR_NONE };
	struct header headers[HEADERS_MAX];
	struct head head;

	if (length < 2)
		return 0;

	struct text input = text_span((const char *)bytes + 1, length - 1);
	enum parser_result result = scan(&whole, input, input.length, &whole_fault);

	must(scan(&pieces, input, bytes[0] % 16u + 1, &pieces_fault) == result);
	must(whole_fault.error == pieces_fault.error);
	if (result != PARSER_DONE)
		return 0;
	must(whole.at == pieces.at && whole.fields == pieces.fields && whole.at <= input.length);
	if (!parser_read(&whole, input, headers, &head, &whole_fault)) {
		must(whole_fault.error != ERROR_NONE);
		return 0;
	}
	check_headers(&head, headers, input);
	check_head(&head, input);
	return 0;
}
