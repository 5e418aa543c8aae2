/* Chooses the kind of answer: marked content, forced or named function calls, JSON by schema, the persona, plain advice.
 * Called by service.c. It knows nothing of chunks or sockets; the same conversation always gives the same answer. */
#include "tests/gemini-sim/generate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/markers.h"
#include "tests/gemini-sim/persona.h"
#include "tests/gemini-sim/phrases.h"
#include "tests/gemini-sim/schema.h"
#include "tests/gemini-sim/tokens.h"

#define MEMORY_SLOTS 512

struct answer_memory {
	struct answer *answers[MEMORY_SLOTS]; /* owned */
	uint64_t hashes[MEMORY_SLOTS];        /* of their conversations */
	size_t next;                          /* the slot to be overwritten next */
};

struct answer_memory *answer_memory_create(void)
{
	return memory_take(sizeof(struct answer_memory));
}

void answer_memory_destroy(struct answer_memory **memory)
{
	for (size_t i = 0; *memory != NULL && i < MEMORY_SLOTS; i++)
		answer_destroy(&(*memory)->answers[i]);
	free(*memory);
	*memory = NULL;
}

void answer_memory_keep(struct answer_memory *memory, uint64_t hash, const struct answer *answer)
{
	size_t slot = memory->next++ % MEMORY_SLOTS;
	answer_destroy(&memory->answers[slot]);
	memory->answers[slot] = answer_copy(answer);
	memory->hashes[slot] = hash;
}

struct answer *answer_memory_take(const struct answer_memory *memory, uint64_t hash)
{
	for (size_t back = 1; back <= MEMORY_SLOTS; back++) {
		size_t slot = (memory->next - back) % MEMORY_SLOTS;
		if (memory->answers[slot] != NULL && memory->hashes[slot] == hash)
			return answer_copy(memory->answers[slot]);
	}
	return NULL;
}

static const json_object *calling_config(const struct conversation *c)
{
	return json_find(json_find(c->request, "toolConfig"), "functionCallingConfig");
}

static bool mode_is(const struct conversation *c, const char *mode)
{
	const char *given = json_find_text(calling_config(c), "mode");
	return strcmp(given != NULL ? given : "AUTO", mode) == 0;
}

static bool is_allowed(const struct conversation *c, const char *name)
{
	const json_object *allowed = json_find_list(calling_config(c), "allowedFunctionNames");
	for (size_t i = 0; i < json_length(allowed); i++)
		if (strcmp(json_object_get_string(json_at(allowed, i)), name) == 0)
			return true;
	return json_length(allowed) == 0;
}

/* `add_task {"title":"x"}`: arguments that are not given are made up where the declaration requires them. */
static void add_marked_call(struct answer *answer, const struct conversation *c, const char *marked)
{
	size_t length = strcspn(marked, " {");
	char *name = memory_copy_part(marked, length);
	const char *given = strchr(marked, '{');
	json_object *args = given == NULL ? NULL : json_read(given, strlen(given), NULL);
	if (args == NULL) {
		const json_object *declaration = declaration_find(c->request, name, NULL);
		args = schema_fit(declaration_schema(declaration), json_object_new_object(), "Sample");
	}
	answer_add_call(answer, name, args);
	free(name);
}

/* The things named after "for": "get_price for A1 and B2" asks for the tool twice. */
static size_t named_things(const char *text, char things[][48], size_t capacity)
{
	static const char *const links[] = { "and ", "once ", "for ", "once " };
	const char *at = find_word(text, "for");
	size_t count = 0;
	at = at == NULL ? NULL : at + strlen("for");
	while (at != NULL && count < capacity) {
		at += strspn(at, " ,:");
		for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
			if (strncmp(at, links[i], strlen(links[i])) == 0)
				at += strlen(links[i]);
		const char *end = at + strcspn(at, ",.?!\n");
		const char *conjunction = strstr(at, " and ");
		if (conjunction != NULL && conjunction < end)
			end = conjunction;
		if (end == at)
			break;
		text_copy(things[count++], sizeof things[0], at, (size_t)(end - at));
		if (*end != ',' && end != conjunction)
			break;
		at = end + 1;
	}
	return count;
}

