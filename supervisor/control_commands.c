/* control_commands.c: what renovationctl may ask of the supervisor, one function each: from the request to the calls of rollover.h, upgrade.h and
 * shutdown.c, and from their outcome to the answer. Called by control.c; the answers' codes are exit codes of renovationctl. */
#include "config.h"
#include "supervisor/control.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/json.h"
#include "shared/metrics.h"
#include "shared/status.h"
#include "supervisor/upgrade.h"

#define SCALE_WAIT_MS 60000 /* until a scaled pool must be ready */

/* ---- who asked ----------------------------------------------------------------------------------------------- */

/* Each command that changes something leaves a line that says who it was. */
static void note(const struct control_client *client, const struct control_request *request)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", "fatal" };
	char argument[32] = "";

	if (request->command == CONTROL_SCALE || request->command == CONTROL_RESTART_WORKER)
		(void)snprintf(argument, sizeof argument, "%d", request->number);
	if (request->command == CONTROL_LOGS_LEVEL)
		(void)snprintf(argument, sizeof argument, "%s", levels[request->level]);
	LOG(LOG_INFO, "control command", F_STR("command", control_command_name(request->command)),
		F_TEXT("argument", argument[0] ? text_of(argument) : TEXT_NONE), F_INT("peer_uid", client->peer.uid),
		F_INT("peer_gid", client->peer.gid), F_INT("peer_pid", client->peer.pid));
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

static void run_status(struct control_client *client)
{
	struct buffer more;

	buffer_init(&more);
	buffer_append_string(&more, ",\"status\":");
	status_write_json(client->control->supervisor->board, clock_monotonic_us(), &more);
	control_answer(client, true, EXIT_OK, "", buffer_text(&more));
	buffer_fini(&more);
}

static void run_metrics(struct control_client *client)
{
	struct buffer text, more;

	buffer_init(&text);
	buffer_init(&more);
	metrics_write(client->control->supervisor->board, false, clock_monotonic_us(), clock_wall_us(), &text);
	buffer_append_string(&more, ",\"metrics\":");
	json_write_string(&more, buffer_text(&text));
	control_answer(client, true, EXIT_OK, "", buffer_text(&more));
	buffer_fini(&more);
	buffer_fini(&text);
}

/* ---- changes whose end comes later ---------------------------------------------------------------------------- */

static void put_member(struct buffer *out, const char *name, const char *value)
{
	buffer_append_string(out, name);
	json_write_string(out, text_of(value != NULL ? value : ""));
}

/* The faults come from a checker that read the operator's file: only what is JSON may go into ours. */
static void put_faults(struct buffer *out, const char *faults)
{
	struct arena arena;
	struct json_value *root;
	const char *problem;

	if (faults == NULL || faults[0] == '\0')
		return;
	arena_init(&arena);
	if (json_parse(&arena, text_of(faults), &root, &problem) == ERROR_NONE && root->type == JSON_ARRAY) {
		buffer_append_string(out, ",\"faults\":");
		buffer_append_text(out, root->raw);
	}
	arena_fini(&arena);
}

static int outcome_code(enum reload_result result)
{
	switch (result) {
	case RELOAD_LIVE:
	case RELOAD_REPLACED: return EXIT_OK;
	case RELOAD_REJECTED: return EXIT_CONFIG_WRONG;
	case RELOAD_FAILED: return EXIT_STORM;
	case RELOAD_NONE:
	case RELOAD_RESULTS: break;
	}
	return EXIT_ADDRESS_IN_USE;
}

static void on_rolled(void *arg, const struct rollover_outcome *outcome)
{
	struct control_client *client = arg;
	int code = outcome_code(outcome->result);
	struct buffer more;

	buffer_init(&more);
	put_member(&more, ",\"result\":", status_reload_result(outcome->result));
	buffer_printf(&more, ",\"generation\":%u,\"ms\":%lld", outcome->generation, (long long)outcome->ms);
	put_member(&more, ",\"changed_live\":", outcome->changed_live);
	put_member(&more, ",\"changed_workers\":", outcome->changed_workers);
	put_member(&more, ",\"needs_restart\":", outcome->needs_restart);
	put_faults(&more, outcome->faults_json);
	control_answer(client, code == EXIT_OK, code, outcome->text != NULL ? outcome->text : "", buffer_text(&more));
	buffer_fini(&more);
	control_advance(client);
}

