/* json.c: the strict reader (one pass, recursive to a bounded depth, values point into the input) and the string writer.
 * Called for request bodies, tool arguments and log lines. Numbers stay text: PostgreSQL reads them, nobody rounds them. */
#include "config.h"
#include "shared/json.h"

struct reader {
	struct arena *arena; /* for values and decoded strings */
	const char *start;   /* of the document */
	const char *at;      /* next byte */
	const char *end;     /* one past the last */
	const char *problem; /* set once, by the first fault */
};

static bool fault(struct reader *r, const char *what)
{
	if (r->problem == NULL)
		r->problem = arena_printf(r->arena, "%s at byte %zu", what, (size_t)(r->at - r->start)).bytes;
	return false;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool read_hex4(struct reader *r, unsigned *unit_out)
{
	unsigned unit = 0;

	if (r->end - r->at < 4)
		return fault(r, "unfinished \\u escape");
	for (int i = 0; i < 4; i++, r->at++) {
		char c = *r->at;
		char lower = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (unsigned)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			unit = unit << 4 | (unsigned)(lower - 'a' + 10);
		else
			return fault(r, "\\u must be followed by four hex digits");
	}
	*unit_out = unit;
	return true;
}

static char *put_code_point(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xC0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*out++ = (char)(0xE0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	} else {
		*out++ = (char)(0xF0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3F));
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	}
	return out;
}

static bool read_unicode(struct reader *r, char **out)
{
	unsigned unit, low;

	if (!read_hex4(r, &unit))
		return false;
	if (unit == 0)
		return fault(r, "NUL is not allowed in strings");
	if (unit >= 0xDC00 && unit <= 0xDFFF)
		return fault(r, "lone surrogate");
	if (unit >= 0xD800 && unit <= 0xDBFF) {
		if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
			return fault(r, "lone surrogate");
		r->at += 2;
		if (!read_hex4(r, &low))
			return false;
		if (low < 0xDC00 || low > 0xDFFF)
			return fault(r, "lone surrogate");
		unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
	}
	*out = put_code_point(*out, unit);
	return true;
}

static bool read_escape(struct reader *r, char **out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";

	if (r->at == r->end)
		return fault(r, "unfinished escape");

	char c = *r->at++;

	if (c == 'u')
		return read_unicode(r, out);

	const char *known = c != '\0' ? strchr(names, c) : NULL;

	if (known == NULL)
		return fault(r, "unknown escape");
	*(*out)++ = values[known - names];
	return true;
}

/* The closing quote, found without decoding; NULL (and a fault) for control bytes or a missing end. */
static const char *find_quote(struct reader *r, bool *has_escapes_out)
{
	for (const char *p = r->at; p < r->end; p++) {
		if (*p == '"')
			return p;
		if ((unsigned char)*p < 0x20) {
			r->at = p;
			(void)fault(r, "control byte in string");
			return NULL;
		}
		if (*p == '\\') {
			*has_escapes_out = true;
			p++;
		}
	}
	(void)fault(r, "unfinished string");
	return NULL;
}

static bool read_string(struct reader *r, struct text *string_out)
{
	bool has_escapes = false;

	r->at++; /* the opening quote */

	const char *quote = find_quote(r, &has_escapes);

	if (quote == NULL)
		return false;

	struct text inner = text_span(r->at, (size_t)(quote - r->at));

	if (!has_escapes) {
		r->at = quote + 1;
		*string_out = inner;
		return true;
	}

	char *decoded = arena_alloc(r->arena, inner.length + 1), *out = decoded;

	while (r->at < quote) {
		if (*r->at != '\\')
			*out++ = *r->at++;
		else if (r->at++, !read_escape(r, &out))
			return false;
	}
	r->at = quote + 1;
	*string_out = text_span(decoded, (size_t)(out - decoded));
	return true;
}

