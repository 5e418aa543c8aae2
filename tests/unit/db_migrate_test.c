/* db_migrate_test.c: the real migrations on real databases: up, down and up again, edited and unknown ones, several starts at once; and what the
 * preflight says about databases that do not fit. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/cluster.h"
#include "worker/db/migrate.h"
#include "worker/db/probe.h"

TestSuite(db_migrate, .timeout = 120);

static struct cluster *cluster;
static const char *database;

static void set_up(void)
{
	cluster = cluster_shared();
	database = cluster_new_database(cluster);
}

/* What it said is kept until the next call. */
static char *said;

static int run(enum migrate_command command, long to, bool is_dry_run)
{
	size_t length;
	free(said);
	FILE *out = open_memstream(&said, &length);
	struct migrate_request rq = { .command = command, .to = to, .is_dry_run = is_dry_run, .out = out };
	int code = migrate_run(cluster_url(cluster, database), &rq);
	fclose(out);
	return code;
}

static long tables(void)
{
	return cluster_count(cluster, database,
		"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = "
		"'renovationd' AND relkind IN ('r', 'p')");
}

static char *describe_schema(void)
{
	return cluster_sql(cluster, database,
		"SELECT string_agg(d, E'\\n' ORDER BY d) FROM ("
		" SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || coalesce(column_default, '') "
		"|| is_nullable"
		"  FROM information_schema.columns WHERE table_schema = 'renovationd'"
		" UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'renovationd'"
		" UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM "
		"pg_constraint"
		"  WHERE connamespace = 'renovationd'::regnamespace"
		" UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'renovationd'::regnamespace) s "
		"(d)");
}

Test(db_migrate, up_down_and_up_again_gives_the_same_schema, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, -1, false), EXIT_OK, "%s", said);
	char *first = describe_schema();
	cr_assert_eq(run(MIGRATE_DOWN, 0, false), EXIT_OK, "%s", said);
	cr_assert_eq(tables(), 1); /* schema_migrations */
	cr_assert_eq(cluster_count(cluster, database,
			     "SELECT count(*) FROM pg_proc WHERE pronamespace = 'renovationd'::regnamespace"),
		0);
	cr_assert_eq(run(MIGRATE_UP, -1, false), EXIT_OK, "%s", said);
	char *second = describe_schema();
	cr_assert_str_eq(first, second);
	free(first);
	free(second);
}

Test(db_migrate, each_can_be_taken_back_and_applied_again_alone, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, 1, false), EXIT_OK, "%s", said);
	for (long version = 2; version <= 4; version++) {
		cr_assert_eq(run(MIGRATE_UP, version, false), EXIT_OK, "%s", said);
		cr_assert_eq(run(MIGRATE_DOWN, -1, false), EXIT_OK, "%s", said);
		cr_assert_eq(cluster_count(cluster, database, "SELECT max(version) FROM renovationd.schema_migrations"),
			version - 1);
		cr_assert_eq(run(MIGRATE_UP, version, false), EXIT_OK, "%s", said);
	}
}

Test(db_migrate, a_dry_run_changes_nothing, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, -1, true), EXIT_OK);
	cr_assert_not_null(strstr(said, "0001_foundation would be applied"));
	cr_assert_eq(
		cluster_count(cluster, database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'renovationd'"), 0);
}

Test(db_migrate, four_starts_at_once_apply_each_once, .init = set_up)
{
	int failed = 0;
	for (int i = 0; i < 4; i++) {
		if (fork() == 0)
			_exit(run(MIGRATE_UP, -1, false));
	}
	for (int i = 0; i < 4; i++) {
		int status;
		wait(&status);
		failed += status != 0;
	}
	cr_assert_eq(failed, 0);
	cr_assert_eq(cluster_count(cluster, database,
			     "SELECT count(*) - count(DISTINCT version) FROM renovationd.schema_migrations"),
		0);
	cr_assert_eq(run(MIGRATE_STATUS, -1, false), EXIT_OK);
	cr_assert_not_null(strstr(said, "0 pending, 0 edited, 0 unknown"), "%s", said);
}

Test(db_migrate, an_edited_file_is_refused_by_name, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, 2, false), EXIT_OK);
	free(cluster_sql(
		cluster, database, "UPDATE renovationd.schema_migrations SET checksum = '\\x00' WHERE version = 2"));
	cr_assert_eq(run(MIGRATE_UP, -1, false), EXIT_CONFIG_WRONG);
	cr_assert_not_null(strstr(said, "0002_sessions: its file was edited"), "%s", said);
	cr_assert_eq(run(MIGRATE_DOWN, -1, false), EXIT_CONFIG_WRONG);
	cr_assert_eq(cluster_count(cluster, database, "SELECT max(version) FROM renovationd.schema_migrations"), 2);
}

