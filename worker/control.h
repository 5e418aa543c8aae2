/* control.h: the worker's side of its supervisor: control channel, lifeline, heartbeat, signals. */
#ifndef RENOVATIOND_WORKER_CONTROL_H
#define RENOVATIOND_WORKER_CONTROL_H

#include "shared/ipc.h"
#include "worker/worker.h"

struct supervisor_link;

/* Opens the link: from now on the heartbeat is written each second, TERM, INT, QUIT and DRAIN start the shutdown, HUP USR1 USR2 WINCH TTIN TTOU
 * are ignored, and the end of the lifeline drains within 3 s and exits with 70. */
MUST_CHECK enum error control_open(struct worker *w, struct supervisor_link **link_out);
/* Tells the supervisor that connections are accepted. */
void control_ready(struct supervisor_link *link);
/* Called when the supervisor names a dead worker; set by main.c to the chat's take-over. */
void control_on_slot_died(struct supervisor_link *link, void (*fn)(void *arg, int slot, uint64_t epoch), void *arg);
/* Called when LIVE options of `w->options` have changed; set by main.c. The link sees to log level, heartbeat and alarm itself. */
void control_on_options(struct supervisor_link *link, void (*fn)(void *arg), void *arg);
void control_report(struct supervisor_link *link, const struct message_closed *closed);
/* What the process exits with once the shutdown has finished: 0, or 70 when the supervisor was gone. */
int control_exit_code(const struct supervisor_link *link);
void control_close(struct supervisor_link **link);

#endif
