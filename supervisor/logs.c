/* logs.c: USR1 and `renovationctl logs`: opens the log file anew, hands it to all workers, keeps the old one when that fails; the level by hand.
 * Called by signals.c and control.c. Who rotates the files is logrotate. */
#include "config.h"
#include "supervisor/change.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shared/log.h"

static int tell_all(struct supervisor *s, const struct message *m)
{
	int told = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		if (s->slots[i].pid == 0)
			continue;
		if (channel_send(&s->slots[i], m))
			told++;
		else
			LOG(LOG_WARN, "a worker cannot be told about its log", F_INT("slot", i),
				F_INT("worker_pid", s->slots[i].pid));
	}
	return told;
}

bool rollover_reopen_logs(struct supervisor *s, const char *who, const char **why_out)
{
	const char *path = s->options->log_file;
	struct message m = { .type = MESSAGE_LOG_FILE, .fd_count = 1 };
	int fd;

	if (path[0] == '\0') {
		*why_out = "there is no log file: lines go to standard error";
		return false;
	}
	/* Nothing waits for a reader, should there be a pipe in its place. */
	fd = descriptor_lift(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
	if (fd < 0) {
		*why_out = strerror(errno);
		LOG(LOG_ERROR, "cannot open the log file again, writing to the old one", F_STR("who", who),
			F_STR("path", path), F_STR("error", *why_out));
		return false;
	}
	log_set_fd(fd);
	close(s->log_fd);
	s->log_fd = fd;
	m.fds[0] = fd;
	LOG(LOG_INFO, "log file reopened", F_STR("who", who), F_STR("path", path), F_INT("workers", tell_all(s, &m)));
	return true;
}

void rollover_log_level(struct supervisor *s, int level, const char *who)
{
	struct message m = { .type = MESSAGE_LOG_LEVEL, .level = { .level = (uint32_t)level } };

	if (s->rollover == NULL || level < LOG_DEBUG || level > LOG_FATAL)
		return;
	s->rollover->log_level = level;
	log_set_level((enum log_level)level);
	LOG(LOG_WARN, "log level set by hand", F_STR("who", who), F_INT("level", level),
		F_INT("workers", tell_all(s, &m)));
}

void logs_worker_ready(struct supervisor *s, const struct slot *slot)
{
	struct message m = { .type = MESSAGE_LOG_LEVEL };
	const struct rollover *r = s->rollover;
	/* Until a reload: its workers have the level of their configuration, and serve only when it is accepted. */
	bool is_of_reload = slot->is_new && r->step == STEP_STARTING && r->now.kind == CHANGE_RELOAD;

	if (r->log_level < 0 || is_of_reload)
		return;
	m.level.level = (uint32_t)r->log_level;
	(void)channel_send(slot, &m);
}
