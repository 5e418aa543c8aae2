/* wire.c: finds the control socket, connects, sends requests, reads answers by the line. Called by all commands that talk to a running renovationd.
 * Says in words what to do when nobody answers: that is what most people who read it need. */
#include "config.h"
#include "ctl/wire.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/configuration.h"
#include "shared/inherit.h"

#define LINE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* metrics of a large pool are one line */

extern char **environ;

/* ---- where --------------------------------------------------------------------------------------------------- */

static void read_options(struct configuration *c, const char *file)
{
	configuration_init(c);
	if (file != NULL)
		configuration_read_file(c, file);
	configuration_read_environment(c, (const char *const *)environ);
}

/* A service installed with its configuration in the usual place is found without -c, as long as the file may be read. */
static bool find_by_usual_file(char path_out[CONTROL_PATH_BYTES])
{
	static const char usual[] = RENOVATIOND_SYSCONFDIR "/renovationd/renovationd.conf";
	struct configuration c;
	bool is_found;

	if (access(usual, R_OK) != 0)
		return false;
	read_options(&c, usual);
	is_found = c.options.control_socket[0] != '\0';
	if (is_found)
		(void)snprintf(path_out, CONTROL_PATH_BYTES, "%s", c.options.control_socket);
	configuration_fini(&c);
	return is_found;
}

static int find(const struct ctl *ctl, char path_out[CONTROL_PATH_BYTES], struct buffer *tried)
{
	struct configuration c;
	int code = EXIT_OK;

	if (ctl->socket != NULL) {
		if (strlen(ctl->socket) >= CONTROL_PATH_BYTES)
			return ctl_usage("the path of a socket has at most %d bytes", CONTROL_PATH_BYTES - 1);
		(void)snprintf(path_out, CONTROL_PATH_BYTES, "%s", ctl->socket);
		return EXIT_OK;
	}
	read_options(&c, ctl->file);
	/* What else is wrong with the file does not matter here, but one that cannot be read was not what -c meant. */
	if (ctl->file != NULL && access(ctl->file, R_OK) != 0) {
		configuration_print_faults(&c, stderr);
		code = EXIT_CONFIG_WRONG;
	} else if (!control_path_find(&c.options, path_out, tried) && !find_by_usual_file(path_out)) {
		code = EXIT_UNAVAILABLE;
	}
	configuration_fini(&c);
	return code;
}

/* ---- connect -------------------------------------------------------------------------------------------------- */

static void say_not_allowed(const char *path)
{
	struct stat status;
	const struct group *group = stat(path, &status) == 0 ? getgrgid(status.st_gid) : NULL;

	(void)fprintf(stderr, "renovationctl: not allowed to use %s\n    -> use sudo", path);
	if (group != NULL && status.st_gid != 0)
		(void)fprintf(stderr, ", or join group %s", group->gr_name);
	(void)fputs("; option control_group decides who may\n", stderr);
}

static int say_nobody(const char *path, int error)
{
	if (error == EACCES || error == EPERM) {
		say_not_allowed(path);
		return EXIT_REFUSED;
	}
	(void)fprintf(stderr,
		"renovationctl: no renovationd answers at %s: %s\n"
		"    -> is it running? If its socket is elsewhere, name it with -s PATH, or its configuration with -c "
		"FILE\n",
		path, strerror(error));
	return EXIT_UNAVAILABLE;
}

bool wire_reopen(struct wire *w)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int error;

	if (w->fd >= 0)
		close(w->fd);
	buffer_clear(&w->in);
	w->taken = 0;
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", w->path);
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd >= 0 && connect(w->fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return true;
	error = errno;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	errno = error;
	return false;
}

