/* cluster.h: PostgreSQL for tests: a cluster (shared by the whole run, or one's own for tests that stop it) and a fresh database for each test. */
#ifndef RENOVATIOND_TESTS_SUPPORT_CLUSTER_H
#define RENOVATIOND_TESTS_SUPPORT_CLUSTER_H

#include <signal.h>

#include "tests/support/process.h"

struct cluster {
	char folder[200];       /* data and socket; reachable by the user that runs it */
	int port;               /* names the socket; also listens on 127.0.0.1 with passwords */
	struct process *server; /* NULL when it is the run's shared one, or stopped */
};

/* The run's shared cluster when ./dev test made one (RENOVATIOND_TEST_CLUSTER=folder:port), else one of this test process's own, ended at exit. */
struct cluster *cluster_shared(void);
/* One's own, for tests that stop, kill or restart it. */
struct cluster *cluster_create(void);
void cluster_stop(struct cluster *c, int signal); /* SIGINT fast, SIGQUIT immediate, SIGKILL crash; waits for its end */
void cluster_start(struct cluster *c);            /* waits until it answers */
void cluster_destroy(struct cluster **c);

/* Conninfo URI of a database; static until the next call but seven. Role renovationd owns the databases and has the password "secret". */
const char *cluster_url(const struct cluster *c, const char *database);
const char *cluster_tcp_url(const struct cluster *c, const char *database, const char *password);
/* A new empty database with a name of its own; static like the above. */
const char *cluster_new_database(struct cluster *c);
/* Runs SQL as the superuser and gives the first column of the first row ("" when none); fails the test on an error. Free it. */
char *cluster_sql(const struct cluster *c, const char *database, const char *sql);
long cluster_count(const struct cluster *c, const char *database, const char *sql);

#endif
