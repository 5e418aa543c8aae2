/* must.c: the end of a process whose assumptions broke, and allocation that cannot fail for its caller.
 * Called from everywhere; does not log through log.c, whose state may be what is broken. */
#include "config.h"
#include "shared/must.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Noreturn void must_failed(const char *expression, const char *file, int line)
{
	char message[512];
	int length = snprintf(message, sizeof message,
		"{\"level\":\"fatal\",\"msg\":\"assumption "
		"broken\",\"pid\":%d,\"at\":\"%s:%d\",\"expression\":\"%s\"}\n",
		(int)getpid(), file, line, expression);

	if (length > 0)
		(void)!write(
			STDERR_FILENO, message, (size_t)length < sizeof message ? (size_t)length : sizeof message - 1);
	abort();
}

void *must_alloc(size_t bytes)
{
	void *block = calloc(1, bytes ? bytes : 1);

	must(block != NULL);
	return block;
}

void *must_realloc(void *block, size_t bytes)
{
	void *grown = realloc(block, bytes ? bytes : 1);

	must(grown != NULL);
	return grown;
}

char *must_strndup(const char *string, size_t length)
{
	char *copy = must_alloc(length + 1);

	memcpy(copy, string, length);
	return copy;
}

char *must_strdup(const char *string)
{
	return must_strndup(string, strlen(string));
}
