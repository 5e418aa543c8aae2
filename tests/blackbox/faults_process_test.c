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
#include "tests/support/talk.h"

TestSuite(faults_process, .timeout = 600);

#define HEARTBEATS "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=1000", "RENOVATIOND_HEARTBEAT_KILL_MS=2000"

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

/* ---- hung ------------------------------------------------------------------------------------------------------ */

static bool is_busy(void *arg)
{
	struct switches *switches = arg;

	return atomic_load(&switches->is_busy) != 0;
}

Test(faults_process, a_worker_in_an_endless_loop_is_ended_and_replaced_while_the_other_serves)
{
	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	struct server *s = server_start((const char *[]) { HEARTBEATS, switches_preload(), switches_file(), NULL });
	pid_t workers[4];

	cr_assert_eq(server_workers(s, workers, 4), 2);
	atomic_store(&switches->busy_pid, workers[0]);
	wait_until(is_busy, switches, "its loop turns without end", 10000);
	while (log_count(s->supervisor, "\"cause\":\"hung, ended by us\"") == 0)
		cr_assert_eq(get_many(s->port, 5), 5, "the other worker serves");
	cr_expect_eq(log_count(s->supervisor, "\"signal\":\"SIGABRT\""), 1, "first with a core");
	workers_wait(s, workers[0], 2, 15000);
	cr_expect(pid_is_alive(workers[1]));
	server_end(&s);
}

Test(faults_process, workers_that_all_hang_are_all_replaced)
{
	struct server *s = server_start((const char *[]) { HEARTBEATS, NULL });
	pid_t before[4], after[4];

	cr_assert_eq(server_workers(s, before, 4), 2);
	end_all_workers(s, SIGSTOP);
	log_wait_count(s->supervisor, "\"cause\":\"hung, ended by us\"", 2, 30000);
	workers_wait(s, before[0], 2, 20000);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect(after[0] != before[1] && after[1] != before[1]);
	cr_expect_eq(get_many(s->port, 10), 10);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

static void suspend(struct server *s, bool with_workers)
{
	pid_t before[4], after[4];
	int64_t end_ms;

	cr_assert_eq(server_workers(s, before, 4), 2);
	(void)kill(s->supervisor->pid, SIGSTOP);
	for (int i = 0; with_workers && i < 2; i++)
		(void)kill(before[i], SIGSTOP);
	/* Time itself is the fault here: longer than the supervisor's guard and than what ends a worker. */
	for (end_ms = now_ms() + 5200; now_ms() < end_ms; pause_ms(50))
		if (!with_workers)
			cr_assert_eq(get_many(s->port, 1), 1, "workers serve without their supervisor");
	(void)kill(s->supervisor->pid, SIGCONT);
	for (int i = 0; with_workers && i < 2; i++)
		(void)kill(before[i], SIGCONT);
	log_wait_count(s->supervisor, "heartbeats not judged", 1, 10000);
	cr_expect_eq(get_many(s->port, 20), 20);
	cr_expect_eq(log_count(s->supervisor, "worker ended by us"), 0);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1], "the same workers");
	/* It works again as before: a dead one is replaced. */
	(void)kill(before[0], SIGKILL);
	workers_wait(s, before[0], 2, 15000);
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
	const char *manager = talk_keep(test_path("notify"));
	int notify = notify_listen(manager);
	struct server *s = server_start(
		(const char *[]) { switches_preload(), switches_file(), format("NOTIFY_SOCKET=%s", manager), NULL });
	pid_t workers[4];
	char *words;

	cr_assert_eq(server_workers(s, workers, 4), 2);
	free(notify_read(notify));
	atomic_store(&switches->fork_failures, 2);
	(void)kill(workers[0], SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"cannot start a worker\"", 2, 15000);
	free(process_wait_error(s->supervisor, "\"error\":\"Resource temporarily unavailable\",\"retry_ms\":1000", 1));
	free(process_wait_error(s->supervisor, "\"error\":\"Resource temporarily unavailable\",\"retry_ms\":2000", 1));
	words = notify_read(notify);
	cr_expect_not_null(strstr(words, "cannot start a worker: Resource temporarily unavailable"), "%s", words);
	free(words);
	cr_expect_eq(get_many(s->port, 10), 10);
	workers_wait(s, workers[0], 2, 15000);
	cr_expect_eq(atomic_load(&switches->forks_failed), 2);
	(void)close(notify);
	server_end(&s);
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
	cr_expect_eq(process_wait(s->supervisor, 120000), EXIT_OS);
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

Test(faults_process, a_slot_whose_worker_always_crashes_leaves_the_other_alone_and_heals)
{
	struct server *s = start_with_script("case \"$*\" in *'--slot 1 '*) true;; *) false;; esac", "kill -ABRT $$");
	struct scoreboard *board = board_open(s);
	pid_t healthy = SCOREBOARD_GET(board->slots[0].pid), sick = SCOREBOARD_GET(board->slots[1].pid);

	board_close(&board);
	set_flag(true);
	(void)kill(sick, SIGKILL);
	while (log_count(s->supervisor, "\"to\":\"degraded\"") == 0 ||
		log_count(s->supervisor, "\"signal\":\"SIGABRT\"") < 4)
		cr_assert_eq(get_many(s->port, 3), 3, "the healthy one serves");
	cr_expect_geq(log_count(s->supervisor, "worker restart delayed"), 3);
	cr_expect(pid_is_alive(healthy));
	set_flag(false);
	workers_wait(s, sick, 2, 30000);
	cr_expect(pid_is_alive(healthy));
	if (faults_are_whole())
		log_wait_count(s->supervisor, "\"to\":\"running\"", 2, 90000);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_process, workers_that_refuse_their_start_end_the_service_with_their_code)
{
	struct server *s = start_with_script("true", "exit 78");

	set_flag(true);
	end_all_workers(s, SIGKILL);
	cr_expect_eq(process_wait(s->supervisor, 30000), EXIT_CONFIG_WRONG);
	free(process_wait_error(s->supervisor, "no worker can serve, giving up", 1000));
	server_end(&s);
}

