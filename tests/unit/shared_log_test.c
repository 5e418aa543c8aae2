/* shared_log_test.c: where log lines go when that place is full, changes, or is systemd's journal. Nothing may block, no line may be lost while there is
 * room for it, and none may be torn. The journal is a socket of the test's own. */
#include "config.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/journal.h"
#include "shared/log.h"

TestSuite(log, .timeout = 240);
TestSuite(journal, .timeout = 240);

#define ROOM_BYTES (8 * 1024 * 1024)

static char folder[64];

static const char *path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *room = path[next++ % 4];

	(void)snprintf(room, sizeof path[0], "%s/%s", folder, name);
	return room;
}

static void make_folder(void)
{
	(void)snprintf(folder, sizeof folder, "/tmp/renovationd-log-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
	static const char *const names[] = { "journal", "old", "new", "stream" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		(void)unlink(path_of(names[i]));
	(void)rmdir(folder);
}

static int open_file(const char *name)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	return fd;
}

/* The whole file; static. */
static char *content(const char *name)
{
	static char text[ROOM_BYTES];
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof text - 1);

	cr_assert_geq(length, 0);
	close(fd);
	text[length] = '\0';
	return text;
}

/* Each line is whole, and they count up from `first`; returns the number after the last. */
static int expect_counting(char *text, int first)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		char *number = strstr(line, "\"i\":");

		cr_assert_eq(line[0], '{', "torn: %s", line);
		cr_assert_eq(line[strlen(line) - 1], '}', "torn: %s", line);
		cr_assert_not_null(number, "%s", line);
		cr_assert_eq(strtol(number + 4, NULL, 10), first, "not %d: %s", first, line);
		first++;
	}
	return first;
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

/* Files may not grow beyond `bytes`: a disk that is full there, the last write taken in part. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };

	(void)signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void log_many(int first, int count)
{
	for (int i = first; i < first + count; i++)
		LOG(LOG_INFO, "a line", F_INT("i", i));
	log_flush();
}

Test(log, a_reopened_file_takes_over_between_two_lines, .init = make_folder, .fini = remove_folder)
{
	int old = open_file("old"), new = open_file("new");

	log_open("test", 1, LOG_INFO, old);
	for (int i = 0; i < 5; i++)
		LOG(LOG_INFO, "a line", F_INT("i", i));
	log_set_fd(new);
	close(old);
	log_many(5, 5);
	cr_assert_eq(expect_counting(content("old"), 0), 5);
	cr_assert_eq(expect_counting(content("new"), 5), 10);
	log_close();
	close(new);
}

Test(log, what_a_full_disk_did_not_take_goes_whole_to_the_new_place, .init = make_folder, .fini = remove_folder)
{
	static char out[64 * 1024];
	int old = open_file("old"), ends[2], reached;
	char *text, *torn;

	cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0); /* in place of a file: on it there is room */
	log_open("test", 1, LOG_INFO, old);
	limit_files(1000);
	log_many(0, 100);
	limit_files(1001);
	log_set_fd(ends[1]);
	limit_files(RLIM_INFINITY);
	close(old);
	text = content("old");
	cr_assert_eq(strlen(text), 1001);
	cr_assert_eq(text[1000], '\n', "the part of a line has no end of line");
	cr_assert_neq(text[999], '}', "the test shall tear a line");
	torn = strrchr(text, '{');
	*torn = '\0';
	reached = expect_counting(text, 0);
	log_flush();
	cr_assert_gt(read(ends[0], out, sizeof out - 1), 0);
	cr_assert_eq(expect_counting(out, reached), 100);
	cr_assert_eq(log_dropped(), 0);
	log_close();
	close(ends[0]);
	close(ends[1]);
}

static volatile sig_atomic_t refusals; /* writes that a full disk took nothing of */

static void on_refusal(int signal)
{
	(void)signal;
	refusals++;
}

