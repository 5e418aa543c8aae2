/* result.c: reads PGresults for callers without copying, and sorts PostgreSQL's errors (manual, appendix A) into ours.
 * Called by everyone who gets a result; pipeline.c asks for the meaning of errors. */
#include "config.h"

#include "worker/db/result.h"

#include <inttypes.h>

#include "shared/must.h"

struct db_result *result_create(PGresult *pg, const struct statement_row *row)
{
	struct db_result *r = must_alloc(sizeof *r);
	r->pg = pg;
	r->row = row;
	r->references = 1;
	return r;
}

const struct db_result *db_result_ref(const struct db_result *r)
{
	((struct db_result *)r)->references++;
	return r;
}

void db_result_unref(const struct db_result **result)
{
	struct db_result *r = (struct db_result *)*result;
	*result = NULL;
	if (r == NULL || --r->references > 0)
		return;
	PQclear(r->pg);
	arena_fini(&r->scratch);
	free(r);
}

int db_result_rows(const struct db_result *r)
{
	return PQntuples(r->pg);
}

bool db_result_is_null(const struct db_result *r, int row, int column)
{
	must(row >= 0 && row < PQntuples(r->pg) && column >= 0 && column < PQnfields(r->pg));
	return PQgetisnull(r->pg, row, column);
}

static struct text cell(const struct db_result *r, int row, int column)
{
	return text_span(PQgetvalue(r->pg, row, column), (size_t)PQgetlength(r->pg, row, column));
}

/* Network order, two's complement, 2, 4 or 8 bytes. */
static int64_t binary_int(struct text t)
{
	uint64_t value = t.length > 0 && (t.bytes[0] & 0x80) ? UINT64_MAX : 0;
	for (size_t i = 0; i < t.length; i++)
		value = value << 8 | (uint8_t)t.bytes[i];
	return (int64_t)value;
}

static struct text binary_text(const struct db_result *r, struct text t, int column)
{
	struct arena *scratch = &((struct db_result *)r)->scratch;
	switch (r->row->columns[column].type) {
	case STATEMENT_BOOL: return t.length > 0 && t.bytes[0] ? TEXT("t") : TEXT("f");
	case STATEMENT_INT: return arena_printf(scratch, "%" PRId64, binary_int(t));
	case STATEMENT_UUID: {
		struct uuid id;
		must(t.length == sizeof id.bytes);
		memcpy(id.bytes, t.bytes, sizeof id.bytes);
		char *text = arena_alloc(scratch, UUID_TEXT_BYTES);
		uuid_format(&id, text);
		return text_of(text);
	}
	case STATEMENT_JSONB: return text_span(t.bytes + 1, t.length - 1); /* jsonb_send: a version byte first */
	case STATEMENT_TEXT:
	case STATEMENT_JSON:
	case STATEMENT_BYTEA:
	case STATEMENT_OTHER: break;
	}
	return t;
}

struct text db_result_text(const struct db_result *r, int row, int column)
{
	if (db_result_is_null(r, row, column))
		return TEXT_NONE;
	struct text t = cell(r, row, column);
	return r->row->is_binary && column < r->row->column_count ? binary_text(r, t, column) : t;
}

int64_t db_result_int(const struct db_result *r, int row, int column)
{
	if (db_result_is_null(r, row, column))
		return 0;
	struct text t = cell(r, row, column);
	if (r->row->is_binary)
		return binary_int(t);
	return strtoll(t.bytes, NULL, 10);
}

bool db_result_bool(const struct db_result *r, int row, int column)
{
	if (db_result_is_null(r, row, column))
		return false;
	char first = cell(r, row, column).bytes[0];
	return r->row->is_binary ? first != 0 : first == 't';
}

