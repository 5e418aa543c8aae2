/* outcome.c: says how a change ended: a line in the log, the last reload on the scoreboard, the words for who asked. Called by rollover.c at each end. */
#include "config.h"
#include "supervisor/outcome.h"

#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

static bool is_good(enum reload_result result)
{
	return result == RELOAD_LIVE || result == RELOAD_REPLACED;
}

static const char *result_name(enum reload_result result)
{
	static const char *const names[] = { "overtaken", "live", "replaced", "rejected", "failed" };

	return names[result];
}

/* What people are told of a change that went well. */
static void describe(struct outcome *o, const struct supervisor *s)
{
	const struct rollover_outcome *t = &o->told;
	struct buffer words;

	buffer_init(&words);
	if (t->changed_live[0] || t->changed_workers[0])
		buffer_printf(&words, "changed: %s%s%s; ", t->changed_live,
			t->changed_live[0] && t->changed_workers[0] ? ", " : "", t->changed_workers);
	if (t->needs_restart[0])
		buffer_printf(&words, "needs a restart: %s; ", t->needs_restart);
	if (s->rollover->undone_size > 0 && s->rollover->undone_size != s->wanted)
		buffer_printf(
			&words, "back from %d workers, set by hand, to %d; ", s->rollover->undone_size, s->wanted);
	if (s->rollover->now.kind == CHANGE_DRAIN)
		buffer_append_string(&words, "drained: one worker answers probes, the others leave; ");
	else if (s->rollover->now.kind == CHANGE_REPLACE)
		buffer_printf(&words, "the worker in slot %d is replaced; ", s->rollover->now.slot);
	buffer_printf(&words,
		t->result == RELOAD_LIVE ? "applied to the running workers of generation %u" : "generation %u serves",
		s->generation);
	buffer_append_char(&words, '\0');
	(void)snprintf(o->text, sizeof o->text, "%s", buffer_text(&words).bytes);
	buffer_fini(&words);
}

static void remember(struct supervisor *s, const struct rollover_outcome *told)
{
	struct scoreboard_pool *pool = &s->board->pool;

	(void)snprintf(pool->last_reload_text, sizeof pool->last_reload_text, "%s", told->text);
	SCOREBOARD_SET(pool->last_reload_result, told->result);
	SCOREBOARD_SET(pool->last_reload_ms, told->ms);
	SCOREBOARD_ADD(pool->reloads[told->result], 1);
	SCOREBOARD_SET(pool->last_reload_at_us, clock_wall_us());
}

static void log_it(const struct supervisor *s, const struct rollover_outcome *told)
{
	const struct change *change = &s->rollover->now;
	const char *message = is_good(told->result)         ? "change done"
			      : told->result == RELOAD_NONE ? "change given up"
							    : "change refused";

	LOG(is_good(told->result) || told->result == RELOAD_NONE ? LOG_INFO : LOG_ERROR, message,
		F_STR("event", change_names[change->kind]), F_STR("result", result_name(told->result)),
		F_STR("who", change->who), F_INT("generation", told->generation), F_INT("ms", told->ms),
		F_STR("text", told->text), F_STR("changed_live", told->changed_live),
		F_STR("changed_workers", told->changed_workers), F_STR("needs_restart", told->needs_restart),
		F_RAW("faults", told->faults_json[0] ? text_of(told->faults_json) : TEXT_NONE));
}

static const char *finish(struct buffer *words)
{
	buffer_append_char(words, '\0');
	return buffer_text(words).bytes;
}

static void list_options(struct outcome *o, const struct supervisor *s)
{
	const struct proposal *p = &s->rollover->proposal;

	buffer_init(&o->live);
	buffer_init(&o->workers);
	buffer_init(&o->restart);
	buffer_init(&o->faults);
	if (s->rollover->now.kind == CHANGE_RELOAD && p->is_compared) {
		options_diff_write(&p->diff, OPTION_CLASS_LIVE, &o->live);
		options_diff_write(&p->diff, OPTION_CLASS_WORKERS, &o->workers);
		options_diff_write(&p->diff, OPTION_CLASS_RESTART, &o->restart);
	}
	if (p->faults.end > 0)
		buffer_append_text(&o->faults, buffer_text(&p->faults));
	o->told.changed_live = finish(&o->live);
	o->told.changed_workers = finish(&o->workers);
	o->told.needs_restart = finish(&o->restart);
	o->told.faults_json = finish(&o->faults);
}

void outcome_init(struct outcome *o, struct supervisor *s, enum reload_result result, const char *text)
{
	memset(o, 0, sizeof *o);
	o->told.result = result;
	o->told.generation = s->generation;
	o->told.ms = clock_monotonic_ms() - s->rollover->begun_ms;
	list_options(o, s);
	if (is_good(result))
		describe(o, s);
	else
		(void)snprintf(o->text, sizeof o->text, "%s", text);
	o->told.text = o->text;
	/* Before the line: who has read it finds the pool as it says. */
	if (s->rollover->now.kind == CHANGE_RELOAD && result != RELOAD_NONE)
		remember(s, &o->told);
	log_it(s, &o->told);
}

void outcome_fini(struct outcome *o)
{
	buffer_fini(&o->live);
	buffer_fini(&o->workers);
	buffer_fini(&o->restart);
	buffer_fini(&o->faults);
}
