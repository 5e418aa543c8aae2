/* sim_request_fuzz.c: any bytes as a request to the simulator: JSON, names and kinds, meaning, the answer, its frames. A simulator that falls over
 * would make tests of the server fail for no fault of it. What is said must be the same whole and in chunks. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/checks.h"
#include "tests/gemini-sim/frames.h"
#include "tests/gemini-sim/generate.h"
#include "tests/gemini-sim/markers.h"
#include "tests/gemini-sim/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void add_frame_text(struct text *out, const struct frame *frame)
{
	for (size_t i = 0; i < json_length(frame->parts); i++)
		if (!json_find_bool(json_at(frame->parts, i), "thought") &&
			json_find_text(json_at(frame->parts, i), "text") != NULL)
			text_add(out, json_find_text(json_at(frame->parts, i), "text"));
}

static char *spoken(const struct answer *answer, const struct plan *plan, const struct model *model, bool whole)
{
	struct frames frames;
	struct text out = { 0 };

	frames_build(&frames, answer, plan, model, "key", whole);
	for (size_t i = 0; i < frames.count; i++)
		add_frame_text(&out, &frames.list[i]);
	frames_fini(&frames);
	return text_take(&out);
}

static void speak(const json_object *request, const struct model *model)
{
	struct conversation c;
	struct plan plan;
	struct plan_place place = { .model = model, .key = "key" };
	struct marker_counts *counts = marker_counts_create();

	conversation_init(&c, request);
	plan_init(&plan);
	markers_apply(counts, &plan, c.marked, c.hash, !c.continuing, &place);
	if (plan.words < 2000 && plan.chunks < 2000) { /* more only takes time */
		struct answer *answer = generate_answer(&c, &plan);

		generate_limit(answer, &c, model, &plan);
		char *whole = spoken(answer, &plan, model, true);
		char *parts = spoken(answer, &plan, model, false);

		if (plan.empty == EMPTY_NOT && strcmp(whole, parts) != 0)
			abort();
		free(whole);
		free(parts);
		answer_destroy(&answer);
	}
	plan_fini(&plan);
	conversation_fini(&c);
	marker_counts_destroy(&counts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const char *const models[] = { "gemini-2.5-flash", "gemini-3.5-flash-lite", "gemini-3.8-flash" };
	struct violations violations = { 0 };
	json_object *body = json_read((const char *)bytes, length, NULL);

	if (body == NULL)
		return 0;

	json_object *request = validate_message(&message_generate_content, body, &violations);

	for (size_t i = 0; violations.list == NULL && i < 3; i++) {
		const struct model *model = model_find(models[i]);
		struct refusal *refusal = check_request(request, model, "key");

		if (refusal == NULL)
			speak(request, model);
		refusal_destroy(&refusal);
	}
	violations_fini(&violations);
	json_object_put(request);
	json_object_put(body);
	return 0;
}
