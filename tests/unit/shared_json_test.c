/* shared_json_test.c: the strict reader and the writer of JSON, and the questions about text, UUIDs and base64url that validation asks. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "shared/base64.h"
#include "shared/json.h"
#include "shared/uuid.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena);
}

static void teardown(void)
{
	arena_fini(&arena);
}

TestSuite(json, .init = setup, .fini = teardown);
TestSuite(text, .init = setup, .fini = teardown);
TestSuite(uuid, .init = setup, .fini = teardown);
TestSuite(base64, .init = setup, .fini = teardown);

static struct json_value *parse(struct text bytes)
{
	struct json_value *root = NULL;
	const char *problem = "";
	enum error e = json_parse(&arena, bytes, &root, &problem);

	cr_assert_eq(e, ERROR_NONE, "%.*s: %s", TEXT_ARGS(bytes), problem);
	return root;
}

Test(json, object_gives_its_members_in_order)
{
	struct json_value *root = parse(TEXT(" {\"a\" : 1, \"b\":[true,false,null], \"c\":{\"d\":\"e\"}} "));

	cr_assert_eq(root->type, JSON_OBJECT);
	cr_expect_eq(root->count, 3);
	cr_expect(text_equals(root->first->name, TEXT("a")));
	cr_expect(text_equals(root->first->raw, TEXT("1")));
	cr_expect_eq(root->first->next->count, 3);
	cr_expect(root->first->next->first->boolean);
	cr_expect_not(root->first->next->first->next->boolean);
	cr_expect(text_equals(json_find(root, "c")->raw, TEXT("{\"d\":\"e\"}")));
	cr_expect(text_equals(json_find_string(json_find(root, "c"), "d"), TEXT("e")));
	cr_expect_null(json_find(root, "z"));
	cr_expect_null(json_find(NULL, "a"));
	cr_expect_null(json_find_string(root, "a").bytes);
}

Test(json, string_escapes_are_decoded)
{
	static const struct {
		struct text input, decoded;
	} rows[] = {
		{ TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), TEXT("\"\\/\b\f\n\r\t") },
		{ TEXT("\"\\u0041\\u00e9\\u20AC\""), TEXT("A\xC3\xA9\xE2\x82\xAC") },
		{ TEXT("\"\\ud83d\\ude00\""), TEXT("\xF0\x9F\x98\x80") },
		{ TEXT("\"x\\uDBFF\\uDFFFy\""), TEXT("x\xF4\x8F\xBF\xBFy") },
		{ TEXT("\"\""), TEXT("") },
		{ TEXT("\"\x7F\""), TEXT("\x7F") },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		cr_expect(text_equals(parse(rows[i].input)->string, rows[i].decoded), "row %zu", i);
}

Test(json, numbers_stay_text)
{
	static const char *const good[] = { "0", "-0", "12", "-1.50", "1e5", "1E+05", "0.1e-9",
		"99999999999999999999999" };

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct json_value *v = parse(text_of(good[i]));

		cr_expect_eq(v->type, JSON_NUMBER);
		cr_expect(text_equals(v->raw, text_of(good[i])));
	}
}

Test(json, what_is_not_strict_json_is_refused)
{
	static const struct text bad[] = { TEXT(""), TEXT(" "), TEXT("nul"), TEXT("True"), TEXT("01"), TEXT("-"),
		TEXT("1."), TEXT(".5"), TEXT("1e"), TEXT("+1"), TEXT("0x1"), TEXT("NaN"), TEXT("[1,]"), TEXT("[1 2]"),
		TEXT("[,1]"), TEXT("[1"), TEXT("]"), TEXT("{\"a\":1,}"), TEXT("{\"a\"}"), TEXT("{\"a\":}"),
		TEXT("{a:1}"), TEXT("{1:2}"), TEXT("{\"a\":1 \"b\":2}"), TEXT("{"), TEXT("{\"a\":1"), TEXT("'a'"),
		TEXT("\"a"), TEXT("\"\\"), TEXT("\"\\x\""), TEXT("\"\\u12\""), TEXT("\"\\u12g4\""), TEXT("\"\\u0000\""),
		TEXT("\"\\ud800\""), TEXT("\"\\ud800\\u0041\""), TEXT("\"\\ud800\\n1234\""), TEXT("\"\\udc00\""),
		TEXT("\"\n\""), TEXT("\"\0\""), TEXT("\0"), TEXT("1 2"), TEXT("{} x"), TEXT("/**/1"),
		TEXT("\xEF\xBB\xBF{}"), TEXT("\"\xC0\x80\""), TEXT("\"\xED\xA0\x80\""), TEXT("\"\xFF\""),
		TEXT("\"\xE2\x82\""), TEXT("{\"a\":1,\"a\":2}"), TEXT("{\"a\":1,\"\\u0061\":2}"), TEXT("\f1"),
		TEXT("\v1") };

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct json_value *root = NULL;
		const char *problem = NULL;

		cr_expect_eq(json_parse(&arena, bad[i], &root, &problem), ERROR_INVALID_JSON, "row %zu: %.*s", i,
			TEXT_ARGS(bad[i]));
		cr_expect_not_null(problem);
		cr_expect_null(root);
	}
}

