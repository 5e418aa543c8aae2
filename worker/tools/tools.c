/* tools.c: THE table of functions the model may call, with the schema that is declared to it. Adding one means a row, its fields and its statement
 * in sql/queries/tools.sql. Read by chat/ (declarations) and executor.c (running). */
#include "config.h"
#include "worker/tools/tools.h"

#include "shared/json.h"

static const char *const priorities[] = { "low", "normal", "high", "urgent", NULL };
static const char *const task_states[] = { "open", "in_progress", "done", "cancelled", NULL };

/* clang-format off */
static const struct tool_field update_session_fields[] = {
	{ .name = "title", .kind = TOOL_TEXT, .min = 1, .max = 200, .description = "Short name of the project, such as Kitchen renovation" },
	{ .name = "totalBudget", .kind = TOOL_MONEY, .max = 999999999999, .description = "Whole budget of the project" },
	{ .name = "currency", .kind = TOOL_CURRENCY, .description = "ISO 4217 code of the budget's currency, such as EUR" },
};
static const struct tool_field add_room_fields[] = {
	{ .name = "name", .kind = TOOL_TEXT, .is_required = true, .min = 1, .max = 200, .description = "What the owner calls the room" },
	{ .name = "kind", .kind = TOOL_TEXT, .min = 1, .max = 60, .description = "Kind of room in one word: kitchen, bathroom, bedroom, ..." },
	{ .name = "lengthM", .kind = TOOL_NUMBER, .max = 10000, .description = "Length in metres" },
	{ .name = "widthM", .kind = TOOL_NUMBER, .max = 10000, .description = "Width in metres" },
	{ .name = "heightM", .kind = TOOL_NUMBER, .max = 10000, .description = "Height in metres" },
	{ .name = "areaM2", .kind = TOOL_NUMBER, .max = 1000000, .description = "Floor area in square metres" },
	{ .name = "budget", .kind = TOOL_MONEY, .max = 999999999999, .description = "Part of the budget meant for this room" },
};
static const struct tool_field add_task_fields[] = {
	{ .name = "title", .kind = TOOL_TEXT, .is_required = true, .min = 1, .max = 200, .description = "What is to be done, in a few words" },
	{ .name = "description", .kind = TOOL_TEXT, .max = 4000, .description = "More about it" },
	{ .name = "priority", .kind = TOOL_CHOICE, .choices = priorities, .description = "How urgent it is" },
	{ .name = "dueAt", .kind = TOOL_TIME, .description = "When it should be done: 2026-05-31 or 2026-05-31T12:00:00Z" },
	{ .name = "room", .kind = TOOL_TEXT, .max = 200, .description = "Name of the room it belongs to" },
};
static const struct tool_field complete_task_fields[] = {
	{ .name = "taskId", .kind = TOOL_ID, .description = "Id of the task, from list_tasks" },
	{ .name = "title", .kind = TOOL_TEXT, .min = 1, .max = 200, .description = "Its title, when the id is not known" },
};
static const struct tool_field list_tasks_fields[] = {
	{ .name = "status", .kind = TOOL_CHOICE, .choices = task_states, .description = "Only tasks of this status" },
};
static const struct tool_field recommend_product_fields[] = {
	{ .name = "name", .kind = TOOL_TEXT, .is_required = true, .min = 1, .max = 300, .description = "The product" },
	{ .name = "category", .kind = TOOL_TEXT, .max = 100, .description = "Such as tiles, taps, paint" },
	{ .name = "vendor", .kind = TOOL_TEXT, .max = 200, .description = "Maker or shop" },
	{ .name = "url", .kind = TOOL_TEXT, .max = 2000, .description = "Where it can be seen" },
	{ .name = "price", .kind = TOOL_MONEY, .max = 999999999999, .description = "Price of one" },
	{ .name = "currency", .kind = TOOL_CURRENCY, .description = "ISO 4217 code of the price's currency" },
	{ .name = "quantity", .kind = TOOL_NUMBER, .max = 100000000, .description = "How many are needed" },
	{ .name = "rationale", .kind = TOOL_TEXT, .max = 4000, .description = "Why it fits, in a sentence or two" },
	{ .name = "room", .kind = TOOL_TEXT, .max = 200, .description = "Name of the room it is for" },
};

