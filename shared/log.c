/* log.c: builds lines in one bounded buffer and hands them to the kernel without ever blocking.
 * Pipes: up to PIPE_BUF bytes a write, only when poll says there is room, so lines of several processes never mix and a stuck
 * reader never stops us. Files: O_APPEND as opened by whoever handed us the descriptor. A full disk is tried again once a second. */
#include "config.h"
#include "shared/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/json.h"

#define PENDING_MAX_BYTES (1024 * 1024)
#define FLUSH_AT_BYTES    (16 * 1024)
#define RETRY_US          1000000

static struct {
	char head[160];        /* ,"service":…,"pid":…,"worker":… made once */
	enum log_level level;  /* lines below it are not built */
	int fd;                /* borrowed */
	bool whole_writes;     /* a pipe or socket: at most PIPE_BUF at once */
	struct buffer pending; /* whole lines not yet written */
	int64_t retry_at_us;   /* monotonic; 0 = write at once */
	uint64_t dropped;      /* lines */
} state = { .level = LOG_INFO, .fd = STDERR_FILENO };

static const char *const level_names[] = { "debug", "info", "warn", "error", "fatal" };

void log_open(const char *service, int worker, enum log_level level, int fd)
{
	int used = snprintf(state.head, sizeof state.head, ",\"service\":\"%s\",\"pid\":%d", service, (int)getpid());

	if (worker >= 0 && used > 0 && (size_t)used < sizeof state.head)
		(void)snprintf(state.head + used, sizeof state.head - (size_t)used, ",\"worker\":%d", worker);
	state.level = level;
	state.retry_at_us = 0;
	log_set_fd(fd);
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

void log_set_fd(int fd)
{
	struct stat status;

	log_flush();
	state.fd = fd;
	state.whole_writes = fstat(fd, &status) != 0 || !S_ISREG(status.st_mode);
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

/* Three decimals without printf, which would be most of a line's cost. */
static void append_real(struct buffer *line, double real)
{
	if (!(real >= 0 && real < 1e12)) {
		buffer_printf(line, "%.3f", real);
		return;
	}

	int64_t thousandths = (int64_t)(real * 1000 + 0.5);
	int part = (int)(thousandths % 1000);
	char decimals[4] = { '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10), (char)('0' + part % 10) };

	buffer_append_number(line, thousandths / 1000);
	buffer_append(line, decimals, sizeof decimals);
}

static void append_field(struct buffer *line, const struct log_field *field)
{
	if ((field->kind == LOG_KIND_TEXT || field->kind == LOG_KIND_RAW) && field->text.bytes == NULL)
		return;
	buffer_append_string(line, ",\"");
	buffer_append_string(line, field->name);
	buffer_append_string(line, "\":");
	switch (field->kind) {
	case LOG_KIND_TEXT: json_write_string(line, field->text); break;
	case LOG_KIND_RAW: buffer_append_text(line, field->text); break;
	case LOG_KIND_INT: buffer_append_number(line, field->integer); break;
	case LOG_KIND_REAL: append_real(line, field->real); break;
	case LOG_KIND_BOOL: buffer_append_string(line, field->integer ? "true" : "false"); break;
	}
}

void log_write(enum log_level level, const char *message, const struct log_field fields[])
{
	struct buffer *line = &state.pending;
	char time[CLOCK_RFC3339_BYTES];

	if (buffer_length(line) > PENDING_MAX_BYTES) {
		log_flush();
		if (buffer_length(line) > PENDING_MAX_BYTES) {
			state.dropped++;
			return;
		}
	}
	clock_format_rfc3339(clock_wall_us(), time);
	buffer_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":\"%s\"%s", time, level_names[level], message,
		state.head);
	for (; fields->name != NULL; fields++)
		append_field(line, fields);
	buffer_append(line, "}\n", 2);
	if (level >= LOG_WARN || buffer_length(line) >= FLUSH_AT_BYTES)
		log_flush();
}

/* How much of `pending` one write may take: whole lines up to PIPE_BUF for pipes, so that a line is never mixed with another
 * process's; a single line longer than that goes alone. */
static size_t write_length(struct text pending)
{
	if (!state.whole_writes || pending.length <= PIPE_BUF)
		return pending.length;

	const char *end = memrchr(pending.bytes, '\n', PIPE_BUF);

	if (end == NULL)
		end = memchr(pending.bytes, '\n', pending.length);
	return (size_t)(end - pending.bytes) + 1;
}

static bool has_room(void)
{
	struct pollfd ready = { .fd = state.fd, .events = POLLOUT };

	return !state.whole_writes || (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT));
}

void log_flush(void)
{
	int saved = errno;

	if (state.retry_at_us != 0 && clock_monotonic_us() < state.retry_at_us)
		goto out;
	state.retry_at_us = 0;
	while (buffer_length(&state.pending) > 0 && has_room()) {
		struct text pending = buffer_text(&state.pending);
		ssize_t written = write(state.fd, pending.bytes, write_length(pending));

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			if (errno != EAGAIN)
				state.retry_at_us = clock_monotonic_us() + RETRY_US;
			break;
		}
		buffer_consume(&state.pending, (size_t)written);
	}
out:
	errno = saved;
}

uint64_t log_dropped(void)
{
	return state.dropped;
}

void log_close(void)
{
	log_flush();
	buffer_fini(&state.pending);
}
