/* cursor_fuzz.c: any bytes as a cursor and as conditions on ETags. A cursor that is taken must be the very text that we would make of what it holds;
 * versions must be an array of digits, whatever the field said. */
#include "config.h"

#include <stdint.h>

#include "worker/api/cursor.h"
#include "worker/api/etag.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct uuid owner = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static const struct text list = { "/api/tasks?order=position", 25 };

static void check_cursor(struct arena *a, struct text input)
{
	struct cursor c;

	if (cursor_parse(a, &owner, list, input, &c) == ERROR_NONE)
		must(text_equals(cursor_format(a, &owner, list, &c), input));

	/* What we make of the same bytes as a key comes back. */
	struct cursor mine = { .key = input, .id = owner }, back;

	if (input.length <= CURSOR_KEY_MAX) {
		must(cursor_parse(a, &owner, list, cursor_format(a, &owner, list, &mine), &back) == ERROR_NONE);
		must(text_equals(back.key, input));
	}
}

static void check_versions(struct arena *a, struct text input)
{
	struct text versions = etag_versions(a, input);

	if (versions.bytes == NULL)
		return;
	must(versions.length >= 2 && versions.bytes[0] == '{' && versions.bytes[versions.length - 1] == '}');
	for (size_t i = 1; i + 1 < versions.length; i++)
		must((versions.bytes[i] >= '0' && versions.bytes[i] <= '9') || versions.bytes[i] == ',');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text input = text_span((const char *)bytes, length);
	struct arena arena;

	if (length == 0)
		return 0;
	arena_init(&arena);
	check_cursor(&arena, input);
	check_versions(&arena, input);
	(void)etag_is_known(input, TEXT("3"));
	arena_fini(&arena);
	return 0;
}
