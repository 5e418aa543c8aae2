/* notify.c: tells systemd's service manager how we are, hands it descriptors to keep, and pings its watchdog while we serve. Nothing happens without one.
 * Speaks the protocol of sd_notify(3) itself, because the library's call waits when the manager does not read: here a full socket makes messages wait in a
 * short queue, never us. Called by main.c, pool.c, preflight.c, rollover.c, upgrade.c, fdstore.c and shutdown.c. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

#define UNSERVED_MS   60000 /* no worker ready for so long: no more pings */
#define WAITING_MOST  24    /* messages that nobody took yet */
#define RETRY_MS      100
#define MESSAGE_BYTES 640
#define STOP_SLACK_MS 2000 /* beyond the stop's own end: for the exit itself */

struct notice {
	char text[MESSAGE_BYTES]; /* lines of sd_notify(3) */
	int fd;                   /* to hand over, owned while it waits; -1 = none */
	bool is_status;           /* how things stand: a newer one takes its place */
};

static struct {
	int socket;                          /* -1 until the first message */
	struct sockaddr_un address;          /* of the manager */
	socklen_t length;                    /* of it */
	bool is_told;                        /* that nobody is there was said once */
	struct notice waiting[WAITING_MOST]; /* in order */
	int count;                           /* of them */
	struct event *retry;                 /* timer; NULL before the loop */
	struct event *ping;                  /* timer; NULL without a watchdog */
	int64_t last_served_ms;              /* monotonic */
} notify = { .socket = -1 };

/* ---- the socket ---------------------------------------------------------------------------------------------- */

/* False when there is no manager. */
static bool find_manager(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path != NULL ? strlen(path) : 0;

	if (notify.socket >= 0)
		return true;
	/* An address of another family (vsock) is for virtual machines. */
	if (length < 2 || length >= sizeof notify.address.sun_path || (path[0] != '/' && path[0] != '@'))
		return false;
	notify.address = (struct sockaddr_un) { .sun_family = AF_UNIX };
	memcpy(notify.address.sun_path, path, length);
	if (path[0] == '@')
		notify.address.sun_path[0] = '\0';
	/* An abstract name ends where its length says, a path with its NUL. */
	notify.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/'));
	notify.socket = descriptor_lift(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	return notify.socket >= 0;
}

/* False when the manager has no room just now. */
static bool send_one(const struct notice *notice)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (char *)(uintptr_t)notice->text, .iov_len = strlen(notice->text) };
	struct msghdr message = {
		.msg_name = &notify.address, .msg_namelen = notify.length, .msg_iov = &part, .msg_iovlen = 1
	};

	if (notice->fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		control.head = (struct cmsghdr) {
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))
		};
		memcpy(CMSG_DATA(&control.head), &notice->fd, sizeof(int));
	}
	while (sendmsg(notify.socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		if (!notify.is_told)
			LOG(LOG_WARN, "the service manager cannot be told anything",
				F_STR("socket", getenv("NOTIFY_SOCKET")), F_STR("error", strerror(errno)));
		notify.is_told = true;
		break;
	}
	return true;
}

/* ---- what waits ---------------------------------------------------------------------------------------------- */

static void drop_waiting(int at)
{
	if (notify.waiting[at].fd >= 0)
		close(notify.waiting[at].fd);
	notify.count--;
	memmove(&notify.waiting[at], &notify.waiting[at + 1], (size_t)(notify.count - at) * sizeof notify.waiting[0]);
}

static void send_waiting(void)
{
	struct timeval delay = { .tv_usec = RETRY_MS * 1000 };

	while (notify.count > 0 && send_one(&notify.waiting[0]))
		drop_waiting(0);
	if (notify.count > 0 && notify.retry != NULL)
		(void)event_add(notify.retry, &delay);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	send_waiting();
}

/* Room for one more, at the cost of an old status if need be. */
static bool make_room(bool is_status)
{
	for (int i = notify.count - 1; i >= 0 && (is_status || notify.count == WAITING_MOST); i--)
		if (notify.waiting[i].is_status) {
			drop_waiting(i);
			break;
		}
	return notify.count < WAITING_MOST;
}

static void tell(const struct notice *notice)
{
	if (!find_manager())
		return;
	send_waiting();
	if (notify.count == 0 && send_one(notice))
		return;
	if (!make_room(notice->is_status)) {
		LOG(LOG_WARN, "the service manager does not read, a message to it is lost");
		return;
	}
	notify.waiting[notify.count] = *notice;
	if (notice->fd >= 0)
		notify.waiting[notify.count].fd = fcntl(notice->fd, F_DUPFD_CLOEXEC, 3);
	notify.count++;
	send_waiting();
}

