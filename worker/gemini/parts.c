/* parts.c: gathers a model's parts for storage, rewrites stored ones for another model, writes those of the user's side.
 * Called by gemini.c (answers), request.c (history) and chat through provider.h. It knows nothing of events or transfers. */
#include "config.h"
#include "worker/gemini/parts.h"

#include "shared/json.h"
#include "worker/gemini/json.h"
#include "worker/gemini/provider.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Documented by Google for histories whose signatures are lost or another model's. */
#define PLACEHOLDER "skip_thought_signature_validator"

void parts_init(struct parts *p)
{
	*p = (struct parts) { 0 };
}

void parts_fini(struct parts *p)
{
	buffer_fini(&p->array);
	buffer_fini(&p->text);
}

static void begin_part(struct parts *p)
{
	buffer_append_char(&p->array, buffer_length(&p->array) == 0 ? '[' : ',');
}

static void close_text(struct parts *p)
{
	if (buffer_length(&p->text) == 0)
		return;
	begin_part(p);
	buffer_append_string(&p->array, "{\"text\":");
	json_write_string(&p->array, buffer_text(&p->text));
	buffer_append_char(&p->array, '}');
	buffer_clear(&p->text);
}

void parts_add_text(struct parts *p, struct text delta)
{
	buffer_append_text(&p->text, delta);
}

void parts_add(struct parts *p, struct json_object *part)
{
	close_text(p);
	begin_part(p);
	json_append(&p->array, part);
}

struct text parts_finish(struct parts *p)
{
	close_text(p);
	if (buffer_length(&p->array) == 0)
		buffer_append_char(&p->array, '[');
	buffer_append_char(&p->array, ']');
	return buffer_text(&p->array);
}

/* ---- cleaning ---- */

/* Length of the valid UTF-8 sequence without NUL at the start of `rest`, 0 when there is none. */
static size_t clean_step(struct text rest)
{
	unsigned char c = (unsigned char)rest.bytes[0];
	size_t length = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;

	if (c == 0 || length > rest.length || !text_is_utf8(text_span(rest.bytes, length)))
		return 0;
	return length;
}

struct text parts_clean_text(struct text t, struct buffer *scratch)
{
	if (t.length == 0 || (memchr(t.bytes, '\0', t.length) == NULL && text_is_utf8(t)))
		return t;
	buffer_clear(scratch);
	for (size_t at = 0; at < t.length;) {
		size_t step = clean_step(text_span(t.bytes + at, t.length - at));

		if (step > 0)
			buffer_append(scratch, t.bytes + at, step);
		else
			buffer_append_string(scratch, REPLACEMENT);
		at += step > 0 ? step : 1;
	}
	return buffer_text(scratch);
}

static void clean_string(struct json_object *value, struct buffer *scratch)
{
	struct text before = json_string_value(value), after = parts_clean_text(before, scratch);

	if (after.bytes != before.bytes)
		(void)json_object_set_string_len(value, after.bytes, (int)after.length);
}

static void clean_members(struct json_object *object, struct buffer *scratch)
{
	struct json_object *signature = NULL;

	if (json_object_object_get_ex(object, "thoughtSignature", &signature) &&
		json_string_value(signature).length == 0)
		json_object_object_del(object, "thoughtSignature");
	json_object_object_foreach(object, name, value)
	{
		(void)name;
		parts_clean(value, scratch);
	}
}

void parts_clean(struct json_object *value, struct buffer *scratch)
{
	switch (json_object_get_type(value)) {
	case json_type_string: clean_string(value, scratch); break;
	case json_type_object: clean_members(value, scratch); break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(value); i++)
			parts_clean(json_object_array_get_idx(value, i), scratch);
		break;
	case json_type_null:
	case json_type_boolean:
	case json_type_double:
	case json_type_int: break;
	}
}

void parts_cut_call_name(struct json_object *part)
{
	struct json_object *call = json_member(part, "functionCall");
	struct text name = json_string(call, "name"), start = text_cut(name, MODEL_CALL_NAME_MAX);
	char room[MODEL_CALL_NAME_MAX];

	if (start.length == name.length)
		return;
	memcpy(room, start.bytes, start.length);
	(void)json_object_set_string_len(json_member(call, "name"), room, (int)start.length);
	/* It was signed with its whole name. */
	if (json_member(part, "thoughtSignature") != NULL)
		json_object_object_add(part, "thoughtSignature", json_object_new_string(PLACEHOLDER));
}

/* ---- rewriting for another model ---- */

static struct text trim(struct text t)
{
	while (t.length > 0 && strchr(" \t\r\n", t.bytes[0]) != NULL && t.bytes[0] != '\0')
		t = text_span(t.bytes + 1, t.length - 1);
	while (t.length > 0 && strchr(" \t\r\n", t.bytes[t.length - 1]) != NULL && t.bytes[t.length - 1] != '\0')
		t.length--;
	return t;
}

static bool contains(struct text t, const char *word)
{
	return memmem(t.bytes, t.length, word, strlen(word)) != NULL;
}

/* What a model sent itself it takes back, whatever its name promises: names are served by newer models near their end. */
static bool drops_ids(const struct parts_target *target)
{
	return target->is_foreign && !target->family->has_call_ids;
}

static bool has_void_signatures(const struct parts_target *target)
{
	return target->is_foreign || target->is_unsigned;
}