Test(json, depth_is_bounded)
{
	char deep[2 * JSON_DEPTH_MAX + 3];
	struct json_value *root;
	const char *problem;

	memset(deep, '[', JSON_DEPTH_MAX);
	memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	(void)parse(text_span(deep, 2 * JSON_DEPTH_MAX));
	memset(deep, '[', JSON_DEPTH_MAX + 1);
	memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	cr_expect_eq(json_parse(&arena, text_span(deep, 2 * JSON_DEPTH_MAX + 2), &root, &problem), ERROR_INVALID_JSON);
}

Test(json, many_members_are_refused_before_they_cost_much)
{
	struct buffer b;
	struct json_value *root;
	const char *problem;

	buffer_init(&b);
	buffer_append_char(&b, '{');
	for (int i = 0; i < 5000; i++)
		buffer_printf(&b, "%s\"m%d\":1", i > 0 ? "," : "", i);
	buffer_append_char(&b, '}');
	cr_expect_eq(json_parse(&arena, buffer_text(&b), &root, &problem), ERROR_INVALID_JSON);
	buffer_fini(&b);
}

Test(json, written_strings_are_read_back_and_broken_bytes_are_replaced)
{
	static const struct {
		struct text string, written;
	} rows[] = {
		{ TEXT("plain"), TEXT("\"plain\"") },
		{ TEXT(""), TEXT("\"\"") },
		{ TEXT("a\"b\\c\nd\te"), TEXT("\"a\\\"b\\\\c\\nd\\u0009e\"") },
		{ TEXT("\xC3\xA9"), TEXT("\"\xC3\xA9\"") },
		{ TEXT("x\0y"), TEXT("\"x\\u0000y\"") },
		{ TEXT("a\xFFz"), TEXT("\"a\xEF\xBF\xBDz\"") },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buffer b;

		buffer_init(&b);
		json_write_string(&b, rows[i].string);
		cr_expect(
			text_equals(buffer_text(&b), rows[i].written), "row %zu: %.*s", i, TEXT_ARGS(buffer_text(&b)));
		buffer_fini(&b);
	}
}

Test(text, numbers_are_digits_that_fit)
{
	uint64_t n = 7;

	cr_expect(text_parse_u64(TEXT("0"), &n) && n == 0);
	cr_expect(text_parse_u64(TEXT("18446744073709551615"), &n) && n == UINT64_MAX);
	cr_expect_not(text_parse_u64(TEXT("18446744073709551616"), &n));
	cr_expect_not(text_parse_u64(TEXT(""), &n));
	cr_expect_not(text_parse_u64(TEXT("-1"), &n));
	cr_expect_not(text_parse_u64(TEXT("1 "), &n));
	cr_expect_not(text_parse_u64(TEXT_NONE, &n));
	cr_expect_eq(n, UINT64_MAX);
}

