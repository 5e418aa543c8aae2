/* shutdown.c: the stop of the whole service: tells all workers with one T0, closes the listener once they have taken what was queued, kills at
 * 9/10 of shutdown_ms who is still there, reports at 95/100, and leaves at the latest by SIGALRM. The phases themselves run in the workers.
 * Called by signals.c, by pool.c when it gives up, and told by channel.c and reap.c how far the workers are. Each step is safe to repeat. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "supervisor/rollover.h"
#include "supervisor/stop_phase.h"
#include "supervisor/tally.h"
#include "supervisor/upgrade.h"

#define QUIESCE_MS        250
#define HURRY_MS          1000 /* what workers get after a second INT or QUIT */
#define HURRY_KILL_MS     1500
#define HURRY_REPORT_MS   2000
#define HURRY_ALARM_MS    2500
#define STATUS_INTERVAL_S 1

struct stopping {
	int64_t t0_us;                 /* monotonic */
	int64_t kill_at_ms;            /* monotonic */
	int64_t report_at_ms;          /* monotonic */
	int64_t leave_at_ms;           /* monotonic; SIGALRM then */
	bool is_fast;                  /* a second INT or QUIT came */
	bool is_reported;              /* the report was written */
	struct tally tally;            /* what workers said */
	struct stop_progress progress; /* what they closed */
	enum stop_phase phase;         /* the last that was told */
	struct event *quiesce;         /* timer: listener closes at the latest */
	struct event *kill;            /* timer */
	struct event *report;          /* timer */
	struct event *status;          /* each second */
};

static int64_t elapsed_ms(const struct stopping *stop)
{
	return (clock_monotonic_us() - stop->t0_us) / 1000;
}

static void set_timer(struct event *timer, int64_t at_ms)
{
	int64_t left_ms = at_ms - clock_monotonic_ms();
	struct timeval delay = { 0 };

	if (left_ms > 0)
		delay = (struct timeval) { .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000 };
	(void)event_add(timer, &delay);
}

static void set_deadlines(struct stopping *stop, int64_t kill_at_ms, int64_t report_at_ms, int64_t leave_at_ms)
{
	int64_t left_ms = leave_at_ms - clock_monotonic_ms();
	struct itimerval alarm_timer = { .it_value = { .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000 } };

	stop->kill_at_ms = kill_at_ms;
	stop->report_at_ms = report_at_ms;
	stop->leave_at_ms = leave_at_ms;
	set_timer(stop->kill, kill_at_ms);
	set_timer(stop->report, report_at_ms);
	(void)setitimer(ITIMER_REAL, &alarm_timer, NULL);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void report(struct supervisor *s)
{
	struct stopping *stop = s->stopping;
	struct buffer phases, summary;
	int64_t ms = elapsed_ms(stop);

	if (stop->is_reported)
		return;
	stop->is_reported = true;
	tally_finish(&stop->tally);
	buffer_init(&phases);
	buffer_init(&summary);
	tally_write_phases(&stop->tally, &phases);
	tally_write_summary(&stop->tally, ms, &summary);
	buffer_append_char(&summary, '\0');
	SCOREBOARD_SET(s->board->lost, stop->tally.lost);
	/* Whatever the level: this line is what a stop is judged by. */
	log_set_level(LOG_INFO);
	LOG(stop->tally.lost ? LOG_ERROR : LOG_INFO, "shutdown report", F_STR("event", "shutdown_report"),
		F_STR("result", tally_result(&stop->tally)), F_INT("ms", ms), F_INT("forced", stop->tally.forced),
		F_INT("lost", stop->tally.lost), F_INT("workers_killed", stop->tally.killed),
		F_RAW("phases", buffer_text(&phases)), F_STR("summary", summary.bytes + summary.start));
	log_flush();
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "renovationd %s\n", summary.bytes + summary.start);
	notify_status("%s", summary.bytes + summary.start);
	buffer_fini(&phases);
	buffer_fini(&summary);
}

