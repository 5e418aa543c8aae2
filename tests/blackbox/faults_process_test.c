/* faults_process_test.c: processes that die, hang, cannot be made or write nonsense where all can see it. The real programs; each test its own
 * service. Expected: the supervisor lives, the healthy serve, whoever is sick is replaced, and nobody is left when the supervisor is killed. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/manager.h"
#include "tests/support/talk.h"

TestSuite(faults_process, .timeout = 600);

#define WAIT_MS 60000 /* for what comes in a moment on a machine that has time */

/* Workers beat three times a second then; one that only has to wait for a core is not late enough to be ended. */
#define HEARTBEATS "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=1000", "RENOVATIOND_HEARTBEAT_KILL_MS=6000"

static void skip_in_sanitizer(const char *why)
{
	if (faults_in_sanitizer())
		cr_skip_test("%s", why);
}

#define NO_PRELOAD "a sanitizer's library must come first, so that none can be put before libc"

static void end_all_workers(struct server *s, int signal)
{
	pid_t workers[SLOTS_MAX];
	int count = server_workers(s, workers, SLOTS_MAX);

	for (int i = 0; i < count; i++)
		(void)kill(workers[i], signal);
}

/* Until it has come about, everybody who asks is answered. */
static void serve_until(struct server *s, bool (*condition)(void *arg), const char *what)
{
	int64_t deadline_ms = now_ms() + 2 * WAIT_MS;

	while (!condition(s)) {
		if (now_ms() > deadline_ms)
			server_wait(s, condition, s, what, 0);
		cr_assert_eq(get_many(s->port, 4), 4, "the healthy worker serves");
	}
}

/* ---- hung ------------------------------------------------------------------------------------------------------ */

static bool is_busy(void *arg)
{
	struct switches *switches = arg;

	return atomic_load(&switches->is_busy) != 0;
}

static bool is_hung_one_ended(void *arg)
{
	const struct server *s = arg;

	return log_count(s->supervisor, "\"cause\":\"hung, ended by us\"") > 0;
}

Test(faults_process, a_worker_in_an_endless_loop_is_ended_and_replaced_while_the_other_serves)
{
	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	struct server *s = server_start((const char *[]) { HEARTBEATS, switches_preload(), switches_file(), NULL });
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	atomic_store(&switches->busy_pid, workers[0]);
	server_wait(s, is_busy, switches, "its loop turns without end", WAIT_MS);
	serve_until(s, is_hung_one_ended, "the worker in an endless loop is ended");
	cr_expect_eq(log_count(s->supervisor, "\"signal\":\"SIGABRT\""), 1, "first with a core");
	workers_wait(s, workers[0], 2, WAIT_MS);
	cr_expect(pid_is_alive(workers[1]));
	server_end(&s);
}

