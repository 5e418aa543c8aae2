/* load.h: many clients at once on one loop, for what must not fail while processes come and go: keep-alive reads, writes whose rows are counted, answers
 * followed over lost connections, idle connections that are used now and then. Nothing is tried twice: what does not succeed counts as failed. */
#ifndef RENOVATIOND_TESTS_SUPPORT_LOAD_H
#define RENOVATIOND_TESTS_SUPPORT_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct load;

struct load_plan {
	int port;             /* on 127.0.0.1 */
	int readers;          /* GET one session again and again */
	int writers;          /* POST a task, a session, a task … with titles "load …" */
	int streams;          /* ask and follow the answer to its end, then ask again */
	int idlers;           /* GET once per idle_ms */
	int pause_ms;         /* of readers and writers between answer and request */
	int idle_ms;          /* of idlers */
	const char *question; /* of streams; borrowed */
};

struct load_report {
	long requests;        /* answered as they should be */
	long failed;          /* not */
	char failures[2000];  /* the first ones, a line each */
	long tasks, sessions; /* acknowledged writes */
	long answers;         /* streams followed to their [DONE] */
	long asking;          /* streams under way */
	long reconnects;      /* streams that were told to come back and did */
	long unasked_ends;    /* connections that the server closed while nothing was asked */
	long p50_us, p99_us;  /* of readers' and writers' requests since the last load_mark */
	long gap_us;          /* longest time without any of them answered since then */
	long measured;        /* how many they were */
};

/* Begins; runs only inside the following calls. */
struct load *load_start(const struct load_plan *plan);
void load_run(struct load *l, int ms);
/* Until the condition holds; false after `timeout_ms`. It is asked every few milliseconds. */
bool load_run_until(struct load *l, bool (*condition)(void *arg), void *arg, int timeout_ms);
/* Asks nothing new and runs until everything asked is answered; false after `timeout_ms`. */
bool load_finish(struct load *l, int timeout_ms);
/* Forgets latencies and gaps. */
void load_mark(struct load *l);
struct load_report load_report(struct load *l);

/* What was followed to its end: its text as it was streamed. */
struct load_answer {
	char turn[40]; /* id */
	char *text;    /* owned by the load */
	long events;   /* numbered ones, 1 to this */
};
const struct load_answer *load_answers(const struct load *l, long *count_out);
void load_end(struct load **l);

#endif
