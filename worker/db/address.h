/* address.h: where a conninfo points, as lists for libpq; names are looked up in a thread, as libpq itself would block the loop for as long as
 * the resolver does. Used by connection.c only. */
#ifndef RENOVATIOND_WORKER_DB_ADDRESS_H
#define RENOVATIOND_WORKER_DB_ADDRESS_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>

/* Comma-separated lists as libpq takes them (manual, "Specifying Multiple Hosts"); each owned, NULL when the conninfo says nothing. */
struct address {
	char *hosts;     /* names, addresses or socket folders */
	char *addresses; /* numeric, one for each host; an empty one for a socket */
	char *ports;     /* one, or one for each host */
};

/* From a parsed conninfo. `turn` says which host comes first: libpq tries them in order but in its asynchronous form cannot leave one that
 * stays silent. */
void address_init(struct address *a, const PQconninfoOption *given, int turn);
void address_fini(struct address *a);
/* Would libpq have to ask a resolver? */
bool address_has_names(const struct address *a);

/* `found` has all three lists or is NULL with `why`; both borrowed for the call. Comes once, from the loop, unless cancelled. */
typedef void(address_done_fn)(void *arg, const struct address *found, const char *why);
struct address_lookup;
struct address_lookup *address_lookup_start(
	struct event_base *base, const struct address *a, address_done_fn *done, void *arg);
void address_lookup_cancel(struct address_lookup **lookup);

#endif
