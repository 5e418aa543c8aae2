/* Thought signatures: opaque to clients, but made so that the simulator recognises its own. */
#ifndef GEMINI_SIM_SIGNATURE_H
#define GEMINI_SIM_SIGNATURE_H

#include "tests/gemini-sim/models.h"

enum signature_verdict {
	SIGNATURE_GOOD,
	SIGNATURE_PLACEHOLDER, /* skip_thought_signature_validator */
	SIGNATURE_FOREIGN,     /* of another model, key or part */
	SIGNATURE_CORRUPT,     /* none of ours */
};

/* For a part of `subject` (a function's name; "" for text) by this model and key. Release with free(). */
char *signature_make(const struct model *model, const char *key, const char *subject, uint64_t seed);
enum signature_verdict signature_check(
	const char *signature, const struct model *model, const char *key, const char *subject);

#endif
