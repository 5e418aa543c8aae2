/* The /sim/… endpoints by which tests set faults and scripts and read what was asked. Called by service.c.
 * They need no key and are not part of the Gemini API. */
#include "tests/gemini-sim/sim.h"

#include <string.h>

#define JSON_FIELDS "Content-Type: application/json\r\n"

static void control_reply(struct http_exchange *x, int status, json_object *body)
{
	struct text out = { 0 };
	json_write(&out, body, JSON_WIRE);
	text_add(&out, "\n");
	http_reply(x, status, JSON_FIELDS, out.bytes, out.length);
	text_fini(&out);
	json_object_put(body);
}

static void control_error(struct http_exchange *x, int status, const char *wrong)
{
	json_object *body = json_object_new_object();
	json_put_text(body, "error", wrong);
	control_reply(x, status, body);
}

static void control_done(struct http_exchange *x)
{
	http_reply(x, 204, "", "", 0);
}

static void post_json(struct sim *sim, struct http_exchange *x, bool script)
{
	json_object *body = json_read((const char *)x->body, x->body_length, NULL);
	const char *wrong = "the body is not JSON";
	if (body != NULL)
		wrong = script ? script_add(sim->script, body) : fault_rules_add(sim->rules, body);
	json_object_put(body);
	if (wrong != NULL)
		control_error(x, 400, wrong);
	else
		control_done(x);
}

static void show_log(struct sim *sim, struct http_exchange *x)
{
	struct text out = { 0 };
	journal_write(sim->journal, &out);
	http_reply(x, 200, "Content-Type: application/x-ndjson\r\n", text_get(&out), out.length);
	text_fini(&out);
}

static void show_stats(struct sim *sim, struct http_exchange *x)
{
	json_object *stats = journal_stats(sim->journal);
	json_put_int(stats, "connections", (long long)http_connections(sim->http));
	json_put_int(stats, "scriptedReplies", (long long)script_length(sim->script));
	control_reply(x, 200, stats);
}

static void reset_all(struct sim *sim, struct http_exchange *x)
{
	fault_rules_clear(sim->rules);
	script_clear(sim->script);
	journal_clear(sim->journal);
	control_done(x);
}

void control_handle(struct sim *sim, struct http_exchange *x)
{
	bool get = strcmp(x->method, "GET") == 0;
	bool post = strcmp(x->method, "POST") == 0;
	bool remove = strcmp(x->method, "DELETE") == 0;
	if (strcmp(x->path, "/sim/faults") == 0 && get) {
		control_reply(x, 200, fault_rules_show(sim->rules));
	} else if (strcmp(x->path, "/sim/faults") == 0 && post) {
		post_json(sim, x, false);
	} else if (strcmp(x->path, "/sim/faults") == 0 && remove) {
		fault_rules_clear(sim->rules);
		control_done(x);
	} else if (strcmp(x->path, "/sim/script") == 0 && post) {
		post_json(sim, x, true);
	} else if (strcmp(x->path, "/sim/script") == 0 && remove) {
		script_clear(sim->script);
		control_done(x);
	} else if (strcmp(x->path, "/sim/log") == 0 && get) {
		show_log(sim, x);
	} else if (strcmp(x->path, "/sim/log") == 0 && remove) {
		journal_clear(sim->journal);
		control_done(x);
	} else if (strcmp(x->path, "/sim/stats") == 0 && get) {
		show_stats(sim, x);
	} else if (strcmp(x->path, "/sim/reset") == 0 && post) {
		reset_all(sim, x);
	} else {
		control_error(x, 404, "no such control");
	}
}