/* Killed and still there: a disk or an NFS server holds it in the kernel. What it wrote nobody will store. */
static void count_unreaped(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct slot *slot = &s->slots[i];
		uint32_t turns = 0;

		if (slot->pid == 0)
			continue;
		if (scoreboard_is_sane(s->board, i, (int32_t)slot->pid, slot->epoch))
			turns = SCOREBOARD_GET(s->board->slots[i].turns);
		LOG(LOG_ERROR, "worker left behind: it does not even die", F_INT("slot", i),
			F_INT("worker_pid", slot->pid), F_INT("turns", turns));
		tally_add_killed(&s->stopping->tally, turns);
	}
}

static void finish(struct supervisor *s)
{
	if (!s->stopping->is_reported)
		count_unreaped(s);
	report(s);
	pool_finish(s, s->give_up_code ? s->give_up_code : tally_exit_code(&s->stopping->tally));
}

static void close_listener(struct supervisor *s, bool is_late)
{
	struct message_closed closed = { .name = "listener", .result = is_late ? TALLY_TIMEOUT : TALLY_DONE };

	if (s->listener < 0)
		return;
	listeners_close(s);
	closed.ms = (uint32_t)elapsed_ms(s->stopping);
	tally_add(&s->stopping->tally, &closed);
}

/* ---- how far it is, for the service manager -------------------------------------------------------------------- */

static void tell_status(struct supervisor *s)
{
	const struct stopping *stop = s->stopping;

	notify_stop_status(stop->leave_at_ms - clock_monotonic_ms(), "stopping (%s): %d workers left after %lld ms",
		stop_phase_names[stop->phase], pool_count_alive(s), (long long)elapsed_ms(stop));
}

/* That of the slowest worker. One that was never ready has nothing to close. */
static void look_at_phase(struct supervisor *s)
{
	struct stopping *stop = s->stopping;
	enum stop_phase phase = s->listener >= 0 ? STOP_QUIESCE : STOP_LEAVING;

	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid != 0 && s->slots[i].is_ready && stop_progress_phase(&stop->progress, i) < phase)
			phase = stop_progress_phase(&stop->progress, i);
	if (phase <= stop->phase)
		return;
	stop->phase = phase;
	tell_status(s);
}

/* ---- deadlines ----------------------------------------------------------------------------------------------- */

static void on_quiesce(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	close_listener(arg, true);
	look_at_phase(arg);
}

static void on_kill(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->pid == 0)
			continue;
		LOG(LOG_ERROR, "worker killed: it did not leave in time", F_INT("slot", slot->index),
			F_INT("worker_pid", slot->pid), F_INT("ms", elapsed_ms(s->stopping)));
		slot->killed_with = SIGKILL;
		slot->killed_for = DEATH_CAUSES;
		(void)kill(slot->pid, SIGKILL);
	}
}

static void on_report(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_status(arg);
}

/* ---- the beginning ------------------------------------------------------------------------------------------- */

static void tell_workers(struct supervisor *s)
{
	struct message m = { .type = MESSAGE_DRAIN, .drain = { .is_stop = 1, .t0_us = s->stopping->t0_us } };

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->pid == 0)
			continue;
		slot->is_leaving = true;
		SCOREBOARD_SET(s->board->slots[i].drain_until_us, s->stopping->kill_at_ms * 1000);
		/* Who does not read yet hears the signal. */
		if (!channel_send(slot, &m) || !slot->is_ready)
			(void)kill(slot->pid, SIGTERM);
	}
}

