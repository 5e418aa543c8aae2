/* status_words.c: the enums of the scoreboard in words, for status.c, logs and answers of the control socket. Numbers that are none of them are "unknown". */
#include "config.h"
#include "shared/status.h"

static const char *word(const char *const words[], size_t count, uint32_t index)
{
	return index < count ? words[index] : "unknown";
}

const char *status_pool_state(uint32_t state)
{
	static const char *const words[] = { "starting", "running", "degraded", "reloading", "upgrading", "drained",
		"stopping" };

	_Static_assert(COUNT_OF(words) == POOL_STOPPING + 1, "a word for each state");
	return word(words, COUNT_OF(words), state);
}

const char *status_worker_state(uint32_t state)
{
	static const char *const words[] = { "none", "boot", "ready", "draining", "closing", "exited" };

	_Static_assert(COUNT_OF(words) == WORKER_EXITED + 1, "a word for each state");
	return word(words, COUNT_OF(words), state);
}

const char *status_death_cause(uint32_t cause)
{
	static const char *const words[] = { "exit", "signal", "oom", "killed", "hung", "boot" };

	_Static_assert(COUNT_OF(words) == DEATH_CAUSES, "a word for each cause");
	return word(words, COUNT_OF(words), cause);
}

const char *status_reload_result(uint32_t result)
{
	static const char *const words[] = { "none", "live", "replaced", "rejected", "failed" };

	_Static_assert(COUNT_OF(words) == RELOAD_RESULTS, "a word for each result");
	return word(words, COUNT_OF(words), result);
}
