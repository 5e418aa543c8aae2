/* view.h: reading the pool's state out of the status document (shared/status.h), and writing its values for people. */
#ifndef RENOVATIOND_CTL_VIEW_H
#define RENOVATIOND_CTL_VIEW_H

#include <stdint.h>

#include "shared/buffer.h"
#include "shared/json.h"

/* The value at a dotted path ("db.open"); NULL when it is not there. */
const struct json_value *view_find(const struct json_value *object, const char *path);
int64_t view_number(const struct json_value *object, const char *path);     /* 0 when absent */
struct text view_string(const struct json_value *object, const char *path); /* "" when absent */
bool view_is(const struct json_value *object, const char *path, const char *word);

/* What people read: 12.3k, 45 s, 3 h 20 min, 1.2 ms; into a static buffer, good until the next call but fifteen. */
const char *view_count(int64_t count);
const char *view_duration(int64_t ms);
const char *view_age(int64_t ms);     /* at most six columns: 847 ms, 59 min, 12 d */
const char *view_latency(int64_t us); /* likewise: 999 us, 1.2 ms, 3.4 s */
/* Control characters of a string that came from outside become '?', and it ends after `width` columns. */
const char *view_clean(struct text string, int width);

enum view_colour { VIEW_PLAIN, VIEW_BOLD, VIEW_DIM, VIEW_RED, VIEW_YELLOW, VIEW_GREEN };
/* The escape sequence, or "" when colours are off. VIEW_PLAIN ends one. */
const char *view_colour(bool is_on, enum view_colour colour);
/* Is standard output a terminal that takes colours, and NO_COLOR not set? */
bool view_wants_colour(void);

#endif
