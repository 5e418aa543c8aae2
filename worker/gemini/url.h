/* url.h: the addresses of Gemini's methods, made from the options. Used by provider.c, transfer.c and probe.c; pure. */
#ifndef RENOVATIOND_WORKER_GEMINI_URL_H
#define RENOVATIOND_WORKER_GEMINI_URL_H

#include "shared/buffer.h"
#include "shared/options.h"
#include "shared/text.h"

bool url_is_https(const char *url);
/* Is the host of this URL this machine: localhost, 127.0.0.0/8 or ::1? */
bool url_is_loopback(const char *url);
/* https always, http only to loopback, nothing else. */
bool url_is_allowed(const char *url);

/* The model's name without "models/"; may appear in a path as it is. */
struct text url_model_name(const char *model);
bool url_is_model(const char *model); /* letters, digits, dot, hyphen, underscore; 1 to 95 bytes */
/* base/version/models/{model}{method}, NUL-terminated; `method` "" or ":generateContent" and the like. */
void url_write(const struct options *options, const char *model, const char *method, struct buffer *out);

#endif
