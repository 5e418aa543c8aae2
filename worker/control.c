/* control.c: the worker's side of its supervisor: messages, the lifeline whose end is the supervisor's death, the heartbeat, and signals.
 * Opened by main.c. It starts the shutdown and never runs it; what a dead slot means is chat's business. */
#include "config.h"
#include "worker/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/log.h"
#include "shared/process.h"
#include "worker/shutdown.h"

#define BEAT_MOST_MS       1000
#define BEAT_LEAST_MS      50
#define ORPHAN_DEADLINE_MS 3000
#define ORPHAN_ALARM_S     5
#define HURRY_MS           1000
#define MESSAGES_PER_TURN  64

struct supervisor_link {
	struct worker *worker;                                  /* borrowed */
	struct event *messages;                                 /* control channel */
	struct event *lifeline;                                 /* end of file */
	struct event *beat;                                     /* heartbeat timer */
	struct event *signals;                                  /* read end of the handler's pipe */
	int64_t beat_interval_us;                               /* asked for */
	int64_t beat_due_us;                                    /* monotonic; when the next should come */
	bool is_orphan;                                         /* the supervisor is gone */
	void (*slot_died)(void *arg, int slot, uint64_t epoch); /* may be NULL */
	void *slot_died_arg;                                    /* of it */
	void (*options_changed)(void *arg);                     /* may be NULL */
	void *options_changed_arg;                              /* of it */
};

/* What a signal handler may touch. */
static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t alarm_s;

/* A real handler, because libevent's only run when the loop does: the alarm ends a worker whose loop is stuck. */
static void on_stop_signal(int signal)
{
	int error = errno;
	unsigned char number = (unsigned char)signal;

	(void)alarm((unsigned)alarm_s);
	(void)!write(signal_pipe[1], &number, 1);
	errno = error;
}

static void set_alarm_time(const struct worker *w)
{
	alarm_s = (sig_atomic_t)((w->options.shutdown_ms + 999) / 1000);
}

static enum error handle_signals(const struct worker *w)
{
	static const int stops[] = { SIGTERM, SIGINT, SIGQUIT };
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH };
	struct sigaction action = { .sa_handler = on_stop_signal, .sa_flags = SA_RESTART };

	set_alarm_time(w);
	if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return ERROR_SYSTEM;
	for (size_t i = 0; i < COUNT_OF(stops); i++)
		if (sigaction(stops[i], &action, NULL) != 0)
			return ERROR_SYSTEM;
	action = (struct sigaction) { .sa_handler = SIG_IGN };
	for (size_t i = 0; i < COUNT_OF(ignored); i++)
		if (sigaction(ignored[i], &action, NULL) != 0)
			return ERROR_SYSTEM;
	return ERROR_NONE;
}

/* ---- to the supervisor --------------------------------------------------------------------------------------- */

static void tell(const struct message *m)
{
	enum error e = ipc_send(INHERIT_CONTROL, m);

	if (e != ERROR_NONE && e != ERROR_CLOSED)
		LOG(LOG_WARN, "message to the supervisor lost", F_INT("type", m->type), F_STR("error", error_code(e)));
}

void control_ready(struct supervisor_link *link)
{
	struct message m = { .type = MESSAGE_WORKER_READY };
	struct scoreboard_slot *slot = link->worker->slot;

	/* Told to leave before it was ready: it never serves. */
	if (shutdown_is_started(link->worker->shutdown))
		return;
	SCOREBOARD_SET(slot->ready_at_us, clock_monotonic_us());
	SCOREBOARD_SET(slot->state, WORKER_READY);
	tell(&m);
}

void control_report(struct supervisor_link *link, const struct message_closed *closed)
{
	struct message m = { .type = MESSAGE_WORKER_CLOSED, .closed = *closed };

	(void)link;
	tell(&m);
}

/* ---- the end begins ------------------------------------------------------------------------------------------ */

