/* breaker.c: the rules of API "Breaker" over plain atomics. Called by model.c before and after each attempt.
 * Deliberately has no timers: everything follows from the time of the call. */
#include "config.h"
#include "worker/chat/breaker.h"

#include <string.h>

#define FAILURES_IN_A_ROW 5
#define WINDOW_MS         30000
#define WINDOW_ATTEMPTS   20
#define OPEN_FIRST_MS     15000
#define OPEN_MOST_MS      120000
#define PROBE_LOST_S      90 /* a probe whose worker died is given up after this */
#define BUDGET_MOST_MILLI 10000
#define RETRY_MILLI       1000
#define EARNED_MILLI      100
#define REFILL_PER_S      1000

static uint64_t breaker_hash(const char *model)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *model != '\0'; model++)
		hash = (hash ^ (uint8_t)*model) * UINT64_C(1099511628211);
	return hash != 0 ? hash : 1;
}

struct scoreboard_breaker *breaker_find(struct scoreboard *board, const char *model)
{
	uint64_t hash = breaker_hash(model);

	for (int i = 0; i < BREAKERS_MAX; i++) {
		struct scoreboard_breaker *b = &board->breakers[i];
		uint64_t found = atomic_load(&b->name_hash);

		if (found == 0 && atomic_compare_exchange_strong(&b->name_hash, &found, hash)) {
			size_t length = strlen(model);

			memcpy(b->model, model, length < sizeof b->model - 1 ? length : sizeof b->model - 1);
			return b;
		}
		if (found == hash)
			return b;
	}
	return NULL;
}

static uint32_t probe_stamp(int64_t now_ms)
{
	return (uint32_t)(now_ms / 1000) + 1;
}

static bool probe_is_out(const struct scoreboard_breaker *b, int64_t now_ms)
{
	uint32_t since = atomic_load(&b->probing);

	return since != 0 && probe_stamp(now_ms) - since < PROBE_LOST_S;
}

bool breaker_is_open(const struct scoreboard_breaker *b, int64_t now_ms, int64_t *retry_in_ms_out)
{
	int64_t until = b == NULL ? 0 : atomic_load(&b->open_until_ms);

	*retry_in_ms_out = 0;
	if (until == 0)
		return false;
	if (now_ms < until)
		*retry_in_ms_out = until - now_ms;
	else if (probe_is_out(b, now_ms))
		*retry_in_ms_out = 1000;
	else
		return false;
	return true;
}

enum breaker_answer breaker_enter(struct scoreboard_breaker *b, int64_t now_ms)
{
	if (b == NULL || atomic_load(&b->open_until_ms) == 0)
		return BREAKER_CLOSED;
	if (now_ms < atomic_load(&b->open_until_ms) || probe_is_out(b, now_ms))
		return BREAKER_OPEN;

	uint32_t before = atomic_load(&b->probing);

	return atomic_compare_exchange_strong(&b->probing, &before, probe_stamp(now_ms)) ? BREAKER_PROBE : BREAKER_OPEN;
}

/* Counts one attempt in the window; a window that is over begins anew. Returns whether half of enough have failed. */
static bool breaker_count(struct scoreboard_breaker *b, bool has_failed, int64_t now_ms)
{
	int64_t start = atomic_load(&b->window_start_ms);

	if (now_ms - start > WINDOW_MS && atomic_compare_exchange_strong(&b->window_start_ms, &start, now_ms)) {
		atomic_store(&b->window_attempts, 0);
		atomic_store(&b->window_failures, 0);
	}

	uint32_t attempts = atomic_fetch_add(&b->window_attempts, 1) + 1;
	uint32_t failures =
		has_failed ? atomic_fetch_add(&b->window_failures, 1) + 1 : atomic_load(&b->window_failures);

	return has_failed && attempts >= WINDOW_ATTEMPTS && failures * 2 >= attempts;
}

void breaker_success(struct scoreboard_breaker *b, int64_t now_ms)
{
	if (b == NULL)
		return;
	atomic_store(&b->failures, 0);
	(void)breaker_count(b, false, now_ms);
	if (atomic_load(&b->open_until_ms) != 0) {
		atomic_store(&b->open_for_ms, 0);
		atomic_store(&b->window_attempts, 0);
		atomic_store(&b->window_failures, 0);
		atomic_store(&b->open_until_ms, 0);
	}
	atomic_store(&b->probing, 0);
}

static void breaker_trip(struct scoreboard_breaker *b, int64_t now_ms)
{
	int64_t last = atomic_load(&b->open_for_ms);
	int64_t next = last == 0 ? OPEN_FIRST_MS : last * 2 > OPEN_MOST_MS ? OPEN_MOST_MS : last * 2;

	if (atomic_load(&b->open_until_ms) > now_ms)
		return; /* attempts that began before it opened change nothing */
	atomic_store(&b->reason, BREAKER_FAILURES);
	atomic_store(&b->open_for_ms, next);
	atomic_store(&b->open_until_ms, now_ms + next);
	atomic_store(&b->probing, 0);
}

void breaker_failure(struct scoreboard_breaker *b, int64_t now_ms)
{
	if (b == NULL)
		return;

	bool is_half = breaker_count(b, true, now_ms);
	uint32_t in_a_row = atomic_fetch_add(&b->failures, 1) + 1;

	if (atomic_load(&b->open_until_ms) != 0 || in_a_row >= FAILURES_IN_A_ROW || is_half)
		breaker_trip(b, now_ms);
}

void breaker_neutral(struct scoreboard_breaker *b)
{
	if (b != NULL)
		atomic_store(&b->probing, 0);
}

void breaker_open(struct scoreboard_breaker *b, enum breaker_reason reason, int64_t for_ms, int64_t now_ms)
{
	if (b == NULL)
		return;
	atomic_store(&b->reason, (uint32_t)reason);
	atomic_store(&b->open_until_ms, now_ms + for_ms);
	atomic_store(&b->probing, 0);
}

void retry_budget_earn(struct scoreboard *board)
{
	uint64_t before = atomic_load(&board->retry_tokens_milli);

	while (before < BUDGET_MOST_MILLI &&
		!atomic_compare_exchange_weak(&board->retry_tokens_milli, &before, before + EARNED_MILLI))
		;
}

static void retry_budget_refill(struct scoreboard *board, int64_t now_ms)
{
	int64_t last = atomic_load(&board->retry_refilled_ms);
	uint64_t milli = last == 0 || now_ms - last > 10000 ? BUDGET_MOST_MILLI
							    : (uint64_t)(now_ms - last) * REFILL_PER_S / 1000;

	if (milli == 0 || !atomic_compare_exchange_strong(&board->retry_refilled_ms, &last, now_ms))
		return;

	uint64_t before = atomic_load(&board->retry_tokens_milli), after;

	do
		after = before + milli > BUDGET_MOST_MILLI ? BUDGET_MOST_MILLI : before + milli;
	while (!atomic_compare_exchange_weak(&board->retry_tokens_milli, &before, after));
}

bool retry_budget_spend(struct scoreboard *board, int64_t now_ms)
{
	retry_budget_refill(board, now_ms);

	uint64_t before = atomic_load(&board->retry_tokens_milli);

	do {
		if (before < RETRY_MILLI)
			return false;
	} while (!atomic_compare_exchange_weak(&board->retry_tokens_milli, &before, before - RETRY_MILLI));
	return true;
}
