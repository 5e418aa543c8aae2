/* faults_resource_test.c: descriptors, memory and disk that run out, and a wall clock that jumps. The real programs; each test its own service.
 * Expected: a clear refusal instead of a hang, no busy loop, only the process that ran out ends, and all is well once there is room again. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/must.h"
#include "tests/support/faults.h"
#include "tests/support/talk.h"

TestSuite(faults_resource, .timeout = 400);

#define WAIT_MS 60000

#define NO_PRELOAD "a sanitizer's library must come first, so that none can be put before libc"

static void skip_in_sanitizer(const char *why)
{
	if (faults_in_sanitizer())
		cr_skip_test("%s", why);
}

static bool serves(void *arg)
{
	return get_many(*(int *)arg, 4) == 4;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------- */

#define CROWD            500
#define DESCRIPTORS_EACH 320

static void limit_descriptors(struct server *s, rlim_t most)
{
	struct rlimit limit = { most, most };
	pid_t workers[4];
	int count = server_workers(s, workers, 4);

	for (int i = 0; i < count; i++)
		cr_assert_eq(prlimit(workers[i], RLIMIT_NOFILE, &limit, NULL), 0);
}

struct crowd {
	struct client clients[CROWD];
	int served, refused, unavailable, waiting;
};

static const char question[] = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

static void crowd_connect(struct crowd *crowd, int port)
{
	for (int i = 0; i < CROWD; i++) {
		client_init(&crowd->clients[i], port);
		if (client_connect(&crowd->clients[i]))
			(void)client_send(&crowd->clients[i], question, sizeof question - 1);
	}
}

/* Those whose answer, or whose end, is there. */
static void crowd_receive(struct crowd *crowd)
{
	for (int i = 0; i < CROWD; i++) {
		struct client *c = &crowd->clients[i];
		struct pollfd ready = { .fd = c->fd, .events = POLLIN };
		struct reply r;

		if (c->fd < 0 || poll(&ready, 1, 0) != 1 ||
			crowd->served + crowd->unavailable + crowd->refused == CROWD)
			continue;
		r = client_receive(c, false);
		crowd->served += r.status == 200;
		crowd->unavailable += r.status == 503;
		if (r.status == 503)
			cr_expect_not_null(reply_header(&r, "Retry-After"));
		crowd->refused += r.status == 0;
		if (r.status != 200)
			client_disconnect(c);
		reply_free(&r);
	}
	crowd->waiting = CROWD - crowd->served - crowd->unavailable - crowd->refused;
}

static bool is_full(struct crowd *crowd)
{
	crowd_receive(crowd);
	return crowd->served > 100 && crowd->unavailable + crowd->refused >= 3;
}

static void wait_for_full(struct server *s, struct crowd *crowd)
{
	int64_t deadline = now_ms() + WAIT_MS;

	while (!is_full(crowd)) {
		cr_assert(now_ms() < deadline, "%d served, %d told 503, %d refused, %d wait; %d lines of trouble",
			crowd->served, crowd->unavailable, crowd->refused, crowd->waiting,
			log_count(s->supervisor, "cannot accept connections"));
		pause_ms(10);
	}
}

static void crowd_leave(struct crowd *crowd)
{
	for (int i = 0; i < CROWD; i++)
		client_fini(&crowd->clients[i]);
}

static int64_t workers_cpu_ms(struct server *s)
{
	pid_t workers[4];
	int count = server_workers(s, workers, 4);
	int64_t sum = 0;

	for (int i = 0; i < count; i++)
		sum += cpu_ms(workers[i]);
	return sum;
}

