/* probe.c: looks at the database before anything listens: reachable, ours, new enough, migrated, writable, with room for our connections.
 * Called by main.c for --check; blocking. Each finding says what to do; no message holds a password. */
#include "config.h"

#include "worker/db/probe.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "worker/db/dial.h"
#include "worker/db/migrate.h"

#define VERSION_MIN 150000

static void fail(struct report_row *row, int exit_code, bool is_transient)
{
	row->state = REPORT_FAILED;
	row->exit_code = exit_code;
	row->is_transient = is_transient;
}

static void fail_with(struct report_row *row, const struct dial_fault *fault)
{
	fail(row, fault->exit_code, fault->is_transient);
	report_detail(row, "%s", fault->detail);
	report_remedy(row, "%s", fault->remedy);
}

static void skip(struct report *report, const char *name, const char *why)
{
	struct report_row *row = report_add(report, name);
	row->state = REPORT_SKIPPED;
	report_detail(row, "not looked at: %s", why);
}

static void skip_rest(struct report *report, const char *why)
{
	skip(report, "migrations", why);
	skip(report, "connections", why);
}

static void fail_statement(struct report_row *row, PGconn *pg, const PGresult *res)
{
	struct dial_fault fault = { .exit_code = 0 };
	dial_explain(pg, res, &fault);
	fail_with(row, &fault);
}

/* Who and where, for people. */
static void describe(struct report_row *row, PGconn *pg)
{
	int version = PQserverVersion(pg);
	report_detail(row, "PostgreSQL %d.%d at %s port %s, database %s, user %s, writable", version / 10000,
		version % 10000, PQhost(pg), PQport(pg), PQdb(pg), PQuser(pg));
}

static bool check_server(struct report_row *row, PGconn *pg)
{
	int version = PQserverVersion(pg);
	const char *encoding = PQparameterStatus(pg, "server_encoding");
	const char *standby = PQparameterStatus(pg, "in_hot_standby");
	if (version < VERSION_MIN) {
		fail(row, EXIT_CONFIG_WRONG, false);
		report_detail(row, "PostgreSQL %d.%d is too old", version / 10000, version % 10000);
		report_remedy(row, "Upgrade the server to PostgreSQL 15 or later.");
	} else if (encoding == NULL || strcmp(encoding, "UTF8") != 0) {
		fail(row, EXIT_CONFIG_WRONG, false);
		report_detail(
			row, "database %s has the encoding %s, not UTF8", PQdb(pg), encoding ? encoding : "(unknown)");
		report_remedy(row, "Create it anew: createdb -E UTF8 -T template0 %s", PQdb(pg));
	} else if (standby != NULL && strcmp(standby, "on") == 0) {
		fail(row, EXIT_UNAVAILABLE, true);
		report_detail(row, "%s is a standby and takes no writes", PQhost(pg));
		report_remedy(row,
			"Point DATABASE_URL at the primary, or list all hosts with target_session_attrs=read-write.");
	} else {
		return true;
	}
	return false;
}

/* A real row, taken back: shows rights, a read-only server and a full disk. Only on a migrated schema. */
static bool check_write(struct report_row *row, PGconn *pg)
{
	static const char *const statements[] = { "BEGIN",
		"INSERT INTO renovationd.owners (kind, expires_at) VALUES ('service', now())", "ROLLBACK" };
	for (size_t i = 0; i < COUNT_OF(statements); i++) {
		PGresult *res = PQexec(pg, statements[i]);
		bool is_good = PQresultStatus(res) == PGRES_COMMAND_OK;
		if (!is_good)
			fail_statement(row, pg, res);
		PQclear(res);
		if (!is_good) {
			PQclear(PQexec(pg, "ROLLBACK"));
			return false;
		}
	}
	return true;
}

/* ---- migrations --------------------------------------------------------------------------------- */

/* The last two lines of what the migration said: the fault and what to do. */
static void take_words(struct report_row *row, char *said)
{
	char *remedy = strstr(said, "\n  ");
	if (remedy != NULL) {
		*remedy = '\0';
		remedy += 3;
		remedy[strcspn(remedy, "\n")] = '\0';
	}
	report_detail(row, "%s", said);
	report_remedy(row, "%s", remedy ? remedy : "See renovationctl migrate status.");
}

static void apply_pending(struct report_row *row, PGconn *pg)
{
	char *said = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&said, &length);
	must(out != NULL);
	struct migrate_request rq = { .command = MIGRATE_UP, .to = -1, .out = out };
	int code = migrate_run_on(pg, &rq);
	fclose(out);
	if (code != EXIT_OK) {
		fail(row, code, code == EXIT_UNAVAILABLE);
		take_words(row, said);
	}
	free(said);
}

static void judge_history(struct report_row *row, const struct migrate_state *s)
{
	fail(row, EXIT_CONFIG_WRONG, false);
	if (s->unknown > 0) {
		report_detail(row,
			"the database has %d migration%s that this program does not know; its newest is %04ld, ours "
			"%04ld",
			s->unknown, s->unknown == 1 ? "" : "s", s->newest_applied, s->newest_known);
		report_remedy(row,
			"Run the release that migrated it, or take them back with that release: renovationctl migrate "
			"down --to %ld",
			s->newest_known);
	} else {
		report_detail(row, "%d applied migration%s differ%s from this program's files", s->edited,
			s->edited == 1 ? "" : "s", s->edited == 1 ? "s" : "");
		report_remedy(row, "renovationctl migrate status names them; restore the files and put the change into "
				   "a new migration.");
	}
}

