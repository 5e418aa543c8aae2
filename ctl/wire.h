/* wire.h: the way to a running renovationd: its control socket, one JSON object a line in both directions. */
#ifndef RENOVATIOND_CTL_WIRE_H
#define RENOVATIOND_CTL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "shared/control_path.h"
#include "shared/json.h"

#define WIRE_ANSWER_MS 15000 /* a living supervisor answers at once */

struct wire {
	int fd;                        /* -1 = not connected */
	char path[CONTROL_PATH_BYTES]; /* where it leads */
	struct buffer in;              /* bytes not yet taken as lines */
	size_t taken;                  /* length of the line that wire_next gave last */
	struct arena arena;            /* holds its values */
};

enum wire_result {
	WIRE_LINE,    /* here is one */
	WIRE_END,     /* the other side closed */
	WIRE_TIMEOUT, /* nothing came in time */
	WIRE_BROKEN   /* what came is no answer of renovationd */
};

/* Finds the socket and connects. Returns an exit code: 69 nobody there, 77 not allowed, 78 the configuration cannot be read; unless `is_quiet` it was said, with
 * what to do. Call wire_close in any case. */
int wire_open(struct wire *w, const struct ctl *ctl, bool is_quiet);
void wire_close(struct wire *w);
/* Again to the same path, without a word. */
bool wire_reopen(struct wire *w);

/* `request` is one JSON object without its line end. False when the other side is gone. */
bool wire_send(struct wire *w, const char *request);
/* The next line as an object, good until the next call; `timeout_ms` -1 waits for ever. */
enum wire_result wire_next(struct wire *w, int timeout_ms, const struct json_value **object_out);

/* One question with one answer, for commands that end at once: sends, takes the last line. Returns its "code", or 69 after saying what went wrong. */
int wire_ask(struct wire *w, const char *request, const struct json_value **object_out);
/* Says why there was no answer; returns 69. */
int wire_lost(const struct wire *w, enum wire_result result);

#endif
