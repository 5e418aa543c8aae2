/* ipc.c: one datagram per message: a header with version and type, the payload whose size the type decides, descriptors beside it.
 * Used by supervisor and workers on the control channels, by workers on the mesh. Keeps nothing between calls and never blocks. */
#include "config.h"
#include "shared/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"

struct message_header {
	uint32_t version; /* MESSAGE_VERSION */
	uint32_t type;    /* enum message_type */
};

static const size_t payload_bytes[MESSAGE_COUNT] = {
#define MESSAGE(name, payload, help) [MESSAGE_##name] = sizeof(struct payload),
#include "shared/messages.def"
#undef MESSAGE
};

union descriptor_room {
	char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)]; /* as cmsg(3) wants it */
	struct cmsghdr align;
};

static enum error error_of_errno(void)
{
	switch (errno) {
	case EAGAIN:
	case ENOBUFS: return ERROR_FULL;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN: return ERROR_CLOSED;
	default: return ERROR_SYSTEM;
	}
}

enum error ipc_send(int socket, const struct message *m)
{
	must((unsigned)m->type < MESSAGE_COUNT && m->fd_count >= 0 && m->fd_count <= MESSAGE_FDS_MAX);

	struct message_header header = { .version = MESSAGE_VERSION, .type = m->type };
	struct iovec parts[2] = { { .iov_base = &header, .iov_len = sizeof header },
		{ .iov_base = (void *)&m->none, .iov_len = payload_bytes[m->type] } };
	struct msghdr datagram = { .msg_iov = parts, .msg_iovlen = 2 };
	union descriptor_room room;
	ssize_t sent;

	if (m->fd_count > 0) {
		size_t bytes = sizeof(int) * (size_t)m->fd_count;

		memset(&room, 0, sizeof room);
		datagram.msg_control = room.bytes;
		datagram.msg_controllen = CMSG_SPACE(bytes);

		struct cmsghdr *item = CMSG_FIRSTHDR(&datagram);

		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_RIGHTS;
		item->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(item), m->fds, bytes);
	}
	do
		sent = sendmsg(socket, &datagram, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? error_of_errno() : ERROR_NONE;
}

static void take_descriptors(struct msghdr *datagram, struct message *m)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(datagram); item != NULL; item = CMSG_NXTHDR(datagram, item)) {
		if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
			continue;

		size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(item) + i * sizeof fd, sizeof fd);
			if (m->fd_count < MESSAGE_FDS_MAX)
				m->fds[m->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

static enum error drop(struct message *m, const char *why, size_t length)
{
	for (int i = 0; i < m->fd_count; i++)
		close(m->fds[i]);
	LOG(LOG_WARN, "datagram dropped", F_STR("reason", why), F_INT("bytes", length));
	return ERROR_PROTOCOL;
}

/* Texts come from another process: whatever it sent, they end. */
static void end_texts(struct message *m)
{
	if (m->type == MESSAGE_WORKER_CLOSED) {
		m->closed.name[sizeof m->closed.name - 1] = '\0';
		m->closed.detail[sizeof m->closed.detail - 1] = '\0';
	} else if (m->type == MESSAGE_CONNECTION) {
		m->connection.client[sizeof m->connection.client - 1] = '\0';
	}
}

enum error ipc_receive(int socket, struct message *m_out)
{
	struct message m = { .fd_count = 0 };
	_Alignas(16) char bytes[MESSAGE_BYTES_MAX];
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof bytes };
	union descriptor_room room;
	struct msghdr datagram = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes
	};
	struct message_header header;
	ssize_t length;

	do
		length = recvmsg(socket, &datagram, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == EAGAIN ? ERROR_BUSY : error_of_errno();
	if (length == 0)
		return ERROR_CLOSED;
	take_descriptors(&datagram, &m);
	if (datagram.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return drop(&m, "too long", (size_t)length);
	if ((size_t)length < sizeof header)
		return drop(&m, "no header", (size_t)length);
	memcpy(&header, bytes, sizeof header);
	if (header.version != MESSAGE_VERSION || header.type >= MESSAGE_COUNT)
		return drop(&m, "unknown type or version", (size_t)length);
	if ((size_t)length != sizeof header + payload_bytes[header.type])
		return drop(&m, "wrong length", (size_t)length);
	m.type = (enum message_type)header.type;
	memcpy(&m.none, bytes + sizeof header, payload_bytes[header.type]);
	end_texts(&m);
	*m_out = m;
	return ERROR_NONE;
}
