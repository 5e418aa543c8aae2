/* formats.h: the written forms of values in the API: decimals, whole numbers, times, currencies, addresses. Pure; for fields.c and tests. */
#ifndef RENOVATIOND_WORKER_API_FORMATS_H
#define RENOVATIOND_WORKER_API_FORMATS_H

#include "shared/text.h"

/* "15000.50" with scale 2 is 1500050. No sign but '-', no exponent, no superfluous zero in front, at most 12 digits before the point. */
bool format_parse_decimal(struct text t, int scale, int64_t *scaled_out);
/* A JSON number without fraction or exponent. */
bool format_parse_int(struct text t, int64_t *value_out);
/* RFC 3339 date-time with Z or an offset up to 15:59, as PostgreSQL reads it; years 0001 to 9999. */
bool format_is_datetime(struct text t);
bool format_is_currency(struct text t); /* three capital letters */
bool format_is_url(struct text t);      /* http or https, a host, no space, control byte or quote */
bool format_is_blank(struct text t);    /* nothing but spaces, also those of Unicode that people use */
bool format_has_control(struct text t); /* C0, DEL, C1, U+2028, U+2029 */

#endif
