/* manager.h: a stand-in for systemd in tests: reads what a service tells its manager (sd_notify(3)) and keeps the descriptors that it stores. */
#ifndef RENOVATIOND_TESTS_SUPPORT_MANAGER_H
#define RENOVATIOND_TESTS_SUPPORT_MANAGER_H

#include <stdbool.h>
#include <stddef.h>

#define MANAGER_STORED_MAX 8

struct manager {
	int fd;             /* its socket */
	char variable[200]; /* "NOTIFY_SOCKET=…" */
	char *said;         /* every message, each line with its end, in order; owned */
	size_t length;      /* of it */
	int stored_count;   /* descriptors kept */
	struct {
		char name[64];
		int fd; /* owned */
	} stored[MANAGER_STORED_MAX];
};

/* Its socket is a file of the test's folder, or a name without one. */
void manager_open(struct manager *m, bool is_abstract);
void manager_close(struct manager *m);
/* Takes all messages that are there. */
void manager_read(struct manager *m);
void manager_forget(struct manager *m); /* all that it keeps */
/* Waits for a message with these words that came after the first `from` bytes of `said`; where it ends. */
size_t manager_wait(struct manager *m, const char *words, size_t from, int timeout_ms);

#endif
