/* reader.c: reads the configuration for a reload in a child of ours, so that no untrusted byte is parsed in the supervisor and a parser that crashes is only a
 * refusal. The child fills two memfds and leaves; the second half of this file takes their content, bounded and checked. Called by reload.c. */
#include "config.h"
#include "supervisor/change.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/program.h"
#include "supervisor/spawn.h"

#define CPU_LIMIT_S      10
#define MEMORY_LIMIT     (256UL * 1024 * 1024)
#define FILE_LIMIT       (1024UL * 1024)
#define REPORT_MAX_BYTES FILE_LIMIT
#define OPTIONS_FD       3
#define REPORT_FD        4

extern char **environ;

/* ---- in the child -------------------------------------------------------------------------------------------- */

static void limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit bounds = { .rlim_cur = most, .rlim_max = most };

	(void)setrlimit(what, &bounds);
}

static void confine(const struct supervisor *s, pid_t parent, int options_fd, int report_fd)
{
	sigset_t none;

	/* Ours alone: see spawn.c. */
	if (s->lifeline_write >= 0)
		close(s->lifeline_write);
	spawn_die_with(parent, SIGKILL);
	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &(struct sigaction) { .sa_handler = SIG_DFL }, NULL);
	log_set_fd(STDERR_FILENO);
	if (dup2(options_fd, OPTIONS_FD) < 0 || dup2(report_fd, REPORT_FD) < 0)
		_exit(EXIT_OS);
	(void)close_range(REPORT_FD + 1, ~0U, 0);
	limit(RLIMIT_CPU, CPU_LIMIT_S);
	limit(RLIMIT_FSIZE, FILE_LIMIT);
	limit(RLIMIT_CORE, 0);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_DATA, MEMORY_LIMIT);
#endif
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What separates fields and lines must not be in them. */
static void write_field(struct buffer *out, const char *text, char end)
{
	for (; *text; text++)
		buffer_append_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
	buffer_append_char(out, end);
}

static void write_report(
	const struct configuration *c, const struct sockaddr_storage *address, socklen_t length, struct buffer *out)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		buffer_printf(out, "origin\t%s\t", option_rows[id].name);
		write_field(out, c->origins[id], '\n');
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_fault *fault = &c->faults[i];

		buffer_append_string(out, fault->is_warning ? "warning\t" : "fault\t");
		write_field(out, fault->where, '\t');
		write_field(out, fault->problem, '\t');
		write_field(out, fault->remedy, '\n');
	}
	buffer_append_string(out, "address\t");
	for (socklen_t i = 0; i < length; i++)
		buffer_printf(out, "%02x", ((const unsigned char *)address)[i]);
	buffer_append_string(out, "\n");
}

/* The folder may be closed to the user that we have become; then the program that was opened before stays in use. */
static void check_program(const struct supervisor *s, struct configuration *c)
{
	char program[PATH_MAX];

	if (program_find(c->options.worker_program, "renovationd-worker", program, sizeof program) ||
		(s->worker_program_fd >= 0 && strcmp(program, s->worker_program) == 0 && errno == EACCES))
		return;
	configuration_fault_option(c, OPTION_worker_program,
		"install renovationd-worker beside renovationd, or set worker_program", "cannot run %.200s: %s",
		program, strerror(errno));
}

static void resolve(struct configuration *c, struct sockaddr_storage *address, socklen_t *length)
{
	const char *error = listeners_resolve(&c->options, address, length);

	if (error != NULL)
		configuration_fault_option(c, OPTION_host, "set host (HOST) to an address of this machine",
			"cannot resolve \"%.100s\": %s", c->options.host, error);
}

static _Noreturn void child_run(const struct supervisor *s, pid_t parent, int options_fd, int report_fd)
{
	struct sockaddr_storage address = { 0 };
	struct identity identity;
	struct configuration c;
	struct buffer report, options;
	socklen_t length = 0;

	confine(s, parent, options_fd, report_fd);
	configuration_init(&c);
	if (s->config_file != NULL)
		configuration_read_file(&c, s->config_file);
	configuration_read_environment(&c, (const char *const *)environ);
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	privileges_resolve(&c, &identity);
	check_program(s, &c);
	resolve(&c, &address, &length);
	buffer_init(&report);
	buffer_init(&options);
	write_report(&c, &address, length, &report);
	options_write(&c.options, &options);
	_exit(text_write(buffer_text(&options), OPTIONS_FD) && text_write(buffer_text(&report), REPORT_FD) ? EXIT_OK
													   : EXIT_OS);
}

