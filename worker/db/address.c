/* address.c: hosts, addresses and ports of a conninfo, and the thread that looks names up. Called by connection.c.
 * The thread shares nothing with the loop but its job, which the last of the two frees. */
#include "config.h"

#include "worker/db/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/must.h"

/* "a,b,c" from the turn-th on, round. */
static char *rotated(const char *list, int turn)
{
	int commas = 0;
	for (const char *p = list; *p; p++)
		commas += *p == ',';
	const char *start = list;
	for (int i = turn % (commas + 1); i > 0; i--)
		start = strchr(start, ',') + 1;
	if (start == list)
		return must_strdup(list);
	size_t length = strlen(list) + 2;
	char *out = must_alloc(length);
	snprintf(out, length, "%s,%.*s", start, (int)(start - list - 1), list);
	return out;
}

void address_init(struct address *a, const PQconninfoOption *given, int turn)
{
	*a = (struct address) { NULL, NULL, NULL };
	for (; given->keyword; given++) {
		if (given->val == NULL || given->val[0] == '\0')
			continue;
		if (strcmp(given->keyword, "host") == 0)
			a->hosts = rotated(given->val, turn);
		else if (strcmp(given->keyword, "hostaddr") == 0)
			a->addresses = rotated(given->val, turn);
		else if (strcmp(given->keyword, "port") == 0)
			a->ports = rotated(given->val, turn);
	}
}

void address_fini(struct address *a)
{
	free(a->hosts);
	free(a->addresses);
	free(a->ports);
	*a = (struct address) { NULL, NULL, NULL };
}

/* Cuts the next element off *list; false at the end. */
static bool next_element(const char **list, char *out, size_t room)
{
	if (*list == NULL)
		return false;
	const char *end = strchr(*list, ',');
	int length = end ? (int)(end - *list) : (int)strlen(*list);
	snprintf(out, room, "%.*s", length, *list);
	*list = end ? end + 1 : NULL;
	return true;
}

static bool is_socket(const char *host)
{
	return host[0] == '\0' || host[0] == '/' || host[0] == '@';
}

static bool is_numeric(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

bool address_has_names(const struct address *a)
{
	char host[256];
	const char *rest = a->hosts;
	if (a->addresses != NULL)
		return false;
	while (next_element(&rest, host, sizeof host))
		if (!is_socket(host) && !is_numeric(host))
			return true;
	return false;
}

/* ---- the thread --------------------------------------------------------------------------------- */

struct address_lookup {
	_Atomic int holders;   /* loop and thread */
	struct address wanted; /* owned copies; read by the thread */
	struct address found;  /* written by the thread before it signals; hosts NULL when nothing was found */
	char why[200];         /* likewise */
	int fd;                /* eventfd: the thread signals, the loop waits */
	struct event *event;   /* the loop's */
	address_done_fn *done;
	void *arg;
};

static void let_go(struct address_lookup *l)
{
	if (atomic_fetch_sub(&l->holders, 1) > 1)
		return;
	address_fini(&l->wanted);
	address_fini(&l->found);
	close(l->fd);
	free(l);
}

struct lists {
	struct buffer hosts, addresses, ports;
};

static void add(struct lists *lists, const char *host, const char *numeric, const char *port)
{
	const char *comma = buffer_length(&lists->ports) ? "," : "";
	buffer_printf(&lists->hosts, "%s%s", comma, host);
	buffer_printf(&lists->addresses, "%s%s", comma, numeric);
	buffer_printf(&lists->ports, "%s%s", comma, port[0] ? port : "5432");
}

static void look_up(struct address_lookup *l, struct lists *lists, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
	if (is_socket(host)) {
		add(lists, host, "", port);
		return;
	}
	int code = getaddrinfo(host, NULL, &hints, &list);
	if (code != 0) {
		snprintf(l->why, sizeof l->why, "%.100s: %s", host, gai_strerror(code));
		return;
	}
	for (struct addrinfo *i = list; i; i = i->ai_next) {
		char numeric[NI_MAXHOST];
		if (getnameinfo(i->ai_addr, i->ai_addrlen, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST) == 0)
			add(lists, host, numeric, port);
	}
	freeaddrinfo(list);
}

static char *take_string(struct buffer *b)
{
	char *out = must_strndup(buffer_text(b).bytes, buffer_length(b));
	buffer_fini(b);
	return out;
}

static void *run(void *arg)
{
	struct address_lookup *l = arg;
	struct lists lists;
	buffer_init(&lists.hosts);
	buffer_init(&lists.addresses);
	buffer_init(&lists.ports);
	char host[256], port[16] = "";
	const char *hosts = l->wanted.hosts, *ports = l->wanted.ports;
	while (next_element(&hosts, host, sizeof host)) {
		(void)next_element(&ports, port, sizeof port); /* a single one stands for all */
		look_up(l, &lists, host, port);
	}
	bool is_found = buffer_length(&lists.ports) > 0;
	l->found = (struct address) { take_string(&lists.hosts), take_string(&lists.addresses),
		take_string(&lists.ports) };
	if (!is_found)
		address_fini(&l->found);
	uint64_t one = 1;
	must(write(l->fd, &one, sizeof one) == sizeof one);
	let_go(l);
	return NULL;
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct address_lookup *l = arg;
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof count) != sizeof count)
		return;
	atomic_thread_fence(memory_order_acquire);
	l->done(l->arg, l->found.hosts ? &l->found : NULL, l->why);
}

static void start_thread(struct address_lookup *l)
{
	/* Signals are the loop's. */
	sigset_t all, before;
	pthread_t thread;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0)
		pthread_detach(thread);
	else
		run(l); /* no thread to be had: then it blocks */
}

struct address_lookup *address_lookup_start(
	struct event_base *base, const struct address *a, address_done_fn *done, void *arg)
{
	struct address_lookup *l = must_alloc(sizeof *l);
	l->holders = 2;
	l->wanted.hosts = must_strdup(a->hosts);
	l->wanted.ports = a->ports ? must_strdup(a->ports) : NULL;
	l->done = done;
	l->arg = arg;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(l->fd >= 0);
	l->event = event_new(base, l->fd, EV_READ | EV_PERSIST, on_signal, l);
	must(l->event != NULL && event_add(l->event, NULL) == 0);
	start_thread(l);
	return l;
}

void address_lookup_cancel(struct address_lookup **lookup)
{
	struct address_lookup *l = *lookup;
	*lookup = NULL;
	if (l == NULL)
		return;
	event_free(l->event);
	let_go(l);
}
