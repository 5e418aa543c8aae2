/* state.h: what one program hands to the next over the exec of an upgrade: descriptors, the table of workers, what the pool remembers. Written as text lines
 * into a sealed memfd and read back strictly, because the reader is another version than the writer: unknown names are passed over, missing ones
 * keep their default, everything known is checked. Pure apart from store and load; handover.c fills it from a supervisor and back. */
#ifndef RENOVATIOND_SUPERVISOR_STATE_H
#define RENOVATIOND_SUPERVISOR_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/inherit.h"

#define STATE_LAYOUT     1 /* grows when a reader of the old layout would go wrong, not with each new name */
#define STATE_TEXT_BYTES PATH_MAX
#define STATE_ENDS_MAX   128
#define STATE_DEATHS_MAX 256
#define STATE_BYTES_MAX  (256 * 1024)

enum state_purpose {
	STATE_UPGRADE,  /* read by the new program: replace the workers */
	STATE_ROLL_BACK /* read by the old program: go on as before */
};

/* Descriptors: name, whether it must be there. 3 or more, each only once. */
#define STATE_FDS(X)                                                                                                   \
	X(listener, true)                                                                                              \
	X(admin_listener, false)                                                                                       \
	X(control_listener, false)                                                                                     \
	X(log, true)                                                                                                   \
	X(options, true) /* values that the workers have */                                                            \
	X(scoreboard, true)                                                                                            \
	X(rings, true)                                                                                                 \
	X(null, true)                                                                                                  \
	X(lifeline_read, true)                                                                                         \
	X(lifeline_write, true)                                                                                        \
	X(pidfile, false)                                                                                              \
	X(program, false)        /* O_PATH: the supervisor that wrote this, for the way back */                        \
	X(worker_program, false) /* O_PATH: the workers' program that goes with it */

/* Numbers: name, least, most. */
#define STATE_NUMBERS(X)                                                                                               \
	X(purpose, 0, STATE_ROLL_BACK)                                                                                 \
	X(pid, 1, INT32_MAX) /* of writer and reader */                                                                \
	X(generation, 1, UINT32_MAX)                                                                                   \
	X(last_epoch, 0, INT64_MAX)                                                                                    \
	X(wanted, 1, SLOTS_MAX)                                                                                        \
	X(quorum, 1, SLOTS_MAX)                                                                                        \
	X(size_by_hand, 0, SLOTS_MAX)                                                                                  \
	X(was_ready, 0, 1)                                                                                             \
	X(is_listener_adopted, 0, 1)                                                                                   \
	X(started_at_us, 0, INT64_MAX) /* wall */                                                                      \
	X(begun_at_ms, 0, INT64_MAX)   /* monotonic: when the upgrade was asked for */                                 \
	X(fork_fails, 0, INT32_MAX)                                                                                    \
	X(fork_fails_since_ms, 0, INT64_MAX)                                                                           \
	X(fatal_in_row, 0, INT32_MAX)                                                                                  \
	X(last_code, 0, 255)                                                                                           \
	X(last_spawn_ms, 0, INT64_MAX)                                                                                 \
	X(none_ready_since_ms, 0, INT64_MAX)

/* Texts of at most STATE_TEXT_BYTES - 1. */
#define STATE_TEXTS(X)                                                                                                 \
	X(version)      /* of the writer */                                                                            \
	X(who)          /* asked for the upgrade */                                                                    \
	X(reason)       /* ROLL_BACK: what went wrong */                                                               \
	X(program_path) /* where the next program is looked for */                                                     \
	X(worker_path)  /* of the workers' program */                                                                  \
	X(pidfile_path)                                                                                                \
	X(control_path)                                                                                                \
	X(admin_path)                                                                                                  \
	X(admin_url)

/* Of one worker: name, least, most. */
#define STATE_SLOT_NUMBERS(X)                                                                                          \
	X(pid, 0, INT32_MAX) /* 0 = nobody */                                                                          \
	X(epoch, 0, INT64_MAX)                                                                                         \
	X(generation, 0, UINT32_MAX)                                                                                   \
	X(control, -1, INT32_MAX) /* descriptor */                                                                     \
	X(is_wanted, 0, 1)                                                                                             \
	X(is_ready, 0, 1)                                                                                              \
	X(is_leaving, 0, 1)                                                                                            \
	X(is_draining, 0, 1)                                                                                           \
	X(is_unhealthy, 0, 1)                                                                                          \
	X(is_hurried, 0, 1)                                                                                            \
	X(leave_until_ms, 0, INT64_MAX)                                                                                \
	X(killed_for, 0, 64)                                                                                           \
	X(killed_with, 0, 64)                                                                                          \
	X(killed_at_ms, 0, INT64_MAX)                                                                                  \
	X(started_at_ms, 0, INT64_MAX)                                                                                 \
	X(ready_at_ms, 0, INT64_MAX)                                                                                   \
	X(closed_reports, 0, UINT32_MAX)                                                                               \
	X(in_row, 0, INT32_MAX)

struct state_fds {
#define X(name, is_needed) int64_t name; /* -1 = none */
	STATE_FDS(X)
#undef X
};

struct state_slot {
#define X(name, least, most) int64_t name; /* as in struct slot */
	STATE_SLOT_NUMBERS(X)
#undef X
};

struct state_death {
	int64_t slot, epoch; /* of a dead worker whose turns nobody was told of */
};

struct state {
	struct state_fds fds;
#define X(name, least, most) int64_t name;
	STATE_NUMBERS(X)
#undef X
#define X(name) char name[STATE_TEXT_BYTES];
	STATE_TEXTS(X)
#undef X
	int64_t inbox[SLOTS_MAX];                    /* descriptors */
	int64_t mesh[SLOTS_MAX];                     /* descriptors */
	int64_t ends_ms[STATE_ENDS_MAX];             /* memory of storms; 0 = empty */
	struct state_death deaths[STATE_DEATHS_MAX]; /* epoch 0 = empty */
	struct state_slot slots[SLOTS_MAX];
};

void state_init(struct state *s); /* no descriptor, no worker */

/* Pure: to lines and back. Errors: ERROR_PROTOCOL; then *where_out (static) is the name of what was wrong. */
void state_write(const struct state *s, struct buffer *out);
MUST_CHECK enum error state_read(struct text lines, struct state *s_out, const char **where_out);

/* Into a sealed memfd (close-on-exec). Errors: ERROR_SYSTEM. */
MUST_CHECK enum error state_store(const struct state *s, int *fd_out);
/* Is the descriptor a memfd of ours, with all seals? Whoever set our environment could have named anything. */
bool state_is_ours(int fd);
MUST_CHECK enum error state_load(int fd, struct state *s_out, const char **where_out);

#define STATE_DESCRIPTORS_MAX (16 + 3 * SLOTS_MAX)
/* Every descriptor that the state names; the count. */
int state_descriptors(const struct state *s, int fds_out[STATE_DESCRIPTORS_MAX]);

/* The layouts that must be understood on both sides of the exec: "state=1,scoreboard=2,messages=1,rings=1". */
void state_write_layouts(struct buffer *out);
/* Does this program understand those? Otherwise why_out says which not. */
bool state_knows_layouts(struct text layouts, char *why_out, size_t room);

#endif