pid_t reader_start(struct supervisor *s, int options_fd, int report_fd)
{
	pid_t parent = getpid(), pid = spawn_fork();

	if (pid == 0)
		child_run(s, parent, options_fd, report_fd);
	return pid;
}

/* ---- in the supervisor --------------------------------------------------------------------------------------- */

static struct text cut(struct text *rest, char end)
{
	const char *at = memchr(rest->bytes, end, rest->length);
	size_t length = at != NULL ? (size_t)(at - rest->bytes) : rest->length;
	struct text part = text_span(rest->bytes, length);

	*rest = text_span(rest->bytes + length + (at != NULL), rest->length - length - (at != NULL));
	return part;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_address(struct text hex, struct proposal *p)
{
	unsigned char *bytes = (unsigned char *)&p->address;

	if (hex.length % 2 != 0 || hex.length / 2 > sizeof p->address)
		return false;
	for (size_t i = 0; i < hex.length; i += 2) {
		int high = hex_value(hex.bytes[i]), low = hex_value(hex.bytes[i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i / 2] = (unsigned char)(high * 16 + low);
	}
	p->address_length = (socklen_t)(hex.length / 2);
	return true;
}

static bool take_line(struct text line, struct proposal *p)
{
	struct text kind = cut(&line, '\t'), first = cut(&line, '\t'), second = cut(&line, '\t');
	char where[256], remedy[256];
	int id;

	if (text_equals(kind, TEXT("address")))
		return take_address(first, p);
	if (text_equals(kind, TEXT("origin"))) {
		id = option_find(first);
		if (id >= 0)
			(void)snprintf(p->config.origins[id], sizeof p->config.origins[id], "%.*s", TEXT_ARGS(second));
		return id >= 0;
	}
	(void)snprintf(where, sizeof where, "%.*s", TEXT_ARGS(first));
	(void)snprintf(remedy, sizeof remedy, "%.*s", TEXT_ARGS(line));
	if (text_equals(kind, TEXT("warning")))
		configuration_add_warning(&p->config, where, remedy, "%.*s", TEXT_ARGS(second));
	else if (text_equals(kind, TEXT("fault")))
		configuration_add_fault(&p->config, where, remedy, "%.*s", TEXT_ARGS(second));
	else
		return false;
	return true;
}

static void note_faults(struct proposal *p)
{
	if (p->config.count > 0)
		configuration_write_faults_json(&p->config, &p->faults);
	for (size_t i = 0; i < p->config.count && p->refusal[0] == '\0'; i++)
		if (!p->config.faults[i].is_warning)
			(void)snprintf(p->refusal, sizeof p->refusal, "%.150s: %.230s", p->config.faults[i].where,
				p->config.faults[i].problem);
}

enum error reader_take(int options_fd, int report_fd, struct proposal *p)
{
	struct text rest;
	struct stat status;
	char *bytes = NULL;
	enum error e = ERROR_PROTOCOL;

	if (fstat(report_fd, &status) != 0 || status.st_size > (off_t)REPORT_MAX_BYTES)
		return ERROR_PROTOCOL;
	configuration_init(&p->config);
	p->is_set = true;
	options_fini(&p->config.options);
	if (options_load(&p->config.options, options_fd) != ERROR_NONE) {
		options_init(&p->config.options);
		return ERROR_PROTOCOL;
	}
	bytes = must_alloc((size_t)status.st_size + 1);
	if (pread(report_fd, bytes, (size_t)status.st_size, 0) != status.st_size)
		goto out;
	for (rest = text_span(bytes, (size_t)status.st_size); rest.length > 0;)
		if (!take_line(cut(&rest, '\n'), p))
			goto out;
	note_faults(p);
	e = ERROR_NONE;
out:
	free(bytes);
	return e;
}
