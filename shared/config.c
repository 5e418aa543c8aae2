/* config.c: reads renovationd.conf with libconfig and gathers faults: unknown names, wrong types, wrong values, each with file and line.
 * Called by the supervisor and renovationctl before anything else. Environment, cross checks and printing are in the files beside it. */
#include "config.h"
#include "shared/configuration.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libconfig.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/must.h"

#define FAULTS_MAX       200
#define SECRET_MAX_BYTES 8192
#define SHOWN_MAX_BYTES  60
#define NAME_MAX_BYTES   64

/* libconfig 1.5 forgets the text it was reading when the line turns out to be wrong. It is read once, before a start that then fails. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HAS_LEAK_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_SANITIZER 1
#endif
#ifdef HAS_LEAK_SANITIZER
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}
#endif

void configuration_init(struct configuration *c)
{
	memset(c, 0, sizeof *c);
	options_init(&c->options);
	for (int id = 0; id < OPTION_COUNT; id++)
		(void)snprintf(c->origins[id], sizeof c->origins[id], "default");
}

void configuration_fini(struct configuration *c)
{
	options_fini(&c->options);
	free(c->faults);
	c->faults = NULL;
	c->count = c->capacity = 0;
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

static void add(struct configuration *c, bool is_warning, const char *where, const char *remedy, const char *problem,
	va_list args) PRINTF(5, 0);
static void add(struct configuration *c, bool is_warning, const char *where, const char *remedy, const char *problem,
	va_list args)
{
	struct configuration_fault *fault;

	if (c->count == FAULTS_MAX)
		return;
	if (c->count == c->capacity) {
		c->capacity = c->capacity ? c->capacity * 2 : 16;
		c->faults = must_realloc(c->faults, c->capacity * sizeof *c->faults);
	}
	fault = &c->faults[c->count++];
	fault->is_warning = is_warning;
	(void)snprintf(fault->where, sizeof fault->where, "%s", where);
	(void)snprintf(fault->remedy, sizeof fault->remedy, "%s", remedy);
	(void)vsnprintf(fault->problem, sizeof fault->problem, problem, args);
}

void configuration_add_fault(struct configuration *c, const char *where, const char *remedy, const char *problem, ...)
{
	va_list args;

	va_start(args, problem);
	add(c, false, where, remedy, problem, args);
	va_end(args);
}

void configuration_add_warning(struct configuration *c, const char *where, const char *remedy, const char *problem, ...)
{
	va_list args;

	va_start(args, problem);
	add(c, true, where, remedy, problem, args);
	va_end(args);
}

void configuration_fault_option(
	struct configuration *c, enum option_id id, const char *remedy, const char *problem, ...)
{
	char where[sizeof c->faults->where];
	va_list args;

	(void)snprintf(where, sizeof where, "%s (%s)", option_rows[id].name, c->origins[id]);
	va_start(args, problem);
	add(c, false, where, remedy, problem, args);
	va_end(args);
}

bool configuration_has_faults(const struct configuration *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (!c->faults[i].is_warning)
			return true;
	return false;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time; names are short. */
static size_t distance(struct text a, struct text b)
{
	size_t row[NAME_MAX_BYTES + 1];

	for (size_t j = 0; j <= b.length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.length; j++) {
			size_t replaced = diagonal + (a.bytes[i - 1] != b.bytes[j - 1]);

			diagonal = row[j];
			row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.length];
}

const char *configuration_nearest(struct text name)
{
	size_t best = name.length / 3 + 1;
	const char *nearest = NULL;

	if (name.length == 0 || name.length > NAME_MAX_BYTES)
		return NULL;
	for (int id = 0; id < OPTION_COUNT; id++) {
		size_t far = distance(name, text_of(option_rows[id].name));

		if (far < best) {
			best = far;
			nearest = option_rows[id].name;
		}
	}
	return nearest;
}

/* ---- one value ----------------------------------------------------------------------------------------------- */

void configuration_take(struct configuration *c, enum option_id id, struct text value, const char *where)
{
	const struct option_row *row = &option_rows[id];
	const char *expected = "";
	char shown[SHOWN_MAX_BYTES + 8];

	if (options_set(&c->options, id, value, &expected)) {
		(void)snprintf(c->origins[id], sizeof c->origins[id], "%s", where);
		return;
	}
	if (row->kind == OPTION_KIND_SECRET)
		(void)snprintf(shown, sizeof shown, "the value");
	else
		(void)snprintf(shown, sizeof shown, "\"%.*s%s\"", (int)smaller(value.length, SHOWN_MAX_BYTES),
			value.bytes, value.length > SHOWN_MAX_BYTES ? "..." : "");
	configuration_add_fault(c, where, row->help, "%s: %s is not %s", row->name, shown, expected);
}

