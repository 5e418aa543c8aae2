/* chunk.c: one pass over the usual chunk's bytes, no tree, no copy unless the text has escapes. Called by gemini.c for each event.
 * It accepts a part of what json-c accepts, with the same meaning, and gives up at the first surprise: an unknown member outside
 * usageMetadata and safetyRatings, a member named twice, a second part, a signature, a number that is no small integer, a surrogate. */
#include "config.h"
#include "worker/gemini/chunk.h"

#define SKIP_DEPTH_MAX 8
#define DIGITS_MAX     15 /* fits int64 and a double alike */

struct cursor {
	const char *at;         /* next byte */
	const char *end;        /* one past the last */
	struct buffer *scratch; /* decoded text */
	struct chunk *chunk;    /* being filled */
};

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
		c->at++;
}

/* `byte`, with space around it. */
static bool take(struct cursor *c, char byte)
{
	skip_space(c);
	if (c->at == c->end || *c->at != byte)
		return false;
	c->at++;
	skip_space(c);
	return true;
}

/* A string without escapes, spaces after it skipped. */
static bool take_plain_string(struct cursor *c, struct text *string_out)
{
	if (c->at == c->end || *c->at != '"')
		return false;

	const char *start = ++c->at;

	while (c->at < c->end && *c->at != '"' && *c->at != '\\' && (unsigned char)*c->at >= 0x20)
		c->at++;
	if (c->at == c->end || *c->at != '"')
		return false;
	*string_out = text_span(start, (size_t)(c->at - start));
	c->at++;
	skip_space(c);
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX. NUL and surrogates are json-c's business. */
static bool decode_unicode(struct cursor *c)
{
	unsigned unit = 0;
	char out[3];

	if (c->end - c->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int value = hex_value(*c->at++);

		if (value < 0)
			return false;
		unit = unit << 4 | (unsigned)value;
	}
	if (unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF))
		return false;
	if (unit < 0x80) {
		buffer_append_char(c->scratch, (char)unit);
		return true;
	}

	size_t length = unit < 0x800 ? 2 : 3;

	out[0] = (char)(length == 2 ? 0xC0 | unit >> 6 : 0xE0 | unit >> 12);
	out[1] = (char)(length == 2 ? 0x80 | (unit & 63) : 0x80 | (unit >> 6 & 63));
	out[2] = (char)(0x80 | (unit & 63));
	buffer_append(c->scratch, out, length);
	return true;
}

static bool decode_escape(struct cursor *c)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

	if (++c->at == c->end)
		return false;

	char name = *c->at++;
	const char *known = name != '\0' ? strchr(names, name) : NULL;

	if (name == 'u')
		return decode_unicode(c);
	if (known == NULL)
		return false;
	buffer_append_char(c->scratch, values[known - names]);
	return true;
}

/* The bytes up to the next quote or backslash; `high` collects their bits, so that ASCII needs no check for UTF-8. */
static bool run_string(struct cursor *c, unsigned char *high)
{
	while (c->at < c->end && *c->at != '"' && *c->at != '\\') {
		unsigned char byte = (unsigned char)*c->at;

		if (byte < 0x20)
			return false;
		*high |= byte;
		c->at++;
	}
	return c->at < c->end;
}

static bool take_text(struct cursor *c, struct text *text_out)
{
	unsigned char high = 0;

	if (c->at == c->end || *c->at != '"')
		return false;

	const char *start = ++c->at;

	if (!run_string(c, &high))
		return false;
	*text_out = text_span(start, (size_t)(c->at - start));
	if (*c->at == '\\') {
		buffer_clear(c->scratch);
		while (*c->at == '\\') {
			buffer_append(c->scratch, start, (size_t)(c->at - start));
			if (!decode_escape(c))
				return false;
			start = c->at;
			if (!run_string(c, &high))
				return false;
		}
		buffer_append(c->scratch, start, (size_t)(c->at - start));
		*text_out = buffer_text(c->scratch);
	}
	c->at++;
	skip_space(c);
	return high < 0x80 || text_is_utf8(*text_out);
}

/* A member's name and its colon. */
static bool take_name(struct cursor *c, struct text *name_out)
{
	return take_plain_string(c, name_out) && take(c, ':');
}

static bool is_ascii(struct text t)
{
	unsigned char high = 0;

	for (size_t i = 0; i < t.length; i++)
		high |= (unsigned char)t.bytes[i];
	return high < 0x80;
}

static bool take_ascii(struct cursor *c, struct text *string_out)
{
	return take_plain_string(c, string_out) && is_ascii(*string_out);
}

/* A whole number, not negative, without leading zero. */
static bool take_count(struct cursor *c, int64_t *count_out)
{
	const char *start = c->at;
	int64_t count = 0;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - start < DIGITS_MAX)
		count = count * 10 + (*c->at++ - '0');
	if (c->at == start || (*start == '0' && c->at - start > 1))
		return false;
	skip_space(c);
	if (c->at == c->end || (*c->at != ',' && *c->at != '}' && *c->at != ']'))
		return false;
	*count_out = count;
	return true;
}

