/* breaker.h: one circuit breaker per model in the scoreboard, shared by all workers, and the pool's budget of retries.
 * Called by model.c. Lock-free: a lost race costs one attempt more or less, never a stuck breaker. Times are monotonic milliseconds. */
#ifndef RENOVATIOND_WORKER_CHAT_BREAKER_H
#define RENOVATIOND_WORKER_CHAT_BREAKER_H

#include "shared/scoreboard.h"

enum breaker_reason { BREAKER_FAILURES, BREAKER_QUOTA, BREAKER_CREDENTIALS, BREAKER_GONE };

enum breaker_answer {
	BREAKER_CLOSED, /* go on */
	BREAKER_PROBE,  /* it was open; this one attempt may try */
	BREAKER_OPEN    /* do not try */
};

/* NULL when the table is full: such a model has no breaker. */
struct scoreboard_breaker *breaker_find(struct scoreboard *board, const char *model);
/* Only looks; does not take the probe. *retry_in_ms_out: how long until a probe may go, 0 when not open. */
bool breaker_is_open(const struct scoreboard_breaker *b, int64_t now_ms, int64_t *retry_in_ms_out);
/* Before an attempt. BREAKER_PROBE obliges to call one of the three below. */
enum breaker_answer breaker_enter(struct scoreboard_breaker *b, int64_t now_ms);
void breaker_success(struct scoreboard_breaker *b, int64_t now_ms);
/* Counts: connect, timeout, 5xx, protocol. */
void breaker_failure(struct scoreboard_breaker *b, int64_t now_ms);
/* Neither good nor bad (429 and other 4xx, cancelled). */
void breaker_neutral(struct scoreboard_breaker *b);
/* Opens it at once, for a known reason and time. */
void breaker_open(struct scoreboard_breaker *b, enum breaker_reason reason, int64_t for_ms, int64_t now_ms);

/* 10 % of the model calls, with a floor of 10 per 10 s for the pool. */
void retry_budget_earn(struct scoreboard *board);
bool retry_budget_spend(struct scoreboard *board, int64_t now_ms);

#endif
