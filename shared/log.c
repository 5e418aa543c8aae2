/* log.c: builds lines in one bounded buffer and hands them to the kernel without ever blocking.
 * Pipes: up to PIPE_BUF bytes a write, only when there is room, so that lines of several processes never mix and a stuck reader never stops us.
 * Files: O_APPEND as opened by whoever handed us the descriptor; a full disk is tried again once a second, and a line of which it took a part is
 * written again whole. The journal: entries of journal.c, in a buffer of their own, so that they still get there after a change to a file. */
#include "config.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/journal.h"

#define PENDING_MAX_BYTES (1024 * 1024)
#define FLUSH_AT_BYTES    (16 * 1024)
#define RETRY_US          1000000

enum target { TARGET_FILE, TARGET_PIPE, TARGET_SOCKET, TARGET_JOURNAL };

/* What waits to be written, and when it may be tried. */
struct queue {
	struct buffer bytes; /* whole lines, or frames of journal.c */
	int64_t retry_at_us; /* monotonic; 0 = at once */
};

static struct {
	char head[160];       /* ,"service":…,"pid":…,"worker":… made once */
	enum log_level level; /* lines below it are not built */
	int fd;               /* borrowed */
	int own_fd;           /* the same pipe, opened by us without blocking; -1 = none */
	enum target target;   /* what it is */
	struct queue lines;   /* for fd */
	struct queue entries; /* for the journal */
	size_t written;       /* bytes of the first line that a pipe or socket has already taken */
	bool is_torn;         /* the file ends in a part of a line */
	uint64_t dropped;     /* lines */
	uint64_t told;        /* of them a line has reported */
} state = { .level = LOG_INFO, .fd = STDERR_FILENO, .own_fd = -1 };

static const char *const level_names[] = { "debug", "info", "warn", "error", "fatal" };
static const int priorities[] = { 7, 6, 4, 3, 2 }; /* syslog(3)'s: debug, info, warning, err, crit */

void log_open(const char *service, int worker, enum log_level level, int fd)
{
	int used = snprintf(state.head, sizeof state.head, ",\"service\":\"%s\",\"pid\":%d", service, (int)getpid());

	if (worker >= 0 && used > 0 && (size_t)used < sizeof state.head)
		(void)snprintf(state.head + used, sizeof state.head - (size_t)used, ",\"worker\":%d", worker);
	state.level = level;
	journal_set_identity(service, worker);
	log_set_fd(fd);
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

static enum target find_target(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return TARGET_PIPE;
	if (journal_is_stream(getenv("JOURNAL_STREAM"), &status))
		return TARGET_JOURNAL;
	return S_ISREG(status.st_mode) ? TARGET_FILE : S_ISSOCK(status.st_mode) ? TARGET_SOCKET : TARGET_PIPE;
}

/* Whether writes block belongs to the open pipe, which others share; an opening of our own lets us choose. Not always possible: its inode may be another
 * user's. */
static int open_own_pipe(int fd)
{
	char path[40];
	struct stat status;
	int low, high;

	if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode))
		return -1;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	low = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (low < 0)
		return -1;
	high = fcntl(low, F_DUPFD_CLOEXEC, INHERIT_ABOVE);
	close(low);
	return high;
}

void log_set_fd(int fd)
{
	state.lines.retry_at_us = 0;
	log_flush();
	if (state.own_fd >= 0)
		close(state.own_fd);
	state.fd = fd;
	state.target = find_target(fd);
	state.own_fd = state.target == TARGET_PIPE ? open_own_pipe(fd) : -1;
	state.lines.retry_at_us = 0;
	state.written = 0;
	state.is_torn = false;
}

bool log_enabled(enum log_level level)
{
	return level >= state.level;
}

bool log_parse_level(struct text name, enum log_level *level_out)
{
	for (size_t i = 0; i < COUNT_OF(level_names); i++)
		if (text_equals(name, text_of(level_names[i]))) {
			*level_out = (enum log_level)i;
			return true;
		}
	return false;
}

static void append_field(struct buffer *line, const struct log_field *field)
{
	if (log_field_is_absent(field))
		return;
	buffer_append_string(line, ",\"");
	buffer_append_string(line, field->name);
	buffer_append_string(line, "\":");
	log_field_append(line, field);
}

static void write_line(enum log_level level, const char *message, const struct log_field fields[])
{
	struct buffer *line = &state.lines.bytes;
	char time[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(clock_wall_us(), time);
	buffer_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":\"%s\"%s", time, level_names[level], message,
		state.head);
	for (; fields->name != NULL; fields++)
		append_field(line, fields);
	buffer_append(line, "}\n", 2);
}

