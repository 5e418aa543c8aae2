/* The persona's tool calls: which ones a wish needs and with which arguments. Called by persona.c.
 * Arguments are offered under several usual names; schema_fit keeps those that the declaration knows. */
#include "tests/gemini-sim/persona.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/gemini-sim/phrases.h"
#include "tests/gemini-sim/schema.h"

#define CALLS_MAX 14

static const json_object *tool_schema(const struct persona *p, const char *name)
{
	return declaration_schema(declaration_find(p->conversation->request, name, NULL));
}

static bool tool_is_declared(const struct persona *p, const char *name)
{
	return declaration_find(p->conversation->request, name, NULL) != NULL;
}

/* `wanted` is taken over. False if the tool is not declared or the answer is full. */
static bool call(struct persona *p, const char *name, json_object *wanted)
{
	if (!tool_is_declared(p, name) || p->answer->count >= CALLS_MAX) {
		json_object_put(wanted);
		return false;
	}
	answer_add_call(p->answer, name, schema_fit(tool_schema(p, name), wanted, p->conversation->asked));
	return true;
}

static void put_text_as(json_object *args, const char *const *names, const char *value)
{
	for (; *names != NULL; names++)
		json_put_text(args, *names, value);
}

static void put_number_as(json_object *args, const char *const *names, double value)
{
	for (; *names != NULL; names++)
		json_put(args, *names, json_number(value));
}

static void put_room(json_object *args, const char *name)
{
	put_text_as(args, (const char *const[]) { "room", "roomName", "room_name", NULL }, name);
}

static void call_update_session(struct persona *p)
{
	struct text title = { 0 };
	json_object *args = json_object_new_object();
	for (size_t i = 0; i < p->facts.room_count && i < 3; i++) {
		const char *name = p->facts.rooms[i].kind->name;
		if (i > 0)
			text_add(&title, i + 1 == p->facts.room_count ? " and " : ", ");
		text_append(&title, i == 0 ? name : &(char) { (char)tolower((unsigned char)name[0]) }, 1);
		text_add(&title, name + 1);
	}
	if (title.length > 0) {
		text_add(&title, " renovation");
		put_text_as(args, (const char *const[]) { "title", "name", NULL }, title.bytes);
	}
	if (p->facts.budget > 0) {
		put_number_as(
			args, (const char *const[]) { "totalBudget", "budget", "total_budget", NULL }, p->facts.budget);
		json_put_text(args, "currency", p->facts.currency);
	}
	text_fini(&title);
	if (json_object_object_length(args) > 0)
		call(p, "update_session", args);
	else
		json_object_put(args);
}

/* What this room may cost: the whole budget if it is alone, its weight otherwise. */
static double room_budget(const struct persona *p, const struct fact_room *room)
{
	double weights = 0;
	for (size_t i = 0; i < p->facts.room_count; i++)
		weights += p->facts.rooms[i].kind->share * p->facts.rooms[i].count;
	if (weights <= 0 || p->facts.budget <= 0)
		return 0;
	return floor(p->facts.budget * room->kind->share / weights / 50) * 50;
}

static void call_add_room(struct persona *p, const struct fact_room *room, int number)
{
	char name[80];
	json_object *args = json_object_new_object();
	bool measured = p->facts.area_m2 > 0 && p->room_count <= 1 && room->count == 1;
	double area = measured ? p->facts.area_m2 : room->kind->area_m2;
	double width = p->facts.width_m > 0 && measured ? p->facts.width_m : floor(sqrt(area) * 2) / 2;
	double length = p->facts.length_m > 0 && measured ? p->facts.length_m : round(area / width * 100) / 100;
	if (room->count > 1)
		snprintf(name, sizeof name, "%s %d", room->name, number);
	else
		snprintf(name, sizeof name, "%s", room->name);
	json_put_text(args, "name", name);
	put_text_as(args, (const char *const[]) { "kind", "type", "roomType", NULL }, room->kind->kind);
	if (measured) {
		put_number_as(args, (const char *const[]) { "lengthM", "length", "length_m", NULL }, length);
		put_number_as(args, (const char *const[]) { "widthM", "width", "width_m", NULL }, width);
		put_number_as(args, (const char *const[]) { "areaM2", "area", "area_m2", NULL }, area);
	}
	if (p->facts.height_m > 0)
		put_number_as(args, (const char *const[]) { "heightM", "height", "height_m", NULL }, p->facts.height_m);
	if (room_budget(p, room) > 0)
		json_put(args, "budget", json_number(room_budget(p, room)));
	call(p, "add_room", args);
}

