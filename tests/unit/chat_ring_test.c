/* Rings: numbering, overwriting, what a reader is told when the writer has passed it, take-over, and readers in other processes that run
 * against a writer at full speed. */
#include "config.h"
#include "worker/chat/ring.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/inherit.h"

static int rings_fd(int count)
{
	int fd = memfd_create("rings", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)count * RING_BYTES) == 0);
	return fd;
}

static struct rings *rings_of(int fd, int slot, uint64_t epoch)
{
	struct rings *rings = NULL;

	cr_assert_eq(rings_open(fd, slot, epoch, &rings), ERROR_NONE);
	return rings;
}

static enum error put(struct rings *rings, struct ring *ring, const char *json)
{
	uint64_t n;

	return ring_append(rings, ring, text_of(json), &n);
}

static void expect_next(const struct ring *ring, struct ring_cursor *cursor, uint64_t number, const char *json)
{
	struct buffer room;
	uint64_t n = 0;

	buffer_init(&room);
	cr_assert_eq(ring_next(ring, cursor, &room, &n), RING_EVENT);
	cr_assert_eq(n, number);
	cr_assert(text_equals(buffer_text(&room), text_of(json)));
	buffer_fini(&room);
}

static enum ring_read next(const struct ring *ring, struct ring_cursor *cursor)
{
	struct buffer room;
	uint64_t n;

	buffer_init(&room);

	enum ring_read got = ring_next(ring, cursor, &room, &n);

	buffer_fini(&room);
	return got;
}

Test(ring, numbers_begin_at_one_and_readers_see_each_event)
{
	struct rings *rings = rings_of(rings_fd(16), 0, 1);
	struct uuid turn = uuid_create();
	struct ring *ring;
	struct ring_cursor cursor;

	cr_assert_eq(ring_claim(rings, &turn, 1, 0, &ring), ERROR_NONE);
	cr_assert_eq(ring_find(rings, &turn), ring);
	cr_assert_eq(ring_seek(ring, &turn, 1, &cursor), RING_EVENT);
	cr_assert_eq(next(ring, &cursor), RING_WAIT);
	cr_assert_eq(put(rings, ring, "{\"a\":1}"), ERROR_NONE);
	cr_assert_eq(put(rings, ring, "{\"b\":2}"), ERROR_NONE);
	expect_next(ring, &cursor, 1, "{\"a\":1}");
	expect_next(ring, &cursor, 2, "{\"b\":2}");
	cr_assert_eq(next(ring, &cursor), RING_WAIT);
	ring_end(ring);
	cr_assert_eq(next(ring, &cursor), RING_ENDED);
	cr_assert_eq(ring_seek(ring, &turn, 2, &cursor), RING_EVENT);
	expect_next(ring, &cursor, 2, "{\"b\":2}");
	ring_release(rings, ring);
	cr_assert_eq(next(ring, &cursor), RING_GONE);
	cr_assert_null(ring_find(rings, &turn));
	rings_close(&rings);
	cr_assert_null(rings);
}

Test(ring, events_that_no_chunk_holds_are_never_pushed_out)
{
	struct rings *rings = rings_of(rings_fd(16), 0, 1);
	struct uuid turn = uuid_create();
	struct ring *ring;
	struct ring_cursor cursor;
	char json[1000];
	uint64_t n = 0;

	memset(json, 'x', sizeof json);
	cr_assert_eq(ring_claim(rings, &turn, 1, 0, &ring), ERROR_NONE);
	while (ring_append(rings, ring, text_span(json, sizeof json), &n) == ERROR_NONE)
		;
	cr_assert_eq(n, RING_BYTES / (sizeof json + 12));
	cr_assert_eq(ring_last(ring), n);
	cr_assert_eq(ring_seek(ring, &turn, 1, &cursor), RING_EVENT);
	ring_set_stored(ring, 10);
	cr_assert_eq(ring_append(rings, ring, text_span(json, sizeof json), &n), ERROR_NONE);
	cr_assert_eq(ring_first(ring), 2);
	cr_assert_eq(next(ring, &cursor), RING_PASSED);
	cr_assert_eq(ring_seek(ring, &turn, 1, &cursor), RING_PASSED);
	cr_assert_eq(ring_seek(ring, &turn, 2, &cursor), RING_EVENT);
	cr_assert_eq(ring_seek(ring, &turn, n + 1, &cursor), RING_EVENT);
	cr_assert_eq(next(ring, &cursor), RING_WAIT);
	rings_close(&rings);
}

