/* dial.h: a blocking connection for the preflight and for migrations, and plain words for why there is none. Never used by a serving worker. */
#ifndef RENOVATIOND_WORKER_DB_DIAL_H
#define RENOVATIOND_WORKER_DB_DIAL_H

#include <libpq-fe.h>
#include <stdbool.h>

struct dial_fault {
	int exit_code;     /* inherit.h: 69, 77 or 78 */
	bool is_transient; /* trying again may help */
	char detail[320];  /* what happened; no password */
	char remedy[320];  /* what to do */
};

/* An open connection in UTF-8 with search_path renovationd, to PQfinish; NULL with the fault filled in. */
PGconn *dial_open(const char *conninfo, int timeout_ms, struct dial_fault *fault_out);
/* What a failed statement or a lost connection means; `res` may be NULL. */
void dial_explain(PGconn *pg, const PGresult *res, struct dial_fault *fault_out);

#endif