static bool is_digit(const struct reader *r)
{
	return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static bool read_digits(struct reader *r)
{
	if (!is_digit(r))
		return fault(r, "a digit is missing in a number");
	while (is_digit(r))
		r->at++;
	return true;
}

static bool read_number(struct reader *r)
{
	if (r->at < r->end && *r->at == '-')
		r->at++;
	if (r->at < r->end && *r->at == '0') {
		r->at++;
		if (is_digit(r))
			return fault(r, "a number cannot begin with 0");
	} else if (!read_digits(r)) {
		return false;
	}
	if (r->at < r->end && *r->at == '.') {
		r->at++;
		if (!read_digits(r))
			return false;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		return read_digits(r);
	}
	return true;
}

static bool read_word(struct reader *r, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
		return fault(r, "unknown word");
	r->at += length;
	return true;
}

static bool read_value(struct reader *r, int depth, struct json_value *value);

static bool is_duplicate(const struct json_value *object, const struct json_value *last)
{
	for (const struct json_value *v = object->first; v != last; v = v->next)
		if (text_equals(v->name, last->name))
			return true;
	return false;
}

#define MEMBERS_MAX 256 /* per object: keeps the search for duplicates bounded */

static bool read_member_name(struct reader *r, struct json_value *object, struct json_value *child)
{
	if (r->at == r->end || *r->at != '"')
		return fault(r, "a member name in quotes is missing");
	if (!read_string(r, &child->name))
		return false;
	if (object->count > MEMBERS_MAX)
		return fault(r, "too many members");
	if (is_duplicate(object, child))
		return fault(r, "duplicate member name");
	skip_space(r);
	if (r->at == r->end || *r->at != ':')
		return fault(r, "a colon is missing");
	r->at++;
	skip_space(r);
	return true;
}

static bool read_children(struct reader *r, int depth, struct json_value *parent)
{
	char close = parent->type == JSON_OBJECT ? '}' : ']';
	struct json_value **link = &parent->first;

	if (depth >= JSON_DEPTH_MAX)
		return fault(r, "nested too deeply");
	r->at++;
	skip_space(r);
	if (r->at < r->end && *r->at == close) {
		r->at++;
		return true;
	}
	for (;;) {
		struct json_value *child = arena_alloc(r->arena, sizeof *child);

		*link = child;
		link = &child->next;
		parent->count++;
		if (parent->type == JSON_OBJECT && !read_member_name(r, parent, child))
			return false;
		if (!read_value(r, depth + 1, child))
			return false;
		skip_space(r);
		if (r->at == r->end)
			return fault(r, "unfinished document");
		if (*r->at == close) {
			r->at++;
			return true;
		}
		if (*r->at != ',')
			return fault(r, "a comma is missing");
		r->at++;
		skip_space(r);
	}
}

static bool read_typed(struct reader *r, int depth, struct json_value *value)
{
	switch (*r->at) {
	case '{': value->type = JSON_OBJECT; return read_children(r, depth, value);
	case '[': value->type = JSON_ARRAY; return read_children(r, depth, value);
	case '"': value->type = JSON_STRING; return read_string(r, &value->string);
	case 'n': value->type = JSON_NULL; return read_word(r, "null");
	case 't':
		value->type = JSON_BOOL;
		value->boolean = true;
		return read_word(r, "true");
	case 'f': value->type = JSON_BOOL; return read_word(r, "false");
	default: value->type = JSON_NUMBER; return read_number(r);
	}
}

static bool read_value(struct reader *r, int depth, struct json_value *value)
{
	if (r->at == r->end)
		return fault(r, "a value is missing");

	const char *start = r->at;

	if (!read_typed(r, depth, value))
		return false;
	value->raw = text_span(start, (size_t)(r->at - start));
	return true;
}

enum error json_parse(struct arena *a, struct text bytes, struct json_value **root_out, const char **problem_out)
{
	struct reader r = { .arena = a, .start = bytes.bytes, .at = bytes.bytes, .end = bytes.bytes + bytes.length };
	struct json_value *root = arena_alloc(a, sizeof *root);

	if (bytes.length == 0 || !text_is_utf8(bytes)) {
		*problem_out = bytes.length == 0 ? "the document is empty" : "the document is not valid UTF-8";
		return ERROR_INVALID_JSON;
	}
	skip_space(&r);
	if (read_value(&r, 0, root)) {
		skip_space(&r);
		if (r.at != r.end)
			(void)fault(&r, "bytes after the document");
	}
	if (r.problem != NULL) {
		*problem_out = r.problem;
		return ERROR_INVALID_JSON;
	}
	*root_out = root;
	return ERROR_NONE;
}

const struct json_value *json_find(const struct json_value *object, const char *name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	for (const struct json_value *v = object->first; v != NULL; v = v->next)
		if (text_equals(v->name, text_of(name)))
			return v;
	return NULL;
}

struct text json_find_string(const struct json_value *object, const char *name)
{
	const struct json_value *v = json_find(object, name);

	return v != NULL && v->type == JSON_STRING ? v->string : TEXT_NONE;
}

/* Bytes that need no escape are copied in runs. */
void json_write_string(struct buffer *b, struct text string)
{
	static const char hex[] = "0123456789abcdef";
	bool is_valid = text_is_utf8(string);
	size_t run = 0;

	buffer_append_char(b, '"');
	for (size_t i = 0; i < string.length; i++) {
		unsigned char c = (unsigned char)string.bytes[i];
		bool is_plain = c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || is_valid);

		if (is_plain)
			continue;
		buffer_append(b, string.bytes + run, i - run);
		run = i + 1;
		if (c >= 0x80)
			buffer_append_string(b, "\xEF\xBF\xBD");
		else if (c == '"' || c == '\\')
			buffer_append(b, (char[]) { '\\', (char)c }, 2);
		else if (c == '\n')
			buffer_append_string(b, "\\n");
		else
			buffer_append(b, (char[]) { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
	}
	buffer_append(b, string.bytes + run, string.length - run);
	buffer_append_char(b, '"');
}
