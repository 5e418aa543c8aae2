/* db_floor.c: how many statements per second the database layer alone carries, for comparison with pgbench of the same statement. Run by hand:
 *   db_floor URL read|write IN_FLIGHT SECONDS     statements per second, CPU per statement
 *   db_floor URL script read|write                the same statement as a pgbench script (pgbench -M prepared -c 8 -j 1 -f FILE)
 * It migrates nothing: URL names a migrated database. */
#include "config.h"

#include <stdio.h>
#include <sys/resource.h>

#include "shared/clock.h"
#include "shared/must.h"
#include "worker/db/db.h"

struct floor_run {
	struct event_base *base;
	struct db *db;
	bool is_write;
	int64_t answered, failed; /* statements */
	int64_t until_ms;         /* monotonic */
	struct uuid owner, session;
	uint64_t token; /* makes each token_hash another */
};

static void on_answer(void *arg, enum error e, const struct db_result *r);

static void submit(struct floor_run *run)
{
	if (run->is_write) {
		uint64_t hash[4] = { ++run->token, run->token * 2654435761u, (uint64_t)clock_wall_us(), run->token };
		db_submit(run->db, SQL_owners_mint,
			(struct db_param[]) {
				DB_BYTES(text_span((const char *)hash, sizeof hash)), DB_TEXT(TEXT("1")) },
			on_answer, run);
		return;
	}
	struct db_uuid rooms[2];
	db_submit(run->db, SQL_sessions_read,
		(struct db_param[]) { db_uuid(&rooms[0], &run->owner), db_uuid(&rooms[1], &run->session) }, on_answer,
		run);
}

static void on_answer(void *arg, enum error e, const struct db_result *r)
{
	struct floor_run *run = arg;
	run->answered++;
	run->failed += e != ERROR_NONE || db_result_rows(r) != 1;
	if (clock_monotonic_ms() < run->until_ms)
		submit(run);
	else
		event_base_loopbreak(run->base);
}

static void on_row(void *arg, enum error e, const struct db_result *r)
{
	struct floor_run *run = arg;
	if (e != ERROR_NONE)
		fprintf(stderr, "cannot prepare the rows: %s\n", error_title(e));
	must(e == ERROR_NONE);
	if (run->answered++ == 0)
		run->owner = db_result_uuid(r, 0, 0);
	else
		run->session = db_result_uuid(r, 0, 1);
	event_base_loopbreak(run->base);
}

/* One owner with one session. */
static void prepare(struct floor_run *run)
{
	uint64_t hash[4] = { (uint64_t)clock_wall_us(), 1, 2, 3 };
	db_submit(run->db, SQL_owners_mint,
		(struct db_param[]) { DB_BYTES(text_span((const char *)hash, sizeof hash)), DB_TEXT(TEXT("1")) },
		on_row, run);
	event_base_dispatch(run->base);
	struct db_uuid owner;
	struct db_param create[] = { db_uuid(&owner, &run->owner), DB_TEXT(TEXT("{\"title\": \"Bench\"}")), DB_NULL,
		DB_NULL, DB_NULL };
	db_submit(run->db, SQL_sessions_create, create, on_row, run);
	event_base_dispatch(run->base);
	run->answered = 0;
}

/* Parameters become literals. */
static void print_script(const struct floor_run *run)
{
	struct db_uuid owner, session;
	db_uuid(&owner, &run->owner);
	db_uuid(&session, &run->session);
	for (const char *p = statement_rows[run->is_write ? SQL_owners_mint : SQL_sessions_read].sql; *p; p++) {
		if (*p != '$')
			putchar(*p == '\n' ? ' ' : *p);
		else if (*++p == '1')
			printf(run->is_write ? "sha256(random()::text::bytea)" : "'%s'::uuid", owner.text);
		else
			printf(run->is_write ? "1" : "'%s'::uuid", session.text);
	}
	printf(";\n");
}

static void measure(struct floor_run *run, int in_flight, int seconds)
{
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	int64_t start_us = clock_monotonic_us();
	run->until_ms = clock_monotonic_ms() + seconds * 1000;
	for (int i = 0; i < in_flight; i++)
		submit(run);
	event_base_dispatch(run->base);
	double elapsed_s = (double)(clock_monotonic_us() - start_us) / 1e6;
	getrusage(RUSAGE_SELF, &after);
	double cpu_us = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
				 before.ru_stime.tv_sec) *
				1e6 +
			(double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
				 before.ru_stime.tv_usec);
	printf("%s: %.0f per second, %.2f us CPU each, %lld failed\n", run->is_write ? "write" : "read",
		(double)run->answered / elapsed_s, cpu_us / (double)run->answered, (long long)run->failed);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr,
			"usage: db_floor URL read|write IN_FLIGHT SECONDS, or db_floor URL script read|write\n");
		return 64;
	}
	bool is_script = strcmp(argv[2], "script") == 0;
	struct floor_run run = { .base = event_base_new(), .is_write = strcmp(argv[is_script ? 3 : 2], "write") == 0 };
	struct options options;
	options_init(&options);
	free(options.database_url);
	options.database_url = must_strdup(argv[1]);
	options.workers = 1;
	if (db_open(run.base, &options, NULL, &run.db) != ERROR_NONE)
		return 78;
	prepare(&run);
	if (is_script)
		print_script(&run);
	else
		measure(&run, (int)strtol(argv[3], NULL, 10), argc > 4 ? (int)strtol(argv[4], NULL, 10) : 3);
	db_close(&run.db);
	event_base_free(run.base);
	options_fini(&options);
	return 0;
}
