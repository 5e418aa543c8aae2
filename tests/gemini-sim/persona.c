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

/* "mark … done", "I have finished …", but not "what is done?" */
static bool says_done(const char *asked)
{
	static const char *const done[] = { "mark", "is done", "are done", "finished", "i have done", "i've done",
		"i did", "complete", "tick off", "check off", "done with", "just did", NULL };
	return says_any(asked, done) && !starts_with(asked, "What") && !starts_with(asked, "what");
}

static enum intent read_intent(const struct persona *p)
{
	static const char *const task[] = { "add a task", "add task", "remind me to", "todo:", "to-do:", "new task",
		"put on my list", NULL };
	static const char *const open[] = { "what is left", "what's left", "what’s left", "what is still",
		"what's still", "still open", "open tasks", "my tasks", "list tasks", "list the tasks", "to do next",
		"remaining", "what's next", "what is next", "next step", "progress", "to-do list", "todo list",
		"which tasks", "show me the tasks", "show tasks", NULL };
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
	if (says_done(asked) && !has_new_room(p))
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

/* After tools ran, what was called tells the intent, whatever the words would say now. */
static enum intent read_intent_of_calls(const struct persona *p)
{
	static const struct {
		const char *name;
		enum intent intent;
	} rows[] = { { "complete_task", INTENT_COMPLETE }, { "update_session", INTENT_SETUP },
		{ "add_room", INTENT_SETUP }, { "list_tasks", INTENT_LIST }, { "add_task", INTENT_ADD_TASK },
		{ "recommend_product", INTENT_PRODUCT } };
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (persona_called(p, rows[i].name))
			return rows[i].intent == INTENT_LIST && says_done(p->conversation->asked) ? INTENT_COMPLETE
												  : rows[i].intent;
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

void persona_fill(const struct persona *p, const char *template, struct text *out)
{
	char room[80];
	snprintf(room, sizeof room, "your %s", persona_room_name(p));
	phrases_fill(template, &p->facts, room, out);
}

static void say_lead_in(const struct persona *p, struct text *out)
{
	switch (p->intent) {
	case INTENT_SETUP:
		text_add(out, persona_is_first_setup(p) ? "That sounds like a good project! Let me set it up for you "
							  "and note the first steps.\n\n"
							: "Good, I will add that to your plan.\n\n");
		return;
	case INTENT_ADD_TASK: text_add(out, "I will put that on your list.\n\n"); return;
	case INTENT_PRODUCT: text_add(out, "Let me note two options that fit.\n\n"); return;
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
		persona_fill(p, "{room} would help most.", out);
		return;
	case INTENT_TOPIC:
		for (size_t i = 0; topic != NULL && topic->paragraphs[i] != NULL; i++) {
			persona_fill(p, topic->paragraphs[i], out);
			text_add(out, "\n\n");
		}
		text_add(out, topic != NULL ? topic->question : "");
		return;
	case INTENT_SETUP:
	case INTENT_PRODUCT:
		persona_fill(p,
			"Good plan. For {room} with {area} I would begin like this: measure everything and photograph "
			"each wall, decide on the layout, have electrics and water checked, and only then ask for "
			"quotes.\n\n",
			out);
		persona_say_closing(p, out);
		return;
	case INTENT_LIST:
	case INTENT_COMPLETE:
	case INTENT_ADD_TASK:
		text_add(out, "I cannot reach your task list at the moment, so please note it yourself for now.\n\n");
		persona_fill(p, persona_plan(p)->question, out);
		return;
	case INTENT_CHAT: break;
	}
	persona_fill(p,
		"Let me think about {room} with you. With {area} and {budget} most wishes can be met if the order is "
		"right: first what is hidden (pipes, wires, moisture), then what is fixed (walls, floor), and last "
		"what you see every day.\n\n",
		out);
	persona_fill(p,
		"A good next step is a short list of what must be different afterwards, and what may stay as it is. "
		"Everything that stays saves money; even a freshly painted door looks new.\n\n",
		out);
	persona_fill(p, persona_plan(p)->question, out);
}

void persona_answer(struct answer *answer, const struct conversation *conversation)
{
	struct persona p = { .conversation = conversation, .answer = answer };
	struct text out = { 0 };
	const char *mode = json_find_text(
		json_find(json_find(conversation->request, "toolConfig"), "functionCallingConfig"), "mode");
	facts_read(&p.facts, conversation);
	p.room_count = facts_rooms_in(conversation->asked, p.rooms, FACTS_ROOMS_MAX);
	p.intent = conversation->answering_tools ? read_intent_of_calls(&p) : read_intent(&p);
	p.may_call = persona_applies(conversation->request) && (mode == NULL || strcmp(mode, "NONE") != 0);
	if (conversation->answering_tools) {
		if (p.may_call && persona_call_after_list(&p))
			return;
		persona_say_results(&p, &out);
		while (out.length > 0 && out.bytes[out.length - 1] == '\n')
			out.bytes[--out.length] = '\0';
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
