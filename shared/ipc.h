/* ipc.h: typed messages over SOCK_SEQPACKET, with descriptors where needed. Lengths and types are checked on receipt; a datagram that
 * does not fit is dropped and logged, it never harms the receiver. Never blocks. */
#ifndef RENOVATIOND_SHARED_IPC_H
#define RENOVATIOND_SHARED_IPC_H

#include <stdint.h>

#include "shared/error.h"
#include "shared/must.h"
#include "shared/uuid.h"

#define MESSAGE_VERSION   1
#define MESSAGE_FDS_MAX   4
#define MESSAGE_BYTES_MAX 4096

enum message_type {
#define MESSAGE(name, payload, help) MESSAGE_##name,
#include "shared/messages.def"
#undef MESSAGE
	MESSAGE_COUNT
};

struct message_none {
	uint32_t reserved; /* 0 */
};

struct message_closed {
	char name[16];    /* resource: http realtime turns database gemini logs */
	uint32_t result;  /* enum shutdown_result */
	uint32_t ms;      /* how long it took */
	uint32_t forced;  /* how many things had to be cut */
	uint32_t lost;    /* acknowledged things that could not be stored */
	char detail[120]; /* for people */
};

struct message_drain {
	uint32_t
		is_stop; /* 1: the service stops (phases and deadlines of a stop); 0: only this worker leaves (reload) */
	uint32_t reserved;
	int64_t t0_us; /* monotonic: when the stop began */
};

struct message_slot {
	uint32_t slot;
	uint32_t reserved;
	uint64_t epoch; /* of the life that ended */
};

struct message_level {
	uint32_t level; /* enum log_level */
};

struct message_turn {
	uint32_t ring; /* index in the ring area */
	uint32_t reserved;
	uint64_t use; /* the ring's use count: a message for an earlier use is stale */
	struct uuid turn;
};

struct message_connection {
	char client[46];   /* its address as text */
	uint16_t is_fresh; /* 1: it has not sent a request yet */
};

struct message {
	enum message_type type;
	union {
		struct message_none none;
		struct message_closed closed;
		struct message_drain drain;
		struct message_slot slot;
		struct message_level level;
		struct message_turn turn;
		struct message_connection connection;
	};
	int fds[MESSAGE_FDS_MAX]; /* received: owned by the receiver */
	int fd_count;
};

/* The payload's size follows from the type. Errors: ERROR_FULL (the receiver does not keep up: try again later), ERROR_CLOSED, ERROR_SYSTEM. */
MUST_CHECK enum error ipc_send(int socket, const struct message *m);
/* One message. Errors: ERROR_BUSY (nothing there), ERROR_CLOSED, ERROR_PROTOCOL (dropped: call again), ERROR_SYSTEM. */
MUST_CHECK enum error ipc_receive(int socket, struct message *m_out);

#endif
