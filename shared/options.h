/* options.h: the values of the options of config.def, as every program holds them, and how they cross an exec.
 * The supervisor and renovationctl fill them from file and environment (config.h of this folder); workers read them from an inherited memfd,
 * so that no secret is ever in an argument or environment of a worker and no worker parses a file. */
#ifndef RENOVATIOND_SHARED_OPTIONS_H
#define RENOVATIOND_SHARED_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/error.h"

#define OPTION_TYPE_INT    int64_t
#define OPTION_TYPE_BOOL   bool
#define OPTION_TYPE_TEXT   char *
#define OPTION_TYPE_SECRET char *

struct options {
#define OPTION(name, kind, value, min, max, unit, class, help) OPTION_TYPE_##kind name; /* TEXT: owned, never NULL */
#include "shared/config.def"
#undef OPTION
};

enum option_id {
#define OPTION(name, kind, value, min, max, unit, class, help) OPTION_##name,
#include "shared/config.def"
#undef OPTION
	OPTION_COUNT
};

enum option_kind { OPTION_KIND_INT, OPTION_KIND_BOOL, OPTION_KIND_TEXT, OPTION_KIND_SECRET };
enum option_class { OPTION_CLASS_LIVE, OPTION_CLASS_WORKERS, OPTION_CLASS_RESTART };

struct option_row {
	const char *name;        /* as in renovationd.conf */
	enum option_kind kind;   /* how the text is read */
	const char *value;       /* default */
	int64_t min, max;        /* INT: value; TEXT: length */
	const char *unit;        /* for people; may be "" */
	enum option_class class; /* what a reload does with it */
	const char *help;        /* one sentence */
};

extern const struct option_row option_rows[OPTION_COUNT];

void options_init(struct options *o); /* defaults */
void options_fini(struct options *o);
/* Sets one option from its text form. False when the text does not fit; then `expected_out` (static) says what would. */
bool options_set(struct options *o, enum option_id id, struct text value, const char **expected_out);
/* The text form, as options_set takes it; secrets come in clear. Appends to `out`. */
void options_write_value(const struct options *o, enum option_id id, struct buffer *out);
int option_find(struct text name);                                                    /* option_id, or -1 */
void options_copy(const struct options *from, struct options *to, enum option_id id); /* one value */
void options_exchange(struct options *a, struct options *b, enum option_id id); /* one value, its storage with it */

/* All values into a sealed memfd (close-on-exec), and back from it; options_load begins with options_init and leaves nothing to free when it
 * fails. Errors: ERROR_SYSTEM, ERROR_PROTOCOL. */
MUST_CHECK enum error options_store(const struct options *o, int *fd_out);
void options_write(const struct options *o, struct buffer *out); /* what options_store stores; secrets in clear */
MUST_CHECK enum error options_load(struct options *o, int fd);

/* What a reload changes in a running worker: the LIVE options of `fresh` go over to `o`, texts by exchange; true when any was another. `fresh` stays
 * the caller's, to fini. */
bool options_take_live(struct options *o, struct options *fresh);

/* Values that follow from others. */
int options_workers(const struct options *o);    /* the real number of web workers */
int options_db_writers(const struct options *o); /* per worker */
bool options_is_strict(const struct options *o); /* staging or production */

#endif