Test(log, a_disk_that_has_room_again_is_written_to_within_seconds, .init = make_folder, .fini = remove_folder)
{
	static const int64_t begin_us = INT64_C(5000000000);
	int fd = open_file("old"), reached, tries;
	char *text, *torn, *rest;

	clock_freeze(begin_us, begin_us);
	log_open("test", 1, LOG_INFO, fd);
	limit_files(1000);
	(void)signal(SIGXFSZ, on_refusal);
	log_many(0, 100);
	tries = refusals;
	cr_assert_gt(tries, 0);
	for (int i = 100; i < 150; i++)
		log_many(i, 1);
	cr_assert_eq(refusals, tries, "a full disk shall not be tried again at each line");
	limit_files(RLIM_INFINITY);
	log_flush();
	cr_assert_null(strstr(content("old"), "\"i\":149}"));
	clock_freeze(begin_us + 1000000, begin_us + 1000000);
	log_flush();
	clock_thaw();
	text = content("old");
	/* The line that was cut short is there again, whole, on a line of its own. */
	torn = text + 1000;
	cr_assert_eq(*torn, '\n');
	rest = torn + 1;
	*torn = '\0';
	torn = strrchr(text, '{');
	*torn = '\0';
	reached = expect_counting(text, 0);
	cr_assert_eq(expect_counting(rest, reached), 150);
	cr_assert_eq(log_dropped(), 0);
	log_close();
	close(fd);
}

Test(log, lines_that_find_no_room_are_counted_and_told, .init = make_folder, .fini = remove_folder)
{
	int fd = open_file("old");
	char expected[64];

	log_open("test", 1, LOG_INFO, fd);
	limit_files(1);
	log_many(0, 30000);
	cr_assert_gt(log_dropped(), 0);
	(void)snprintf(expected, sizeof expected, "\"lines\":%ju}", (uintmax_t)log_dropped());
	limit_files(RLIM_INFINITY);
	log_set_fd(fd); /* tries at once */
	cr_assert_not_null(strstr(content("old"), "\"msg\":\"log lines were dropped\""));
	cr_assert_not_null(strstr(content("old"), expected));
	log_close();
	close(fd);
}

/* ---- pipes ----------------------------------------------------------------------------------------------------- */

static void on_alarm(int signal)
{
	static const char message[] = "log_flush blocked\n";

	(void)signal;
	(void)!write(STDERR_FILENO, message, sizeof message - 1);
	_exit(1);
}

Test(log, a_line_longer_than_a_pipe_does_not_block)
{
	static char words[200 * 1024], out[ROOM_BYTES];
	size_t length = 0;
	int ends[2];

	(void)signal(SIGALRM, on_alarm);
	alarm(120);
	cr_assert_eq(pipe(ends), 0); /* blocking, as an inherited stderr is */
	memset(words, 'x', sizeof words - 1);
	log_open("test", -1, LOG_INFO, ends[1]);
	LOG(LOG_INFO, "long", F_STR("words", words));
	LOG(LOG_INFO, "after");
	log_flush();
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 1000; i++) {
		ssize_t got = read(ends[0], out + length, sizeof out - length);

		length += got > 0 ? (size_t)got : 0;
		log_flush();
	}
	alarm(0);
	cr_assert_not_null(memmem(out, length, words, sizeof words - 1));
	cr_assert_not_null(memmem(out, length, "}\n{", 3));
	cr_assert_not_null(memmem(out, length, "\"msg\":\"after\"", 13));
	log_close();
	close(ends[0]);
	close(ends[1]);
}

/* ---- the journal ----------------------------------------------------------------------------------------------- */

static int journal_fd, stream_fd;

/* A datagram socket in place of journald's, and a descriptor that $JOURNAL_STREAM says is the journal's. */
static void open_journal(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	char variable[64];

	make_folder();
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of("journal"));
	journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(journal_fd, (struct sockaddr *)&address, sizeof address), 0);
	stream_fd = open_file("stream");
	cr_assert_eq(fstat(stream_fd, &status), 0);
	(void)snprintf(variable, sizeof variable, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	cr_assert_eq(setenv("JOURNAL_STREAM", variable, 1), 0);
	journal_set_path(path_of("journal"));
}

static void close_journal(void)
{
	log_close();
	close(journal_fd);
	close(stream_fd);
	remove_folder();
}

