/* supervisor_limits_test.c: what is left when something does not obey: loops that are stuck during a stop, a worker that cannot even be killed, several that
 * hang at once, some that never start. The real programs; each test its own service. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/stop.h"
#include "tests/support/talk.h"

TestSuite(supervisor_limits, .timeout = 300);

#define WAIT_MS 60000

/* ---- the last way out of a stop -------------------------------------------------------------------------------- */

/* One that neither finishes its request nor goes, with a worker already. */
static void hold_request(struct client *c, struct server *s)
{
	static const char half[] = "POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";

	client_init(c, s->port);
	cr_assert(client_connect(c) && client_send(c, half, sizeof half - 1));
	connections_wait(s, 1, WAIT_MS);
}

static struct server *start_switched(const char *const more[])
{
	const char *extra[16] = { switches_preload(), switches_file() };

	for (size_t i = 0; more[i] != NULL && i < 13; i++)
		extra[i + 2] = more[i];
	return server_start(extra);
}

Test(supervisor_limits, a_stop_whose_own_loop_is_stuck_ends_with_70_when_its_time_is_over)
{
	struct switches *switches;
	struct server *s;
	struct client c;

	if (faults_in_sanitizer())
		cr_skip_test("a sanitizer's library must come first, so that none can be put before libc");
	switches = switches_open();
	/* The client holds the stop until its loop is stuck. */
	s = start_switched((const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=7000",
		"RENOVATIOND_SHUTDOWN_DATABASE_MS=100", "RENOVATIOND_SHUTDOWN_MS=8000", NULL });
	hold_request(&c, s);
	process_signal(s->supervisor, SIGTERM);
	free(process_wait_error(s->supervisor, "stop begins", WAIT_MS));
	atomic_store(&switches->busy_pid, s->supervisor->pid);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), EXIT_STORM);
	cr_expect_eq(log_count(s->supervisor, "the stop took too long, leaving at once"), 1);
	client_fini(&c);
	server_end(&s);
}

static bool is_busy(void *arg)
{
	struct switches *switches = arg;

	return atomic_load(&switches->is_busy) != 0;
}

Test(supervisor_limits, a_worker_whose_loop_is_stuck_obeys_term_by_its_own_alarm)
{
	struct switches *switches;
	struct server *s;
	pid_t workers[4];

	if (faults_in_sanitizer())
		cr_skip_test("a sanitizer's library must come first, so that none can be put before libc");
	switches = switches_open();
	s = start_switched((const char *[]) { "RENOVATIOND_SHUTDOWN_HTTP_MS=500",
		"RENOVATIOND_SHUTDOWN_REALTIME_MS=500", "RENOVATIOND_SHUTDOWN_TURNS_MS=500",
		"RENOVATIOND_SHUTDOWN_DATABASE_MS=100", "RENOVATIOND_SHUTDOWN_MS=1000",
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=500000", "RENOVATIOND_HEARTBEAT_KILL_MS=600000", NULL });
	cr_assert_eq(server_workers(s, workers, 4), 2);
	atomic_store(&switches->busy_pid, workers[0]);
	wait_until(is_busy, switches, "the worker's loop is stuck", WAIT_MS);
	(void)kill(workers[0], SIGTERM);
	free(process_wait_error(s->supervisor, "\"signal\":\"SIGALRM\"", WAIT_MS));
	workers_wait(s, workers[0], 2, WAIT_MS);
	server_end(&s);
}

/* As a process that hangs in the kernel looks to its parent: killed, and never reaped. Who traces it has it first. */
static void make_immortal(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
		cr_skip_test("nobody may be traced here");
	cr_assert_eq(kill(pid, SIGSTOP), 0);
}

struct writing {
	const struct scoreboard *board;
	int slot;
};

static bool is_writing(void *arg)
{
	const struct writing *w = arg;

	return SCOREBOARD_GET(w->board->slots[w->slot].turns) == 1;
}

/* Between the report and the alarm there is a twentieth of the whole: so much the supervisor may stand still. Nobody else ends the worker meanwhile. */
#define SHORT_PHASES                                                                                                   \
	"RENOVATIOND_SHUTDOWN_HTTP_MS=500", "RENOVATIOND_SHUTDOWN_REALTIME_MS=500",                                    \
		"RENOVATIOND_SHUTDOWN_TURNS_MS=500", "RENOVATIOND_SHUTDOWN_DATABASE_MS=500",                           \
		"RENOVATIOND_SHUTDOWN_MS=20000", "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=500000",                          \
		"RENOVATIOND_HEARTBEAT_KILL_MS=600000"

Test(supervisor_limits, an_answer_of_a_worker_that_cannot_be_reaped_is_lost_and_the_stop_says_so)
{
	struct server *s = server_start((const char *[]) { SHORT_PHASES, "WORKERS=1", NULL });
	struct scoreboard *board = board_open(s);
	struct json_object *report;
	struct writing w = { .board = board };
	struct talk t;
	pid_t worker;

	cr_assert_eq(server_workers(s, &worker, 1), 1);
	w.slot = board_slot(board, worker);
	talk_init(&t, s);
	(void)talk_ask(&t, "How long? [sim:chunks=2000][sim:delay=100ms]", "");
	wait_until(is_writing, &w, "the answer is being written", WAIT_MS);
	make_immortal(worker);
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), EXIT_WORK_LOST);
	report = stop_report(s->supervisor);
	cr_expect_str_eq(json_at(report, "result"), "lost");
	cr_expect_eq(json_number_at(report, "lost"), 1);
	cr_expect_eq(json_number_at(report, "workers_killed"), 1);
	json_object_put(report);
	cr_expect_eq(waitpid(worker, NULL, __WALL), worker);
	talk_fini(&t);
	board_close(&board);
	server_end(&s);
}