Test(db_migrate, unknown_and_out_of_order_ones_are_refused, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, 2, false), EXIT_OK);
	free(cluster_sql(cluster, database,
		"INSERT INTO renovationd.schema_migrations VALUES (9000, 'future', '\\x00', '9', 1)"));
	cr_assert_eq(run(MIGRATE_UP, -1, false), EXIT_CONFIG_WRONG);
	cr_assert_not_null(strstr(said, "9000_future: applied to this database, unknown"), "%s", said);
	cr_assert_not_null(strstr(said, "0003_chat: not applied, although"), "%s", said);
}

Test(db_migrate, a_target_that_does_not_exist_is_a_usage_error, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, 4711, false), EXIT_USAGE_WRONG);
}

Test(db_migrate, chunks_of_a_day_without_partition_are_kept_and_moved, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, -1, false), EXIT_OK);
	free(cluster_sql(cluster, database,
		"INSERT INTO renovationd.turn_chunks (day, turn_id, from_event, to_event, body)"
		" SELECT current_date + 40, renovationd.uuid7(), i, i, '\\x00' FROM generate_series(1, 10) i"));
	cr_assert_eq(cluster_count(cluster, database, "SELECT count(*) FROM renovationd.turn_chunks_default"), 10);
	free(cluster_sql(cluster, database, "SELECT renovationd.turn_chunks_ensure(current_date + 40)::text"));
	cr_assert_eq(cluster_count(cluster, database, "SELECT count(*) FROM renovationd.turn_chunks_default"), 0);
	cr_assert_eq(cluster_count(cluster, database, "SELECT count(*) FROM renovationd.turn_chunks"), 10);
	free(cluster_sql(cluster, database, "SELECT renovationd.turn_chunks_ensure(current_date - 9)::text"));
	cr_assert_eq(cluster_count(cluster, database, "SELECT renovationd.turn_chunks_maintain(2, '24 hours')"), 1);
}

Test(db_migrate, ids_sort_by_time_and_are_version_seven, .init = set_up)
{
	cr_assert_eq(run(MIGRATE_UP, 1, false), EXIT_OK);
	cr_assert_eq(
		cluster_count(cluster, database,
			"SELECT count(*) FROM (SELECT u, lag(u) OVER (ORDER BY i) AS before FROM"
			" (SELECT i, renovationd.uuid7() AS u FROM generate_series(1, 5000) i OFFSET 0) s) t"
			" WHERE substr(u::text, 15, 1) <> '7' OR substr(u::text, 20, 1) NOT IN ('8', '9', 'a', 'b')"
			" OR abs(('x' || translate(substr(u::text, 1, 13), '-', ''))::bit(48)::bigint"
			" - extract(epoch FROM clock_timestamp()) * 1000) > 60000"),
		0);
	cr_assert_eq(cluster_count(cluster, database,
			     "SELECT (renovationd.rfc3339('2026-11-21 12:00:00.0129+02') = "
			     "'2026-11-21T10:00:00.012Z')::int"),
		1);
}

/* ---- preflight ---------------------------------------------------------------------------------- */

static struct report report;
static struct options options;