static bool wants_signatures(const struct parts_target *target)
{
	return target->is_current && (target->family->is_strict || target->is_unsigned);
}

/* A quick look at the bytes; a word that only occurs in somebody's text costs a parse and changes nothing. */
static bool needs_rewriting(struct text array, const struct parts_target *target)
{
	bool has_signature = contains(array, "thoughtSignature"), has_call = contains(array, "functionCall");

	if (has_signature && has_void_signatures(target))
		return true;
	if (drops_ids(target) && (has_call || contains(array, "functionResponse")) && contains(array, "\"id\""))
		return true;
	return has_call && !has_signature && wants_signatures(target);
}

/* True when the part is a call, so that the caller knows the first of a step. */
static bool rewrite_part(struct json_object *part, const struct parts_target *target, bool is_first_call)
{
	struct json_object *call = json_member(part, "functionCall");

	if (has_void_signatures(target) && json_object_is_type(part, json_type_object))
		json_object_object_del(part, "thoughtSignature");
	if (drops_ids(target)) {
		if (json_object_is_type(call, json_type_object))
			json_object_object_del(call, "id");
		if (json_object_is_type(json_member(part, "functionResponse"), json_type_object))
			json_object_object_del(json_member(part, "functionResponse"), "id");
	}
	if (call != NULL && is_first_call && wants_signatures(target) && json_member(part, "thoughtSignature") == NULL)
		json_object_object_add(part, "thoughtSignature", json_object_new_string(PLACEHOLDER));
	return call != NULL;
}

/* Without its signature an empty text is refused, and a thought means nothing to another model. */
static bool is_worth_sending(struct json_object *part)
{
	struct text text = json_string(part, "text");

	if (!json_object_is_type(part, json_type_object))
		return false;
	if (json_member(part, "thoughtSignature") != NULL)
		return true;
	return (text.bytes == NULL || text.length > 0) && !json_object_get_boolean(json_member(part, "thought"));
}

bool parts_rewrite(
	struct json_tokener *tokener, struct text array, const struct parts_target *target, struct buffer *out)
{
	struct text whole = trim(array);

	if (whole.length < 2 || whole.bytes[0] != '[' || whole.bytes[whole.length - 1] != ']')
		return false;
	if (!needs_rewriting(whole, target)) {
		buffer_append_text(out, trim(text_span(whole.bytes + 1, whole.length - 2)));
		return true;
	}

	struct json_object *list = json_parse_text(tokener, whole);
	bool is_first_call = true, is_first = true, is_array = json_object_is_type(list, json_type_array);

	for (size_t i = 0; is_array && i < json_object_array_length(list); i++) {
		struct json_object *part = json_object_array_get_idx(list, i);

		if (rewrite_part(part, target, is_first_call))
			is_first_call = false;
		if (!is_worth_sending(part))
			continue;
		if (!is_first)
			buffer_append_char(out, ',');
		is_first = false;
		json_append(out, part);
	}
	json_object_put(list);
	return is_array;
}

/* ---- the user's side ---- */

static void begin_user_part(struct buffer *out)
{
	if (buffer_length(out) > 0)
		buffer_append_char(out, ',');
}

void provider_text_part(struct buffer *out, struct text text)
{
	struct buffer scratch;

	buffer_init(&scratch);
	begin_user_part(out);
	buffer_append_string(out, "{\"text\":");
	json_write_string(out, parts_clean_text(text, &scratch));
	buffer_append_char(out, '}');
	buffer_fini(&scratch);
}

/* RFC 4648 section 4, padded, without line breaks. */
static void append_base64(struct buffer *out, struct text bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *at = buffer_reserve(out, (bytes.length + 2) / 3 * 4);
	const unsigned char *in = (const unsigned char *)bytes.bytes;
	size_t left = bytes.length;

	buffer_grown(out, (bytes.length + 2) / 3 * 4);
	for (; left >= 3; left -= 3, in += 3) {
		*at++ = digits[in[0] >> 2];
		*at++ = digits[(in[0] & 3) << 4 | in[1] >> 4];
		*at++ = digits[(in[1] & 15) << 2 | in[2] >> 6];
		*at++ = digits[in[2] & 63];
	}
	if (left > 0) {
		unsigned second = left == 2 ? in[1] : 0;

		*at++ = digits[in[0] >> 2];
		*at++ = digits[(in[0] & 3) << 4 | second >> 4];
		*at++ = left == 2 ? digits[(second & 15) << 2] : '=';
		*at++ = '=';
	}
}

void provider_image_part(struct buffer *out, const char *mime, struct text bytes)
{
	begin_user_part(out);
	buffer_append_string(out, "{\"inlineData\":{\"mimeType\":");
	json_write_string(out, text_of(mime));
	buffer_append_string(out, ",\"data\":\"");
	append_base64(out, bytes);
	buffer_append_string(out, "\"}}");
}

void provider_result_part(struct buffer *out, struct text id, struct text name, struct text result)
{
	begin_user_part(out);
	buffer_append_string(out, "{\"functionResponse\":{");
	if (id.length > 0) {
		buffer_append_string(out, "\"id\":");
		json_write_string(out, id);
		buffer_append_char(out, ',');
	}
	buffer_append_string(out, "\"name\":");
	json_write_string(out, name);
	buffer_append_string(out, ",\"response\":");
	buffer_append_text(out, result.length > 0 ? result : TEXT("{}"));
	buffer_append_string(out, "}}");
}
