/* The models the simulator serves and what each family tolerates (thinking, call ids, signatures). */
#ifndef GEMINI_SIM_MODELS_H
#define GEMINI_SIM_MODELS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/gemini-sim/json.h"

enum model_kind { MODEL_CHAT, MODEL_EMBEDDING };

enum thinking_level { THINKING_MINIMAL, THINKING_LOW, THINKING_MEDIUM, THINKING_HIGH };

struct model {
	const char *name;          /* without "models/" */
	const char *version;       /* as in the Model resource */
	const char *display;       /* human name */
	const char *answered_by;   /* modelVersion in answers when it differs; NULL = name */
	enum model_kind kind;      /* which methods it serves */
	int generation;            /* ten times the number: 25, 30, 35, 40 */
	bool pro;                  /* cannot switch thinking off */
	bool minimal;              /* takes thinkingLevel MINIMAL */
	enum thinking_level level; /* default of 3.x */
	bool top_k;                /* has the member topK */
};

/* NULL for a name that is not served. `name` without "models/". */
const struct model *model_find(const char *name);
size_t model_count(void);
const struct model *model_at(size_t index);
/* The Model resource; a new object. */
json_object *model_resource(const struct model *model);

bool model_takes_level(const struct model *model);       /* thinkingLevel rather than thinkingBudget only */
bool model_sends_ids(const struct model *model);         /* functionCall.id */
bool model_checks_ids(const struct model *model);        /* a functionResponse without the call's id is a 400 */
bool model_checks_signatures(const struct model *model); /* a missing thoughtSignature is a 400 */
bool model_mixes_tools(
	const struct model *model); /* function tools together with a response schema or built-in tools */
const char *model_version_of(const struct model *model);

#endif
