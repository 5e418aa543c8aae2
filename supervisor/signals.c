/* signals.c: signals as calls from the loop; before the loop runs, as a descriptor that preflight and bind wait on.
 * Opened by main.c. Handlers do nothing themselves: libevent's only write to a socket; SIGALRM, the hard end of a stop, exits. */
#include "config.h"
#include "supervisor/rollover.h"
#include "supervisor/upgrade.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

static const int handled[] = { SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU,
	SIGWINCH };

struct signals {
	struct event *events[COUNT_OF(handled)]; /* one per signal, owned */
};

static int stop_fd = -1; /* signalfd for TERM, INT and QUIT until the loop runs */

/* SIGALRM comes when a stop has used all of its time: the loop may be what hangs, so nothing but the exit happens here. */
static void on_alarm(int signal)
{
	static const char message[] = "{\"level\":\"fatal\",\"msg\":\"the stop took too long, leaving at "
				      "once\",\"service\":\"renovationd\"}\n";

	(void)signal;
	(void)!write(STDERR_FILENO, message, sizeof message - 1);
	_exit(EXIT_STORM);
}

void signals_block(void)
{
	struct sigaction action = { .sa_handler = SIG_IGN };
	sigset_t all, stops;

	(void)sigaction(SIGPIPE, &action, NULL);
	action.sa_handler = on_alarm;
	(void)sigaction(SIGALRM, &action, NULL);
	sigemptyset(&all);
	for (size_t i = 0; i < COUNT_OF(handled); i++)
		sigaddset(&all, handled[i]);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGQUIT);
	stop_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
	must(stop_fd >= 0);
}

enum signals_wait signals_wait(int fd, int timeout_ms)
{
	int64_t end_ms = clock_monotonic_ms() + timeout_ms;
	struct pollfd waits[2] = { { .fd = stop_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	log_flush();
	for (;;) {
		int64_t left_ms = end_ms - clock_monotonic_ms();
		int count = poll(waits, 2, left_ms > 0 ? (int)left_ms : 0);

		if (count < 0 && errno == EINTR)
			continue;
		if (waits[0].revents & POLLIN)
			return SIGNALS_STOP;
		return count > 0 ? SIGNALS_READABLE : SIGNALS_TIMEOUT;
	}
}

/* Whoever sends a signal hears nothing: the log says what became of it. */
static void change(struct supervisor *s, int signal)
{
	const char *why = "";
	char who[16];
	bool is_begun = false;

	(void)snprintf(who, sizeof who, "SIG%s", sigabbrev_np(signal));
	switch (signal) {
	case SIGHUP: is_begun = rollover_reload(s, who, NULL, NULL, &why); break;
	case SIGUSR1: is_begun = rollover_reopen_logs(s, who, &why); break;
	case SIGUSR2: is_begun = upgrade_begin(s, who, NULL, NULL, &why); break;
	case SIGTTIN:
		is_begun = rollover_is_drained(s) ? rollover_resume(s, who, NULL, NULL, &why)
						  : rollover_scale(s, s->wanted + 1, who, &why);
		break;
	case SIGTTOU: is_begun = rollover_scale(s, s->wanted - 1, who, &why); break;
	case SIGWINCH:
		/* In a terminal it only means that the window has another size. */
		is_begun = isatty(STDIN_FILENO) || rollover_drain(s, who, NULL, NULL, &why);
		break;
	default: break;
	}
	if (!is_begun)
		LOG(LOG_WARN, "signal ignored", F_STR("signal", who), F_STR("reason", why));
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)what;
	switch (signal) {
	case SIGTERM:
	case SIGINT:
	case SIGQUIT: shutdown_begin(s, (int)signal); break;
	case SIGCHLD: reap_all(s); break;
	default: change(s, (int)signal); break;
	}
}

enum error signals_open(struct supervisor *s)
{
	sigset_t all;

	s->signals = must_alloc(sizeof *s->signals);
	sigemptyset(&all);
	for (size_t i = 0; i < COUNT_OF(handled); i++) {
		struct event *event = evsignal_new(s->base, handled[i], on_signal, s);

		if (event == NULL || evsignal_add(event, NULL) != 0)
			return ERROR_SYSTEM;
		s->signals->events[i] = event;
		sigaddset(&all, handled[i]);
	}
	close(stop_fd);
	stop_fd = -1;
	/* What came meanwhile is delivered now, to the loop. */
	return sigprocmask(SIG_UNBLOCK, &all, NULL) == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

void signals_hold(bool is_held)
{
	sigset_t all;

	sigemptyset(&all);
	for (size_t i = 0; i < COUNT_OF(handled); i++)
		sigaddset(&all, handled[i]);
	(void)sigprocmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
}

void signals_close(struct supervisor *s)
{
	if (s->signals == NULL)
		return;
	for (size_t i = 0; i < COUNT_OF(handled); i++)
		if (s->signals->events[i] != NULL)
			event_free(s->signals->events[i]);
	free(s->signals);
	s->signals = NULL;
}
