/* The real logrotate with our configuration, three times while requests are logged: each line is in one of the files, once and whole. Only folder and user are
 * the test's; what tells the service is run as it is shipped. And what logrotate says when there is no service, or one that refuses. */
#include "config.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/must.h"
#include "tests/support/server.h"

#define CLIENTS      6
#define REQUESTS_MAX 100000
#define ROTATIONS    3
#define BUSY_MAX     20000 /* requests during one rotation, however long it takes */
#define WAIT_MS      60000

TestSuite(logrotate, .timeout = 300);

struct rotating {
	struct server *server;
	char folder[300]; /* of the log */
	char rules[300];  /* logrotate's configuration, outside of it */
	struct client clients[CLIENTS];
	int asked;
};

static char *read_whole(const char *path, const char *program)
{
	struct buffer all;
	size_t got;
	FILE *file = program != NULL ? popen(format("%s %s", program, path), "r") : fopen(path, "r");

	cr_assert_not_null(file, "%s", path);
	buffer_init(&all);
	do {
		got = fread(buffer_reserve(&all, 65536), 1, 65536, file);
		buffer_grown(&all, got);
	} while (got > 0);
	buffer_append_char(&all, '\0');
	if (program != NULL)
		(void)pclose(file);
	else
		(void)fclose(file);
	return all.bytes;
}

static void append_replaced(struct buffer *out, const char *text, const char *from, const char *to)
{
	const char *found = strstr(text, from);

	cr_assert_not_null(found, "conf/logrotate/renovationd has no \"%s\"", from);
	buffer_clear(out);
	buffer_append(out, text, (size_t)(found - text));
	buffer_append_string(out, to);
	buffer_append_string(out, found + strlen(from));
	buffer_append_char(out, '\0');
}

/* Our file, with this test's folder and user. */
static void write_rules(struct rotating *r)
{
	const char *const changes[][2] = { { "/var/log/renovationd/*.log", format("%s/*.log", r->folder) },
		{ "create 0640 renovationd adm",
			format("create 0640 %s %s", getpwuid(geteuid())->pw_name, getgrgid(getegid())->gr_name) } };
	char *rules = read_whole(LOGROTATE_CONF, NULL);
	FILE *file;

	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct buffer out;

		buffer_init(&out);
		append_replaced(&out, rules, changes[i][0], changes[i][1]);
		free(rules);
		rules = out.bytes;
	}
	(void)snprintf(r->rules, sizeof r->rules, "%s/rules", test_folder());
	file = fopen(r->rules, "w");
	must(file != NULL && fputs(rules, file) >= 0 && fclose(file) == 0);
	must(chmod(r->rules, 0644) == 0);
	free(rules);
}

/* It finds renovationctl and the service as after an installation: by PATH and by the environment. */
static struct process *start_logrotate(const struct rotating *r)
{
	char programs[300];

	(void)snprintf(programs, sizeof programs, "%s", program_path(""));
	return process_start((const char *[]) { "/usr/sbin/logrotate", "-f", "-s", format("%s/state", test_folder()),
				     r->rules, NULL },
		(const char *[]) { format("PATH=%s:/usr/sbin:/usr/bin:/sbin:/bin", programs),
			format("CONTROL_SOCKET=%s", r->server->control), NULL });
}

static void ask_one(struct rotating *r)
{
	int number = r->asked++;
	struct reply reply = client_request(&r->clients[number % CLIENTS], "GET", "/api/sessions",
		format("X-Request-Id: rotated-%d\r\n", number), NULL);

	cr_assert_neq(reply.status, 0, "request %d", number);
	reply_free(&reply);
}

static int count_files(const struct rotating *r)
{
	DIR *folder = opendir(r->folder);
	int count = 0;

	must(folder != NULL);
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(folder);
	return count;
}

static bool has_line(const char *path, const char *part)
{
	char *all = access(path, R_OK) == 0 ? read_whole(path, NULL) : must_strdup("");
	bool found = strstr(all, part) != NULL;

	free(all);
	return found;
}

/* Requests go on while it works, and until the new file is written to. */
static void rotate(struct rotating *r)
{
	char path[340];
	struct process *p = start_logrotate(r);
	int64_t give_up = now_ms() + WAIT_MS;
	int most = r->asked + BUSY_MAX;
	char *errors;
	int code;

	(void)snprintf(path, sizeof path, "%s/renovationd.log", r->folder);
	while (process_is_running(p) && now_ms() < give_up && r->asked < most)
		ask_one(r);
	code = process_wait(p, WAIT_MS);
	errors = process_errors(p);
	cr_assert_eq(code, 0, "logrotate ended with %d: %s", code, errors);
	free(errors);
	process_end(&p);
	give_up = now_ms() + WAIT_MS;
	do {
		cr_assert(now_ms() < give_up, "nothing is written to the new file");
		ask_one(r);
	} while (!has_line(path, "\"request_id\":\"rotated-"));
	for (int i = 0; i < 200; i++)
		ask_one(r);
}

