/* http_chunked_test.c: the chunked coding of request bodies, whole and split at every byte. */
#include "config.h"

#include <criterion/criterion.h>

#include "worker/http/chunked.h"

struct decoded {
	enum chunked_result result; /* MORE when the input ended too early */
	char content[256];
	size_t length;
	size_t used; /* bytes of the input */
};

static void feed(struct decoded *d, struct chunked *c, struct text input)
{
	size_t at = 0;

	while (d->result != CHUNKED_DONE && d->result != CHUNKED_FAILED) {
		struct text content = TEXT_NONE;
		const char *detail = NULL;
		size_t used = 0;

		d->result = chunked_read(c, text_span(input.bytes + at, input.length - at), &used, &content, &detail);
		at += used;
		d->used += used;
		if (d->result == CHUNKED_FAILED)
			cr_assert_not_null(detail);
		if (d->result != CHUNKED_CONTENT)
			return;
		memcpy(d->content + d->length, content.bytes, content.length);
		d->length += content.length;
	}
}

static struct decoded decode(struct text input, size_t first)
{
	struct decoded d = { .result = CHUNKED_MORE };
	struct chunked c = { .state = CHUNKED_SIZE_FIRST };

	if (first > 0) {
		feed(&d, &c, text_span(input.bytes, first));
		feed(&d, &c, text_span(input.bytes + first, input.length - first));
		return d;
	}
	for (size_t i = 0; i < input.length; i++)
		feed(&d, &c, text_span(input.bytes + i, 1));
	return d;
}

static struct decoded decode_all_ways(struct text input)
{
	struct decoded whole = decode(input, input.length);

	for (size_t first = 0; first < input.length; first++) {
		struct decoded cut = decode(input, first);

		cr_assert_eq(cut.result, whole.result, "cut at %zu: %.*s", first, TEXT_ARGS(input));
		cr_assert_eq(cut.used, whole.used, "cut at %zu: %.*s", first, TEXT_ARGS(input));
		cr_assert(text_equals(text_span(cut.content, cut.length), text_span(whole.content, whole.length)));
	}
	return whole;
}

static const struct {
	const char *input, *content;
	size_t rest; /* bytes behind the body */
} good[] = {
	{ "0\r\n\r\n", "", 0 },
	{ "5\r\nhello\r\n0\r\n\r\n", "hello", 0 },
	{ "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nGET /", "hello!", 5 },
	{ "000A\r\n0123456789\r\n00\r\n\r\n", "0123456789", 0 },
	{ "a;x=y;z=\"q\"\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", 0 },
	{ "1 \t;x\r\na\r\n0\r\n\r\n", "a", 0 },
	{ "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0 },
	{ "1\r\na\r\n0\r\nTrailer: 1\r\nX-Y:\r\n\r\n", "a", 0 },
};

Test(chunked, takes_bodies_apart)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct decoded d = decode_all_ways(text_of(good[i].input));

		cr_assert_eq(d.result, CHUNKED_DONE, "%s", good[i].input);
		cr_assert(text_equals(text_span(d.content, d.length), text_of(good[i].content)), "%s", good[i].input);
		cr_assert_eq(d.used + good[i].rest, strlen(good[i].input), "%s", good[i].input);
	}
}

static const char *const bad[] = {
	"\r\n",
	"g\r\n",
	"-1\r\n",
	"+1\r\n",
	" 1\r\n",
	"0x1\r\n",
	"1\n",
	"1\r\r",
	"1x\r\n",
	"1 x\r\n",
	"1 \r\n",
	"\t1\r\n",
	";x\r\n",
	"1\r\nab\r\n",
	"1\r\na\n",
	"1\r\na\r\r",
	"1\r\na0\r\n\r\n",
	"1;\x01\r\n",
	"1;a\nb\r\n",
	"0\r\n\n",
	"0\r\n\r\r",
	"0\n\n",
	"0\r\n X: 1\r\n",
	"0\r\nX : 1\r\n",
	"0\r\nX\r\n",
	"0\r\n: 1\r\n",
	"0\r\nX: a\nb\r\n",
	"0\r\nX: \x01\r\n",
	"0\r\nX: 1\r\n folded\r\n",
	"fffffffffffffffff\r\n",
	"10000000000000000\r\n",
	"0000000000000000\r\n",
	"FFFFFFFFFFFFFFFF\r\n",
};

Test(chunked, refuses_what_is_not_clean)
{
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		cr_assert_eq(decode_all_ways(text_of(bad[i])).result, CHUNKED_FAILED, "%s", bad[i]);
}

Test(chunked, waits_for_the_rest)
{
	static const char whole[] = "3;x\r\nabc\r\n0\r\nX: 1\r\n\r\n";

	for (size_t length = 1; length + 1 < sizeof whole; length++)
		cr_assert_eq(decode(text_span(whole, length), length).result, CHUNKED_MORE, "%zu bytes", length);
}

static enum chunked_result feed_many(const char *start, const char *again, int count)
{
	struct decoded d = { .result = CHUNKED_MORE };
	struct chunked c = { .state = CHUNKED_SIZE_FIRST };

	feed(&d, &c, text_of(start));
	for (int i = 0; i < count && d.result != CHUNKED_FAILED; i++) {
		d.length = 0;
		feed(&d, &c, text_of(again));
	}
	return d.result;
}

Test(chunked, bounds_extensions_and_trailers_of_a_whole_body)
{
	cr_assert_eq(feed_many("1;", "x", CHUNKED_EXTENSION_BYTES - 1), CHUNKED_MORE);
	cr_assert_eq(feed_many("1;", "x", CHUNKED_EXTENSION_BYTES + 1), CHUNKED_FAILED);
	cr_assert_eq(feed_many("", "1;xxxxxxx\r\na\r\n", CHUNKED_EXTENSION_BYTES), CHUNKED_FAILED, "over many chunks");
	cr_assert_eq(feed_many("0\r\n", "X: 1\r\n", CHUNKED_TRAILER_BYTES), CHUNKED_FAILED);
}

Test(chunked, takes_sizes_up_to_fifteen_digits)
{
	struct chunked c = { .state = CHUNKED_SIZE_FIRST };
	struct text content = TEXT_NONE;
	const char *detail = NULL;
	size_t used;

	cr_assert_eq(chunked_read(&c, TEXT("fffffffffffffff\r\n"), &used, &content, &detail), CHUNKED_MORE);
	cr_assert_eq(c.left, 0xfffffffffffffffULL);
	cr_assert_eq(chunked_read(&c, TEXT("abc"), &used, &content, &detail), CHUNKED_CONTENT);
	cr_assert(text_equals(content, TEXT("abc")));
	cr_assert_eq(c.left, 0xfffffffffffffffULL - 3);
}
