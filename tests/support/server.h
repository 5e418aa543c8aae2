/* server.h: the whole product for one test: a fresh database, a simulator, the supervisor with its workers. */
#ifndef RENOVATIOND_TESTS_SUPPORT_SERVER_H
#define RENOVATIOND_TESTS_SUPPORT_SERVER_H

#include "tests/support/cluster.h"
#include "tests/support/http.h"

struct server {
	struct cluster *cluster; /* borrowed */
	char database[64];
	struct process *simulator; /* gemini-sim */
	int simulator_port;
	struct process *supervisor; /* renovationd */
	int port;
	char control[100];           /* its control socket */
	const char *environment[40]; /* what the supervisor gets; for starting it again */
	int passed[8];               /* descriptors that it is passed when it is started again; borrowed */
	int passed_count;            /* of them; 0 at first */
	const char *passed_names;    /* LISTEN_FDNAMES of them; NULL = none */
};

/* Starts all of it: APP_ENV=test, two workers, any free port. `extra` holds NAME=VALUE additions (later ones win), NULL-terminated, or NULL;
 * RENOVATIOND_TEST_CONFIG=PATH becomes -c PATH. Waits until it listens. */
struct server *server_start(const char *const extra[]);
/* The same on a cluster of one's own (for tests that stop it). */
struct server *server_start_on(struct cluster *cluster, const char *const extra[]);
/* Starts only the supervisor again, on the same database, simulator and port. */
void server_start_again(struct server *s);
/* The same on any free port: the old one may be a client's of another test by now. */
void server_start_elsewhere(struct server *s);
/* TERM, waits, returns the exit code. */
int server_stop(struct server *s);
/* Ends everything that still runs, checks that no worker is left, frees. In sanitizer builds a report in the output fails the test. */
void server_end(struct server **s);

int server_workers(struct server *s, pid_t *pids, int max); /* living workers */
/* An owner with a session; the ids are static until the next call but seven. */
void server_owner(struct server *s, struct client *c);                  /* connects and gets a token */
const char *server_new_session(struct client *c, const char *title);    /* session id */
const char *server_conversation(struct client *c, const char *session); /* its default conversation's id */
/* Runs renovationctl on its control socket: `arguments` is NULL-terminated; the rest as process_run. */
int server_ctl(struct server *s, const char *const arguments[], char **out, char **err, int timeout_ms);
/* Calls the simulator's control surface. */
struct reply simulator_request(struct server *s, const char *method, const char *path, const char *body);

#endif
