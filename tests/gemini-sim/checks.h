/* The rules that a well-formed request must obey: turn order, ids, signatures, thinking, schemas, tools, images. */
#ifndef GEMINI_SIM_CHECKS_H
#define GEMINI_SIM_CHECKS_H

#include "tests/gemini-sim/json.h"
#include "tests/gemini-sim/models.h"
#include "tests/gemini-sim/refusal.h"

/* `request` is a normalised GenerateContentRequest. NULL if it is in order, else why not; release with refusal_destroy. */
struct refusal *check_request(const json_object *request, const struct model *model, const char *key);

/* Its parts: contents and their order; tools and toolConfig. */
struct refusal *check_contents(const json_object *request, const struct model *model, const char *key);
struct refusal *check_tools(const json_object *request, const struct model *model);

#endif
