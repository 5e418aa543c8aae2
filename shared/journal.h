/* journal.h: entries for systemd's journal in its native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), written by ourselves so that workers do not
 * link libsystemd. Used by log.c alone when standard error is the journal; keeps no line: frames lie in log.c's buffer until they are sent. */
#ifndef RENOVATIOND_SHARED_JOURNAL_H
#define RENOVATIOND_SHARED_JOURNAL_H

#include <sys/stat.h>

#include "shared/log_field.h"

/* Is `status` that of the stream that systemd made for us, and does the journal take datagrams? `variable` is $JOURNAL_STREAM (systemd.exec(5)), NULL: no. */
bool journal_is_stream(const char *variable, const struct stat *status);

/* What all entries of the process begin with: SYSLOG_IDENTIFIER and, from 0 on, WORKER. */
void journal_set_identity(const char *identifier, int worker);

/* Adds one entry: MESSAGE (the phrase, then the fields as name=value, so that journalctl shows them), PRIORITY (syslog's numbers), REQUEST_ID, TRACE_ID, EVENT
 * and every other field in capitals behind RENOVATIOND_. */
void journal_append(struct buffer *frames, int priority, const char *message, const struct log_field fields[]);

enum journal_result {
	JOURNAL_SENT, /* all of it */
	JOURNAL_FULL, /* journald is behind: try again soon */
	JOURNAL_GONE  /* nobody takes datagrams: try again later */
};
/* Sends in order what can be sent without waiting. *lost is raised by each entry that can never be sent. */
enum journal_result journal_send(struct buffer *frames, uint64_t *lost);

void journal_close(void);
/* Another socket than systemd's: for tests. The text is borrowed. */
void journal_set_path(const char *path);

#endif
