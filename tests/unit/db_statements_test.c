/* db_statements_test.c: walks every statement of sql/queries on the migrated schema: it prepares, has the columns it says, asks for the owner where
 * rows belong to one, and finds its rows by an index. */
#include "config.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>

#include "shared/must.h"
#include "tests/support/cluster.h"
#include "worker/db/migrate.h"
#include "worker/db/statements.h"

TestSuite(db_statements, .timeout = 120);

static PGconn *pg;

static void set_up(void)
{
	struct cluster *cluster = cluster_shared();
	const char *database = cluster_new_database(cluster);
	struct migrate_request rq = { .command = MIGRATE_UP, .to = -1, .out = stderr };
	cr_assert_eq(migrate_run(cluster_url(cluster, database), &rq), 0);
	pg = PQconnectdb(cluster_url(cluster, database));
	cr_assert_eq(PQstatus(pg), CONNECTION_OK);
	/* Generic plans, as a worker's long-lived connections have; tables are empty, so without this every plan would be a scan. */
	PQclear(PQexec(pg,
		"SET search_path = renovationd; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"));
}

static void tear_down(void)
{
	PQfinish(pg);
}

Test(db_statements, each_prepares_and_has_the_columns_it_says, .init = set_up, .fini = tear_down)
{
	for (int i = 0; i < SQL_COUNT; i++) {
		const struct statement_row *row = &statement_rows[i];
		PGresult *res = PQprepare(pg, row->name, row->sql, row->param_count, row->param_oids);
		cr_expect_eq(PQresultStatus(res), PGRES_COMMAND_OK, "%s %s: %s", row->source, row->name,
			PQresultErrorMessage(res));
		bool is_prepared = PQresultStatus(res) == PGRES_COMMAND_OK;
		PQclear(res);
		if (!is_prepared)
			continue;
		res = PQdescribePrepared(pg, row->name);
		cr_expect_eq(PQnfields(res), row->column_count, "%s %s has %d columns, says %d", row->source, row->name,
			PQnfields(res), row->column_count);
		for (int c = 0; c < PQnfields(res) && c < row->column_count; c++) {
			cr_expect_eq(PQftype(res, c), row->columns[c].oid, "%s %s: column %s is of type %u, not %u",
				row->source, row->name, row->columns[c].name, PQftype(res, c), row->columns[c].oid);
		}
		PQclear(res);
	}
}

/* Tables whose rows belong to an owner. */
static const char *const owned[] = { "profiles", "idempotency_keys", "renovation_sessions", "session_phase_history",
	"renovation_rooms", "product_recommendations", "contractor_recommendations", "conversations", "chat_messages",
	"turns", "tool_calls", "tasks" };

/* Statements that touch them for no owner, each with its reason. */
static const struct {
	const char *statement, *reason;
} for_all_owners[] = {
	{ "turns_renew", "a worker keeps all the turns that it writes, by its lease" },
	{ "turns_claim_dead", "a worker takes over the turns of a dead one, by its lease" },
	{ "turns_claim_expired", "a worker takes over turns that nobody writes, whoever asked" },
	{ "turns_idle_queues", "a worker looks for queued turns, whoever asked" },
	{ "turns_release", "a worker gives up all its turns, by its lease" },
	{ "upkeep_idempotency", "what is past its time goes, whosever it is" },
};

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool has_word(const char *text, const char *word)
{
	for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
		if ((p == text || !is_word(p[-1])) && !is_word(p[strlen(word)]))
			return true;
	return false;
}

static bool touches_owned(const struct statement_row *row)
{
	for (size_t i = 0; i < COUNT_OF(owned); i++)
		if (has_word(row->sql, owned[i]))
			return true;
	return false;
}

static const char *excuse(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(for_all_owners); i++)
		if (strcmp(name, for_all_owners[i].statement) == 0)
			return for_all_owners[i].reason;
	return NULL;
}

Test(db_statements, each_on_user_data_asks_for_its_owner)
{
	for (int i = 0; i < SQL_COUNT; i++) {
		const struct statement_row *row = &statement_rows[i];
		if (!touches_owned(row) || excuse(row->name))
			continue;
		cr_expect(strstr(row->sql, "owner_id = $1") != NULL, "%s %s has no owner_id = $1", row->source,
			row->name);
		cr_expect(row->param_count > 0 && strcmp(row->params[0].name, "owner") == 0,
			"%s %s: its first parameter is not owner", row->source, row->name);
	}
}

/* Small tables that are meant to be read whole. */
static bool may_scan(const char *line)
{
	return strstr(line, "schema_migrations") != NULL;
}

Test(db_statements, each_finds_its_rows_by_an_index, .init = set_up, .fini = tear_down)
{
	for (int i = 0; i < SQL_COUNT; i++) {
		const struct statement_row *row = &statement_rows[i];
		char sql[1024];
		PGresult *res = PQprepare(pg, row->name, row->sql, row->param_count, row->param_oids);
		bool is_prepared = PQresultStatus(res) == PGRES_COMMAND_OK;
		PQclear(res);
		if (!is_prepared)
			continue; /* the other test says so */
		int length = snprintf(sql, sizeof sql, "EXPLAIN EXECUTE %s", row->name);
		for (int p = 0; p < row->param_count; p++)
			length += snprintf(sql + length, sizeof sql - (size_t)length, "%sNULL", p ? ", " : "(");
		snprintf(sql + length, sizeof sql - (size_t)length, "%s", row->param_count ? ")" : "");
		res = PQexec(pg, sql);
		cr_expect_eq(PQresultStatus(res), PGRES_TUPLES_OK, "%s %s: %s", row->source, row->name,
			PQresultErrorMessage(res));
		for (int line = 0; line < PQntuples(res); line++) {
			const char *text = PQgetvalue(res, line, 0);
			cr_expect(strstr(text, "Seq Scan") == NULL || may_scan(text), "%s %s: %s", row->source,
				row->name, text);
		}
		PQclear(res);
	}
}
