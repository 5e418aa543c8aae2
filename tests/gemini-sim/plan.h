/* How one request is to be treated: rhythm, scripted content and faults, gathered from the command line, the rules of
 * /sim/faults and the markers in the question. */
#ifndef GEMINI_SIM_PLAN_H
#define GEMINI_SIM_PLAN_H

#include "tests/gemini-sim/json.h"
#include "tests/gemini-sim/models.h"
#include "tests/gemini-sim/refusal.h"

#define PLAN_CALLS_MAX 8

enum plan_before {           /* instead of any answer */
	BEFORE_NOTHING,      /* answer normally */
	BEFORE_HTML,         /* 502 with an HTML page */
	BEFORE_EMPTY,        /* 200 with an empty body */
	BEFORE_EMPTY_ERROR,  /* 500 with an empty body */
	BEFORE_CLOSE,        /* FIN without an answer */
	BEFORE_RESET,        /* RST without an answer */
	BEFORE_SILENCE,      /* no byte, for ever */
	BEFORE_HEADERS_ONLY, /* the head, then no byte, for ever */
	BEFORE_GARBAGE,      /* 200 with something that is not JSON */
};

enum plan_ending {         /* after `end_after` chunks */
	ENDING_NORMAL,     /* as the answer says */
	ENDING_FRAMED,     /* an event with an error */
	ENDING_RAW,        /* a bare error object after the events */
	ENDING_EOF,        /* the body ends properly, without a finishReason */
	ENDING_CUT,        /* FIN in the middle of the chunked body */
	ENDING_RESET,      /* RST */
	ENDING_SILENCE,    /* nothing more, for ever */
	ENDING_MALFORMED,  /* an event that is not JSON, then EOF */
	ENDING_HALF_EVENT, /* half of an event, then EOF */
	ENDING_FINISH,     /* a candidate with `finish_reason` and no content, as SAFETY in the middle of an answer */
};

enum plan_empty {             /* shapes of an empty STOP */
	EMPTY_NOT,            /* not empty */
	EMPTY_NO_PARTS,       /* content without parts */
	EMPTY_NO_CONTENT,     /* candidate without content */
	EMPTY_ONLY_SIGNATURE, /* only an empty text with a signature */
};

struct plan {
	int first_byte_ms;            /* before the first chunk */
	int chunk_ms;                 /* between chunks */
	int split_bytes;              /* largest TCP write; 0 = whole */
	int overlap;                  /* characters repeated at the seam of a continuation */
	int chunks;                   /* how many text chunks; 0 = as it comes */
	int words;                    /* length of the answer; 0 = as it comes */
	char *repeat;                 /* owned; the whole answer; NULL = as it comes */
	char *calls[PLAN_CALLS_MAX];  /* owned; `name {json}` to call in the first step */
	int call_count;               /* length of `calls` */
	bool stamp;                   /* each text begins with @@monotonic microseconds@@, for measuring latency */
	bool tools_forever;           /* call again after every result */
	struct refusal *refusal;      /* owned; answer with this error; NULL = none */
	enum plan_before before;      /* see above */
	enum plan_ending ending;      /* see above */
	int end_after;                /* chunks before `ending`; -1 = half of them */
	char *end_message;            /* owned; of ENDING_FRAMED and ENDING_RAW; NULL = overloaded */
	int end_code;                 /* of the same; 0 = 503 */
	enum plan_empty empty;        /* see above */
	char *finish_reason;          /* owned; instead of STOP; NULL = as it comes */
	char *finish_message;         /* owned; beside it */
	bool finish_drops_content;    /* the answer has no parts at all (MALFORMED_FUNCTION_CALL) */
	char *block_reason;           /* owned; the prompt is blocked; NULL = it is not */
	char *model_version;          /* owned; instead of the model's own */
	const char *delimiter;        /* ends each event; static */
	bool usage_missing_middle;    /* only the last chunk has usageMetadata */
	bool usage_absent;            /* no chunk has it */
	bool usage_uncounted;         /* usageMetadata without candidatesTokenCount */
	bool usage_changes;           /* promptTokenCount is one less at the end */
	bool finish_separate;         /* finishReason on a chunk of its own, without parts */
	bool after_finish;            /* one more chunk after it, with usage only */
	bool signature_on_empty_text; /* the last chunk is {"text":"","thoughtSignature":…} */
	bool index_missing;           /* candidates without index */
	bool comments;                /* SSE comments and unknown fields between events */
	bool fenced;                  /* JSON answers inside a Markdown fence */
	bool parallel_spread;         /* each call in a chunk of its own */
	bool parallel_calls;          /* at least two calls in one answer */
	bool identical_calls;         /* the same call twice */
	bool cut_json;                /* a JSON answer stops half-way with MAX_TOKENS */
	bool refuse_sampling;         /* 400 while temperature, topP or topK is sent */
	bool refuse_thinking;         /* 400 while thinkingConfig is sent */
	bool refuse_level;            /* 400 while thinkingLevel is sent */
	struct text faults;           /* owned; names of the faults that were applied, for the log */
};

/* Who asks, for messages that name the model or quote the key. */
struct plan_place {
	const struct model *model; /* may be NULL for an unknown model */
	const char *key;           /* the API key as sent; "" if none */
};

void plan_init(struct plan *plan);
void plan_fini(struct plan *plan);

#endif
