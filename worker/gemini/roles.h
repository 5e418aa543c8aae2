/* roles.h: the four roles of models, from the options. Used by provider.c and probe.c. */
#ifndef RENOVATIOND_WORKER_GEMINI_ROLES_H
#define RENOVATIOND_WORKER_GEMINI_ROLES_H

#include "worker/gemini/provider.h"

struct roles {
	struct role_config rows[MODEL_ROLE_COUNT];
	char *lists[MODEL_ROLE_COUNT]; /* owned; the rows' model names lie in them */
};

/* Errors: ERROR_CONFIG (a list without a usable name, a temperature that is none); `fault_out` then names the option and what is wrong,
 * static. The options must outlive the roles. */
MUST_CHECK enum error roles_init(struct roles *r, const struct options *options, const char **fault_out);
void roles_fini(struct roles *r);

/* What a key may look like, whatever kind it is: printable ASCII without spaces, or empty (the simulator takes any). */
bool key_is_possible(const char *key);

/* Are the answers of this role read whole (generateContent) and not streamed? Only those of the streaming role are not. */
bool role_is_unary(enum model_role role);

#endif
