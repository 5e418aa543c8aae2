/* proposal.c: a configuration that was read and is not yet served with: compared with the running one, packed for workers, taken over or thrown away.
 * Called by reload.c and, once its workers are ready, by waves.c. */
#include "config.h"
#include "supervisor/change.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/program.h"

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void proposal_init(struct proposal *p)
{
	memset(p, 0, sizeof *p);
	p->listener = p->options_fd = p->program_fd = -1;
	buffer_init(&p->faults);
}

void proposal_fini(struct proposal *p)
{
	if (p->is_set)
		configuration_fini(&p->config);
	close_one(&p->listener);
	close_one(&p->options_fd);
	close_one(&p->program_fd);
	buffer_fini(&p->faults);
	proposal_init(p);
}

/* Options that only the service manager can change while it owns the socket. */
static void pin(const struct supervisor *s, struct options_diff *diff)
{
	if (!s->is_listener_adopted)
		return;
	options_diff_pin(diff, OPTION_host);
	options_diff_pin(diff, OPTION_port);
}

enum error proposal_compare(struct supervisor *s, struct proposal *p)
{
	int fd;

	options_diff(s->options, &p->config.options, &p->diff);
	pin(s, &p->diff);
	options_diff_keep(&p->diff, s->options, &p->config.options);
	p->is_compared = true;
	if (options_store(&p->config.options, &fd) != ERROR_NONE || (p->options_fd = descriptor_lift(fd)) < 0)
		return ERROR_SYSTEM;
	(void)program_find(p->config.options.worker_program, "renovationd-worker", p->program, sizeof p->program);
	p->program_fd = descriptor_lift(open(p->program, O_PATH | O_CLOEXEC));
	if (p->program_fd < 0 && s->worker_program_fd >= 0 && strcmp(p->program, s->worker_program) == 0)
		p->program_fd = descriptor_lift(dup(s->worker_program_fd));
	return ERROR_NONE;
}

bool proposal_is_live(const struct proposal *p)
{
	return options_diff_has(&p->diff, OPTION_CLASS_LIVE) && !options_diff_has(&p->diff, OPTION_CLASS_WORKERS);
}

static void move_fd(int *to, int *from)
{
	close_one(to);
	*to = *from;
	*from = -1;
}

void proposal_adopt(struct supervisor *s, struct proposal *p)
{
	struct configuration *c = s->config;
	enum log_level level;

	/* A longer queue needs no other socket. */
	if (p->listener < 0 && s->listener >= 0 && p->config.options.listen_backlog != c->options.listen_backlog)
		(void)listen(s->listener, (int)p->config.options.listen_backlog);
	options_diff_hand_over(&p->diff, &c->options, &p->config.options);
	options_fini(&c->options);
	c->options = p->config.options;
	memcpy(c->origins, p->config.origins, sizeof c->origins);
	free(c->faults);
	c->faults = p->config.faults;
	c->count = p->config.count;
	c->capacity = p->config.capacity;
	p->is_set = false;
	move_fd(&s->options_fd, &p->options_fd);
	if (p->program_fd >= 0) {
		move_fd(&s->worker_program_fd, &p->program_fd);
		(void)snprintf(s->worker_program, sizeof s->worker_program, "%s", p->program);
	}
	if (p->listener >= 0) {
		listeners_replace(s, p->listener);
		p->listener = -1;
	}
	if (p->gemini != SCOREBOARD_GEMINI_UNKNOWN)
		SCOREBOARD_SET(s->board->gemini_state, p->gemini);
	s->rollover->log_level = -1;
	if (log_parse_level(text_of(c->options.log_level), &level))
		log_set_level(level);
	watch_adjust(s);
}

void proposal_tell_workers(struct supervisor *s)
{
	struct message m = { .type = MESSAGE_OPTIONS, .fds = { s->options_fd }, .fd_count = 1 };

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->pid != 0 && !channel_send(slot, &m))
			LOG(LOG_WARN, "a worker cannot be told the live options", F_INT("slot", slot->index),
				F_INT("worker_pid", slot->pid));
	}
}