Test(supervisor_limits, an_idle_worker_that_cannot_be_reaped_is_no_clean_stop)
{
	struct server *s = server_start((const char *[]) { SHORT_PHASES, NULL });
	struct json_object *report;
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	make_immortal(workers[0]);
	process_signal(s->supervisor, SIGTERM);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), EXIT_OK);
	report = stop_report(s->supervisor);
	cr_expect_str_eq(json_at(report, "result"), "forced");
	cr_expect_eq(json_number_at(report, "workers_killed"), 1);
	cr_expect_str_eq(stop_phase_state(report, "database"), "timeout", "one worker never closed it");
	json_object_put(report);
	cr_expect_eq(waitpid(workers[0], NULL, __WALL), workers[0]);
	server_end(&s);
}

/* ---- several that hang ----------------------------------------------------------------------------------------- */

static bool are_two_dead(void *arg)
{
	const struct scoreboard *board = arg;

	return SCOREBOARD_GET(board->pool.deaths[0].at_us) != 0 && SCOREBOARD_GET(board->pool.deaths[1].at_us) != 0;
}

#define HUNG_WORDS "\"reason\":\"no heartbeat for heartbeat_kill_ms\",\"slot\":%d,\"worker_pid\":%d,"

/* Milliseconds of the day in a line of the log. */
static int64_t time_ms(const char *line)
{
	int hours, minutes, seconds, ms;

	cr_assert_eq(sscanf(line, "{\"ts\":\"%*10cT%d:%d:%d.%d", &hours, &minutes, &seconds, &ms), 4, "%s", line);
	return ((int64_t)hours * 60 + minutes) * 60000 + seconds * 1000 + ms;
}

/* When the supervisor ended this worker, by its own word. */
static int64_t ended_at_ms(struct server *s, int slot, pid_t worker)
{
	char *line = process_wait_error(s->supervisor, format(HUNG_WORDS, slot, (int)worker), WAIT_MS);
	int64_t at_ms = time_ms(line);

	free(line);
	return at_ms;
}

#define DAY_MS 86400000