/* The first required text, else the first text: where a named thing belongs. */
static const char *subject_property(const json_object *schema)
{
	json_object *properties = json_find_object(schema, "properties");
	const json_object *required = json_find_list(schema, "required");
	const char *first = json_length(required) > 0 ? json_object_get_string(json_at(required, 0)) : NULL;
	if (first != NULL || properties == NULL)
		return first;
	json_object_object_foreach(properties, key, member)
	{
		(void)member;
		return key;
	}
	return NULL;
}

static void add_named_calls(
	struct answer *answer, const struct conversation *c, const json_object *declaration, bool several)
{
	char things[PLAN_CALLS_MAX][48];
	const json_object *schema = declaration_schema(declaration);
	char *asked = markers_strip(c->asked);
	size_t count = named_things(asked, things, several ? PLAN_CALLS_MAX : 1);
	const char *property = subject_property(schema);
	for (size_t i = 0; i < (count > 0 ? count : 1); i++) {
		json_object *wanted = json_object_new_object();
		if (count > 0 && property != NULL)
			json_put_text(wanted, property, things[i]);
		answer_add_call(answer, json_find_text(declaration, "name"), schema_fit(schema, wanted, asked));
	}
	free(asked);
}

/* A question that names a declared function ("use get_price…", or its words: "get price") wants it called. */
static const json_object *function_named(const struct conversation *c)
{
	const json_object *declaration;
	for (size_t i = 0; (declaration = declaration_at(c->request, i)) != NULL; i++) {
		const char *name = json_find_text(declaration, "name");
		if (name == NULL || !is_allowed(c, name))
			continue;
		char *words = memory_copy(name);
		for (char *at = words; *at != '\0'; at++)
			if (*at == '_')
				*at = ' ';
		const char *last = strrchr(words, ' ');
		bool named = find_no_case(c->asked, name) != NULL || find_no_case(c->asked, words) != NULL ||
			     (last != NULL && strlen(last) > 4 && find_word(c->asked, last + 1) != NULL);
		free(words);
		if (named)
			return declaration;
	}
	return NULL;
}

static void add_forced_call(struct answer *answer, const struct conversation *c)
{
	const json_object *declaration = function_named(c);
	for (size_t i = 0; declaration == NULL && declaration_at(c->request, i) != NULL; i++)
		if (is_allowed(c, json_find_text(declaration_at(c->request, i), "name")))
			declaration = declaration_at(c->request, i);
	if (declaration != NULL)
		add_named_calls(answer, c, declaration, true);
}

static bool wants_marked_text(const struct plan *plan)
{
	return plan->repeat != NULL || plan->words > 0 || plan->chunks > 0;
}

static void add_marked_text(struct answer *answer, const struct conversation *c, const struct plan *plan)
{
	struct text out = { 0 };
	if (plan->repeat != NULL)
		text_add(&out, plan->repeat);
	else
		phrases_words(plan->words > 0 ? plan->words : plan->chunks * 4, hash_string(0, c->asked), &out);
	answer_add_text(answer, text_get(&out));
	text_fini(&out);
}

static bool add_calls(struct answer *answer, const struct conversation *c, const struct plan *plan)
{
	if (mode_is(c, "NONE"))
		return false;
	if (plan->call_count > 0 && (plan->tools_forever || !c->answering_tools)) {
		if (wants_marked_text(plan) && !c->answering_tools)
			add_marked_text(answer, c, plan);
		for (int i = 0; i < plan->call_count; i++)
			add_marked_call(answer, c, plan->calls[i]);
		return true;
	}
	if (mode_is(c, "ANY") || plan->tools_forever) {
		add_forced_call(answer, c);
		return answer_has_call(answer);
	}
	return false;
}

