/* executor.c: runs one stored call: checks it, then locks the turn and has the effect, the result and the mark in one transaction. What cannot run is
 * marked as failed with a sentence for the model. Called by chat/turn.c, one call at a time, again after a lost connection or a take-over. */
#include "config.h"
#include "worker/tools/tools.h"

#include "shared/log.h"

struct tool_run {
	struct db *db;           /* borrowed */
	struct db_query *query;  /* in flight; NULL when none */
	const struct tool *tool; /* its row; NULL when unknown */
	struct uuid owner, turn; /* of the request */
	uint64_t fence;
	int step, ordinal;
	tool_done_fn *done; /* called once */
	void *arg;
};

/* Room for the five parameters that every tool statement begins with. */
struct key_room {
	struct db_uuid owner, turn;
	struct db_number fence, step, ordinal;
};

static void tool_key(const struct tool_run *run, struct key_room *room, struct db_param params[5])
{
	params[0] = db_uuid(&room->owner, &run->owner);
	params[1] = db_uuid(&room->turn, &run->turn);
	params[2] = db_int(&room->fence, (int64_t)run->fence);
	params[3] = db_int(&room->step, run->step);
	params[4] = db_int(&room->ordinal, run->ordinal);
}

static void tool_submit(struct tool_run *run, enum statement statement, struct text last, db_done_fn *done)
{
	struct key_room room;
	struct db_param params[6];

	tool_key(run, &room, params);
	params[5] = DB_TEXT(last);

	const struct db_step steps[] = {
		{ SQL_tool_lock, params },
		{ SQL_tool_lock_session, params },
		{ statement, params },
	};

	run->query = db_submit_steps(run->db, steps, COUNT_OF(steps), done, run);
}

static void tool_end(struct tool_run *run, enum error e, bool is_ok, struct text result)
{
	tool_done_fn *done = run->done;
	void *arg = run->arg;

	/* The result is borrowed from the database's callback, which outlives this. */
	free(run);
	done(arg, e, is_ok, result);
}

static void on_result(void *arg, enum error e, const struct db_result *r)
{
	struct tool_run *run = arg;

	run->query = NULL;
	if (e == ERROR_NONE && db_result_rows(r) == 0)
		e = ERROR_LOST_OWNERSHIP;
	if (e != ERROR_NONE) {
		tool_end(run, e, false, TEXT_NONE);
		return;
	}
	tool_end(run, e, text_equals(db_result_text(r, 0, 0), TEXT("ok")), db_result_text(r, 0, 1));
}

/* The database refused the effect: nothing of it has happened; the model is told. */
static void on_effect(void *arg, enum error e, const struct db_result *r)
{
	struct tool_run *run = arg;

	if (e == ERROR_CONFLICT || e == ERROR_VALIDATION_FAILED) {
		char turn[UUID_TEXT_BYTES];

		uuid_format(&run->turn, turn);
		LOG(LOG_WARN, "tool refused by the database", F_STR("turn_id", turn),
			F_STR("tool_name", run->tool->name), F_STR("code", error_code(e)),
			F_STR("constraint", db_result_constraint(r)));
		tool_submit(run, SQL_tool_fail,
			e == ERROR_CONFLICT ? TEXT("it conflicts with what is stored")
					    : TEXT("a value is out of range"),
			on_result);
		return;
	}
	on_result(run, e, r);
}

struct tool_run *tool_start(struct db *db, const struct tool_request *request, tool_done_fn *done, void *arg)
{
	const struct tool *tool = tool_find(request->name);
	struct tool_run *run = must_alloc(sizeof *run);
	struct buffer arguments, problem;

	*run = (struct tool_run) { .db = db,
		.tool = tool,
		.owner = request->owner,
		.turn = request->turn,
		.fence = request->fence,
		.step = request->step,
		.ordinal = request->ordinal,
		.done = done,
		.arg = arg };
	buffer_init(&arguments);
	buffer_init(&problem);
	if (request->refusal != NULL)
		buffer_append_string(&problem, request->refusal);
	else if (tool == NULL)
		buffer_printf(
			&problem, "there is no tool called %.*s", TEXT_ARGS(text_cut(request->name, TOOL_ECHO_MAX)));
	else if (tool->needs_session && !request->has_session)
		buffer_append_string(&problem, "this conversation belongs to no renovation session");
	else
		(void)tool_check(tool, request->arguments, &arguments, &problem);
	if (buffer_length(&problem) > 0)
		tool_submit(run, SQL_tool_fail, buffer_text(&problem), on_result);
	else
		tool_submit(run, tool->run, buffer_text(&arguments), on_effect);
	buffer_fini(&arguments);
	buffer_fini(&problem);
	return run;
}

void tool_cancel(struct tool_run **run)
{
	if (*run == NULL)
		return;
	if ((*run)->query != NULL)
		db_cancel(&(*run)->query);
	free(*run);
	*run = NULL;
}
