/* Finds rooms, measures and money in free text, and tasks in tool results. Called by the persona.
 * It guesses as far as a demo needs and no further; it never calls tools. */
#include "tests/gemini-sim/facts.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// clang-format off
static const struct room_kind room_kinds[] = {
	{ "kitchen", "Kitchen", { "kitchen", "kitchenette", "küche", NULL }, 12, 1.5 },
	{ "bathroom", "Bathroom", { "bathroom", "bath", "shower room", "ensuite", NULL }, 6, 1.3 },
	{ "toilet", "Guest toilet", { "toilet", "powder room", "cloakroom", "wc", NULL }, 2, 0.5 },
	{ "living_room", "Living room", { "living room", "lounge", "sitting room", "livingroom", NULL }, 24, 1.0 },
	{ "dining_room", "Dining room", { "dining room", NULL }, 14, 0.7 },
	{ "bedroom", "Bedroom", { "bedroom", "master bedroom", "guest room", NULL }, 14, 0.8 },
	{ "children_room", "Children's room", { "children's room", "kids room", "nursery", "kid's room", NULL }, 12, 0.6 },
	{ "office", "Home office", { "office", "study", "workspace", NULL }, 10, 0.7 },
	{ "hallway", "Hallway", { "hallway", "corridor", "entrance", "hall", NULL }, 8, 0.5 },
	{ "laundry", "Laundry room", { "laundry", "utility room", NULL }, 5, 0.6 },
	{ "basement", "Basement", { "basement", "cellar", NULL }, 30, 1.2 },
	{ "attic", "Attic", { "attic", "loft", NULL }, 28, 1.4 },
	{ "garage", "Garage", { "garage", NULL }, 18, 0.6 },
	{ "balcony", "Balcony", { "balcony", "terrace", "patio", NULL }, 8, 0.5 },
};
// clang-format on

/* "two bathrooms", "2 bedrooms": the number in front of `at`; 1 if there is none. */
static int count_before(const char *text, const char *at)
{
	static const char *const words[] = { "one ", "two ", "three ", "four ", "five " };
	for (size_t i = 0; i < 5; i++) {
		size_t length = strlen(words[i]);
		if ((size_t)(at - text) >= length && strncasecmp(at - length, words[i], length) == 0)
			return (int)i + 1;
	}
	if (at - text >= 2 && at[-1] == ' ' && at[-2] >= '2' && at[-2] <= '5' &&
		(at - text == 2 || !isdigit((unsigned char)at[-3])))
		return at[-2] - '0';
	return 1;
}

size_t facts_rooms_in(const char *text, struct fact_room *rooms, size_t capacity)
{
	size_t count = 0;
	const char *place[FACTS_ROOMS_MAX];
	for (size_t k = 0; k < sizeof room_kinds / sizeof room_kinds[0]; k++) {
		const char *at = NULL;
		for (size_t w = 0; at == NULL && room_kinds[k].words[w] != NULL; w++)
			at = find_word(text, room_kinds[k].words[w]);
		if (at == NULL || count == capacity || count == FACTS_ROOMS_MAX)
			continue;
		size_t slot = count++;
		for (; slot > 0 && place[slot - 1] > at; slot--) {
			place[slot] = place[slot - 1];
			rooms[slot] = rooms[slot - 1];
		}
		place[slot] = at;
		rooms[slot] = (struct fact_room) { .kind = &room_kinds[k], .count = count_before(text, at) };
		snprintf(rooms[slot].name, sizeof rooms[slot].name, "%s", room_kinds[k].name);
	}
	return count;
}

static struct fact_room *facts_own_room(struct facts *facts, const struct room_kind *kind)
{
	for (size_t i = 0; i < facts->room_count; i++)
		if (facts->rooms[i].kind == kind)
			return &facts->rooms[i];
	return NULL;
}

const struct fact_room *facts_room(const struct facts *facts, const struct room_kind *kind)
{
	return facts_own_room((struct facts *)facts, kind);
}

const struct fact_room *facts_focus(const struct facts *facts)
{
	return facts->focus == NULL ? NULL : facts_room(facts, facts->focus);
}

double facts_room_budget(const struct facts *facts, const struct fact_room *room)
{
	double weights = 0;
	for (size_t i = 0; i < facts->room_count; i++)
		weights += facts->rooms[i].kind->share * facts->rooms[i].count;
	if (weights <= 0 || facts->budget.amount <= 0)
		return 0;
	return floor(facts->budget.amount * room->kind->share / weights / 50) * 50;
}

/* One text of the user: its rooms, and its measures, which belong to the first of them or to the room spoken of before. */
static void facts_read_question(struct facts *facts, const char *text, bool current)
{
	struct fact_room found[FACTS_ROOMS_MAX];
	struct measures measures = { 0 };
	size_t count = facts_rooms_in(text, found, FACTS_ROOMS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct fact_room *room = facts_own_room(facts, found[i].kind);
		if (room != NULL) {
			room->known = room->known || !current;
		} else if (facts->room_count < FACTS_ROOMS_MAX) {
			facts->rooms[facts->room_count] = found[i];
			facts->rooms[facts->room_count++].known = !current;
		}
	}
	if (count > 0)
		facts->focus = found[0].kind;
	if (measures_read(text, &measures, &facts->budget))
		facts->budget_is_new = current;
	struct fact_room *focus = facts->focus == NULL ? NULL : facts_own_room(facts, facts->focus);
	if (focus != NULL && measures.area_m2 > 0)
		focus->measures = measures;
}

