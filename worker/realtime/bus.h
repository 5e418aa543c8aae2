/* bus.h: the mesh between the workers of a host: small datagrams through sockets that the supervisor made, one inbox per slot. What is sent in a loop turn is
 * coalesced: the same (type, ring) to the same slot goes once. A full inbox is tried again next turn; nothing here is the only carrier of a truth (readers also look at
 * the ring on a slow timer). */
#ifndef RENOVATIOND_WORKER_REALTIME_BUS_H
#define RENOVATIOND_WORKER_REALTIME_BUS_H

#include <event2/event.h>

#include "shared/ipc.h"
#include "shared/scoreboard.h"

struct bus;
typedef void(bus_message_fn)(void *arg, const struct message *m);

MUST_CHECK enum error bus_open(struct event_base *base, int slot, struct scoreboard *board, struct bus **bus_out);
/* One receiver per type; `fn` NULL removes it. */
void bus_receive(struct bus *bus, enum message_type type, bus_message_fn *fn, void *arg);
/* To the worker in `slot`; to ourselves it is delivered in the next loop turn without a socket. Dead slots are ignored. */
void bus_send(struct bus *bus, int slot, const struct message *m);
/* At once, with descriptors, to another worker; when it succeeds the receiver has them too. The receiver of MESSAGE_CONNECTION owns the first one.
 * Errors: those of ipc_send. */
MUST_CHECK enum error bus_send_now(struct bus *bus, int slot, const struct message *m);
void bus_close(struct bus **bus);

#endif
