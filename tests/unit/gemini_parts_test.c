/* gemini_parts_test.c: parts as they are stored, and as they go to another model. */
#include "config.h"

#include <criterion/criterion.h>

#include "worker/gemini/json.h"
#include "worker/gemini/parts.h"
#include "worker/gemini/provider.h"

static void check(const struct buffer *b, const char *expected)
{
	struct text got = buffer_text(b);

	cr_assert(text_equals(got, text_of(expected)), "--- got\n%.*s\n--- expected\n%s", TEXT_ARGS(got), expected);
}

static void add(struct parts *p, const char *json)
{
	struct json_object *part = json_tokener_parse(json);

	parts_add(p, part);
	json_object_put(part);
}

Test(gemini_parts, unsigned_text_is_joined_and_nothing_else)
{
	struct parts p;
	struct text all;

	parts_init(&p);
	parts_add_text(&p, TEXT("a\""));
	parts_add_text(&p, TEXT("b"));
	add(&p, "{\"text\":\"c\",\"thoughtSignature\":\"QQ==\"}");
	add(&p, "{\"text\":\"c\",\"thoughtSignature\":\"QQ==\"}");
	parts_add_text(&p, TEXT("d"));
	parts_add_text(&p, TEXT("/"));
	add(&p, "{\"executableCode\":{\"code\":\"1/2\"},\"partMetadata\":{\"n\":1.50}}");
	all = parts_finish(&p);
	cr_assert(text_equals(all, TEXT("[{\"text\":\"a\\\"b\"},{\"text\":\"c\",\"thoughtSignature\":\"QQ==\"},{"
					"\"text\":\"c\",\"thoughtSignature\":\"QQ==\"},"
					"{\"text\":\"d/\"},{\"executableCode\":{\"code\":\"1/"
					"2\"},\"partMetadata\":{\"n\":1.50}}]")),
		"%.*s", TEXT_ARGS(all));
	parts_fini(&p);
}

Test(gemini_parts, what_jsonb_and_the_api_refuse_is_replaced)
{
	struct buffer scratch, out;
	struct json_object *part = json_tokener_parse("{\"functionCall\":{\"name\":\"f\",\"args\":{\"list\":["
						      "\"a\\u0000b\",1],\"x\":null}},\"thoughtSignature\":\"\"}");

	buffer_init(&scratch);
	buffer_init(&out);
	parts_clean(part, &scratch);
	json_append(&out, part);
	check(&out, "{\"functionCall\":{\"name\":\"f\",\"args\":{\"list\":[\"a\xEF\xBF\xBD"
		    "b\",1],\"x\":null}}}");
	json_object_put(part);
	cr_assert(text_equals(parts_clean_text(TEXT("ok \xC3\xA9"), &scratch), TEXT("ok \xC3\xA9")));
	cr_assert(text_equals(parts_clean_text(TEXT("\xC3(\0\xF0\x9F\x98\x80\xF0\x9F"), &scratch),
		TEXT("\xEF\xBF\xBD(\xEF\xBF\xBD\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD")));
	buffer_fini(&scratch);
	buffer_fini(&out);
}

Test(gemini_parts, a_name_that_is_too_long_for_a_function_is_cut_in_the_part)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij\xe2\x82\xacz";
	struct json_object *longer =
		json_tokener_parse("{\"functionCall\":{\"args\":{}},\"thoughtSignature\":\"QQ==\"}");
	struct json_object *good =
		json_tokener_parse("{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":\"QQ==\"}");
	struct buffer out;

	buffer_init(&out);
	json_object_object_add(json_member(longer, "functionCall"), "name", json_object_new_string(name));
	parts_cut_call_name(longer);
	json_append(&out, longer);
	check(&out, "{\"functionCall\":{\"args\":{},\"name\":"
		    "\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij\"},"
		    "\"thoughtSignature\":\"skip_thought_signature_validator\"}");
	buffer_clear(&out);
	parts_cut_call_name(good);
	json_append(&out, good);
	check(&out, "{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":\"QQ==\"}");
	buffer_fini(&out);
	json_object_put(longer);
	json_object_put(good);
}

#define SIGNED_CALL                                                                                                    \
	"{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"f\",\"args\":{\"n\":2.0}},\"thoughtSignature\":\"QQ==\"}"
#define SECOND_CALL "{\"functionCall\":{\"id\":\"fc_2\",\"name\":\"g\",\"args\":{}}}"
#define BARE_CALL   "{\"functionCall\":{\"name\":\"f\",\"args\":{}}}"
#define PLACEHOLDER "\"thoughtSignature\":\"skip_thought_signature_validator\""

