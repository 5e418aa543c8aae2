/* base64.h: the URL-safe alphabet without padding (RFC 4648 section 5), for tokens and cursors. Pure. */
#ifndef RENOVATIOND_SHARED_BASE64_H
#define RENOVATIOND_SHARED_BASE64_H

#include "shared/arena.h"
#include "shared/text.h"

struct text base64url_format(struct arena *a, const void *bytes, size_t length);
/* TEXT_NONE for a foreign character, a length that no encoder makes, or unused bits that are not zero: each value has one spelling. */
struct text base64url_parse(struct arena *a, struct text encoded);

#endif
