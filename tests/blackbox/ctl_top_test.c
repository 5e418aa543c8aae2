/* ctl_top_test.c: `renovationctl top` where there is a terminal and where there is none; the completion in a real bash; the manual pages. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/server.h"

#define LONG_MS 60000

static struct server *server;
static char *out, *err;

static void clean(void)
{
	server_end(&server);
	free(out);
	free(err);
}

TestSuite(ctl_top, .fini = clean, .timeout = 300);
TestSuite(ctl_completion, .fini = clean, .timeout = 300);
TestSuite(ctl_manual, .fini = clean, .timeout = 300);

/* ---- a terminal ------------------------------------------------------------------------------------------------- */

struct terminal {
	int fd;                /* our end */
	pid_t pid;             /* of the program on the other */
	struct termios before; /* its settings when the program was started */
	char seen[1 << 20];    /* all that it wrote, NUL-terminated */
	size_t length;         /* of it */
};

static struct terminal terminal;

static void open_terminal_with(const char *interval, const char *no_colour)
{
	struct winsize size = { .ws_row = 12, .ws_col = 80 };
	const char *program = program_path("renovationctl");
	int other;

	terminal.length = 0;
	cr_assert_eq(openpty(&terminal.fd, &other, NULL, NULL, &size), 0, "%s", strerror(errno));
	/* Looked at before there is anybody who could change them. */
	cr_assert_eq(tcgetattr(other, &terminal.before), 0);
	terminal.pid = fork();
	cr_assert_geq(terminal.pid, 0);
	if (terminal.pid != 0) {
		close(other);
		return;
	}
	close(terminal.fd);
	if (login_tty(other) != 0)
		_exit(127);
	(void)setenv("TERM", "xterm", 1);
	(void)setenv("NO_COLOR", no_colour, 1);
	(void)execl(program, "renovationctl", "-s", server->control, "top", "--interval", interval, (char *)NULL);
	_exit(127);
}

static void open_terminal(const char *interval)
{
	open_terminal_with(interval, "");
}

/* Reads until `part` was written after `from`; false at the terminal's end. */
static bool is_seen(const char *part, size_t from)
{
	int64_t end_ms = now_ms() + LONG_MS;

	for (;;) {
		struct pollfd wait = { .fd = terminal.fd, .events = POLLIN };
		ssize_t got;

		terminal.seen[terminal.length] = '\0';
		if (strstr(terminal.seen + from, part) != NULL)
			return true;
		cr_assert(now_ms() < end_ms && poll(&wait, 1, (int)(end_ms - now_ms())) > 0, "no \"%s\" in: %s", part,
			terminal.seen + from);
		got = read(terminal.fd, terminal.seen + terminal.length, sizeof terminal.seen - 1 - terminal.length);
		if (got <= 0)
			return false;
		terminal.length += (size_t)got;
	}
}

static void wait_seen(const char *part, size_t from)
{
	cr_assert(is_seen(part, from), "the terminal ended without \"%s\": %s", part, terminal.seen + from);
}

