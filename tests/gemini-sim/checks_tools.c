/* Checks the declared functions and toolConfig. Called by checks.c. Whether a call fits its schema is not a matter of the
 * request and is not checked anywhere, as with the real service. */
#include "tests/gemini-sim/checks.h"

#include <ctype.h>
#include <string.h>

#include "tests/gemini-sim/conversation.h"

#define DECLARATIONS_MAX 512
#define NAME_MAX_BYTES   128

static bool is_function_name(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("_.:-", *c) == NULL)
			return false;
	return strlen(name) <= NAME_MAX_BYTES;
}

/* An OBJECT without properties is refused in the OpenAPI spelling, at every depth. */
static bool has_bare_object(const json_object *schema, int depth)
{
	const char *type = json_find_text(schema, "type");
	json_object *properties = json_find_object(schema, "properties");
	if (schema == NULL || depth > 32)
		return false;
	if (type != NULL && strcmp(type, "OBJECT") == 0 &&
		(properties == NULL || json_object_object_length(properties) == 0))
		return true;
	if (has_bare_object(json_find(schema, "items"), depth + 1))
		return true;
	if (properties == NULL)
		return false;
	json_object_object_foreach(properties, key, member)
	{
		(void)key;
		if (has_bare_object(member, depth + 1))
			return true;
	}
	return false;
}

static struct refusal *check_declaration(const json_object *request, size_t index)
{
	const json_object *declaration = declaration_at(request, index);
	const char *name = json_find_text(declaration, "name");
	if (name == NULL || !is_function_name(name))
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.tools[0].function_declarations[%zu].name: [FIELD_INVALID] Invalid "
			"function name. Must start "
			"with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots "
			"(.), colons (:), or "
			"dashes (-), with a maximum length of 128.\n",
			index);
	for (size_t before = 0; before < index; before++)
		if (strcmp(json_find_text(declaration_at(request, before), "name"), name) == 0)
			return refusal_create(
				400, "INVALID_ARGUMENT", "Duplicate function declaration found: %s", name);
	if (json_find(declaration, "parameters") != NULL && json_find(declaration, "parametersJsonSchema") != NULL)
		return refusal_create(400, "INVALID_ARGUMENT",
			"Only one of parameters and parameters_json_schema can be set in function declaration %s.",
			name);
	if (has_bare_object(json_find(declaration, "parameters"), 0))
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.tools[0].function_declarations[%zu].parameters.properties: should be "
			"non-empty for OBJECT "
			"type\n",
			index);
	const json_object *schema = json_find(declaration, "parametersJsonSchema");
	const char *type = json_find_text(schema, "type");
	if (schema != NULL && (type == NULL || strcmp(type, "object") != 0))
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.tools[0].function_declarations[%zu].parameters_json_schema: schema "
			"must be of type object\n",
			index);
	return NULL;
}

static struct refusal *check_mode(const json_object *request, size_t declared)
{
	const json_object *config = json_find(json_find(request, "toolConfig"), "functionCallingConfig");
	const char *mode = json_find_text(config, "mode");
	const json_object *allowed = json_find_list(config, "allowedFunctionNames");
	bool narrows = mode != NULL && (strcmp(mode, "ANY") == 0 || strcmp(mode, "VALIDATED") == 0);
	if (declared == 0 && narrows)
		return refusal_create(
			400, "INVALID_ARGUMENT", "Function calling config is set without function_declarations.");
	if (json_length(allowed) > 0 && !narrows)
		return refusal_create(400, "INVALID_ARGUMENT",
			"* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names: "
			"allowed_function_names should "
			"only be set when the mode is ANY or VALIDATED\n");
	for (size_t i = 0; i < json_length(allowed); i++) {
		const char *name = json_object_get_string(json_at(allowed, i));
		if (declaration_find(request, name, NULL) == NULL)
			return refusal_create(
				400, "INVALID_ARGUMENT", "Allowed function name %s is not declared.", name);
	}
	return NULL;
}

static bool has_built_in(const json_object *request)
{
	static const char *const names[] = { "googleSearch", "urlContext", "codeExecution", "googleSearchRetrieval",
		"computerUse", "fileSearch", "googleMaps" };
	const json_object *tools = json_find_list(request, "tools");
	for (size_t t = 0; t < json_length(tools); t++)
		for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
			if (json_find(json_at(tools, t), names[n]) != NULL)
				return true;
	return false;
}

struct refusal *check_tools(const json_object *request, const struct model *model)
{
	size_t declared = 0;
	struct refusal *refusal = NULL;
	declaration_find(request, NULL, &declared);
	if (declared > DECLARATIONS_MAX)
		return refusal_create(400, "INVALID_ARGUMENT",
			"Too many function declarations: %zu. The maximum is %d.", declared, DECLARATIONS_MAX);
	for (size_t i = 0; refusal == NULL && i < declared; i++)
		refusal = check_declaration(request, i);
	if (refusal == NULL && declared > 0 && has_built_in(request) && !model_mixes_tools(model))
		refusal = refusal_create(
			400, "INVALID_ARGUMENT", "Tool use with function calling is unsupported by the model.");
	return refusal != NULL ? refusal : check_mode(request, declared);
}
