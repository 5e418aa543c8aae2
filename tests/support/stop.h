/* stop.h: the report that the supervisor writes at the end of a stop, for tests to ask. */
#ifndef RENOVATIOND_TESTS_SUPPORT_STOP_H
#define RENOVATIOND_TESTS_SUPPORT_STOP_H

#include <json-c/json.h>

#include "tests/support/process.h"

/* The line as JSON; put it. Waits for it, and fails the test when it does not come. */
struct json_object *stop_report(struct process *p);
/* "done", "timeout", …; "" when the report has no such phase. Borrowed from the report. */
const char *stop_phase_state(struct json_object *report, const char *name);
/* The number at a path as json_at takes it; fails the test when there is none. */
long json_number_at(struct json_object *object, const char *path);

#endif
