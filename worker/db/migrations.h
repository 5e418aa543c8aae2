/* migrations.h: the embedded texts of sql/migrations, in order of their numbers. Read by migrate.c only. */
#ifndef RENOVATIOND_WORKER_DB_MIGRATIONS_H
#define RENOVATIOND_WORKER_DB_MIGRATIONS_H

#include <stddef.h>

struct migration {
	long version;     /* the number in the file's name, > 0, ascending */
	const char *name; /* what follows it */
	const char *up;   /* SQL texts, run in one transaction each */
	const char *down;
};

extern const struct migration migrations[];
extern const size_t migrations_count;

#endif
