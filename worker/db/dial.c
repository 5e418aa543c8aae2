/* dial.c: connects within a time limit and sorts failures by what an operator can do about them. Called by probe.c and migrate.c.
 * Connection strings are never quoted: they may hold a password. */
#include "config.h"

#include "worker/db/dial.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/must.h"

static const struct {
	const char *sqlstate; /* a prefix */
	int exit_code;
	bool is_transient;
	const char *remedy;
} reasons[] = {
	{ "28P01", EXIT_REFUSED, false,
		"Correct user and password in DATABASE_URL (or DATABASE_URL_FILE, or ~/.pgpass)." },
	{ "28", EXIT_REFUSED, false,
		"Check the user in DATABASE_URL, and that pg_hba.conf of the server lets it in from this host." },
	{ "3D000", EXIT_CONFIG_WRONG, false,
		"Create the database (createdb -E UTF8 -O USER NAME), or correct its name in DATABASE_URL." },
	{ "42501", EXIT_REFUSED, false,
		"Give the user the right it lacks: it should own the database or the schema renovationd." },
	{ "53300", EXIT_UNAVAILABLE, true, "Raise max_connections of the server, or lower what else connects to it." },
	{ "57P03", EXIT_UNAVAILABLE, true, "Wait until PostgreSQL has started." },
	{ "25006", EXIT_UNAVAILABLE, true,
		"Point DATABASE_URL at the primary server, or list all hosts with target_session_attrs=read-write." },
	{ "53100", EXIT_UNAVAILABLE, true, "Free space on the database server's disk." },
	{ "55P03", EXIT_UNAVAILABLE, true,
		"Another migration or a long transaction holds the lock; wait for it or end it." },
};

static void set_fault(struct dial_fault *fault, int exit_code, bool is_transient, const char *remedy)
{
	fault->exit_code = exit_code;
	fault->is_transient = is_transient;
	snprintf(fault->remedy, sizeof fault->remedy, "%s", remedy);
}

static void set_detail(struct dial_fault *fault, const char *message)
{
	size_t length = 0;
	for (const char *p = message; *p && length < sizeof fault->detail - 1; p++) {
		if (strncmp(p, "\nLOCATION:", 10) == 0)
			break;
		char c = *p == '\n' || *p == '\t' ? ' ' : *p;
		if (c == ' ' && length > 0 && fault->detail[length - 1] == ' ')
			continue;
		fault->detail[length++] = c;
	}
	while (length > 0 && fault->detail[length - 1] == ' ')
		length--;
	fault->detail[length] = '\0';
}

/* In the verbose form the server's words begin "FATAL:  28P01: ...": the code is the same in every language. */
static const char *find_sqlstate(const char *message, char out[6])
{
	for (const char *p = message; (p = strstr(p, ":  ")) != NULL; p += 3) {
		if (strspn(p + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && p[8] == ':') {
			memcpy(out, p + 3, 5);
			out[5] = '\0';
			return out;
		}
	}
	return NULL;
}

static bool explain_sqlstate(const char *sqlstate, struct dial_fault *fault)
{
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		if (strncmp(sqlstate, reasons[i].sqlstate, strlen(reasons[i].sqlstate)) == 0) {
			set_fault(fault, reasons[i].exit_code, reasons[i].is_transient, reasons[i].remedy);
			return true;
		}
	}
	return false;
}

void dial_explain(PGconn *pg, const PGresult *res, struct dial_fault *fault)
{
	char found[6];
	const char *message = res ? PQresultErrorMessage(res) : PQerrorMessage(pg);
	const char *sqlstate = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : find_sqlstate(message, found);
	const char *primary = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	set_detail(fault, primary ? primary : message);
	if (sqlstate != NULL && explain_sqlstate(sqlstate, fault))
		return;
	if (PQstatus(pg) == CONNECTION_OK)
		set_fault(fault, EXIT_CONFIG_WRONG, false, "Look at the message; the server's log has more.");
	else if (PQconnectionNeedsPassword(pg))
		set_fault(fault, EXIT_REFUSED, false,
			"Add the password to DATABASE_URL (or DATABASE_URL_FILE, or ~/.pgpass).");
	else
		set_fault(fault, EXIT_UNAVAILABLE, true,
			"Start PostgreSQL, or correct host and port in DATABASE_URL; check the network between.");
}

/* Drives the connection until it stands, fails or the time is up. */
static bool finish_connecting(PGconn *pg, int64_t until_ms)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
		struct pollfd p = { .fd = PQsocket(pg), .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT };
		int64_t left_ms = until_ms - clock_monotonic_ms();
		int n = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;
		if (n == 0)
			return false;
		if (n > 0 || errno != EINTR)
			next = PQconnectPoll(pg);
	}
	return true;
}

/* Whatever stands unescaped in a password moves the borders of a URI: then its rest would be taken, and shown, as host or port. */
static bool is_plausible(const PQconninfoOption *given)
{
	for (; given->keyword; given++) {
		if (given->val == NULL)
			continue;
		if (strncmp(given->keyword, "host", 4) == 0 && strchr(given->val, '@') != NULL && given->val[0] != '@')
			return false;
		if (strcmp(given->keyword, "dbname") == 0 && strpbrk(given->val, "@/") != NULL)
			return false;
		if (strcmp(given->keyword, "port") == 0 && given->val[strspn(given->val, "0123456789,")] != '\0')
			return false;
	}
	return true;
}

static bool has_target(const PQconninfoOption *given)
{
	for (; given->keyword; given++)
		if (strcmp(given->keyword, "target_session_attrs") == 0 && given->val != NULL)
			return true;
	return false;
}

PGconn *dial_open(const char *conninfo, int timeout_ms, struct dial_fault *fault)
{
	memset(fault, 0, sizeof *fault);
	char *parse_fault = NULL;
	PQconninfoOption *given = PQconninfoParse(conninfo, &parse_fault);
	PQfreemem(parse_fault); /* quotes what it could not read, maybe the password */
	if (given == NULL || !is_plausible(given)) {
		PQconninfoFree(given);
		set_detail(fault, "DATABASE_URL is not a connection string");
		set_fault(fault, EXIT_CONFIG_WRONG, false,
			"Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE (special characters as %XX), or as "
			"host=... dbname=...");
		return NULL;
	}
	const char *names[] = { "dbname", "application_name", "client_encoding", "target_session_attrs", NULL };
	const char *values[] = { conninfo, "renovationd", "UTF8", "read-write", NULL };
	if (has_target(given))
		names[3] = NULL;
	PQconninfoFree(given);
	PGconn *pg = PQconnectStartParams(names, values, 1);
	must(pg != NULL); /* out of memory */
	PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	bool is_in_time = PQstatus(pg) == CONNECTION_BAD || finish_connecting(pg, clock_monotonic_ms() + timeout_ms);
	if (!is_in_time) {
		set_detail(fault, "no answer to the attempt to connect");
		set_fault(fault, EXIT_UNAVAILABLE, true,
			"Check host and port in DATABASE_URL and the network between; option db_connect_timeout_ms.");
	} else if (PQstatus(pg) != CONNECTION_OK) {
		dial_explain(pg, NULL, fault);
	} else {
		PGresult *res = PQexec(pg, "SET search_path = renovationd");
		bool is_good = PQresultStatus(res) == PGRES_COMMAND_OK;
		if (!is_good)
			dial_explain(pg, res, fault);
		PQclear(res);
		if (is_good)
			return pg;
	}
	PQfinish(pg);
	return NULL;
}