/* The third beats on, though the machine may be busy: while all are silent it is not the workers' fault, and all are ended at once. */
Test(supervisor_limits, of_two_workers_that_hang_the_second_is_ended_five_seconds_later)
{
	struct server *s = server_start((const char *[]) {
		"WORKERS=3", "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=6000", "RENOVATIOND_HEARTBEAT_KILL_MS=6500", NULL });
	struct scoreboard *board = board_open(s);
	int64_t between_ms;
	pid_t workers[4];
	int slots[2];

	cr_assert_eq(server_workers(s, workers, 4), 3);
	slots[0] = board_slot(board, workers[0]);
	slots[1] = board_slot(board, workers[1]);
	(void)kill(workers[0], SIGSTOP);
	(void)kill(workers[1], SIGSTOP);
	wait_until(are_two_dead, board, "both are ended", WAIT_MS);
	between_ms = llabs(ended_at_ms(s, slots[1], workers[1]) - ended_at_ms(s, slots[0], workers[0]));
	if (between_ms > DAY_MS / 2)
		between_ms = DAY_MS - between_ms;
	/* Five seconds, but the lines are written a little later than the looks. */
	cr_expect_gt(between_ms, 4000, "%lld ms", (long long)between_ms);
	cr_expect_eq(board->pool.deaths[0].cause, DEATH_HUNG);
	cr_expect_eq(board->pool.deaths[1].cause, DEATH_HUNG);
	workers_wait(s, 0, 3, WAIT_MS);
	board_close(&board);
	server_end(&s);
}

/* ---- the start ------------------------------------------------------------------------------------------------- */

Test(supervisor_limits, the_service_is_ready_with_min_ready_workers_though_another_never_starts)
{
	const char *script = worker_script("case \"$*\" in *\"--slot 1 \"*) exec sleep 300;; esac");
	struct server *s = server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", script),
		"RENOVATIOND_MIN_READY=1", "RENOVATIOND_BOOT_TIMEOUT_MS=500000", NULL });
	struct scoreboard *board = board_open(s);

	log_wait_count(s->supervisor, "\"msg\":\"worker ready\"", 1, WAIT_MS);
	cr_expect_eq(log_count(s->supervisor, "\"msg\":\"worker ready\""), 1);
	cr_expect_eq(SCOREBOARD_GET(board->pool.state), POOL_RUNNING);
	cr_expect_eq(get_status(s->port, "/health/ready"), 200);
	board_close(&board);
	server_end(&s);
}

Test(supervisor_limits, an_address_that_may_not_be_used_ends_the_start_with_77)
{
	struct switches *switches;
	struct server *s;
	struct process *second;

	if (faults_in_sanitizer())
		cr_skip_test("a sanitizer's library must come first, so that none can be put before libc");
	switches = switches_open();
	s = start_switched((const char *[]) { NULL });
	cr_expect_eq(server_stop(s), 0);
	atomic_store(&switches->bind_error, EACCES);
	second = process_start((const char *[]) { program_path("renovationd"), NULL }, s->environment);
	cr_expect_eq(process_wait(second, WAIT_MS), EXIT_REFUSED);
	cr_expect_eq(log_count(second, "CAP_NET_BIND_SERVICE"), 1);
	process_end(&second);
	server_end(&s);
}

/* ---- a terminal ------------------------------------------------------------------------------------------------ */

Test(supervisor_limits, a_window_that_changes_its_size_drains_nothing)
{
	struct server *s = server_start(NULL);
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) {
		server_end(&s);
		cr_skip_test("no terminals here");
	}
	cr_expect_eq(server_stop(s), 0);
	process_end(&s->supervisor);
	s->supervisor = process_start((const char *[]) { "sh", "-c", format("exec \"$0\" <%s", ptsname(terminal)),
					      program_path("renovationd"), NULL },
		s->environment);
	free(process_wait_error(s->supervisor, "\"msg\":\"service ready\"", WAIT_MS));
	process_signal(s->supervisor, SIGWINCH);
	/* An answer from after it; and what it began would be in the log by the end. */
	cr_expect_eq(server_ctl(s, (const char *[]) { "status", NULL }, NULL, NULL, WAIT_MS), 0);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_eq(log_count(s->supervisor, "change begins"), 0);
	close(terminal);
	server_end(&s);
}
