/* upkeep.c: forgets old answers of idempotent creates and turns over the daily partitions of streamed events. Opened by main.c.
 * One statement a chore, each safe to run anywhere at any time; a chore that fails is tried again in the next round. Work that is about somebody's
 * rows does not belong here. */
#include "config.h"
#include "worker/jobs/upkeep.h"

#include "shared/log.h"
#include "shared/must.h"
#include "worker/db/db.h"

#define FIRST_S      20 /* at most: a new worker has better things to do */
#define CHORES_COUNT 2

struct chore {
	struct upkeep *upkeep;    /* whose it is */
	struct db_query *query;   /* under way; NULL when none */
	const char *name;         /* for the log */
	enum statement statement; /* what it does; its result is a count */
};

struct upkeep {
	struct worker *worker;             /* borrowed */
	struct event *timer;               /* the next round */
	int64_t interval_s;                /* what it was set with */
	struct chore chores[CHORES_COUNT]; /* in no order */
};

static void on_done(void *arg, enum error e, const struct db_result *r)
{
	struct chore *chore = arg;

	chore->query = NULL;
	if (e != ERROR_NONE)
		LOG(LOG_WARN, "chore not done", F_STR("chore", chore->name), F_STR("error", error_code(e)));
	else
		LOG(LOG_DEBUG, "chore done", F_STR("chore", chore->name), F_INT("count", db_result_int(r, 0, 0)));
}

static void start_chore(struct chore *chore)
{
	const struct worker *w = chore->upkeep->worker;
	struct db_number hours;
	const struct db_param params[] = { db_int(&hours, w->options.chat_chunk_retention_h) };

	if (chore->query == NULL)
		chore->query = db_submit(w->db, chore->statement, params, on_done, chore);
}

static bool is_lowest(const struct worker *w)
{
	for (int i = 0; i < w->slot_index; i++)
		if (SCOREBOARD_GET(w->board->slots[i].state) == WORKER_READY)
			return false;
	return SCOREBOARD_GET(w->slot->state) == WORKER_READY;
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
	struct upkeep *u = arg;
	const struct timeval again = { .tv_sec = u->worker->options.upkeep_interval_s };

	(void)fd;
	(void)what;
	(void)event_add(u->timer, &again);
	if (!is_lowest(u->worker))
		return;
	for (int i = 0; i < CHORES_COUNT; i++)
		start_chore(&u->chores[i]);
}

struct upkeep *upkeep_open(struct worker *w)
{
	int64_t interval_s = w->options.upkeep_interval_s;
	const struct timeval first = { .tv_sec = interval_s < FIRST_S ? interval_s : FIRST_S };
	struct upkeep *u = must_alloc(sizeof *u);

	u->worker = w;
	u->interval_s = interval_s;
	u->chores[0] = (struct chore) { .upkeep = u, .name = "idempotency", .statement = SQL_upkeep_idempotency };
	u->chores[1] = (struct chore) { .upkeep = u, .name = "chunks", .statement = SQL_upkeep_chunks };
	u->timer = evtimer_new(w->base, on_round, u);
	must(u->timer != NULL && event_add(u->timer, &first) == 0);
	return u;
}

void upkeep_options_changed(struct upkeep *u)
{
	const struct timeval again = { .tv_sec = u->worker->options.upkeep_interval_s };

	if (u->interval_s == again.tv_sec)
		return;
	u->interval_s = again.tv_sec;
	must(event_add(u->timer, &again) == 0);
}

void upkeep_close(struct upkeep **upkeep)
{
	struct upkeep *u = *upkeep;

	if (u == NULL)
		return;
	for (int i = 0; i < CHORES_COUNT; i++)
		if (u->chores[i].query != NULL)
			db_cancel(&u->chores[i].query);
	event_free(u->timer);
	free(u);
	*upkeep = NULL;
}
