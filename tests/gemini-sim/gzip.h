/* The gzip container around bytes that are not compressed: enough for clients that ask for gzip, and no library needed. */
#ifndef GEMINI_SIM_GZIP_H
#define GEMINI_SIM_GZIP_H

#include "tests/gemini-sim/text.h"

/* Appends `bytes` as one gzip member (RFC 1952) of stored blocks (RFC 1951 section 3.2.4). */
void gzip_store(struct text *out, const char *bytes, size_t length);

#endif
