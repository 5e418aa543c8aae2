/* inherit.h: everything that crosses the exec from supervisor to worker: descriptors at agreed numbers, and arguments.
 * `renovationd-worker --role web --slot S --generation G --epoch E` finds these open; `renovationd-worker --check` only OPTIONS and REPORT. */
#ifndef RENOVATIOND_SHARED_INHERIT_H
#define RENOVATIOND_SHARED_INHERIT_H

enum inherit_fd {
	INHERIT_OPTIONS = 3,    /* sealed memfd: options_load */
	INHERIT_LISTENER = 4,   /* the shared listening socket, non-blocking */
	INHERIT_CONTROL = 5,    /* SOCK_SEQPACKET to the supervisor: messages.def */
	INHERIT_LIFELINE = 6,   /* read end of a pipe; end of file = the supervisor is gone */
	INHERIT_SCOREBOARD = 7, /* memfd: struct scoreboard */
	INHERIT_RINGS = 8,      /* memfd: chat_live_turns rings of RING_BYTES, zeroed when first made */
	INHERIT_INBOX = 9, /* this slot's end of the mesh: SOCK_SEQPACKET, non-blocking, read only by this worker */
	INHERIT_MESH = 16, /* INHERIT_MESH + s: write to reach the worker in slot s, for s < SLOTS_MAX, non-blocking */
	INHERIT_REPORT = 10, /* --check: pipe for the report */
	INHERIT_ADMIN = 11   /* the admin listening socket, non-blocking; closed when option admin_listen is empty */
};

#define INHERIT_ABOVE (INHERIT_MESH + SLOTS_MAX) /* no agreed number from here on */
#define SLOTS_MAX     64                         /* worker slots of a host, old and new generations together */
#define RING_BYTES    (64 * 1024)                /* one turn's ring with its header */

#define RINGS_LAYOUT                                                                                                   \
	1 /* grows when old and new workers would read a ring differently: then there is no upgrade in place */

/* Exit codes of all programs: sysexits(3), see the operations guide. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_USAGE_WRONG = 64,
	EXIT_STATE_CORRUPT = 65,
	EXIT_UNAVAILABLE = 69,
	EXIT_STORM = 70,
	EXIT_OS = 71,
	EXIT_CANNOT_CREATE = 73,
	EXIT_WORK_LOST = 74,
	EXIT_ADDRESS_IN_USE = 75,
	EXIT_REFUSED = 77,
	EXIT_CONFIG_WRONG = 78
};

#endif
