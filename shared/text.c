/* text.c: the few questions about a span of bytes that need more than a line: numbers, UTF-8, writing it out.
 * Called by parsers and validators; pure but for the last. */
#include "config.h"
#include "shared/text.h"

#include <errno.h>
#include <unistd.h>

bool text_parse_u64(struct text digits, uint64_t *value_out)
{
	uint64_t value = 0;

	if (digits.length == 0 || digits.length > 20)
		return false;
	for (size_t i = 0; i < digits.length; i++) {
		unsigned digit = (unsigned char)digits.bytes[i] - (unsigned)'0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*value_out = value;
	return true;
}

/* Length of the well-formed sequence at `s` (Unicode table 3-7), 0 when there is none. */
static size_t sequence_length(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return 0;

	size_t length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;

	if (left < length)
		return 0;

	unsigned char low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
	unsigned char high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;

	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	return length;
}

bool text_is_utf8(struct text t)
{
	const unsigned char *s = (const unsigned char *)t.bytes;

	for (size_t at = 0; at < t.length;) {
		size_t step = sequence_length(s + at, t.length - at);

		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

size_t text_code_points(struct text t)
{
	size_t count = 0;

	for (size_t i = 0; i < t.length; i++)
		count += ((unsigned char)t.bytes[i] & 0xC0) != 0x80;
	return count;
}

struct text text_cut(struct text t, size_t bytes_max)
{
	size_t length = bytes_max;

	if (t.length <= bytes_max)
		return t;
	while (length > 0 && ((unsigned char)t.bytes[length] & 0xC0) == 0x80)
		length--;
	return text_span(t.bytes, length);
}

bool text_write(struct text t, int fd)
{
	while (t.length > 0) {
		ssize_t written = write(fd, t.bytes, t.length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		t = text_span(t.bytes + written, t.length - (size_t)written);
	}
	return true;
}
