/* fdstore.h: listening sockets that outlive us: systemd keeps copies of them (FDSTORE) and passes them to our next start, beside those of a socket unit.
 * Nothing is kept and nothing is passed without a service manager. Called by listeners.c and main.c, at start and when the address changes. */
#ifndef RENOVATIOND_SUPERVISOR_FDSTORE_H
#define RENOVATIOND_SUPERVISOR_FDSTORE_H

#include <stdbool.h>
#include <sys/socket.h>

/* The names under which the listeners are stored; a socket unit must not use them (its FileDescriptorName is the unit's name unless set). */
#define FDSTORE_HTTP  "http"
#define FDSTORE_ADMIN "admin"

/* Takes what was passed (LISTEN_FDS, LISTEN_FDNAMES) out of the environment; once, before the others. */
void fdstore_open(void);
/* A listening stream socket that we stored under this name and that is bound to this IP address (port 0 fits any); others of that name are closed and
 * forgotten by the manager. -1 = there is none. */
int fdstore_take_stored(const char *name, const struct sockaddr_storage *address);
/* A listening stream socket of a socket unit; -1 = there is none. */
int fdstore_take_activated(void);
/* Closes what nobody took. */
void fdstore_close(void);

/* The manager shall keep this one under the name, and no other. */
void fdstore_keep(const char *name, int fd);

#endif
