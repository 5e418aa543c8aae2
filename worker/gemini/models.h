/* models.h: what each family of models takes (THE capability table, from ai.google.dev/gemini-api/docs/models) and what this process has learned
 * about single models: members they refused, names they answer under, limits. Used by request.c, gemini.c, provider.c and probe.c. */
#ifndef RENOVATIOND_WORKER_GEMINI_MODELS_H
#define RENOVATIOND_WORKER_GEMINI_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/text.h"

enum model_thinking { THINKING_NONE, THINKING_BUDGET, THINKING_LEVEL };

struct model_family {
	const char *prefix;           /* of the model's name; "" matches all */
	const char *label;            /* for the log */
	enum model_thinking thinking; /* which member thinkingConfig takes */
	bool has_minimal;             /* THINKING_LEVEL: MINIMAL is known */
	bool must_think;              /* THINKING_BUDGET: cannot be switched off */
	bool honours_sampling;        /* temperature has an effect; else it is left out */
	bool has_call_ids;            /* functionCall.id is sent and wanted back */
	bool is_strict;               /* thought signatures are demanded */
};

/* Never NULL: an unknown name gets the newest family's rules. */
const struct model_family *models_family(struct text model);

#define MODELS_FACTS_MAX 32

/* Members of a request that a model may refuse with 400; a set. */
enum model_member { MEMBER_TEMPERATURE = 1, MEMBER_THINKING = 2 };

struct model_facts {
	char name[96];           /* as in the configuration, without "models/"; "" = free row */
	char answers_as[96];     /* its last modelVersion, "" = not seen yet */
	unsigned refused;        /* set of enum model_member, for the life of the process */
	int64_t input_limit;     /* tokens; 0 = not known */
	int64_t output_limit;    /* likewise */
	bool is_warned;          /* the log has heard that another family answers */
	char stage[24];          /* modelStatus.modelStage when it is LEGACY or DEPRECATED, else "" */
	int64_t stage_logged_ms; /* monotonic; 0 = never */
};

struct models {
	struct model_facts rows[MODELS_FACTS_MAX];
};

/* Borrowed, never NULL: a new row when the model is new; the first row again when the table is full. */
struct model_facts *models_facts(struct models *m, struct text model);
/* Did `made_by` (a stored model name) come from the model that `facts` is about? Decides whether signatures may go back. */
bool models_is_same(const struct model_facts *facts, struct text made_by);
/* Why an operator should look at this name (preview, alias, shutdown date), or NULL. */
const char *models_warning(struct text model);

#endif
