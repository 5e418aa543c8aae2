/* stop.c: see stop.h. Used by the black-box tests of stops and of faults during them. */
#include "config.h"
#include "tests/support/stop.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"

struct json_object *stop_report(struct process *p)
{
	char *line = process_wait_error(p, "\"event\":\"shutdown_report\"", 5000);
	struct json_object *report = json_tokener_parse(line);

	cr_assert_not_null(report, "%s", line);
	free(line);
	return report;
}

const char *stop_phase_state(struct json_object *report, const char *name)
{
	struct json_object *phases = json_object_at(report, "phases");

	for (size_t i = 0; i < json_object_array_length(phases); i++) {
		struct json_object *phase = json_object_array_get_idx(phases, i);

		if (strcmp(json_at(phase, "name"), name) == 0)
			return json_at(phase, "state");
	}
	return "";
}

long json_number_at(struct json_object *object, const char *path)
{
	struct json_object *value = json_object_at(object, path);

	cr_assert_not_null(value, "%s", path);
	return (long)json_object_get_int64(value);
}