static bool wants_json(const struct conversation *c)
{
	const char *type = json_find_text(json_find(c->request, "generationConfig"), "responseMimeType");
	return type != NULL && (strcmp(type, "application/json") == 0 || strcmp(type, "text/x.enum") == 0);
}

static void add_json(struct answer *answer, const struct conversation *c, const struct plan *plan)
{
	const json_object *config = json_find(c->request, "generationConfig");
	const json_object *schema = json_find(config, "responseJsonSchema");
	char *asked = markers_strip(c->asked);
	if (schema == NULL)
		schema = json_find(config, "responseSchema");
	json_object *value;
	if (schema != NULL) {
		value = schema_make(schema, asked, hash_string(0, asked));
	} else {
		value = json_object_new_object();
		json_put_text(value, "answer", asked);
	}
	struct text out = { 0 };
	if (strcmp(json_find_text(config, "responseMimeType"), "text/x.enum") == 0 &&
		json_object_is_type(value, json_type_string))
		text_add(&out, json_object_get_string(value));
	else
		text_add(&out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
									     JSON_C_TO_STRING_NOSLASHESCAPE));
	if (plan->fenced) {
		char *bare = text_take(&out);
		text_format(&out, "```json\n%s\n```", bare);
		free(bare);
	}
	answer_add_text(answer, text_get(&out));
	text_fini(&out);
	json_object_put(value);
	free(asked);
}

/* After calls of functions that are not the persona's: say what came back. */
static void add_results(struct answer *answer, const struct conversation *c)
{
	const json_object *parts = json_find_list(json_at(c->contents, c->count - 1), "parts");
	struct text out = { 0 };
	text_add(&out, json_length(parts) > 1 ? "Here is what I found:\n" : "");
	for (size_t i = 0; i < json_length(parts); i++) {
		const json_object *response = json_find(json_at(parts, i), "functionResponse");
		const json_object *result = json_find(response, "response");
		const json_object *output = json_find(result, "output");
		const char *name = json_find_text(response, "name");
		if (json_length(parts) > 1)
			text_add(&out, "\n- ");
		text_format(&out, "%s %s: %s", name != NULL ? name : "the tool",
			json_find(result, "error") != NULL ? "failed" : "returned",
			json_object_to_json_string_ext(
				(json_object *)(output != NULL ? output : result), JSON_C_TO_STRING_PLAIN));
	}
	text_add(&out, json_length(parts) > 1 ? "\n" : ".");
	answer_add_text(answer, out.bytes);
	text_fini(&out);
}

static void add_second_call(struct answer *answer, bool identical)
{
	for (size_t i = answer->count; i > 0; i--) {
		struct piece *piece = &answer->pieces[i - 1];
		if (piece->kind != PIECE_CALL || (!identical && i != answer->count))
			continue;
		struct json_object *args = NULL;
		json_object_deep_copy(piece->args, &args, NULL);
		answer_add_call(answer, piece->text, args);
		return;
	}
}

static void choose(struct answer *answer, const struct conversation *c, const struct plan *plan)
{
	if (add_calls(answer, c, plan))
		return;
	if (wants_marked_text(plan))
		add_marked_text(answer, c, plan);
	else if (wants_json(c))
		add_json(answer, c, plan);
	else if (persona_applies(c->request))
		persona_answer(answer, c);
	else if (c->answering_tools)
		add_results(answer, c);
	else if (!mode_is(c, "NONE") && function_named(c) != NULL)
		add_named_calls(answer, c, function_named(c), true);
	else
		persona_answer(answer, c);
}

struct answer *generate_answer(const struct conversation *conversation, const struct plan *plan)
{
	struct answer *answer = answer_create();
	choose(answer, conversation, plan);
	size_t calls = 0;
	for (size_t i = 0; i < answer->count; i++)
		calls += answer->pieces[i].kind == PIECE_CALL;
	if (calls > 0 && (plan->identical_calls || (plan->parallel_calls && calls == 1)))
		add_second_call(answer, true);
	return answer;
}