Test(faults_process, workers_that_all_hang_are_all_replaced)
{
	struct server *s = server_start((const char *[]) { HEARTBEATS, NULL });
	pid_t before[4], after[4];

	cr_assert_eq(server_workers(s, before, 4), 2);
	end_all_workers(s, SIGSTOP);
	log_wait_count(s->supervisor, "\"cause\":\"hung, ended by us\"", 2, WAIT_MS);
	workers_wait(s, before[0], 2, WAIT_MS);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect(after[0] != before[1] && after[1] != before[1]);
	cr_expect_eq(get_many(s->port, 10), 10);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

struct beats {
	const struct scoreboard *board;
	const pid_t *workers; /* two */
	int64_t since_us;
};

static bool have_beaten(void *arg)
{
	const struct beats *beats = arg;

	for (int i = 0; i < 2; i++)
		if (SCOREBOARD_GET(beats->board->slots[board_slot(beats->board, beats->workers[i])].heartbeat_us) <
			beats->since_us)
			return false;
	return true;
}

static void signal_all(struct server *s, const pid_t workers[2], bool with_workers, int signal)
{
	(void)kill(s->supervisor->pid, signal);
	for (int i = 0; with_workers && i < 2; i++)
		(void)kill(workers[i], signal);
}

static void suspend(struct server *s, bool with_workers)
{
	struct scoreboard *board = board_open(s);
	pid_t before[4], after[4];
	struct beats beats = { .board = board, .workers = before };
	int64_t end_ms;

	cr_assert_eq(server_workers(s, before, 4), 2);
	signal_all(s, before, with_workers, SIGSTOP);
	/* Time itself is the fault here: longer than the supervisor's guard and than what ends a worker. */
	for (end_ms = now_ms() + 5200; now_ms() < end_ms; pause_ms(50))
		if (!with_workers)
			cr_assert_eq(get_many(s->port, 1), 1, "workers serve without their supervisor");
	beats.since_us = now_ms() * 1000;
	signal_all(s, before, with_workers, SIGCONT);
	log_wait_count(s->supervisor, "heartbeats not judged", 1, WAIT_MS);
	cr_expect_eq(get_many(s->port, 20), 20);
	/* From then on nobody is late. */
	server_wait(s, have_beaten, &beats, "both workers beat again", WAIT_MS);
	cr_expect_eq(log_count(s->supervisor, "worker ended by us"), 0);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1], "the same workers");
	/* It works again as before: a dead one is replaced. */
	(void)kill(before[0], SIGKILL);
	workers_wait(s, before[0], 2, WAIT_MS);
	board_close(&board);
	server_end(&s);
}

Test(faults_process, a_stopped_supervisor_harms_nobody_and_goes_on_afterwards)
{
	suspend(server_start((const char *[]) {
			"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=1000", "RENOVATIOND_HEARTBEAT_KILL_MS=4500", NULL }),
		false);
}

Test(faults_process, a_host_that_was_suspended_kills_no_worker)
{
	suspend(server_start((const char *[]) {
			"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=4000", "RENOVATIOND_HEARTBEAT_KILL_MS=5000", NULL }),
		true);
}

/* ---- no more processes ----------------------------------------------------------------------------------------- */

Test(faults_process, a_fork_that_fails_is_tried_again_while_the_other_worker_serves)
{
	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	struct manager manager;
	struct server *s;
	pid_t workers[4];
	size_t said;

	manager_open(&manager, false);
	s = server_start((const char *[]) { switches_preload(), switches_file(), manager.variable, NULL });
	cr_assert_eq(server_workers(s, workers, 4), 2);
	said = manager.length;
	atomic_store(&switches->fork_failures, 2);
	(void)kill(workers[0], SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"cannot start a worker\"", 2, WAIT_MS);
	log_wait_count(s->supervisor, "\"error\":\"Resource temporarily unavailable\",\"retry_ms\":1000", 1, 0);
	log_wait_count(s->supervisor, "\"error\":\"Resource temporarily unavailable\",\"retry_ms\":2000", 1, 0);
	(void)manager_wait(&manager, "cannot start a worker: Resource temporarily unavailable", said, WAIT_MS);
	cr_expect_eq(get_many(s->port, 10), 10);
	workers_wait(s, workers[0], 2, WAIT_MS);
	cr_expect_eq(atomic_load(&switches->forks_failed), 2);
	server_end(&s);
	manager_close(&manager);
}

Test(faults_process, without_any_worker_and_any_fork_for_a_minute_it_gives_up_with_71)
{
	skip_in_sanitizer(NO_PRELOAD);
	if (!faults_are_whole())
		cr_skip_test("whole form only: takes a minute");

	struct switches *switches = switches_open();
	struct server *s = server_start((const char *[]) { switches_preload(), switches_file(), NULL });
	int64_t since_ms = now_ms();

	atomic_store(&switches->fork_failures, 1000000);
	end_all_workers(s, SIGKILL);
	cr_expect_eq(process_wait(s->supervisor, 60000 + WAIT_MS), EXIT_OS);
	cr_expect_geq(now_ms() - since_ms, 59000, "not before its time");
	server_end(&s);
}

/* ---- workers that crash again and again ------------------------------------------------------------------------ */

/* Behaves once the file is there; "$*" has the slot. */
static const char *flag(void)
{
	return test_path("crash");
}