static int terminal_end(void)
{
	int status;

	while (is_seen("\001never", 0))
		;
	cr_assert_eq(waitpid(terminal.pid, &status, 0), terminal.pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What it did to the terminal it took back. */
static void expect_restored(void)
{
	struct termios after;
	const char *shown = strstr(terminal.seen, "\033[?25l"), *last = shown;

	cr_expect_not_null(strstr(terminal.seen, "\033[?1049h"), "the alternate screen was taken");
	for (; shown != NULL; shown = strstr(shown + 1, "\033[?25l"))
		last = shown;
	cr_assert_not_null(last, "the cursor was hidden");
	cr_expect_not_null(strstr(last, "\033[?25h"), "the cursor is shown again");
	cr_expect_not_null(strstr(last, "\033[?1049l"), "the first screen is back");
	cr_assert_eq(tcgetattr(terminal.fd, &after), 0);
	cr_expect_eq(
		after.c_lflag, terminal.before.c_lflag, "flags %x, before %x", after.c_lflag, terminal.before.c_lflag);
}

Test(ctl_top, it_draws_again_and_again_and_q_gives_the_terminal_back)
{
	server = server_start(NULL);
	open_terminal("1");
	wait_seen("2 of 2 ready", 0);
	wait_seen("\033[H", terminal.length); /* there is a second page */
	cr_expect_not_null(strstr(terminal.seen, "\033[32mrunning"), "a terminal has colours");
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	expect_restored();
	close(terminal.fd);
}

Test(ctl_top, no_color_is_heeded)
{
	server = server_start(NULL);
	open_terminal_with("1", "1");
	wait_seen("2 of 2 ready", 0);
	cr_expect_null(strstr(terminal.seen, "\033[32m"));
	cr_expect_null(strstr(terminal.seen, "\033[1m"));
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	close(terminal.fd);
}

Test(ctl_top, ctrl_c_gives_the_terminal_back_too)
{
	server = server_start(NULL);
	open_terminal("1");
	wait_seen("2 of 2 ready", 0);
	cr_assert_eq(write(terminal.fd, "\003", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	expect_restored();
	close(terminal.fd);
}

Test(ctl_top, ctrl_z_gives_it_back_until_it_goes_on)
{
	size_t stopped_at;
	int status;

	server = server_start(NULL);
	open_terminal("3600");
	wait_seen("2 of 2 ready", 0);
	cr_assert_eq(write(terminal.fd, "\032", 1), 1);
	wait_seen("\033[?1049l", 0);
	cr_assert_eq(waitpid(terminal.pid, &status, WUNTRACED), terminal.pid);
	cr_expect(WIFSTOPPED(status));
	stopped_at = terminal.length;
	cr_assert_eq(kill(terminal.pid, SIGCONT), 0);
	wait_seen("\033[?1049h", stopped_at);  /* the terminal is taken again */
	wait_seen("2 of 2 ready", stopped_at); /* and drawn */
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	close(terminal.fd);
}

/* Lines on the screen, those wider than it cut, never more than it has. */
Test(ctl_top, it_fits_into_the_window_and_follows_its_size)
{
	struct winsize wide = { .ws_row = 40, .ws_col = 200 };
	const char *frame, *end;
	int rows = 1;

	server = server_start(NULL);
	open_terminal("3600");
	wait_seen("\033[J", 0);
	frame = strstr(terminal.seen, "\033[H\033[1m");
	cr_assert_not_null(frame, "%s", terminal.seen);
	end = strstr(frame, "\033[J");
	for (const char *c = frame; c < end; c++)
		rows += *c == '\n';
	cr_expect_leq(rows, 12);
	cr_expect_null(strstr(terminal.seen, "LAST REQUEST"), "a line was wider than the window");
	cr_assert_eq(ioctl(terminal.fd, TIOCSWINSZ, &wide), 0);
	wait_seen("LAST REQUEST", 0); /* the new size is used at once */
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	close(terminal.fd);
}

Test(ctl_top, it_goes_on_over_a_restart_of_the_service)
{
	server = server_start(NULL);
	open_terminal("1");
	wait_seen("2 of 2 ready", 0);
	cr_expect_eq(server_stop(server), EXIT_OK);
	wait_seen("no renovationd answers", terminal.length);
	server_start_elsewhere(server);
	wait_seen("2 of 2 ready", terminal.length);
	cr_assert_eq(write(terminal.fd, "q", 1), 1);
	cr_expect_eq(terminal_end(), EXIT_OK);
	close(terminal.fd);
}

Test(ctl_top, without_a_terminal_it_is_one_plain_page)
{
	server = server_start(NULL);
	cr_assert_eq(server_ctl(server, (const char *[]) { "top", NULL }, &out, &err, LONG_MS), EXIT_OK, "%s", err);
	cr_expect_not_null(strstr(out, "2 of 2 ready"), "%s", out);
	cr_expect_not_null(strstr(out, "REQ/S"), "%s", out);
	cr_expect_null(strchr(out, '\033'));
}

/* ---- completion ------------------------------------------------------------------------------------------------- */

/* What bash offers for this line, one a line; the last word may be empty. */
static const char *offered(const char *line)
{
	static const char script[] = "source \"$1\" || exit 1\n"
				     "read -ra COMP_WORDS <<<\"$2\"\n"
				     "[[ $2 != *' ' ]] || COMP_WORDS+=('')\n"
				     "COMP_WORDS[0]=$3\n"
				     "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
				     "complete -p renovationctl >/dev/null || exit 2\n"
				     "_renovationctl\n"
				     "printf '%s\\n' \"${COMPREPLY[@]}\"\n";

	free(out);
	free(err);
	cr_assert_eq(process_run((const char *[]) { "/bin/bash", "-c", script, "bash", COMPLETION, line,
					 program_path("renovationctl"), NULL },
			     NULL, &out, &err, LONG_MS),
		0, "%s", err);
	cr_expect_str_empty(err);
	return out;
}

Test(ctl_completion, bash_offers_commands_options_and_their_words)
{
	static const struct {
		const char *line;     /* typed so far */
		const char *expected; /* all that is offered */
	} rows[] = {
		{ "renovationctl rel", "reload\n" },
		{ "renovationctl -s /x re", "reload\nresume\nrestart-worker\n" },
		{ "renovationctl reload --w", "--wait\n" },
		{ "renovationctl stop --", "--wait\n--fast\n--help\n" },
		{ "renovationctl logs ", "reopen\nlevel\n--help\n" },
		{ "renovationctl logs level w", "warn\n" },
		{ "renovationctl migrate ", "up\ndown\nstatus\n--help\n" },
		{ "renovationctl migrate up --", "--dry-run\n--to\n" },
		{ "renovationctl help sc", "scale\n" },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		cr_expect_str_eq(offered(rows[i].line), rows[i].expected, "%s: %s", rows[i].line, out);
}

/* The name of each command of `renovationctl help`. */
static size_t commands(char names[][24], size_t max)
{
	size_t count = 0;
	char *help = NULL;

	cr_assert_eq(process_run((const char *[]) { program_path("renovationctl"), "help", NULL }, NULL, &help, NULL,
			     LONG_MS),
		0);
	for (const char *line = help; line != NULL && count < max; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "  ", 2) == 0 && line[2] >= 'a' && line[2] <= 'z')
			(void)snprintf(names[count++], 24, "%.*s", (int)strcspn(line + 2, " "), line + 2);
	}
	free(help);
	return count;
}

Test(ctl_completion, every_command_is_offered_and_in_the_manual)
{
	char names[32][24];
	size_t count = commands(names, COUNT_OF(names));
	char *page = NULL;

	cr_assert_gt(count, 15);
	cr_assert_eq(process_run((const char *[]) { "/bin/cat", MANUALS "/renovationctl.8", NULL }, NULL, &page, NULL,
			     LONG_MS),
		0);
	(void)offered("renovationctl ");
	for (size_t i = 0; i < count; i++) {
		cr_expect_not_null(strstr(out, format("%s\n", names[i])), "%s is not offered", names[i]);
		cr_expect_not_null(
			strstr(page, format(strcmp(names[i], "logs") == 0 ? ".It Ic %s Cm" : ".It Ic %s", names[i])),
			"%s is not in the manual", names[i]);
	}
	free(page);
}

Test(ctl_completion, slots_of_a_running_pool_are_offered)
{
	server = server_start(NULL);
	cr_expect_str_eq(offered(format("renovationctl -s %s restart-worker ", server->control)),
		"--wait\n--help\n0\n1\n", "%s", out);
	server_end(&server);
}

/* ---- manual pages ------------------------------------------------------------------------------------------------ */

/* groff says nothing about it with all of its warnings. */
static void expect_faultless(const char *path)
{
	free(out);
	free(err);
	cr_expect_eq(process_run((const char *[]) { "/usr/bin/mandoc", "-T", "lint", "-W", "warning", path, NULL },
			     NULL, &out, &err, LONG_MS),
		0, "%s: %s%s", path, out, err);
}

Test(ctl_manual, the_pages_are_without_a_warning)
{
	const char *conf = format("%s/renovationd.conf.%d.5", test_folder(), (int)getpid());
	FILE *file = fopen(conf, "we");

	cr_assert_not_null(file);
	cr_assert_eq(process_run((const char *[]) { program_path("renovationctl"), "config", "--man", NULL }, NULL,
			     &out, &err, LONG_MS),
		0);
	(void)fputs(out, file);
	(void)fclose(file);
	expect_faultless(conf);
	expect_faultless(MANUALS "/renovationctl.8");
	expect_faultless(MANUALS "/renovationd.8");
}

Test(ctl_manual, every_option_is_in_the_page_of_the_configuration)
{
	static const char *const names[] = {
#define OPTION(name, kind, value, min, max, unit, class, help) #name,
#include "shared/config.def"
#undef OPTION
	};

	cr_assert_eq(process_run((const char *[]) { program_path("renovationctl"), "config", "--man", NULL }, NULL,
			     &out, &err, LONG_MS),
		0);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		cr_expect_not_null(strstr(out, format(".It Ic %s\n", names[i])), "%s", names[i]);
}
