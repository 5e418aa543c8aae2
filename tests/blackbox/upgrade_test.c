/* upgrade_test.c: another renovationd takes the place of the running one (SIGUSR2): same process, same sockets, no failed request, no lost event; and when the
 * new one is no good, the old one serves on. The programs are copies in a folder of the test, which it replaces as an installation does: by rename. */
#include "config.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/installation.h"
#include "tests/support/talk.h"

TestSuite(upgrade, .timeout = 400);

#define WAIT_MS INSTALLATION_WAIT_MS

static void expect_upgrade(struct server *s)
{
	struct json_object *line = installation_upgrade(s);

	cr_assert_str_eq(json_at(line, "result"), "done", "%s", json_object_to_json_string(line));
	json_object_put(line);
}

/* The words for people; the result must be "failed". Static. */
static const char *failed_upgrade(struct server *s)
{
	struct json_object *line = installation_upgrade(s);
	const char *text = format("%s", json_at(line, "text"));

	cr_expect_str_eq(json_at(line, "result"), "failed", "%s", text);
	json_object_put(line);
	return text;
}

static ino_t inode_of_listener(pid_t pid, int port)
{
	char line[512], state[8];
	unsigned local_port;
	unsigned long inode;
	ino_t found = 0;
	FILE *table = fopen(format("/proc/%d/net/tcp", (int)pid), "r");

	cr_assert_not_null(table);
	while (found == 0 && fgets(line, sizeof line, table) != NULL)
		if (sscanf(line, " %*d: %*8x:%x %*8x:%*x %7s %*x:%*x %*x:%*x %*x %*d %*d %lu", &local_port, state,
			    &inode) == 3 &&
			(int)local_port == port && strcmp(state, "0A") == 0)
			found = inode;
	(void)fclose(table);
	cr_assert_neq(found, 0);
	return found;
}

static int count_descriptors(pid_t pid)
{
	DIR *list = opendir(format("/proc/%d/fd", (int)pid));
	int count = 0;

	cr_assert_not_null(list);
	while (readdir(list) != NULL)
		count++;
	(void)closedir(list);
	return count;
}

#define SAMPLES 50

/* Now and then it has one more open for a moment, to look at something. */
static int least_descriptors(pid_t pid)
{
	int least = INT_MAX;

	for (int i = 0; i < SAMPLES; i++) {
		int count = count_descriptors(pid);

		least = count < least ? count : least;
		pause_ms(2);
	}
	return least;
}

struct workers {
	struct server *server;
	pid_t pids[8];
	int wanted;
};

static bool are_there(void *arg)
{
	struct workers *w = arg;

	return server_workers(w->server, w->pids, 8) == w->wanted;
}

