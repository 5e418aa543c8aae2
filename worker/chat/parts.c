/* parts.c: writes UI-message parts and packs them into chunks. Called for each delta, so there is no JSON tree: constant text and one escape.
 * Deliberately knows no member that version 6.0 of the `ai` package would refuse. */
#include "config.h"
#include "worker/chat/parts.h"

#include <arpa/inet.h>

#include "shared/json.h"

#define APPEND(out, literal) buffer_append((out), (literal), sizeof(literal) - 1)

static void append_uuid(struct buffer *out, const struct uuid *id)
{
	char text[UUID_TEXT_BYTES];

	uuid_format(id, text);
	buffer_append(out, text, UUID_TEXT_BYTES - 1);
}

static void append_number(struct buffer *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	buffer_append(out, digits + at, sizeof digits - at);
}

void part_start(struct buffer *out, const struct uuid *answer)
{
	APPEND(out, "{\"type\":\"start\",\"messageId\":\"");
	append_uuid(out, answer);
	APPEND(out, "\"}");
}

void part_start_step(struct buffer *out)
{
	APPEND(out, "{\"type\":\"start-step\"}");
}

void part_finish_step(struct buffer *out)
{
	APPEND(out, "{\"type\":\"finish-step\"}");
}

void part_text_start(struct buffer *out, int id)
{
	APPEND(out, "{\"type\":\"text-start\",\"id\":\"t");
	append_number(out, (uint64_t)id);
	APPEND(out, "\"}");
}

void part_text_delta(struct buffer *out, int id, struct text delta)
{
	APPEND(out, "{\"type\":\"text-delta\",\"id\":\"t");
	append_number(out, (uint64_t)id);
	APPEND(out, "\",\"delta\":");
	json_write_string(out, delta);
	APPEND(out, "}");
}

void part_text_end(struct buffer *out, int id)
{
	APPEND(out, "{\"type\":\"text-end\",\"id\":\"t");
	append_number(out, (uint64_t)id);
	APPEND(out, "\"}");
}

static void append_call(struct buffer *out, struct text call)
{
	APPEND(out, ",\"toolCallId\":");
	json_write_string(out, call);
}

void part_tool_input_start(struct buffer *out, struct text call, struct text tool)
{
	APPEND(out, "{\"type\":\"tool-input-start\"");
	append_call(out, call);
	APPEND(out, ",\"toolName\":");
	json_write_string(out, tool);
	APPEND(out, "}");
}

void part_tool_input(struct buffer *out, struct text call, struct text tool, struct text input_json)
{
	APPEND(out, "{\"type\":\"tool-input-available\"");
	append_call(out, call);
	APPEND(out, ",\"toolName\":");
	json_write_string(out, tool);
	APPEND(out, ",\"input\":");
	buffer_append_text(out, input_json);
	APPEND(out, "}");
}

void part_tool_output(struct buffer *out, struct text call, struct text output_json)
{
	APPEND(out, "{\"type\":\"tool-output-available\"");
	append_call(out, call);
	APPEND(out, ",\"output\":");
	buffer_append_text(out, output_json);
	APPEND(out, "}");
}

void part_tool_error(struct buffer *out, struct text call, struct text message)
{
	APPEND(out, "{\"type\":\"tool-output-error\"");
	append_call(out, call);
	APPEND(out, ",\"errorText\":");
	json_write_string(out, message);
	APPEND(out, "}");
}

void part_refusal(struct buffer *out, struct text reason)
{
	APPEND(out, "{\"type\":\"data-refusal\",\"data\":{\"reason\":");
	json_write_string(out, reason);
	APPEND(out, "}}");
}

void part_error_data(struct buffer *out, const char *code, const char *message, int retry_after_s)
{
	APPEND(out, "{\"type\":\"data-error\",\"data\":{\"code\":");
	json_write_string(out, text_of(code));
	APPEND(out, ",\"message\":");
	json_write_string(out, text_of(message));
	if (retry_after_s > 0)
		buffer_printf(out, ",\"retryAfter\":%d", retry_after_s);
	APPEND(out, "}}");
}

void part_error(struct buffer *out, struct text message)
{
	APPEND(out, "{\"type\":\"error\",\"errorText\":");
	json_write_string(out, message);
	APPEND(out, "}");
}

void part_abort(struct buffer *out)
{
	APPEND(out, "{\"type\":\"abort\"}");
}

void part_finish(
	struct buffer *out, const char *reason, const struct uuid *turn, int64_t input_tokens, int64_t output_tokens)
{
	buffer_printf(out, "{\"type\":\"finish\",\"finishReason\":\"%s\",\"messageMetadata\":{\"turnId\":\"", reason);
	append_uuid(out, turn);
	buffer_printf(out, "\",\"usage\":{\"inputTokens\":%lld,\"outputTokens\":%lld}}}", (long long)input_tokens,
		(long long)output_tokens);
}

void part_reconnect(struct buffer *out, int after_ms)
{
	buffer_printf(out, "{\"type\":\"data-reconnect\",\"data\":{\"afterMs\":%d},\"transient\":true}", after_ms);
}

void part_rewind(struct buffer *out, uint64_t to)
{
	buffer_printf(
		out, "{\"type\":\"data-rewind\",\"data\":{\"to\":%llu},\"transient\":true}", (unsigned long long)to);
}

void chunk_append(struct buffer *chunk, struct text json)
{
	uint32_t length = htonl((uint32_t)json.length);

	buffer_append(chunk, &length, sizeof length);
	buffer_append_text(chunk, json);
}

bool chunk_take(struct text *rest, struct text *json_out)
{
	uint32_t length;

	if (rest->length < sizeof length)
		return false;
	memcpy(&length, rest->bytes, sizeof length);
	length = ntohl(length);
	if (length > rest->length - sizeof length)
		return false;
	*json_out = text_span(rest->bytes + sizeof length, length);
	*rest = text_span(json_out->bytes + length, rest->length - sizeof length - length);
	return true;
}

void json_replace_nul(struct buffer *json)
{
	char *bytes = json->bytes != NULL ? json->bytes + json->start : NULL;
	size_t length = buffer_length(json);

	for (size_t i = 0; i + 1 < length; i++) {
		if (bytes[i] != '\\')
			continue;
		if (i + 5 < length && memcmp(bytes + i, "\\u0000", 6) == 0)
			memcpy(bytes + i, "\\ufffd", 6);
		i++; /* whatever was escaped is not the beginning of an escape */
	}
}
