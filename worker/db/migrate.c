/* migrate.c: compares the embedded migrations with schema_migrations and brings one to the other, each in a transaction of its own under an
 * advisory lock, so that several starts at once apply each once. Called by probe.c and by main.c for renovationctl; blocking. */
#include "config.h"

#include "worker/db/migrate.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "worker/db/dial.h"
#include "worker/db/migrations.h"

#define LOCK_KEY           "7275012345000"
#define CONNECT_TIMEOUT_MS 10000
#define CHECKSUM_BYTES     32

/* One row of schema_migrations. */
struct applied {
	long version;
	char name[128];
	char checksum[CHECKSUM_BYTES * 2 + 1]; /* hex */
	char at[32];                           /* UTC, for people */
	long duration_ms;
};

struct ledger {
	struct applied *rows; /* owned, ascending */
	int count;
};

static void checksum_of(const struct migration *m, char out[CHECKSUM_BYTES * 2 + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	must(EVP_Digest(m->up, strlen(m->up), digest, &length, EVP_sha256(), NULL) == 1 && length == CHECKSUM_BYTES);
	for (unsigned int i = 0; i < length; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static const struct migration *migration_find(long version)
{
	for (size_t i = 0; i < migrations_count; i++)
		if (migrations[i].version == version)
			return &migrations[i];
	return NULL;
}

static const struct applied *applied_find(const struct ledger *ledger, long version)
{
	for (int i = 0; i < ledger->count; i++)
		if (ledger->rows[i].version == version)
			return &ledger->rows[i];
	return NULL;
}

/* Says what failed; returns the exit code. */
static int explain(PGconn *pg, const PGresult *res, const char *what, FILE *out)
{
	struct dial_fault fault = { .exit_code = 0 };
	dial_explain(pg, res, &fault);
	fprintf(out, "%s: %s\n  %s\n", what, fault.detail, fault.remedy);
	return fault.exit_code;
}

static int run(PGconn *pg, const char *sql, const char *what, FILE *out)
{
	PGresult *res = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(res);
	int code = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? EXIT_OK : explain(pg, res, what, out);
	PQclear(res);
	return code;
}

/* ---- what is there ------------------------------------------------------------------------------ */

static void ledger_fill(struct ledger *ledger, const PGresult *res)
{
	ledger->count = PQntuples(res);
	ledger->rows = must_alloc((size_t)(ledger->count + 1) * sizeof *ledger->rows);
	for (int i = 0; i < ledger->count; i++) {
		struct applied *a = &ledger->rows[i];
		a->version = strtol(PQgetvalue(res, i, 0), NULL, 10);
		snprintf(a->name, sizeof a->name, "%s", PQgetvalue(res, i, 1));
		snprintf(a->checksum, sizeof a->checksum, "%s", PQgetvalue(res, i, 2));
		a->duration_ms = strtol(PQgetvalue(res, i, 3), NULL, 10);
		snprintf(a->at, sizeof a->at, "%s", PQgetvalue(res, i, 4));
	}
}

static int ledger_read(PGconn *pg, struct ledger *ledger, FILE *out)
{
	*ledger = (struct ledger) { NULL, 0 };
	PGresult *res = PQexec(pg, "SELECT to_regclass('renovationd.schema_migrations') IS NOT NULL");
	bool is_there = PQresultStatus(res) == PGRES_TUPLES_OK && PQgetvalue(res, 0, 0)[0] == 't';
	int code =
		PQresultStatus(res) == PGRES_TUPLES_OK ? EXIT_OK : explain(pg, res, "cannot look at the schema", out);
	PQclear(res);
	if (code != EXIT_OK || !is_there)
		return code;
	res = PQexec(pg, "SELECT version, name, encode(checksum, 'hex'), duration_ms, "
			 "to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') "
			 "FROM renovationd.schema_migrations ORDER BY version");
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		ledger_fill(ledger, res);
	else
		code = explain(pg, res, "cannot read schema_migrations", out);
	PQclear(res);
	return code;
}

static struct migrate_state compare(const struct ledger *ledger)
{
	struct migrate_state s = { .newest_known = migrations_count ? migrations[migrations_count - 1].version : 0 };
	for (int i = 0; i < ledger->count; i++) {
		const struct applied *a = &ledger->rows[i];
		const struct migration *m = migration_find(a->version);
		char checksum[CHECKSUM_BYTES * 2 + 1];
		s.newest_applied = a->version;
		s.unknown += m == NULL;
		if (m == NULL)
			continue;
		checksum_of(m, checksum);
		s.edited += strcmp(checksum, a->checksum) != 0;
	}
	for (size_t i = 0; i < migrations_count; i++)
		s.pending += applied_find(ledger, migrations[i].version) == NULL;
	return s;
}

/* Is the history one that this binary can go on from? Says each fault. */
static int check_history(const struct ledger *ledger, FILE *out)
{
	int code = EXIT_OK;
	long newest = ledger->count ? ledger->rows[ledger->count - 1].version : 0;
	for (int i = 0; i < ledger->count; i++) {
		const struct applied *a = &ledger->rows[i];
		const struct migration *m = migration_find(a->version);
		char checksum[CHECKSUM_BYTES * 2 + 1] = "";
		if (m != NULL)
			checksum_of(m, checksum);
		if (m != NULL && strcmp(checksum, a->checksum) == 0)
			continue;
		code = EXIT_CONFIG_WRONG;
		if (m == NULL)
			fprintf(out,
				"%04ld_%s: applied to this database, unknown to this program\n"
				"  Run the newer release that made it, or take it back with that release: "
				"renovationctl migrate down\n",
				a->version, a->name);
		else
			fprintf(out,
				"%04ld_%s: its file was edited after it was applied\n"
				"  Restore the file as it was, and put the change into a new migration\n",
				a->version, a->name);
	}
	for (size_t i = 0; i < migrations_count; i++) {
		const struct migration *m = &migrations[i];
		if (m->version > newest || applied_find(ledger, m->version) != NULL)
			continue;
		code = EXIT_CONFIG_WRONG;
		fprintf(out,
			"%04ld_%s: not applied, although the later %04ld is\n"
			"  Give it the next free number, or take the later ones back first: renovationctl migrate down "
			"--to %ld\n",
			m->version, m->name, newest, m->version - 1);
	}
	return code;
}

int migrate_inspect(PGconn *pg, FILE *out, struct migrate_state *state_out)
{
	struct ledger ledger;
	int code = ledger_read(pg, &ledger, out);
	if (code == EXIT_OK)
		*state_out = compare(&ledger);
	free(ledger.rows);
	return code;
}

static int print_status(const struct ledger *ledger, FILE *out)
{
	struct migrate_state s = compare(ledger);
	for (size_t i = 0; i < migrations_count; i++) {
		const struct migration *m = &migrations[i];
		const struct applied *a = applied_find(ledger, m->version);
		char checksum[CHECKSUM_BYTES * 2 + 1];
		checksum_of(m, checksum);
		if (a == NULL)
			fprintf(out, "%04ld_%-32s pending\n", m->version, m->name);
		else
			fprintf(out, "%04ld_%-32s %s %s UTC, %ld ms\n", m->version, m->name,
				strcmp(checksum, a->checksum) == 0 ? "applied" : "EDITED after it was applied", a->at,
				a->duration_ms);
	}
	for (int i = 0; i < ledger->count; i++)
		if (migration_find(ledger->rows[i].version) == NULL)
			fprintf(out, "%04ld_%-32s UNKNOWN to this program, applied %s UTC\n", ledger->rows[i].version,
				ledger->rows[i].name, ledger->rows[i].at);
	fprintf(out, "%d pending, %d edited, %d unknown\n", s.pending, s.edited, s.unknown);
	return EXIT_OK;
}

/* ---- changing it -------------------------------------------------------------------------------- */

static int ensure_ledger(PGconn *pg, FILE *out)
{
	PGresult *res = PQexec(pg, "SELECT to_regnamespace('renovationd') IS NOT NULL");
	bool has_schema = PQresultStatus(res) == PGRES_TUPLES_OK && PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	int code = has_schema ? EXIT_OK
			      : run(pg, "CREATE SCHEMA renovationd", "cannot create the schema renovationd", out);
	if (code != EXIT_OK)
		return code;
	return run(pg,
		"CREATE TABLE IF NOT EXISTS renovationd.schema_migrations ("
		" version bigint PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, app_version text NOT NULL,"
		" duration_ms int NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
		"cannot create schema_migrations", out);
}

static int record(PGconn *pg, const struct migration *m, bool is_up, int64_t started_ms, FILE *out)
{
	char version[24], duration[24], checksum[CHECKSUM_BYTES * 2 + 1];
	snprintf(version, sizeof version, "%ld", m->version);
	snprintf(duration, sizeof duration, "%lld", (long long)(clock_monotonic_ms() - started_ms));
	checksum_of(m, checksum);
	const char *values[] = { version, m->name, checksum, PACKAGE_VERSION, duration };
	PGresult *res = is_up ? PQexecParams(pg,
					"INSERT INTO renovationd.schema_migrations (version, name, checksum, "
					"app_version, duration_ms) "
					"VALUES ($1::bigint, $2, decode($3, 'hex'), $4, $5::int)",
					5, NULL, values, NULL, NULL, 0)
			      : PQexecParams(pg, "DELETE FROM renovationd.schema_migrations WHERE version = $1::bigint",
					1, NULL, values, NULL, NULL, 0);
	int code =
		PQresultStatus(res) == PGRES_COMMAND_OK ? EXIT_OK : explain(pg, res, "cannot note the migration", out);
	PQclear(res);
	return code;
}

static int step(PGconn *pg, const struct migration *m, bool is_up, const struct migrate_request *rq)
{
	int64_t started_ms = clock_monotonic_ms();
	if (rq->is_dry_run) {
		fprintf(rq->out, "%04ld_%s would be %s\n", m->version, m->name, is_up ? "applied" : "taken back");
		return EXIT_OK;
	}
	char what[192];
	snprintf(what, sizeof what, "%04ld_%s.%s.sql failed, nothing of it was kept", m->version, m->name,
		is_up ? "up" : "down");
	int code = run(pg, "BEGIN", what, rq->out);
	if (code == EXIT_OK)
		code = run(pg, is_up ? m->up : m->down, what, rq->out);
	if (code == EXIT_OK)
		code = record(pg, m, is_up, started_ms, rq->out);
	if (code == EXIT_OK)
		code = run(pg, "COMMIT", what, rq->out);
	if (code == EXIT_OK)
		fprintf(rq->out, "%04ld_%s %s in %lld ms\n", m->version, m->name, is_up ? "applied" : "taken back",
			(long long)(clock_monotonic_ms() - started_ms));
	else
		PQclear(PQexec(pg, "ROLLBACK"));
	return code;
}

static int go_up(PGconn *pg, const struct ledger *ledger, const struct migrate_request *rq)
{
	int code = EXIT_OK, done = 0;
	for (size_t i = 0; i < migrations_count && code == EXIT_OK; i++) {
		const struct migration *m = &migrations[i];
		if (applied_find(ledger, m->version) != NULL || (rq->to >= 0 && m->version > rq->to))
			continue;
		code = step(pg, m, true, rq);
		done++;
	}
	if (done == 0)
		fprintf(rq->out, "nothing to do: %d migrations are applied\n", ledger->count);
	return code;
}

static int go_down(PGconn *pg, const struct ledger *ledger, const struct migrate_request *rq)
{
	int code = EXIT_OK, done = 0;
	for (size_t i = migrations_count; i-- > 0 && code == EXIT_OK;) {
		const struct migration *m = &migrations[i];
		if (applied_find(ledger, m->version) == NULL || m->version <= rq->to)
			continue;
		if (rq->to < 0 && done > 0)
			break;
		code = step(pg, m, false, rq);
		done++;
	}
	if (done == 0)
		fprintf(rq->out, "nothing to take back\n");
	return code;
}

static int change(PGconn *pg, const struct migrate_request *rq)
{
	struct ledger ledger = { NULL, 0 };
	if (rq->to > 0 && migration_find(rq->to) == NULL) {
		fprintf(rq->out, "there is no migration %04ld; see renovationctl migrate status\n", rq->to);
		return EXIT_USAGE_WRONG;
	}
	/* Bounds the wait for others who migrate and for locks on tables. */
	int code = run(pg, "SET lock_timeout = '60s'; SET statement_timeout = 0; SET client_min_messages = warning",
		"cannot prepare the session", rq->out);
	if (code == EXIT_OK)
		code = run(pg, "SELECT pg_advisory_lock(" LOCK_KEY ")", "another migration runs", rq->out);
	if (code != EXIT_OK)
		return code;
	if (!rq->is_dry_run)
		code = ensure_ledger(pg, rq->out);
	if (code == EXIT_OK)
		code = ledger_read(pg, &ledger, rq->out);
	if (code == EXIT_OK)
		code = check_history(&ledger, rq->out);
	if (code == EXIT_OK)
		code = rq->command == MIGRATE_UP ? go_up(pg, &ledger, rq) : go_down(pg, &ledger, rq);
	PQclear(PQexec(pg, "SELECT pg_advisory_unlock(" LOCK_KEY ")"));
	free(ledger.rows);
	return code;
}

int migrate_run_on(PGconn *pg, const struct migrate_request *rq)
{
	if (rq->command != MIGRATE_STATUS)
		return change(pg, rq);
	struct ledger ledger;
	int code = ledger_read(pg, &ledger, rq->out);
	if (code == EXIT_OK)
		code = print_status(&ledger, rq->out);
	free(ledger.rows);
	return code;
}

int migrate_run(const char *conninfo, const struct migrate_request *rq)
{
	struct dial_fault fault;
	PGconn *pg = dial_open(conninfo, CONNECT_TIMEOUT_MS, &fault);
	if (pg == NULL) {
		fprintf(rq->out, "cannot connect to the database: %s\n  %s\n", fault.detail, fault.remedy);
		return fault.exit_code;
	}
	int code = migrate_run_on(pg, rq);
	PQfinish(pg);
	return code;
}