/* The next datagram, NUL-terminated, static; NULL when there is none. *fd_out gets a descriptor that came with it, or -1. */
static char *receive(size_t *length_out, int *fd_out)
{
	static char bytes[64 * 1024];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof bytes - 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	ssize_t length = recvmsg(journal_fd, &message, 0);
	struct cmsghdr *header = length < 0 ? NULL : CMSG_FIRSTHDR(&message);

	if (length < 0)
		return NULL;
	*fd_out = -1;
	if (header != NULL)
		memcpy(fd_out, CMSG_DATA(header), sizeof *fd_out);
	bytes[length] = '\0';
	*length_out = (size_t)length;
	return bytes;
}

static char *receive_entry(void)
{
	size_t length;
	int fd;
	char *entry = receive(&length, &fd);

	cr_assert_not_null(entry, "no entry came");
	return entry;
}

static void expect_field(const char *entry, const char *line)
{
	char whole[256];

	(void)snprintf(whole, sizeof whole, "%s\n", line);
	cr_expect(strncmp(entry, whole, strlen(whole)) == 0 ||
			  (strstr(entry, whole) != NULL && strstr(entry, whole)[-1] == '\n'),
		"no %s in:\n%s", line, entry);
}

Test(journal, an_entry_has_native_fields, .init = open_journal, .fini = close_journal)
{
	char *entry;

	log_open("renovationd-worker", 3, LOG_DEBUG, stream_fd);
	LOG(LOG_WARN, "request done", F_STR("request_id", "r-1"), F_STR("trace_id", "t-1"), F_STR("event", "e"),
		F_STR("path", "/a b"), F_INT("status", 200), F_REAL("ms", 1.5), F_BOOL("kept", true),
		F_STR("none", NULL), F_RAW("phases", TEXT("[1]")));
	entry = receive_entry();
	expect_field(entry,
		"MESSAGE=request done request_id=r-1 trace_id=t-1 event=e path=\"/a b\" status=200 ms=1.500 kept=true "
		"phases=[1]");
	expect_field(entry, "PRIORITY=4");
	expect_field(entry, "SYSLOG_IDENTIFIER=renovationd-worker");
	expect_field(entry, "WORKER=3");
	expect_field(entry, "REQUEST_ID=r-1");
	expect_field(entry, "TRACE_ID=t-1");
	expect_field(entry, "EVENT=e");
	expect_field(entry, "RENOVATIOND_PATH=/a b");
	expect_field(entry, "RENOVATIOND_STATUS=200");
	expect_field(entry, "RENOVATIOND_MS=1.500");
	expect_field(entry, "RENOVATIOND_KEPT=true");
	expect_field(entry, "RENOVATIOND_PHASES=[1]");
	cr_expect_null(strstr(entry, "NONE"));
	cr_expect_eq(content("stream")[0], '\0', "the stream got lines too");
}

Test(journal, levels_are_syslog_priorities, .init = open_journal, .fini = close_journal)
{
	static const char *const expected[] = { "PRIORITY=7", "PRIORITY=6", "PRIORITY=4", "PRIORITY=3", "PRIORITY=2" };

	log_open("renovationd", -1, LOG_DEBUG, stream_fd);
	for (enum log_level level = LOG_DEBUG; level <= LOG_FATAL; level++) {
		char *entry;

		LOG(level, "a line");
		log_flush();
		entry = receive_entry();
		expect_field(entry, expected[level]);
		cr_expect_null(strstr(entry, "WORKER"));
	}
}

Test(journal, a_value_with_lines_cannot_make_fields, .init = open_journal, .fini = close_journal)
{
	static const char value[] = "one\nPRIORITY=0\ntwo";
	uint64_t length = htole64(sizeof value - 1);
	char expected[128] = "\nRENOVATIOND_NOTE\n";
	size_t used = strlen(expected), got;
	char *entry;
	int fd;

	memcpy(expected + used, &length, sizeof length);
	memcpy(expected + used + sizeof length, value, sizeof value);
	expected[used + sizeof length + sizeof value - 1] = '\n';
	log_open("renovationd", -1, LOG_INFO, stream_fd);
	LOG(LOG_INFO, "a line", F_STR("note", value), F_RAW("raw", TEXT("[1,\n2]")), F_STR("last", "x"));
	log_flush();
	entry = receive(&got, &fd);
	cr_assert_not_null(entry);
	cr_expect_not_null(memmem(entry, got, expected, used + sizeof length + sizeof value));
	expect_field(entry, "MESSAGE=a line note=\"one\\nPRIORITY=0\\ntwo\" raw=[1, 2] last=x");
	cr_expect_not_null(memmem(entry, got, "RENOVATIOND_LAST=x\n", 19));
}