static void set_flag(bool is_set)
{
	if (is_set)
		fclose(fopen(flag(), "we"));
	else
		(void)unlink(flag());
}

static struct server *start_with_script(const char *when, const char *then)
{
	const char *script = worker_script(
		format("case \"$*\" in *--role*) if [ -e %s ] && %s; then %s; fi;; esac", flag(), when, then));

	return server_start((const char *[]) { format("RENOVATIOND_WORKER_PROGRAM=%s", script), NULL });
}

static bool is_slot_sick(void *arg)
{
	const struct server *s = arg;

	return log_count(s->supervisor, "\"to\":\"degraded\"") > 0 &&
	       log_count(s->supervisor, "\"signal\":\"SIGABRT\"") >= 4;
}

Test(faults_process, a_slot_whose_worker_always_crashes_leaves_the_other_alone_and_heals)
{
	struct server *s = start_with_script("case \"$*\" in *'--slot 1 '*) true;; *) false;; esac", "kill -ABRT $$");
	struct scoreboard *board = board_open(s);
	pid_t healthy = SCOREBOARD_GET(board->slots[0].pid), sick = SCOREBOARD_GET(board->slots[1].pid);

	board_close(&board);
	set_flag(true);
	(void)kill(sick, SIGKILL);
	serve_until(s, is_slot_sick, "a worker crashes again and again");
	cr_expect_geq(log_count(s->supervisor, "worker restart delayed"), 3);
	cr_expect(pid_is_alive(healthy));
	set_flag(false);
	/* The next try is at most 36 s away. */
	workers_wait(s, sick, 2, 36000 + WAIT_MS);
	cr_expect(pid_is_alive(healthy));
	if (faults_are_whole())
		log_wait_count(s->supervisor, "\"to\":\"running\"", 2, 60000 + WAIT_MS);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_process, workers_that_refuse_their_start_end_the_service_with_their_code)
{
	struct server *s = start_with_script("true", "exit 78");

	set_flag(true);
	end_all_workers(s, SIGKILL);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), EXIT_CONFIG_WRONG);
	log_wait_count(s->supervisor, "no worker can serve, giving up", 1, 0);
	server_end(&s);
}

Test(faults_process, workers_that_all_crash_for_half_a_minute_end_the_service_with_70)
{
	if (!faults_are_whole())
		cr_skip_test("whole form only: takes half a minute");

	struct server *s = start_with_script("true", "kill -ABRT $$");

	set_flag(true);
	end_all_workers(s, SIGKILL);
	cr_expect_eq(process_wait(s->supervisor, 30000 + WAIT_MS), EXIT_STORM);
	cr_expect_leq(log_count(s->supervisor, "\"msg\":\"worker started\""), 2 + 20, "slower and slower");
	server_end(&s);
}

/* ---- nobody is left -------------------------------------------------------------------------------------------- */

static bool nobody_is_left(void *arg)
{
	pid_t pids[8];

	return processes_marked(arg, pids, 8) == 0;
}

struct listener {
	int port;
	unsigned long socket; /* 0: unknown */
};

/* Another test's server may have the same port by now. */
static bool is_closed(void *arg)
{
	const struct listener *listener = arg;

	return listener->socket == 0 || port_listener(listener->port) != listener->socket;
}

/* Each round kills at another moment: some while it starts, some when it serves, some with clients. */
static struct listener kill_in_round(struct server *s, int round, char *mark)
{
	struct listener listener = { .socket = 0 };
	struct client c;
	pid_t pids[8];

	client_init(&c, s->port);
	if (round % 3 == 0) {
		s->supervisor = process_start((const char *[]) { program_path("renovationd"), NULL }, s->environment);
		for (int i = 0; i < round % 7 && processes_marked(mark, pids, 8) < 2; i++)
			pause_ms(10);
		pause_ms(round * 13 % 160);
	} else {
		server_start_elsewhere(s);
		c.port = s->port;
		listener = (struct listener) { s->port, port_listener(s->port) };
		cr_expect_neq(listener.socket, 0, "somebody listens on port %d", s->port);
		for (int i = 0; i < round % 3; i++)
			(void)client_connect(&c);
	}
	process_signal(s->supervisor, SIGKILL);
	(void)process_wait(s->supervisor, WAIT_MS);
	process_end(&s->supervisor);
	client_fini(&c);
	return listener;
}

