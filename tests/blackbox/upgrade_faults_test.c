/* upgrade_faults_test.c: what else happens while one renovationd takes the place of another: signals, deaths, a configuration that changes, a file that goes away,
 * a state that nobody can read; and what must come through it: user, files, sockets. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/installation.h"
#include "tests/support/talk.h"

TestSuite(upgrade_faults, .timeout = 400);

#define WAIT_MS INSTALLATION_WAIT_MS

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file, "%s", path);
	cr_assert(fputs(text, file) != EOF && fclose(file) == 0);
}

static bool has_words(const char *path, const char *words)
{
	char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	bool is_found = length > 0 && memmem(text, (size_t)length, words, strlen(words)) != NULL;

	if (fd >= 0)
		close(fd);
	return is_found;
}

/* The upgrade's words; `result` is "done" or "failed". Static. */
static const char *upgrade(struct server *s, const char *result)
{
	struct json_object *line = installation_upgrade(s);
	const char *text = format("%s", json_at(line, "text"));

	cr_expect_str_eq(json_at(line, "result"), result, "%s", text);
	json_object_put(line);
	return text;
}

static bool has_two_workers(void *arg)
{
	pid_t workers[8];

	return server_workers(arg, workers, 8) == 2;
}

static void expect_service(struct server *s)
{
	cr_expect(process_is_running(s->supervisor));
	wait_until(has_two_workers, s, "two workers", WAIT_MS);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(get_status(s->port, "/health"), 200);
}

/* ---- meanwhile ------------------------------------------------------------------------------------------------- */

Test(upgrade_faults, stop_outranks_an_upgrade_at_any_moment)
{
	static const char *const moments[] = { "\"msg\":\"upgrade begins\"", "\"msg\":\"the new program is fit",
		"\"msg\":\"service adopted\"", "\"msg\":\"upgrade done\"" };
	struct server *s = installation_start(NULL);

	for (size_t i = 0; i < COUNT_OF(moments); i++) {
		process_signal(s->supervisor, SIGUSR2);
		log_wait_count(s->supervisor, moments[i], 1, INSTALLATION_WAIT_MS);
		process_signal(s->supervisor, SIGTERM);
		cr_expect_eq(process_wait(s->supervisor, WAIT_MS), 0, "%s", moments[i]);
		cr_expect_eq(log_count(s->supervisor, "\"event\":\"shutdown_report\""), 1, "%s", moments[i]);
		if (i + 1 < COUNT_OF(moments))
			server_start_elsewhere(s);
	}
	server_end(&s);
}

