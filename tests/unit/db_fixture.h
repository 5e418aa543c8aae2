/* db_fixture.h: an event loop, options and a struct db on a database of its own, for the tests of worker/db. */
#ifndef RENOVATIOND_TESTS_UNIT_DB_FIXTURE_H
#define RENOVATIOND_TESTS_UNIT_DB_FIXTURE_H

#include <criterion/criterion.h>

#include "tests/support/cluster.h"
#include "worker/db/db.h"

struct fixture {
	struct cluster *cluster;
	const char *database;
	struct event_base *base;
	struct options options;
	struct db *db;
	void *holder; /* connection of the test's own that has the lock; NULL = nobody has it */
};

/* What one query got. */
struct answer {
	int calls;
	enum error error;
	int rows;
	int64_t number; /* first column of the first row */
	char constraint[64];
	int order; /* of all answers, from 1 */
};

/* `is_own` = a cluster that the test may stop. */
void fixture_open(struct fixture *f, bool is_own);
void fixture_connect(struct fixture *f); /* db_open and the first answer */
void fixture_close(struct fixture *f);

void on_answer(void *arg, enum error e, const struct db_result *r);
extern int answers_total;
/* Runs the loop until *count has reached `wanted`; fails the test after 60 s. */
void run_until(struct fixture *f, const int *count, int wanted);
/* Runs the loop until what `sql` counts is `wanted`; likewise. */
void run_until_count(struct fixture *f, const char *sql, long wanted);
/* Runs the loop until all connections are open; likewise. */
void run_until_open(struct fixture *f);
/* Runs the loop until db_listen has been heard by the server; likewise. */
void run_until_listening(struct fixture *f);
/* A few turns of the loop at least, however long they take. */
void run_for(struct fixture *f, int ms);

/* Statements `hold` and `hold_then_put` with HELD stay under way at the server from the first to the second of these: nothing but them ends
 * the wait. run_until_held waits for `count` of them to have got there. */
#define HELD 1
#define FREE 2
void hold_begin(struct fixture *f);
void run_until_held(struct fixture *f, int count);
void hold_end(struct fixture *f);

struct db_query *submit_int(struct fixture *f, enum statement s, int64_t a, struct answer *answer);
struct db_query *submit_ints(struct fixture *f, enum statement s, int64_t a, int64_t b, struct answer *answer);
struct db_query *submit_none(struct fixture *f, enum statement s, struct answer *answer);

#endif
