/* client.c: who a request comes from when a proxy stands in front: the address that a trusted peer has seen, never one that a client could have written.
 * Called by intake.c for each request. Decides only what is logged and counted by address; rights come from credentials. */
#include "config.h"
#include "worker/http/internal.h"

void client_set_options(struct http_server *server)
{
	/* Checked when the option was read. */
	if (!address_ranges_parse(text_of(server->options.limits->trusted_proxies), &server->trusted))
		server->trusted.count = 0;
}

/* Whoever reaches a UNIX socket was let in by its permissions. */
static bool is_trusted_peer(const struct http_server *server, const char *peer)
{
	struct address a;

	if (strcmp(peer, "unix") == 0)
		return true;
	return server->trusted.count > 0 && address_parse(text_of(peer), false, &a) &&
	       address_ranges_contain(&server->trusted, &a);
}

/* Takes the last entry off the list. */
static struct text take_last(struct text *list)
{
	const char *comma = list->length > 0 ? memrchr(list->bytes, ',', list->length) : NULL;
	size_t before = comma != NULL ? (size_t)(comma - list->bytes) : 0;
	struct text last = comma != NULL ? text_span(comma + 1, list->length - before - 1) : *list;

	list->length = before;
	while (last.length > 0 && strchr(" \t", last.bytes[0]) != NULL)
		last = text_span(last.bytes + 1, last.length - 1);
	while (last.length > 0 && strchr(" \t", last.bytes[last.length - 1]) != NULL)
		last.length--;
	return last;
}

/* From the right, each entry was written by the one before it: as long as that one is trusted, the entry is true. False at the first that is not, or is
 * no address. */
static bool take_hops(struct request *rq, struct text list)
{
	while (list.length > 0) {
		struct address a;

		if (!address_parse(take_last(&list), true, &a))
			return false;
		address_format(&a, rq->client);
		if (!address_ranges_contain(&rq->server->trusted, &a))
			return false;
	}
	return true;
}

void client_resolve(struct request *rq)
{
	bool has_forwarded = false, goes_on = true;
	struct text real;
	struct address a;

	if (!is_trusted_peer(rq->server, rq->client))
		return;
	for (size_t i = rq->header_count; goes_on && i-- > 0;)
		if (text_equals_nocase(rq->headers[i].name, TEXT("X-Forwarded-For"))) {
			has_forwarded = true;
			goes_on = take_hops(rq, rq->headers[i].value);
		}
	if (has_forwarded)
		return;
	real = request_header(rq, "X-Real-IP");
	if (real.bytes != NULL && address_parse(real, true, &a))
		address_format(&a, rq->client);
}
