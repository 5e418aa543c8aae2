/* uuid.h: identifiers. Version 7 (RFC 9562): milliseconds first, so that they sort by time. */
#ifndef RENOVATIOND_SHARED_UUID_H
#define RENOVATIOND_SHARED_UUID_H

#include "shared/text.h"

#define UUID_TEXT_BYTES 37 /* 36 characters and a NUL */

struct uuid {
	uint8_t bytes[16]; /* network order, RFC 9562 */
};

struct uuid uuid_create(void);                                      /* version 7, from the kernel's random source */
void uuid_format(const struct uuid *id, char out[UUID_TEXT_BYTES]); /* lower case */
bool uuid_parse(struct text t, struct uuid *id_out);                /* 8-4-4-4-12 hex, either case; any version */

static inline bool uuid_equals(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

#endif
