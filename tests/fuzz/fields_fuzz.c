/* fields_fuzz.c: any bytes as a request's body: the JSON reader, then validation against a table with every type of field. What passes must be
 * what PostgreSQL would take: valid UTF-8, no NUL, decimals within their scale; what fails must be said in valid UTF-8. */
#include "config.h"

#include <stdint.h>

#include "worker/api/fields.h"
#include "worker/api/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char *const states[] = { "open", "done", NULL };

static const struct field table[] = {
	{ .name = "id", .type = FIELD_UUID, .flags = FIELD_READ },
	{ .name = "title", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 20 },
	{ .name = "note", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 50 },
	{ .name = "count", .type = FIELD_INT, .min = -5, .max = 1000 },
	{ .name = "price", .type = FIELD_MONEY, .flags = FIELD_NULLABLE, .max = 999999999999 },
	{ .name = "length", .type = FIELD_MEASURE, .flags = FIELD_POSITIVE, .max = 99999, .scale = 3 },
	{ .name = "done", .type = FIELD_BOOL },
	{ .name = "status", .type = FIELD_ENUM, .values = states },
	{ .name = "ref", .type = FIELD_UUID, .flags = FIELD_CREATE_ONLY },
	{ .name = "due", .type = FIELD_DATETIME },
	{ .name = "currency", .type = FIELD_CURRENCY },
	{ .name = "url", .type = FIELD_URL, .max = 100 },
	{ .name = "extra", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE, .max = 200 },
	{ .name = "list", .type = FIELD_ARRAY, .max = 200 },
	{ .name = NULL },
};

static void check_text(struct text t)
{
	must(text_is_utf8(t));
	must(memchr(t.bytes, '\0', t.length) == NULL);
}

static void check_value(const struct json_value *v, struct text input)
{
	must(v->raw.bytes >= input.bytes && v->raw.bytes + v->raw.length <= input.bytes + input.length);
	if (v->type == JSON_STRING && v->string.length > 0)
		check_text(v->string);
	for (const struct json_value *child = v->first; child != NULL; child = child->next)
		check_value(child, input);
}

static void check_accepted(const struct json_value *root)
{
	const struct json_value *price = json_find(root, "price"), *title = json_find(root, "title");
	int64_t cents;

	if (price != NULL && price->type == JSON_STRING)
		must(format_parse_decimal(price->string, 2, &cents) && cents >= 0);
	if (title != NULL)
		must(text_code_points(title->string) <= 20 && !format_is_blank(title->string));
}

static void check_problems(const struct field_problems *p)
{
	must(p->count <= FIELDS_PROBLEMS_MAX);
	for (size_t i = 0; i < p->count; i++) {
		must(text_is_utf8(p->list[i].path) && text_is_utf8(p->list[i].message));
		must(p->list[i].code != NULL && p->list[i].message.length > 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text input = text_span((const char *)bytes, length);
	struct arena arena;
	struct json_value *root = NULL;
	const char *problem = NULL;

	arena_init(&arena);
	if (json_parse(&arena, input, &root, &problem) == ERROR_NONE) {
		for (int mode = FIELDS_CREATE; mode <= FIELDS_UPDATE; mode++) {
			struct field_problems problems = { .count = 0 };

			if (fields_check(&arena, table, root, (enum fields_mode)mode, &problems))
				check_accepted(root);
			check_problems(&problems);
		}
		check_value(root, input);
	} else {
		must(problem != NULL && root == NULL);
	}
	arena_fini(&arena);
	return 0;
}
