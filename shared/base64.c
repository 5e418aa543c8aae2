/* base64.c: bytes to URL-safe text and back (RFC 4648 section 5, no padding). Called for owner tokens and cursors; strict, so that a value has
 * exactly one spelling. Does not know the classic alphabet. */
#include "config.h"
#include "shared/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct text base64url_format(struct arena *a, const void *bytes, size_t length)
{
	const unsigned char *in = bytes;
	char *out = arena_alloc(a, (length * 4 + 2) / 3 + 1);
	size_t at = 0;
	unsigned bits = 0, pending = 0;

	for (size_t i = 0; i < length; i++) {
		bits = bits << 8 | in[i];
		for (pending += 8; pending >= 6; pending -= 6)
			out[at++] = alphabet[bits >> (pending - 6) & 63];
	}
	if (pending > 0)
		out[at++] = alphabet[bits << (6 - pending) & 63];
	return text_span(out, at);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

struct text base64url_parse(struct arena *a, struct text encoded)
{
	unsigned bits = 0, pending = 0;
	size_t at = 0;

	if (encoded.bytes == NULL || encoded.length % 4 == 1)
		return TEXT_NONE;

	char *out = arena_alloc(a, encoded.length * 3 / 4 + 1);

	for (size_t i = 0; i < encoded.length; i++) {
		int value = value_of(encoded.bytes[i]);

		if (value < 0)
			return TEXT_NONE;
		bits = bits << 6 | (unsigned)value;
		pending += 6;
		if (pending >= 8) {
			pending -= 8;
			out[at++] = (char)(bits >> pending & 255);
		}
	}
	if ((bits & ((1u << pending) - 1)) != 0)
		return TEXT_NONE;
	return text_span(out, at);
}
