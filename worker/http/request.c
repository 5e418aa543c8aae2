/* request.c: what handlers ask of a request, and who it is for the logs: ids in and out. Called by handlers and by exchange.c. */
#include "config.h"
#include "worker/http/internal.h"

#include <sys/random.h>

#define IDEMPOTENCY_KEY_MAX 255 /* characters */

struct text request_header(const struct request *rq, const char *name)
{
	struct text wanted = text_of(name);

	for (size_t i = 0; i < rq->header_count; i++)
		if (text_equals_nocase(rq->headers[i].name, wanted))
			return rq->headers[i].value;
	return TEXT_NONE;
}

bool request_idempotency_key(const struct request *rq, struct text *key_out)
{
	struct text key = request_header(rq, "Idempotency-Key");
	bool is_good = key.bytes == NULL;

	if (key.length >= 2 && key.bytes[0] == '"' && key.bytes[key.length - 1] == '"')
		key = text_span(key.bytes + 1, key.length - 2);
	if (key.bytes != NULL)
		is_good = key.length >= 1 && key.length <= IDEMPOTENCY_KEY_MAX;
	for (size_t i = 0; is_good && i < key.length; i++)
		is_good = key.bytes[i] > 0x20 && key.bytes[i] < 0x7F;
	if (is_good)
		*key_out = key;
	return is_good;
}

/* Takes what comes before `separator` off the list; false at its end. */
static bool next_part(struct text *list, char separator, struct text *part_out)
{
	if (list->bytes == NULL)
		return false;

	const char *end = memchr(list->bytes, separator, list->length);
	size_t length = end != NULL ? (size_t)(end - list->bytes) : list->length;

	*part_out = text_span(list->bytes, length);
	*list = end != NULL ? text_span(end + 1, list->length - length - 1) : TEXT_NONE;
	while (part_out->length > 0 && (part_out->bytes[0] == ' ' || part_out->bytes[0] == '\t'))
		*part_out = text_span(part_out->bytes + 1, part_out->length - 1);
	while (part_out->length > 0 && strchr(" \t", part_out->bytes[part_out->length - 1]) != NULL)
		part_out->length--;
	return true;
}

static void split(struct text pair, struct text *name_out, struct text *value_out)
{
	const char *equals = memchr(pair.bytes, '=', pair.length);
	size_t length = equals != NULL ? (size_t)(equals - pair.bytes) : pair.length;

	*name_out = text_span(pair.bytes, length);
	*value_out = equals != NULL ? text_span(equals + 1, pair.length - length - 1) : TEXT("");
}

struct text request_query(struct request *rq, const char *name)
{
	struct text list = rq->query, pair, raw_name, raw_value;

	while (next_part(&list, '&', &pair)) {
		size_t length;

		split(pair, &raw_name, &raw_value);

		char *decoded = arena_alloc(&rq->arena, raw_name.length + raw_value.length + 1);

		if (!parser_decode(raw_name, true, decoded, &length) ||
			!text_equals(text_span(decoded, length), text_of(name)))
			continue;
		if (!parser_decode(raw_value, true, decoded, &length))
			return TEXT_NONE;
		return text_span(decoded, length);
	}
	return TEXT_NONE;
}

struct text request_cookie(const struct request *rq, const char *name)
{
	for (size_t i = 0; i < rq->header_count; i++) {
		struct text list = rq->headers[i].value, pair, key, value;

		if (!text_equals_nocase(rq->headers[i].name, TEXT("Cookie")))
			continue;
		while (next_part(&list, ';', &pair)) {
			split(pair, &key, &value);
			if (!text_equals(key, text_of(name)))
				continue;
			if (value.length >= 2 && value.bytes[0] == '"' && value.bytes[value.length - 1] == '"')
				value = text_span(value.bytes + 1, value.length - 2);
			return value;
		}
	}
	return TEXT_NONE;
}

/* qvalue in thousandths, RFC 9110 section 12.4.2; 1000 when there is none, -1 when malformed. */
static int weight_of(struct text parameters)
{
	struct text part, name, value;

	while (next_part(&parameters, ';', &part)) {
		int weight = 0, scale = 1000;

		split(part, &name, &value);
		if (!text_equals_nocase(name, TEXT("q")))
			continue;
		for (size_t i = 0; i < value.length && i < 5; i++) {
			if (i == 1 && value.bytes[i] == '.')
				continue;
			if (value.bytes[i] < '0' || value.bytes[i] > '9')
				return -1;
			weight += (value.bytes[i] - '0') * scale;
			scale /= 10;
		}
		return weight > 1000 ? -1 : weight;
	}
	return 1000;
}