/* `is_limit_known`: the limit of connections follows from that of descriptors; else it was set too high, and accept is what fails. */
static void exhaust_descriptors(bool is_limit_known)
{
	struct server *s = server_start((const char *[]) {
		is_limit_known ? "RENOVATIOND_HTTP_CONNECTIONS_MAX=0" : "RENOVATIOND_HTTP_CONNECTIONS_MAX=5000",
		NULL });
	struct crowd *crowd = must_alloc(sizeof *crowd);
	pid_t before[4], after[4];
	int lines;
	int64_t cpu, since_ms, elapsed_ms;
	struct client known;

	server_owner(s, &known);
	cr_assert_eq(server_workers(s, before, 4), 2);
	limit_descriptors(s, DESCRIPTORS_EACH);
	since_ms = now_ms();
	crowd_connect(crowd, s->port);
	wait_for_full(s, crowd);
	if (is_limit_known)
		cr_expect_gt(crowd->unavailable, 0, "who is one too many is told with 503");
	else
		log_wait_count(s->supervisor, "cannot accept connections", 1, WAIT_MS);
	lines = log_count(s->supervisor, "cannot accept connections");
	elapsed_ms = now_ms() - since_ms;
	cr_expect_leq(lines, is_limit_known ? 0 : 40 + elapsed_ms / 500, "calmly: %d lines in %lld ms", lines,
		(long long)elapsed_ms);

	/* Whoever is in goes on being served, with words from the database. */
	for (int i = 0; i < 10; i++) {
		struct reply r = client_request(&known, "GET", "/api/sessions", NULL, NULL);

		cr_expect_eq(r.status, 200, "an old client's request gave %d", r.status);
		reply_free(&r);
	}
	/* Nobody spins over a connection that cannot be taken: time is what is measured here. */
	since_ms = now_ms();
	cpu = workers_cpu_ms(s);
	pause_ms(1000);
	cpu = workers_cpu_ms(s) - cpu;
	elapsed_ms = now_ms() - since_ms;
	cr_expect_lt(cpu, elapsed_ms * (faults_in_sanitizer() ? 8 : 3) / 10, "%lld ms of CPU time in %lld ms",
		(long long)cpu, (long long)elapsed_ms);
	crowd_leave(crowd);
	wait_until(serves, &s->port, "service is back", WAIT_MS);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1], "nobody died of it");
	client_fini(&known);
	free(crowd);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_resource, five_hundred_clients_on_too_few_descriptors_are_refused_with_503)
{
	exhaust_descriptors(true);
}

