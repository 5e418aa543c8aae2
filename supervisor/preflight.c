/* preflight.c: everything that must be right before we listen: our own checks, and those of `renovationd-worker --check`, which links what we do not.
 * Called by main.c. All checks run and are reported together; a start that only transient failures prevent is tried again for 20 s. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/checker.h"
#include "supervisor/checks.h"

#define CHECKER_LIMIT_MS   30000
#define REPORT_MAX_BYTES   65536
#define RETRY_TOTAL_MS     20000
#define RETRY_DELAY_MOST_S 4
#define STOPPED            (-1)

/* Reads the report until the checker closes it. False when a stop signal came or it took too long. */
static enum signals_wait gather(int fd, struct buffer *lines)
{
	int64_t end_ms = clock_monotonic_ms() + CHECKER_LIMIT_MS;

	for (;;) {
		int64_t left_ms = end_ms - clock_monotonic_ms();
		enum signals_wait what = signals_wait(fd, left_ms > 0 ? (int)left_ms : 0);
		ssize_t length;

		if (what != SIGNALS_READABLE)
			return what;
		length = read(fd, buffer_reserve(lines, 4096), 4096);
		if (length < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (length <= 0 || buffer_length(lines) > REPORT_MAX_BYTES)
			return SIGNALS_READABLE;
		buffer_grown(lines, (size_t)length);
	}
}

/* Adds the checker's rows. STOPPED when a stop signal came, else 0. */
static int run_checker(struct supervisor *s, struct report *r, bool is_for_start)
{
	int pipe_ends[2] = { -1, -1 }, options = -1, status = 0, report_end = -1;
	struct buffer lines;
	enum signals_wait ended = SIGNALS_TIMEOUT;
	pid_t pid = -1;

	buffer_init(&lines);
	if (options_store(s->options, &options) != ERROR_NONE || pipe2(pipe_ends, O_CLOEXEC) != 0) {
		checker_failed(r, EXIT_OS, strerror(errno));
		goto out;
	}
	options = descriptor_lift(options);
	report_end = descriptor_lift(pipe_ends[1]);
	/* A real start with a whole configuration may change the database (pending migrations in development); a check never does. */
	pid = checker_start(s, &(struct checker) { .program_fd = -1,
				       .options_fd = options,
				       .report_fd = report_end,
				       .is_for_start = is_for_start });
	close(report_end);
	if (pid < 0) {
		checker_failed(r, EXIT_OS, strerror(errno));
		goto out;
	}
	ended = gather(pipe_ends[0], &lines);
	if (ended != SIGNALS_READABLE)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ended == SIGNALS_TIMEOUT)
		checker_failed(r, EXIT_STORM, "renovationd-worker --check took longer than 30 s");
	else if (ended == SIGNALS_READABLE)
		checker_judge(r, buffer_text(&lines), status);
out:
	if (pipe_ends[0] >= 0)
		close(pipe_ends[0]);
	if (options >= 0)
		close(options);
	buffer_fini(&lines);
	return ended == SIGNALS_STOP && pid > 0 ? STOPPED : EXIT_OK;
}

/* Every check runs and is reported, also when an earlier one failed. */
static int check_once(struct supervisor *s, struct report *r, bool is_check_only)
{
	if (!is_check_only) {
		notify_checking(CHECKER_LIMIT_MS + RETRY_TOTAL_MS);
		notify_status("checking configuration, database and Gemini");
	}
	r->count = 0;
	checks_configuration(s, r);
	checks_files(s, r);
	checks_limits(s, r);
	checks_layouts(s, r);
	return run_checker(s, r, !is_check_only && !configuration_has_faults(s->config));
}

static void publish(const struct supervisor *s, const struct report *r, bool is_check_only)
{
	int code = report_exit_code(r);
	struct buffer checks, faults;

	if ((is_check_only && s->check_layouts == NULL) || isatty(STDERR_FILENO)) {
		configuration_print_faults(s->config, stderr);
		report_print_table(r, stderr);
		(void)fflush(stderr);
	}
	buffer_init(&checks);
	buffer_init(&faults);
	report_write_json(r, &checks);
	configuration_write_faults_json(s->config, &faults);
	LOG(code ? LOG_FATAL : LOG_INFO, code ? "preflight failed" : "preflight passed", F_STR("event", "preflight"),
		F_INT("exit_code", code), F_RAW("faults", s->config->count ? buffer_text(&faults) : TEXT_NONE),
		F_RAW("checks", buffer_text(&checks)));
	log_flush();
	buffer_fini(&checks);
	buffer_fini(&faults);
}

int preflight_run(struct supervisor *s, bool is_check_only)
{
	int64_t end_ms = clock_monotonic_ms() + RETRY_TOTAL_MS;
	struct report *r = must_alloc(sizeof *r);
	int code = check_once(s, r, is_check_only), delay_s = 1;

	while (code == EXIT_OK && !is_check_only && report_is_only_transient(r) &&
		clock_monotonic_ms() + delay_s * 1000 <= end_ms) {
		struct buffer checks;

		buffer_init(&checks);
		report_write_json(r, &checks);
		LOG(LOG_WARN, "preflight: trying again", F_INT("delay_ms", delay_s * 1000),
			F_RAW("checks", buffer_text(&checks)));
		buffer_fini(&checks);
		notify_checking(RETRY_TOTAL_MS * 2);
		notify_status("preflight failed, trying again in %d s", delay_s);
		if (signals_wait(-1, delay_s * 1000) == SIGNALS_STOP) {
			code = STOPPED;
			break;
		}
		delay_s = delay_s < RETRY_DELAY_MOST_S ? delay_s * 2 : RETRY_DELAY_MOST_S;
		code = check_once(s, r, is_check_only);
	}
	if (code == EXIT_OK) {
		publish(s, r, is_check_only);
		code = report_exit_code(r);
		s->gemini_checked = checker_gemini(r);
		if (code == EXIT_OK && !is_check_only && s->gemini_checked > SCOREBOARD_GEMINI_GOOD)
			LOG(LOG_WARN, "Gemini's check failed, starting all the same: gemini_required is false");
		if (s->check_layouts != NULL)
			checks_hand_over(r);
	}
	free(r);
	return code;
}