static void begin_end(struct supervisor_link *link, bool is_stop, int64_t t0_us, const char *why)
{
	struct worker *w = link->worker;
	struct message m = { .type = MESSAGE_WORKER_DRAINING };
	bool is_first = !shutdown_is_started(w->shutdown);

	if (is_first)
		LOG(LOG_INFO, is_stop ? "stop begins" : "drain begins", F_STR("reason", why));
	shutdown_start(w->shutdown, is_stop, t0_us);
	if (SCOREBOARD_GET(w->board->stop_fast))
		shutdown_hurry(w->shutdown, HURRY_MS);
	if (!is_first)
		return;
	/* The http resource has taken what was queued and left the listener alone: who sees the state knows that nothing more comes here. */
	SCOREBOARD_SET(w->slot->state, WORKER_DRAINING);
	tell(&m);
}

static int64_t stop_start_us(const struct worker *w)
{
	int64_t t0_us = SCOREBOARD_GET(w->board->stop_at_us);

	return t0_us != 0 ? t0_us : clock_monotonic_us();
}

static void on_signal_byte(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor_link *link = arg;
	unsigned char number;

	(void)what;
	while (read(fd, &number, 1) == 1) {
		begin_end(link, true, stop_start_us(link->worker), number == SIGTERM ? "SIGTERM" : "SIGINT or SIGQUIT");
		if (number != SIGTERM)
			shutdown_hurry(link->worker->shutdown, HURRY_MS);
	}
}

static void on_orphaned(struct supervisor_link *link)
{
	if (link->is_orphan)
		return;
	link->is_orphan = true;
	(void)event_del(link->lifeline);
	(void)event_del(link->messages);
	LOG(LOG_ERROR, "the supervisor is gone, leaving");
	(void)alarm(ORPHAN_ALARM_S);
	begin_end(link, true, clock_monotonic_us(), "lifeline");
	shutdown_hurry(link->worker->shutdown, ORPHAN_DEADLINE_MS);
}

/* Nobody writes to the lifeline: readable means its end. */
static bool has_supervisor(void)
{
	char byte;

	return read(INHERIT_LIFELINE, &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_lifeline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	if (!has_supervisor())
		on_orphaned(arg);
}

/* ---- the heartbeat -------------------------------------------------------------------------------------------- */

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor_link *link = arg;
	struct scoreboard_slot *slot = link->worker->slot;
	int64_t now_us = clock_monotonic_us(), lag_us = now_us - link->beat_due_us;
	struct timeval next = { .tv_sec = link->beat_interval_us / 1000000,
		.tv_usec = link->beat_interval_us % 1000000 };

	(void)fd;
	(void)what;
	SCOREBOARD_SET(slot->heartbeat_us, now_us);
	SCOREBOARD_SET(slot->loop_lag_us, lag_us > 0 ? lag_us : 0);
	SCOREBOARD_SET(slot->log_dropped, log_dropped());
	SCOREBOARD_SET(slot->counters.log_dropped, log_dropped());
	process_measure(&slot->process, now_us);
	SCOREBOARD_SET(slot->counters.cpu_us, (uint64_t)SCOREBOARD_GET(slot->process.cpu_us));
	link->beat_due_us = now_us + link->beat_interval_us;
	(void)event_add(link->beat, &next);
}

static void start_beat(struct supervisor_link *link)
{
	int64_t interval_ms = link->worker->options.heartbeat_unhealthy_ms / 3;

	if (interval_ms > BEAT_MOST_MS)
		interval_ms = BEAT_MOST_MS;
	if (interval_ms < BEAT_LEAST_MS)
		interval_ms = BEAT_LEAST_MS;
	link->beat_interval_us = interval_ms * 1000;
	link->beat_due_us = clock_monotonic_us();
	on_beat(-1, 0, link);
}

/* ---- from the supervisor ------------------------------------------------------------------------------------- */

static void set_log_level(const struct worker *w)
{
	enum log_level level;

	if (log_parse_level(text_of(w->options.log_level), &level))
		log_set_level(level);
}

/* The LIVE options of the configuration that the supervisor serves now. */
static void take_options(struct supervisor_link *link, const struct message *m)
{
	struct worker *w = link->worker;
	struct options fresh;

	if (m->fd_count != 1 || options_load(&fresh, m->fds[0]) != ERROR_NONE) {
		LOG(LOG_ERROR, "new options cannot be read, the old ones stay");
		return;
	}
	if (options_take_live(&w->options, &fresh)) {
		set_log_level(w);
		set_alarm_time(w);
		start_beat(link);
		if (link->options_changed != NULL)
			link->options_changed(link->options_changed_arg);
		LOG(LOG_INFO, "options changed");
	}
	options_fini(&fresh);
}