void log_write(enum log_level level, const char *message, const struct log_field fields[])
{
	struct buffer *bytes = state.target == TARGET_JOURNAL ? &state.entries.bytes : &state.lines.bytes;

	if (buffer_length(bytes) > PENDING_MAX_BYTES) {
		log_flush();
		if (buffer_length(bytes) > PENDING_MAX_BYTES) {
			state.dropped++;
			return;
		}
	}
	if (state.target == TARGET_JOURNAL)
		journal_append(bytes, priorities[level], message, fields);
	else
		write_line(level, message, fields);
	if (level >= LOG_WARN || buffer_length(bytes) >= FLUSH_AT_BYTES)
		log_flush();
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* How much one write may take: everything for files; else whole lines up to PIPE_BUF, so that a line is never mixed with another process's. A single line
 * longer than that goes in parts. */
static size_t write_length(struct text rest)
{
	if (state.target == TARGET_FILE || rest.length <= PIPE_BUF)
		return rest.length;

	const char *end = memrchr(rest.bytes, '\n', PIPE_BUF);

	return end != NULL ? (size_t)(end - rest.bytes) + 1 : PIPE_BUF;
}

static bool has_room(void)
{
	struct pollfd ready = { .fd = state.fd, .events = POLLOUT };

	if (state.target != TARGET_PIPE || state.own_fd >= 0)
		return true;
	return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT);
}

static ssize_t write_some(struct text bytes)
{
	if (state.target == TARGET_SOCKET)
		return send(state.fd, bytes.bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(state.own_fd >= 0 ? state.own_fd : state.fd, bytes.bytes, bytes.length);
}

/* Forgets the lines that have left. Of a line that a file took in part nothing has: others append too, so its rest would not meet it. */
static void account(size_t count)
{
	struct buffer *bytes = &state.lines.bytes;
	size_t gone = state.written + count;
	const char *start = buffer_text(bytes).bytes, *end = memrchr(start, '\n', gone);
	size_t whole = end != NULL ? (size_t)(end - start) + 1 : 0;

	state.written = gone - whole;
	if (state.target == TARGET_FILE && state.written > 0) {
		state.is_torn = true;
		state.written = 0;
	}
	buffer_consume(bytes, whole);
}

/* The part of a line that a full disk left behind gets an end, so that the next line begins a line. */
static bool mend(void)
{
	if (state.is_torn && write_some(TEXT("\n")) == 1)
		state.is_torn = false;
	return !state.is_torn;
}

static void flush_lines(int64_t now_us)
{
	struct queue *lines = &state.lines;

	if (buffer_length(&lines->bytes) == 0 || now_us < lines->retry_at_us)
		return;
	lines->retry_at_us = 0;
	while (buffer_length(&lines->bytes) > 0 && has_room()) {
		struct text all = buffer_text(&lines->bytes);
		struct text rest = text_span(all.bytes + state.written, all.length - state.written);
		ssize_t count = mend() ? write_some(text_span(rest.bytes, write_length(rest))) : -1;

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			if (errno != EAGAIN)
				lines->retry_at_us = now_us + RETRY_US;
			return;
		}
		account((size_t)count);
	}
}

static void flush_entries(int64_t now_us)
{
	struct queue *entries = &state.entries;

	if (buffer_length(&entries->bytes) == 0 || now_us < entries->retry_at_us)
		return;
	entries->retry_at_us = 0;
	if (journal_send(&entries->bytes, &state.dropped) == JOURNAL_GONE)
		entries->retry_at_us = now_us + RETRY_US;
}

/* Whoever reads the lines learns that some are missing, and where. */
static void tell_dropped(void)
{
	uint64_t lost = state.dropped - state.told;

	if (lost == 0 || buffer_length(&state.lines.bytes) > 0 || buffer_length(&state.entries.bytes) > 0)
		return;
	state.told = state.dropped;
	LOG(LOG_WARN, "log lines were dropped", F_INT("lines", lost));
}

void log_flush(void)
{
	int saved = errno;

	if (buffer_length(&state.lines.bytes) > 0 || buffer_length(&state.entries.bytes) > 0) {
		int64_t now_us = clock_monotonic_us();

		flush_lines(now_us);
		flush_entries(now_us);
		tell_dropped();
	}
	errno = saved;
}

uint64_t log_dropped(void)
{
	return state.dropped;
}

void log_close(void)
{
	log_flush();
	if (state.own_fd >= 0)
		close(state.own_fd);
	state.own_fd = -1;
	journal_close();
	buffer_fini(&state.lines.bytes);
	buffer_fini(&state.entries.bytes);
}
