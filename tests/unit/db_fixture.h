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
/* Runs the loop until *count has reached `wanted`; fails the test after 20 s. */
void run_until(struct fixture *f, const int *count, int wanted);
void run_for(struct fixture *f, int ms);

struct db_query *submit_int(struct fixture *f, enum statement s, int64_t a, struct answer *answer);
struct db_query *submit_ints(struct fixture *f, enum statement s, int64_t a, int64_t b, struct answer *answer);
struct db_query *submit_none(struct fixture *f, enum statement s, struct answer *answer);

#endif
