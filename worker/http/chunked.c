/* chunked.c: a state per place in the grammar, one byte at a time except in content. Called by exchange.c and its fuzz target.
 * Sizes are at most 15 hex digits, so nothing overflows; extensions and trailers are bounded over the whole body, so that overhead cannot be
 * used to keep us busy. */
#include "config.h"
#include "worker/http/chunked.h"

#define SIZE_DIGITS_MAX 15

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_value(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static const char *read_size(struct chunked *c, char byte)
{
	int digit = hex_value(byte);

	if (digit >= 0) {
		if (++c->digits > SIZE_DIGITS_MAX)
			return "A chunk size is too long";
		c->left = c->left << 4 | (uint64_t)digit;
		c->state = CHUNKED_SIZE;
		return NULL;
	}
	if (c->state == CHUNKED_SIZE_FIRST)
		return "A chunk size is not a hexadecimal number";
	if (byte == '\r')
		c->state = CHUNKED_SIZE_LF;
	else if (byte == ';')
		c->state = CHUNKED_EXTENSION;
	else if (byte == ' ' || byte == '\t')
		c->state = CHUNKED_SPACE;
	else
		return "A chunk size is not a hexadecimal number";
	return NULL;
}

static const char *read_extension(struct chunked *c, char byte)
{
	if (++c->overhead > CHUNKED_EXTENSION_BYTES)
		return "The chunk extensions are too long";
	if (c->state == CHUNKED_SPACE && byte == ';')
		c->state = CHUNKED_EXTENSION;
	else if (c->state == CHUNKED_SPACE && byte != ' ' && byte != '\t')
		return "A chunk size is followed by a space";
	else if (c->state == CHUNKED_EXTENSION && byte == '\r')
		c->state = CHUNKED_SIZE_LF;
	else if (!is_value(byte))
		return "A chunk extension holds a control byte";
	return NULL;
}

static const char *end_size(struct chunked *c)
{
	bool is_last = c->left == 0;

	c->digits = 0;
	c->state = is_last ? CHUNKED_TRAILER_FIRST : CHUNKED_BYTES;
	if (is_last)
		c->overhead = 0;
	return NULL;
}

static const char *read_trailer(struct chunked *c, char byte)
{
	if (++c->overhead > CHUNKED_TRAILER_BYTES)
		return "The trailer fields are too long";
	if (c->state == CHUNKED_TRAILER_VALUE) {
		if (byte == '\r')
			c->state = CHUNKED_TRAILER_LF;
		else if (!is_value(byte))
			return "A trailer field holds a control byte";
		return NULL;
	}
	if (c->state == CHUNKED_TRAILER_NAME && byte == ':') {
		c->state = CHUNKED_TRAILER_VALUE;
		return NULL;
	}
	if (!is_token(byte))
		return "A trailer field has a malformed name";
	c->state = CHUNKED_TRAILER_NAME;
	return NULL;
}

static const char *expect(struct chunked *c, char byte, char wanted, enum chunked_state next)
{
	if (byte != wanted)
		return "A line of the chunked body does not end with CR LF";
	c->state = next;
	return NULL;
}

/* One byte outside content; NULL or the fault. */
static const char *read_byte(struct chunked *c, char byte)
{
	switch (c->state) {
	case CHUNKED_SIZE_FIRST:
	case CHUNKED_SIZE: return read_size(c, byte);
	case CHUNKED_SPACE:
	case CHUNKED_EXTENSION: return read_extension(c, byte);
	case CHUNKED_SIZE_LF:
		if (byte != '\n')
			return "A chunk size does not end with CR LF";
		return end_size(c);
	case CHUNKED_BYTES_CR: return expect(c, byte, '\r', CHUNKED_BYTES_LF);
	case CHUNKED_BYTES_LF: return expect(c, byte, '\n', CHUNKED_SIZE_FIRST);
	case CHUNKED_TRAILER_FIRST:
		if (byte == '\r') {
			c->state = CHUNKED_END_LF;
			return NULL;
		}
		return read_trailer(c, byte);
	case CHUNKED_TRAILER_NAME:
	case CHUNKED_TRAILER_VALUE: return read_trailer(c, byte);
	case CHUNKED_TRAILER_LF: return expect(c, byte, '\n', CHUNKED_TRAILER_FIRST);
	case CHUNKED_END_LF: return expect(c, byte, '\n', CHUNKED_END);
	case CHUNKED_BYTES:
	case CHUNKED_END: break;
	}
	must(!"content is taken as a whole, and nothing follows the end");
	return NULL;
}

enum chunked_result chunked_read(
	struct chunked *c, struct text bytes, size_t *used_out, struct text *content_out, const char **detail_out)
{
	size_t at = 0;

	while (at < bytes.length && c->state != CHUNKED_END) {
		if (c->state == CHUNKED_BYTES) {
			size_t length = bytes.length - at < c->left ? bytes.length - at : (size_t)c->left;

			c->left -= length;
			if (c->left == 0)
				c->state = CHUNKED_BYTES_CR;
			*content_out = text_span(bytes.bytes + at, length);
			*used_out = at + length;
			return CHUNKED_CONTENT;
		}

		const char *fault = read_byte(c, bytes.bytes[at++]);

		if (fault != NULL) {
			*used_out = at;
			*detail_out = fault;
			return CHUNKED_FAILED;
		}
	}
	*used_out = at;
	return c->state == CHUNKED_END ? CHUNKED_DONE : CHUNKED_MORE;
}
