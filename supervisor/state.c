/* state.c: the lines that an upgrade hands over the exec, and their strict reading: "name number", "name length bytes" for texts, "name index number" for rows,
 * "slot index name number" for workers, first the layout, last "end". Called by handover.c and the fuzzer. Opens nothing that the lines name. */
#include "config.h"
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/ipc.h"
#include "shared/scoreboard.h"

#define MEMFD_NAME "renovationd-state"
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
#define FD_MOST    INT32_MAX

struct number_row {
	const char *name;    /* in the lines */
	size_t offset;       /* of the int64_t */
	int64_t least, most; /* what is taken */
};

struct text_row {
	const char *name; /* in the lines */
	size_t offset;    /* of STATE_TEXT_BYTES characters */
};

static const struct number_row numbers[] = {
#define X(n, least_value, most_value)                                                                                  \
	{ .name = #n, .offset = offsetof(struct state, n), .least = (least_value), .most = (most_value) },
	STATE_NUMBERS(X)
#undef X
#define X(n, is_needed)                                                                                                \
	{ .name = "fd_" #n, .offset = offsetof(struct state, fds.n), .least = (is_needed) ? 3 : -1, .most = FD_MOST },
		STATE_FDS(X)
#undef X
};

static const struct number_row slot_numbers[] = {
#define X(n, least_value, most_value)                                                                                  \
	{ .name = #n, .offset = offsetof(struct state_slot, n), .least = (least_value), .most = (most_value) },
	STATE_SLOT_NUMBERS(X)
#undef X
};

static const struct text_row texts[] = {
#define X(n) { .name = #n, .offset = offsetof(struct state, n) },
	STATE_TEXTS(X)
#undef X
};

static int64_t get(const void *from, const struct number_row *row)
{
	int64_t number;

	memcpy(&number, (const char *)from + row->offset, sizeof number);
	return number;
}

static bool set(void *to, const struct number_row *row, int64_t number)
{
	if (number < row->least || number > row->most)
		return false;
	memcpy((char *)to + row->offset, &number, sizeof number);
	return true;
}

void state_init(struct state *s)
{
	memset(s, 0, sizeof *s);
#define X(name, is_needed) s->fds.name = -1;
	STATE_FDS(X)
#undef X
	for (int i = 0; i < SLOTS_MAX; i++)
		s->inbox[i] = s->mesh[i] = s->slots[i].control = -1;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void write_slot(const struct state_slot *slot, int index, struct buffer *out)
{
	static const struct state_slot empty = { .control = -1 };

	if (memcmp(slot, &empty, sizeof empty) == 0)
		return;
	for (size_t i = 0; i < COUNT_OF(slot_numbers); i++)
		buffer_printf(
			out, "slot %d %s %" PRId64 "\n", index, slot_numbers[i].name, get(slot, &slot_numbers[i]));
}

void state_write(const struct state *s, struct buffer *out)
{
	buffer_printf(out, "renovationd-state %d\n", STATE_LAYOUT);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		buffer_printf(out, "%s %" PRId64 "\n", numbers[i].name, get(s, &numbers[i]));
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		const char *value = (const char *)s + texts[i].offset;

		buffer_printf(out, "%s %zu %s\n", texts[i].name, strlen(value), value);
	}
	for (int i = 0; i < SLOTS_MAX; i++)
		buffer_printf(out, "inbox %d %" PRId64 "\nmesh %d %" PRId64 "\n", i, s->inbox[i], i, s->mesh[i]);
	for (int i = 0; i < STATE_ENDS_MAX; i++)
		if (s->ends_ms[i] != 0)
			buffer_printf(out, "ended %d %" PRId64 "\n", i, s->ends_ms[i]);
	for (int i = 0; i < STATE_DEATHS_MAX; i++)
		if (s->deaths[i].epoch != 0)
			buffer_printf(
				out, "dead %d %" PRId64 " %" PRId64 "\n", i, s->deaths[i].slot, s->deaths[i].epoch);
	for (int i = 0; i < SLOTS_MAX; i++)
		write_slot(&s->slots[i], i, out);
	buffer_append_string(out, "end\n");
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static struct text rest_from(struct text t, size_t at)
{
	return text_span(t.bytes + at, t.length - at);
}

/* The next word of a line and the space behind it. */
static struct text take_word(struct text *line)
{
	const char *space = memchr(line->bytes, ' ', line->length);
	size_t length = space != NULL ? (size_t)(space - line->bytes) : line->length;
	struct text word = text_span(line->bytes, length);

	*line = rest_from(*line, length + (space != NULL));
	return word;
}

static bool parse_number(struct text word, int64_t *number_out)
{
	bool is_negative = word.length > 1 && word.bytes[0] == '-';
	uint64_t magnitude;

	if (is_negative)
		word = rest_from(word, 1);
	if (!text_parse_u64(word, &magnitude) || magnitude > INT64_MAX)
		return false;
	*number_out = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return true;
}

/* The next word as a number of a range; the last one of its line when `is_last`. */
static bool take_number(struct text *line, int64_t least, int64_t most, bool is_last, int64_t *number_out)
{
	int64_t number;

	if (!parse_number(take_word(line), &number) || number < least || number > most || (is_last && line->length > 0))
		return false;
	*number_out = number;
	return true;
}

static const struct number_row *find_number(const struct number_row *rows, size_t count, struct text name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equals(name, text_of(rows[i].name)))
			return &rows[i];
	return NULL;
}

static bool read_slot(struct state *s, struct text line)
{
	const struct number_row *row;
	int64_t index, number;

	if (!take_number(&line, 0, SLOTS_MAX - 1, false, &index))
		return false;
	row = find_number(slot_numbers, COUNT_OF(slot_numbers), take_word(&line));
	if (!take_number(&line, INT64_MIN + 1, INT64_MAX, true, &number))
		return false;
	return row == NULL || set(&s->slots[index], row, number);
}

static bool read_death(struct state *s, struct text line)
{
	int64_t index, slot, epoch;

	if (!take_number(&line, 0, STATE_DEATHS_MAX - 1, false, &index) ||
		!take_number(&line, 0, SLOTS_MAX - 1, false, &slot) || !take_number(&line, 1, INT64_MAX, true, &epoch))
		return false;
	s->deaths[index] = (struct state_death) { .slot = slot, .epoch = epoch };
	return true;
}

static bool read_row(int64_t *rows, int count, int64_t least, int64_t most, struct text line)
{
	int64_t index, number;

	if (!take_number(&line, 0, count - 1, false, &index) || !take_number(&line, least, most, true, &number))
		return false;
	rows[index] = number;
	return true;
}

/* A line without its end, except of a text. False when it is wrong. */
static bool read_line(struct state *s, struct text name, struct text line)
{
	const struct number_row *row = find_number(numbers, COUNT_OF(numbers), name);
	int64_t number;

	if (row != NULL)
		return take_number(&line, row->least, row->most, true, &number) && set(s, row, number);
	if (text_equals(name, TEXT("slot")))
		return read_slot(s, line);
	if (text_equals(name, TEXT("inbox")))
		return read_row(s->inbox, SLOTS_MAX, 3, FD_MOST, line);
	if (text_equals(name, TEXT("mesh")))
		return read_row(s->mesh, SLOTS_MAX, 3, FD_MOST, line);
	if (text_equals(name, TEXT("ended")))
		return read_row(s->ends_ms, STATE_ENDS_MAX, 1, INT64_MAX, line);
	if (text_equals(name, TEXT("dead")))
		return read_death(s, line);
	return true;
}

/* "name length bytes\n", where bytes may be any but NUL. Moves *rest behind it. */
static bool read_text(struct state *s, const struct text_row *row, struct text *rest)
{
	struct text line = *rest;
	int64_t length;

	(void)take_word(&line);
	if (!take_number(&line, 0, STATE_TEXT_BYTES - 1, false, &length) || line.length <= (size_t)length ||
		line.bytes[length] != '\n' || memchr(line.bytes, '\0', (size_t)length) != NULL)
		return false;
	memset((char *)s + row->offset, 0, STATE_TEXT_BYTES);
	memcpy((char *)s + row->offset, line.bytes, (size_t)length);
	*rest = rest_from(line, (size_t)length + 1);
	return true;
}

static const struct text_row *find_text(struct text name)
{
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (text_equals(name, text_of(texts[i].name)))
			return &texts[i];
	return NULL;
}

/* What only fits together or does not. NULL when it does. */
static const char *check_whole(const struct state *s)
{
	int fds[STATE_DESCRIPTORS_MAX], count = state_descriptors(s, fds);

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		if (get(s, &numbers[i]) < numbers[i].least)
			return numbers[i].name;
	for (int i = 0; i < SLOTS_MAX; i++) {
		if (s->inbox[i] < 0 || s->mesh[i] < 0)
			return "mesh";
		if ((s->slots[i].pid != 0 && (s->slots[i].control < 3 || s->slots[i].epoch == 0)) ||
			(s->slots[i].pid == 0 && s->slots[i].control >= 0))
			return "slot";
	}
	for (int i = 0; i < count; i++) {
		if (fds[i] < 3)
			return "a standard descriptor";
		for (int k = 0; k < i; k++)
			if (fds[i] == fds[k])
				return "a descriptor named twice";
	}
	return NULL;
}

static bool take_header(struct text *rest)
{
	char header[48];
	struct text expected;

	(void)snprintf(header, sizeof header, "renovationd-state %d\n", STATE_LAYOUT);
	expected = text_of(header);
	if (!text_starts_with(*rest, expected))
		return false;
	*rest = rest_from(*rest, expected.length);
	return true;
}

enum error state_read(struct text lines, struct state *s_out, const char **where_out)
{
	struct text rest = lines;

	state_init(s_out);
	*where_out = "the layout";
	if (!take_header(&rest))
		return ERROR_PROTOCOL;
	for (;;) {
		const char *end = memchr(rest.bytes, '\n', rest.length);
		struct text line, name;
		const struct text_row *row;

		*where_out = "the end";
		if (end == NULL)
			return ERROR_PROTOCOL;
		line = text_span(rest.bytes, (size_t)(end - rest.bytes));
		name = take_word(&line);
		if (text_equals(name, TEXT("end")))
			break;
		row = find_text(name);
		*where_out = row != NULL ? row->name : "a number";
		if (row != NULL ? !read_text(s_out, row, &rest) : !read_line(s_out, name, line))
			return ERROR_PROTOCOL;
		if (row == NULL)
			rest = rest_from(rest, (size_t)(end - rest.bytes) + 1);
	}
	*where_out = "what follows the end";
	if (rest.length != 4)
		return ERROR_PROTOCOL;
	*where_out = check_whole(s_out);
	return *where_out == NULL ? ERROR_NONE : ERROR_PROTOCOL;
}

int state_descriptors(const struct state *s, int fds_out[STATE_DESCRIPTORS_MAX])
{
	int count = 0;

#define X(name, is_needed)                                                                                             \
	if (s->fds.name >= 0)                                                                                          \
		fds_out[count++] = (int)s->fds.name;
	STATE_FDS(X)
#undef X
	for (int i = 0; i < SLOTS_MAX; i++) {
		if (s->inbox[i] >= 0)
			fds_out[count++] = (int)s->inbox[i];
		if (s->mesh[i] >= 0)
			fds_out[count++] = (int)s->mesh[i];
		if (s->slots[i].control >= 0)
			fds_out[count++] = (int)s->slots[i].control;
	}
	return count;
}

/* ---- the memfd ----------------------------------------------------------------------------------------------- */

enum error state_store(const struct state *s, int *fd_out)
{
	int fd = memfd_create(MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING), error;
	struct buffer lines;
	bool is_good;

	buffer_init(&lines);
	state_write(s, &lines);
	is_good = fd >= 0 && text_write(buffer_text(&lines), fd) && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
	error = errno;
	buffer_fini(&lines);
	if (!is_good && fd >= 0)
		close(fd);
	errno = error;
	if (!is_good)
		return ERROR_SYSTEM;
	*fd_out = fd;
	return ERROR_NONE;
}

bool state_is_ours(int fd)
{
	static const char expected[] = "/memfd:" MEMFD_NAME;
	char link[64], target[128];
	ssize_t length;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, target, sizeof target - 1);
	if (length < (ssize_t)sizeof expected - 1 || memcmp(target, expected, sizeof expected - 1) != 0)
		return false;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

enum error state_load(int fd, struct state *s_out, const char **where_out)
{
	enum error e = ERROR_PROTOCOL;
	struct stat status;
	char *bytes;

	*where_out = "its size";
	if (fstat(fd, &status) != 0 || status.st_size <= 0 || status.st_size > STATE_BYTES_MAX)
		return ERROR_PROTOCOL;
	bytes = must_alloc((size_t)status.st_size);
	if (pread(fd, bytes, (size_t)status.st_size, 0) == status.st_size)
		e = state_read(text_span(bytes, (size_t)status.st_size), s_out, where_out);
	free(bytes);
	return e;
}

/* ---- layouts ------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name; /* for both sides */
	int layout;       /* that this program reads and writes */
} layouts[] = { { "state", STATE_LAYOUT }, { "scoreboard", SCOREBOARD_LAYOUT }, { "messages", MESSAGE_VERSION },
	{ "rings", RINGS_LAYOUT } };

void state_write_layouts(struct buffer *out)
{
	for (size_t i = 0; i < COUNT_OF(layouts); i++)
		buffer_printf(out, "%s%s=%d", i ? "," : "", layouts[i].name, layouts[i].layout);
}

static bool knows_one(struct text pair, char *why_out, size_t room)
{
	for (size_t i = 0; i < COUNT_OF(layouts); i++) {
		struct text name = text_of(layouts[i].name);
		uint64_t layout;

		if (!text_starts_with(pair, name) || pair.length <= name.length || pair.bytes[name.length] != '=')
			continue;
		if (text_parse_u64(rest_from(pair, name.length + 1), &layout) && layout == (uint64_t)layouts[i].layout)
			return true;
		(void)snprintf(why_out, room, "the running service has %.*s, this program %s=%d", (int)pair.length,
			pair.bytes, layouts[i].name, layouts[i].layout);
		return false;
	}
	(void)snprintf(why_out, room, "the running service has %.*s, which this program does not know",
		(int)(pair.length < 64 ? pair.length : 64), pair.bytes);
	return false;
}

bool state_knows_layouts(struct text given, char *why_out, size_t room)
{
	struct text rest = given;

	for (;;) {
		const char *comma = memchr(rest.bytes, ',', rest.length);
		size_t length = comma != NULL ? (size_t)(comma - rest.bytes) : rest.length;

		if (!knows_one(text_span(rest.bytes, length), why_out, room))
			return false;
		if (comma == NULL)
			return true;
		rest = rest_from(rest, length + 1);
	}
}