Test(faults_resource, five_hundred_clients_on_no_descriptors_at_all_make_no_loop_spin)
{
	exhaust_descriptors(false);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static rlim_t address_space(pid_t pid)
{
	FILE *file = fopen(format("/proc/%d/statm", (int)pid), "re");
	unsigned long pages = 0;

	must(file != NULL && fscanf(file, "%lu", &pages) == 1);
	(void)fclose(file);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Bodies that want memory, on connections that stay, until the worker has none left. */
static void fill_memory(struct client *clients, int count, const struct server *s, pid_t worker)
{
	static const char head[] = "POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
				   "Content-Length: 1000000\r\n\r\n";
	char *half = must_alloc(900000);

	memset(half, 'x', 900000);
	for (int i = 0; i < count && pid_is_alive(worker); i++) {
		client_init(&clients[i], s->port);
		if (client_connect(&clients[i]) && client_send(&clients[i], head, sizeof head - 1))
			(void)client_send(&clients[i], half, 900000);
	}
	free(half);
}

static bool has_left(void *arg)
{
	return !pid_is_alive(*(pid_t *)arg);
}

Test(faults_resource, a_worker_without_memory_ends_alone_and_its_end_is_explained)
{
	skip_in_sanitizer("its shadow memory lies outside of any limit");

	struct server *s = server_start((const char *[]) {
		"RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=500000", "RENOVATIOND_HEARTBEAT_KILL_MS=600000", NULL });
	struct client *clients = must_alloc(64 * sizeof *clients);
	pid_t workers[4];
	struct rlimit limit;

	for (int i = 0; i < 64; i++)
		client_init(&clients[i], s->port);
	cr_assert_eq(server_workers(s, workers, 4), 2);
	limit.rlim_cur = limit.rlim_max = address_space(workers[0]) + 4 * 1024 * 1024;
	cr_assert_eq(prlimit(workers[0], RLIMIT_AS, &limit, NULL), 0);
	/* However busy the one is, the other takes nothing from it meanwhile. */
	cr_assert_eq(kill(workers[1], SIGSTOP), 0);
	fill_memory(clients, 64, s, workers[0]);
	wait_until(has_left, &workers[0], "the worker that has no memory ends", WAIT_MS);
	cr_assert_eq(kill(workers[1], SIGCONT), 0);
	log_wait_count(s->supervisor, "\"signal\":\"SIGABRT\"", 1, WAIT_MS);
	cr_expect_eq(log_count(s->supervisor, "assumption broken"), 1, "it says what it ran out of, and where");
	workers_wait(s, workers[0], 2, WAIT_MS);
	cr_expect(pid_is_alive(workers[1]), "the other is none the worse");
	for (int i = 0; i < 64; i++)
		client_fini(&clients[i]);
	free(clients);
	cr_expect_eq(get_many(s->port, 10), 10);
	cr_expect_eq(server_stop(s), 0);
	process_end(&s->supervisor); /* its log has the line that server_end would take for a fault */
	server_end(&s);
}

/* ---- disk ------------------------------------------------------------------------------------------------------ */

static const char *log_path(void)
{
	return test_path("service.log");
}

/* Lines of the log: whole ones with `part` in them, or, without a part, those that are no JSON object. */
static int count_lines(const char *part)
{
	FILE *file = fopen(log_path(), "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int count = 0;

	must(file != NULL);
	while ((length = getline(&line, &room, file)) > 0) {
		struct json_object *parsed = line[length - 1] == '\n' ? json_tokener_parse(line) : NULL;

		count += part != NULL ? parsed != NULL && strstr(line, part) != NULL : parsed == NULL;
		json_object_put(parsed);
	}
	free(line);
	(void)fclose(file);
	return count;
}

static int count_log(const char *part)
{
	return count_lines(part);
}

static int count_torn(void)
{
	return count_lines(NULL);
}

static uint64_t dropped(const struct scoreboard *board)
{
	uint64_t sum = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		sum += SCOREBOARD_GET(board->slots[i].log_dropped);
	return sum;
}

static bool has_dropped(void *arg)
{
	return dropped(arg) > 0;
}

/* Each request of these is one line of level info. */
static int ask_many(int port, const char *path, int count)
{
	struct client c;
	int answered = 0;

	client_init(&c, port);
	for (int i = 0; i < count; i++) {
		struct reply r = client_request(&c, "GET", path, NULL, NULL);

		answered += r.status != 0;
		reply_free(&r);
	}
	client_fini(&c);
	return answered;
}

struct wanted_lines {
	const char *part;
	int count;
};

static bool has_lines(void *arg)
{
	const struct wanted_lines *wanted = arg;

	return count_log(wanted->part) >= wanted->count;
}

/* One worker: with several, the next line of another is glued to the part that the full disk took. */
Test(faults_resource, a_disk_that_fills_up_in_mid_line_loses_no_line)
{
	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	struct server *s = server_start((const char *[]) { format("LOG_FILE=%s", log_path()), "LOG_LEVEL=debug",
		"WORKERS=1", switches_preload(), switches_file(), NULL });
	struct wanted_lines wanted = { "/api/sessions", 300 };

	atomic_store(&switches->disk_room, 20011);
	atomic_store(&switches->disk_is_limited, 1);
	cr_expect_eq(ask_many(s->port, "/api/sessions", 150), 150, "the service serves on");
	cr_expect_eq(ask_many(s->port, "/api/sessions", 150), 150, "for as long as it takes");
	cr_expect_lt(count_log(wanted.part), 300, "the disk is full");
	atomic_store(&switches->disk_is_limited, 0);
	wait_until(has_lines, &wanted, "what waited is written once there is room", WAIT_MS);
	cr_expect_eq(count_log(wanted.part), 300);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_leq(count_torn(), 1, "the line at which the disk was full is there in part, then whole");
	server_end(&s);
}

struct account {
	const struct scoreboard *board;
	int asked;
};

#define OTHER_LINES 100 /* that are about something else, and may have been dropped, too */

static bool is_settled(void *arg)
{
	const struct account *account = arg;

	return count_log("/api/sessions") + (int)dropped(account->board) >= account->asked;
}

Test(faults_resource, lines_that_a_full_disk_never_takes_are_dropped_and_counted)
{
	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	struct server *s = server_start(
		(const char *[]) { format("LOG_FILE=%s", log_path()), switches_preload(), switches_file(), NULL });
	struct account account = { board_open(s), 0 };
	int written;

	atomic_store(&switches->disk_is_limited, 1);
	for (int i = 0; i < 60 && dropped(account.board) == 0; i++) {
		cr_assert_eq(ask_many(s->port, "/api/sessions", 500), 500, "the service serves on");
		account.asked += 500;
	}
	wait_until(has_dropped, (void *)(uintptr_t)account.board, "dropped lines are counted", WAIT_MS);
	atomic_store(&switches->disk_is_limited, 0);
	wait_until(is_settled, &account, "each line is in the file or counted as dropped", WAIT_MS);
	written = count_log("/api/sessions");
	cr_expect_leq(written + (int)dropped(account.board), account.asked + OTHER_LINES,
		"%d asked, %d written, %d dropped", account.asked, written, (int)dropped(account.board));
	cr_expect_eq(ask_many(s->port, "/api/tasks", 50), 50);
	wait_until(has_lines, &(struct wanted_lines) { "/api/tasks", 50 }, "new lines are written again", WAIT_MS);
	cr_expect_eq(count_torn(), 0);
	scoreboard_unmap((struct scoreboard **)(uintptr_t)&account.board);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
}

Test(faults_resource, a_log_file_that_cannot_be_made_ends_the_start_with_73)
{
	static const char *const places[] = { "plain/service.log", ".", "nowhere/service.log" };
	struct cluster *cluster = cluster_shared();
	const char *database = cluster_new_database(cluster);

	(void)fclose(fopen(test_path("plain"), "we"));
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		char path[400], log[420], *err;

		(void)snprintf(path, sizeof path, "%s/%s", test_folder(), places[i]);
		(void)snprintf(log, sizeof log, "LOG_FILE=%s", path);
		cr_expect_eq(process_run((const char *[]) { program_path("renovationd"), NULL },
				     (const char *[]) { format("DATABASE_URL=%s", cluster_url(cluster, database)),
					     "GOOGLE_API_KEY=none", "APP_ENV=test", "PORT=0", log, NULL },
				     NULL, &err, WAIT_MS),
			EXIT_CANNOT_CREATE, "%s", path);
		cr_expect_not_null(strstr(err, path), "%s", err);
		free(err);
	}
}

Test(faults_resource, a_log_that_nobody_reads_holds_up_no_request)
{
	const char *path = talk_keep(test_path("log.pipe"));
	struct server *s;
	int reader;

	must(mkfifo(path, 0600) == 0);
	reader = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	must(reader >= 0);
	s = server_start((const char *[]) { format("LOG_FILE=%s", path), "LOG_LEVEL=debug", NULL });
	cr_expect_eq(ask_many(s->port, "/api/sessions", 3000), 3000);
	process_signal(s->supervisor, SIGHUP);
	cr_expect_eq(ask_many(s->port, "/api/sessions", 100), 100);
	cr_expect_eq(server_stop(s), 0);
	server_end(&s);
	(void)close(reader);
}

/* What stands in the way of a log file's name when it is to be opened anew. */
enum obstacle { OBSTACLE_NO_FOLDER, OBSTACLE_FOLDER, OBSTACLE_PIPE };

static void put_obstacle(enum obstacle obstacle, const char *folder)
{
	const char *path = format("%s/service.log", folder);

	must(rename(path, log_path()) == 0);
	switch (obstacle) {
	case OBSTACLE_NO_FOLDER: must(rmdir(folder) == 0); break;
	case OBSTACLE_FOLDER: must(mkdir(path, 0755) == 0); break;
	case OBSTACLE_PIPE: must(mkfifo(path, 0600) == 0); break;
	}
}

static void reopen_before(enum obstacle obstacle)
{
	const char *folder = talk_keep(test_path("logs"));
	struct wanted_lines wanted = { "/api/sessions", 20 };

	must(mkdir(folder, 0755) == 0);

	struct server *s = server_start((const char *[]) { format("LOG_FILE=%s/service.log", folder), NULL });

	put_obstacle(obstacle, folder);
	process_signal(s->supervisor, SIGUSR1);
	wait_until(has_lines, &(struct wanted_lines) { "cannot open the log file again", 1 }, "it says so", WAIT_MS);
	cr_expect_eq(ask_many(s->port, "/api/sessions", 20), 20);
	wait_until(has_lines, &wanted, "lines go on into the old file", WAIT_MS);
	cr_expect_eq(server_stop(s), 0);
	cr_expect_eq(count_torn(), 0);
	server_end(&s);
}

Test(faults_resource, a_log_folder_that_is_gone_when_logs_are_reopened_keeps_the_old_file)
{
	reopen_before(OBSTACLE_NO_FOLDER);
}

Test(faults_resource, a_folder_in_place_of_the_log_file_keeps_the_old_file)
{
	reopen_before(OBSTACLE_FOLDER);
}

Test(faults_resource, a_pipe_that_nobody_reads_in_place_of_the_log_file_keeps_the_old_file)
{
	reopen_before(OBSTACLE_PIPE);
}

/* ---- the clock ------------------------------------------------------------------------------------------------- */

#define DAY_S 86400

static void use_service(struct talk *t)
{
	struct reply r = client_request(&t->client, "GET", "/api/sessions", NULL, NULL);

	cr_expect_eq(r.status, 200, "the owner's token still counts");
	reply_free(&r);
	cr_expect_eq(get_many(t->server->port, 10), 10);
}

#define LOOK_US 1200000 /* the supervisor looks once a second */

struct supervision {
	const struct scoreboard *board;
	int64_t since_us;
};

/* Each worker's heart has beaten since, the supervisor's too, and that one has looked at the others'. */
static bool has_looked(const struct supervision *seen)
{
	bool has_all = SCOREBOARD_GET(seen->board->pool.supervisor_beat_us) > seen->since_us;

	for (int i = 0; i < SLOTS_MAX; i++)
		if (SCOREBOARD_GET(seen->board->slots[i].pid) != 0)
			has_all = has_all && SCOREBOARD_GET(seen->board->slots[i].heartbeat_us) > seen->since_us;
	return has_all && clock_monotonic_us() > seen->since_us + LOOK_US;
}

Test(faults_resource, a_wall_clock_that_jumps_a_day_disturbs_nobody)
{
	static const long long jumps_s[] = { DAY_S, 0, -DAY_S, 0, 400 * DAY_S, 0 };

	skip_in_sanitizer(NO_PRELOAD);

	struct switches *switches = switches_open();
	/* Much longer than a busy machine lets a worker wait, much shorter than the jumps. */
	struct server *s = server_start((const char *[]) { "RENOVATIOND_HEARTBEAT_UNHEALTHY_MS=15000",
		"RENOVATIOND_HEARTBEAT_KILL_MS=30000", switches_preload(), switches_file(), NULL });
	struct scoreboard *board = board_open(s);
	pid_t before[4], after[4];
	struct talk t;

	talk_init(&t, s);
	cr_assert_eq(server_workers(s, before, 4), 2);
	for (size_t i = 0; i < COUNT_OF(jumps_s); i++) {
		const char *turn = talk_ask(&t, "Which paint is good for a kitchen?", "");
		struct supervision seen = { .board = board };

		atomic_store(&switches->wall_offset_s, jumps_s[i]);
		seen.since_us = clock_monotonic_us();
		for (int64_t deadline = now_ms() + WAIT_MS; !has_looked(&seen) && now_ms() < deadline;)
			use_service(&t);
		cr_expect(has_looked(&seen), "jump %zu: no heartbeat after it", i);
		talk_wait(&t, turn, "completed", WAIT_MS);
	}
	atomic_store(&switches->wall_offset_s, DAY_S);
	/* A new owner made in the future, used in the past. */
	struct talk later;

	talk_init(&later, s);
	atomic_store(&switches->wall_offset_s, -DAY_S);
	use_service(&later);
	talk_fini(&later);
	cr_assert_eq(server_workers(s, after, 4), 2);
	cr_expect_eq(before[0] + before[1], after[0] + after[1], "nobody was ended");
	cr_expect_eq(log_count(s->supervisor, "worker does not answer"), 0);
	board_close(&board);
	talk_fini(&t);
	cr_expect_eq(server_stop(s), 0, "a stop in the past is a clean one");
	server_end(&s);
}
