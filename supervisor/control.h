/* control.h: what the files of the control socket share: control_socket.c has its place in the file system, control.c its clients and their bytes,
 * control_commands.c what they may ask. Everybody else uses the control_… functions of supervisor.h. */
#ifndef RENOVATIOND_SUPERVISOR_CONTROL_H
#define RENOVATIOND_SUPERVISOR_CONTROL_H

#include <sys/socket.h>

#include "shared/control_path.h"
#include "supervisor/control_request.h"
#include "supervisor/rollover.h"
#include "supervisor/supervisor.h"

#define CONTROL_CLIENTS_MAX 32

struct control_client {
	struct control *control;      /* whose it is */
	int fd;                       /* -1 = this place is free */
	struct ucred peer;            /* who connected, as the kernel says */
	char who[80];                 /* the same for the log: "uid 0 pid 17" */
	struct event *readable;       /* owned */
	struct event *writable;       /* owned; pending while `out` is not empty */
	struct buffer in;             /* bytes of lines not yet handled */
	struct buffer out;            /* answers not yet sent */
	bool has_ended;               /* it sends no more; it may still read */
	bool is_closing;              /* gone once `out` is sent */
	bool is_busy;                 /* a command runs whose end it waits for */
	struct control_request asked; /* that command */
	int64_t active_at_ms;         /* monotonic: when bytes last came or a command ended */
	int64_t took_at_ms;           /* monotonic: when it last took bytes of ours, or `out` began to fill */
	int64_t asked_at_ms;          /* monotonic: when the command began */
	char told[200];               /* last progress line's text */
};

struct control {
	struct supervisor *supervisor;                      /* whose it is */
	int fd;                                             /* listens */
	char path[CONTROL_PATH_BYTES];                      /* where */
	bool may_be_missing;                                /* the service starts without it when it cannot be made */
	bool may_be_taken;                                  /* likewise when another instance has it */
	uint64_t device, inode;                             /* of the file that we made; 0 = it is not ours to remove */
	struct event *acceptable;                           /* owned */
	struct event *tick;                                 /* owned; pending while there are clients */
	struct control_client clients[CONTROL_CLIENTS_MAX]; /* any order */
};

/* control_socket.c */
/* Makes the socket at c->path: returns an exit code, EXIT_OK also when it was not made and may_be_missing or may_be_taken; then c->fd stays -1. What
 * went wrong was logged. */
int control_socket_make(struct control *c, const struct supervisor *s);
/* Is the file at c->path the socket that c->fd listens on? Then it is ours to remove. */
void control_socket_recognise(struct control *c);
void control_socket_remove(struct control *c);

/* control_commands.c */
void control_command_run(struct control_client *client, const struct control_request *request);
/* While it waits: says how far things are when that changed, or ends the wait. */
void control_command_look(struct control_client *client);
/* The service is about to exit: the last answer of whoever waits. */
void control_command_last(struct control_client *client);
/* Its connection is gone: nobody may call it back. */
void control_command_forget(struct control_client *client);

/* control.c */
/* The last line of an answer; `more` holds further members as JSON with a comma first, or "". */
void control_answer(struct control_client *client, bool is_ok, int code, const char *text, struct text more);
void control_progress(struct control_client *client, const char *text);
/* From a callback of the loop: sends what was answered and goes on. The client may be gone afterwards. */
void control_advance(struct control_client *client);

#endif