Test(faults_process, nobody_is_left_and_the_port_is_free_after_each_kill_of_the_supervisor)
{
	char mark[64];
	struct server *s;
	int rounds = faults_are_whole() ? 200 : 5;

	(void)snprintf(mark, sizeof mark, "FAULTS_MARK=%d", (int)getpid());
	s = server_start((const char *[]) { mark, NULL });
	cr_expect_eq(server_stop(s), 0);
	for (int round = 0; round < rounds; round++) {
		struct listener listener;

		process_end(&s->supervisor);
		listener = kill_in_round(s, round, mark);
		wait_until(nobody_is_left, mark, "no process of ours is left", WAIT_MS);
		wait_until(is_closed, &listener, "the port is free", WAIT_MS);
	}
	server_start_elsewhere(s);
	cr_expect_eq(get_many(s->port, 5), 5);
	server_end(&s);
}

/* ---- the checker ----------------------------------------------------------------------------------------------- */

struct child {
	pid_t parent;
	pid_t pid;
};

static bool has_checker(void *arg)
{
	struct child *checker = arg;

	return process_children(checker->parent, "renovationd-worker", &checker->pid, 1) == 1;
}

/* A database that takes connections and says nothing keeps the checker waiting, for almost as long as a check may take. */
static int silent_database(int *port_out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

static struct process *start_checking(int port)
{
	const char *url = format("DATABASE_URL=postgresql://x:y@127.0.0.1:%d/x", port);

	return process_start((const char *[]) { program_path("renovationd"), NULL },
		(const char *[]) { url, "RENOVATIOND_DB_CONNECT_TIMEOUT_MS=28000", "GOOGLE_API_KEY=none",
			"APP_ENV=test", "HOST=127.0.0.1", "PORT=0", NULL });
}

Test(faults_process, a_checker_killed_during_the_start_is_named_and_nothing_listens)
{
	int port, silent = silent_database(&port);
	struct process *p = start_checking(port);
	struct child checker = { p->pid, 0 };

	wait_until(has_checker, &checker, "the checker runs", WAIT_MS);
	(void)kill(checker.pid, SIGKILL);
	cr_expect_eq(process_wait(p, WAIT_MS), EXIT_STORM);
	cr_expect_eq(log_count(p, "renovationd-worker --check died of SIGKILL"), 1);
	cr_expect_eq(log_count(p, "service ready"), 0);
	process_end(&p);
	(void)close(silent);
}

Test(faults_process, a_term_while_the_checker_hangs_ends_both_at_once)
{
	int port, silent = silent_database(&port);
	struct process *p = start_checking(port);
	struct child checker = { p->pid, 0 };

	wait_until(has_checker, &checker, "the checker runs", WAIT_MS);
	process_signal(p, SIGTERM);
	/* Else the database would be waited for. */
	cr_expect_eq(process_wait(p, 20000), 0);
	cr_expect_not(pid_is_alive(checker.pid));
	process_end(&p);
	(void)close(silent);
}

/* ---- strange relations ----------------------------------------------------------------------------------------- */

static bool has_stranger(void *arg)
{
	struct child *stranger = arg;

	return process_children(stranger->parent, "sleep", &stranger->pid, 1) == 1;
}

Test(faults_process, children_it_never_made_are_reaped_and_only_noted)
{
	struct server *s = server_start((const char *[]) { "LOG_LEVEL=debug", NULL });
	const char *script = format(
		"sleep 600 & echo $! >%s/child; sleep 600 & exec %s", test_folder(), program_path("renovationd"));
	pid_t before[4], after[4];
	char line[32] = "";
	FILE *file;

	cr_expect_eq(server_stop(s), 0);
	process_end(&s->supervisor);
	s->supervisor = process_start((const char *[]) { "/bin/sh", "-c", script, NULL }, s->environment);

	char *says = process_wait_output(s->supervisor, "listening on", WAIT_MS);

	s->port = (int)strtol(strrchr(says, ':') + 1, NULL, 10);
	free(says);
	cr_assert_eq(server_workers(s, before, 4), 2);
	file = fopen(test_path("child"), "re");
	cr_assert(file != NULL && fgets(line, sizeof line, file) != NULL);
	(void)fclose(file);
	(void)kill((pid_t)strtol(line, NULL, 10), SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"unknown child ended\"", 1, WAIT_MS);
	cr_expect_eq(log_count(s->supervisor, "\"msg\":\"worker ended\""), 0);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1]);
	cr_expect_eq(get_many(s->port, 5), 5);

	struct child stranger = { s->supervisor->pid, 0 };

	server_wait(s, has_stranger, &stranger, "the other stranger runs", WAIT_MS);
	cr_expect_eq(server_stop(s), 0, "the stranger that lives on holds up no stop");
	(void)kill(stranger.pid, SIGKILL);
	server_end(&s);
}

