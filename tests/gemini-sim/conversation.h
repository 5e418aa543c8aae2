/* What a normalised request says: who spoke last, where the current turn begins, whether it asks to continue a cut answer. */
#ifndef GEMINI_SIM_CONVERSATION_H
#define GEMINI_SIM_CONVERSATION_H

#include "tests/gemini-sim/json.h"

struct conversation {
	const json_object *request;  /* borrowed; normalised GenerateContentRequest */
	const json_object *contents; /* borrowed; its contents */
	size_t count;                /* contents that count; without the last two when `continuing` */
	size_t turn_start;           /* index of the last user content that is not made of function responses */
	bool answering_tools;        /* the last content answers function calls */
	bool continuing;             /* asked to continue `prefix` exactly where it stopped */
	char *prefix;                /* owned; model text so far; "" unless continuing */
	char *asked;                 /* owned; text of the content at turn_start, one line for each part */
	char *marked;  /* owned; its last text part, where markers count: earlier parts may be questions that failed */
	uint64_t hash; /* of roles, texts, calls and responses; ids, signatures and images left out */
	bool images;   /* the content at turn_start has an image */
};

void conversation_init(struct conversation *c, const json_object *request);
void conversation_fini(struct conversation *c);

const char *content_role(const json_object *content);
const json_object *content_at(const struct conversation *c, size_t index);
/* All text parts that are not thoughts, appended. */
void content_text(const json_object *content, struct text *out);
/* The same, one line for each part. */
void content_lines(const json_object *content, struct text *out);
/* Whether any part has this member ("functionCall", "functionResponse", "inlineData", …). */
bool content_has(const json_object *content, const char *member);
/* Declaration of a function by name or, with NULL, the number of declared functions through `count_out`. */
const json_object *declaration_find(const json_object *request, const char *name, size_t *count_out);
/* The n-th declaration over all tools; NULL past the end. */
const json_object *declaration_at(const json_object *request, size_t index);
/* Its parameter schema in either spelling; NULL if it takes none. */
const json_object *declaration_schema(const json_object *declaration);

#endif
