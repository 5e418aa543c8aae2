/* etag.c: reads If-Match and If-None-Match. Called by the resource handlers; the comparison of versions itself is PostgreSQL's, in the
 * statement that changes the row. */
#include "config.h"
#include "worker/api/etag.h"

#include "shared/buffer.h"

struct tag {
	struct text opaque; /* between the quotes */
	bool is_weak;
};

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* Takes the next tag off `list`. One that lacks its quotes is taken as if it had them: some clients send the bare version. */
static bool next_tag(struct text *list, struct tag *tag_out)
{
	const char *p = list->bytes, *end = list->bytes + list->length;

	while (p < end && is_separator(*p))
		p++;
	if (p == end)
		return false;
	tag_out->is_weak = end - p >= 2 && p[0] == 'W' && p[1] == '/';
	if (tag_out->is_weak)
		p += 2;

	bool is_quoted = p < end && *p == '"';
	const char *start = is_quoted ? ++p : p;

	while (p < end && (is_quoted ? *p != '"' : !is_separator(*p)))
		p++;
	tag_out->opaque = text_span(start, (size_t)(p - start));
	if (is_quoted && p < end)
		p++;
	*list = text_span(p, (size_t)(end - p));
	return true;
}

bool etag_is_known(struct text if_none_match, struct text etag)
{
	struct tag tag;

	if (text_equals(if_none_match, TEXT("*")))
		return true;
	while (if_none_match.bytes != NULL && next_tag(&if_none_match, &tag))
		if (text_equals(tag.opaque, etag))
			return true;
	return false;
}

/* Digits at the start, at most what an int4 holds; empty when the tag is not one of ours. */
static struct text version_of(const struct tag *tag)
{
	size_t digits = 0;

	while (digits < tag->opaque.length && tag->opaque.bytes[digits] >= '0' && tag->opaque.bytes[digits] <= '9')
		digits++;
	if (tag->is_weak || digits > 9 || (digits < tag->opaque.length && tag->opaque.bytes[digits] != '-'))
		digits = 0;
	return text_span(tag->opaque.bytes, digits);
}

struct text etag_versions(struct arena *a, struct text if_match)
{
	struct tag tag;

	if (if_match.bytes == NULL || text_equals(if_match, TEXT("*")))
		return TEXT_NONE;

	/* Each version is at least as long in the field as in the array, separators included. */
	char *out = arena_alloc(a, if_match.length + 3);
	size_t at = 0;

	out[at++] = '{';
	while (next_tag(&if_match, &tag)) {
		struct text version = version_of(&tag);

		if (version.length == 0)
			continue;
		if (at > 1)
			out[at++] = ',';
		memcpy(out + at, version.bytes, version.length);
		at += version.length;
	}
	out[at++] = '}';
	return text_span(out, at);
}