static void start(struct supervisor *s, int signal)
{
	struct stopping *stop = must_alloc(sizeof *stop);
	struct timeval second = { .tv_sec = STATUS_INTERVAL_S };
	int64_t now_ms = clock_monotonic_ms(), whole_ms = s->options->shutdown_ms;

	s->stopping = stop;
	s->state = SUPERVISOR_STOPPING;
	stop->t0_us = clock_monotonic_us();
	tally_init(&stop->tally, pool_count_alive(s));
	rollover_stop(s);
	pool_publish(s);
	upgrade_cancel(s);
	SCOREBOARD_SET(s->board->is_serving, 0);
	SCOREBOARD_SET(s->board->stop_at_us, stop->t0_us);
	notify_stopping(whole_ms);
	LOG(LOG_INFO, "stop begins", F_STR("signal", signal ? sigabbrev_np(signal) : "none"),
		F_INT("workers", pool_count_alive(s)), F_INT("limit_ms", whole_ms));
	stop->quiesce = evtimer_new(s->base, on_quiesce, s);
	stop->kill = evtimer_new(s->base, on_kill, s);
	stop->report = evtimer_new(s->base, on_report, s);
	stop->status = event_new(s->base, -1, EV_PERSIST, on_status, s);
	must(stop->quiesce != NULL && stop->kill != NULL && stop->report != NULL && stop->status != NULL);
	pool_stop_spawning(s);
	set_deadlines(
		stop, now_ms + whole_ms * SHUTDOWN_KILL_PERCENT / 100, now_ms + whole_ms * 95 / 100, now_ms + whole_ms);
	set_timer(stop->quiesce, now_ms + QUIESCE_MS);
	(void)event_add(stop->status, &second);
	tell_workers(s);
	shutdown_worker_draining(s);
	if (pool_count_alive(s) == 0)
		finish(s);
}

static void hurry(struct supervisor *s, int signal)
{
	struct stopping *stop = s->stopping;
	int64_t now_ms = clock_monotonic_ms();

	if (stop->is_fast)
		return;
	stop->is_fast = true;
	SCOREBOARD_SET(s->board->stop_fast, 1);
	LOG(LOG_WARN, "fast stop", F_STR("signal", sigabbrev_np(signal)), F_INT("deadline_ms", HURRY_MS));
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid != 0)
			(void)kill(s->slots[i].pid, SIGQUIT);
	if (stop->leave_at_ms > now_ms + HURRY_ALARM_MS)
		set_deadlines(stop, now_ms + HURRY_KILL_MS, now_ms + HURRY_REPORT_MS, now_ms + HURRY_ALARM_MS);
}

void shutdown_begin(struct supervisor *s, int signal)
{
	if (s->stopping == NULL)
		start(s, signal);
	else if (signal == SIGINT || signal == SIGQUIT)
		hurry(s, signal);
	else
		LOG(LOG_INFO, "already stopping", F_INT("left_ms", s->stopping->leave_at_ms - clock_monotonic_ms()));
}

/* ---- how far the workers are --------------------------------------------------------------------------------- */

void shutdown_worker_draining(struct supervisor *s)
{
	if (s->stopping == NULL)
		return;
	/* Those not ready yet never had the listener in their loop. */
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid != 0 && s->slots[i].is_ready && !s->slots[i].is_draining)
			return;
	close_listener(s, false);
	look_at_phase(s);
}

void shutdown_resource_closed(struct supervisor *s, const struct slot *slot, const struct message_closed *closed)
{
	LOG(LOG_DEBUG, "resource closed", F_INT("slot", slot->index), F_STR("name", closed->name),
		F_INT("ms", closed->ms), F_INT("result", closed->result), F_INT("forced", closed->forced),
		F_INT("lost", closed->lost));
	if (s->stopping == NULL)
		return;
	tally_add(&s->stopping->tally, closed);
	stop_progress_note(&s->stopping->progress, slot->index, closed->name);
	look_at_phase(s);
}

void shutdown_worker_gone(struct supervisor *s, const struct slot *slot, uint32_t turns)
{
	if (s->stopping == NULL)
		return;
	if (slot->killed_with != 0 || turns > 0)
		tally_add_killed(&s->stopping->tally, turns);
	shutdown_worker_draining(s);
	look_at_phase(s);
	if (pool_count_alive(s) == 0)
		finish(s);
}

void shutdown_free(struct supervisor *s)
{
	struct itimerval none = { .it_value = { 0 } };

	if (s->stopping == NULL)
		return;
	(void)setitimer(ITIMER_REAL, &none, NULL);
	event_free(s->stopping->quiesce);
	event_free(s->stopping->kill);
	event_free(s->stopping->report);
	event_free(s->stopping->status);
	free(s->stopping);
	s->stopping = NULL;
}
