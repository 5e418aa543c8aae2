/* holder.h: which process listens on a TCP port, as far as /proc shows it. */
#ifndef RENOVATIOND_SUPERVISOR_HOLDER_H
#define RENOVATIOND_SUPERVISOR_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* False when nobody is seen (another user's process needs root, another network namespace is never seen). */
bool holder_find(uint16_t port, pid_t *pid_out, char *program, size_t room);

#endif