void configuration_take_file(struct configuration *c, enum option_id id, const char *path, const char *where)
{
	char bytes[SECRET_MAX_BYTES + 1];
	char from[sizeof c->origins[0]];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t length = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (length < 0) {
		configuration_add_fault(c, where, "name a file that the service's user can read",
			"%s: cannot read %s: %s", option_rows[id].name, path, strerror(error));
		return;
	}
	if (length > SECRET_MAX_BYTES) {
		configuration_add_fault(c, where, "the file holds the secret alone", "%s: %s is longer than %d bytes",
			option_rows[id].name, path, SECRET_MAX_BYTES);
		return;
	}
	while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
		length--;
	(void)snprintf(from, sizeof from, "%s: %s", where, path);
	configuration_take(c, id, text_span(bytes, (size_t)length), from);
	explicit_bzero(bytes, sizeof bytes);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

/* Every scalar becomes text and goes the one way that all values go. */
static bool write_scalar(const config_setting_t *setting, char *out, size_t room, struct text *value_out)
{
	int length = 0;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_STRING: *value_out = text_of(config_setting_get_string(setting)); return true;
	case CONFIG_TYPE_BOOL: *value_out = text_of(config_setting_get_bool(setting) ? "true" : "false"); return true;
	case CONFIG_TYPE_INT: length = snprintf(out, room, "%d", config_setting_get_int(setting)); break;
	case CONFIG_TYPE_INT64: length = snprintf(out, room, "%lld", config_setting_get_int64(setting)); break;
	case CONFIG_TYPE_FLOAT: length = snprintf(out, room, "%g", config_setting_get_float(setting)); break;
	default: return false;
	}
	*value_out = text_span(out, (size_t)length);
	return true;
}

static int find_file_option(struct text name)
{
	static const struct text ending = TEXT("_file");

	if (name.length <= ending.length ||
		!text_equals(text_span(name.bytes + name.length - ending.length, ending.length), ending))
		return -1;

	int id = option_find(text_span(name.bytes, name.length - ending.length));

	return id >= 0 && option_rows[id].kind == OPTION_KIND_SECRET ? id : -1;
}

static void unknown_name(struct configuration *c, const char *name, const char *where)
{
	const char *nearest = configuration_nearest(text_of(name));
	char remedy[200];

	if (nearest != NULL)
		(void)snprintf(remedy, sizeof remedy, "did you mean %s?", nearest);
	else
		(void)snprintf(remedy, sizeof remedy, "remove it; `renovationctl config --defaults` lists all options");
	configuration_add_fault(c, where, remedy, "unknown option \"%.*s\"", NAME_MAX_BYTES, name);
}

static void take_setting(struct configuration *c, const config_setting_t *setting, const char *file)
{
	const char *name = config_setting_name(setting);
	const char *own_file = config_setting_source_file(setting);
	char where[200], number[48];
	int id = option_find(text_of(name)), file_id = find_file_option(text_of(name));
	struct text value;

	(void)snprintf(where, sizeof where, "%s:%u", own_file ? own_file : file, config_setting_source_line(setting));
	if (id < 0 && file_id < 0)
		unknown_name(c, name, where);
	else if (!write_scalar(setting, number, sizeof number, &value))
		configuration_add_fault(c, where, "write name = value;",
			"%s: one value was expected, not a group, list or array", name);
	else if (id >= 0)
		configuration_take(c, (enum option_id)id, value, where);
	else
		configuration_take_file(c, (enum option_id)file_id, value.bytes, where);
}

static void take_all(struct configuration *c, config_t *parsed, bool is_read, const char *file)
{
	char where[200];

	if (!is_read) {
		const char *own_file = config_error_file(parsed);

		(void)snprintf(where, sizeof where, "%s:%d", own_file ? own_file : file, config_error_line(parsed));
		configuration_add_fault(c, where, "each line reads name = value; text stands in double quotes", "%s",
			config_error_text(parsed));
		return;
	}

	const config_setting_t *root = config_root_setting(parsed);

	for (int i = 0; i < config_setting_length(root); i++)
		take_setting(c, config_setting_get_elem(root, (unsigned)i), file);
}

void configuration_read_text(struct configuration *c, const char *text, const char *name)
{
	config_t parsed;

	config_init(&parsed);
	take_all(c, &parsed, config_read_string(&parsed, text) == CONFIG_TRUE, name);
	config_destroy(&parsed);
}

void configuration_read_file(struct configuration *c, const char *path)
{
	struct stat status;
	config_t parsed;
	char folder[PATH_MAX];

	/* The scanner of libconfig ends the process when it is given a directory. */
	if (stat(path, &status) != 0 || access(path, R_OK) != 0) {
		configuration_add_fault(
			c, path, "check the path after -c and its permissions", "cannot read: %s", strerror(errno));
		return;
	}
	if (!S_ISREG(status.st_mode)) {
		configuration_add_fault(c, path, "name a file after -c", "not a regular file");
		return;
	}
	config_init(&parsed);
	(void)snprintf(folder, sizeof folder, "%s", path);
	config_set_include_dir(&parsed, dirname(folder));
	take_all(c, &parsed, config_read_file(&parsed, path) == CONFIG_TRUE, path);
	config_destroy(&parsed);
}
