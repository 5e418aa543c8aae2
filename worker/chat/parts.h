/* parts.h: the JSON of the UI-message parts that a turn streams, in the common set of versions 6 (which refuses unknown members) and 7 of the `ai` package.
 * Called by turn.c, reader.c and shown.c. Pure: each function appends one JSON object to `out`; strings are escaped here, `json` arguments pass as bytes. */
#ifndef RENOVATIOND_WORKER_CHAT_PARTS_H
#define RENOVATIOND_WORKER_CHAT_PARTS_H

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/text.h"
#include "shared/uuid.h"

void part_start(struct buffer *out, const struct uuid *answer);
void part_start_step(struct buffer *out);
void part_finish_step(struct buffer *out);
void part_text_start(struct buffer *out, int id); /* text parts are called t1, t2, … within a turn */
void part_text_delta(struct buffer *out, int id, struct text delta);
void part_text_end(struct buffer *out, int id);
void part_tool_input_start(struct buffer *out, struct text call, struct text tool);
void part_tool_input(struct buffer *out, struct text call, struct text tool, struct text input_json);
void part_tool_output(struct buffer *out, struct text call, struct text output_json);
void part_tool_error(struct buffer *out, struct text call, struct text message);
void part_refusal(struct buffer *out, struct text reason);
/* data-error (code, message, retryAfter in seconds unless 0), for programs; part_error follows it, for people. */
void part_error_data(struct buffer *out, const char *code, const char *message, int retry_after_s);
void part_error(struct buffer *out, struct text message);
void part_abort(struct buffer *out);
/* `reason`: stop length content-filter tool-calls error other. Usage goes into messageMetadata. */
void part_finish(
	struct buffer *out, const char *reason, const struct uuid *turn, int64_t input_tokens, int64_t output_tokens);
/* Transient: neither numbered nor stored. */
void part_reconnect(struct buffer *out, int after_ms);
void part_rewind(struct buffer *out, uint64_t to);

/* Chunks: [u32 length, big endian][JSON] for each event. */
void chunk_append(struct buffer *chunk, struct text json);
/* Takes the next event off `rest`. False at the end, or when what is left is no event. */
bool chunk_take(struct text *rest, struct text *json_out);

/* The escape \u0000, which jsonb cannot hold, becomes \ufffd in place. */
void json_replace_nul(struct buffer *json);

#endif
