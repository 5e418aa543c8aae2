/* options.c: the option table as code: defaults, one value from its text and back, and the memfd that carries all of them over an exec.
 * Used by all programs. Files, environment and cross checks are shared/config.c's, which workers do not link. */
#include "config.h"
#include "shared/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "shared/log.h"
#include "shared/must.h"

#define STORE_HEADER    "renovationd-options 1\n"
#define STORE_MAX_BYTES (1024 * 1024)
#define WORKERS_LEAST   2
#define WORKERS_MOST    48
#define WRITERS_OF_POOL 8

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION(n, k, v, least, most, u, c, h)                                                                          \
	[OPTION_##n] = { .name = #n,                                                                                   \
		.kind = OPTION_KIND_##k,                                                                               \
		.value = v,                                                                                            \
		.min = least,                                                                                          \
		.max = most,                                                                                           \
		.unit = u,                                                                                             \
		.class = OPTION_CLASS_##c,                                                                             \
		.help = h },
#include "shared/config.def"
#undef OPTION
};

static const size_t offsets[OPTION_COUNT] = {
#define OPTION(name, kind, value, min, max, unit, class, help) [OPTION_##name] = offsetof(struct options, name),
#include "shared/config.def"
#undef OPTION
};

/* Options whose text is more than a length. */
enum text_form { FORM_ANY, FORM_WORD, FORM_DECIMAL, FORM_THINKING, FORM_URL, FORM_ADDRESSES };

struct text_rule {
	enum option_id id;
	enum text_form form;
	const char *words;    /* WORD, THINKING: the words taken, separated by spaces */
	const char *expected; /* for people */
};

#define THINKING_WORDS    "minimal low medium high off"
#define THINKING_EXPECTED "minimal, low, medium, high, off, a token budget such as 1024, or nothing"
#define DECIMAL_EXPECTED  "a number from 0 to 2 such as 0.5, or nothing for the model's own"

static const struct text_rule rules[] = {
	{ OPTION_app_env, FORM_WORD, "development test staging production",
		"development, test, staging or production" },
	{ OPTION_log_level, FORM_WORD, "debug info warn error fatal", "debug, info, warn, error or fatal" },
	{ OPTION_chat_when_busy, FORM_WORD, "enqueue reject interrupt", "enqueue, reject or interrupt" },
	{ OPTION_gemini_send_sampling, FORM_WORD, "auto always never", "auto, always or never" },
	{ OPTION_gemini_base_url, FORM_URL, NULL, "a URL that begins with https:// (or http:// for this machine)" },
	{ OPTION_trusted_proxies, FORM_ADDRESSES, NULL,
		"at most 64 addresses or prefixes such as 10.0.0.0/8, with commas between them" },
	{ OPTION_chat_temperature, FORM_DECIMAL, NULL, DECIMAL_EXPECTED },
	{ OPTION_vision_temperature, FORM_DECIMAL, NULL, DECIMAL_EXPECTED },
	{ OPTION_structured_temperature, FORM_DECIMAL, NULL, DECIMAL_EXPECTED },
	{ OPTION_streaming_temperature, FORM_DECIMAL, NULL, DECIMAL_EXPECTED },
	{ OPTION_chat_thinking, FORM_THINKING, THINKING_WORDS, THINKING_EXPECTED },
	{ OPTION_vision_thinking, FORM_THINKING, THINKING_WORDS, THINKING_EXPECTED },
	{ OPTION_structured_thinking, FORM_THINKING, THINKING_WORDS, THINKING_EXPECTED },
	{ OPTION_streaming_thinking, FORM_THINKING, THINKING_WORDS, THINKING_EXPECTED },
};

static void *field(const struct options *o, enum option_id id)
{
	return (char *)o + offsets[id];
}

static bool is_text(enum option_id id)
{
	return option_rows[id].kind == OPTION_KIND_TEXT || option_rows[id].kind == OPTION_KIND_SECRET;
}

/* ---- one value ----------------------------------------------------------------------------------------------- */

static bool is_word_of(const char *words, struct text value)
{
	while (*words) {
		size_t length = strcspn(words, " ");

		if (text_equals(text_span(words, length), value))
			return true;
		words += length + (words[length] == ' ');
	}
	return false;
}

static bool is_decimal_to_2(struct text value)
{
	struct text whole = value, part = TEXT("0");
	const char *point = memchr(value.bytes, '.', value.length);
	uint64_t units, fraction;

	if (point != NULL) {
		whole.length = (size_t)(point - value.bytes);
		part = text_span(point + 1, value.length - whole.length - 1);
	}
	if (!text_parse_u64(whole, &units) || !text_parse_u64(part, &fraction))
		return false;
	return units < 2 || (units == 2 && fraction == 0);
}