#define CORRUPT "its slot of the scoreboard is corrupt"

static void write_garbage(struct scoreboard_slot *slot, unsigned seed)
{
	unsigned char *bytes = (unsigned char *)slot;

	for (size_t i = 0; i < sizeof *slot; i++) {
		seed = seed * 1103515245u + 12345u;
		bytes[i] = (unsigned char)(seed >> 16);
	}
}

/* Everything that reads slots of others: a worker for /metrics and the page, the supervisor for its socket. */
static bool ask_all(const char *admin, const char *control)
{
	static const char *const questions[] = { "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /admin/status.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" };
	static const char *const commands[] = { "{\"command\":\"status\"}\n", "{\"command\":\"metrics\"}\n" };
	char answer[UNIX_ANSWER_BYTES];
	bool is_good = true;

	/* The sick worker may be the one that takes the question. */
	for (size_t i = 0; i < COUNT_OF(questions); i++)
		(void)unix_converse(admin, questions[i], strlen(questions[i]), answer);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		is_good =
			unix_converse(control, commands[i], strlen(commands[i]), answer) && answer[0] == '{' && is_good;
	return is_good;
}

Test(faults_process, garbage_in_a_workers_slot_makes_nobody_sick_but_that_worker)
{
	const char *admin = talk_keep(format("%s/a.sock", test_folder())),
		   *control = talk_keep(format("%s/c.sock", test_folder()));
	struct server *s = server_start((const char *[]) {
		format("RENOVATIOND_ADMIN_LISTEN=%s", admin), format("CONTROL_SOCKET=%s", control), NULL });
	struct scoreboard *board = board_open(s);
	unsigned rounds = faults_are_whole() ? 6 : 2;
	pid_t workers[4], healthy, sick;

	cr_assert_eq(server_workers(s, workers, 4), 2);
	healthy = workers[1];
	sick = workers[0];
	for (unsigned round = 0; round < rounds; round++) {
		write_garbage(&board->slots[board_slot(board, sick)], round);
		for (int64_t end_ms = now_ms() + WAIT_MS; log_count(s->supervisor, CORRUPT) <= (int)round;) {
			cr_assert(ask_all(admin, control), "the supervisor answers");
			if (now_ms() > end_ms)
				log_wait_count(s->supervisor, CORRUPT, (int)round + 1, 0);
		}
		workers_wait(s, sick, 2, WAIT_MS);
		cr_assert_eq(server_workers(s, workers, 4), 2);
		cr_assert(workers[0] == healthy || workers[1] == healthy, "the other is none the worse");
		sick = workers[0] == healthy ? workers[1] : workers[0];
		cr_expect_eq(get_many(s->port, 10), 10);
		cr_expect(ask_all(admin, control), "what is left of it in the list of deaths can be read");
	}
	cr_expect_lt(scoreboard_total(board).requests, 1000000, "nonsense is not added to the pool's counters");
	board_close(&board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
