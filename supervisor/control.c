/* control.c: the operator's socket: accepts renovationctl, reads requests by the line, sends answers. Open from before the first worker until after the
 * last, whatever becomes of the pool. Everything is bounded: clients, lines, silence, what waits to be sent. What the lines ask for is done in
 * control_commands.c. Nothing that comes in here may hurt: bad lines are answered and their connection closed. */
#include "config.h"
#include "supervisor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/json.h"

#define IDLE_MS       60000 /* a connection that asks nothing */
#define LINE_MS       10000 /* a line that does not end */
#define STALL_MS      10000 /* a client that takes nothing of its answer */
#define TICK_MS       100
#define LAST_WORDS_MS 200 /* at our end, for all clients together */

/* ---- one client ---------------------------------------------------------------------------------------------- */

static void drop(struct control_client *client)
{
	if (client->is_busy)
		control_command_forget(client);
	event_free(client->readable);
	event_free(client->writable);
	close(client->fd);
	buffer_fini(&client->in);
	buffer_fini(&client->out);
	memset(client, 0, sizeof *client);
	client->fd = -1;
}

/* False when the client is gone; then it was dropped. */
static bool send_out(struct control_client *client)
{
	while (buffer_length(&client->out) > 0) {
		struct text bytes = buffer_text(&client->out);
		ssize_t sent = send(client->fd, bytes.bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			(void)event_add(client->writable, NULL);
			return true;
		}
		if (sent < 0) {
			drop(client);
			return false;
		}
		client->took_at_ms = clock_monotonic_ms();
		buffer_consume(&client->out, (size_t)sent);
	}
	if (!client->is_closing)
		return true;
	drop(client);
	return false;
}

void control_answer(struct control_client *client, bool is_ok, int code, const char *text, struct text more)
{
	if (buffer_length(&client->out) == 0)
		client->took_at_ms = clock_monotonic_ms();
	buffer_printf(&client->out, "{\"done\":true,\"ok\":%s,\"code\":%d,\"text\":", is_ok ? "true" : "false", code);
	json_write_string(&client->out, text_of(text));
	buffer_append_text(&client->out, more);
	buffer_append_string(&client->out, "}\n");
	client->is_busy = false;
	client->active_at_ms = clock_monotonic_ms();
}

void control_progress(struct control_client *client, const char *text)
{
	/* Nobody needs to know how far it was: a client that reads nothing is told less. */
	if (strcmp(text, client->told) == 0 || buffer_length(&client->out) > 0)
		return;
	(void)snprintf(client->told, sizeof client->told, "%s", text);
	client->took_at_ms = clock_monotonic_ms();
	buffer_append_string(&client->out, "{\"done\":false,\"text\":");
	json_write_string(&client->out, text_of(client->told));
	buffer_append_string(&client->out, "}\n");
}

static void refuse_line(struct control_client *client, const char *problem)
{
	LOG(LOG_WARN, "control request refused", F_STR("problem", problem), F_INT("peer_uid", client->peer.uid),
		F_INT("peer_pid", client->peer.pid));
	control_answer(client, false, EXIT_USAGE_WRONG, problem, TEXT_NONE);
	client->is_closing = true;
}

static void handle_line(struct control_client *client, struct text line)
{
	struct control_request request;
	struct arena arena;
	const char *problem = "";
	enum error e;

	arena_init(&arena);
	e = control_request_parse(&arena, line, &request, &problem);
	client->told[0] = '\0';
	if (e == ERROR_NONE) {
		client->asked = request;
		client->asked_at_ms = clock_monotonic_ms();
		control_command_run(client, &request);
	} else if (e == ERROR_VALIDATION_FAILED) {
		control_answer(client, false, EXIT_USAGE_WRONG, problem, TEXT_NONE);
	} else {
		refuse_line(client, problem);
	}
	arena_fini(&arena);
}

