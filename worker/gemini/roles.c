/* roles.c: reads the options <role>_models, _temperature, _thinking and _output_tokens into rows. Called when the provider opens and by
 * the preflight. It does not ask whether the models exist. */
#include "config.h"
#include "worker/gemini/roles.h"

#include "worker/gemini/url.h"

/* clang-format off */
#define ROLE_OPTIONS(o, word)                                                                                          \
	{ #word, (o)->word##_models, (o)->word##_temperature, (o)->word##_thinking, (o)->word##_output_tokens }
/* clang-format on */

static const char *const model_faults[MODEL_ROLE_COUNT] = {
	[MODEL_ROLE_CHAT] = "chat_models: expected 1 to 8 model names separated by commas",
	[MODEL_ROLE_VISION] = "vision_models: expected 1 to 8 model names separated by commas",
	[MODEL_ROLE_STRUCTURED] = "structured_models: expected 1 to 8 model names separated by commas",
	[MODEL_ROLE_STREAMING] = "streaming_models: expected 1 to 8 model names separated by commas",
};

static const char *const temperature_faults[MODEL_ROLE_COUNT] = {
	[MODEL_ROLE_CHAT] = "chat_temperature: expected a number from 0 to 2",
	[MODEL_ROLE_VISION] = "vision_temperature: expected a number from 0 to 2",
	[MODEL_ROLE_STRUCTURED] = "structured_temperature: expected a number from 0 to 2",
	[MODEL_ROLE_STREAMING] = "streaming_temperature: expected a number from 0 to 2",
};

static bool split_models(char *list, struct role_config *row)
{
	char *rest = list, *name;

	while ((name = strsep(&rest, ",")) != NULL) {
		name += strspn(name, " \t");
		name[strcspn(name, " \t")] = '\0';
		if (name[0] == '\0')
			continue;
		if (row->model_count == (int)COUNT_OF(row->models) || !url_is_model(name))
			return false;
		row->models[row->model_count++] = name;
	}
	return row->model_count > 0;
}

/* It goes into the request as it stands (0.3 and not 0.29999999999999999), so it must be a JSON number: one digit, maybe a fraction. */
static bool is_temperature(const char *value)
{
	size_t fraction;

	if (value[0] == '\0')
		return true;
	if (value[0] < '0' || value[0] > '2')
		return false;
	if (value[1] == '\0')
		return true;
	fraction = strspn(value + 2, "0123456789");
	return value[1] == '.' && fraction > 0 && value[2 + fraction] == '\0' &&
	       (value[0] != '2' || strspn(value + 2, "0") == fraction);
}

enum error roles_init(struct roles *r, const struct options *o, const char **fault_out)
{
	const struct {
		const char *name, *models, *temperature, *thinking;
		int64_t output_tokens;
	} rows[MODEL_ROLE_COUNT] = {
		[MODEL_ROLE_CHAT] = ROLE_OPTIONS(o, chat),
		[MODEL_ROLE_VISION] = ROLE_OPTIONS(o, vision),
		[MODEL_ROLE_STRUCTURED] = ROLE_OPTIONS(o, structured),
		[MODEL_ROLE_STREAMING] = ROLE_OPTIONS(o, streaming),
	};

	*r = (struct roles) { 0 };
	for (int i = 0; i < MODEL_ROLE_COUNT; i++) {
		r->lists[i] = must_strdup(rows[i].models);
		r->rows[i] = (struct role_config) { .name = rows[i].name,
			.temperature = rows[i].temperature,
			.thinking = rows[i].thinking,
			.output_tokens = rows[i].output_tokens };
		if (split_models(r->lists[i], &r->rows[i]) && is_temperature(rows[i].temperature))
			continue;
		*fault_out = is_temperature(rows[i].temperature) ? model_faults[i] : temperature_faults[i];
		roles_fini(r);
		return ERROR_CONFIG;
	}
	return ERROR_NONE;
}

void roles_fini(struct roles *r)
{
	for (int i = 0; i < MODEL_ROLE_COUNT; i++)
		free(r->lists[i]);
	*r = (struct roles) { 0 };
}

bool key_is_possible(const char *key)
{
	for (const char *at = key; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			return false;
	return strlen(key) < 512;
}

bool role_is_unary(enum model_role role)
{
	switch (role) {
	case MODEL_ROLE_CHAT:
	case MODEL_ROLE_VISION:
	case MODEL_ROLE_STRUCTURED: return true;
	case MODEL_ROLE_STREAMING:
	case MODEL_ROLE_COUNT: break;
	}
	return false;
}