static bool fits_rule(const struct text_rule *rule, struct text value)
{
	struct address_ranges ranges;
	uint64_t number;

	switch (rule->form) {
	case FORM_ANY: return true;
	case FORM_WORD: return is_word_of(rule->words, value);
	case FORM_DECIMAL: return value.length == 0 || is_decimal_to_2(value);
	case FORM_THINKING:
		return value.length == 0 || is_word_of(rule->words, value) || text_parse_u64(value, &number);
	case FORM_ADDRESSES: return address_ranges_parse(value, &ranges);
	case FORM_URL: return text_starts_with(value, TEXT("https://")) || text_starts_with(value, TEXT("http://"));
	}
	return false;
}

static bool has_control_bytes(struct text value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.bytes[i] < 0x20 || value.bytes[i] == 0x7f)
			return true;
	return false;
}

static bool set_text(struct options *o, enum option_id id, struct text value, const char **expected_out)
{
	static char expected[96];
	const struct option_row *row = &option_rows[id];
	char **place = field(o, id);

	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (rules[i].id == id && !fits_rule(&rules[i], value)) {
			*expected_out = rules[i].expected;
			return false;
		}
	if (has_control_bytes(value) || !text_is_utf8(value)) {
		*expected_out = "text in UTF-8 without control characters";
		return false;
	}
	if ((int64_t)value.length < row->min || (int64_t)value.length > row->max) {
		(void)snprintf(
			expected, sizeof expected, "%" PRId64 " to %" PRId64 " bytes of text", row->min, row->max);
		*expected_out = expected;
		return false;
	}
	free(*place);
	*place = must_strndup(value.bytes ? value.bytes : "", value.length);
	return true;
}

static bool set_int(struct options *o, enum option_id id, struct text value, const char **expected_out)
{
	static char expected[96];
	const struct option_row *row = &option_rows[id];
	uint64_t number;

	if (text_parse_u64(value, &number) && number <= INT64_MAX && (int64_t)number >= row->min &&
		(int64_t)number <= row->max) {
		*(int64_t *)field(o, id) = (int64_t)number;
		return true;
	}
	(void)snprintf(expected, sizeof expected, "a whole number from %" PRId64 " to %" PRId64 "%s%s", row->min,
		row->max, row->unit[0] ? ", in " : "", row->unit);
	*expected_out = expected;
	return false;
}

static bool set_bool(struct options *o, enum option_id id, struct text value, const char **expected_out)
{
	bool is_true = is_word_of("true yes on 1", value);

	if (!is_true && !is_word_of("false no off 0", value)) {
		*expected_out = "true or false";
		return false;
	}
	*(bool *)field(o, id) = is_true;
	return true;
}

bool options_set(struct options *o, enum option_id id, struct text value, const char **expected_out)
{
	switch (option_rows[id].kind) {
	case OPTION_KIND_INT: return set_int(o, id, value, expected_out);
	case OPTION_KIND_BOOL: return set_bool(o, id, value, expected_out);
	case OPTION_KIND_TEXT:
	case OPTION_KIND_SECRET: return set_text(o, id, value, expected_out);
	}
	return false;
}

void options_write_value(const struct options *o, enum option_id id, struct buffer *out)
{
	if (is_text(id))
		buffer_append_string(out, *(char **)field(o, id));
	else if (option_rows[id].kind == OPTION_KIND_BOOL)
		buffer_append_string(out, *(bool *)field(o, id) ? "true" : "false");
	else
		buffer_printf(out, "%" PRId64, *(int64_t *)field(o, id));
}

static size_t size_of(enum option_id id)
{
	if (is_text(id))
		return sizeof(char *);
	return option_rows[id].kind == OPTION_KIND_BOOL ? sizeof(bool) : sizeof(int64_t);
}

void options_copy(const struct options *from, struct options *to, enum option_id id)
{
	char **text = field(to, id);

	if (!is_text(id)) {
		memcpy(field(to, id), field(from, id), size_of(id));
		return;
	}
	if (option_rows[id].kind == OPTION_KIND_SECRET)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = must_strdup(*(char **)field(from, id));
}

void options_exchange(struct options *a, struct options *b, enum option_id id)
{
	char kept[sizeof(int64_t)];

	_Static_assert(sizeof(int64_t) >= sizeof(char *), "room for each kind of value");
	memcpy(kept, field(a, id), size_of(id));
	memcpy(field(a, id), field(b, id), size_of(id));
	memcpy(field(b, id), kept, size_of(id));
}

int option_find(struct text name)
{
	for (int id = 0; id < OPTION_COUNT; id++)
		if (text_equals(name, text_of(option_rows[id].name)))
			return id;
	return -1;
}

/* ---- all values ---------------------------------------------------------------------------------------------- */

void options_init(struct options *o)
{
	memset(o, 0, sizeof *o);
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		const char *expected;

		must(options_set(o, id, text_of(option_rows[id].value), &expected));
	}
}

void options_fini(struct options *o)
{
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (is_text(id)) {
			char **place = field(o, id);

			if (option_rows[id].kind == OPTION_KIND_SECRET && *place != NULL)
				explicit_bzero(*place, strlen(*place));
			free(*place);
			*place = NULL;
		}
}

