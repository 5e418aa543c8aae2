/* switches.h: the file by which a test tells preload.c, inside our programs, what shall fail and when. Mapped by all of them. */
#ifndef RENOVATIOND_TESTS_SUPPORT_SWITCHES_H
#define RENOVATIOND_TESTS_SUPPORT_SWITCHES_H

#include <stdatomic.h>

struct switches {
	atomic_int busy_pid;        /* this process's loop spins instead of waiting; 0 = none */
	atomic_int is_busy;         /* it does */
	atomic_int fork_failures;   /* so many forks fail from now on */
	atomic_int forks_failed;    /* so many did */
	atomic_int bind_error;      /* errno of each bind to an address of the network; 0 = none */
	atomic_int disk_is_limited; /* 1: regular files take only `disk_room` more bytes */
	atomic_llong disk_room;     /* bytes, of all processes together */
	atomic_llong wall_offset_s; /* added to the wall clock */
};

#endif
