/* Token counts: not Google's tokenizer, but counts that grow with what is sent and agree between all methods. */
#ifndef GEMINI_SIM_TOKENS_H
#define GEMINI_SIM_TOKENS_H

#include "tests/gemini-sim/json.h"
#include "tests/gemini-sim/models.h"

struct tokens {
	int text;     /* modality TEXT */
	int image;    /* modality IMAGE */
	int document; /* modality DOCUMENT */
};

int tokens_total(const struct tokens *tokens);
int tokens_of_text(const char *text);
/* A function call or any other JSON. */
int tokens_of_json(const json_object *value);
/* Contents, system instruction and tools of a GenerateContentRequest. */
struct tokens tokens_of_request(const json_object *request, const struct model *model);
/* [{"modality":"TEXT","tokenCount":…}…]; a new list. */
json_object *tokens_details(const struct tokens *tokens);

#endif