Test(upgrade_faults, worker_that_dies_meanwhile_is_noticed_and_followed)
{
	struct server *s = installation_start((const char *[]) {
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=500000", "RENOVATIOND_HEARTBEAT_KILL_MS=600000", NULL });
	pid_t workers[8];

	cr_assert_eq(server_workers(s, workers, 8), 2);
	installation_put("renovationd");
	/* So that they are there to be killed, however far the upgrade is by then. */
	(void)kill(workers[0], SIGSTOP);
	(void)kill(workers[1], SIGSTOP);
	process_signal(s->supervisor, SIGUSR2);
	log_wait_count(s->supervisor, "\"msg\":\"upgrade begins\"", 1, INSTALLATION_WAIT_MS);
	(void)kill(workers[0], SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"service adopted\"", 1, INSTALLATION_WAIT_MS);
	(void)kill(workers[1], SIGKILL);
	log_wait_count(s->supervisor, "\"msg\":\"upgrade done\"", 1, INSTALLATION_WAIT_MS);
	log_wait_count(s->supervisor, "\"signal\":\"SIGKILL\"", 2, INSTALLATION_WAIT_MS);
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

#define RELOAD_BEGINS  "\"event\":\"reload\",\"who\":\"SIGHUP\",\"generation\":"
#define UPGRADE_BEGINS "\"msg\":\"upgrade begins\""
#define UPGRADE_ENDS   "\"event\":\"upgrade\",\"result\":"

/* An answer comes after each signal that was sent before was acted on; none comes to who asks just when the next program takes over. */
static bool answers(void *arg)
{
	return installation_ctl(arg, (const char *[]) { "status", NULL }, NULL, NULL) == 0;
}

/* Each upgrade that the signals so far began has ended. */
static void settle(struct server *s)
{
	wait_until(answers, s, "the control socket answers", WAIT_MS);
	log_wait_count(s->supervisor, UPGRADE_ENDS, log_count(s->supervisor, UPGRADE_BEGINS), INSTALLATION_WAIT_MS);
}

/* The next upgrade has begun. */
static void signal_upgrade(struct server *s, const int *together, size_t count)
{
	int before = log_count(s->supervisor, UPGRADE_BEGINS);

	/* It wakes up and finds all of them. */
	process_signal(s->supervisor, SIGSTOP);
	for (size_t i = 0; i < count; i++)
		process_signal(s->supervisor, together[i]);
	process_signal(s->supervisor, SIGUSR2);
	process_signal(s->supervisor, SIGCONT);
	log_wait_count(s->supervisor, UPGRADE_BEGINS, before + 1, INSTALLATION_WAIT_MS);
}

Test(upgrade_faults, signals_that_come_together_end_in_one_good_service)
{
	static const int reload[] = { SIGHUP }, late[] = { SIGUSR2, SIGHUP, SIGTTIN, SIGUSR1 };
	struct server *s = installation_start(NULL);

	for (int i = 0; i < 3; i++) {
		int before = log_count(s->supervisor, RELOAD_BEGINS);

		/* A reload that is asked for, or on its way, is overtaken; what comes later is refused, unless it comes too late for that. */
		if (i > 0) {
			process_signal(s->supervisor, SIGHUP);
			log_wait_count(s->supervisor, RELOAD_BEGINS, before + 1, INSTALLATION_WAIT_MS);
		}
		signal_upgrade(s, reload, i == 0 ? COUNT_OF(reload) : 0);
		for (size_t j = 0; j < COUNT_OF(late); j++)
			process_signal(s->supervisor, late[j]);
		settle(s);
	}
	cr_expect(process_is_running(s->supervisor));
	cr_expect_eq(get_status(s->port, "/health"), 200);
	cr_expect_eq(log_count(s->supervisor, "\"result\":\"failed\""), 0);
	(void)upgrade(s, "done");
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

/* ---- the new program, later ------------------------------------------------------------------------------------ */

Test(upgrade_faults, configuration_that_breaks_after_the_check_brings_the_old_program_back)
{
	char variable[300], *path = variable + sizeof "RENOVATIOND_TEST_CONFIG";
	struct server *s;
	ino_t program;
	const char *text;

	(void)snprintf(variable, sizeof variable, "RENOVATIOND_TEST_CONFIG=%s/renovationd.conf", test_folder());
	write_file(path, "workers = 2;\n");
	s = installation_start((const char *[]) { variable, "WORKERS", NULL });
	program = installation_of(s->supervisor->pid);
	installation_put_impostor("renovationd", "spoil");
	text = upgrade(s, "failed");
	cr_expect_not_null(strstr(text, "rolled back: the configuration has become wrong meanwhile"), "%s", text);
	cr_expect_not_null(strstr(text, "renovationd.conf:"), "%s", text);
	cr_expect_eq(installation_of(s->supervisor->pid), program);
	expect_service(s);
	/* And the old program knows its old configuration: a worker that dies is followed. */
	process_signal(s->supervisor, SIGHUP);
	log_wait_count(s->supervisor, "rejected", 1, INSTALLATION_WAIT_MS);
	expect_service(s);
	write_file(path, "workers = 2;\n");
	installation_put("renovationd");
	(void)upgrade(s, "done");
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade_faults, program_that_goes_away_after_the_check_is_not_missed)
{
	struct server *s = installation_start(NULL);
	ino_t program = installation_of(s->supervisor->pid);
	const char *text;

	installation_put_impostor("renovationd", "vanish");
	text = upgrade(s, "failed");
	cr_expect_not_null(strstr(text, "cannot hand over"), "%s", text);
	cr_expect_not_null(strstr(text, "No such file or directory"), "%s", text);
	cr_expect_eq(installation_of(s->supervisor->pid), program);
	installation_put_impostor("renovationd", "change");
	text = upgrade(s, "failed");
	cr_expect_not_null(strstr(text, "the program changed while it was checked"), "%s", text);
	cr_expect_eq(installation_of(s->supervisor->pid), program);
	expect_service(s);
	(void)upgrade(s, "done");
	cr_expect_neq(installation_of(s->supervisor->pid), program);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

static bool is_drained(void *arg)
{
	const struct server *s = arg;

	return get_status(s->port, "/health/ready") == 503 && get_status(s->port, "/api/sessions") == 503;
}

static bool is_resumed(void *arg)
{
	const struct server *s = arg;

	return get_status(s->port, "/health/ready") == 200;
}

Test(upgrade_faults, drained_service_stays_drained_until_it_is_resumed)
{
	struct server *s = installation_start(NULL);

	process_signal(s->supervisor, SIGWINCH);
	wait_until(is_drained, s, "the service is drained", WAIT_MS);
	/* Else the upgrade overtakes it. */
	log_wait_count(s->supervisor, "\"event\":\"drain\",\"result\":\"replaced\"", 1, INSTALLATION_WAIT_MS);
	installation_put("renovationd");
	(void)upgrade(s, "done");
	cr_expect(is_drained(s));
	cr_expect_eq(get_status(s->port, "/health/live"), 200);
	process_signal(s->supervisor, SIGHUP);
	wait_until(is_resumed, s, "the service is resumed", WAIT_MS);
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade_faults, state_that_nobody_can_read_ends_the_service_in_order_with_65)
{
	struct server *s = installation_start(NULL);

	installation_put_impostor("renovationd", "garble");
	process_signal(s->supervisor, SIGUSR2);
	cr_expect_eq(process_wait(s->supervisor, WAIT_MS), EXIT_STATE_CORRUPT);
	cr_expect_eq(log_count(s->supervisor, "cannot be read: workers are told to leave"), 1);
	/* Each worker left in order, none was killed. */
	log_wait_count(
		s->supervisor, "\"msg\":\"stop begins\",\"service\":\"renovationd-worker\"", 2, INSTALLATION_WAIT_MS);
	server_end(&s);
}

/* ---- what comes through ---------------------------------------------------------------------------------------- */

Test(upgrade_faults, variable_of_an_upgrade_is_not_believed_and_not_handed_on)
{
	struct server *s = installation_start((const char *[]) { "RENOVATIOND_STATE_FD=1", NULL });
	pid_t workers[8];

	log_wait_count(s->supervisor, "ignored: a variable of the environment that only an upgrade sets", 1,
		INSTALLATION_WAIT_MS);
	for (int i = 0; i < 2; i++) {
		wait_until(has_two_workers, s, "two workers", WAIT_MS);
		cr_assert_eq(server_workers(s, workers, 8), 2);
		cr_expect_not(has_words(format("/proc/%d/environ", (int)workers[0]), "RENOVATIOND_STATE_FD"));
		if (i == 0)
			(void)upgrade(s, "done");
	}
	/* Where there was one before, there must not be two now. */
	(void)upgrade(s, "done");
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade_faults, link_to_another_version_is_followed)
{
	struct server *s = installation_start(NULL);
	const char *folder = installation_folder();

	cr_expect_eq(server_stop(s), 0);
	for (int i = 1; i <= 2; i++) {
		cr_assert_eq(mkdir(format("%s/v%d", folder, i), 0755), 0);
		installation_put("renovationd");
		cr_assert_eq(rename(format("%s/renovationd", folder), format("%s/v%d/renovationd", folder, i)), 0);
		cr_assert_eq(
			link(format("%s/renovationd-worker", folder), format("%s/v%d/renovationd-worker", folder, i)),
			0);
	}
	cr_assert_eq(symlink("v1", format("%s/current", folder)), 0);
	cr_assert_eq(symlink("current/renovationd", format("%s/renovationd", folder)), 0);
	server_start_elsewhere(s);
	cr_expect_eq(installation_of(s->supervisor->pid), installation_file("v1/renovationd"));
	cr_assert_eq(symlink("v2", format("%s/next", folder)), 0);
	cr_assert_eq(rename(format("%s/next", folder), format("%s/current", folder)), 0);
	(void)upgrade(s, "done");
	cr_expect_eq(installation_of(s->supervisor->pid), installation_file("v2/renovationd"));
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(upgrade_faults, options_take_effect_but_those_that_an_upgrade_cannot_change)
{
	char variable[300], *path = variable + sizeof "RENOVATIOND_TEST_CONFIG";
	struct server *s;
	pid_t workers[8];
	const char *text;

	(void)snprintf(variable, sizeof variable, "RENOVATIOND_TEST_CONFIG=%s/renovationd.conf", test_folder());
	write_file(path, "workers = 1;\nchat_live_turns = 64;\n");
	s = installation_start((const char *[]) { variable, "WORKERS", NULL });
	cr_assert_eq(server_workers(s, workers, 8), 1);
	write_file(path, "workers = 2;\nchat_live_turns = 128;\n");
	text = upgrade(s, "done");
	cr_expect_not_null(strstr(text, "not applied by an upgrade: chat_live_turns"), "%s", text);
	expect_service(s);
	wait_until(has_two_workers, s, "two workers", WAIT_MS);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

static long uid_of(pid_t pid)
{
	struct stat status;

	cr_assert_eq(stat(format("/proc/%d", (int)pid), &status), 0);
	return (long)status.st_uid;
}

struct file_words {
	const char *path;
	const char *words;
};

static bool is_written(void *arg)
{
	const struct file_words *f = arg;

	return has_words(f->path, f->words);
}

static ino_t inode_at(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_ino : 0;
}

Test(upgrade_faults, user_pid_file_log_file_and_operators_sockets_come_through)
{
	char folder[256], *out, *err, log_variable[300], pid_variable[300], admin_variable[300];
	const char *log = log_variable + sizeof "LOG_FILE", *pid_file = pid_variable + sizeof "PID_FILE",
		   *admin = admin_variable + sizeof "ADMIN_LISTEN";
	ino_t files[4];
	struct server *s;
	bool is_root = geteuid() == 0;
	int code;

	/* The folder is root's: what was opened there must be enough. */
	(void)snprintf(folder, sizeof folder, "%s/run", test_folder());
	cr_assert_eq(mkdir(folder, 0755), 0);
	(void)snprintf(log_variable, sizeof log_variable, "LOG_FILE=%s/service.log", folder);
	(void)snprintf(pid_variable, sizeof pid_variable, "PID_FILE=%s/service.pid", folder);
	(void)snprintf(admin_variable, sizeof admin_variable, "ADMIN_LISTEN=%s/admin.sock", folder);
	s = installation_start((const char *[]) { log_variable, pid_variable, admin_variable,
		is_root ? "RENOVATIOND_USER=nobody" : "RENOVATIOND_USER", NULL });
	cr_expect(!is_root || uid_of(s->supervisor->pid) == 65534);
	files[0] = inode_at(log);
	files[1] = inode_at(pid_file);
	files[2] = inode_at(admin);
	files[3] = inode_at(s->control);
	installation_put("renovationd");
	code = installation_ctl(s, (const char *[]) { "upgrade", "--wait", NULL }, &out, &err);
	cr_expect_eq(code, 0, "%s%s", out, err);
	cr_expect_not_null(strstr(out, "upgraded from"), "%s", out);
	free(out);
	free(err);
	cr_expect_eq(installation_of(s->supervisor->pid), installation_file("renovationd"));
	cr_expect(!is_root || uid_of(s->supervisor->pid) == 65534);
	cr_expect(files[0] == inode_at(log) && files[1] == inode_at(pid_file) && files[2] == inode_at(admin) &&
		  files[3] == inode_at(s->control));
	cr_expect(has_words(pid_file, format("%d\n", (int)s->supervisor->pid)));
	wait_until(
		is_written, &(struct file_words) { log, "\"msg\":\"upgrade done\"" }, "log lines in the file", WAIT_MS);
	expect_service(s);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}