struct uuid db_result_uuid(const struct db_result *r, int row, int column)
{
	struct uuid id = { { 0 } };
	if (db_result_is_null(r, row, column))
		return id;
	struct text t = cell(r, row, column);
	if (r->row->is_binary && t.length == sizeof id.bytes)
		memcpy(id.bytes, t.bytes, sizeof id.bytes);
	else
		must(uuid_parse(t, &id));
	return id;
}

const char *db_result_constraint(const struct db_result *r)
{
	const char *name = r ? PQresultErrorField(r->pg, PG_DIAG_CONSTRAINT_NAME) : NULL;
	return name ? name : "";
}

/* Rows are tried from the top; a prefix of the SQLSTATE decides. */
static const struct {
	const char *sqlstate;
	enum error error;
	enum result_fate fate;
} meanings[] = {
	{ "23505", ERROR_CONFLICT, FATE_ANSWER },          /* unique_violation */
	{ "23503", ERROR_CONFLICT, FATE_ANSWER },          /* foreign_key_violation */
	{ "23514", ERROR_VALIDATION_FAILED, FATE_ANSWER }, /* check_violation */
	{ "22", ERROR_VALIDATION_FAILED, FATE_ANSWER },    /* data exceptions */
	{ "57014", ERROR_TIMEOUT,
		FATE_ANSWER }, /* query_canceled: statement_timeout, or a cancel at the end of a drain */
	{ "55P03", ERROR_TIMEOUT, FATE_ANSWER },   /* lock_not_available */
	{ "40001", ERROR_OVERLOADED, FATE_RETRY }, /* serialization_failure: not the caller's fault, only bad luck, */
	{ "40P01", ERROR_OVERLOADED, FATE_RETRY }, /* deadlock_detected: so it must not look like one */
	{ "26000", ERROR_INTERNAL, FATE_RETRY },   /* invalid_sql_statement_name: a pooler or DISCARD took it */
	{ "57P", ERROR_DATABASE_UNAVAILABLE, FATE_LOST }, /* admin_shutdown, crash_shutdown, cannot_connect_now, ... */
	{ "08", ERROR_DATABASE_UNAVAILABLE, FATE_LOST },  /* connection exceptions, also from poolers */
	{ "25006", ERROR_DATABASE_UNAVAILABLE, FATE_LOST }, /* read_only_sql_transaction: this server was demoted */
	{ "53", ERROR_DATABASE_UNAVAILABLE, FATE_ANSWER },  /* insufficient resources: disk full, memory, connections */
	{ "58", ERROR_DATABASE_UNAVAILABLE, FATE_ANSWER },  /* system errors */
};

bool result_is_stale_statement(const PGresult *pg)
{
	const char *sqlstate = PQresultErrorField(pg, PG_DIAG_SQLSTATE);
	if (sqlstate == NULL)
		return false;
	if (strcmp(sqlstate, "26000") == 0)
		return true;
	/* "cached plan must not change result type" after a migration; the source function tells it from other unsupported features. */
	const char *function = PQresultErrorField(pg, PG_DIAG_SOURCE_FUNCTION);
	return strcmp(sqlstate, "0A000") == 0 && function != NULL && strcmp(function, "RevalidateCachedQuery") == 0;
}

enum error result_classify(const PGresult *pg, enum result_fate *fate_out)
{
	const char *sqlstate = PQresultErrorField(pg, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(pg, PG_DIAG_SEVERITY_NONLOCALIZED);
	*fate_out = FATE_LOST;
	if (sqlstate == NULL) /* made by libpq itself: the connection broke */
		return ERROR_DATABASE_UNAVAILABLE;
	if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		return ERROR_DATABASE_UNAVAILABLE;
	*fate_out = FATE_ANSWER;
	if (result_is_stale_statement(pg)) {
		*fate_out = FATE_RETRY;
		return ERROR_INTERNAL;
	}
	for (size_t i = 0; i < COUNT_OF(meanings); i++) {
		if (strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) == 0) {
			*fate_out = meanings[i].fate;
			return meanings[i].error;
		}
	}
	return ERROR_INTERNAL;
}
