/* api_fields_test.c: what each type of field takes and refuses, and how a whole body is judged. */
#include "config.h"

#include <criterion/criterion.h>

#include "worker/api/fields.h"
#include "worker/api/formats.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena);
}

static void teardown(void)
{
	arena_fini(&arena);
}

TestSuite(fields, .init = setup, .fini = teardown);

static const char *const states[] = { "open", "done", NULL };

static const struct field table[] = {
	{ .name = "id", .type = FIELD_UUID, .flags = FIELD_READ },
	{ .name = "title", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 5 },
	{ .name = "note", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 10 },
	{ .name = "count", .type = FIELD_INT, .min = -2, .max = 9 },
	{ .name = "price", .type = FIELD_MONEY, .flags = FIELD_NULLABLE, .max = 999 },
	{ .name = "length", .type = FIELD_MEASURE, .flags = FIELD_POSITIVE, .max = 100, .scale = 3 },
	{ .name = "rating", .type = FIELD_MEASURE, .max = 5, .scale = 1 },
	{ .name = "done", .type = FIELD_BOOL },
	{ .name = "status", .type = FIELD_ENUM, .values = states },
	{ .name = "ref", .type = FIELD_UUID, .flags = FIELD_NULLABLE | FIELD_CREATE_ONLY },
	{ .name = "due", .type = FIELD_DATETIME },
	{ .name = "currency", .type = FIELD_CURRENCY },
	{ .name = "url", .type = FIELD_URL, .max = 40 },
	{ .name = "extra", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE, .max = 20 },
	{ .name = "list", .type = FIELD_ARRAY, .max = 20 },
	{ .name = NULL },
};

static struct field_problems judge(const char *body, enum fields_mode mode)
{
	struct field_problems problems = { .count = 0 };
	struct json_value *root;
	const char *problem;

	cr_assert_eq(json_parse(&arena, text_of(body), &root, &problem), ERROR_NONE, "%s: %s", body, problem);
	cr_expect_eq(fields_check(&arena, table, root, mode, &problems), problems.count == 0);
	return problems;
}

Test(fields, good_members_pass)
{
	static const char *const good[] = { "{}", "{\"title\":\"a\"}",
		"{\"title\":\"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"}", "{\"title\":\" x \"}", "{\"note\":\"\"}",
		"{\"note\":null}", "{\"note\":\"a\\nb\\tc\"}", "{\"count\":-2}", "{\"count\":9}", "{\"price\":\"0\"}",
		"{\"price\":\"0.01\"}", "{\"price\":\"999.99\"}", "{\"price\":\"10.5\"}", "{\"price\":null}",
		"{\"length\":0.001}", "{\"length\":100}", "{\"length\":\"4.25\"}", "{\"rating\":0}", "{\"rating\":4.5}",
		"{\"done\":true}", "{\"status\":\"done\"}", "{\"ref\":\"01a1fe2b-9fe5-7d3b-94db-87a4102dc11d\"}",
		"{\"due\":\"2026-11-21T12:00:00Z\"}", "{\"due\":\"2024-02-29T23:59:59.123456+05:30\"}",
		"{\"currency\":\"EUR\"}", "{\"url\":\"https://example.org/a?b=c#d\"}", "{\"url\":\"http://x\"}",
		"{\"extra\":{}}", "{\"extra\":{\"a\":[1,2]}}", "{\"extra\":null}", "{\"list\":[]}",
		"{\"list\":[{\"a\":1}]}" };

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		bool is_for_create = strstr(good[i], "ref") != NULL;
		struct field_problems p;

		if (is_for_create)
			continue; /* see create_only_members_are_read_only_afterwards */
		p = judge(good[i], FIELDS_UPDATE);
		cr_expect_eq(p.count, 0, "%s: %.*s", good[i], p.count > 0 ? (int)p.list[0].message.length : 0,
			p.count > 0 ? p.list[0].message.bytes : "");
	}
}

