/* process.h: real programs started by tests: output gathered in files, ended with the test. Everything waits for a condition with a deadline and
 * fails the test with the program's output when it does not come. */
#ifndef RENOVATIOND_TESTS_SUPPORT_PROCESS_H
#define RENOVATIOND_TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
	pid_t pid;          /* 0 once it was reaped */
	int exit_status;    /* as waitpid gave it, valid once reaped */
	char out_path[256]; /* file with its standard output */
	char err_path[256]; /* file with its standard error */
};

/* A folder of this test process's own under TMPDIR (default /tmp), reachable by every user, removed at exit. */
const char *test_folder(void);
/* Path of one of our programs: $RENOVATIOND_PROGRAMS (default: the folder above that of the running test) + name. Static until the next call but seven. */
const char *program_path(const char *name);

/* Starts argv[0] (NULL-terminated). `environment` holds NAME=VALUE additions (NAME= sets empty, a bare NAME removes), NULL-terminated. The child dies with the test. */
struct process *process_start(const char *const argv[], const char *const environment[]);
/* The same with descriptors, as a service manager passes them: from 3 on, with LISTEN_FDS, LISTEN_PID and, unless NULL, LISTEN_FDNAMES. */
struct process *process_start_passing(
	const char *const argv[], const char *const environment[], const int fds[], int count, const char *names);
/* The whole of its standard output or error so far, NUL-terminated; free it. */
char *process_output(const struct process *p);
char *process_errors(const struct process *p);
/* First line of standard output or error that contains `part`; fails the test after `timeout_ms` or when the process ends without it. Free it. */
char *process_wait_output(struct process *p, const char *part, int timeout_ms);
char *process_wait_error(struct process *p, const char *part, int timeout_ms);
bool process_is_running(struct process *p);
/* Waits for its end and returns the exit code, 128 + signal when it was killed; fails the test after `timeout_ms`. */
int process_wait(struct process *p, int timeout_ms);
void process_signal(struct process *p, int signal);
/* Kills if need be, reaps, frees. Accepts NULL. */
void process_end(struct process **p);
/* Runs to its end and returns the exit code; output and errors (either may be NULL) are for the caller to free. */
int process_run(const char *const argv[], const char *const environment[], char **out, char **err, int timeout_ms);

/* Process ids of the direct children of `parent` whose program is called `name`; returns the count. */
int process_children(pid_t parent, const char *name, pid_t *pids, int max);
bool pid_is_alive(pid_t pid); /* zombies count as dead */
bool pids_are_gone(const pid_t *pids, int count);
/* SIGSTOP or SIGCONT, and waits until it is so: from then on the process does nothing at all, or goes on. */
void pid_freeze(pid_t pid);
void pid_thaw(pid_t pid);

/* Waits until `condition(arg)` holds; fails the test with `what` after `timeout_ms`. Looks every few milliseconds. */
void wait_until(bool (*condition)(void *arg), void *arg, const char *what, int timeout_ms);
int64_t now_ms(void);
void pause_ms(int ms); /* only inside polling loops */

/* A TCP port of 127.0.0.1 that was free a moment ago. No other test gets it while this one runs. */
int free_port(void);
/* One that no other program gets while the descriptor is open: bound, but not listened on, so that a service that reuses addresses can come and go. */
int reserve_port(int *port_out);

#endif