static int compare_pids(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

/* Their pids, in order. */
static void wait_for_workers(struct server *s, int count, pid_t *pids)
{
	struct workers w = { .server = s, .wanted = count };

	wait_until(are_there, &w, "as many workers as wanted", WAIT_MS);
	memcpy(pids, w.pids, (size_t)count * sizeof *pids);
	qsort(pids, (size_t)count, sizeof *pids, compare_pids);
}

/* ---- clients --------------------------------------------------------------------------------------------------- */

/* Requests one after the other from a process beside the test, which does nothing else: whoever is slow, it must not be the client. */
struct clients {
	pid_t pid;
	struct seen {
		atomic_bool is_over; /* stop */
		atomic_int answered;
		atomic_int failed;
		atomic_int last_status; /* of the last failure */
	} * seen;
};

static void ask_for_ever(struct seen *seen, int port)
{
	struct client kept;

	client_init(&kept, port);
	while (!seen->is_over) {
		struct client fresh;

		client_init(&fresh, port);
		for (int i = 0; i < 2; i++) {
			struct reply r = client_request(i ? &kept : &fresh, "GET", "/health", NULL, NULL);

			if (r.status == 200) {
				seen->answered++;
			} else {
				seen->failed++;
				seen->last_status = r.status;
			}
			reply_free(&r);
		}
		client_fini(&fresh);
		pause_ms(1);
	}
	client_fini(&kept);
}

static void clients_start(struct clients *c, int port)
{
	c->seen = mmap(NULL, sizeof *c->seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(c->seen != MAP_FAILED);
	c->pid = fork();
	cr_assert_geq(c->pid, 0);
	if (c->pid != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	ask_for_ever(c->seen, port);
	_exit(0);
}

static bool has_answered(void *arg)
{
	const struct clients *c = arg;

	return c->seen->answered > 20;
}

/* They must have been answered, each time. */
static void clients_end(struct clients *c)
{
	wait_until(has_answered, c, "requests are answered", WAIT_MS);
	c->seen->is_over = true;
	cr_assert_eq(waitpid(c->pid, NULL, 0), c->pid);
	cr_expect_eq(c->seen->failed, 0, "%d of %d requests failed, the last with %d", c->seen->failed,
		c->seen->failed + c->seen->answered, c->seen->last_status);
	(void)munmap(c->seen, sizeof *c->seen);
}

/* ---- it works -------------------------------------------------------------------------------------------------- */

Test(upgrade, new_program_has_the_old_process_and_new_workers)
{
	struct server *s = installation_start(NULL);
	pid_t supervisor = s->supervisor->pid, before[8], after[8];
	ino_t old_program = installation_of(supervisor), listener = inode_of_listener(supervisor, s->port);

	wait_for_workers(s, 2, before);
	installation_put("renovationd");
	installation_put("renovationd-worker");
	expect_upgrade(s);
	cr_expect(process_is_running(s->supervisor));
	cr_expect_neq(installation_of(supervisor), old_program);
	cr_expect_eq(installation_of(supervisor), installation_file("renovationd"));
	cr_expect_eq(inode_of_listener(supervisor, s->port), listener);
	log_wait_count(s->supervisor, "\"msg\":\"worker ended\"", 2, INSTALLATION_WAIT_MS);
	wait_for_workers(s, 2, after);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(installation_of(after[i]), installation_file("renovationd-worker"));
		cr_expect(after[i] != before[0] && after[i] != before[1]);
	}
	cr_expect_eq(get_status(s->port, "/health"), 200);
	cr_expect_eq(log_count(s->supervisor, "\"level\":\"error\""), 0);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade, three_in_a_row_fail_no_request_and_leave_nothing_behind)
{
	struct server *s = installation_start(NULL);
	struct clients c;
	int descriptors = 0;

	clients_start(&c, s->port);
	for (int i = 1; i <= 3; i++) {
		installation_put("renovationd");
		expect_upgrade(s);
		log_wait_count(s->supervisor, format("\"generation\":%d,\"cause\":\"asked to leave\"", i), 2,
			INSTALLATION_WAIT_MS);
		if (i == 1)
			descriptors = least_descriptors(s->supervisor->pid);
	}
	cr_expect_eq(least_descriptors(s->supervisor->pid), descriptors);
	clients_end(&c);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade, size_set_by_hand_stays_until_the_next_reload)
{
	struct server *s = installation_start(NULL);
	pid_t pids[8];

	process_signal(s->supervisor, SIGTTIN);
	log_wait_count(s->supervisor, "\"msg\":\"worker ready\"", 3, INSTALLATION_WAIT_MS);
	wait_for_workers(s, 3, pids);
	installation_put("renovationd");
	expect_upgrade(s);
	log_wait_count(s->supervisor, "\"generation\":1,\"cause\":\"asked to leave\"", 3, INSTALLATION_WAIT_MS);
	wait_for_workers(s, 3, pids);
	process_signal(s->supervisor, SIGHUP);
	log_wait_count(s->supervisor, "\"generation\":2,\"cause\":\"asked to leave\"", 3, INSTALLATION_WAIT_MS);
	wait_for_workers(s, 2, pids);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

#define LONG_ANSWER "How long does screed dry? [sim:chunks=60][sim:delay=50ms]"

Test(upgrade, answer_that_is_being_written_loses_and_repeats_nothing)
{
	struct server *s = installation_start(NULL);
	struct talk t, other;
	struct followed undisturbed, f;
	struct json_object *answer;
	const char *turn;

	talk_init(&other, s);
	undisturbed = talk_follow(&other, talk_ask(&other, LONG_ANSWER, ""), "", WAIT_MS);
	talk_init(&t, s);
	turn = talk_ask(&t, LONG_ANSWER, "");
	installation_put("renovationd");
	installation_put("renovationd-worker");
	process_signal(s->supervisor, SIGUSR2);
	f = talk_follow(&t, turn, "", WAIT_MS);
	cr_expect(f.is_done);
	cr_expect_not(f.has_gap, "%s", f.events);
	cr_expect_eq(f.rewinds, 0);
	cr_expect_str_eq(f.text, undisturbed.text);
	answer = talk_answer(&t, turn);
	cr_expect_str_eq(json_at(answer, "content"), f.text);
	json_object_put(answer);
	log_wait_count(s->supervisor, "\"msg\":\"upgrade done\"", 1, INSTALLATION_WAIT_MS);
	followed_free(&f);
	followed_free(&undisturbed);
	talk_fini(&t);
	talk_fini(&other);
	server_end(&s);
}

/* A file of options that a test changes while the service runs: "RENOVATIOND_TEST_CONFIG=PATH", for installation_start. Static. */
static const char *config_variable(void)
{
	static char variable[300];

	(void)snprintf(variable, sizeof variable, "RENOVATIOND_TEST_CONFIG=%s/renovationd.conf", test_folder());
	return variable;
}

static void write_config(const char *text)
{
	FILE *file = fopen(config_variable() + sizeof "RENOVATIOND_TEST_CONFIG", "we");

	cr_assert_not_null(file);
	cr_assert(fputs(text, file) != EOF && fclose(file) == 0);
}

/* The running service reads what was written. */
static void reload_config(struct server *s, const char *text)
{
	char *out, *err;

	write_config(text);
	cr_assert_eq(
		installation_ctl(s, (const char *[]) { "reload", "--wait", NULL }, &out, &err), 0, "%s%s", out, err);
	free(out);
	free(err);
}

/* ---- the new program is no good ---------------------------------------------------------------------------------- */

/* Refused with these words, and everything is as it was. */
static void expect_refusal(struct server *s, const char *words)
{
	pid_t supervisor = s->supervisor->pid, before[8], after[8];
	ino_t program = installation_of(supervisor);
	const char *text;

	wait_for_workers(s, 2, before);
	text = failed_upgrade(s);

	cr_expect_not_null(strstr(text, words), "%s", text);
	cr_expect_eq(installation_of(supervisor), program);
	wait_for_workers(s, 2, after);
	cr_expect_eq(memcmp(before, after, 2 * sizeof before[0]), 0);
	cr_expect_eq(get_status(s->port, "/health"), 200);
}

Test(upgrade, program_that_cannot_be_run_or_fails_its_check_is_refused_in_words)
{
	struct server *s;
	struct clients c;
	int fd;

	write_config("upgrade_check_ms = 60000;\n");
	s = installation_start((const char *[]) { config_variable(), NULL });
	clients_start(&c, s->port);
	cr_assert_eq(unlink(format("%s/renovationd", installation_folder())), 0);
	expect_refusal(s, "No such file or directory");
	installation_put("renovationd");
	cr_assert_eq(chmod(format("%s/renovationd", installation_folder()), 0644), 0);
	expect_refusal(s, "Permission denied");
	cr_assert_eq(unlink(format("%s/renovationd", installation_folder())), 0);
	fd = open(format("%s/renovationd", installation_folder()), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	cr_assert_eq(write(fd,
			     "\x7f"
			     "ELF, almost",
			     12),
		12);
	close(fd);
	expect_refusal(s, "Exec format error");
	installation_put_impostor("renovationd", "fail");
	expect_refusal(s, "ended with 3 and no report");
	installation_put_impostor("renovationd", "die");
	expect_refusal(s, "died of SIGKILL");
	/* Only now: a busy machine may need long for a check that does not hang. */
	reload_config(s, "upgrade_check_ms = 2000;\n");
	installation_put_impostor("renovationd", "hang");
	expect_refusal(s, "took longer than 2000 ms");
	reload_config(s, "upgrade_check_ms = 60000;\n");
	installation_put_impostor("renovationd", "layouts");
	expect_refusal(s, "the running service has scoreboard=0");
	clients_end(&c);
	installation_put("renovationd");
	cr_assert_eq(unlink(format("%s/mode", installation_folder())), 0);
	expect_upgrade(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade, workers_that_do_not_start_bring_the_old_program_back)
{
	static const char *const modes[] = { "worker fails", "worker hangs" };
	/* The new program reads this and the old one keeps what it has: only workers that hang need a short time. */
	static const char *const configs[] = { "boot_timeout_ms = 60000;\n", "boot_timeout_ms = 2000;\n" };
	struct server *s;
	pid_t supervisor, before[8], after[8];
	ino_t program, worker_program;
	struct clients c;

	write_config(configs[0]);
	s = installation_start((const char *[]) { config_variable(), NULL });
	supervisor = s->supervisor->pid;
	program = installation_of(supervisor);
	wait_for_workers(s, 2, before);
	worker_program = installation_of(before[0]);
	clients_start(&c, s->port);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		const char *text;

		write_config(configs[i]);
		installation_put("renovationd");
		installation_put_impostor("renovationd-worker", modes[i]);
		text = failed_upgrade(s);
		cr_expect_not_null(strstr(text, "rolled back"), "%s", text);
		cr_expect_eq(installation_of(supervisor), program);
		cr_expect_neq(installation_of(supervisor), installation_file("renovationd"));
		log_wait_count(s->supervisor, "\"generation\":2", 2, INSTALLATION_WAIT_MS);
		wait_for_workers(s, 2, after);
		cr_expect_eq(memcmp(before, after, 2 * sizeof before[0]), 0, "%s: the old workers serve on", modes[i]);
	}
	clients_end(&c);

	/* The old program's workers are followed by its own, whatever lies at their path now. */
	(void)kill(before[0], SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"worker ready\"", 3, INSTALLATION_WAIT_MS);
	wait_for_workers(s, 2, after);
	for (int i = 0; i < 2; i++)
		cr_expect_eq(installation_of(after[i]), worker_program);

	write_config(configs[0]);
	installation_put("renovationd-worker");
	expect_upgrade(s);
	cr_expect_eq(installation_of(supervisor), installation_file("renovationd"));
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