Test(text, utf8_is_well_formed_and_counted_in_code_points)
{
	static const struct text good[] = { TEXT(""), TEXT("abc"), TEXT("\xC2\x80"), TEXT("\xE0\xA0\x80"),
		TEXT("\xED\x9F\xBF"), TEXT("\xEE\x80\x80"), TEXT("\xF0\x90\x80\x80"), TEXT("\xF4\x8F\xBF\xBF") };
	static const struct text bad[] = { TEXT("\x80"), TEXT("\xC0\xAF"), TEXT("\xC1\xBF"), TEXT("\xE0\x9F\xBF"),
		TEXT("\xED\xA0\x80"), TEXT("\xF0\x8F\xBF\xBF"), TEXT("\xF4\x90\x80\x80"), TEXT("\xF5\x80\x80\x80"),
		TEXT("\xC2"), TEXT("\xE2\x82"), TEXT("\xF0\x9F\x98"), TEXT("a\xC2z") };

	for (size_t i = 0; i < COUNT_OF(good); i++)
		cr_expect(text_is_utf8(good[i]), "row %zu", i);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		cr_expect_not(text_is_utf8(bad[i]), "row %zu", i);
	cr_expect_eq(text_code_points(TEXT("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

Test(uuid, is_version_7_and_sorts_by_time)
{
	char before[UUID_TEXT_BYTES], after[UUID_TEXT_BYTES];
	struct uuid a, b, back;

	for (int i = 0; i < 1000; i++) {
		a = uuid_create();
		b = uuid_create();
		uuid_format(&a, before);
		uuid_format(&b, after);
		cr_assert_eq(before[14], '7');
		cr_assert(strchr("89ab", before[19]) != NULL);
		cr_assert(strncmp(before, after, 13) <= 0);
		cr_assert(uuid_parse(text_of(before), &back) && uuid_equals(&a, &back));
		cr_assert_not(uuid_equals(&a, &b));
	}
}

Test(uuid, only_the_canonical_form_is_read)
{
	static const char *const bad[] = { "", "01a1fe2b-9fe5-7d3b-94db-87a4102dc11",
		"01a1fe2b-9fe5-7d3b-94db-87a4102dc11dd", "01a1fe2b9fe57d3b94db87a4102dc11d",
		"{1a1fe2b-9fe5-7d3b-94db-87a4102dc11d", "01a1fe2b_9fe5-7d3b-94db-87a4102dc11d",
		"g1a1fe2b-9fe5-7d3b-94db-87a4102dc11d", "01a1fe2b-9fe5-7d3b-94db-87a4102dc11-",
		"01a1fe2-b9fe5-7d3b-94db-87a4102dc11d" };
	struct uuid id, upper;

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		cr_expect_not(uuid_parse(text_of(bad[i]), &id), "%s", bad[i]);
	cr_expect(uuid_parse(TEXT("01a1fe2b-9fe5-7d3b-94db-87a4102dc11d"), &id));
	cr_expect(uuid_parse(TEXT("01A1FE2B-9FE5-7D3B-94DB-87A4102DC11D"), &upper));
	cr_expect(uuid_equals(&id, &upper));
}

Test(base64, every_length_comes_back_with_one_spelling)
{
	unsigned char bytes[64];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 37 + 11);
	for (size_t length = 0; length <= sizeof bytes; length++) {
		struct text encoded = base64url_format(&arena, bytes, length);

		cr_expect(
			text_equals(base64url_parse(&arena, encoded), text_span((char *)bytes, length)), "%zu", length);
	}
	cr_expect(text_equals(base64url_format(&arena, "\xFB\xFF", 2), TEXT("-_8")));
	cr_expect_null(base64url_parse(&arena, TEXT("-_9")).bytes, "unused bits must be zero");
	cr_expect_null(base64url_parse(&arena, TEXT("A")).bytes);
	cr_expect_null(base64url_parse(&arena, TEXT("AA==")).bytes);
	cr_expect_null(base64url_parse(&arena, TEXT("A+/A")).bytes);
	cr_expect_null(base64url_parse(&arena, TEXT_NONE).bytes);
}