static void PRINTF(2, 3) tell_text(bool is_status, const char *format, ...)
{
	struct notice notice = { .fd = -1, .is_status = is_status };
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(notice.text, sizeof notice.text, format, arguments);
	va_end(arguments);
	tell(&notice);
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

void notify_ready(const struct supervisor *s)
{
	tell_text(false, "READY=1\nSTATUS=listening on %s%s; %d of %d workers ready, config gen %u", s->url,
		publish_gemini(s), pool_count_ready(s), s->wanted, s->generation);
}

/* One line: a line end would begin another message. */
static void PRINTF(3, 0) write_line(char *out, size_t room, const char *format, va_list arguments)
{
	(void)vsnprintf(out, room, format, arguments);
	for (char *at = out; *at != '\0'; at++)
		if (*at == '\n')
			*at = ' ';
}

void notify_status(const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	write_line(text, sizeof text, format, arguments);
	va_end(arguments);
	tell_text(true, "STATUS=%s", text);
}

void notify_reloading(const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	write_line(text, sizeof text, format, arguments);
	va_end(arguments);
	tell_text(false, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=%s", (long long)clock_monotonic_us(), text);
}

void notify_reloaded(const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	write_line(text, sizeof text, format, arguments);
	va_end(arguments);
	tell_text(false, "READY=1\nSTATUS=%s", text);
}

void notify_checking(int extend_ms)
{
	tell_text(false, "EXTEND_TIMEOUT_USEC=%lld", (long long)extend_ms * 1000);
}

/* The manager counts from when it reads this, and never takes time away: the last word that asked for more holds. */
static long long extension_us(int64_t left_ms)
{
	return (long long)(left_ms + STOP_SLACK_MS) * 1000;
}

void notify_stopping(int64_t left_ms)
{
	tell_text(false, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%lld", extension_us(left_ms));
}

void notify_stop_status(int64_t left_ms, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	write_line(text, sizeof text, format, arguments);
	va_end(arguments);
	tell_text(true, "STATUS=%s\nEXTEND_TIMEOUT_USEC=%lld", text, extension_us(left_ms));
}

void notify_store(const char *name, int fd)
{
	struct notice notice = { .fd = fd };

	(void)snprintf(notice.text, sizeof notice.text, "FDSTORE=1\nFDNAME=%s", name);
	tell(&notice);
}

void notify_unstore(const char *name)
{
	tell_text(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

/* ---- the watchdog -------------------------------------------------------------------------------------------- */

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	const struct supervisor *s = arg;
	int64_t now_ms = clock_monotonic_ms();

	(void)fd;
	(void)what;
	if (pool_count_ready(s) > 0 || s->state == SUPERVISOR_STOPPING || SCOREBOARD_GET(s->board->pool.is_drained))
		notify.last_served_ms = now_ms;
	if (now_ms - notify.last_served_ms < UNSERVED_MS)
		tell_text(false, "WATCHDOG=1");
}

enum error notify_open(struct supervisor *s)
{
	uint64_t limit_us = 0;

	notify.last_served_ms = clock_monotonic_ms();
	notify.retry = evtimer_new(s->base, on_retry, NULL);
	if (notify.retry == NULL)
		return ERROR_SYSTEM;
	send_waiting();
	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return ERROR_NONE;

	struct timeval interval = { .tv_sec = (time_t)(limit_us / 3 / 1000000),
		.tv_usec = (suseconds_t)(limit_us / 3 % 1000000) };

	notify.ping = event_new(s->base, -1, EV_PERSIST, on_ping, s);
	if (notify.ping == NULL || event_add(notify.ping, &interval) != 0)
		return ERROR_SYSTEM;
	/* After an upgrade the manager has counted on. */
	on_ping(-1, 0, s);
	return ERROR_NONE;
}

void notify_close(void)
{
	if (notify.ping != NULL)
		event_free(notify.ping);
	if (notify.retry != NULL)
		event_free(notify.retry);
	notify.ping = notify.retry = NULL;
	send_waiting();
	while (notify.count > 0)
		drop_waiting(notify.count - 1);
	if (notify.socket >= 0)
		close(notify.socket);
	notify.socket = -1;
}
