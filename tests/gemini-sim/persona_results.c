/* What the persona says after its tools have run: what was set up, noted, ticked off or is left, and what failed.
 * Called by persona.c; it calls no tools. */
#include "tests/gemini-sim/persona.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "tests/gemini-sim/phrases.h"

/* What the calls of this turn did, by name; arguments in order, with whether the answer was an error. */
struct done {
	const json_object *args;     /* of the call; borrowed */
	const json_object *response; /* of its answer; borrowed, may be NULL */
};

static size_t turn_calls(const struct persona *p, const char *name, struct done *done, size_t capacity)
{
	const struct conversation *c = p->conversation;
	size_t count = 0;
	for (size_t i = c->turn_start; i + 1 < c->count; i++) {
		const json_object *parts = json_find_list(json_at(c->contents, i), "parts");
		const json_object *answers = json_find_list(json_at(c->contents, i + 1), "parts");
		size_t order = 0;
		for (size_t n = 0; n < json_length(parts); n++) {
			const json_object *call = json_find(json_at(parts, n), "functionCall");
			const char *called = json_find_text(call, "name");
			if (called == NULL)
				continue;
			const json_object *answer = json_find(json_at(answers, order++), "functionResponse");
			if (strcmp(called, name) == 0 && count < capacity)
				done[count++] =
					(struct done) { json_find(call, "args"), json_find(answer, "response") };
		}
	}
	return count;
}

bool persona_called(const struct persona *p, const char *name)
{
	struct done done;
	return turn_calls(p, name, &done, 1) > 0;
}

static bool failed(const struct done *done)
{
	return json_find(done->response, "error") != NULL;
}

static void say_failures(struct persona *p, struct text *out)
{
	static const char *const tools[] = { "update_session", "add_room", "add_task", "complete_task", "list_tasks",
		"recommend_product" };
	struct done done[16];
	for (size_t t = 0; t < 6; t++) {
		size_t count = turn_calls(p, tools[t], done, sizeof done / sizeof done[0]);
		for (size_t i = 0; i < count; i++) {
			if (!failed(&done[i]))
				continue;
			const char *why = json_find_text(done[i].response, "error");
			text_format(out, "One step did not work (`%s`): %s. Tell me if I should try it again.\n\n",
				tools[t], why != NULL ? why : "it was refused");
			return;
		}
	}
}

static void say_room(const struct done *done, const char *before, struct text *out)
{
	const char *name = json_find_text(done->args, "name");
	double length = json_find_number(done->args, "lengthM", 0);
	double width = json_find_number(done->args, "widthM", 0);
	bool numbered = isdigit((unsigned char)name[strlen(name) - 1]);
	text_format(out, "%s%s%c%s", before, numbered ? "" : "the ", tolower((unsigned char)name[0]), name + 1);
	if (length > 0 && width > 0)
		text_format(out, " (%.3g m², about %.3g × %.3g m)", length * width, length, width);
}

static void say_rooms(struct persona *p, struct text *out)
{
	struct done rooms[8];
	struct done session[2];
	size_t count = turn_calls(p, "add_room", rooms, 8);
	bool updated = turn_calls(p, "update_session", session, 2) > 0 && !failed(&session[0]);
	const char *title = updated ? json_find_text(session[0].args, "title") : NULL;
	size_t said = 0;
	if (title != NULL)
		text_format(out, "I have set up **%s**", title);
	else if (updated)
		text_add(out, "I have updated your project");
	if (updated && json_find(session[0].args, "totalBudget") != NULL) {
		text_add(out, " with a budget of ");
		facts_money(&p->facts, p->facts.budget.amount, out);
	}
	for (size_t i = 0; i < count; i++) {
		if (failed(&rooms[i]) || json_find_text(rooms[i].args, "name") == NULL)
			continue;
		const char *link = i + 1 == count ? " and " : ", ";
		say_room(&rooms[i], said > 0 ? link : updated ? " and added " : "I have added ", out);
		said++;
	}
	if (!updated && said == 0)
		text_add(out, "That is noted");
	text_add(out, said > 0 ? " to your plan.\n\n" : ".\n\n");
}

static void say_tasks(struct persona *p, struct text *out)
{
	struct done tasks[16];
	size_t count = turn_calls(p, "add_task", tasks, 16);
	int number = 0;
	for (size_t i = 0; i < count; i++) {
		const char *title = json_find_text(tasks[i].args, "title");
		const char *description = json_find_text(tasks[i].args, "description");
		if (failed(&tasks[i]) || title == NULL)
			continue;
		if (number++ == 0)
			text_add(out, count == 1 ? "On your list now:\n\n"
						 : "Your first steps, in the order I would take them:\n\n");
		text_format(out, "%d. **%s**%s%s\n", number, title, description != NULL ? ": " : "",
			description != NULL ? description : "");
	}
	if (number > 0)
		text_add(out, "\n");
}