Test(ring, a_full_area_says_so_and_ended_rings_make_room)
{
	struct rings *rings = rings_of(rings_fd(16), 0, 1);
	uint32_t count = rings_count(rings);
	struct uuid turns[16];
	struct ring *ring;

	for (uint32_t i = 0; i < count; i++) {
		turns[i] = uuid_create();
		cr_assert_eq(ring_claim(rings, &turns[i], 1, 0, &ring), ERROR_NONE);
	}
	struct uuid more = uuid_create();

	cr_assert_eq(ring_claim(rings, &more, 1, 0, &ring), ERROR_FULL);
	for (uint32_t i = 0; i < count; i++)
		cr_assert_not_null(ring_find(rings, &turns[i]));
	ring_end(ring_find(rings, &turns[3]));
	cr_assert_eq(ring_claim(rings, &more, 1, 0, &ring), ERROR_NONE, "one that only lingers makes room");
	cr_assert_null(ring_find(rings, &turns[3]));
	more = uuid_create();
	cr_assert_eq(ring_claim(rings, &more, 1, 0, &ring), ERROR_FULL);
	ring_end(ring_find(rings, &turns[0]));
	rings_sweep(rings, 1000000);
	cr_assert_not_null(ring_find(rings, &turns[0]));
	rings_sweep(rings, -1);
	cr_assert_null(ring_find(rings, &turns[0]));
	cr_assert_eq(ring_claim(rings, &more, 1, 0, &ring), ERROR_NONE);
	rings_close(&rings);
}

Test(ring, a_higher_fence_takes_over_and_the_old_writer_is_refused)
{
	int fd = rings_fd(16);
	struct rings *first = rings_of(fd, 0, 1), *second = rings_of(fd, 1, 2);
	struct uuid turn = uuid_create();
	struct ring *mine, *theirs;
	struct ring_cursor cursor;

	cr_assert_eq(ring_claim(first, &turn, 1, 0, &mine), ERROR_NONE);
	cr_assert_eq(put(first, mine, "1"), ERROR_NONE);
	theirs = ring_find(second, &turn);
	cr_assert_not_null(theirs);
	cr_assert_eq(ring_take_over(second, theirs, 1), ERROR_BUSY);
	cr_assert_eq(ring_take_over(second, theirs, 2), ERROR_NONE);
	cr_assert_eq(ring_owner_slot(mine), 1);
	cr_assert_eq(put(first, mine, "2"), ERROR_LOST_OWNERSHIP);
	cr_assert_eq(put(second, theirs, "2"), ERROR_NONE);
	cr_assert_eq(ring_seek(mine, &turn, 1, &cursor), RING_EVENT);
	expect_next(mine, &cursor, 1, "1");
	expect_next(mine, &cursor, 2, "2");
	rings_close(&first);
	rings_close(&second);
}

Test(ring, numbers_go_on_where_the_chunks_end)
{
	struct rings *rings = rings_of(rings_fd(16), 3, 1);
	struct uuid turn = uuid_create();
	struct ring *ring;
	struct ring_cursor cursor;

	cr_assert_eq(ring_claim(rings, &turn, 2, 41, &ring), ERROR_NONE);
	cr_assert_eq(ring_seek(ring, &turn, 41, &cursor), RING_PASSED);
	cr_assert_eq(ring_seek(ring, &turn, 42, &cursor), RING_EVENT);
	cr_assert_eq(put(rings, ring, "42"), ERROR_NONE);
	expect_next(ring, &cursor, 42, "42");
	ring_watch(ring, 3);
	cr_assert_eq(ring_watchers(ring), 8);
	ring_unwatch(ring, 3);
	cr_assert_eq(ring_watchers(ring), 0);
	rings_close(&rings);
}

#define EVENTS 200000

/* One event's text follows from its number, so that a torn read shows. */
static size_t event_text(uint64_t n, char *out)
{
	size_t length = 20 + n * 7919 % 300;

	memset(out, 'a' + (char)(n % 26), length);
	(void)snprintf(out, 21, "%020lu", (unsigned long)n);
	out[20] = 'a' + (char)(n % 26);
	return length;
}