static bool skip_word(struct cursor *c, struct text word)
{
	if (!text_starts_with(text_span(c->at, (size_t)(c->end - c->at)), word))
		return false;
	c->at += word.length;
	skip_space(c);
	return c->at < c->end && (*c->at == ',' || *c->at == '}' || *c->at == ']');
}

static bool skip_value(struct cursor *c, int depth);

static bool skip_children(struct cursor *c, char close, int depth)
{
	struct text name;

	c->at++;
	skip_space(c);
	if (take(c, close))
		return true;
	do {
		if (close == '}' && !take_name(c, &name))
			return false;
		if (!skip_value(c, depth + 1))
			return false;
	} while (take(c, ','));
	return take(c, close);
}

/* Any value whose content does not matter, so long as it is plain. */
static bool skip_value(struct cursor *c, int depth)
{
	struct text string;
	int64_t count;

	if (c->at == c->end || depth > SKIP_DEPTH_MAX)
		return false;
	switch (*c->at) {
	case '"': return take_plain_string(c, &string);
	case '{': return skip_children(c, '}', depth);
	case '[': return skip_children(c, ']', depth);
	case 't': return skip_word(c, TEXT("true"));
	case 'f': return skip_word(c, TEXT("false"));
	default: return take_count(c, &count);
	}
}

/* An object: `take_member` reads the value of one member, by its place in `names`; a member not listed ends the attempt, a second of the
 * same name too. */
struct shape {
	const struct text *names;
	size_t count;
	bool (*take_member)(struct cursor *c, size_t index);
};

static bool take_object(struct cursor *c, const struct shape *shape)
{
	unsigned seen = 0;
	struct text name;

	if (!take(c, '{'))
		return false;
	if (take(c, '}'))
		return true;
	do {
		size_t i = 0;

		if (!take_name(c, &name))
			return false;
		while (i < shape->count && !text_equals(name, shape->names[i]))
			i++;
		if (i == shape->count || (seen & 1U << i) != 0 || !shape->take_member(c, i))
			return false;
		seen |= 1U << i;
	} while (take(c, ','));
	return take(c, '}');
}

/* An array of exactly one such object. */
static bool take_lone_object(struct cursor *c, const struct shape *shape)
{
	return take(c, '[') && take_object(c, shape) && take(c, ']');
}

static bool take_part_member(struct cursor *c, size_t index)
{
	(void)index;
	return take_text(c, &c->chunk->text);
}

static bool take_content_member(struct cursor *c, size_t index)
{
	static const struct text names[] = { TEXT("text") };
	static const struct shape part = { names, 1, take_part_member };
	struct text role;

	return index == 0 ? take_lone_object(c, &part) : take_plain_string(c, &role);
}

static bool take_candidate_member(struct cursor *c, size_t index)
{
	static const struct text names[] = { TEXT("parts"), TEXT("role") };
	static const struct shape content = { names, 2, take_content_member };
	int64_t number;

	switch (index) {
	case 0: return take_object(c, &content);
	case 1: return take_ascii(c, &c->chunk->finish_reason);
	case 2: return take_count(c, &number) && number == 0;
	default: return skip_value(c, 0);
	}
}

static bool take_usage_member(struct cursor *c)
{
	struct chunk_usage *usage = &c->chunk->usage;
	struct text name;

	if (!take_name(c, &name))
		return false;

	int64_t *count = text_equals(name, TEXT("promptTokenCount"))       ? &usage->prompt
			 : text_equals(name, TEXT("candidatesTokenCount")) ? &usage->candidates
			 : text_equals(name, TEXT("thoughtsTokenCount"))   ? &usage->thoughts
									   : NULL;

	/* A count named twice: the last wins, here as in json-c. */
	return count != NULL ? take_count(c, count) : skip_value(c, 0);
}

static bool take_usage(struct cursor *c)
{
	if (!take(c, '{'))
		return false;
	c->chunk->usage.is_seen = true;
	if (take(c, '}'))
		return true;
	do {
		if (!take_usage_member(c))
			return false;
	} while (take(c, ','));
	return take(c, '}');
}

static bool take_root_member(struct cursor *c, size_t index)
{
	static const struct text names[] = { TEXT("content"), TEXT("finishReason"), TEXT("index"),
		TEXT("safetyRatings") };
	static const struct shape candidate = { names, 4, take_candidate_member };

	switch (index) {
	case 0: return take_lone_object(c, &candidate);
	case 1: return take_usage(c);
	case 2: return take_ascii(c, &c->chunk->model_version);
	default: return take_ascii(c, &c->chunk->response_id);
	}
}

bool chunk_read(struct text event, struct buffer *scratch, struct chunk *chunk_out)
{
	static const struct text names[] = { TEXT("candidates"), TEXT("usageMetadata"), TEXT("modelVersion"),
		TEXT("responseId") };
	static const struct shape root = { names, 4, take_root_member };
	struct chunk chunk = { .text = TEXT_NONE };
	struct cursor c = { event.bytes, event.bytes + event.length, scratch, &chunk };

	if (!take_object(&c, &root) || c.at != c.end)
		return false;
	*chunk_out = chunk;
	return true;
}
