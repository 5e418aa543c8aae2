/* Arguments as models send them, and the table itself: schemas are JSON, names are portable. */
#include "config.h"
#include "worker/tools/tools.h"

#include <criterion/criterion.h>

#include "shared/json.h"

static const struct {
	const char *tool, *arguments, *expected; /* NULL: refused */
} cases[] = {
	{ "add_room", "{\"name\":\"Bath\",\"lengthM\":2.0}", "{\"name\":\"Bath\",\"lengthM\":\"2.0\"}" },
	{ "add_room", "{\"lengthM\":\"3\",\"name\":\"Bath\"}", "{\"name\":\"Bath\",\"lengthM\":\"3\"}" },
	{ "add_room", "{\"name\":\"Bath\",\"lengthM\":1e1}", "{\"name\":\"Bath\",\"lengthM\":\"10.0000\"}" },
	{ "add_room", "{\"name\":\"Bath\",\"kind\":null,\"areaM2\":null}", "{\"name\":\"Bath\"}" },
	{ "add_room", "{\"name\":\"Bath\",\"kind\":\"\"}", "{\"name\":\"Bath\"}" },
	{ "add_room", "{}", NULL },
	{ "add_room", "", NULL },
	{ "add_room", "{\"name\":5}", NULL },
	{ "add_room", "{\"name\":\"\"}", NULL },
	{ "add_room", "{\"name\":\"x\",\"lengthM\":0}", NULL },
	{ "add_room", "{\"name\":\"x\",\"lengthM\":\"wide\"}", NULL },
	{ "add_room", "{\"name\":\"x\",\"lengthM\":\"0x10\"}", NULL },
	{ "add_room", "{\"name\":\"x\",\"lengthM\":99999999999}", NULL },
	{ "add_room", "{\"name\":\"x\",\"colour\":\"red\"}", NULL },
	{ "add_room", "[]", NULL },
	{ "add_room", "{\"name\":\"x\"", NULL },
	{ "update_session", "{\"totalBudget\":15000}", "{\"totalBudget\":\"15000.00\"}" },
	{ "update_session", "{\"totalBudget\":\"12.5\",\"currency\":\"eur\"}",
		"{\"totalBudget\":\"12.50\",\"currency\":\"EUR\"}" },
	{ "update_session", "{\"totalBudget\":-1}", NULL },
	{ "update_session", "{\"totalBudget\":\"12,500\"}", NULL },
	{ "update_session", "{\"currency\":\"E1R\"}", NULL },
	{ "update_session", "{}", NULL },
	{ "add_task", "{\"title\":\"t\",\"priority\":\"Medium\"}", "{\"title\":\"t\",\"priority\":\"normal\"}" },
	{ "add_task", "{\"title\":\"t\",\"priority\":\"asap\"}", NULL },
	{ "add_task", "{\"title\":\"t\",\"dueAt\":\"2026-05-31T12:00:00Z\"}",
		"{\"title\":\"t\",\"dueAt\":\"2026-05-31T12:00:00Z\"}" },
	{ "add_task", "{\"title\":\"t\",\"dueAt\":\"tomorrow\"}", NULL },
	{ "add_task", "{\"title\":\"t\",\"dueAt\":\"2026-05-3\"}", NULL },
	{ "complete_task", "{\"taskId\":\"01234567-89ab-7def-8123-456789abcdef\"}",
		"{\"taskId\":\"01234567-89ab-7def-8123-456789abcdef\"}" },
	{ "complete_task", "{\"taskId\":\"7\"}", NULL },
	{ "complete_task", "{}", NULL },
	{ "list_tasks", "{}", "{}" },
	{ "list_tasks", "", "{}" },
	{ "list_tasks", "{\"status\":\"open\"}", "{\"status\":\"open\"}" },
};

Test(tools, arguments_are_taken_as_meant_or_refused_with_a_sentence)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct tool *tool = tool_find(text_of(cases[i].tool));
		struct buffer out, problem;

		buffer_init(&out);
		buffer_init(&problem);
		cr_assert_not_null(tool);

		bool is_good = tool_check(tool, text_of(cases[i].arguments), &out, &problem);

		cr_expect_eq(is_good, cases[i].expected != NULL, "%s %s", cases[i].tool, cases[i].arguments);
		cr_expect_eq(buffer_length(&problem) == 0, is_good);
		if (cases[i].expected != NULL)
			cr_expect(text_equals(buffer_text(&out), text_of(cases[i].expected)), "%s %s gave %.*s",
				cases[i].tool, cases[i].arguments, TEXT_ARGS(buffer_text(&out)));
		buffer_fini(&out);
		buffer_fini(&problem);
	}
}

Test(tools, a_sentence_about_a_made_up_name_is_short_and_whole)
{
	struct buffer arguments, out, problem;

	buffer_init(&arguments);
	buffer_init(&out);
	buffer_init(&problem);
	buffer_append_string(&arguments, "{\"x");
	for (int i = 0; i < 20000; i++)
		buffer_append_string(&arguments, "\xe2\x82\xac");
	buffer_append_string(&arguments, "\":1}");
	cr_assert_not(tool_check(tool_find(TEXT("add_task")), buffer_text(&arguments), &out, &problem));
	cr_expect_lt(buffer_length(&problem), 200);
	cr_expect(text_is_utf8(buffer_text(&problem)), "%.*s", TEXT_ARGS(buffer_text(&problem)));
	buffer_fini(&arguments);
	buffer_fini(&out);
	buffer_fini(&problem);
}

Test(tools, schemas_are_json_objects_that_name_every_field)
{
	for (size_t i = 0; i < tool_count; i++) {
		struct buffer schema;
		struct arena arena;
		struct json_value *root = NULL;
		const char *problem;

		buffer_init(&schema);
		arena_init(&arena);
		tool_write_schema(&tool_rows[i], &schema);
		cr_assert_eq(
			json_parse(&arena, buffer_text(&schema), &root, &problem), ERROR_NONE, "%s", tool_rows[i].name);

		const struct json_value *properties = json_find(root, "properties");

		cr_assert_eq(properties->count, tool_rows[i].field_count);
		for (size_t f = 0; f < tool_rows[i].field_count; f++)
			cr_expect_not_null(json_find(properties, tool_rows[i].fields[f].name));
		cr_expect(strspn(tool_rows[i].name, "abcdefghijklmnopqrstuvwxyz_") == strlen(tool_rows[i].name));
		arena_fini(&arena);
		buffer_fini(&schema);
	}
}

Test(tools, unknown_names_are_not_found)
{
	cr_assert_null(tool_find(TEXT("delete_everything")));
	cr_assert_null(tool_find(TEXT("")));
	cr_assert_null(tool_find(TEXT_NONE));
}