Test(faults_process, workers_that_all_crash_for_half_a_minute_end_the_service_with_70)
{
	if (!faults_are_whole())
		cr_skip_test("whole form only: takes half a minute");

	struct server *s = start_with_script("true", "kill -ABRT $$");

	set_flag(true);
	end_all_workers(s, SIGKILL);
	cr_expect_eq(process_wait(s->supervisor, 60000), EXIT_STORM);
	cr_expect_leq(log_count(s->supervisor, "\"msg\":\"worker started\""), 2 + 20, "slower and slower");
	server_end(&s);
}

/* ---- nobody is left -------------------------------------------------------------------------------------------- */

static bool nobody_is_left(void *arg)
{
	pid_t pids[8];

	return processes_marked(arg, pids, 8) == 0;
}

static bool port_is_free(void *arg)
{
	return !port_is_listened_on(*(int *)arg);
}

/* Each round kills at another moment: some while it starts, some when it serves, some with clients. */
static void kill_in_round(struct server *s, int round, char *mark)
{
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
		for (int i = 0; i < round % 3; i++)
			(void)client_connect(&c);
	}
	process_signal(s->supervisor, SIGKILL);
	(void)process_wait(s->supervisor, 5000);
	process_end(&s->supervisor);
	client_fini(&c);
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
		process_end(&s->supervisor);
		kill_in_round(s, round, mark);
		wait_until(nobody_is_left, mark, "no process of ours is left", 5000);
		wait_until(port_is_free, &s->port, "the port is free", 1000);
	}
	server_start_elsewhere(s);
	cr_expect_eq(get_many(s->port, 5), 5);
	server_end(&s);
}

/* ---- the checker ----------------------------------------------------------------------------------------------- */

struct checker {
	pid_t parent;
	pid_t pid;
};

static bool has_checker(void *arg)
{
	struct checker *checker = arg;

	return process_children(checker->parent, "renovationd-worker", &checker->pid, 1) == 1;
}

/* A database that takes connections and says nothing keeps the checker waiting. */
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
		(const char *[]) { url, "GOOGLE_API_KEY=none", "APP_ENV=test", "HOST=127.0.0.1", "PORT=0", NULL });
}

Test(faults_process, a_checker_killed_during_the_start_is_named_and_nothing_listens)
{
	int port, silent = silent_database(&port);
	struct process *p = start_checking(port);
	struct checker checker = { p->pid, 0 };

	wait_until(has_checker, &checker, "the checker runs", 10000);
	(void)kill(checker.pid, SIGKILL);
	cr_expect_eq(process_wait(p, 30000), EXIT_STORM);
	cr_expect_eq(log_count(p, "renovationd-worker --check died of SIGKILL"), 1);
	cr_expect_eq(log_count(p, "service ready"), 0);
	process_end(&p);
	(void)close(silent);
}

Test(faults_process, a_term_while_the_checker_hangs_ends_both_at_once)
{
	int port, silent = silent_database(&port);
	struct process *p = start_checking(port);
	struct checker checker = { p->pid, 0 };

	wait_until(has_checker, &checker, "the checker runs", 10000);
	process_signal(p, SIGTERM);
	cr_expect_eq(process_wait(p, 3000), 0);
	cr_expect_not(pid_is_alive(checker.pid));
	process_end(&p);
	(void)close(silent);
}

/* ---- strange relations ----------------------------------------------------------------------------------------- */

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

	char *says = process_wait_output(s->supervisor, "listening on", 30000);

	s->port = (int)strtol(strrchr(says, ':') + 1, NULL, 10);
	free(says);
	cr_assert_eq(server_workers(s, before, 4), 2);
	file = fopen(test_path("child"), "re");
	cr_assert(file != NULL && fgets(line, sizeof line, file) != NULL);
	(void)fclose(file);
	(void)kill((pid_t)strtol(line, NULL, 10), SIGKILL);
	free(process_wait_error(s->supervisor, "\"msg\":\"unknown child ended\"", 10000));
	cr_expect_eq(log_count(s->supervisor, "\"msg\":\"worker ended\""), 0);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1]);
	cr_expect_eq(get_many(s->port, 5), 5);

	pid_t other = 0;

	cr_assert_eq(process_children(s->supervisor->pid, "sleep", &other, 1), 1);
	cr_expect_eq(server_stop(s), 0, "the stranger that lives on holds up no stop");
	(void)kill(other, SIGKILL);
	server_end(&s);
}

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
		while (log_count(s->supervisor, "its slot of the scoreboard is corrupt") <= (int)round)
			cr_assert(ask_all(admin, control), "the supervisor answers");
		workers_wait(s, sick, 2, 60000);
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
