/* journal.c: see journal.h. A frame is a length and the datagram; several leave in one sendmmsg. A datagram that is too large for the socket goes as a
 * sealed memfd, as the protocol demands. Nothing here ever waits: the socket is ours and non-blocking. */
#include "config.h"
#include "shared/journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"

#define JOURNAL_SOCKET    "/run/systemd/journal/socket"
#define BATCH             32   /* entries of one system call */
#define MESSAGE_MAX_BYTES 4096 /* of MESSAGE, after which its details end; the fields are whole */
#define PREFIX            "RENOVATIOND_"

/* Fields that have the same name in everybody's entries. */
static const struct {
	const char *name, *field;
} common[] = {
	{ "request_id", "REQUEST_ID" },
	{ "trace_id", "TRACE_ID" },
	{ "event", "EVENT" },
};

static struct {
	char identity[128]; /* whole lines */
	const char *path;   /* of journald's socket */
	int fd;             /* -1 = not yet open */
} state = { .path = JOURNAL_SOCKET, .fd = -1 };

void journal_set_path(const char *path)
{
	state.path = path;
}

void journal_set_identity(const char *identifier, int worker)
{
	if (worker >= 0)
		(void)snprintf(
			state.identity, sizeof state.identity, "SYSLOG_IDENTIFIER=%s\nWORKER=%d\n", identifier, worker);
	else
		(void)snprintf(state.identity, sizeof state.identity, "SYSLOG_IDENTIFIER=%s\n", identifier);
}

bool journal_is_stream(const char *variable, const struct stat *status)
{
	char own[64];

	(void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status->st_dev, (uintmax_t)status->st_ino);
	return variable != NULL && strcmp(own, variable) == 0 && access(state.path, W_OK) == 0;
}

/* ---- entries ------------------------------------------------------------------------------------------------- */

/* Words as they are, everything else as JSON, so that a value has one line and cannot be taken for two. */
static void append_detail(struct buffer *frames, const struct log_field *field)
{
	bool is_word = field->text.length > 0;

	if (field->kind != LOG_KIND_TEXT) {
		log_field_append(frames, field);
		return;
	}
	for (size_t i = 0; is_word && i < field->text.length; i++) {
		char c = field->text.bytes[i];

		is_word = c > ' ' && c < 0x7f && c != '"' && c != '=';
	}
	if (is_word)
		buffer_append_text(frames, field->text);
	else
		log_field_append(frames, field);
}

static void append_message(struct buffer *frames, const char *message, const struct log_field fields[])
{
	size_t start, before = buffer_length(frames);

	buffer_append_string(frames, "MESSAGE=");
	buffer_append_string(frames, message);
	for (; fields->name != NULL && buffer_length(frames) - before < MESSAGE_MAX_BYTES; fields++) {
		if (log_field_is_absent(fields))
			continue;
		buffer_append_char(frames, ' ');
		buffer_append_string(frames, fields->name);
		buffer_append_char(frames, '=');
		append_detail(frames, fields);
	}
	/* JSON that others wrote may have lines; a message has one. */
	for (start = frames->start + before; start < frames->end; start++)
		if (frames->bytes[start] == '\n')
			frames->bytes[start] = ' ';
	buffer_append_char(frames, '\n');
}