Test(fields, bad_members_are_named_with_their_code)
{
	static const struct {
		const char *body, *path, *code;
	} rows[] = {
		{ "{\"title\":\"\"}", "title", "too_short" },
		{ "{\"title\":\"   \"}", "title", "too_short" },
		{ "{\"title\":\"\\u00a0\\u3000\"}", "title", "too_short" },
		{ "{\"title\":\"abcdef\"}", "title", "too_long" },
		{ "{\"title\":\"a\\nb\"}", "title", "invalid" },
		{ "{\"title\":\"a\\u0085\"}", "title", "invalid" },
		{ "{\"title\":\"a\\u2028b\"}", "title", "invalid" },
		{ "{\"title\":null}", "title", "wrong_type" },
		{ "{\"title\":1}", "title", "wrong_type" },
		{ "{\"title\":[\"a\"]}", "title", "wrong_type" },
		{ "{\"note\":\"12345678901\"}", "note", "too_long" },
		{ "{\"count\":1.0}", "count", "wrong_type" },
		{ "{\"count\":1e1}", "count", "wrong_type" },
		{ "{\"count\":\"1\"}", "count", "wrong_type" },
		{ "{\"count\":10}", "count", "out_of_range" },
		{ "{\"count\":-3}", "count", "out_of_range" },
		{ "{\"count\":99999999999999999999}", "count", "wrong_type" },
		{ "{\"price\":10.5}", "price", "wrong_type" },
		{ "{\"price\":10}", "price", "wrong_type" },
		{ "{\"price\":\"10.555\"}", "price", "invalid" },
		{ "{\"price\":\"1e2\"}", "price", "invalid" },
		{ "{\"price\":\"\"}", "price", "invalid" },
		{ "{\"price\":\" 1\"}", "price", "invalid" },
		{ "{\"price\":\"1,5\"}", "price", "invalid" },
		{ "{\"price\":\"01\"}", "price", "invalid" },
		{ "{\"price\":\"1.\"}", "price", "invalid" },
		{ "{\"price\":\".5\"}", "price", "invalid" },
		{ "{\"price\":\"+1\"}", "price", "invalid" },
		{ "{\"price\":\"NaN\"}", "price", "invalid" },
		{ "{\"price\":\"-0.01\"}", "price", "out_of_range" },
		{ "{\"price\":\"1000.00\"}", "price", "out_of_range" },
		{ "{\"price\":\"1234567890123\"}", "price", "invalid" },
		{ "{\"length\":0}", "length", "out_of_range" },
		{ "{\"length\":-1}", "length", "out_of_range" },
		{ "{\"length\":100.001}", "length", "out_of_range" },
		{ "{\"length\":1.0001}", "length", "invalid" },
		{ "{\"length\":1e2}", "length", "invalid" },
		{ "{\"length\":true}", "length", "wrong_type" },
		{ "{\"rating\":5.1}", "rating", "out_of_range" },
		{ "{\"done\":\"true\"}", "done", "wrong_type" },
		{ "{\"done\":1}", "done", "wrong_type" },
		{ "{\"done\":null}", "done", "wrong_type" },
		{ "{\"status\":\"OPEN\"}", "status", "invalid" },
		{ "{\"status\":\"\"}", "status", "invalid" },
		{ "{\"due\":\"2026-11-21\"}", "due", "invalid" },
		{ "{\"due\":\"2026-02-29T00:00:00Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-13-01T00:00:00Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T24:00:00Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T12:00:60Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T12:00:00\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T12:00:00.Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T12:00:00+16:00\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21T12:00:00+0200\"}", "due", "invalid" },
		{ "{\"due\":\"0000-01-01T00:00:00Z\"}", "due", "invalid" },
		{ "{\"due\":\"2026-11-21 12:00:00Z\"}", "due", "invalid" },
		{ "{\"due\":\"now\"}", "due", "invalid" },
		{ "{\"currency\":\"usd\"}", "currency", "invalid" },
		{ "{\"currency\":\"EURO\"}", "currency", "invalid" },
		{ "{\"url\":\"javascript:alert(1)\"}", "url", "invalid" },
		{ "{\"url\":\"https://\"}", "url", "invalid" },
		{ "{\"url\":\"https:///x\"}", "url", "invalid" },
		{ "{\"url\":\"https://a b\"}", "url", "invalid" },
		{ "{\"url\":\"https://a\\nb\"}", "url", "invalid" },
		{ "{\"url\":\"https://x/\\\"\"}", "url", "invalid" },
		{ "{\"url\":\"https://example.org/aaaaaaaaaaaaaaaaaaaaaaa\"}", "url", "too_long" },
		{ "{\"extra\":[]}", "extra", "wrong_type" },
		{ "{\"extra\":\"{}\"}", "extra", "wrong_type" },
		{ "{\"extra\":{\"abcdefgh\":\"12345678\"}}", "extra", "too_long" },
		{ "{\"list\":{}}", "list", "wrong_type" },
		{ "{\"list\":null}", "list", "wrong_type" },
		{ "{\"id\":\"01a1fe2b-9fe5-7d3b-94db-87a4102dc11d\"}", "id", "read_only" },
		{ "{\"id\":null}", "id", "read_only" },
		{ "{\"nope\":1}", "nope", "unknown" },
		{ "{\"Title\":\"a\"}", "Title", "unknown" },
		{ "{\"\":1}", "", "unknown" },
		{ "[]", "", "wrong_type" },
		{ "\"title\"", "", "wrong_type" },
		{ "null", "", "wrong_type" },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct field_problems p = judge(rows[i].body, FIELDS_UPDATE);

		cr_assert_eq(p.count, 1, "%s: %zu problems", rows[i].body, p.count);
		cr_expect(text_equals(p.list[0].path, text_of(rows[i].path)), "%s: %.*s", rows[i].body,
			TEXT_ARGS(p.list[0].path));
		cr_expect_str_eq(p.list[0].code, rows[i].code, "%s: %s", rows[i].body, p.list[0].code);
		cr_expect(p.list[0].message.length > 0);
	}
}

