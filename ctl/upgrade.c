/* upgrade.c: `renovationctl upgrade`: asks for it and, with --wait, stays until it is over. The supervisor's exec ends our connection, so the outcome is asked
 * for again and again on new ones: it is there when the time of the last upgrade has changed. */
#include "config.h"
#include "ctl/change.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "ctl/view.h"
#include "shared/clock.h"
#include "shared/inherit.h"

#define LOOK_EACH_MS 200
#define GIVE_UP_MS   120000 /* the new program's check and its workers' start, and back again, with room */

static const char status_request[] = "{\"command\":\"status\"}";

/* One look; false when nobody answers just now. */
static bool look(struct wire *w, const struct json_value **status_out)
{
	const struct json_value *answer;

	if (!wire_send(w, status_request) || wire_next(w, WIRE_ANSWER_MS, &answer) != WIRE_LINE)
		return false;
	*status_out = json_find(answer, "status");
	return *status_out != NULL;
}

static int report(const struct json_value *status)
{
	bool is_done = view_is(status, "upgrades.last.done", "true");
	struct text text = view_string(status, "upgrades.last.text");

	(void)fflush(stdout);
	(void)fprintf(is_done ? stdout : stderr, "%s%.*s\n", is_done ? "" : "renovationctl: ", TEXT_ARGS(text));
	if (is_done)
		(void)printf("renovationd %.*s serves, pid %lld\n", TEXT_ARGS(view_string(status, "version")),
			(long long)view_number(status, "pid"));
	return is_done ? EXIT_OK : EXIT_STORM;
}

static int wait_for_end(struct wire *w, int64_t before_us)
{
	int64_t end_ms = clock_monotonic_ms() + GIVE_UP_MS;
	const struct json_value *status;

	while (clock_monotonic_ms() < end_ms) {
		if ((w->fd >= 0 || wire_reopen(w)) && look(w, &status)) {
			if (view_number(status, "upgrades.last.at_us") != before_us)
				return report(status);
		} else if (w->fd >= 0) {
			(void)wire_reopen(w);
		}
		(void)poll(NULL, 0, LOOK_EACH_MS);
	}
	(void)fputs(
		"renovationctl: the upgrade did not end\n    -> look at renovationctl status and the log\n", stderr);
	return EXIT_UNAVAILABLE;
}

/* `w` is connected. */
static int upgrade(struct wire *w, bool is_wait)
{
	const struct json_value *answer;
	enum wire_result result = WIRE_END;
	int64_t before_us;

	if (!look(w, &answer))
		return wire_lost(w, WIRE_END);
	before_us = view_number(answer, "upgrades.last.at_us");
	if (wire_send(w, is_wait ? "{\"command\":\"upgrade\",\"wait\":true}" : "{\"command\":\"upgrade\"}"))
		result = change_follow(w, is_wait, &answer);
	if (result == WIRE_LINE)
		return change_report(answer);
	if (!is_wait || result == WIRE_BROKEN)
		return wire_lost(w, result);
	(void)wire_reopen(w);
	return wait_for_end(w, before_us);
}

int ctl_upgrade(const struct ctl *ctl, int argc, char *argv[])
{
	bool is_wait = change_take_flag(&argc, argv, "--wait");
	struct wire w;
	int code;

	if (argc > 1)
		return ctl_usage("upgrade takes --wait or nothing, not \"%s\"", argv[1]);
	code = wire_open(&w, ctl, false);
	if (code == EXIT_OK)
		code = upgrade(&w, is_wait);
	wire_close(&w);
	return code;
}