static void probe_only(const char *url, const char *environment, bool may_migrate)
{
	report.count = 0;
	options_init(&options);
	free(options.database_url);
	options.database_url = must_strdup(url);
	free(options.app_env);
	options.app_env = must_strdup(environment);
	db_probe(&options, may_migrate, &report);
	cr_assert_eq(report.count, 3);
	for (int i = 0; i < report.count; i++) {
		cr_assert_null(strstr(report.rows[i].detail, "topsecret"));
		cr_assert_null(strstr(report.rows[i].remedy, "topsecret"));
		cr_assert(report.rows[i].state != REPORT_FAILED || report.rows[i].remedy[0] != '\0');
	}
}

static void probe(const char *url, const char *environment)
{
	probe_only(url, environment, true);
}

Test(db_probe, a_check_changes_nothing, .init = set_up)
{
	probe_only(cluster_url(cluster, database), "development", false);
	cr_assert_eq(report_exit_code(&report), EXIT_OK);
	cr_assert_eq(report.rows[1].state, REPORT_WARNING);
	cr_assert_eq(
		cluster_count(cluster, database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'renovationd'"), 0);
}

Test(db_probe, pending_migrations_are_refused_in_production_and_applied_in_development, .init = set_up)
{
	probe(cluster_url(cluster, database), "production");
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG);
	cr_assert_str_eq(report.rows[1].remedy, "renovationctl migrate up");
	cr_assert_eq(
		cluster_count(cluster, database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'renovationd'"), 0);
	probe(cluster_url(cluster, database), "development");
	cr_assert_eq(report_exit_code(&report), EXIT_OK, "%s", report.rows[1].detail);
	probe(cluster_url(cluster, database), "production");
	cr_assert_eq(report_exit_code(&report), EXIT_OK);
	cr_assert_eq(cluster_count(cluster, database, "SELECT count(*) FROM renovationd.owners"), 0);
}

Test(db_probe, faults_have_their_exit_codes, .init = set_up)
{
	char url[300];
	probe(cluster_tcp_url(cluster, database, "topsecret"), "test");
	cr_assert_eq(report_exit_code(&report), EXIT_REFUSED, "%s", report.rows[0].detail);
	snprintf(url, sizeof url, "postgresql://renovationd:topsecret@127.0.0.1:%d/x", free_port());
	probe(url, "test");
	cr_assert_eq(report_exit_code(&report), EXIT_UNAVAILABLE, "%s", report.rows[0].detail);
	cr_assert(report_is_only_transient(&report));
	probe(cluster_url(cluster, "not_there"), "test");
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG, "%s", report.rows[0].detail);
	probe("postgresql://u:top@secret/topsecret@127.0.0.1/x", "test");
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG, "%s", report.rows[0].detail);
	probe("host=127.0.0.1 password=topsecret oops", "test");
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG, "%s", report.rows[0].detail);
}

Test(db_probe, another_encoding_is_refused, .init = set_up)
{
	free(cluster_sql(cluster, "postgres", "DROP DATABASE IF EXISTS latin_test"));
	free(cluster_sql(cluster, "postgres",
		"CREATE DATABASE latin_test ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER "
		"renovationd"));
	probe(cluster_url(cluster, "latin_test"), "test");
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG);
	cr_assert_not_null(strstr(report.rows[0].detail, "LATIN1"));
	free(cluster_sql(cluster, "postgres", "DROP DATABASE latin_test"));
}

Test(db_probe, more_connections_than_the_server_has_are_refused, .init = set_up)
{
	probe(cluster_url(cluster, database), "test");
	cr_assert_eq(report.rows[2].state, REPORT_OK, "%s", report.rows[2].detail);
	char sql[200];
	snprintf(sql, sizeof sql, "ALTER DATABASE %s CONNECTION LIMIT 4", database);
	free(cluster_sql(cluster, "postgres", sql));
	probe(cluster_url(cluster, database), "test");
	cr_assert_eq(report.rows[2].state, REPORT_FAILED);
	cr_assert_eq(report_exit_code(&report), EXIT_CONFIG_WRONG);
}