Test(journal, a_large_entry_goes_as_sealed_memory, .init = open_journal, .fini = close_journal)
{
	static char words[1024 * 1024], memory[2 * 1024 * 1024];
	size_t length;
	int fd = -1;
	ssize_t got;

	memset(words, 'x', sizeof words - 1);
	log_open("renovationd", -1, LOG_INFO, stream_fd);
	LOG(LOG_INFO, "long", F_STR("words", words));
	LOG(LOG_INFO, "after");
	log_flush();
	cr_assert_not_null(receive(&length, &fd));
	cr_assert_eq(length, 0);
	cr_assert_geq(fd, 0);
	got = pread(fd, memory, sizeof memory, 0);
	cr_assert_gt(got, (ssize_t)sizeof words);
	cr_expect_not_null(memmem(memory, (size_t)got, words, sizeof words - 1));
	cr_expect_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	close(fd);
	expect_field(receive_entry(), "MESSAGE=after");
}

Test(journal, a_full_journal_never_blocks_and_loses_nothing_that_fits, .init = open_journal, .fini = close_journal)
{
	char expected[64];

	(void)signal(SIGALRM, on_alarm);
	alarm(120);
	log_open("renovationd", -1, LOG_INFO, stream_fd);
	log_many(0, 2000);
	cr_expect_eq(log_dropped(), 0);
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(expected, sizeof expected, "RENOVATIOND_I=%d", i);
		expect_field(receive_entry(), expected);
		log_flush();
	}
	alarm(0);
}

Test(journal, what_does_not_fit_is_counted, .init = open_journal, .fini = close_journal)
{
	size_t length;
	bool is_told = false;
	char *entry;
	int fd;

	(void)signal(SIGALRM, on_alarm);
	alarm(120);
	log_open("renovationd", -1, LOG_INFO, stream_fd);
	log_many(0, 30000);
	cr_expect_gt(log_dropped(), 0);
	for (int i = 0; i < 60000 && !is_told; i++) {
		entry = receive(&length, &fd);
		is_told = entry != NULL && strstr(entry, "MESSAGE=log lines were dropped lines=") != NULL;
		log_flush();
	}
	alarm(0);
	cr_expect(is_told);
}

Test(journal, a_change_to_a_file_loses_no_entry, .init = open_journal, .fini = close_journal)
{
	int file = open_file("new");
	char expected[64];

	log_open("renovationd", -1, LOG_INFO, stream_fd);
	log_many(0, 1000);
	log_set_fd(file);
	log_many(1000, 10);
	cr_assert_eq(expect_counting(content("new"), 1000), 1010);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(expected, sizeof expected, "RENOVATIOND_I=%d", i);
		expect_field(receive_entry(), expected);
		log_flush();
	}
	close(file);
}

Test(journal, a_descriptor_that_is_not_the_journals_gets_lines, .init = open_journal, .fini = close_journal)
{
	int file = open_file("new");
	size_t length;
	int fd;

	log_open("renovationd", -1, LOG_INFO, file);
	log_many(0, 1);
	cr_assert_eq(expect_counting(content("new"), 0), 1);
	cr_assert_null(receive(&length, &fd));
	close(file);
}

Test(journal, without_its_socket_lines_go_to_the_stream, .init = open_journal, .fini = close_journal)
{
	cr_assert_eq(unlink(path_of("journal")), 0);
	log_open("renovationd", -1, LOG_INFO, stream_fd);
	log_many(0, 1);
	cr_assert_eq(expect_counting(content("stream"), 0), 1);
}
