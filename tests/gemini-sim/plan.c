/* The plan of one request: only its beginning and end. It is filled by faults.c and markers.c and followed by generate.c
 * and stream.c. */
#include "tests/gemini-sim/plan.h"

#include <stdlib.h>

void plan_init(struct plan *plan)
{
	*plan = (struct plan) { .delimiter = "\r\n\r\n", .end_after = -1 };
}

void plan_fini(struct plan *plan)
{
	for (int i = 0; i < plan->call_count; i++)
		free(plan->calls[i]);
	refusal_destroy(&plan->refusal);
	free(plan->repeat);
	free(plan->end_message);
	free(plan->finish_reason);
	free(plan->finish_message);
	free(plan->block_reason);
	free(plan->model_version);
	text_fini(&plan->faults);
}
