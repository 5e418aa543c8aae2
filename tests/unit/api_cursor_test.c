/* api_cursor_test.c: cursors come back for their owner and list only; conditions on ETags are read as RFC 9110 says. */
#include "config.h"

#include <criterion/criterion.h>

#include "worker/api/cursor.h"
#include "worker/api/etag.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena);
}

static void teardown(void)
{
	arena_fini(&arena);
}

TestSuite(cursor, .init = setup, .fini = teardown);
TestSuite(etag, .init = setup, .fini = teardown);

static const struct text list = { "/api/tasks?order=position", 25 };

Test(cursor, comes_back_as_it_was)
{
	static const char *const keys[] = { "", "0", "-1", "2026-11-21 12:00:00.123456+00", "infinity" };
	struct uuid owner = uuid_create();

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		struct cursor c = { .key = text_of(keys[i]), .id = uuid_create() }, back;
		struct text encoded = cursor_format(&arena, &owner, list, &c);

		cr_assert_eq(cursor_parse(&arena, &owner, list, encoded, &back), ERROR_NONE);
		cr_expect(text_equals(back.key, c.key));
		cr_expect(uuid_equals(&back.id, &c.id));
	}
}

Test(cursor, of_another_owner_or_list_is_refused)
{
	struct uuid owner = uuid_create(), other = uuid_create();
	struct cursor c = { .key = TEXT("5"), .id = uuid_create() }, back;
	struct text encoded = cursor_format(&arena, &owner, list, &c);

	cr_expect_eq(cursor_parse(&arena, &other, list, encoded, &back), ERROR_INVALID_CURSOR);
	cr_expect_eq(
		cursor_parse(&arena, &owner, TEXT("/api/tasks?order=dueAt"), encoded, &back), ERROR_INVALID_CURSOR);
}

Test(cursor, edited_at_any_place_is_refused)
{
	struct uuid owner = uuid_create();
	struct cursor c = { .key = TEXT("12345"), .id = uuid_create() }, back;
	struct text encoded = cursor_format(&arena, &owner, list, &c);

	for (size_t i = 0; i < encoded.length; i++) {
		char *edited = arena_strndup(&arena, encoded.bytes, encoded.length);

		edited[i] = edited[i] == 'A' ? 'B' : 'A';
		cr_expect_eq(
			cursor_parse(&arena, &owner, list, text_of(edited), &back), ERROR_INVALID_CURSOR, "%zu", i);
		cr_expect_eq(cursor_parse(&arena, &owner, list, text_span(encoded.bytes, i), &back),
			ERROR_INVALID_CURSOR, "%zu", i);
	}
}

Test(cursor, nonsense_is_refused)
{
	static const struct text bad[] = { TEXT(""), TEXT("x"), TEXT("next"), TEXT("===="), TEXT("\xFF\xFE"), TEXT("0"),
		TEXT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") };
	struct uuid owner = uuid_create();
	struct cursor back;
	char *huge = arena_alloc(&arena, 100000);

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		cr_expect_eq(cursor_parse(&arena, &owner, list, bad[i], &back), ERROR_INVALID_CURSOR, "row %zu", i);
	memset(huge, 'A', 99999);
	cr_expect_eq(cursor_parse(&arena, &owner, list, text_of(huge), &back), ERROR_INVALID_CURSOR);
}

Test(etag, if_none_match_compares_weakly_and_whole)
{
	static const struct {
		const char *field;
		bool is_known;
	} rows[] = { { "\"3\"", true }, { "W/\"3\"", true }, { "\"2\", \"3\"", true }, { "\"2\" ,W/\"3\"", true },
		{ "*", true }, { "3", true }, { "\"4\"", false }, { "\"33\"", false }, { "\"3-1.0.0\"", false },
		{ "", false }, { "\"", false }, { "\"3", true }, { ",,,", false } };

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		cr_expect_eq(etag_is_known(text_of(rows[i].field), TEXT("3")), rows[i].is_known, "%s", rows[i].field);
	cr_expect_not(etag_is_known(TEXT_NONE, TEXT("3")));
}

Test(etag, if_match_gives_the_versions_it_allows)
{
	static const struct {
		const char *field, *versions;
	} rows[] = { { "\"3\"", "{3}" }, { "\"3\", \"5\"", "{3,5}" }, { "3", "{3}" }, { "\"7-1.0.0\"", "{7}" },
		{ "W/\"3\"", "{}" }, { "\"abc\"", "{}" }, { "\"\"", "{}" }, { "\"3x\"", "{}" }, { "\"-1\"", "{}" },
		{ "\"1234567890\"", "{}" }, { "", "{}" }, { "\"x\", \"4\"", "{4}" }, { "\"3};drop\"", "{}" } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct text got = etag_versions(&arena, text_of(rows[i].field));

		cr_expect(text_equals(got, text_of(rows[i].versions)), "%s: %.*s", rows[i].field, TEXT_ARGS(got));
	}
	cr_expect_null(etag_versions(&arena, TEXT_NONE).bytes);
	cr_expect_null(etag_versions(&arena, TEXT("*")).bytes);
}
