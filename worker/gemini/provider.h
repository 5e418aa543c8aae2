/* provider.h: one streamed call of a model, whoever makes it. chat/ builds the request from its own history and gets events; wire formats stay
 * behind this header (gemini.c; others later). Ignorant of conversations, owners and tools' meaning. One attempt per call:
 * retries, fall-back and breaker belong to the caller (chat/model.c), who knows what was already shown. */
#ifndef RENOVATIOND_WORKER_GEMINI_PROVIDER_H
#define RENOVATIOND_WORKER_GEMINI_PROVIDER_H

#include <event2/event.h>

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/must.h"
#include "shared/options.h"
#include "shared/text.h"

enum model_role { MODEL_ROLE_CHAT, MODEL_ROLE_VISION, MODEL_ROLE_STRUCTURED, MODEL_ROLE_STREAMING, MODEL_ROLE_COUNT };

/* One row of configuration: <role>_models, _temperature, _thinking, _output_tokens. */
struct role_config {
	const char *name;      /* "streaming" */
	const char *models[8]; /* in order of preference; owned by the provider */
	int model_count;
	const char *temperature; /* decimal text, "" = the model's own */
	const char *thinking;    /* minimal low medium high off, or a token budget */
	int64_t output_tokens;
};

enum message_role { MESSAGE_ROLE_USER, MESSAGE_ROLE_MODEL };

/* A content of the history, oldest first. `parts` is provider-shaped JSON (an array of parts): verbatim what the model sent (with its
 * signatures and ids), or what provider_text_part and friends wrote for the user side. */
struct model_content {
	enum message_role role;
	struct text parts; /* JSON array, borrowed until provider_start returns */
	struct text
		model; /* model that made them (MODEL), TEXT_NONE for user content: decides about foreign signatures and ids */
	bool is_current; /* belongs to the current turn (everything after the last user text): signatures are checked there */
	bool is_unsigned; /* a model has refused its signatures, or missed them: the documented placeholder goes instead */
};

struct model_tool {
	const char *name;
	const char *description;
	const char *parameters; /* JSON Schema of an object; NULL = no arguments */
};

struct model_request {
	enum model_role role;
	const char *model;                    /* one of the role's, chosen by the caller */
	struct text system;                   /* instruction */
	const struct model_content *contents; /* borrowed until provider_start returns, as everything here */
	size_t content_count;
	const struct model_tool *tools; /* none: tool_count 0 */
	size_t tool_count;
	bool no_tool_calls;       /* tools are declared for the history's sake, mode NONE */
	struct text schema;       /* structured role: JSON Schema of the answer, else TEXT_NONE */
	const char *trace_parent; /* W3C traceparent to send on, or NULL */
};

enum model_finish { MODEL_FINISH_STOP, MODEL_FINISH_TOOL_CALLS, MODEL_FINISH_LENGTH, MODEL_FINISH_FILTERED };

/* Classes of failure, from ai.google.dev/gemini-api/docs/troubleshooting. */
enum model_failure {
	MODEL_OK,
	MODEL_AUTH,
	MODEL_BAD_REQUEST,
	MODEL_GONE,
	MODEL_RATE_LIMITED,
	MODEL_QUOTA_DAY,
	MODEL_OVERLOADED,
	MODEL_DOWN /* unavailable */,
	MODEL_SLOW /* timeout */,
	MODEL_EMPTY,
	MODEL_BROKEN /* protocol */,
	MODEL_MALFORMED_CALL,
	MODEL_OTHER
};

#define MODEL_RETRIES_MANY 100 /* as many attempts more as the caller has */

struct model_usage {
	int64_t input_tokens;  /* prompt, cached included */
	int64_t output_tokens; /* candidates + thoughts: what is billed */
	bool is_estimated;     /* the stream ended before the last count */
};

enum model_event_type {
	MODEL_EVENT_START,
	MODEL_EVENT_TEXT,
	MODEL_EVENT_CALL, /* for showing; to be run only once FINISH says TOOL_CALLS: the answer may still turn out malformed */
	MODEL_EVENT_USAGE,
	MODEL_EVENT_FINISH,
	MODEL_EVENT_FAILURE
};