static int read_all(struct rings *rings, const struct uuid *turn)
{
	struct ring *ring = ring_find(rings, turn);
	struct ring_cursor cursor;
	struct buffer json;
	uint64_t n, expected = 1, seen = 0;
	char text[400];

	buffer_init(&json);
	if (ring == NULL)
		return 1;
	while (ring_seek(ring, turn, expected, &cursor) != RING_EVENT)
		expected = ring_first(ring);
	for (;;) {
		enum ring_read got = ring_next(ring, &cursor, &json, &n);

		if (got == RING_ENDED)
			break;
		if (got == RING_GONE)
			return 2;
		if (got == RING_PASSED) {
			do
				expected = ring_first(ring);
			while (ring_seek(ring, turn, expected, &cursor) != RING_EVENT);
			continue;
		}
		if (got == RING_WAIT)
			continue;
		if (n != expected || !text_equals(buffer_text(&json), text_span(text, event_text(n, text))))
			return 3;
		expected = n + 1;
		seen++;
	}
	buffer_fini(&json);
	return expected == EVENTS + 1 && seen > 0 ? 0 : 4;
}

/* A process that the test has when it ends early goes with it: it would keep a processor busy for ever. */
static pid_t fork_bound(void)
{
	pid_t test = getpid(), child = fork();

	cr_assert_geq(child, 0);
	if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != test))
		_exit(9);
	return child;
}

Test(ring, readers_in_other_processes_never_see_a_torn_or_missing_event, .timeout = 120)
{
	int fd = rings_fd(16);
	struct rings *rings = rings_of(fd, 0, 1);
	struct uuid turn = uuid_create();
	struct ring *ring;
	pid_t readers[2];
	char text[400];
	uint64_t n;

	cr_assert_eq(ring_claim(rings, &turn, 1, 0, &ring), ERROR_NONE);
	for (int i = 0; i < 2; i++) {
		readers[i] = fork_bound();
		if (readers[i] == 0)
			_exit(read_all(rings_of(fd, i + 1, (uint64_t)i + 2), &turn));
	}
	for (uint64_t i = 1; i <= EVENTS; i++) {
		ring_set_stored(ring, i - 1);
		cr_assert_eq(ring_append(rings, ring, text_span(text, event_text(i, text)), &n), ERROR_NONE);
		cr_assert_eq(n, i);
	}
	ring_end(ring);
	for (int i = 0; i < 2; i++) {
		int status;

		cr_assert_eq(waitpid(readers[i], &status, 0), readers[i]);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "reader %d ended with %d", i,
			WEXITSTATUS(status));
	}
	rings_close(&rings);
}

Test(ring, a_writer_killed_at_any_point_leaves_whole_events, .timeout = 120)
{
	for (int round = 0; round < 20; round++) {
		int fd = rings_fd(16);
		struct rings *rings = rings_of(fd, 0, 1);
		struct uuid turn = uuid_create();
		struct ring *ring;
		struct ring_cursor cursor;
		struct buffer json;
		char text[400];
		uint64_t n;

		cr_assert_eq(ring_claim(rings, &turn, 1, 0, &ring), ERROR_NONE);
		pid_t writer = fork_bound();

		if (writer == 0) {
			for (uint64_t i = 1;; i++) {
				ring_set_stored(ring, i - 1);
				if (ring_append(rings, ring, text_span(text, event_text(i, text)), &n) != ERROR_NONE)
					_exit(1);
			}
		}
		while (ring_last(ring) < 1000u * (unsigned)(round + 1))
			(void)sched_yield();
		kill(writer, SIGKILL);
		waitpid(writer, NULL, 0);

		struct rings *heir = rings_of(fd, 1, 2);

		cr_assert_eq(ring_take_over(heir, ring_find(heir, &turn), 2), ERROR_NONE);
		buffer_init(&json);

		uint64_t expected = ring_first(ring);

		cr_assert_eq(ring_seek(ring, &turn, expected, &cursor), RING_EVENT);
		while (ring_next(ring, &cursor, &json, &n) == RING_EVENT) {
			cr_assert_eq(n, expected++);
			cr_assert(text_equals(buffer_text(&json), text_span(text, event_text(n, text))));
		}
		cr_assert_eq(expected, ring_last(ring) + 1);
		buffer_fini(&json);
		rings_close(&heir);
		rings_close(&rings);
		close(fd);
	}
}