static void call_add_task(struct persona *p, const struct plan_task *task, const struct fact_room *room)
{
	char lower[64];
	struct text title = { 0 };
	struct text description = { 0 };
	json_object *args = json_object_new_object();
	snprintf(lower, sizeof lower, "%s", room->name);
	lower[0] = (char)tolower((unsigned char)lower[0]);
	phrases_fill(task->title, &p->facts, lower, &title);
	phrases_fill(task->description, &p->facts, lower, &description);
	json_put_text(args, "title", title.bytes);
	json_put_text(args, "description", description.bytes);
	json_put_text(args, "priority", task->priority);
	put_room(args, room->name);
	call(p, "add_task", args);
	text_fini(&title);
	text_fini(&description);
}

static void call_recommend(struct persona *p, const struct plan_product *product, const struct fact_room *room)
{
	json_object *args = json_object_new_object();
	double area = p->facts.area_m2 > 0 && p->room_count <= 1 ? p->facts.area_m2 : room->kind->area_m2;
	json_put_text(args, "name", product->name);
	json_put_text(args, "category", product->category);
	put_text_as(args, (const char *const[]) { "vendor", "brand", NULL }, product->vendor);
	put_text_as(args, (const char *const[]) { "url", "link", NULL }, product->url);
	json_put(args, "price", json_number(product->price));
	json_put_text(args, "currency", p->facts.currency);
	json_put(args, "quantity", json_number(product->per_m2 > 0 ? ceil(product->per_m2 * area) : 1));
	put_text_as(args, (const char *const[]) { "rationale", "reason", NULL }, product->rationale);
	put_room(args, room->name);
	call(p, "recommend_product", args);
}

/* One room gets its whole plan; several share the round, so that it stays readable. */
static void call_setup(struct persona *p)
{
	size_t fresh = 0;
	call_update_session(p);
	for (size_t i = 0; i < p->room_count; i++) {
		bool known = false;
		for (size_t r = 0; r < p->facts.room_count; r++)
			known = known || (p->facts.rooms[r].kind == p->rooms[i].kind && p->facts.rooms[r].known);
		p->rooms[i].known = known;
		fresh += !known;
		for (int n = 1; !known && n <= p->rooms[i].count; n++)
			call_add_room(p, &p->rooms[i], n);
	}
	size_t tasks = fresh <= 1 ? 4 : fresh == 2 ? 3 : 2;
	for (size_t i = 0; i < p->room_count; i++) {
		const struct room_plan *plan = phrases_plan(p->rooms[i].kind->kind);
		for (size_t t = 0; !p->rooms[i].known && t < tasks && plan->tasks[t].title != NULL; t++)
			call_add_task(p, &plan->tasks[t], &p->rooms[i]);
	}
	for (size_t i = 0; i < p->room_count; i++)
		if (!p->rooms[i].known)
			call_recommend(p, &phrases_plan(p->rooms[i].kind->kind)->products[0], &p->rooms[i]);
	if (fresh == 1)
		for (size_t i = 0; i < p->room_count; i++)
			if (!p->rooms[i].known)
				call_recommend(p, &phrases_plan(p->rooms[i].kind->kind)->products[1], &p->rooms[i]);
}

/* "add a task to order the tiles", "remind me to call the plumber", "todo: paint": what stands after the opening. */
static void call_wanted_task(struct persona *p)
{
	static const char *const openings[] = { "remind me to ", "add a task to ", "add a task for ", "add task ",
		"new task: ", "add a task: ", "add a task ", "todo: ", "to-do: ", "task: ", "note that i must ",
		"put on my list " };
	const char *wish = NULL;
	for (size_t i = 0; wish == NULL && i < sizeof openings / sizeof openings[0]; i++) {
		wish = find_no_case(p->conversation->asked, openings[i]);
		wish = wish == NULL ? NULL : wish + strlen(openings[i]);
	}
	if (wish == NULL || *wish == '\0')
		return;
	wish += strspn(wish, "\"'“: ");
	size_t length = strcspn(wish, ".!?\n\"");
	while (length > 120 || (length > 0 && ((unsigned char)wish[length] & 0xC0) == 0x80))
		length--;
	json_object *args = json_object_new_object();
	char *title = memory_copy_part(wish, length);
	title[0] = (char)toupper((unsigned char)title[0]);
	json_put_text(args, "title", title);
	json_put_text(args, "priority", find_no_case(p->conversation->asked, "urgent") != NULL ? "high" : "medium");
	if (p->room_count > 0)
		put_room(args, p->rooms[0].name);
	call(p, "add_task", args);
	free(title);
}