#define FIELDS(list) .fields = (list), .field_count = COUNT_OF(list)

const struct tool tool_rows[] = {
	{ .name = "update_session", FIELDS(update_session_fields), .effect = EFFECT_IDEMPOTENT, .needs_session = true, .needs_one = true,
		.run = SQL_tool_update_session, .description = "Sets the title, the budget or its currency of the renovation project." },
	{ .name = "add_room", FIELDS(add_room_fields), .effect = EFFECT_ONCE, .needs_session = true,
		.run = SQL_tool_add_room, .description = "Adds a room to the project. A room of the same name is returned, not added again." },
	{ .name = "add_task", FIELDS(add_task_fields), .effect = EFFECT_ONCE,
		.run = SQL_tool_add_task, .description = "Adds a task to the owner's to-do list." },
	{ .name = "complete_task", FIELDS(complete_task_fields), .effect = EFFECT_IDEMPOTENT, .needs_one = true,
		.run = SQL_tool_complete_task, .description = "Marks a task as done, by its id or its title." },
	{ .name = "list_tasks", FIELDS(list_tasks_fields), .effect = EFFECT_NONE,
		.run = SQL_tool_list_tasks, .description = "Lists the tasks of the project with their ids." },
	{ .name = "recommend_product", FIELDS(recommend_product_fields), .effect = EFFECT_ONCE, .needs_session = true,
		.run = SQL_tool_recommend_product, .description = "Proposes a product to the owner, who accepts or rejects it." },
};
/* clang-format on */
const size_t tool_count = COUNT_OF(tool_rows);

const struct tool *tool_find(struct text name)
{
	for (size_t i = 0; i < tool_count; i++)
		if (text_equals(text_of(tool_rows[i].name), name))
			return &tool_rows[i];
	return NULL;
}

static void write_choices(const struct tool_field *f, struct buffer *out)
{
	buffer_append_string(out, ",\"enum\":[");
	for (size_t i = 0; f->choices[i] != NULL; i++)
		buffer_printf(out, "%s\"%s\"", i > 0 ? "," : "", f->choices[i]);
	buffer_append_char(out, ']');
}

static void write_field(const struct tool_field *f, struct buffer *out)
{
	static const char *const types[] = {
		[TOOL_TEXT] = "string",
		[TOOL_INT] = "integer",
		[TOOL_NUMBER] = "number",
		[TOOL_MONEY] = "number",
		[TOOL_CURRENCY] = "string",
		[TOOL_CHOICE] = "string",
		[TOOL_TIME] = "string",
		[TOOL_ID] = "string",
	};

	buffer_printf(out, "\"%s\":{\"type\":\"%s\",\"description\":", f->name, types[f->kind]);
	json_write_string(out, text_of(f->description));
	if (f->kind == TOOL_CHOICE)
		write_choices(f, out);
	if (f->kind == TOOL_INT || f->kind == TOOL_NUMBER || f->kind == TOOL_MONEY)
		buffer_printf(out, ",\"minimum\":%lld", (long long)f->min);
	buffer_append_char(out, '}');
}

void tool_write_schema(const struct tool *tool, struct buffer *out)
{
	const char *separator = "";

	buffer_append_string(out, "{\"type\":\"object\",\"properties\":{");
	for (size_t i = 0; i < tool->field_count; i++) {
		if (i > 0)
			buffer_append_char(out, ',');
		write_field(&tool->fields[i], out);
	}
	buffer_append_string(out, "},\"required\":[");
	for (size_t i = 0; i < tool->field_count; i++) {
		if (!tool->fields[i].is_required)
			continue;
		buffer_printf(out, "%s\"%s\"", separator, tool->fields[i].name);
		separator = ",";
	}
	buffer_append_string(out, "]}");
}