static void say_products(struct persona *p, struct text *out)
{
	struct done products[8];
	size_t count = turn_calls(p, "recommend_product", products, 8);
	for (size_t i = 0; i < count; i++) {
		const char *name = json_find_text(products[i].args, "name");
		const char *vendor = json_find_text(products[i].args, "vendor");
		const char *rationale = json_find_text(products[i].args, "rationale");
		if (failed(&products[i]) || name == NULL)
			continue;
		text_format(out, "%s **%s**%s%s",
			i == 0 ? "To have something to compare with, look at" : "Also worth a look:", name,
			vendor != NULL ? " by " : "", vendor != NULL ? vendor : "");
		if (json_find(products[i].args, "price") != NULL) {
			text_add(out, " (about ");
			facts_money(&p->facts, json_find_number(products[i].args, "price", 0), out);
			text_add(out, json_find_number(products[i].args, "quantity", 1) > 1 ? " each)" : ")");
		}
		text_format(out, ". %s%s", rationale != NULL ? rationale : "", i + 1 < count ? " " : "\n\n");
	}
}

/* Any list of objects with titles in a tool's result. */
static const json_object *find_task_list(const json_object *value, int depth)
{
	const json_object *first = json_at(value, 0);
	if (json_find_text(first, "title") != NULL ||
		(json_object_is_type(value, json_type_array) && json_length(value) == 0))
		return value;
	if (depth > 4 || !json_object_is_type(value, json_type_object))
		return NULL;
	json_object_object_foreach((json_object *)value, key, member)
	{
		(void)key;
		const json_object *found = find_task_list(member, depth + 1);
		if (found != NULL)
			return found;
	}
	return NULL;
}

static bool is_done_status(const char *status)
{
	return status != NULL && (find_no_case(status, "done") != NULL || find_no_case(status, "complete") == status);
}

static void say_list(struct persona *p, struct text *out)
{
	struct done list[4];
	size_t count = turn_calls(p, "list_tasks", list, 4);
	const json_object *tasks = count == 0 ? NULL : find_task_list(list[count - 1].response, 0);
	const char *first = NULL;
	size_t finished = 0;
	for (size_t i = 0; i < json_length(tasks); i++) {
		const char *title = json_find_text(json_at(tasks, i), "title");
		if (is_done_status(json_find_text(json_at(tasks, i), "status"))) {
			finished++;
			continue;
		}
		if (first == NULL)
			text_add(out, "This is still open:\n\n");
		first = first == NULL ? title : first;
		text_format(out, "- **%s**\n", title != NULL ? title : "(without title)");
	}
	if (first == NULL) {
		text_add(out,
			"Nothing is open at the moment: your list is clear. 🎉\n\nShall I suggest the next steps for ");
		persona_fill(p, "{room}?", out);
		return;
	}
	if (finished > 0)
		text_format(out, "\nAnd %zu %s already done, well on the way.\n", finished,
			finished == 1 ? "task is" : "tasks are");
	text_format(out,
		"\nI would take “%s” next, because the others depend on it. What keeps you from starting with it?",
		first);
}

static void say_completed(struct persona *p, struct text *out)
{
	struct done done[4];
	size_t count = turn_calls(p, "complete_task", done, 4);
	if (count == 0) {
		text_add(out, "I am not sure which task you mean, so I have left everything as it is.\n\n");
		say_list(p, out);
		return;
	}
	const char *title = json_find_text(done[0].args, "title");
	for (size_t i = 0; title == NULL && i < p->facts.task_count; i++) {
		const char *id = json_find_text(done[0].args, "taskId");
		if (id != NULL && strcmp(p->facts.tasks[i].id, id) == 0)
			title = p->facts.tasks[i].title;
	}
	if (failed(&done[0])) {
		say_failures(p, out);
		return;
	}
	text_format(out, "Well done! “%s” is ticked off. ✅\n\n", title != NULL ? title : "The task");
	for (size_t i = 0; i < p->facts.task_count; i++) {
		if (p->facts.tasks[i].done)
			continue;
		text_format(out, "Next on your list is **%s**. ", p->facts.tasks[i].title);
		break;
	}
	text_add(out, "If you send me the measures or a photo, I can check them against your budget. Shall we go on "
		      "with that?");
}

void persona_say_closing(struct persona *p, struct text *out)
{
	const struct room_plan *plan = persona_plan(p);
	if (p->facts.budget.amount > 0)
		persona_fill(p, "{each} ", out);
	persona_fill(p, plan->split, out);
	text_add(out, "\n\n");
	persona_fill(p, plan->question, out);
}

void persona_say_results(struct persona *p, struct text *out)
{
	if (p->intent == INTENT_COMPLETE) {
		say_completed(p, out);
		return;
	}
	if (p->intent == INTENT_LIST) {
		say_list(p, out);
		return;
	}
	if (p->intent == INTENT_SETUP)
		say_rooms(p, out);
	say_tasks(p, out);
	say_products(p, out);
	say_failures(p, out);
	if (p->intent == INTENT_SETUP)
		persona_say_closing(p, out);
	else
		persona_fill(
			p, "Is there anything about {room} that worries you, or shall we look at the next step?", out);
}
