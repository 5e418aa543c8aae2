/* What take-over reads: packed chunks of events, folded into an answer; and the arguments of a tool call. Must never read past the end, must always leave parts that are
 * JSON when the events were. */
#include "config.h"

#include "shared/json.h"
#include "shared/must.h"
#include "worker/chat/parts.h"
#include "worker/chat/shown.h"
#include "worker/tools/tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void fold(struct text rest)
{
	struct shown s;
	struct buffer parts;
	struct arena arena;
	struct json_value *root;
	struct text json;
	const char *problem;

	shown_init(&s);
	buffer_init(&parts);
	arena_init(&arena);
	while (chunk_take(&rest, &json))
		shown_apply(&s, json);
	shown_write_parts(&s, &parts);
	/* Deep but allowed events lie two levels deeper among the parts, so depth alone may be refused. */
	if (json_parse(&arena, buffer_text(&parts), &root, &problem) != ERROR_NONE)
		must(strstr(problem, "deep") != NULL);
	arena_fini(&arena);
	buffer_fini(&parts);
	shown_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text input = text_span((const char *)bytes, length);
	struct buffer out, problem;

	fold(input);
	buffer_init(&out);
	buffer_init(&problem);
	if (length > 0) {
		const struct tool *tool = &tool_rows[bytes[0] % tool_count];
		bool is_good = tool_check(tool, text_span(input.bytes + 1, length - 1), &out, &problem);

		must(is_good == (buffer_length(&problem) == 0));
	}
	buffer_clear(&out);
	buffer_append(&out, bytes, length);
	json_replace_nul(&out);
	must(buffer_length(&out) == length);
	buffer_fini(&out);
	buffer_fini(&problem);
	return 0;
}
