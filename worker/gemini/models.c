/* models.c: the capability table and the facts learned while running. Called when a request is written and when an answer begins.
 * It asks nobody: limits come from provider.c's probe, refusals from failed requests. */
#include "config.h"
#include "worker/gemini/models.h"

#include <stdio.h>

#include "shared/must.h"

/* clang-format off */
/* The first prefix that matches counts, so the narrower stands above the wider. */
static const struct model_family families[] = {
	{ .prefix = "gemini-1.", .label = "1", .thinking = THINKING_NONE, .honours_sampling = true },
	{ .prefix = "gemini-2.0", .label = "2.0", .thinking = THINKING_NONE, .honours_sampling = true },
	{ .prefix = "gemini-2.5-pro", .label = "2.5", .thinking = THINKING_BUDGET, .must_think = true, .honours_sampling = true },
	{ .prefix = "gemini-2.5", .label = "2.5", .thinking = THINKING_BUDGET, .honours_sampling = true },
	{ .prefix = "gemini-3.5-flash-lite", .label = "3.6", .thinking = THINKING_LEVEL, .has_minimal = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3.6", .label = "3.6", .thinking = THINKING_LEVEL, .has_minimal = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3.1-pro", .label = "3.0", .thinking = THINKING_LEVEL, .honours_sampling = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3-pro", .label = "3.0", .thinking = THINKING_LEVEL, .honours_sampling = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3.1", .label = "3.0", .thinking = THINKING_LEVEL, .has_minimal = true, .honours_sampling = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3.5", .label = "3.0", .thinking = THINKING_LEVEL, .has_minimal = true, .honours_sampling = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "gemini-3-", .label = "3.0", .thinking = THINKING_LEVEL, .has_minimal = true, .honours_sampling = true, .has_call_ids = true, .is_strict = true },
	{ .prefix = "", .label = "newest", .thinking = THINKING_LEVEL, .has_call_ids = true, .is_strict = true },
};
/* clang-format on */

static struct text bare_name(struct text model)
{
	if (model.bytes != NULL && text_starts_with(model, TEXT("models/")))
		return text_span(model.bytes + 7, model.length - 7);
	return model.bytes != NULL ? model : TEXT("");
}

const struct model_family *models_family(struct text model)
{
	struct text name = bare_name(model);

	for (size_t i = 0; i < COUNT_OF(families) - 1; i++)
		if (text_starts_with(name, text_of(families[i].prefix)))
			return &families[i];
	return &families[COUNT_OF(families) - 1];
}

struct model_facts *models_facts(struct models *m, struct text model)
{
	struct text name = bare_name(model);

	for (size_t i = 0; i < MODELS_FACTS_MAX; i++) {
		struct model_facts *row = &m->rows[i];

		if (row->name[0] == '\0') {
			(void)snprintf(row->name, sizeof row->name, "%.*s", TEXT_ARGS(name));
			return row;
		}
		if (text_equals(text_of(row->name), name))
			return row;
	}
	m->rows[0] = (struct model_facts) { 0 };
	(void)snprintf(m->rows[0].name, sizeof m->rows[0].name, "%.*s", TEXT_ARGS(name));
	return &m->rows[0];
}

bool models_is_same(const struct model_facts *facts, struct text made_by)
{
	struct text name = bare_name(made_by);

	if (name.length == 0)
		return false;
	return text_equals(name, text_of(facts->name)) || text_equals(name, text_of(facts->answers_as));
}

static bool contains(struct text whole, struct text part)
{
	return memmem(whole.bytes, whole.length, part.bytes, part.length) != NULL;
}

const char *models_warning(struct text model)
{
	struct text name = bare_name(model);

	if (text_equals(name, TEXT("gemini-2.5-flash")))
		return "is shut down on 2026-12-01 and then answered by gemini-3.5-flash-lite";
	if (text_equals(name, TEXT("gemini-2.5-pro")))
		return "is shut down on 2026-12-01 and then answered by gemini-3.8-flash";
	if (text_starts_with(name, TEXT("gemini-2.0")) || text_starts_with(name, TEXT("gemini-1.")))
		return "has been shut down";
	if (contains(name, TEXT("-preview")))
		return "is a preview and may go at short notice";
	if (contains(name, TEXT("-latest")))
		return "is a moving alias: stored signatures do not survive its moves";
	return NULL;
}
