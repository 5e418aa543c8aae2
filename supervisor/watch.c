/* watch.c: looks at the heartbeat that each worker writes to its slot, says when one is late and ends it when it is very late, first with a core.
 * A clock of its own in the loop; main.c opens it. What follows a death is reap.c's part. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

#define INTERVAL_LEAST_MS 50
#define INTERVAL_MOST_MS  1000
#define OWN_GAP_MS        3000 /* we ourselves did not run: suspended, or the host stalled */
#define ABORT_GRACE_MS    2000
#define KILL_PAUSE_MS     5000 /* one at a time: perhaps it is the host */
#define CLOCK_SLACK_US    1000000

struct watch {
	struct event *timer;     /* owned */
	int64_t last_look_ms;    /* monotonic */
	int64_t last_kill_ms;    /* monotonic */
	int64_t running_from_us; /* monotonic: the end of our own last stall; 0 = none */
};

/* A heartbeat from the future is a corrupt slot: as late as can be. What stopped us stopped the workers, too, perhaps: their silence counts from its end. */
static int64_t age_ms(const struct supervisor *s, const struct slot *slot, int64_t now_us)
{
	int64_t beat_us = SCOREBOARD_GET(s->board->slots[slot->index].heartbeat_us);

	if (beat_us <= 0 || beat_us > now_us + CLOCK_SLACK_US)
		return INT64_MAX / 2;
	if (beat_us < s->watch->running_from_us)
		beat_us = s->watch->running_from_us;
	return (now_us - beat_us) / 1000;
}

/* First line of a file of /proc, for the log; "" when it cannot be read. */
static void read_proc(pid_t pid, const char *name, char *out, size_t room)
{
	char path[64];
	ssize_t length = -1;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, out, room - 1);
		close(fd);
	}
	out[length > 0 ? length : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* 'T' is what an operator's SIGSTOP looks like, 'D' a disk or an NFS server that hangs. */
static char process_state(pid_t pid)
{
	char stat[512];
	const char *end;

	read_proc(pid, "stat", stat, sizeof stat);
	end = strrchr(stat, ')');
	return end != NULL && end[1] == ' ' ? end[2] : '?';
}

static void tell_late(struct slot *slot, int64_t late_ms)
{
	char where[128], state[2] = { process_state(slot->pid), '\0' };

	if (slot->is_unhealthy)
		return;
	slot->is_unhealthy = true;
	read_proc(slot->pid, "wchan", where, sizeof where);
	LOG(LOG_WARN, "worker does not answer", F_INT("slot", slot->index), F_INT("worker_pid", slot->pid),
		F_INT("silent_ms", late_ms), F_STR("process_state", state), F_STR("wchan", where[0] ? where : NULL));
}

static void end_worker(struct watch *watch, struct slot *slot, enum death_cause cause, const char *why, int64_t late_ms)
{
	watch->last_kill_ms = clock_monotonic_ms();
	slot->killed_with = SIGABRT;
	slot->killed_for = cause;
	slot->killed_at_ms = watch->last_kill_ms;
	LOG(LOG_ERROR, "worker ended by us", F_STR("reason", why), F_INT("slot", slot->index),
		F_INT("worker_pid", slot->pid), F_INT("silent_ms", late_ms));
	(void)kill(slot->pid, SIGABRT);
}

static void look_at(struct supervisor *s, struct slot *slot, int64_t now_us, bool may_kill)
{
	int64_t now_ms = now_us / 1000, late_ms = age_ms(s, slot, now_us);

	if (slot->killed_with != 0) {
		/* A stopped process dies of nothing but this. */
		if (slot->killed_with == SIGABRT && now_ms - slot->killed_at_ms > ABORT_GRACE_MS) {
			slot->killed_with = SIGKILL;
			(void)kill(slot->pid, SIGKILL);
		}
		return;
	}
	if (!scoreboard_is_sane(s->board, slot->index, (int32_t)slot->pid, slot->epoch)) {
		end_worker(s->watch, slot, DEATH_HUNG, "its slot of the scoreboard is corrupt", 0);
		return;
	}
	if (!slot->is_ready && !slot->is_leaving) {
		/* Whoever started it for a change waits no longer either, and ends all of them. */
		if (!slot->is_new && now_ms - slot->started_at_ms > s->options->boot_timeout_ms)
			end_worker(s->watch, slot, DEATH_BOOT, "not ready within boot_timeout_ms",
				now_ms - slot->started_at_ms);
		return;
	}
	if (late_ms <= s->options->heartbeat_unhealthy_ms) {
		slot->is_unhealthy = false;
		return;
	}
	tell_late(slot, late_ms);
	if (late_ms > s->options->heartbeat_kill_ms && may_kill)
		end_worker(s->watch, slot, DEATH_HUNG, "no heartbeat for heartbeat_kill_ms", late_ms);
}

static bool are_all_late(const struct supervisor *s, int64_t now_us)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (s->slots[i].pid != 0 && age_ms(s, &s->slots[i], now_us) <= s->options->heartbeat_unhealthy_ms)
			return false;
	return true;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct watch *watch = s->watch;
	int64_t now_us = clock_monotonic_us(), now_ms = now_us / 1000;
	int64_t gap_ms = now_ms - watch->last_look_ms;

	(void)fd;
	(void)what;
	watch->last_look_ms = now_ms;
	if (gap_ms > OWN_GAP_MS) {
		watch->running_from_us = now_us;
		LOG(LOG_WARN, "the supervisor itself did not run, heartbeats not judged", F_INT("ms", gap_ms));
		return;
	}
	for (int i = 0; i < SLOTS_MAX; i++) {
		bool may_kill = now_ms - watch->last_kill_ms >= KILL_PAUSE_MS || watch->last_kill_ms == 0;

		if (s->slots[i].pid != 0)
			look_at(s, &s->slots[i], now_us, may_kill || are_all_late(s, now_us));
	}
}

static struct timeval interval_of(const struct supervisor *s)
{
	int64_t interval_ms = s->options->heartbeat_unhealthy_ms / 4;

	if (interval_ms > INTERVAL_MOST_MS)
		interval_ms = INTERVAL_MOST_MS;
	if (interval_ms < INTERVAL_LEAST_MS)
		interval_ms = INTERVAL_LEAST_MS;
	return (struct timeval) { .tv_sec = interval_ms / 1000, .tv_usec = interval_ms % 1000 * 1000 };
}

void watch_adjust(struct supervisor *s)
{
	struct timeval interval = interval_of(s);

	(void)event_add(s->watch->timer, &interval);
}

enum error watch_open(struct supervisor *s)
{
	struct watch *watch = must_alloc(sizeof *watch);
	struct timeval interval = interval_of(s);

	s->watch = watch;
	watch->last_look_ms = clock_monotonic_ms();
	watch->timer = event_new(s->base, -1, EV_PERSIST, on_look, s);
	if (watch->timer == NULL || event_add(watch->timer, &interval) != 0)
		return ERROR_SYSTEM;
	return ERROR_NONE;
}

void watch_close(struct supervisor *s)
{
	if (s->watch == NULL)
		return;
	if (s->watch->timer != NULL)
		event_free(s->watch->timer);
	free(s->watch);
	s->watch = NULL;
}