static void check_line(char *line, unsigned char *seen)
{
	struct json_object *parsed = json_tokener_parse(line);
	const char *id = parsed != NULL ? json_at(parsed, "request_id") : NULL;

	cr_expect(parsed != NULL && json_at(parsed, "msg") != NULL, "a torn line: %.300s", line);
	if (id != NULL && strncmp(id, "rotated-", 8) == 0 && strcmp(json_at(parsed, "msg"), "request") == 0)
		seen[strtol(id + 8, NULL, 10) % REQUESTS_MAX]++;
	json_object_put(parsed);
}

static void check_all(const struct rotating *r)
{
	unsigned char *seen = must_alloc(REQUESTS_MAX);
	DIR *folder = opendir(r->folder);
	int wrong = 0;

	must(folder != NULL);
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		char *all, *rest, *line;

		if (entry->d_name[0] == '.')
			continue;
		all = read_whole(format("%s/%s", r->folder, entry->d_name),
			strstr(entry->d_name, ".gz") != NULL ? "gzip -dc" : NULL);
		for (rest = all; (line = strsep(&rest, "\n")) != NULL;)
			if (line[0] != '\0')
				check_line(line, seen);
		free(all);
	}
	(void)closedir(folder);
	for (int i = 0; i < r->asked; i++)
		if (seen[i] != 1 && wrong++ < 5)
			cr_expect(false, "request %d was logged %d times", i, seen[i]);
	cr_expect_eq(wrong, 0, "%d of %d lines are lost or doubled", wrong, r->asked);
	free(seen);
}

static void make_folder(struct rotating *r)
{
	(void)snprintf(r->folder, sizeof r->folder, "%s/log", test_folder());
	must(mkdir(r->folder, 0755) == 0);
}

Test(logrotate, no_line_is_lost_or_torn)
{
	struct rotating r = { .asked = 0 };

	make_folder(&r);
	r.server = server_start((const char *[]) {
		format("LOG_FILE=%s/renovationd.log", r.folder), "LOG_LEVEL=info", "WORKERS=3", NULL });
	for (int i = 0; i < CLIENTS; i++)
		client_init(&r.clients[i], r.server->port);
	write_rules(&r);
	for (int i = 0; i < 100; i++)
		ask_one(&r);
	for (int i = 0; i < ROTATIONS; i++)
		rotate(&r);
	cr_expect_eq(server_stop(r.server), 0);
	cr_expect_eq(count_files(&r), ROTATIONS + 1, "one is written, %d were put away", ROTATIONS);
	cr_expect(r.asked < REQUESTS_MAX);
	check_all(&r);
	for (int i = 0; i < CLIENTS; i++)
		client_fini(&r.clients[i]);
	server_end(&r.server);
}

/* Its exit code for a file with a line in it; *errors_out is for the caller to free. */
static int rotate_one_line(const struct rotating *r, char **errors_out)
{
	FILE *file = fopen(format("%s/renovationd.log", r->folder), "w");
	struct process *p;
	int code;

	must(file != NULL && fputs("a line\n", file) >= 0 && fclose(file) == 0);
	p = start_logrotate(r);
	code = process_wait(p, WAIT_MS);
	*errors_out = process_errors(p);
	process_end(&p);
	return code;
}

Test(logrotate, a_service_that_refuses_is_reported_and_one_that_is_not_there_is_no_fault)
{
	struct rotating r = { .asked = 0 };
	char *errors;

	make_folder(&r);
	r.server = server_start(NULL);
	write_rules(&r);
	cr_expect_neq(rotate_one_line(&r, &errors), 0, "it has no log file to open anew");
	cr_expect_not_null(strstr(errors, "there is no log file"), "%s", errors);
	free(errors);
	/* Killed, it leaves its socket behind. */
	process_signal(r.server->supervisor, SIGKILL);
	(void)process_wait(r.server->supervisor, WAIT_MS);
	cr_expect_eq(access(r.server->control, F_OK), 0);
	cr_expect_eq(rotate_one_line(&r, &errors), 0, "%s", errors);
	cr_expect_str_empty(errors);
	free(errors);
	must(unlink(r.server->control) == 0);
	cr_expect_eq(rotate_one_line(&r, &errors), 0, "%s", errors);
	cr_expect_str_empty(errors);
	free(errors);
	server_end(&r.server);
}
