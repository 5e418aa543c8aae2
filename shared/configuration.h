/* configuration.h: where the options of config.def come from: a libconfig file, the environment, files named by it and systemd credentials.
 * Only supervisor and ctl use it; workers inherit the result (options.h). It collects every fault instead of stopping at the first.
 * (Not called config.h, which is the build's own header, nor config_…, which are libconfig's names; the code is config.c and config_*.c.) */
#ifndef RENOVATIOND_SHARED_CONFIGURATION_H
#define RENOVATIOND_SHARED_CONFIGURATION_H

#include <stdio.h>

#include "shared/options.h"

/* Of shutdown_ms: who is still there then is killed; the rest is for the report of the stop and the last way out. */
#define SHUTDOWN_KILL_PERCENT 90

struct configuration_fault {
	char where[256];   /* "renovationd.conf:12", "environment DATABASE_URL"; for people */
	char problem[384]; /* what is there and what was expected; never a secret */
	char remedy[256];  /* what to do */
	bool is_warning;   /* told, but not in the way of a start */
};

struct configuration {
	struct options options; /* what came out; wrong values leave the default */
	char origins[OPTION_COUNT]
		    [200]; /* where each value comes from: "default", "renovationd.conf:12", "environment PORT" */
	struct configuration_fault *faults; /* in the order found; owned */
	size_t count;                       /* of them, warnings included */
	size_t capacity;                    /* allocated */
};

/* Which values the caller needs beyond correct ones. */
enum configuration_use {
	CONFIGURATION_FOR_SERVICE, /* all that renovationd needs, and what only makes sense together */
	CONFIGURATION_FOR_DATABASE /* database_url only: migrations */
};

void configuration_init(struct configuration *c); /* defaults */
void configuration_fini(struct configuration *c);

/* Later readings override earlier ones: file, then environment. Faults are gathered, nothing is returned. */
void configuration_read_file(struct configuration *c, const char *path);
void configuration_read_text(
	struct configuration *c, const char *text, const char *name); /* the file's content; name stands in faults */
/* `environment` is like environ(7). An empty variable counts as unset. Secrets also come from the file named by VARIABLE_FILE and from the files
 * called like the option (or with dashes) in $CREDENTIALS_DIRECTORY, in that order of strength. */
void configuration_read_environment(struct configuration *c, const char *const environment[]);
/* What is missing or does not fit together. */
void configuration_check(struct configuration *c, enum configuration_use use);

bool configuration_has_faults(const struct configuration *c); /* warnings do not count */
/* Adds one; printf form for problem. */
void configuration_add_fault(struct configuration *c, const char *where, const char *remedy, const char *problem, ...)
	PRINTF(4, 5);
/* The same for an option's present value: `where` is its origin and its name. */
void configuration_fault_option(
	struct configuration *c, enum option_id id, const char *remedy, const char *problem, ...) PRINTF(4, 5);
void configuration_add_warning(struct configuration *c, const char *where, const char *remedy, const char *problem, ...)
	PRINTF(4, 5);

/* For people: one fault per paragraph. For the log: a JSON array of objects. */
void configuration_print_faults(const struct configuration *c, FILE *out);
void configuration_write_faults_json(const struct configuration *c, struct buffer *out);
/* In the form of renovationd.conf, with origins as comments and secrets masked. */
void configuration_print(const struct configuration *c, FILE *out);
/* The sample file: every option with its help, range and default, commented out. */
void configuration_print_sample(FILE *out);

/* The option name nearest to a wrong one, or NULL when none is near. */
const char *configuration_nearest(struct text name);
/* Is this a variable that options come from (or that only we may see)? For cleaning the environment of workers. */
bool configuration_owns_variable(struct text name);

/* For the parts of this module: sets one option, or adds the fault. */
void configuration_take(struct configuration *c, enum option_id id, struct text value, const char *where);
/* For the parts of this module: a secret from a file, without its last line end. */
void configuration_take_file(struct configuration *c, enum option_id id, const char *path, const char *where);

#endif
