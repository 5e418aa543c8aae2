/* Decides what the homeowner wants and writes the persona's paragraphs. Called by generate.c.
 * Calls are made in persona_tools.c; after their results came back this file always answers with text, so nothing loops. */
#include "tests/gemini-sim/persona.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/phrases.h"

static bool says_any(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (find_no_case(text, *words) != NULL)
			return true;
	return false;
}

bool persona_applies(const json_object *request)
{
	static const char *const tools[] = { "update_session", "add_room", "add_task", "complete_task", "list_tasks",
		"recommend_product" };
	for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
		if (declaration_find(request, tools[i], NULL) != NULL)
			return true;
	return false;
}

static bool is_greeting(const char *asked)
{
	static const char *const words[] = { "hi", "hello", "hey", "good morning", "good evening", "good afternoon",
		"hallo", "bonjour", "moin", NULL };
	for (size_t i = 0; words[i] != NULL; i++) {
		const char *at = find_word(asked, words[i]);
		if (at != NULL && at - asked < 3 && strlen(asked) < strlen(words[i]) + 25)
			return true;
	}
	return false;
}

static bool has_new_room(const struct persona *p)
{
	for (size_t i = 0; i < p->room_count; i++)
		for (size_t r = 0; r < p->facts.room_count; r++)
			if (p->facts.rooms[r].kind == p->rooms[i].kind && !p->facts.rooms[r].known)
				return true;
	return false;
}

static enum intent read_intent(const struct persona *p)
{
	static const char *const task[] = { "add a task", "add task", "remind me to", "todo:", "to-do:", "new task",
		"put on my list", NULL };
	static const char *const open[] = { "what is left", "what's left", "what’s left", "what is still",
		"what's still", "still open", "open tasks", "my tasks", "list tasks", "list the tasks", "to do next",
		"remaining", "what's next", "what is next", "next step", "progress", "to-do list", "todo list",
		"which tasks", "show me the tasks", "show tasks", NULL };
	static const char *const done[] = { "mark", "is done", "are done", "finished", "i have done", "i've done",
		"i did", "complete", "tick off", "check off", "done with", "just did", NULL };
	static const char *const product[] = { "recommend", "suggest", "which product", "what should i buy", "shopping",
		NULL };
	static const char *const wish[] = { "renovat", "redo", "remodel", "refurbish", "moderni", "add ", "i want",
		"we want", "i'd like", "we'd like", "i would like", "need to", "plan", "new ", "also", "include",
		"makeover", "build", "help", NULL };
	const char *asked = p->conversation->asked;
	if (p->conversation->images)
		return INTENT_IMAGE;
	if (is_greeting(asked))
		return INTENT_GREETING;
	if (says_any(asked, task))
		return INTENT_ADD_TASK;
	if (says_any(asked, open))
		return INTENT_LIST;
	if (says_any(asked, done) && !starts_with(asked, "What") && !starts_with(asked, "what") && !has_new_room(p))
		return INTENT_COMPLETE;
	bool question = strchr(asked, '?') != NULL && phrases_topic(asked) != NULL && !p->facts.budget_is_new;
	if (!question && says_any(asked, wish) && (has_new_room(p) || p->facts.budget_is_new))
		return INTENT_SETUP;
	if (!question && p->facts.questions == 1 && has_new_room(p))
		return INTENT_SETUP;
	if (!question && p->facts.budget_is_new)
		return INTENT_SETUP;
	if (says_any(asked, product))
		return INTENT_PRODUCT;
	if (phrases_topic(asked) != NULL)
		return INTENT_TOPIC;
	if (says_any(asked, (const char *const[]) { "thank", "thanks", "great", "perfect", "bye", NULL }))
		return INTENT_THANKS;
	return INTENT_CHAT;
}

const char *persona_room_name(const struct persona *p)
{
	static char name[64];
	const struct fact_room *room = facts_focus(&p->facts);
	if (room == NULL)
		return "room";
	snprintf(name, sizeof name, "%s", room->kind->name);
	name[0] = (char)tolower((unsigned char)name[0]);
	return name;
}

const struct room_plan *persona_plan(const struct persona *p)
{
	return phrases_plan(p->facts.focus != NULL ? p->facts.focus->kind : "");
}

static void fill(struct persona *p, const char *template, struct text *out)
{
	char room[80];
	snprintf(room, sizeof room, "your %s", persona_room_name(p));
	phrases_fill(template, &p->facts, room, out);
}

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
		fill(p, "{room}?", out);
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

static void say_closing(struct persona *p, struct text *out)
{
	const struct room_plan *plan = persona_plan(p);
	if (p->facts.budget.amount > 0)
		fill(p, "{each} ", out);
	fill(p, plan->split, out);
	text_add(out, "\n\n");
	fill(p, plan->question, out);
}

static void say_results(struct persona *p, struct text *out)
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
		say_closing(p, out);
	else
		fill(p, "Is there anything about {room} that worries you, or shall we look at the next step?", out);
}