/* The next whole line, if it may be handled now: one command at a time, and only when its last answer was taken. */
static bool take_line(struct control_client *client)
{
	struct text bytes = buffer_text(&client->in);
	const char *end = bytes.length ? memchr(bytes.bytes, '\n', bytes.length) : NULL;

	if (client->is_busy || client->is_closing || buffer_length(&client->out) > 0)
		return false;
	if (end == NULL && bytes.length >= CONTROL_LINE_BYTES)
		refuse_line(client, "the line is too long");
	if (end == NULL && client->has_ended && bytes.length > 0)
		refuse_line(client, "the line does not end");
	if (end == NULL)
		return false;
	handle_line(client, text_span(bytes.bytes, (size_t)(end - bytes.bytes)));
	buffer_consume(&client->in, (size_t)(end - bytes.bytes) + 1);
	return true;
}

void control_advance(struct control_client *client)
{
	bool is_more = true;

	while (is_more) {
		is_more = take_line(client);
		if (!send_out(client))
			return;
	}
	if (client->has_ended && !client->is_busy && buffer_length(&client->out) == 0)
		drop(client);
}

/* False when the connection broke; then it was dropped. */
static bool read_in(struct control_client *client)
{
	size_t room = CONTROL_LINE_BYTES - buffer_length(&client->in);
	ssize_t got;

	if (room == 0) {
		/* More than a line while a command runs: looked at when that is over. */
		(void)event_del(client->readable);
		return true;
	}
	got = recv(client->fd, buffer_reserve(&client->in, room), room, MSG_DONTWAIT);
	if (got > 0) {
		buffer_grown(&client->in, (size_t)got);
		client->active_at_ms = clock_monotonic_ms();
	} else if (got == 0) {
		client->has_ended = true;
		(void)event_del(client->readable);
	} else if (errno != EAGAIN && errno != EINTR) {
		drop(client);
		return false;
	}
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;

	(void)fd;
	(void)what;
	if (read_in(client))
		control_advance(client);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_advance(arg);
}

/* ---- all clients --------------------------------------------------------------------------------------------- */

static void check_deadlines(struct control_client *client, int64_t now_ms)
{
	bool has_output = buffer_length(&client->out) > 0;

	if (has_output && now_ms - client->took_at_ms > STALL_MS) {
		LOG(LOG_INFO, "control client dropped: it does not read", F_INT("peer_pid", client->peer.pid));
		drop(client);
	} else if (!has_output && !client->is_busy &&
		   now_ms - client->active_at_ms > (buffer_length(&client->in) > 0 ? LINE_MS : IDLE_MS)) {
		drop(client);
	}
}

/* A client whose line was too long while a command ran reads on once that is over. */
static void look_at(struct control_client *client, int64_t now_ms)
{
	if (client->is_busy)
		control_command_look(client);
	if (!client->has_ended && buffer_length(&client->in) < CONTROL_LINE_BYTES)
		(void)event_add(client->readable, NULL);
	control_advance(client);
	if (client->fd >= 0)
		check_deadlines(client, now_ms);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct timeval interval = { .tv_usec = TICK_MS * 1000 };
	int64_t now_ms = clock_monotonic_ms();
	bool is_any = false;

	(void)fd;
	(void)what;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd >= 0)
			look_at(&c->clients[i], now_ms);
		is_any |= c->clients[i].fd >= 0;
	}
	if (is_any)
		(void)event_add(c->tick, &interval);
	(void)event_add(c->acceptable, NULL);
}

static struct control_client *find_room(struct control *c)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd < 0)
			return &c->clients[i];
	return NULL;
}