static bool word_counts(const char *word, size_t length)
{
	static const char *const common[] = { "mark", "done", "task", "have", "that", "this", "with", "finished",
		"complete", "completed", "please", "just", "the", "and", "tick", "check", "every" };
	for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
		if (strlen(common[i]) == length && strncasecmp(word, common[i], length) == 0)
			return false;
	return length >= 4;
}

/* Words of four letters or more count by their first five letters, so that "measuring" finds "Measure". */
static int task_score(const char *title, const char *asked)
{
	int score = 0;
	for (const char *at = asked; *at != '\0';) {
		size_t length = 0;
		while (isalpha((unsigned char)at[length]))
			length++;
		if (word_counts(at, length)) {
			char stem[8];
			snprintf(stem, sizeof stem, "%.*s", length > 6 ? 5 : (int)(length > 5 ? 5 : length), at);
			score += find_no_case(title, stem) != NULL;
		}
		at += length + (length == 0);
	}
	return score;
}

const struct fact_task *persona_task_meant(const struct persona *p)
{
	const struct fact_task *best = NULL;
	int best_score = 0;
	for (size_t i = 0; i < p->facts.task_count; i++) {
		const struct fact_task *task = &p->facts.tasks[i];
		int score = task_score(task->title, p->conversation->asked);
		if (!task->done && score > best_score) {
			best = task;
			best_score = score;
		}
	}
	return best;
}

static bool call_complete(struct persona *p)
{
	const struct fact_task *task = persona_task_meant(p);
	const json_object *schema = tool_schema(p, "complete_task");
	if (task == NULL ||
		(task->id[0] == '\0' && !schema_declares(schema, "title") && !schema_declares(schema, "task")))
		return false;
	json_object *args = json_object_new_object();
	if (task->id[0] != '\0')
		put_text_as(args, (const char *const[]) { "taskId", "id", "task_id", NULL }, task->id);
	/* One name is enough; both only where the declaration wants both. */
	if (task->id[0] == '\0' || !(schema_declares(schema, "taskId") || schema_declares(schema, "id") ||
					   schema_declares(schema, "task_id")))
		put_text_as(args, (const char *const[]) { "title", "task", NULL }, task->title);
	return call(p, "complete_task", args);
}

static bool call_list(struct persona *p)
{
	json_object *args = json_object_new_object();
	if (p->intent == INTENT_LIST && find_no_case(p->conversation->asked, "all") == NULL &&
		find_no_case(p->conversation->asked, "done") == NULL)
		json_put_text(args, "status", "open");
	return call(p, "list_tasks", args);
}

static void call_product(struct persona *p)
{
	struct fact_room room = { 0 };
	if (p->room_count > 0)
		room = p->rooms[0];
	else if (p->facts.room_count > 0)
		room = p->facts.rooms[p->facts.room_count - 1];
	else
		facts_rooms_in("kitchen", &room, 1);
	const struct room_plan *plan = phrases_plan(room.kind->kind);
	call_recommend(p, &plan->products[0], &room);
	call_recommend(p, &plan->products[1], &room);
}

bool persona_call_tools(struct persona *p)
{
	size_t before = p->answer->count;
	switch (p->intent) {
	case INTENT_SETUP: call_setup(p); break;
	case INTENT_ADD_TASK: call_wanted_task(p); break;
	case INTENT_COMPLETE:
		if (!call_complete(p))
			call_list(p);
		break;
	case INTENT_LIST: call_list(p); break;
	case INTENT_PRODUCT: call_product(p); break;
	case INTENT_CHAT:
	case INTENT_GREETING:
	case INTENT_THANKS:
	case INTENT_IMAGE:
	case INTENT_TOPIC: break;
	}
	return p->answer->count > before;
}

bool persona_call_after_list(struct persona *p)
{
	const struct conversation *c = p->conversation;
	for (size_t i = c->turn_start; i < c->count; i++) {
		const json_object *parts = json_find_list(json_at(c->contents, i), "parts");
		for (size_t n = 0; n < json_length(parts); n++) {
			const char *name = json_find_text(json_find(json_at(parts, n), "functionCall"), "name");
			if (name != NULL && strcmp(name, "list_tasks") != 0)
				return false;
		}
	}
	return p->intent == INTENT_COMPLETE && call_complete(p);
}
