/* reap.c: collects the dead, says who and why, and gives their slots back: counters to `retired`, turns to another worker, the rest to pool.c.
 * Called on SIGCHLD for all there are. */
#include "config.h"
#include "supervisor/rollover.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/oom.h"
#include "supervisor/postmortem.h"
#include "supervisor/upgrade.h"

#define LOG_LINE_MS 1000 /* in a storm, one line a second */

static struct slot *find_slot(struct supervisor *s, pid_t pid)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid == pid)
			return &s->slots[i];
	return NULL;
}

/* How a worker ended. */
struct end {
	int status;             /* of waitpid */
	enum death_cause cause; /* DEATH_CAUSES = it was to leave */
	int64_t oom_kills;      /* in our cgroup since the last death by signal; -1 = no signal, or nobody counts */
	bool is_abnormal;       /* nobody asked for it */
};

static const char *cause_of(const struct slot *slot, const struct end *end)
{
	if (WIFEXITED(end->status)) {
		if (WEXITSTATUS(end->status) == EXIT_OK)
			return slot->is_leaving ? "asked to leave" : "left unasked";
		return slot->is_leaving ? "failed while leaving" : "gave up";
	}
	switch (end->cause) {
	case DEATH_BOOT: return "not ready in time, ended by us";
	case DEATH_HUNG: return "hung, ended by us";
	case DEATH_OOM: return "out of memory (cgroup)";
	case DEATH_KILLED:
		return end->oom_kills >= 0 ? "killed, not by us" : "killed, not by us (perhaps out of memory)";
	case DEATH_SIGNAL:
	case DEATH_EXIT: return "died of a signal";
	case DEATH_CAUSES: break;
	}
	return slot->is_ready ? "too slow to leave" : "not needed any more, ended by us";
}

/* In a storm the log must not become the next problem. */
static bool may_log(const struct supervisor *s, int64_t now_ms, int *left_out_out)
{
	static int64_t last_ms;
	static int left_out;

	if (restart_is_storm(&s->restart, now_ms, s->wanted) && now_ms - last_ms < LOG_LINE_MS) {
		left_out++;
		return false;
	}
	last_ms = now_ms;
	*left_out_out = left_out;
	left_out = 0;
	return true;
}

static void log_end(const struct supervisor *s, const struct slot *slot, const struct end *end)
{
	int64_t now_ms = clock_monotonic_ms();
	int left_out, status = end->status;

	if (!may_log(s, now_ms, &left_out))
		return;

	const char *signal = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
	char name[24] = "", oom_kills[24] = "";

	if (signal != NULL)
		(void)snprintf(name, sizeof name, "SIG%s", signal);
	if (end->oom_kills >= 0)
		(void)snprintf(oom_kills, sizeof oom_kills, "%lld", (long long)end->oom_kills);
	LOG(end->is_abnormal ? LOG_ERROR : LOG_INFO, "worker ended", F_INT("slot", slot->index),
		F_INT("worker_pid", slot->pid), F_INT("epoch", slot->epoch), F_INT("generation", slot->generation),
		F_STR("cause", cause_of(slot, end)),
		F_INT("exit_code", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)),
		F_STR("signal", name[0] ? name : NULL), F_BOOL("core", WIFSIGNALED(status) && WCOREDUMP(status)),
		F_RAW("oom_kills", oom_kills[0] ? text_of(oom_kills) : TEXT_NONE),
		F_INT("lived_ms", now_ms - slot->started_at_ms), F_INT("unlogged", left_out));
}

static void bury(struct supervisor *s, struct slot *slot, int status)
{
	bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK;
	struct end end = { .status = status, .oom_kills = WIFSIGNALED(status) ? oom_count() : -1 };
	int64_t ready_for_ms = slot->ready_at_ms ? clock_monotonic_ms() - slot->ready_at_ms : 0;
	bool is_sane = scoreboard_is_sane(s->board, slot->index, (int32_t)slot->pid, slot->epoch);
	uint32_t turns = is_sane ? SCOREBOARD_GET(s->board->slots[slot->index].turns) : 0;
	uint64_t epoch = slot->epoch;
	int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	end.cause = postmortem_cause(slot, status, end.oom_kills);
	end.is_abnormal =
		!(is_clean && slot->is_leaving) && end.cause != DEATH_CAUSES && s->state != SUPERVISOR_STOPPING;
	channel_read_rest(s, slot);
	log_end(s, slot, &end);
	if (end.is_abnormal) {
		postmortem_write(s, slot, status, end.cause);
		SCOREBOARD_ADD(s->board->restarts, 1);
	}
	channel_close(slot);
	slot->pid = 0;
	slot->is_ready = false;
	if (is_sane)
		scoreboard_retire(s->board, slot->index);
	else
		scoreboard_discard(s->board, slot->index);
	shutdown_worker_gone(s, slot, is_clean ? 0 : turns);
	if (s->state != SUPERVISOR_STOPPING) {
		deaths_untold(s, slot->index, epoch);
		/* Who left in order handed over what it had. */
		if (!(is_clean && slot->closed_reports > 0))
			deaths_add(s, slot->index, epoch);
		deaths_tell(s);
	}
	pool_worker_ended(s, slot, end.is_abnormal, exit_code, ready_for_ms);
}

void reap_all(struct supervisor *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct slot *slot = find_slot(s, pid);

		if (slot != NULL)
			bury(s, slot, status);
		else if (!rollover_child_ended(s, pid, status) && !upgrade_child_ended(s, pid, status))
			LOG(LOG_DEBUG, "unknown child ended", F_INT("child_pid", pid), F_INT("status", status));
	}
}