static void greet(struct control *c, int fd)
{
	static const char full[] = "{\"done\":true,\"ok\":false,\"code\":75,\"text\":\"too many connections to the "
				   "control socket\"}\n";
	struct control_client *client = find_room(c);
	socklen_t length = sizeof client->peer;

	if (client == NULL) {
		(void)send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	*client = (struct control_client) { .control = c, .fd = fd, .active_at_ms = clock_monotonic_ms() };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &client->peer, &length) != 0)
		client->peer = (struct ucred) { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	(void)snprintf(client->who, sizeof client->who, "uid %u pid %d", client->peer.uid, (int)client->peer.pid);
	client->readable = event_new(c->supervisor->base, fd, EV_READ | EV_PERSIST, on_readable, client);
	client->writable = event_new(c->supervisor->base, fd, EV_WRITE, on_writable, client);
	must(client->readable != NULL && client->writable != NULL);
	(void)event_add(client->readable, NULL);
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
	struct control *c = arg;
	struct timeval interval = { .tv_usec = TICK_MS * 1000 };
	int fd = accept4((int)listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd >= 0)
		fd = descriptor_lift(fd);
	if (fd >= 0)
		greet(c, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		(void)event_del(c->acceptable); /* until the next tick, or this would spin */
	if (!evtimer_pending(c->tick, NULL))
		(void)event_add(c->tick, &interval);
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

static struct control *create(struct supervisor *s)
{
	struct control *c = must_alloc(sizeof *c);

	c->supervisor = s;
	c->fd = -1;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	return c;
}

static int watch(struct supervisor *s, struct control *c)
{
	c->acceptable = event_new(s->base, c->fd, EV_READ | EV_PERSIST, on_acceptable, c);
	c->tick = evtimer_new(s->base, on_tick, c);
	s->control = c;
	return c->acceptable != NULL && c->tick != NULL && event_add(c->acceptable, NULL) == 0 ? EXIT_OK : EXIT_OS;
}

int control_open(struct supervisor *s)
{
	struct control *c = create(s);
	enum control_path_source source = control_path_make(s->options, s->identity.is_change, c->path);
	int code = EXIT_OK;

	/* A place that nobody chose must not be in the way of a start. But that another instance runs must not go unnoticed where nobody looks. */
	c->may_be_missing = source == CONTROL_PATH_DEFAULT;
	c->may_be_taken = source == CONTROL_PATH_DEFAULT && !options_is_strict(s->options);
	if (source == CONTROL_PATH_NONE)
		LOG(LOG_INFO, "no control socket", F_STR("remedy", "set control_socket (CONTROL_SOCKET) to a path"));
	else
		code = control_socket_make(c, s);
	if (c->fd < 0) {
		free(c);
		return code;
	}
	LOG(LOG_INFO, "control socket", F_STR("path", c->path), F_STR("group", s->options->control_group));
	return watch(s, c);
}

int control_adopt(struct supervisor *s, int fd, const char *path)
{
	struct control *c = create(s);

	c->fd = descriptor_lift(fd);
	(void)snprintf(c->path, sizeof c->path, "%s", path);
	if (c->fd < 0) {
		free(c);
		return EXIT_OS;
	}
	(void)fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
	control_socket_recognise(c);
	LOG(LOG_INFO, "control socket kept", F_STR("path", c->path));
	return watch(s, c);
}

int control_listener_fd(const struct supervisor *s)
{
	return s->control != NULL ? s->control->fd : -1;
}

const char *control_path(const struct supervisor *s)
{
	return s->control != NULL ? s->control->path : "";
}

/* The last answers are short and their readers wait for them; who does not take them in time has lost them. */
static void say_last(struct control_client *client, int64_t end_ms)
{
	if (client->is_busy)
		control_command_last(client);
	client->is_closing = true;
	while (send_out(client)) {
		struct pollfd wait = { .fd = client->fd, .events = POLLOUT };
		int64_t left_ms = end_ms - clock_monotonic_ms();

		if (left_ms > 0 && poll(&wait, 1, (int)left_ms) > 0)
			continue;
		drop(client);
		return;
	}
}

void control_close(struct supervisor *s)
{
	struct control *c = s->control;
	int64_t end_ms = clock_monotonic_ms() + LAST_WORDS_MS;

	if (c == NULL)
		return;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0)
			say_last(&c->clients[i], end_ms);
	control_socket_remove(c);
	if (c->acceptable != NULL)
		event_free(c->acceptable);
	if (c->tick != NULL)
		event_free(c->tick);
	close(c->fd);
	free(c);
	s->control = NULL;
}
