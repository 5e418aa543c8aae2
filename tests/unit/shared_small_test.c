/* shared_small_test.c: arena, text, buffer, clock and log, the small tools that everything else trusts. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/log.h"

Test(arena, gives_zeroed_aligned_memory_of_any_size)
{
	struct arena a;
	size_t sizes[] = { 0, 1, 7, 16, 100, 3999, 4000, 4001, 100000 };

	arena_init(&a);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		unsigned char *block = arena_alloc(&a, sizes[i]);

		cr_assert_eq((uintptr_t)block % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			cr_assert_eq(block[j], 0);
		memset(block, 0xAA, sizes[i]);
	}
	arena_fini(&a);
	cr_assert_null(a.newest);
}

Test(arena, prints)
{
	struct arena a;

	arena_init(&a);
	struct text t = arena_printf(&a, "%s-%d", "room", 7);

	cr_assert(text_equals(t, TEXT("room-7")));
	arena_fini(&a);
}

Test(text, is_cut_between_code_points)
{
	struct text t = TEXT("a\xe2\x82\xac"
			     "b");

	cr_assert(text_equals(text_cut(t, 100), t));
	cr_assert(text_equals(text_cut(t, 5), t));
	cr_assert(text_equals(text_cut(t, 4), TEXT("a\xe2\x82\xac")));
	cr_assert(text_equals(text_cut(t, 3), TEXT("a")));
	cr_assert(text_equals(text_cut(t, 1), TEXT("a")));
	cr_assert_eq(text_cut(t, 0).length, 0);
	cr_assert_eq(text_cut(TEXT_NONE, 5).length, 0);
}

Test(buffer, keeps_what_was_appended_while_it_is_consumed)
{
	struct buffer b;
	char expected = 0, next = 0;

	buffer_init(&b);
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < round % 37; i++)
			buffer_append_char(&b, next++);

		size_t take = buffer_length(&b) * 2 / 3;

		for (size_t i = 0; i < take; i++)
			cr_assert_eq(buffer_text(&b).bytes[i], expected++);
		buffer_consume(&b, take);
	}
	cr_assert_lt(b.capacity, 4096, "it does not grow for ever");
	buffer_fini(&b);
}

Test(buffer, prints_more_than_it_has_room_for)
{
	struct buffer b;

	buffer_init(&b);
	for (int i = 0; i < 50; i++)
		buffer_printf(&b, "%0200d", i);
	cr_assert_eq(buffer_length(&b), 10000);
	buffer_fini(&b);
}

Test(clock, formats_times)
{
	char time[CLOCK_RFC3339_BYTES], date[CLOCK_HTTP_DATE_BYTES];

	clock_format_rfc3339(1700000000123456, time);
	cr_assert_str_eq(time, "2023-11-14T22:13:20.123Z");
	clock_format_http_date(784111777000000, date);
	cr_assert_str_eq(date, "Sun, 06 Nov 1994 08:49:37 GMT");
}

Test(clock, stands_still_when_frozen)
{
	clock_freeze(5000, 7000);
	cr_assert_eq(clock_monotonic_ms(), 5);
	cr_assert_eq(clock_wall_us(), 7000);
	clock_thaw();
	cr_assert_neq(clock_monotonic_us(), 5000);
}

static size_t read_all(int fd, char *out, size_t capacity)
{
	size_t length = 0;
	ssize_t got;

	while ((got = read(fd, out + length, capacity - 1 - length)) > 0)
		length += (size_t)got;
	out[length] = '\0';
	return length;
}

Test(log, lines_are_json_with_escaped_text)
{
	int ends[2];
	char out[4096];

	cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
	log_open("test", 3, LOG_INFO, ends[1]);
	LOG(LOG_INFO, "hello", F_TEXT("who", TEXT("a \"b\"\n\xff")), F_INT("n", -5), F_BOOL("yes", true),
		F_STR("none", NULL));
	LOG(LOG_DEBUG, "unseen");
	log_flush();
	read_all(ends[0], out, sizeof out);
	cr_assert(strstr(out, "\"level\":\"info\",\"msg\":\"hello\",\"service\":\"test\"") != NULL, "%s", out);
	cr_assert(strstr(out, "\"worker\":3,\"who\":\"a \\\"b\\\"\\n\xEF\xBF\xBD\",\"n\":-5,\"yes\":true}\n") != NULL,
		"%s", out);
	cr_assert_null(strstr(out, "unseen"));
	cr_assert_null(strstr(out, "none"));
	log_close();
}

Test(log, full_pipe_never_blocks_and_lines_stay_whole)
{
	int ends[2];
	static char out[4 * 1024 * 1024];

	cr_assert_eq(pipe(ends), 0); /* blocking, as an inherited stderr is */
	log_open("test", -1, LOG_INFO, ends[1]);
	for (int i = 0; i < 50000; i++)
		LOG(LOG_INFO, "a line that nobody reads", F_INT("i", i));
	log_flush();
	cr_assert_gt(log_dropped(), 0);
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);

	size_t length = 0;

	for (int i = 0; i < 1000; i++) {
		length += read_all(ends[0], out + length, sizeof out - length);
		log_flush();
	}
	cr_assert_gt(length, 0);
	for (char *line = out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		cr_assert(line[0] == '{' && end[-1] == '}', "a torn line: %.200s", line);
	cr_assert_eq(out[length - 1], '\n');
	log_close();
}
