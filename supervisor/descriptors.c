/* descriptors.c: makes what every worker inherits: options, scoreboard, rings, lifeline and the mesh, all close-on-exec here and above the agreed
 * numbers, so that spawn.c can put them there without treading on one. Opened once by main.c, before the first worker. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"

#define FIRST_FREE      128 /* above INHERIT_MESH + SLOTS_MAX */
#define LIMIT_WANTED    65536
#define RINGS_PAGE      4096 /* before the rings: their header */
#define RING_AREA(rows) (RINGS_PAGE + (off_t)(rows)*RING_BYTES)

_Static_assert(INHERIT_MESH + SLOTS_MAX <= FIRST_FREE, "agreed numbers lie below the supervisor's own");

int descriptor_lift(int fd)
{
	int lifted = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);

	if (fd >= 0)
		close(fd);
	return lifted;
}

enum error descriptors_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return ERROR_SYSTEM;

	rlim_t wanted = limit.rlim_max < LIMIT_WANTED ? limit.rlim_max : LIMIT_WANTED;

	if (limit.rlim_cur >= wanted)
		return ERROR_NONE;
	limit.rlim_cur = wanted;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

static enum error open_rings(struct supervisor *s)
{
	int fd = descriptor_lift(memfd_create("renovationd-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	if (fd < 0)
		return ERROR_SYSTEM;
	s->rings_fd = fd;
	/* Sparse: a page costs memory only once a turn has written to it. */
	if (ftruncate(fd, RING_AREA(s->options->chat_live_turns)) != 0)
		return ERROR_SYSTEM;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

static enum error open_mesh(struct supervisor *s)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
			return ERROR_SYSTEM;
		s->inbox[i] = descriptor_lift(pair[0]);
		s->mesh[i] = descriptor_lift(pair[1]);
		if (s->inbox[i] < 0 || s->mesh[i] < 0)
			return ERROR_SYSTEM;
	}
	return ERROR_NONE;
}

static enum error open_lifeline(struct supervisor *s)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) != 0)
		return ERROR_SYSTEM;
	s->lifeline_read = descriptor_lift(pair[0]);
	s->lifeline_write = descriptor_lift(pair[1]);
	return s->lifeline_read < 0 || s->lifeline_write < 0 ? ERROR_SYSTEM : ERROR_NONE;
}

enum error descriptors_open(struct supervisor *s)
{
	int fd;

	if (options_store(s->options, &fd) != ERROR_NONE || (s->options_fd = descriptor_lift(fd)) < 0)
		return ERROR_SYSTEM;
	if (scoreboard_create(&fd, &s->board) != ERROR_NONE || (s->scoreboard_fd = descriptor_lift(fd)) < 0)
		return ERROR_SYSTEM;
	s->null_fd = descriptor_lift(open("/dev/null", O_RDONLY | O_CLOEXEC));
	s->log_fd = descriptor_lift(dup(s->log_fd));
	if (s->null_fd < 0 || s->log_fd < 0)
		return ERROR_SYSTEM;
	log_set_fd(s->log_fd);
	if (open_rings(s) != ERROR_NONE || open_lifeline(s) != ERROR_NONE)
		return ERROR_SYSTEM;
	return open_mesh(s);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void descriptors_close(struct supervisor *s)
{
	scoreboard_unmap(&s->board);
	close_one(&s->options_fd);
	close_one(&s->scoreboard_fd);
	close_one(&s->rings_fd);
	close_one(&s->null_fd);
	close_one(&s->lifeline_read);
	close_one(&s->lifeline_write);
	for (int i = 0; i < SLOTS_MAX; i++) {
		close_one(&s->inbox[i]);
		close_one(&s->mesh[i]);
	}
}