Test(fields, required_members_are_missed_on_create_only)
{
	struct field_problems p = judge("{\"count\":1}", FIELDS_CREATE);

	cr_assert_eq(p.count, 1);
	cr_expect_str_eq(p.list[0].code, "required");
	cr_expect(text_equals(p.list[0].message, TEXT("title is required")));
	cr_expect_eq(judge("{\"count\":1}", FIELDS_UPDATE).count, 0);
}

Test(fields, create_only_members_are_read_only_afterwards)
{
	const char *body = "{\"title\":\"a\",\"ref\":\"01a1fe2b-9fe5-7d3b-94db-87a4102dc11d\"}";

	cr_expect_eq(judge(body, FIELDS_CREATE).count, 0);
	cr_assert_eq(judge(body, FIELDS_UPDATE).count, 1);
	cr_expect_str_eq(judge(body, FIELDS_UPDATE).list[0].code, "read_only");
}

Test(fields, all_problems_are_listed_up_to_a_bound)
{
	struct buffer body;
	struct field_problems p;

	cr_expect_eq(judge("{\"count\":99,\"done\":1,\"x\":1}", FIELDS_CREATE).count, 4);
	buffer_init(&body);
	buffer_append_char(&body, '{');
	for (int i = 0; i < 200; i++)
		buffer_printf(&body, "%s\"x%d\":1", i > 0 ? "," : "", i);
	buffer_append_string(&body, "}");
	buffer_append_char(&body, '\0');
	p = judge(buffer_text(&body).bytes, FIELDS_CREATE);
	cr_expect_eq(p.count, FIELDS_PROBLEMS_MAX);
	buffer_fini(&body);
}

Test(fields, long_unknown_names_are_cut_between_characters)
{
	struct buffer body;
	struct field_problems p;

	buffer_init(&body);
	buffer_append_string(&body, "{\"a");
	for (int i = 0; i < 100; i++)
		buffer_append_string(&body, "\xC3\xA9");
	buffer_append(&body, "\":1}", 5);
	p = judge(buffer_text(&body).bytes, FIELDS_UPDATE);
	cr_assert_eq(p.count, 1);
	cr_expect(p.list[0].path.length <= 64 && text_is_utf8(p.list[0].path));
	buffer_fini(&body);
}

Test(fields, filters_are_judged_like_members)
{
	struct field_problems p = { .count = 0 };

	cr_expect(field_check_text(&arena, &table[8], TEXT("open"), &p));
	cr_expect_not(field_check_text(&arena, &table[8], TEXT("closed"), &p));
	cr_expect(field_check_text(&arena, &table[9], TEXT("01a1fe2b-9fe5-7d3b-94db-87a4102dc11d"), &p));
	cr_expect_not(field_check_text(&arena, &table[9], TEXT("1"), &p));
	cr_expect_not(field_check_text(&arena, &table[8], TEXT("\xFF"), &p));
	cr_expect_eq(p.count, 3);
}

Test(fields, decimals_are_scaled_exactly)
{
	int64_t cents = 0;

	cr_expect(format_parse_decimal(TEXT("999999999999.99"), 2, &cents) && cents == 99999999999999);
	cr_expect(format_parse_decimal(TEXT("-0.5"), 2, &cents) && cents == -50);
	cr_expect(format_parse_decimal(TEXT("7"), 0, &cents) && cents == 7);
	cr_expect_not(format_parse_decimal(TEXT("7.0"), 0, &cents));
	cr_expect_not(format_parse_decimal(TEXT("-"), 2, &cents));
	cr_expect_not(format_parse_decimal(TEXT(""), 2, &cents));
}