static void on_upgraded(void *arg, bool is_done, const char *text)
{
	struct control_client *client = arg;

	control_answer(client, is_done, is_done ? EXIT_OK : EXIT_CONFIG_WRONG, text, TEXT_NONE);
	control_advance(client);
}

/* It has begun, or cannot. */
static void begun(struct control_client *client, bool is_begun, const char *why, const char *text)
{
	if (!is_begun)
		control_answer(client, false, EXIT_ADDRESS_IN_USE, why, TEXT_NONE);
	else if (client->asked.is_wait)
		client->is_busy = true;
	else
		control_answer(client, true, EXIT_OK, text, TEXT_NONE);
}

static bool has_worker(const struct supervisor *s, int slot)
{
	return slot < SLOTS_MAX && s->slots[slot].pid != 0;
}

static void run_rollover(struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = client->control->supervisor;
	rollover_done_fn *done = request->is_wait ? on_rolled : NULL;
	void *arg = request->is_wait ? client : NULL;
	const char *why = "", *text = "";
	bool is_begun = false;

	if (request->command == CONTROL_RESTART_WORKER && !has_worker(s, request->number)) {
		control_answer(client, false, EXIT_USAGE_WRONG, "no worker has that slot", TEXT_NONE);
		return;
	}

	if (request->command == CONTROL_RELOAD) {
		is_begun = rollover_reload(s, client->who, done, arg, &why);
		text = "the reload has begun";
	} else if (request->command == CONTROL_DRAIN) {
		is_begun = rollover_drain(s, client->who, done, arg, &why);
		text = "the drain has begun";
	} else if (request->command == CONTROL_RESUME) {
		is_begun = rollover_resume(s, client->who, done, arg, &why);
		text = "new workers are on their way";
	} else if (request->command == CONTROL_RESTART_WORKER) {
		is_begun = rollover_replace(s, request->number, client->who, done, arg, &why);
		text = "a new worker is on its way";
	}
	begun(client, is_begun, why, text);
}

static void run_upgrade(struct control_client *client, const struct control_request *request)
{
	const char *why = "";
	bool is_begun = upgrade_begin(client->control->supervisor, client->who, request->is_wait ? on_upgraded : NULL,
		request->is_wait ? client : NULL, &why);

	begun(client, is_begun, why, "the upgrade has begun");
}

static void run_scale(struct control_client *client, const struct control_request *request)
{
	const char *why = "";
	bool is_begun = rollover_scale(client->control->supervisor, request->number, client->who, &why);

	begun(client, is_begun, why, "the pool changes its size");
}

static void run_stop(struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = client->control->supervisor;
	bool is_stopping = s->stopping != NULL;

	if (!is_stopping || !request->is_fast)
		shutdown_begin(s, SIGTERM);
	if (request->is_fast)
		shutdown_begin(s, SIGQUIT);
	begun(client, true, "", is_stopping ? "already stopping" : "the stop has begun");
}

/* ---- changes that are done at once ---------------------------------------------------------------------------- */

static void run_logs(struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = client->control->supervisor;
	const char *why = "";

	if (request->command == CONTROL_LOGS_LEVEL) {
		rollover_log_level(s, (int)request->level, client->who);
		control_answer(client, true, EXIT_OK, "the level holds until the next reload or restart", TEXT_NONE);
	} else if (rollover_reopen_logs(s, client->who, &why)) {
		control_answer(client, true, EXIT_OK, "the log file was opened anew", TEXT_NONE);
	} else {
		control_answer(client, false, EXIT_CANNOT_CREATE, why, TEXT_NONE);
	}
}

/* ---- which it is ---------------------------------------------------------------------------------------------- */

