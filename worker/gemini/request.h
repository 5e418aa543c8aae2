/* request.h: writes the body of a generateContent call (ai.google.dev/api/generate-content). Used by provider.c; pure.
 * What a model may refuse stands at the very end, so that provider.c can cut it off and write it anew without the history. */
#ifndef RENOVATIOND_WORKER_GEMINI_REQUEST_H
#define RENOVATIOND_WORKER_GEMINI_REQUEST_H

#include "worker/gemini/models.h"
#include "worker/gemini/provider.h"

struct json_tokener;

enum request_sampling { SAMPLING_AUTO, SAMPLING_ALWAYS, SAMPLING_NEVER };

struct request_settings {
	enum model_role role;              /* of the call */
	const struct role_config *config;  /* its row; borrowed */
	const struct model_family *family; /* of the model asked */
	struct model_facts *facts;         /* likewise; borrowed */
	enum request_sampling sampling;    /* option gemini_send_sampling */
	bool has_tools;                    /* functions are declared */
};

/* Appends the whole body to an empty buffer. Returns where its settings begin; `members_out` as below. */
size_t request_write(struct buffer *out, struct json_tokener *tokener, const struct model_request *rq,
	const struct request_settings *settings, unsigned *members_out);
/* Appends the settings (temperature, thinking) and the closing brackets. Returns the set of enum model_member that it wrote. */
unsigned request_write_settings(struct buffer *out, const struct request_settings *settings);

#endif
