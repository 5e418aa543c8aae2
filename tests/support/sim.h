/* sim.h: a gemini-sim of one's own for a test, and answers of it in a form that is easy to look at. */
#ifndef RENOVATIOND_TESTS_SUPPORT_SIM_H
#define RENOVATIOND_TESTS_SUPPORT_SIM_H

#include <json-c/json.h>

#include "tests/support/http.h"
#include "tests/support/process.h"

#define SIM_KEY "AIzaSySimulatorTestKey0123456789abcdefg"

struct sim {
	struct process *process;
	int port;
};

/* Starts it with these further options (NULL-terminated, or NULL) and no delay between chunks; waits until it listens. */
struct sim *sim_start(const char *const options[]);
/* TERM; fails the test unless it ends with 0. Frees. */
void sim_end(struct sim **s);

/* One request with the key above. `headers` are more lines with CRLF, or NULL. Free with reply_free. */
struct reply sim_request(struct sim *s, const char *method, const char *path, const char *headers, const char *body);
/* POST to a model's method, e.g. "generateContent" or "streamGenerateContent?alt=sse". */
struct reply sim_post(struct sim *s, const char *model, const char *method, const char *body);
/* Everything that comes on a fresh connection, with the head, byte for byte, until the server closes it ("Connection: close" is sent) or
 * resets it; *was_reset_out (may be NULL) says which. Free it. */
char *sim_raw(struct sim *s, const char *path, const char *body, bool *was_reset_out);

/* A streamed answer, taken apart. */
struct sim_answer {
	int status;
	int events;                /* parsed ones */
	int texts;                 /* events with a text */
	struct json_object *list;  /* of the events; owned */
	struct json_object *calls; /* functionCall objects in order; owned */
	char *text;                /* all texts joined; owned */
	char finish[40];           /* last finishReason; "" if none came */
	char error[40];            /* status of an error event; "" if none */
	char *rest;                /* what was no event; owned */
};
/* Events end in `delimiter` (NULL: CRLF CRLF). */
struct sim_answer sim_stream(struct sim *s, const char *model, const char *body, const char *delimiter);
void sim_answer_free(struct sim_answer *a);

/* {"contents":[{"role":"user","parts":[{"text":…}]}]} with `more` (", …" or "") behind contents; static until the next call but seven. */
const char *sim_question(const char *text, const char *more);
/* Sets one rule: POST /sim/faults. */
void sim_fault(struct sim *s, const char *rules);
/* Waits until so many answers are under way. */
void sim_wait_open(struct sim *s, int64_t count);
/* Number at a member of /sim/stats. */
int64_t sim_stat(struct sim *s, const char *name);

#endif