/* While the service stops, only looking, logs and stopping make sense. */
static bool is_too_late(const struct supervisor *s, enum control_command command)
{
	return s->stopping != NULL && command != CONTROL_STATUS && command != CONTROL_METRICS &&
	       command != CONTROL_STOP && command != CONTROL_LOGS_LEVEL && command != CONTROL_LOGS_REOPEN;
}

void control_command_run(struct control_client *client, const struct control_request *request)
{
	if (request->command != CONTROL_STATUS && request->command != CONTROL_METRICS)
		note(client, request);
	if (is_too_late(client->control->supervisor, request->command)) {
		control_answer(client, false, EXIT_ADDRESS_IN_USE, "the service is stopping", TEXT_NONE);
		return;
	}
	switch (request->command) {
	case CONTROL_STATUS: run_status(client); break;
	case CONTROL_METRICS: run_metrics(client); break;
	case CONTROL_RELOAD:
	case CONTROL_DRAIN:
	case CONTROL_RESUME:
	case CONTROL_RESTART_WORKER: run_rollover(client, request); break;
	case CONTROL_UPGRADE: run_upgrade(client, request); break;
	case CONTROL_STOP: run_stop(client, request); break;
	case CONTROL_SCALE: run_scale(client, request); break;
	case CONTROL_LOGS_REOPEN:
	case CONTROL_LOGS_LEVEL: run_logs(client, request); break;
	case CONTROL_COMMAND_COUNT: must(false);
	}
}

/* ---- while somebody waits ------------------------------------------------------------------------------------- */

static int count_slots(const struct supervisor *s, bool is_leaving)
{
	int count = 0;

	for (int i = 0; i < SLOTS_MAX; i++)
		count += s->slots[i].pid != 0 && s->slots[i].is_leaving == is_leaving;
	return count;
}

static void tell_progress(struct control_client *client)
{
	const struct supervisor *s = client->control->supervisor;
	uint32_t state = SCOREBOARD_GET(s->board->pool.state);
	char text[200];

	if (s->stopping != NULL)
		(void)snprintf(text, sizeof text, "stopping: %d workers left", pool_count_alive(s));
	else
		(void)snprintf(text, sizeof text, "%s: generation %u, %d of %d workers ready, %d leaving",
			status_pool_state(state), s->generation, pool_count_ready(s), count_slots(s, false),
			count_slots(s, true));
	control_progress(client, text);
}

void control_command_look(struct control_client *client)
{
	const struct supervisor *s = client->control->supervisor;

	if (client->asked.command != CONTROL_SCALE) {
		tell_progress(client);
	} else if (s->stopping != NULL) {
		control_answer(client, false, EXIT_ADDRESS_IN_USE, "a stop came in between", TEXT_NONE);
	} else if (pool_count_ready(s) == client->asked.number) {
		control_answer(client, true, EXIT_OK, "the pool has its new size", TEXT_NONE);
	} else if (clock_monotonic_ms() - client->asked_at_ms > SCALE_WAIT_MS) {
		control_answer(client, false, EXIT_STORM, "the pool has not yet its new size", TEXT_NONE);
	} else {
		tell_progress(client);
	}
}

void control_command_last(struct control_client *client)
{
	const struct supervisor *s = client->control->supervisor;
	char text[100];

	if (client->asked.command != CONTROL_STOP) {
		control_answer(client, false, EXIT_ADDRESS_IN_USE, "a stop came in between", TEXT_NONE);
		return;
	}
	(void)snprintf(text, sizeof text, "stopped after %lld ms, exit code %d",
		(long long)(clock_monotonic_ms() - client->asked_at_ms), s->exit_code);
	control_answer(client, s->exit_code == EXIT_OK, s->exit_code, text, TEXT_NONE);
}

void control_command_forget(struct control_client *client)
{
	if (client->asked.command == CONTROL_UPGRADE)
		upgrade_forget(client->control->supervisor, client);
	else if (client->asked.command != CONTROL_STOP && client->asked.command != CONTROL_SCALE)
		rollover_forget(client->control->supervisor, client);
}
