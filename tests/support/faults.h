/* faults.h: what the fault tests share: short and whole form, switches for faults inside our programs, the scoreboard seen from outside,
 * questions to the log and to /proc. */
#ifndef RENOVATIOND_TESTS_SUPPORT_FAULTS_H
#define RENOVATIOND_TESTS_SUPPORT_FAULTS_H

#include "shared/scoreboard.h"
#include "tests/support/server.h"
#include "tests/support/switches.h"

/* RENOVATIOND_FAULTS=all: ./dev test --faults. Otherwise the short form. */
bool faults_are_whole(void);
/* The programs under test carry a sanitizer: they are slow, and preload.c cannot come before its library. */
bool faults_in_sanitizer(void);

/* A fresh file of switches, everything off. The environment that makes a program obey it: two entries for server_start. */
struct switches *switches_open(void);
const char *switches_preload(void);
const char *switches_file(void);

/* Whole lines of a program's standard error with `part` in them. */
int log_count(const struct process *p, const char *part);
int log_count_both(const struct process *p, const char *part, const char *other); /* with both */
/* Waits until there are `count` of them. */
void log_wait_count(const struct process *p, const char *part, int count, int timeout_ms);
/* wait_until, with the end of the service's log in the failure. */
void server_wait(struct server *s, bool (*condition)(void *arg), void *arg, const char *what, int timeout_ms);

/* The pool's shared memory, mapped from a worker's descriptor. Unmap with board_close. */
struct scoreboard *board_open(struct server *s);
void board_close(struct scoreboard **board);
int board_slot(const struct scoreboard *board, pid_t worker); /* whose slot; fails the test when it has none */

/* The socket that listens on this port, according to /proc (its inode: another's later socket has another); 0 when nobody does. */
unsigned long port_listener(int port);

/* Waits until the pool has `count` living workers, none of them `old` (0: any), all ready. */
void workers_wait(struct server *s, pid_t old, int count, int timeout_ms);
/* Waits until none of these takes connections any more: it drains, or is gone. That others were put in their place is no sign of it. */
void workers_wait_leaving(struct server *s, const pid_t *workers, int count);
/* Waits until workers hold `count` connections of clients that are not idle: accepted, so that whatever follows finds them there. */
void connections_wait(struct server *s, uint32_t count, int timeout_ms);

/* CPU time of a process so far; 0 when it is gone. */
int64_t cpu_ms(pid_t pid);
/* Processes anywhere whose environment holds this NAME=VALUE; returns the count. */
int processes_marked(const char *mark, pid_t *pids, int max);
/* A program for option worker_program: runs `shell` first, with the worker's arguments in "$@", then the real worker unless that exits. */
const char *worker_script(const char *shell);
/* A path in the test's folder; static until the next call but seven of format. */
const char *test_path(const char *name);

/* A listening UNIX datagram socket in place of the service manager's. Words that came, joined by newlines, since the last call; free it. */
int notify_listen(const char *path);
char *notify_read(int fd);

/* A stream socket at a path; -1 when nobody takes it. Waits 30 s at most for anything. */
int unix_connect(const char *path);
#define UNIX_ANSWER_BYTES 8192
/* Sends it all, closes that half, reads to the end or to the room. False when the peer neither answered nor closed. */
bool unix_converse(const char *path, const void *bytes, size_t length, char answer[UNIX_ANSWER_BYTES]);

#endif