/* Longest name of a called function in bytes; Google allows as many characters. A model can write anything: what is longer is cut, and is nobody's name. */
#define MODEL_CALL_NAME_MAX 64

/* Borrowed during the callback. Order: START, any of TEXT CALL USAGE, then exactly one FINISH or FAILURE, last. */
struct model_event {
	enum model_event_type type;
	struct text text;          /* TEXT: a delta, valid UTF-8, whole code points. NUL has become U+FFFD */
	struct text model_version; /* START: the model that answers */
	struct text response_id;   /* START */
	struct text call_id;       /* CALL: the provider's id, TEXT_NONE when it sends none */
	struct text call_name; /* CALL: at most MODEL_CALL_NAME_MAX bytes, "" when it has none; the same in `parts` */
	struct text call_arguments; /* CALL: a JSON object */
	struct model_usage usage;   /* USAGE (last wins), FINISH, FAILURE */
	enum model_finish finish;   /* FINISH */
	struct text filter_reason;  /* FINISH with FILTERED: SAFETY, PROHIBITED_CONTENT, or the prompt's block reason */
	bool is_prompt_blocked;     /* FINISH with FILTERED before any text */
	struct text
		parts; /* FINISH, and FAILURE after text: JSON array of the model's parts, verbatim, to be stored and sent back */
	enum model_failure failure;  /* FAILURE */
	int retries;                 /* FAILURE: how many attempts more may help; 0 = none */
	bool is_signature_refused;   /* FAILURE: the next attempt must be made with these contents as is_unsigned */
	int64_t retry_after_ms;      /* FAILURE: what the provider asked for, 0 = nothing */
	int http_status;             /* FAILURE: 0 when there was no answer */
	struct text provider_status; /* FAILURE: e.g. RESOURCE_EXHAUSTED; for the log */
	struct text provider_reason; /* FAILURE: e.g. API_KEY_INVALID or the quota id, redacted; for the log */
	int64_t first_byte_ms;       /* FINISH, FAILURE: from start to the first event; -1 none */
	int64_t total_ms;            /* FINISH, FAILURE */
};

typedef void(model_event_fn)(void *arg, const struct model_event *event);

struct provider;   /* one per worker: curl multi, connections, learned facts about models */
struct model_call; /* one attempt in flight */

MUST_CHECK enum error provider_open(
	struct event_base *base, const struct options *options, struct provider **provider_out);
const struct role_config *provider_role(const struct provider *p, enum model_role role);
/* Is this base URL the local simulator's (its answers carry `Server: gemini-sim`, learned by a probe at open), for the page's banner? */
bool provider_is_simulator(const struct provider *p);

/* Starts one attempt. Events come later, never inside this call, in order; after FINISH or FAILURE the handle is dead. */
struct model_call *provider_start(
	struct provider *p, const struct model_request *request, model_event_fn *on_event, void *arg);
/* Back-pressure: no TEXT events until resumed; the socket is not read. */
void provider_pause(struct model_call *call);
void provider_resume(struct model_call *call);
/* No more events; the connection is closed (or the HTTP/2 stream reset) at once. Sets the handle to NULL. */
void provider_cancel(struct model_call **call);
size_t provider_active(const struct provider *p);
void provider_close(struct provider **provider); /* cancels what is left, silently */

/* User-side parts, appended to an array under construction in `out` (without the brackets; commas are added). */
void provider_text_part(struct buffer *out, struct text text);
void provider_image_part(struct buffer *out, const char *mime, struct text bytes); /* base64 is made here */
/* The answer to a call: `result` is a JSON object; `id` TEXT_NONE when the call had none. */
void provider_result_part(struct buffer *out, struct text id, struct text name, struct text result);

/* Model facts. */
bool provider_model_is_strict(const char *model); /* 3.x and later: signatures are demanded */

/* The Gemini part of the preflight, blocking: key, model, latency. Adds one row. */
struct report;
void provider_probe(const struct options *options, struct report *report);

#endif
