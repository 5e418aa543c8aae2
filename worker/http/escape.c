/* escape.c: percent-decoding of paths, path parameters and query values. Called by exchange.c, router.c and request.c.
 * Strict: what does not decode to clean UTF-8 is refused, and dot segments are refused rather than resolved, so that a path means the same
 * to a proxy in front and to us. */
#include "config.h"
#include "worker/http/parser.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		return (c | 0x20) - 'a' + 10;
	return -1;
}

bool parser_decode(struct text raw, bool plus_is_space, char *out, size_t *length_out)
{
	size_t length = 0;

	for (size_t i = 0; i < raw.length; i++) {
		char c = raw.bytes[i];

		if (c == '%') {
			int high = i + 2 < raw.length ? hex_value(raw.bytes[i + 1]) : -1;
			int low = i + 2 < raw.length ? hex_value(raw.bytes[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return false;
		out[length++] = c;
	}
	if (!text_is_utf8(text_span(out, length)))
		return false;
	*length_out = length;
	return true;
}

/* Is the segment that begins here "." or ".."? */
static bool is_dots(struct text path, size_t start)
{
	size_t end = start;

	while (end < path.length && path.bytes[end] == '.')
		end++;
	return end > start && end - start <= 2 && (end == path.length || path.bytes[end] == '/');
}

bool parser_decode_path(struct text raw, char *out, size_t *length_out)
{
	if (!parser_decode(raw, false, out, length_out))
		return false;

	struct text path = text_span(out, *length_out);

	for (size_t i = 0; i < path.length; i++) {
		if ((unsigned char)path.bytes[i] < 0x20 || path.bytes[i] == 0x7f)
			return false;
		if (path.bytes[i] == '/' && is_dots(path, i + 1))
			return false;
	}
	return true;
}