/* Lines go to the new file from the next one on; so does what libraries say on standard error. */
static void take_log_file(const struct message *m)
{
	bool is_taken = m->fd_count == 1;

	/* While the old one is still open: what it does not take any more goes whole to the new one. */
	if (is_taken) {
		log_set_fd(m->fds[0]);
		is_taken = dup2(m->fds[0], STDERR_FILENO) >= 0;
		log_set_fd(STDERR_FILENO);
	}
	if (!is_taken)
		LOG(LOG_ERROR, "the new log file cannot be taken, the old one stays");
}

static void on_message(struct supervisor_link *link, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_DRAIN: begin_end(link, m->drain.is_stop != 0, m->drain.t0_us, "supervisor"); return;
	case MESSAGE_SLOT_DIED:
		if (link->slot_died != NULL)
			link->slot_died(link->slot_died_arg, (int)m->slot.slot, m->slot.epoch);
		return;
	case MESSAGE_LOG_LEVEL:
		if (m->level.level <= LOG_FATAL)
			log_set_level((enum log_level)m->level.level);
		return;
	case MESSAGE_LOG_FILE: take_log_file(m); return;
	case MESSAGE_OPTIONS: take_options(link, m); return;
	case MESSAGE_WORKER_READY:
	case MESSAGE_WORKER_DRAINING:
	case MESSAGE_WORKER_CLOSED:
	case MESSAGE_TURN_EVENTS:
	case MESSAGE_TURN_CANCEL:
	case MESSAGE_TURNS_RELEASED:
	case MESSAGE_CONNECTION:
	case MESSAGE_COUNT: break;
	}
	LOG(LOG_WARN, "unexpected message from the supervisor", F_INT("type", m->type));
}

static void on_messages(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor_link *link = arg;
	struct message m;

	(void)what;
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		enum error e = ipc_receive(fd, &m);

		if (e == ERROR_PROTOCOL)
			continue;
		if (e == ERROR_CLOSED)
			on_orphaned(link);
		if (e != ERROR_NONE)
			return;
		on_message(link, &m);
		for (int j = 0; j < m.fd_count; j++)
			close(m.fds[j]);
	}
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

enum error control_open(struct worker *w, struct supervisor_link **link_out)
{
	struct supervisor_link *link = must_alloc(sizeof *link);
	enum error e = ERROR_SYSTEM;

	link->worker = w;
	if (handle_signals(w) != ERROR_NONE)
		goto out;
	link->messages = event_new(w->base, INHERIT_CONTROL, EV_READ | EV_PERSIST, on_messages, link);
	link->lifeline = event_new(w->base, INHERIT_LIFELINE, EV_READ | EV_PERSIST, on_lifeline, link);
	link->signals = event_new(w->base, signal_pipe[0], EV_READ | EV_PERSIST, on_signal_byte, link);
	link->beat = evtimer_new(w->base, on_beat, link);
	if (link->messages == NULL || link->lifeline == NULL || link->signals == NULL || link->beat == NULL)
		goto out;
	if (event_add(link->messages, NULL) != 0 || event_add(link->lifeline, NULL) != 0 ||
		event_add(link->signals, NULL) != 0)
		goto out;
	/* It may have died between the fork and the prctl of our parent death signal. */
	e = ERROR_CLOSED;
	if (!has_supervisor())
		goto out;
	start_beat(link);
	*link_out = link;
	return ERROR_NONE;
out:
	control_close(&link);
	return e;
}

void control_on_slot_died(struct supervisor_link *link, void (*fn)(void *arg, int slot, uint64_t epoch), void *arg)
{
	link->slot_died = fn;
	link->slot_died_arg = arg;
}

void control_on_options(struct supervisor_link *link, void (*fn)(void *arg), void *arg)
{
	link->options_changed = fn;
	link->options_changed_arg = arg;
}

int control_exit_code(const struct supervisor_link *link)
{
	return link->is_orphan ? EXIT_STORM : EXIT_OK;
}

static void free_event(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

void control_close(struct supervisor_link **link)
{
	if (*link == NULL)
		return;
	free_event((*link)->messages);
	free_event((*link)->lifeline);
	free_event((*link)->signals);
	free_event((*link)->beat);
	free(*link);
	*link = NULL;
}
