/* chunked_fuzz.c: the chunked decoder on any bytes, whole and in pieces: same result, same content, same end. The first byte chooses the pieces. */
#include "config.h"

#include <stdint.h>

#include "shared/buffer.h"
#include "worker/http/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct run {
	enum chunked_result result;
	struct buffer content;
	size_t used; /* bytes of the input */
};

static void feed(struct run *run, struct chunked *c, struct text piece)
{
	size_t at = 0;

	for (;;) {
		struct text content = TEXT_NONE;
		const char *detail = NULL;
		size_t used = 0;

		run->result = chunked_read(c, text_span(piece.bytes + at, piece.length - at), &used, &content, &detail);
		at += used;
		run->used += used;
		must(at <= piece.length);
		if (run->result != CHUNKED_CONTENT)
			return;
		must(content.length > 0 && content.bytes >= piece.bytes);
		must(content.bytes + content.length <= piece.bytes + at);
		buffer_append_text(&run->content, content);
	}
}

static struct run run_in_pieces(struct text input, size_t piece)
{
	struct run run = { .result = CHUNKED_MORE };
	struct chunked c = { .state = CHUNKED_SIZE_FIRST };

	for (size_t at = 0; at < input.length && run.result == CHUNKED_MORE; at += piece)
		feed(&run, &c, text_span(input.bytes + at, input.length - at < piece ? input.length - at : piece));
	return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	if (length < 2)
		return 0;

	struct text input = text_span((const char *)bytes + 1, length - 1);
	struct run whole = run_in_pieces(input, input.length), pieces = run_in_pieces(input, bytes[0] % 16u + 1);

	must(whole.result == pieces.result && whole.used == pieces.used);
	must(text_equals(buffer_text(&whole.content), buffer_text(&pieces.content)));
	must(buffer_length(&whole.content) <= whole.used);
	buffer_fini(&whole.content);
	buffer_fini(&pieces.content);
	return 0;
}
