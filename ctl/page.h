/* page.h: the pool's state as one page for people: what `status` prints once and `top` draws again and again. */
#ifndef RENOVATIOND_CTL_PAGE_H
#define RENOVATIOND_CTL_PAGE_H

#include "ctl/view.h"

/* What only two looks at the pool show. */
struct page_rates {
	double requests;     /* of the pool, a second */
	double errors;       /* of these 5xx */
	double workers[128]; /* requests of each, in the order of the document */
};

/* Appends lines that end with '\n'. `rates` may be NULL: then what was counted stands where the rates would. `status` is the document of shared/status.h. */
void page_write(const struct json_value *status, const struct page_rates *rates, bool is_coloured, struct buffer *out);

#endif
