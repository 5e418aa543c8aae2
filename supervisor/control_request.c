/* control_request.c: reads one line of the control socket. Pure, so that it can be fuzzed; control.c gives it lines of at most CONTROL_LINE_BYTES,
 * control_commands.c does what comes out. */
#include "config.h"
#include "supervisor/control_request.h"

#include "shared/inherit.h"
#include "shared/json.h"

struct command_row {
	const char *word;       /* in the request */
	enum control_need need; /* the member that must be there */
};

static const struct command_row rows[CONTROL_COMMAND_COUNT] = {
#define X(name, word, need) [CONTROL_##name] = { word, CONTROL_NEEDS_##need },
	CONTROL_COMMANDS(X)
#undef X
};

const char *control_command_name(enum control_command command)
{
	return rows[command].word;
}

static bool find_command(struct text word, enum control_command *command_out)
{
	for (unsigned i = 0; i < CONTROL_COMMAND_COUNT; i++)
		if (text_equals(word, text_of(rows[i].word))) {
			*command_out = (enum control_command)i;
			return true;
		}
	return false;
}

static bool take_bool(const struct json_value *v, bool *value_out)
{
	if (v->type != JSON_BOOL)
		return false;
	*value_out = v->boolean;
	return true;
}

/* 0 to SLOTS_MAX: whether a pool of that many or that slot exists is for rollover.c to say. */
static bool take_number(const struct json_value *v, int *value_out)
{
	uint64_t number;

	if (v->type != JSON_NUMBER || !text_parse_u64(v->raw, &number) || number > SLOTS_MAX)
		return false;
	*value_out = (int)number;
	return true;
}

/* What it needs decides which member it takes. NULL: taken. */
static const char *take_member(const struct json_value *v, struct control_request *request, bool *has_need)
{
	static const char *const needs[] = { "", "workers", "slot", "level" };
	enum control_need need = rows[request->command].need;

	if (text_equals(v->name, TEXT("command")))
		return NULL;
	if (text_equals(v->name, TEXT("wait")))
		return take_bool(v, &request->is_wait) ? NULL : "\"wait\" is true or false";
	if (text_equals(v->name, TEXT("fast")) && request->command == CONTROL_STOP)
		return take_bool(v, &request->is_fast) ? NULL : "\"fast\" is true or false";
	if (need == CONTROL_NEEDS_NONE || !text_equals(v->name, text_of(needs[need])))
		return "it has a member that this command does not take";
	*has_need = true;
	if (need == CONTROL_NEEDS_LEVEL)
		return v->type == JSON_STRING && log_parse_level(v->string, &request->level)
			       ? NULL
			       : "\"level\" is debug, info, warn, error or fatal";
	return take_number(v, &request->number) ? NULL : "the number must be a whole one from 0 to 64";
}

static const char *read_object(const struct json_value *root, struct control_request *request)
{
	bool has_need = false;
	const char *problem = NULL;

	if (root->type != JSON_OBJECT)
		return "a request is one JSON object";
	if (!find_command(json_find_string(root, "command"), &request->command))
		return "there is no such command";
	for (const struct json_value *v = root->first; v != NULL && problem == NULL; v = v->next)
		problem = take_member(v, request, &has_need);
	if (problem == NULL && !has_need && rows[request->command].need != CONTROL_NEEDS_NONE)
		problem = "it lacks the member that this command needs: workers, slot or level";
	return problem;
}

enum error control_request_parse(
	struct arena *a, struct text line, struct control_request *request_out, const char **problem_out)
{
	struct control_request request = { .level = LOG_INFO };
	struct json_value *root;
	enum error e = json_parse(a, line, &root, problem_out);
	const char *problem;

	if (e != ERROR_NONE)
		return e;
	problem = read_object(root, &request);
	if (problem != NULL) {
		*problem_out = problem;
		return ERROR_VALIDATION_FAILED;
	}
	*request_out = request;
	return ERROR_NONE;
}