/* What the model spends on thinking, by what the request allows. */
static int thinking_tokens(const struct conversation *c, const struct model *model)
{
	static const int by_level[] = { 0, 24, 96, 320 };
	const json_object *config = json_find(json_find(c->request, "generationConfig"), "thinkingConfig");
	const char *level = json_find_text(config, "thinkingLevel");
	double budget = json_find_number(config, "thinkingBudget", -1);
	int most = model_takes_level(model) ? by_level[model->level] : 80;
	if (level != NULL)
		most = strcmp(level, "MINIMAL") == 0 ? 0
		       : strcmp(level, "LOW") == 0   ? 24
		       : strcmp(level, "HIGH") == 0  ? 320
						     : 96;
	if (budget >= 0 && budget < most)
		most = (int)budget;
	return most == 0 ? 0 : most / 2 + (int)(c->hash % (uint64_t)(most / 2 + 1));
}

/* What the model thought, in a sentence, where it was asked for. */
static void add_thought(struct answer *answer, const struct conversation *c)
{
	const json_object *config = json_find(json_find(c->request, "generationConfig"), "thinkingConfig");
	if (answer->thoughts > 0 && json_find_bool(config, "includeThoughts") && !c->continuing)
		answer_insert_thought(answer, "**Weighing the question**\n\nWhat is asked, what was said before, and "
					      "what must come first.\n\n");
}

static void apply_stop_sequences(struct answer *answer, const json_object *list)
{
	struct text all = { 0 };
	answer_text(answer, &all);
	size_t shortest = all.length;
	for (size_t i = 0; i < json_length(list); i++) {
		const char *stop = json_object_get_string(json_at(list, i));
		const char *at = *stop == '\0' ? NULL : strstr(text_get(&all), stop);
		if (at != NULL && (size_t)(at - all.bytes) < shortest)
			shortest = (size_t)(at - all.bytes);
	}
	if (shortest < all.length)
		answer_cut(answer, shortest);
	text_fini(&all);
}

/* Bytes of the text that a continuation need not send again. */
static size_t skipped_bytes(const struct answer *answer, const struct conversation *c, int overlap)
{
	struct text all = { 0 };
	answer_text(answer, &all);
	size_t skip = strlen(c->prefix);
	if (!starts_with(text_get(&all), c->prefix))
		skip = 0;
	for (int i = 0; i < overlap && skip > 0; i++) {
		skip--;
		while (skip > 0 && ((unsigned char)all.bytes[skip] & 0xC0) == 0x80)
			skip--;
	}
	text_fini(&all);
	return skip;
}

void generate_limit(
	struct answer *answer, const struct conversation *c, const struct model *model, const struct plan *plan)
{
	const json_object *config = json_find(c->request, "generationConfig");
	double limit = json_find_number(config, "maxOutputTokens", 65536);
	struct text all = { 0 };
	apply_stop_sequences(answer, json_find_list(config, "stopSequences"));
	answer->thoughts = thinking_tokens(c, model);
	add_thought(answer, c);
	answer->skip_bytes = c->continuing ? skipped_bytes(answer, c, plan->overlap) : 0;
	answer->seed = c->hash;
	answer_text(answer, &all);
	if (plan->cut_json && limit > all.length / 8.0 + answer->thoughts)
		limit = (double)(all.length / 8) + answer->thoughts;
	if (answer->thoughts > limit)
		answer->thoughts = (int)limit;
	size_t room = answer->skip_bytes + (size_t)(limit - answer->thoughts) * 4;
	if (all.length > room) {
		answer_cut(answer, room);
		free(answer->finish_reason);
		answer->finish_reason = memory_copy("MAX_TOKENS");
	}
	text_fini(&all);
}
