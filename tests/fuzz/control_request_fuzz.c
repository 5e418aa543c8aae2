/* control_request_fuzz.c: any bytes as a line of the control socket: what is taken is one of the commands with what it needs in range, what is not has a
 * reason in words. */
#include "config.h"

#include <stdint.h>

#include "shared/inherit.h"
#include "supervisor/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_taken(const struct control_request *request)
{
	must(request->command < CONTROL_COMMAND_COUNT && control_command_name(request->command) != NULL);
	must(request->number >= 0 && request->number <= SLOTS_MAX);
	must(request->level <= LOG_FATAL);
	must(!request->is_fast || request->command == CONTROL_STOP);
	must(request->number == 0 || request->command == CONTROL_SCALE || request->command == CONTROL_RESTART_WORKER);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct control_request request;
	const char *problem = NULL;
	struct arena arena;

	arena_init(&arena);
	if (control_request_parse(&arena, text_span((const char *)bytes, length), &request, &problem) == ERROR_NONE)
		check_taken(&request);
	else
		must(problem != NULL && problem[0] != '\0');
	arena_fini(&arena);
	return 0;
}
