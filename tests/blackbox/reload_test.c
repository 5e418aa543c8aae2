/* reload_test.c: HUP and what belongs to it: new workers before old ones go, live options without new workers, refusals that change nothing. The real
 * programs; each test its own service. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/server.h"

TestSuite(reload, .timeout = 120);

static bool answers(int port)
{
	struct client c;
	struct reply r;
	bool is_good;

	client_init(&c, port);
	r = client_request(&c, "GET", "/health", NULL, NULL);
	is_good = r.status == 200;
	reply_free(&r);
	client_fini(&c);
	return is_good;
}

/* The pool as a set of processes. */
struct pool {
	struct server *server;
	pid_t pids[64];
	int count;
	int answered; /* requests while waiting */
};

static void pool_look(struct pool *p, struct server *s)
{
	memset(p, 0, sizeof *p);
	p->server = s;
	p->count = server_workers(s, p->pids, 64);
}

static bool has(const pid_t *pids, int count, pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* None of those that were there is, and as many others are. */
static bool is_replaced(void *arg)
{
	struct pool *p = arg;
	pid_t now[64];
	int count = server_workers(p->server, now, 64);

	cr_assert(answers(p->server->port), "request %d failed", p->answered);
	p->answered++;
	for (int i = 0; i < count; i++)
		if (has(p->pids, p->count, now[i]))
			return false;
	return count == p->count;
}

Test(reload, hup_replaces_every_worker_while_requests_go_on)
{
	struct server *s = server_start(NULL);
	struct pool before;

	pool_look(&before, s);
	cr_assert_eq(before.count, 2);
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_replaced, &before, "all workers are others", 20000);
	free(process_wait_error(s->supervisor, "\"result\":\"replaced\"", 1000));
	cr_expect(answers(s->port));
	server_end(&s);
}
