/* sse_fuzz.c: any bytes as an answer of the model. Whatever they are, the fast way through a chunk and json-c must tell the same events, and
 * where the bytes are cut must make no difference. The first byte says how they are cut. */
#include "config.h"

#include "shared/clock.h"
#include "tests/unit/gemini_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void must_be_same(struct text input, const struct trace_options *one, const struct trace_options *other)
{
	struct buffer first, second;

	buffer_init(&first);
	buffer_init(&second);
	trace_answer(&first, input, one);
	trace_answer(&second, input, other);
	must(text_equals(buffer_text(&first), buffer_text(&second)));
	buffer_fini(&first);
	buffer_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text input;
	struct trace_options whole = { 0 }, whole_slow = { .is_slow = true };
	struct trace_options one_body = { .is_unary = true }, one_body_slow = { .is_unary = true, .is_slow = true };
	struct trace_options cut = { 0 }, pieces = { 0 };

	if (length < 2)
		return 0;
	clock_freeze(1, 1);
	input = text_span((const char *)bytes + 1, length - 1);
	cut.cut = 1 + bytes[0] % input.length;
	pieces.piece = 1 + bytes[0] % 16;
	must_be_same(input, &whole, &whole_slow);
	must_be_same(input, &whole, &cut);
	must_be_same(input, &whole, &pieces);
	must_be_same(input, &one_body, &one_body_slow);
	return 0;
}