/* How much Accept wants this media type: the most specific range decides. -1 when no range names it. */
static int accept_weight(const struct request *rq, struct text type, int *specificity_out)
{
	int best = -1, best_specificity = 0;
	const char *slash = memchr(type.bytes, '/', type.length);
	size_t major = slash != NULL ? (size_t)(slash - type.bytes) + 1 : 0;

	for (size_t i = 0; i < rq->header_count; i++) {
		struct text list = rq->headers[i].value, range, media;

		if (!text_equals_nocase(rq->headers[i].name, TEXT("Accept")))
			continue;
		while (next_part(&list, ',', &range)) {
			struct text parameters = range;

			if (!next_part(&parameters, ';', &media))
				continue;

			int specificity = text_equals_nocase(media, type) ? 3
					  : media.length == major + 1 && media.bytes[major] == '*' &&
							  strncasecmp(media.bytes, type.bytes, major) == 0
						  ? 2
					  : text_equals(media, TEXT("*/*")) ? 1
									    : 0;

			if (specificity > best_specificity) {
				best_specificity = specificity;
				best = weight_of(parameters);
			}
		}
	}
	*specificity_out = best_specificity;
	return best;
}

bool request_prefers_over(const struct request *rq, const char *media_type, const char *other)
{
	int specificity, other_specificity;
	int weight = accept_weight(rq, text_of(media_type), &specificity);
	int other_weight = accept_weight(rq, text_of(other), &other_specificity);

	/* At equal weight the type that is named outranks the one that only a wildcard covers. */
	return weight > 0 && (weight > other_weight || (weight == other_weight && specificity > other_specificity));
}

bool request_prefers(const struct request *rq, const char *media_type)
{
	return request_prefers_over(rq, media_type, "application/json");
}

void *request_context(const struct request *rq)
{
	return rq->server->options.context;
}

void request_set_conversation(struct request *rq, const struct uuid *conversation)
{
	rq->conversation = *conversation;
	rq->has_conversation = true;
}

/* ---- ids ------------------------------------------------------------------------------------------------------------------ */

/* xorshift128+: trace ids must be spread out, not secret. Seeded once from the kernel. */
static uint64_t next_random(void)
{
	static uint64_t state[2];

	if (state[0] == 0 && state[1] == 0) {
		must(getrandom(state, sizeof state, 0) == (ssize_t)sizeof state);
		state[0] |= 1;
	}

	uint64_t a = state[0], b = state[1];

	state[0] = b;
	a ^= a << 23;
	state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
	return state[1] + b;
}

static void write_hex(uint64_t value, char out[16])
{
	for (int i = 15; i >= 0; i--, value >>= 4)
		out[i] = "0123456789abcdef"[value & 15];
}

static bool is_hex(struct text t)
{
	bool is_zero = true;

	for (size_t i = 0; i < t.length; i++) {
		char c = t.bytes[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		is_zero = is_zero && c == '0';
	}
	return !is_zero;
}

/* W3C Trace Context: version "-" trace-id "-" parent-id "-" flags, lower case; later versions may append after another "-". */
static bool take_traceparent(struct request *rq, struct text t)
{
	if (t.length < 55 || t.bytes[2] != '-' || t.bytes[35] != '-' || t.bytes[52] != '-')
		return false;
	if (memcmp(t.bytes, "00", 2) == 0 ? t.length != 55
					  : memcmp(t.bytes, "ff", 2) == 0 || !is_hex(text_span(t.bytes, 2)))
		return false;
	if (t.length > 55 && t.bytes[55] != '-')
		return false;
	if (!is_hex(text_span(t.bytes + 3, 32)) || !is_hex(text_span(t.bytes + 36, 16)))
		return false;
	memcpy(rq->trace_id, t.bytes + 3, 32);
	memcpy(rq->parent_span_id, t.bytes + 36, 16);
	return true;
}

static bool is_safe_id(struct text id)
{
	if (id.length == 0 || id.length > 128)
		return false;
	for (size_t i = 0; i < id.length; i++) {
		char c = id.bytes[i];
		bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!is_alnum && memchr("-_.:+/=@", c, 8) == NULL)
			return false;
	}
	return true;
}

void request_identify(struct request *rq)
{
	struct text id = request_header(rq, "X-Request-Id");

	if (is_safe_id(id)) {
		memcpy(rq->id, id.bytes, id.length);
		rq->id[id.length] = '\0';
	} else {
		struct uuid made = uuid_create();

		uuid_format(&made, rq->id);
	}
	if (!take_traceparent(rq, request_header(rq, "traceparent"))) {
		write_hex(next_random() | 1, rq->trace_id);
		write_hex(next_random(), rq->trace_id + 16);
	}
	write_hex(next_random() | 1, rq->span_id);
}
