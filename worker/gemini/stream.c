/* stream.c: the byte machine of server-sent events, with the raw tail that Gemini's fronts append when they fail half-way.
 * Called by provider.c for every piece libcurl delivers. It copies only what a piece leaves unfinished. */
#include "config.h"
#include "worker/gemini/stream.h"

void stream_init(struct stream *s)
{
	*s = (struct stream) { 0 };
}

void stream_fini(struct stream *s)
{
	buffer_fini(&s->line);
	buffer_fini(&s->data);
	buffer_fini(&s->tail);
	stream_init(s);
}

/* The value of `line` when it is field `name`, else TEXT_NONE. One space after the colon is not part of it. */
static struct text field_value(struct text line, struct text name)
{
	if (!text_starts_with(line, name))
		return TEXT_NONE;
	if (line.length == name.length)
		return TEXT("");
	if (line.bytes[name.length] != ':')
		return TEXT_NONE;

	size_t start = name.length + 1;

	if (start < line.length && line.bytes[start] == ' ')
		start++;
	return text_span(line.bytes + start, line.length - start);
}

static bool is_json_start(struct text line)
{
	return line.length > 0 && (line.bytes[0] == '{' || line.bytes[0] == '[');
}

static void append_data(struct stream *s, struct text value)
{
	if (s->has_data)
		buffer_append_char(&s->data, '\n');
	s->has_data = true;
	buffer_append_text(&s->data, value);
}

static void append_tail(struct stream *s, struct text bytes)
{
	size_t room = STREAM_TAIL_MAX_BYTES - buffer_length(&s->tail);

	buffer_append(&s->tail, bytes.bytes, bytes.length < room ? bytes.length : room);
}

/* Finds the end of the first line of `rest`: its length, or rest.length when the end is not there. */
static size_t line_length(struct text rest)
{
	const char *lf = memchr(rest.bytes, '\n', rest.length);
	size_t length = lf != NULL ? (size_t)(lf - rest.bytes) : rest.length;
	const char *cr = memchr(rest.bytes, '\r', length);

	return cr != NULL ? (size_t)(cr - rest.bytes) : length;
}

/* Where one call of stream_feed stands. */
struct feeding {
	struct text rest;   /* bytes not looked at */
	struct text direct; /* the event's only data line so far, still in the caller's bytes; else NONE */
	bool is_joined;     /* s->line holds a whole line that was looked at: to be cleared */
};

/* The next whole line; false when the rest has none. It is in the caller's bytes, or in s->line when it began in an earlier piece. */
static bool take_line(struct stream *s, struct feeding *f, struct text *line_out)
{
	if (s->after_cr && f->rest.length > 0) {
		size_t skipped = f->rest.bytes[0] == '\n';

		s->after_cr = false;
		f->rest = text_span(f->rest.bytes + skipped, f->rest.length - skipped);
	}

	size_t length = f->rest.length > 0 ? line_length(f->rest) : 0;

	if (length == f->rest.length)
		return false;
	*line_out = text_span(f->rest.bytes, length);
	if (!f->is_joined && buffer_length(&s->line) > 0) {
		buffer_append_text(&s->line, *line_out);
		f->is_joined = true;
		*line_out = buffer_text(&s->line);
	}
	s->after_cr = f->rest.bytes[length] == '\r';
	f->rest = text_span(f->rest.bytes + length + 1, f->rest.length - length - 1);
	return true;
}

static void settle_direct(struct stream *s, struct feeding *f)
{
	if (f->direct.bytes == NULL)
		return;
	s->has_data = false;
	append_data(s, f->direct);
	f->direct = TEXT_NONE;
}

static void take_field(struct stream *s, struct feeding *f, struct text line)
{
	struct text value = field_value(line, TEXT("data"));

	if (value.bytes != NULL && !s->has_data) {
		f->direct = value;
		s->has_data = true;
	} else if (value.bytes != NULL) {
		settle_direct(s, f);
		append_data(s, value);
	} else if (is_json_start(line)) {
		s->is_tail = true;
		append_tail(s, line);
		append_tail(s, TEXT("\n"));
	}
}

/* A blank line: hands the event on. False when the reader wants no more now. */
static bool dispatch(struct stream *s, struct feeding *f, stream_event_fn *on_event, void *arg)
{
	if (!s->has_data)
		return true;

	struct text event = f->direct.bytes != NULL ? f->direct : buffer_text(&s->data);
	bool goes_on = on_event(arg, event);

	f->direct = TEXT_NONE;
	s->has_data = false;
	buffer_clear(&s->data);
	return goes_on;
}

/* A byte order mark may stand at the very beginning; it can be split like anything else, so it is taken off the first line. */
static struct text without_mark(struct stream *s, struct text line)
{
	if (!s->is_started && text_starts_with(line, TEXT("\xEF\xBB\xBF")))
		line = text_span(line.bytes + 3, line.length - 3);
	s->is_started = true;
	return line;
}

static enum stream_result leave(struct stream *s, struct feeding *f, struct text bytes, size_t *used_out)
{
	settle_direct(s, f);
	if (f->is_joined)
		buffer_clear(&s->line);
	*used_out = bytes.length - f->rest.length;
	return STREAM_STOPPED;
}

enum stream_result stream_feed(
	struct stream *s, struct text bytes, stream_event_fn *on_event, void *arg, size_t *used_out)
{
	struct feeding f = { .rest = bytes };
	struct text line;

	while (!s->is_tail && take_line(s, &f, &line)) {
		line = without_mark(s, line);
		if (line.length > 0)
			take_field(s, &f, line);
		else if (!dispatch(s, &f, on_event, arg))
			return leave(s, &f, bytes, used_out);
	}
	(void)leave(s, &f, bytes, used_out);
	*used_out = bytes.length;
	if (s->is_tail) {
		append_tail(s, f.rest);
		return STREAM_MORE;
	}
	if (buffer_length(&s->line) + buffer_length(&s->data) + f.rest.length > STREAM_EVENT_MAX_BYTES)
		return STREAM_TOO_LARGE;
	buffer_append_text(&s->line, f.rest);
	return STREAM_MORE;
}

struct text stream_end(struct stream *s)
{
	struct text line = without_mark(s, buffer_text(&s->line));

	if (!s->is_tail && line.length > 0) {
		struct text value = field_value(line, TEXT("data"));

		if (value.bytes != NULL)
			append_data(s, value);
		else if (is_json_start(line))
			append_tail(s, line);
	}
	if (buffer_length(&s->tail) > 0)
		return buffer_text(&s->tail);
	return s->has_data ? buffer_text(&s->data) : TEXT_NONE;
}
