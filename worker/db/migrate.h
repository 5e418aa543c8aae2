/* migrate.h: brings the schema to the version that this binary holds (sql/migrations, embedded): reversible pairs, checksums, an advisory lock, one
 * transaction each. Blocking; used by `renovationd-worker --check` (development and test) and `renovationd-worker --migrate` (renovationctl). */
#ifndef RENOVATIOND_WORKER_DB_MIGRATE_H
#define RENOVATIOND_WORKER_DB_MIGRATE_H

#include <stdbool.h>
#include <stdio.h>

#include "shared/error.h"
#include "shared/must.h"

enum migrate_command { MIGRATE_STATUS, MIGRATE_UP, MIGRATE_DOWN };

struct migrate_request {
	enum migrate_command command;
	long to;         /* target version; -1: up = newest, down = one step */
	bool is_dry_run; /* print what would be done */
	FILE *out;       /* a line per migration, for people */
};

/* Returns an exit code (inherit.h): 0, 64 no such version, 69 unreachable, 77 refused, 78 edited, unknown or out-of-order migrations, wrong
 * database. What went wrong is said in `out`. */
MUST_CHECK int migrate_run(const char *conninfo, const struct migrate_request *request);

struct migrate_state {
	int pending;         /* migrations of this binary not applied */
	int unknown;         /* applied ones that this binary does not know (newer) */
	int edited;          /* applied ones whose text differs */
	long newest_applied; /* version; 0 = none */
	long newest_known;
};

/* The same over an open connection, for the preflight. */
struct pg_conn; /* libpq's PGconn */
MUST_CHECK int migrate_run_on(struct pg_conn *pg, const struct migrate_request *request);
MUST_CHECK int migrate_inspect(struct pg_conn *pg, FILE *out, struct migrate_state *state_out);

#endif