static const struct {
	const char *array;
	const char *model; /* that gets them */
	bool is_foreign, is_current;
	const char *expected; /* NULL: no array */
} rewrites[] = {
	/* The same model: every byte as it came, whatever the spacing. */
	{ "[ {\"text\": \"a\",  \"thoughtSignature\": \"QQ==\"} ]", "gemini-3.8-flash", false, true,
		"{\"text\": \"a\",  \"thoughtSignature\": \"QQ==\"}" },
	{ "[" SIGNED_CALL "," SECOND_CALL "]", "gemini-3.8-flash", false, true, SIGNED_CALL "," SECOND_CALL },
	/* Another strict model: the placeholder on the first call of the current turn, nothing on older ones. */
	{ "[" SIGNED_CALL "," SECOND_CALL "]", "gemini-3.8-flash", true, true,
		"{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"f\",\"args\":{\"n\":2.0}}," PLACEHOLDER
		"}," SECOND_CALL },
	{ "[" SIGNED_CALL "]", "gemini-3.8-flash", true, false,
		"{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"f\",\"args\":{\"n\":2.0}}}" },
	/* A history of 2.5 without ids goes on with 3.x: none are invented. */
	{ "[{\"text\":\"a\"}," BARE_CALL "," BARE_CALL "]", "gemini-3.5-flash-lite", true, true,
		"{\"text\":\"a\"},{\"functionCall\":{\"name\":\"f\",\"args\":{}}," PLACEHOLDER "}," BARE_CALL },
	/* A signature that was lost on the way is replaced too. */
	{ "[" BARE_CALL "]", "gemini-3.8-flash", false, true,
		"{\"functionCall\":{\"name\":\"f\",\"args\":{}}," PLACEHOLDER "}" },
	/* Back to 2.5: neither signatures nor ids. */
	{ "[" SIGNED_CALL "]", "gemini-2.5-flash", true, true,
		"{\"functionCall\":{\"name\":\"f\",\"args\":{\"n\":2.0}}}" },
	{ "[{\"functionResponse\":{\"id\":\"fc_1\",\"name\":\"f\",\"response\":{}}}]", "gemini-2.5-flash", true, true,
		"{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}" },
	/* An old name that a new model answers: what it sent goes back to it. */
	{ "[" SIGNED_CALL "]", "gemini-2.5-flash", false, true, SIGNED_CALL },
	/* What is only there for its signature goes with it; so do thoughts. */
	{ "[{\"text\":\"a\"},{\"text\":\"\",\"thoughtSignature\":\"QQ==\"},{\"text\":\"t\",\"thought\":true,"
	  "\"thoughtSignature\":\"QQ==\"}]",
		"gemini-3.8-flash", true, false, "{\"text\":\"a\"}" },
	{ "[]", "gemini-3.8-flash", false, true, "" },
	{ "[{\"text\":\"says functionCall and thoughtSignature\"}]", "gemini-3.8-flash", true, true,
		"{\"text\":\"says functionCall and thoughtSignature\"}" },
	{ "{}", "gemini-3.8-flash", false, true, NULL },
	{ "", "gemini-3.8-flash", false, true, NULL },
	{ "[thoughtSignature]", "gemini-3.8-flash", true, true, NULL },
};

Test(gemini_parts, stored_parts_are_made_fit_for_another_model)
{
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);

	for (size_t i = 0; i < COUNT_OF(rewrites); i++) {
		struct parts_target target = { .family = models_family(text_of(rewrites[i].model)),
			.is_foreign = rewrites[i].is_foreign,
			.is_current = rewrites[i].is_current };
		struct buffer out;

		buffer_init(&out);
		cr_assert_eq(parts_rewrite(tokener, text_of(rewrites[i].array), &target, &out),
			rewrites[i].expected != NULL, "%zu", i);
		check(&out, rewrites[i].expected != NULL ? rewrites[i].expected : "");
		buffer_fini(&out);
	}
	json_tokener_free(tokener);
}

/* Whatever the name of the model promised: it has refused what it was sent, or missed something. */
Test(gemini_parts, refused_signatures_give_way_to_the_placeholder_and_ids_stay)
{
	static const char *const models[] = { "gemini-3.8-flash", "gemini-2.5-flash" };
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);

	for (size_t i = 0; i < 2 * COUNT_OF(models); i++) {
		struct parts_target target = {
			.family = models_family(text_of(models[i / 2])), .is_unsigned = true, .is_current = i % 2 == 0
		};
		struct buffer out;

		buffer_init(&out);
		cr_assert(parts_rewrite(tokener, TEXT("[" SIGNED_CALL "," SECOND_CALL "]"), &target, &out));
		check(&out,
			target.is_current
				? "{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"f\",\"args\":{\"n\":2.0}}," PLACEHOLDER
				  "}," SECOND_CALL
				: "{\"functionCall\":{\"id\":\"fc_1\",\"name\":\"f\",\"args\":{\"n\":2.0}}}"
				  "," SECOND_CALL);
		buffer_fini(&out);
	}
	json_tokener_free(tokener);
}

Test(gemini_parts, the_users_parts_are_written_with_commas)
{
	struct buffer out;

	buffer_init(&out);
	provider_image_part(&out, "image/png", TEXT("\x89PNG"));
	provider_text_part(&out, TEXT("a \"b\" \0 c"));
	provider_result_part(&out, TEXT("fc_1"), TEXT("f"), TEXT("{\"output\":1}"));
	provider_result_part(&out, TEXT_NONE, TEXT("g"), TEXT_NONE);
	check(&out, "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"iVBORw==\"}},{\"text\":\"a \\\"b\\\" "
		    "\xEF\xBF\xBD c\"},"
		    "{\"functionResponse\":{\"id\":\"fc_1\",\"name\":\"f\",\"response\":{\"output\":1}}},"
		    "{\"functionResponse\":{\"name\":\"g\",\"response\":{}}}");
	buffer_fini(&out);
}

Test(gemini_parts, base64_is_padded)
{
	static const struct {
		const char *bytes, *expected;
	} cases[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xFF\xEF\xBE", "/+++" } };

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out, expected;

		buffer_init(&out);
		buffer_init(&expected);
		provider_image_part(&out, "i", text_of(cases[i].bytes));
		buffer_printf(&expected, "{\"inlineData\":{\"mimeType\":\"i\",\"data\":\"%s\"}}", cases[i].expected);
		cr_assert(text_equals(buffer_text(&out), buffer_text(&expected)));
		buffer_fini(&out);
		buffer_fini(&expected);
	}
}
