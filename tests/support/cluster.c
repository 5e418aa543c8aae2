/* cluster.c: makes PostgreSQL clusters under the test's own folder. As root it runs them as user postgres, since PostgreSQL refuses root.
 * fsync is off: only processes are killed here, never the host, so what was committed is in the kernel. */
#include "config.h"
#include "tests/support/cluster.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"

#define BIN "/usr/lib/postgresql/15/bin/"

static const char *bin(const char *program)
{
	static char paths[4][256];
	static int turn;
	char *path = paths[turn++ % 4];
	const char *folder = getenv("PG_BIN");

	(void)snprintf(path, sizeof paths[0], "%s/%s", folder != NULL ? folder : BIN, program);
	return path;
}

/* argv with "setpriv …" before it when we are root. */
static struct process *start_unprivileged(const char *const argv[])
{
	const char *full[48] = { "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
		"--pdeathsig=QUIT" };
	size_t at = geteuid() == 0 ? 5 : 0; /* a change of user forgets the death signal, so setpriv sets it anew */

	for (size_t i = 0; argv[i] != NULL && at < 47; i++)
		full[at++] = argv[i];
	full[at] = NULL;
	return process_start(full, (const char *[]) { "LC_ALL=C.UTF-8", NULL });
}

static void run_unprivileged(const char *const argv[])
{
	struct process *p = start_unprivileged(argv);
	int code = process_wait(p, 60000);

	if (code != 0) {
		char *errors = process_errors(p);

		cr_assert(false, "%s failed: %s", argv[0], errors);
		free(errors);
	}
	process_end(&p);
}

static char *database_url(const struct cluster *c, const char *user, const char *database)
{
	static char urls[8][512];
	static int turn;
	char *url = urls[turn++ % 8];

	(void)snprintf(
		url, sizeof urls[0], "postgresql:///%s?host=%s&port=%d&user=%s", database, c->folder, c->port, user);
	return url;
}

const char *cluster_url(const struct cluster *c, const char *database)
{
	return database_url(c, "renovationd", database);
}

const char *cluster_tcp_url(const struct cluster *c, const char *database, const char *password)
{
	static char urls[8][512];
	static int turn;
	char *url = urls[turn++ % 8];

	(void)snprintf(url, sizeof urls[0], "postgresql://renovationd:%s@127.0.0.1:%d/%s", password, c->port, database);
	return url;
}

static void start_server(struct cluster *c)
{
	char port[16], data[256];

	(void)snprintf(port, sizeof port, "%d", c->port);
	(void)snprintf(data, sizeof data, "%s/data", c->folder);
	c->server =
		start_unprivileged((const char *[]) { bin("postgres"), "-D", data, "-p", port, "-k", c->folder, NULL });
}

/* After a kill the last processes of the old server may still hold its shared memory, and the new one leaves at once. */
static bool answers(void *arg)
{
	struct cluster *c = arg;

	if (!process_is_running(c->server)) {
		process_end(&c->server);
		start_server(c);
	}
	return PQping(database_url(c, "postgres", "postgres")) == PQPING_OK;
}

void cluster_start(struct cluster *c)
{
	start_server(c);
	wait_until(answers, c, "PostgreSQL answers", 30000);
}

static void make_folder(struct cluster *c)
{
	static int number;
	char data[256], command[600];

	(void)snprintf(c->folder, sizeof c->folder, "%s/pg%d", test_folder(), ++number);
	must(mkdir(c->folder, 0755) == 0);
	if (geteuid() == 0) {
		(void)snprintf(command, sizeof command, "chown postgres: '%s'", c->folder);
		must(system(command) == 0);
	}
	(void)snprintf(data, sizeof data, "%s/data", c->folder);

	const char *template_folder =
		getenv("RENOVATIOND_TEST_TEMPLATE"); /* an initdb'ed folder that ./dev test keeps for copying */

	if (template_folder != NULL)
		run_unprivileged((const char *[]) { "cp", "-a", template_folder, data, NULL });
	else
		run_unprivileged((const char *[]) { bin("initdb"), "-D", data, "-U", "postgres", "--no-sync",
			"--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256",
			"--no-instructions", NULL });
	(void)snprintf(command, sizeof command, "%s/data/postgresql.auto.conf", c->folder);

	FILE *settings = fopen(command, "a");

	must(settings != NULL);
	must(fprintf(settings,
		     "listen_addresses = '127.0.0.1'\nfsync = off\nfull_page_writes = off\nmax_connections = 120\n"
		     "shared_buffers = 32MB\nlog_min_messages = warning\n") > 0);
	must(fclose(settings) == 0);
}