void options_write(const struct options *o, struct buffer *out)
{
	struct buffer value;

	buffer_init(&value);
	buffer_append_string(out, STORE_HEADER);
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		buffer_clear(&value);
		options_write_value(o, id, &value);
		buffer_printf(out, "%s %zu ", option_rows[id].name, buffer_length(&value));
		buffer_append_text(out, buffer_text(&value));
		buffer_append_char(out, '\n');
	}
	if (value.bytes != NULL)
		explicit_bzero(value.bytes, value.capacity);
	buffer_fini(&value);
}

enum error options_store(const struct options *o, int *fd_out)
{
	enum error e = ERROR_SYSTEM;
	struct buffer all;
	int fd = memfd_create("renovationd-options", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	buffer_init(&all);
	options_write(o, &all);
	if (fd < 0 || !text_write(buffer_text(&all), fd))
		goto out;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		goto out;
	*fd_out = fd;
	fd = -1;
	e = ERROR_NONE;
out:
	if (fd >= 0)
		close(fd);
	if (all.bytes != NULL)
		explicit_bzero(all.bytes, all.capacity);
	buffer_fini(&all);
	return e;
}

/* "name length value\n". Names that this program does not know are skipped: the writer may be newer. */
static bool load_line(struct options *o, struct text *rest)
{
	const char *space = memchr(rest->bytes, ' ', rest->length);
	const char *second = space ? memchr(space + 1, ' ', rest->length - (size_t)(space + 1 - rest->bytes)) : NULL;
	const char *expected;
	uint64_t length;

	if (second == NULL || !text_parse_u64(text_span(space + 1, (size_t)(second - space) - 1), &length))
		return false;

	size_t left = rest->length - (size_t)(second + 1 - rest->bytes);

	if (length >= left || second[1 + length] != '\n')
		return false;

	int id = option_find(text_span(rest->bytes, (size_t)(space - rest->bytes)));

	if (id >= 0 && !options_set(o, (enum option_id)id, text_span(second + 1, length), &expected)) {
		LOG(LOG_ERROR, "inherited option refused", F_STR("option", option_rows[id].name),
			F_STR("expected", expected));
		return false;
	}
	*rest = text_span(second + length + 2, left - length - 1);
	return true;
}

enum error options_load(struct options *o, int fd)
{
	enum error e = ERROR_SYSTEM;
	struct stat status;
	struct text rest;
	char *bytes = NULL;

	options_init(o);
	if (fstat(fd, &status) != 0)
		goto out;
	e = ERROR_PROTOCOL;
	if (status.st_size < (off_t)(sizeof STORE_HEADER - 1) || status.st_size > STORE_MAX_BYTES)
		goto out;
	bytes = must_alloc((size_t)status.st_size);
	/* pread: all workers share one file offset. */
	if (pread(fd, bytes, (size_t)status.st_size, 0) != status.st_size)
		goto out;
	rest = text_span(bytes, (size_t)status.st_size);
	if (!text_starts_with(rest, TEXT(STORE_HEADER)))
		goto out;
	rest = text_span(rest.bytes + sizeof STORE_HEADER - 1, rest.length - (sizeof STORE_HEADER - 1));
	while (rest.length > 0)
		if (!load_line(o, &rest))
			goto out;
	e = ERROR_NONE;
out:
	if (bytes != NULL)
		explicit_bzero(bytes, (size_t)status.st_size);
	free(bytes);
	if (e != ERROR_NONE)
		options_fini(o);
	return e;
}

static bool take_text(char **place, char **fresh)
{
	char *old = *place;

	if (strcmp(old, *fresh) == 0)
		return false;
	*place = *fresh;
	*fresh = old;
	return true;
}

static bool take_one(struct options *o, struct options *fresh, enum option_id id)
{
	size_t size = option_rows[id].kind == OPTION_KIND_BOOL ? sizeof(bool) : sizeof(int64_t);

	if (is_text(id))
		return take_text(field(o, id), field(fresh, id));
	if (memcmp(field(o, id), field(fresh, id), size) == 0)
		return false;
	memcpy(field(o, id), field(fresh, id), size);
	return true;
}

bool options_take_live(struct options *o, struct options *fresh)
{
	bool is_changed = false;

	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		if (option_rows[id].class == OPTION_CLASS_LIVE && take_one(o, fresh, id))
			is_changed = true;
	return is_changed;
}

/* ---- values that follow from others -------------------------------------------------------------------------- */

int options_workers(const struct options *o)
{
	cpu_set_t cores;
	int count = WORKERS_LEAST;

	if (o->workers > 0)
		return (int)o->workers;
	if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > count)
		count = CPU_COUNT(&cores);
	return count < WORKERS_MOST ? count : WORKERS_MOST;
}

int options_db_writers(const struct options *o)
{
	int share = WRITERS_OF_POOL / options_workers(o);

	if (o->db_writers > 0)
		return (int)o->db_writers;
	return share > 2 ? share : 2;
}

bool options_is_strict(const struct options *o)
{
	return strcmp(o->app_env, "production") == 0 || strcmp(o->app_env, "staging") == 0;
}