static void append_name(struct buffer *frames, const char *name)
{
	char *out;
	size_t length = strlen(name);

	for (size_t i = 0; i < COUNT_OF(common); i++)
		if (strcmp(name, common[i].name) == 0) {
			buffer_append_string(frames, common[i].field);
			return;
		}
	buffer_append_string(frames, PREFIX);
	out = buffer_reserve(frames, length);
	for (size_t i = 0; i < length; i++)
		out[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
	buffer_grown(frames, length);
}

static void append_field(struct buffer *frames, const struct log_field *field)
{
	bool is_text = field->kind == LOG_KIND_TEXT || field->kind == LOG_KIND_RAW;

	if (log_field_is_absent(field))
		return;
	append_name(frames, field->name);
	if (is_text && memchr(field->text.bytes, '\n', field->text.length) != NULL) {
		uint64_t length = htole64(field->text.length);

		buffer_append_char(frames, '\n');
		buffer_append(frames, &length, sizeof length);
	} else {
		buffer_append_char(frames, '=');
	}
	if (is_text)
		buffer_append_text(frames, field->text);
	else
		log_field_append(frames, field);
	buffer_append_char(frames, '\n');
}

void journal_append(struct buffer *frames, int priority, const char *message, const struct log_field fields[])
{
	size_t before = buffer_length(frames);
	uint32_t length = 0;

	buffer_append(frames, &length, sizeof length);
	append_message(frames, message, fields);
	buffer_append_string(frames, "PRIORITY=");
	buffer_append_number(frames, priority);
	buffer_append_char(frames, '\n');
	buffer_append_string(frames, state.identity);
	for (; fields->name != NULL; fields++)
		append_field(frames, fields);
	length = (uint32_t)(buffer_length(frames) - before - sizeof length);
	memcpy(frames->bytes + frames->start + before, &length, sizeof length);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static struct sockaddr_un address(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	(void)snprintf(to.sun_path, sizeof to.sun_path, "%s", state.path);
	return to;
}

static int make_sealed(struct text datagram)
{
	int fd = memfd_create("renovationd-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write(fd, datagram.bytes, datagram.length) == (ssize_t)datagram.length &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

/* An empty datagram that carries the memory. */
static bool send_sealed(struct text datagram)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct sockaddr_un to = address();
	struct msghdr message = { .msg_name = &to,
		.msg_namelen = sizeof to,
		.msg_control = &control,
		.msg_controllen = sizeof control.room };
	int fd = make_sealed(datagram), error;
	bool is_sent;

	if (fd < 0)
		return false;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	is_sent = sendmsg(state.fd, &message, MSG_NOSIGNAL) >= 0;
	error = errno;
	close(fd);
	errno = error;
	return is_sent;
}

/* The first of the text's frames. */
static struct text first_frame(struct text frames)
{
	uint32_t length;

	memcpy(&length, frames.bytes, sizeof length);
	return text_span(frames.bytes + sizeof length, length);
}

/* Sends up to BATCH frames; how many have left, or -1. */
static int send_batch(struct text frames)
{
	struct sockaddr_un to = address();
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	unsigned count = 0;

	memset(messages, 0, sizeof messages);
	for (; count < BATCH && frames.length > 0; count++) {
		struct text datagram = first_frame(frames);
		size_t whole = sizeof(uint32_t) + datagram.length;

		parts[count] = (struct iovec) { .iov_base = (char *)datagram.bytes, .iov_len = datagram.length };
		messages[count].msg_hdr = (struct msghdr) {
			.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[count], .msg_iovlen = 1
		};
		frames = text_span(frames.bytes + whole, frames.length - whole);
	}
	return sendmmsg(state.fd, messages, count, MSG_NOSIGNAL);
}

static void forget_frames(struct buffer *frames, int count)
{
	for (; count > 0; count--)
		buffer_consume(frames, sizeof(uint32_t) + first_frame(buffer_text(frames)).length);
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/* One that no datagram can hold; false when it has to wait. */
static bool send_large(struct buffer *frames, uint64_t *lost)
{
	if (!send_sealed(first_frame(buffer_text(frames)))) {
		if (is_full(errno))
			return false;
		(*lost)++;
	}
	forget_frames(frames, 1);
	return true;
}

static bool open_socket(void)
{
	int low;

	if (state.fd >= 0)
		return true;
	low = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (low < 0)
		return false;
	state.fd = fcntl(low, F_DUPFD_CLOEXEC, INHERIT_ABOVE);
	close(low);
	return state.fd >= 0;
}

enum journal_result journal_send(struct buffer *frames, uint64_t *lost)
{
	if (!open_socket())
		return JOURNAL_GONE;
	while (buffer_length(frames) > 0) {
		int sent = send_batch(buffer_text(frames));

		if (sent > 0) {
			forget_frames(frames, sent);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EMSGSIZE && send_large(frames, lost))
			continue;
		return is_full(errno) ? JOURNAL_FULL : JOURNAL_GONE;
	}
	return JOURNAL_SENT;
}

void journal_close(void)
{
	if (state.fd >= 0)
		close(state.fd);
	state.fd = -1;
}
