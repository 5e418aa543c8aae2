#include "tests/gemini-sim/checks.h"
struct refusal *check_request(const json_object *request, const struct model *model, const char *key)
{
	(void)model;
	(void)key;
	if (json_length(json_find_list(request, "contents")) == 0)
		return refusal_create(
			400, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified\n");
	return NULL;
}
