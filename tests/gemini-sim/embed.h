/* Embeddings: vectors made from the words of a text, so that similar texts have similar vectors. */
#ifndef GEMINI_SIM_EMBED_H
#define GEMINI_SIM_EMBED_H

#include "tests/gemini-sim/json.h"
#include "tests/gemini-sim/refusal.h"

/* `body_out` is a new object when the result is NULL; otherwise the result says what is wrong. */
struct refusal *embed_one(const json_object *request, json_object **body_out);
struct refusal *embed_batch(const json_object *request, const char *model_name, json_object **body_out);

#endif
