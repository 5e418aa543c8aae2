/* Checks a request against its message table as Google's JSON front end does, and brings it into one spelling. */
#ifndef GEMINI_SIM_VALIDATE_H
#define GEMINI_SIM_VALIDATE_H

#include "tests/gemini-sim/json.h"
#include "tests/gemini-sim/messages.h"

struct violations {
	json_object *list;   /* owned; BadRequest.fieldViolations */
	struct text message; /* owned; all descriptions, one a line */
};

void violations_fini(struct violations *v);

/* A new object with camelCase names, lists where lists are due, and numbers as numbers. Unknown names and values of the
 * wrong kind are added to `v` (which may be zeroed); the result is then incomplete but never NULL. */
json_object *validate_message(const struct message *message, const json_object *value, struct violations *v);

#endif
