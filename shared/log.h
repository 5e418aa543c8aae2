/* log.h: one JSON object per line: ts, level, msg, service, pid, worker, then the call's own fields; or, when the descriptor is systemd's journal, one entry
 * with the same fields (journal.h). Used by all programs. Lines are gathered per loop turn and written at once; a write never blocks: what a full pipe,
 * journal or disk does not take waits in a bounded ring, then is dropped and counted. Secrets and message text never go in. */
#ifndef RENOVATIOND_SHARED_LOG_H
#define RENOVATIOND_SHARED_LOG_H

#include "shared/log_field.h"
#include "shared/must.h"
#include "shared/text.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };

/* LOG(LOG_INFO, "worker started", F_INT("slot", slot), F_STR("role", role)); the message is a fixed lower-case phrase. */
#define LOG(level, message, ...)                                                                                       \
	do {                                                                                                           \
		if (log_enabled(level)) {                                                                              \
			const struct log_field fields_[] = { __VA_ARGS__ __VA_OPT__(, ) { .name = NULL } };            \
			log_write((level), (message), fields_);                                                        \
		}                                                                                                      \
	} while (0)

/* `service` is the program's name, `worker` its slot or -1; both appear in each line. fd is borrowed (normally 2). */
void log_open(const char *service, int worker, enum log_level level, int fd);
void log_set_level(enum log_level level);
/* After a reopen: what the old one does not take now goes whole to the new one. The old one must still be open. */
void log_set_fd(int fd);
bool log_enabled(enum log_level level);
bool log_parse_level(struct text name, enum log_level *level_out); /* debug info warn error fatal */

/* `fields` ends with a row whose name is NULL. Prefer LOG(). */
void log_write(enum log_level level, const char *message, const struct log_field fields[]);

/* Writes out what was gathered; called once per loop turn, before a blocking wait and at exit. Warnings and worse are written at once. */
void log_flush(void);
uint64_t log_dropped(void); /* lines lost since log_open because nobody took them */
void log_close(void);       /* flushes and frees */

#endif