static struct fact_task *facts_task(struct facts *facts, const char *title, const char *id)
{
	for (size_t i = 0; i < facts->task_count; i++) {
		struct fact_task *task = &facts->tasks[i];
		if ((title != NULL && strcasecmp(task->title, title) == 0) ||
			(id != NULL && *id != '\0' && strcmp(task->id, id) == 0))
			return task;
	}
	if (title == NULL || facts->task_count == FACTS_TASKS_MAX)
		return NULL;
	struct fact_task *task = &facts->tasks[facts->task_count++];
	*task = (struct fact_task) { 0 };
	text_copy(task->title, sizeof task->title, title, strlen(title));
	return task;
}

/* Any object with a title and an id (or a status) inside a tool's result is taken for a task. */
static void facts_read_result(struct facts *facts, const json_object *value, int depth)
{
	if (depth > 6)
		return;
	for (size_t i = 0; i < json_length(value); i++)
		facts_read_result(facts, json_at(value, i), depth + 1);
	if (!json_object_is_type(value, json_type_object))
		return;
	const char *title = json_find_text(value, "title");
	const char *id =
		json_find_text(value, "taskId") != NULL ? json_find_text(value, "taskId") : json_find_text(value, "id");
	const char *status = json_find_text(value, "status");
	if (title != NULL && (id != NULL || status != NULL)) {
		struct fact_task *task = facts_task(facts, title, id);
		if (task != NULL && id != NULL)
			snprintf(task->id, sizeof task->id, "%s", id);
		if (task != NULL && status != NULL)
			task->done = find_no_case(status, "done") != NULL || find_no_case(status, "complete") == status;
	}
	json_object_object_foreach((json_object *)value, key, member)
	{
		(void)key;
		facts_read_result(facts, member, depth + 1);
	}
}

static void facts_read_call(struct facts *facts, const json_object *call)
{
	const char *name = json_find_text(call, "name");
	const json_object *args = json_find(call, "args");
	const char *title = json_find_text(args, "title");
	if (name == NULL)
		return;
	if (json_find_text(args, "currency") != NULL)
		measures_read_currency(&facts->budget, json_find_text(args, "currency"));
	if (strcmp(name, "add_task") == 0 && title != NULL)
		facts_task(facts, title, NULL);
	if (strcmp(name, "complete_task") == 0) {
		struct fact_task *task = facts_task(facts, title, json_find_text(args, "taskId"));
		if (task != NULL)
			task->done = true;
	}
	if (strcmp(name, "update_session") == 0 && json_find(args, "totalBudget") != NULL && facts->budget.amount == 0)
		facts->budget.amount = json_find_number(args, "totalBudget", 0);
}

static void facts_read_project_room(struct facts *facts, const json_object *given)
{
	struct fact_room found;
	const char *kind = json_find_text(given, "kind");
	const char *name = json_find_text(given, "name");
	if ((kind == NULL || facts_rooms_in(kind, &found, 1) == 0) &&
		(name == NULL || facts_rooms_in(name, &found, 1) == 0))
		return;
	if (facts_own_room(facts, found.kind) != NULL || facts->room_count == FACTS_ROOMS_MAX)
		return;
	found.known = true;
	found.count = 1;
	found.measures.area_m2 = json_find_number(given, "areaM2", 0);
	facts->rooms[facts->room_count++] = found;
	facts->focus = found.kind;
}

/* A system instruction may carry the stored project as JSON. It is read only before tools ran: their effects would change it, and a cut
 * answer that is continued later must come out the same. */
static void facts_read_project(struct facts *facts, const json_object *request)
{
	struct text system = { 0 };
	content_text(json_find(request, "systemInstruction"), &system);
	const char *begin = strchr(text_get(&system), '{');
	json_object *project = begin == NULL ? NULL : json_tokener_parse(begin);
	const json_object *rooms = json_find_list(project, "rooms");
	facts->budget.amount = json_find_number(project, "totalBudget", 0);
	if (json_find_text(project, "currency") != NULL)
		measures_read_currency(&facts->budget, json_find_text(project, "currency"));
	for (size_t i = 0; i < json_length(rooms); i++)
		facts_read_project_room(facts, json_at(rooms, i));
	facts_read_result(facts, json_find(project, "openTasks"), 0);
	json_object_put(project);
	text_fini(&system);
}

void facts_read(struct facts *facts, const struct conversation *c)
{
	*facts = (struct facts) { .budget = { 0, "EUR", "€" } };
	if (!c->answering_tools)
		facts_read_project(facts, c->request);
	for (size_t i = 0; i < c->count; i++) {
		const json_object *content = json_at(c->contents, i);
		const json_object *parts = json_find_list(content, "parts");
		bool user = strcmp(content_role(content), "user") == 0;
		struct text text = { 0 };
		content_lines(content, &text);
		if (user && text.length > 0) {
			facts->questions++;
			facts_read_question(facts, text.bytes, i == c->turn_start);
		}
		text_fini(&text);
		for (size_t p = 0; p < json_length(parts); p++) {
			const json_object *part = json_at(parts, p);
			if (json_find(part, "functionCall") != NULL)
				facts_read_call(facts, json_find(part, "functionCall"));
			const json_object *result = json_find(part, "functionResponse");
			const char *name = json_find_text(result, "name");
			if (name != NULL && find_no_case(name, "task") != NULL)
				facts_read_result(facts, json_find(result, "response"), 0);
		}
	}
}

void facts_money(const struct facts *facts, double amount, struct text *out)
{
	char digits[32];
	snprintf(digits, sizeof digits, "%.0f", amount);
	size_t length = strlen(digits);
	text_add(out, facts->budget.symbol);
	for (size_t i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			text_add(out, ",");
		text_append(out, digits + i, 1);
	}
}

void facts_area(double area_m2, struct text *out)
{
	text_format(out, "%.4g m²", area_m2);
}
