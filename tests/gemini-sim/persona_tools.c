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

bool persona_is_first_setup(const struct persona *p)
{
	for (size_t i = 0; i < p->facts.room_count; i++)
		if (p->facts.rooms[i].known)
			return false;
	return true;
}

static void add_title(const struct persona *p, struct text *title)
{
	for (size_t i = 0; i < p->facts.room_count && i < 3; i++) {
		const char *name = p->facts.rooms[i].kind->name;
		char first = i == 0 ? name[0] : (char)tolower((unsigned char)name[0]);
		if (i > 0)
			text_add(title, i + 1 == p->facts.room_count ? " and " : ", ");
		text_append(title, &first, 1);
		text_add(title, name + 1);
	}
	if (title->length > 0)
		text_add(title, " renovation");
}

/* The title is given once; a user may have changed it since. */
static void call_update_session(struct persona *p)
{
	struct text title = { 0 };
	json_object *args = json_object_new_object();
	if (persona_is_first_setup(p))
		add_title(p, &title);
	if (title.length > 0)
		put_text_as(args, (const char *const[]) { "title", "name", NULL }, title.bytes);
	if (p->facts.budget_is_new) {
		put_number_as(args, (const char *const[]) { "totalBudget", "budget", "total_budget", NULL },
			p->facts.budget.amount);
		json_put_text(args, "currency", p->facts.budget.code);
	}
	text_fini(&title);
	if (json_object_object_length(args) > 0)
		call(p, "update_session", args);
	else
		json_object_put(args);
}

/* Sides are only known or made up where at least the area was told. */
static void put_measures(json_object *args, const struct measures *m)
{
	if (m->area_m2 <= 0)
		return;
	double width = m->width_m > 0 ? m->width_m : fmax(floor(sqrt(m->area_m2) * 2) / 2, 0.5);
	double length = m->length_m > 0 ? m->length_m : round(m->area_m2 / width * 100) / 100;
	put_number_as(args, (const char *const[]) { "lengthM", "length", "length_m", NULL }, length);
	put_number_as(args, (const char *const[]) { "widthM", "width", "width_m", NULL }, width);
	put_number_as(args, (const char *const[]) { "areaM2", "area", "area_m2", NULL }, m->area_m2);
	if (m->height_m > 0)
		put_number_as(args, (const char *const[]) { "heightM", "height", "height_m", NULL }, m->height_m);
}

static void call_add_room(struct persona *p, const struct fact_room *room, int number)
{
	char name[80];
	json_object *args = json_object_new_object();
	if (room->count > 1)
		snprintf(name, sizeof name, "%s %d", room->name, number);
	else
		snprintf(name, sizeof name, "%s", room->name);
	json_put_text(args, "name", name);
	put_text_as(args, (const char *const[]) { "kind", "type", "roomType", NULL }, room->kind->kind);
	if (room->count == 1)
		put_measures(args, &room->measures);
	if (facts_room_budget(&p->facts, room) > 0)
		json_put(args, "budget", json_number(facts_room_budget(&p->facts, room)));
	call(p, "add_room", args);
}

static void call_add_task(struct persona *p, const struct plan_task *task, const struct fact_room *room)
{
	char lower[64];
	struct text title = { 0 };
	struct text description = { 0 };
	json_object *args = json_object_new_object();
	const struct room_kind *focus = p->facts.focus;
	p->facts.focus = room->kind; /* numbers in the texts are this room's */
	snprintf(lower, sizeof lower, "%s", room->name);
	lower[0] = (char)tolower((unsigned char)lower[0]);
	phrases_fill(task->title, &p->facts, lower, &title);
	phrases_fill(task->description, &p->facts, lower, &description);
	p->facts.focus = focus;
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
	double area = room->measures.area_m2 > 0 ? room->measures.area_m2 : room->kind->area_m2;
	json_put_text(args, "name", product->name);
	json_put_text(args, "category", product->category);
	put_text_as(args, (const char *const[]) { "vendor", "brand", NULL }, product->vendor);
	put_text_as(args, (const char *const[]) { "url", "link", NULL }, product->url);
	json_put(args, "price", json_number(product->price));
	json_put_text(args, "currency", p->facts.budget.code);
	json_put(args, "quantity", json_number(product->per_m2 > 0 ? ceil(product->per_m2 * area) : 1));
	put_text_as(args, (const char *const[]) { "rationale", "reason", NULL }, product->rationale);
	put_room(args, room->name);
	call(p, "recommend_product", args);
}

/* One room gets its whole plan; several share the round, so that it stays readable. */
static void call_setup(struct persona *p)
{
	const struct fact_room *fresh[FACTS_ROOMS_MAX];
	size_t count = 0;
	call_update_session(p);
	for (size_t i = 0; i < p->room_count; i++) {
		const struct fact_room *room = facts_room(&p->facts, p->rooms[i].kind);
		if (room == NULL || room->known)
			continue;
		fresh[count++] = room;
		for (int n = 1; n <= room->count; n++)
			call_add_room(p, room, n);
	}
	size_t tasks = count <= 1 ? 4 : count == 2 ? 3 : 2;
	for (size_t i = 0; i < count; i++) {
		const struct room_plan *plan = phrases_plan(fresh[i]->kind->kind);
		for (size_t t = 0; t < tasks && plan->tasks[t].title != NULL; t++)
			call_add_task(p, &plan->tasks[t], fresh[i]);
	}
	for (size_t i = 0; i < count; i++) {
		const struct room_plan *plan = phrases_plan(fresh[i]->kind->kind);
		call_recommend(p, &plan->products[0], fresh[i]);
		if (count == 1)
			call_recommend(p, &plan->products[1], fresh[i]);
	}
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
	struct fact_room kitchen = { 0 };
	const struct fact_room *room = facts_focus(&p->facts);
	if (room == NULL) {
		facts_rooms_in("kitchen", &kitchen, 1);
		room = &kitchen;
	}
	const struct room_plan *plan = phrases_plan(room->kind->kind);
	call_recommend(p, &plan->products[0], room);
	call_recommend(p, &plan->products[1], room);
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
