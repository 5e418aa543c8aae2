/* fdstore.h: listening sockets that outlive us: systemd keeps copies of them (FDSTORE) and passes them to our next start, beside those of a socket unit.
 * Nothing is kept and nothing is passed without a service manager. Called by listeners.c and main.c, at start and when the address changes. */
#ifndef RENOVATIOND_SUPERVISOR_FDSTORE_H
#define RENOVATIOND_SUPERVISOR_FDSTORE_H

#include <stdbool.h>

/* The name under which the listener is stored; a socket unit must not use it (its FileDescriptorName is the unit's name unless set). */
#define FDSTORE_HTTP "http"

/* Takes what was passed (LISTEN_FDS, LISTEN_FDNAMES) out of the environment; once, before the others. */
void fdstore_open(void);
/* A listening stream socket that we stored under this name and for which `fits` holds; others of that name are closed and forgotten by the manager.
 * -1 = there is none. */
int fdstore_take_stored(const char *name, bool (*fits)(int fd, const void *arg), const void *arg);
/* A listening stream socket of a socket unit; -1 = there is none. */
int fdstore_take_activated(void);
/* Closes what nobody took. */
void fdstore_close(void);

/* The manager shall keep this one under the name, and no other. */
void fdstore_keep(const char *name, int fd);

#endif