static void say_lead_in(const struct persona *p, struct text *out)
{
	switch (p->intent) {
	case INTENT_SETUP:
		text_add(out,
			persona_is_first_setup(p)
				? "That sounds like a good project! Let me set it up for you and note the first steps."
				: "Good, I will add that to your plan.");
		return;
	case INTENT_ADD_TASK: text_add(out, "I will put that on your list."); return;
	case INTENT_PRODUCT: text_add(out, "Let me note two options that fit."); return;
	case INTENT_COMPLETE:
	case INTENT_LIST:
	case INTENT_CHAT:
	case INTENT_GREETING:
	case INTENT_THANKS:
	case INTENT_IMAGE:
	case INTENT_TOPIC: return;
	}
}

static void say_image(struct persona *p, struct text *out)
{
	static const char *const rooms[] = { "a kitchen of about 11 m² with a single line of older beech cabinets",
		"a bathroom of about 6 m² with beige wall tiles from the eighties",
		"a living room of about 22 m² with worn oak parquet" };
	size_t which = p->conversation->hash % 3;
	const char *name = persona_room_name(p);
	if (find_no_case(name, "kitchen") != NULL || find_no_case(name, "bath") != NULL)
		which = name[0] == 'k' ? 0 : 1;
	text_format(out,
		"Thank you for the picture. I see %s, one window on the long side and daylight from the left.\n\n",
		rooms[which]);
	text_add(out, "What I notice:\n\n- The joints in the corner near the window are dark; that may be moisture and "
		      "should be measured first.\n"
		      "- There are few sockets, and those I see are an older type.\n- The floor looks level, but has "
		      "scratches and one open joint.\n\n");
	text_add(out, "The substance seems good, so this is more a renewal of surfaces, light and sockets than a "
		      "rebuild. For the corner I "
		      "would take a moisture reading before anything is painted.\n\nHow old are the pipes, and has the "
		      "dark spot grown lately?");
}

static void say_plain(struct persona *p, struct text *out)
{
	const struct topic *topic = phrases_topic(p->conversation->asked);
	switch (p->intent) {
	case INTENT_IMAGE: say_image(p, out); return;
	case INTENT_GREETING:
		text_add(out, "Hello! 👋 I am your renovation assistant. I help you to turn an idea into rooms, tasks "
			      "and a budget that hold.\n\n"
			      "Tell me which room it is about, how large it is, and roughly what you would like to "
			      "spend. Something like “my kitchen, about 12 m², 15,000” is enough to begin.");
		return;
	case INTENT_THANKS:
		text_add(out, "You are welcome! 🙂 Your plan stays here, so we can go on whenever you like.\n\nWhen "
			      "you next have a minute, the measures of ");
		fill(p, "{room} would help most.", out);
		return;
	case INTENT_TOPIC:
		for (size_t i = 0; topic != NULL && topic->paragraphs[i] != NULL; i++) {
			fill(p, topic->paragraphs[i], out);
			text_add(out, "\n\n");
		}
		text_add(out, topic != NULL ? topic->question : "");
		return;
	case INTENT_SETUP:
	case INTENT_PRODUCT:
		fill(p,
			"Good plan. For {room} with {area} I would begin like this: measure everything and photograph "
			"each wall, decide on the layout, have electrics and water checked, and only then ask for "
			"quotes.\n\n",
			out);
		say_closing(p, out);
		return;
	case INTENT_LIST:
	case INTENT_COMPLETE:
	case INTENT_ADD_TASK:
		text_add(out, "I cannot reach your task list at the moment, so please note it yourself for now.\n\n");
		fill(p, persona_plan(p)->question, out);
		return;
	case INTENT_CHAT: break;
	}
	fill(p,
		"Let me think about {room} with you. With {area} and {budget} most wishes can be met if the order is "
		"right: first what is hidden (pipes, wires, moisture), then what is fixed (walls, floor), and last "
		"what you see every day.\n\n",
		out);
	fill(p,
		"A good next step is a short list of what must be different afterwards, and what may stay as it is. "
		"Everything that stays saves money; even a freshly painted door looks new.\n\n",
		out);
	fill(p, persona_plan(p)->question, out);
}

void persona_answer(struct answer *answer, const struct conversation *conversation)
{
	struct persona p = { .conversation = conversation, .answer = answer };
	struct text out = { 0 };
	const char *mode = json_find_text(
		json_find(json_find(conversation->request, "toolConfig"), "functionCallingConfig"), "mode");
	facts_read(&p.facts, conversation);
	p.room_count = facts_rooms_in(conversation->asked, p.rooms, FACTS_ROOMS_MAX);
	p.intent = read_intent(&p);
	p.may_call = persona_applies(conversation->request) && (mode == NULL || strcmp(mode, "NONE") != 0);
	if (conversation->answering_tools) {
		if (p.may_call && persona_call_after_list(&p))
			return;
		say_results(&p, &out);
		answer_add_text(answer, text_get(&out));
	} else {
		struct answer *calls = answer_create();
		p.answer = calls;
		bool called = p.may_call && persona_call_tools(&p);
		called ? say_lead_in(&p, &out) : say_plain(&p, &out);
		if (out.length > 0)
			answer_add_text(answer, out.bytes);
		for (size_t i = 0; i < calls->count; i++)
			answer_add_call(answer, calls->pieces[i].text, json_object_get(calls->pieces[i].args));
		answer_destroy(&calls);
	}
	text_fini(&out);
}