struct cluster *cluster_create(void)
{
	struct cluster *c = must_alloc(sizeof *c);

	make_folder(c);
	c->port = free_port();
	cluster_start(c);
	free(cluster_sql(c, "postgres",
		"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'renovationd') THEN "
		"CREATE ROLE renovationd LOGIN CREATEDB PASSWORD 'secret'; END IF; END $$"));
	return c;
}

void cluster_stop(struct cluster *c, int signal)
{
	pid_t children[64];
	int count = process_children(c->server->pid, "postgres", children, 64);

	process_signal(c->server, signal);
	if (signal == SIGKILL) /* a crash of all of it, as when the host dies */
		for (int i = 0; i < count; i++)
			(void)kill(children[i], SIGKILL);
	(void)process_wait(c->server, 30000);
	process_end(&c->server);
}

void cluster_destroy(struct cluster **c)
{
	if (*c != NULL && (*c)->server != NULL)
		cluster_stop(*c, SIGQUIT);
	free(*c);
	*c = NULL;
}

static struct cluster *shared;
static pid_t shared_owner;

static void end_shared(void)
{
	if (shared_owner == getpid() && shared != NULL && shared->server != NULL && process_is_running(shared->server))
		process_signal(shared->server, SIGQUIT), (void)process_wait(shared->server, 10000);
}

struct cluster *cluster_shared(void)
{
	const char *made = getenv("RENOVATIOND_TEST_CLUSTER");

	if (shared != NULL && shared_owner == getpid())
		return shared;
	shared_owner = getpid();
	(void)test_folder(); /* its removal must come after the cluster's end: atexit runs in reverse */
	if (made == NULL) {
		shared = cluster_create();
		(void)atexit(end_shared);
		return shared;
	}
	shared = must_alloc(sizeof *shared);

	const char *colon = strrchr(made, ':');

	must(colon != NULL);
	(void)snprintf(shared->folder, sizeof shared->folder, "%.*s", (int)(colon - made), made);
	shared->port = (int)strtol(colon + 1, NULL, 10);
	return shared;
}

char *cluster_sql(const struct cluster *c, const char *database, const char *sql)
{
	PGconn *connection = PQconnectdb(database_url(c, "postgres", database));
	char *value = NULL;

	cr_assert(PQstatus(connection) == CONNECTION_OK, "%s", PQerrorMessage(connection));
	PGresult *result = PQexec(connection, sql);
	ExecStatusType status = PQresultStatus(result);

	cr_assert(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql, PQerrorMessage(connection));
	value = must_strdup(status == PGRES_TUPLES_OK && PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(connection);
	return value;
}

long cluster_count(const struct cluster *c, const char *database, const char *sql)
{
	char *value = cluster_sql(c, database, sql);
	long count = strtol(value, NULL, 10);

	free(value);
	return count;
}

const char *cluster_new_database(struct cluster *c)
{
	static char names[8][64];
	static int turn;
	char *name = names[turn++ % 8], sql[200];

	(void)snprintf(name, sizeof names[0], "test_%d_%d_%lld", (int)getpid(), turn, (long long)now_ms() % 1000000);
	(void)snprintf(sql, sizeof sql, "CREATE DATABASE %s OWNER renovationd", name);
	free(cluster_sql(c, "postgres", sql));
	return name;
}