static bool check_migrations(struct report_row *row, PGconn *pg, const struct options *options, bool may_migrate)
{
	struct migrate_state s;
	char *said = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&said, &length);
	must(out != NULL);
	int code = migrate_inspect(pg, out, &s);
	fclose(out);
	if (code != EXIT_OK) {
		fail(row, code, code == EXIT_UNAVAILABLE);
		take_words(row, said);
	} else if (s.unknown > 0 || s.edited > 0) {
		judge_history(row, &s);
	} else if (s.pending == 0) {
		report_detail(row, "all applied, newest %04ld", s.newest_applied);
	} else if (options_is_strict(options)) {
		fail(row, EXIT_CONFIG_WRONG, false);
		report_detail(row, "%d migration%s pending; the schema is at %04ld, this program needs %04ld",
			s.pending, s.pending == 1 ? " is" : "s are", s.newest_applied, s.newest_known);
		report_remedy(row, "renovationctl migrate up");
	} else if (!may_migrate) {
		row->state = REPORT_WARNING;
		report_detail(row, "%d pending, newest applied %04ld", s.pending, s.newest_applied);
		report_remedy(row, "Nothing to do: a start in %s applies them.", options->app_env);
	} else {
		apply_pending(row, pg);
		if (row->state == REPORT_OK)
			report_detail(row, "%d applied now, newest %04ld", s.pending, s.newest_known);
	}
	free(said);
	return row->state == REPORT_OK;
}

/* ---- connections -------------------------------------------------------------------------------- */

/* What the server lets this user have in this database, and what is taken by others. -1 = no limit of that kind. */
static const char *const room_sql =
	"SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
	" - coalesce(current_setting('reserved_connections', true), '0')::int,"
	" least(nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)),"
	" (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
	"  AND application_name <> 'renovationd')"
	" FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()";

static void judge_room(struct report_row *row, int needed, int allowed, int others)
{
	/* Beside the workers that serve, those of two older generations may still drain. */
	int reload = 3 * needed;
	report_detail(row,
		"%d needed, %d while reloads follow each other, %d allowed by the server, %d in use by others", needed,
		reload, allowed, others);
	if (needed > allowed) {
		fail(row, EXIT_CONFIG_WRONG, false);
		report_remedy(row,
			"Lower workers, db_readers or db_writers, or raise max_connections of the server to %d or "
			"more.",
			reload + others + 10);
	} else if (reload + others > allowed) {
		row->state = REPORT_WARNING;
		report_remedy(row,
			"Raise max_connections of the server to %d or more, or lower workers, db_readers or "
			"db_writers.",
			reload + others + 10);
	}
}

static void check_connections(struct report_row *row, PGconn *pg, const struct options *options)
{
	int each = (int)options->db_readers + options_db_writers(options) + 1; /* one listens */
	PGresult *res = PQexec(pg, room_sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1) {
		row->state = REPORT_WARNING;
		report_detail(row, "%d needed; the server's limits cannot be read", each * options_workers(options));
	} else {
		int allowed = (int)strtol(PQgetvalue(res, 0, 0), NULL, 10);
		int limit = PQgetisnull(res, 0, 1) ? allowed : (int)strtol(PQgetvalue(res, 0, 1), NULL, 10);
		judge_room(row, each * options_workers(options), limit < allowed ? limit : allowed,
			(int)strtol(PQgetvalue(res, 0, 2), NULL, 10));
	}
	PQclear(res);
}

static int elapsed_ms(int64_t since_us)
{
	return (int)((clock_monotonic_us() - since_us + 500) / 1000);
}

void db_probe(const struct options *options, bool may_migrate, struct report *report)
{
	struct dial_fault fault;
	int64_t started_us = clock_monotonic_us();
	if (options->database_url[0] == '\0') {
		skip(report, "database", "no database_url");
		skip_rest(report, "no database_url");
		return;
	}
	struct report_row *database = report_add(report, "database");
	PGconn *pg = dial_open(options->database_url, (int)options->db_connect_timeout_ms, &fault);
	bool is_good = pg != NULL && check_server(database, pg);
	if (pg == NULL)
		fail_with(database, &fault);
	database->latency_ms = elapsed_ms(started_us);
	if (!is_good) {
		skip_rest(report, "the database check failed");
		PQfinish(pg);
		return;
	}
	describe(database, pg);
	int64_t then_us = clock_monotonic_us();
	struct report_row *migrations = report_add(report, "migrations");
	bool is_migrated = check_migrations(migrations, pg, options, may_migrate);
	migrations->latency_ms = elapsed_ms(then_us);
	if (is_migrated)
		check_write(database, pg);
	then_us = clock_monotonic_us();
	struct report_row *connections = report_add(report, "connections");
	check_connections(connections, pg, options);
	connections->latency_ms = elapsed_ms(then_us);
	PQfinish(pg);
}
