/* probe.h: the database part of the preflight, blocking, for `renovationd-worker --check` only: connect, authenticate, server version, schema,
 * write probe, connection budget. */
#ifndef RENOVATIOND_WORKER_DB_PROBE_H
#define RENOVATIOND_WORKER_DB_PROBE_H

#include "shared/options.h"
#include "shared/report.h"

/* Adds its rows to the report (database, migrations, connections). Pending migrations are refused in staging and production; in development and
 * test they are applied when `may_migrate` (a real start), else only told. */
void db_probe(const struct options *options, bool may_migrate, struct report *report);

#endif
