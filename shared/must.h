/* must.h: broken assumptions end the process with file and line; the supervisor starts another worker.
 * Used everywhere. Expected failures (a client's input, a lost connection) are `enum error`, never must(). */
#ifndef RENOVATIOND_SHARED_MUST_H
#define RENOVATIOND_SHARED_MUST_H

#include <stdlib.h>

#define MUST_CHECK     __attribute__((warn_unused_result))
#define PRINTF(f, a)   __attribute__((format(printf, f, a)))
#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* Writes "assumption broken: …" to stderr and aborts (a core shows where). */
_Noreturn void must_failed(const char *expression, const char *file, int line);

/* Stays on in production. */
#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))

/* Allocation that cannot fail for the caller: out of memory ends the worker. `must_free` takes the pointer's address
 * and sets it to NULL. */
void *must_alloc(size_t bytes); /* zeroed */
void *must_realloc(void *block, size_t bytes);
char *must_strdup(const char *string);
char *must_strndup(const char *string, size_t length);

#endif
