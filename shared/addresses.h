/* addresses.h: IP addresses and lists of ranges of them, as in option trusted_proxies. Pure. An IPv4 address and its IPv6-mapped form are the same. */
#ifndef RENOVATIOND_SHARED_ADDRESSES_H
#define RENOVATIOND_SHARED_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/text.h"

#define ADDRESS_TEXT_BYTES 46
#define ADDRESS_RANGES_MAX 64

struct address {
	unsigned char bytes[16]; /* IPv6; IPv4 as ::ffff:0:0/96 */
};

struct address_ranges {
	struct {
		struct address first; /* bits beyond the prefix are ignored */
		int prefix;           /* bits that count, 0 to 128 */
	} list[ADDRESS_RANGES_MAX];
	size_t count; /* of them used */
};

/* "192.0.2.1" or "2001:db8::1"; with `may_have_port` also "192.0.2.1:80" and "[2001:db8::1]:80". */
bool address_parse(struct text text, bool may_have_port, struct address *out);
void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES]);

/* "127.0.0.1, 10.0.0.0/8, ::1": addresses and prefixes, separated by commas or spaces; empty is none. False when malformed or too many. */
bool address_ranges_parse(struct text text, struct address_ranges *out);
bool address_ranges_contain(const struct address_ranges *ranges, const struct address *a);

#endif
