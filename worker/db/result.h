/* result.h: a PGresult with the statement it answers, and what its errors mean. Used inside worker/db only. */
#ifndef RENOVATIOND_WORKER_DB_RESULT_H
#define RENOVATIOND_WORKER_DB_RESULT_H

#include <libpq-fe.h>

#include "shared/arena.h"
#include "worker/db/db.h"

struct db_result {
	PGresult *pg;                    /* owned */
	const struct statement_row *row; /* the statement, for types and format */
	struct arena scratch;            /* text forms of binary columns */
	int references;                  /* the callback's and those of db_result_ref */
};

/* Takes `pg`. */
struct db_result *result_create(PGresult *pg, const struct statement_row *row);

enum result_fate {
	FATE_ANSWER, /* tell the caller */
	FATE_RETRY, /* nothing happened, and it may work the next time: deadlock, serialization, a statement to prepare anew */
	FATE_LOST /* the server ends this connection */
};

/* What an error result means for the caller and for us. */
enum error result_classify(const PGresult *pg, enum result_fate *fate_out);
/* Is the statement unknown or out of date on this connection? */
bool result_is_stale_statement(const PGresult *pg);

#endif