int wire_open(struct wire *w, const struct ctl *ctl, bool is_quiet)
{
	struct buffer tried;
	int code;

	*w = (struct wire) { .fd = -1 };
	buffer_init(&w->in);
	arena_init(&w->arena);
	buffer_init(&tried);
	code = find(ctl, w->path, &tried);
	if (code == EXIT_UNAVAILABLE && !is_quiet)
		(void)fprintf(stderr,
			"renovationctl: there is no control socket (looked for %.*s)\n"
			"    -> is renovationd running? If it has another socket, name it with -s PATH, or its "
			"configuration with -c FILE\n",
			TEXT_ARGS(buffer_text(&tried)));
	buffer_fini(&tried);
	if (code == EXIT_OK && !wire_reopen(w))
		code = is_quiet ? EXIT_UNAVAILABLE : say_nobody(w->path, errno);
	return code;
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	buffer_fini(&w->in);
	arena_fini(&w->arena);
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

bool wire_send(struct wire *w, const char *request)
{
	struct buffer line;
	bool is_sent = w->fd >= 0;

	buffer_init(&line);
	buffer_append_string(&line, request);
	buffer_append_char(&line, '\n');
	while (is_sent && buffer_length(&line) > 0) {
		ssize_t sent = send(w->fd, buffer_text(&line).bytes, buffer_length(&line), MSG_NOSIGNAL);

		if (sent > 0)
			buffer_consume(&line, (size_t)sent);
		else
			is_sent = sent < 0 && errno == EINTR;
	}
	buffer_fini(&line);
	return is_sent;
}

/* False: `*result_out` says why there are no more bytes. */
static bool read_more(struct wire *w, int64_t end_ms, enum wire_result *result_out)
{
	struct pollfd wait = { .fd = w->fd, .events = POLLIN };
	int64_t left_ms = end_ms - clock_monotonic_ms();
	int count = poll(&wait, 1, end_ms < 0 ? -1 : left_ms > 0 ? (int)left_ms : 0);
	ssize_t got;

	if (count < 0 && errno == EINTR)
		return true;
	*result_out = WIRE_TIMEOUT;
	if (count <= 0)
		return false;
	got = recv(w->fd, buffer_reserve(&w->in, 65536), 65536, 0);
	if (got > 0)
		buffer_grown(&w->in, (size_t)got);
	*result_out = buffer_length(&w->in) > LINE_BYTES_MAX ? WIRE_BROKEN : WIRE_END;
	return got > 0 && *result_out == WIRE_END;
}

enum wire_result wire_next(struct wire *w, int timeout_ms, const struct json_value **object_out)
{
	int64_t end_ms = timeout_ms < 0 ? -1 : clock_monotonic_ms() + timeout_ms;
	enum wire_result result = WIRE_END;
	const char *end, *problem;
	struct json_value *root;
	struct text bytes;

	if (w->fd < 0)
		return WIRE_END;
	buffer_consume(&w->in, w->taken);
	w->taken = 0;
	for (;;) {
		bytes = buffer_text(&w->in);
		end = bytes.length ? memchr(bytes.bytes, '\n', bytes.length) : NULL;
		if (end != NULL)
			break;
		if (!read_more(w, end_ms, &result))
			return result;
	}
	w->taken = (size_t)(end - bytes.bytes) + 1;
	arena_reset(&w->arena);
	if (json_parse(&w->arena, text_span(bytes.bytes, w->taken - 1), &root, &problem) != ERROR_NONE ||
		root->type != JSON_OBJECT)
		return WIRE_BROKEN;
	*object_out = root;
	return WIRE_LINE;
}

int wire_lost(const struct wire *w, enum wire_result result)
{
	static const char *const reasons[] = { "", "it closed the connection", "it does not answer",
		"what it says is not renovationd's protocol" };

	(void)fprintf(stderr,
		"renovationctl: no answer at %s: %s\n    -> look at its log; is another program listening there?\n",
		w->path, reasons[result]);
	return EXIT_UNAVAILABLE;
}

int wire_ask(struct wire *w, const char *request, const struct json_value **object_out)
{
	enum wire_result result = WIRE_END;
	const struct json_value *code;
	uint64_t number = EXIT_UNAVAILABLE;

	if (wire_send(w, request))
		result = wire_next(w, WIRE_ANSWER_MS, object_out);
	if (result != WIRE_LINE)
		return wire_lost(w, result);
	code = json_find(*object_out, "code");
	if (code == NULL || !text_parse_u64(code->raw, &number) || number > 255)
		return wire_lost(w, WIRE_BROKEN);
	return (int)number;
}
