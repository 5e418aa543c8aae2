/* addresses.c: IP addresses as 16 bytes and ranges by prefix. Called by options.c, which checks option trusted_proxies, and by the HTTP server, which asks
 * whether a peer is one of them. Resolves no names. */
#include "config.h"
#include "shared/addresses.h"

#include <arpa/inet.h>
#include <string.h>

#define MAPPED_BITS 96

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool parse_plain(struct text text, struct address *out, bool *is_v4_out)
{
	char room[ADDRESS_TEXT_BYTES];
	struct address a;

	if (text.length == 0 || text.length >= sizeof room)
		return false;
	memcpy(room, text.bytes, text.length);
	room[text.length] = '\0';
	memcpy(a.bytes, mapped, sizeof mapped);
	*is_v4_out = inet_pton(AF_INET, room, a.bytes + sizeof mapped) == 1;
	if (!*is_v4_out && inet_pton(AF_INET6, room, a.bytes) != 1)
		return false;
	*out = a;
	return true;
}

/* Without the port that some proxies add; brackets go too. */
static struct text without_port(struct text text)
{
	const char *end = text.length > 0 && text.bytes[0] == '[' ? memchr(text.bytes, ']', text.length) : NULL;
	const char *colon = text.length > 0 ? memchr(text.bytes, ':', text.length) : NULL;

	if (end != NULL)
		return text_span(text.bytes + 1, (size_t)(end - text.bytes) - 1);
	/* More than one colon is IPv6. */
	if (colon != NULL && memchr(colon + 1, ':', text.length - (size_t)(colon + 1 - text.bytes)) == NULL)
		return text_span(text.bytes, (size_t)(colon - text.bytes));
	return text;
}

bool address_parse(struct text text, bool may_have_port, struct address *out)
{
	bool is_v4;

	return parse_plain(may_have_port ? without_port(text) : text, out, &is_v4);
}

void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
	bool is_v4 = memcmp(a->bytes, mapped, sizeof mapped) == 0;

	out[0] = '\0';
	(void)inet_ntop(
		is_v4 ? AF_INET : AF_INET6, is_v4 ? a->bytes + sizeof mapped : a->bytes, out, ADDRESS_TEXT_BYTES);
}

static bool parse_range(struct text text, struct address *first_out, int *prefix_out)
{
	const char *slash = memchr(text.bytes, '/', text.length);
	size_t length = slash != NULL ? (size_t)(slash - text.bytes) : text.length;
	uint64_t prefix;
	bool is_v4;

	if (!parse_plain(text_span(text.bytes, length), first_out, &is_v4))
		return false;
	prefix = is_v4 ? 32 : 128;
	if (slash != NULL && (!text_parse_u64(text_span(slash + 1, text.length - length - 1), &prefix) ||
				     prefix > (is_v4 ? 32 : 128)))
		return false;
	*prefix_out = (int)prefix + (is_v4 ? MAPPED_BITS : 0);
	return true;
}

bool address_ranges_parse(struct text text, struct address_ranges *out)
{
	out->count = 0;
	for (size_t at = 0; at < text.length;) {
		size_t length = 0;

		while (at + length < text.length && strchr(", ", text.bytes[at + length]) == NULL)
			length++;
		if (length > 0) {
			if (out->count == ADDRESS_RANGES_MAX ||
				!parse_range(text_span(text.bytes + at, length), &out->list[out->count].first,
					&out->list[out->count].prefix))
				return false;
			out->count++;
		}
		at += length + 1;
	}
	return true;
}

static bool has_prefix(const struct address *a, const struct address *first, int prefix)
{
	size_t whole = (size_t)prefix / 8;
	int rest = prefix % 8;

	if (memcmp(a->bytes, first->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ first->bytes[whole]) >> (8 - rest) == 0;
}

bool address_ranges_contain(const struct address_ranges *ranges, const struct address *a)
{
	for (size_t i = 0; i < ranges->count; i++)
		if (has_prefix(a, &ranges->list[i].first, ranges->list[i].prefix))
			return true;
	return false;
}
