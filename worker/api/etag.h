/* etag.h: the two conditions on a row's version (RFC 9110 section 13.1). A tag of ours is `<version>`, with a suffix where the row shows things
 * that change without it (the counts of a session): reading compares whole tags, writing compares versions only. Pure. */
#ifndef RENOVATIOND_WORKER_API_ETAG_H
#define RENOVATIOND_WORKER_API_ETAG_H

#include "shared/arena.h"
#include "shared/text.h"

/* If-None-Match against a tag without quotes; weak comparison, lists and `*` are understood. False when the field is absent. */
bool etag_is_known(struct text if_none_match, struct text etag);

/* The versions that If-Match allows as a PostgreSQL array ("{3,4}"), in the arena; TEXT_NONE when any is fine (absent or `*`). Weak and
 * foreign tags never match (strong comparison), so a list of these alone gives "{}". */
struct text etag_versions(struct arena *a, struct text if_match);

#endif
