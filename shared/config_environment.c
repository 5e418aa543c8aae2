/* config_environment.c: options from variables, from files named by variables, and from systemd credentials.
 * Called by the supervisor and renovationctl after the file, so that the environment wins. Changes no variable. */
#include "config.h"
#include "shared/configuration.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "shared/must.h"

#define PREFIX             "RENOVATIOND_"
#define VARIABLE_MAX_BYTES 96
#define NAMES_MAX          4

struct alias {
	enum option_id id;    /* which option */
	const char *variable; /* its short variable */
};

static const struct alias aliases[] = {
#define OPTION(name, kind, value, min, max, unit, class, help)
#define ALIAS(name, variable) { OPTION_##name, variable },
#include "shared/config.def"
#undef OPTION
};

/* All variables of one option, strongest first. */
struct names {
	char text[NAMES_MAX][VARIABLE_MAX_BYTES]; /* NUL-terminated */
	int count;                                /* used */
};

static void list_names(enum option_id id, struct names *names)
{
	char *out = names->text[0];
	const char *name = option_rows[id].name;

	(void)snprintf(out, VARIABLE_MAX_BYTES, PREFIX "%s", name);
	for (; *out; out++)
		*out = (char)toupper((unsigned char)*out);
	names->count = 1;
	for (size_t i = 0; i < COUNT_OF(aliases); i++)
		if (aliases[i].id == id) {
			must(names->count < NAMES_MAX);
			(void)snprintf(names->text[names->count++], VARIABLE_MAX_BYTES, "%s", aliases[i].variable);
		}
}

/* NULL when unset or empty. */
static const char *find(const char *const environment[], const char *name, const char *ending)
{
	size_t length = strlen(name), more = strlen(ending);

	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, length) == 0 && strncmp(*environment + length, ending, more) == 0 &&
			(*environment)[length + more] == '=')
			return (*environment)[length + more + 1] ? *environment + length + more + 1 : NULL;
	return NULL;
}

static void note_conflict(struct configuration *c, const char *winner, const char *other)
{
	char where[VARIABLE_MAX_BYTES + 16];

	(void)snprintf(where, sizeof where, "environment %s", other);
	configuration_add_warning(c, where, "unset one of them", "%s is set to something else and wins", winner);
}

/* Takes the strongest variable that is set; returns its name, or NULL. */
static const char *take_variable(
	struct configuration *c, enum option_id id, const struct names *names, const char *const environment[])
{
	const char *winner = NULL, *value = NULL;

	for (int i = 0; i < names->count; i++) {
		const char *found = find(environment, names->text[i], "");
		char where[VARIABLE_MAX_BYTES + 16];

		if (found == NULL)
			continue;
		if (winner != NULL) {
			if (strcmp(found, value) != 0)
				note_conflict(c, winner, names->text[i]);
			continue;
		}
		winner = names->text[i];
		value = found;
		(void)snprintf(where, sizeof where, "environment %s", winner);
		configuration_take(c, id, text_of(value), where);
	}
	return winner;
}

static bool take_named_file(struct configuration *c, enum option_id id, const struct names *names,
	const char *const environment[], const char *direct)
{
	for (int i = 0; i < names->count; i++) {
		const char *path = find(environment, names->text[i], "_FILE");
		char where[VARIABLE_MAX_BYTES + 24];

		if (path == NULL)
			continue;
		(void)snprintf(where, sizeof where, "environment %s_FILE", names->text[i]);
		if (direct != NULL)
			configuration_add_fault(
				c, where, "unset one of them", "%s and %s_FILE are both set", direct, names->text[i]);
		else
			configuration_take_file(c, id, path, where);
		return true;
	}
	return false;
}

static void take_credential(struct configuration *c, enum option_id id, const char *folder)
{
	char path[PATH_MAX], name[VARIABLE_MAX_BYTES];

	(void)snprintf(name, sizeof name, "%s", option_rows[id].name);
	for (int with_dashes = 0; with_dashes < 2; with_dashes++) {
		if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path &&
			access(path, F_OK) == 0) {
			configuration_take_file(c, id, path, "credential");
			return;
		}
		for (char *at = name; *at; at++)
			if (*at == '_')
				*at = '-';
	}
}

static void check_name(struct configuration *c, struct text variable)
{
	static const struct text ending = TEXT("_file");
	char name[VARIABLE_MAX_BYTES], where[VARIABLE_MAX_BYTES + 16], remedy[VARIABLE_MAX_BYTES + 64];
	size_t length = variable.length - (sizeof PREFIX - 1);

	if (length >= sizeof name)
		return;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)tolower((unsigned char)variable.bytes[sizeof PREFIX - 1 + i]);
	if (length > ending.length && memcmp(name + length - ending.length, ending.bytes, ending.length) == 0 &&
		option_find(text_span(name, length)) < 0)
		length -= ending.length;
	if (option_find(text_span(name, length)) >= 0)
		return;

	const char *nearest = configuration_nearest(text_span(name, length));

	(void)snprintf(where, sizeof where, "environment %.*s", TEXT_ARGS(variable));
	if (nearest == NULL) {
		configuration_add_warning(c, where, "unset it", "no option has this name; ignored");
		return;
	}
	(void)snprintf(remedy, sizeof remedy, "did you mean " PREFIX "%s?", nearest);
	for (char *at = remedy + strlen("did you mean "); *at; at++)
		*at = (char)toupper((unsigned char)*at);
	configuration_add_fault(c, where, remedy, "no option has this name");
}

/* Ours by prefix, but not options: what tests and scripts use. */
static bool is_foreign(struct text variable)
{
	return text_starts_with(variable, TEXT(PREFIX "TEST_")) || text_equals(variable, TEXT(PREFIX "PROGRAMS"));
}

void configuration_read_environment(struct configuration *c, const char *const environment[])
{
	const char *credentials = find(environment, "CREDENTIALS_DIRECTORY", "");

	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		struct names names;
		const char *direct;

		list_names(id, &names);
		direct = take_variable(c, id, &names, environment);
		if (option_rows[id].kind != OPTION_KIND_SECRET)
			continue;
		if (!take_named_file(c, id, &names, environment, direct) && direct == NULL && credentials != NULL)
			take_credential(c, id, credentials);
	}
	for (; *environment != NULL; environment++) {
		struct text variable = text_span(*environment, strcspn(*environment, "="));

		if (text_starts_with(variable, TEXT(PREFIX)) && variable.length < VARIABLE_MAX_BYTES &&
			!is_foreign(variable))
			check_name(c, variable);
	}
}

bool configuration_owns_variable(struct text name)
{
	static const char *const others[] = { "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY" };

	if (text_starts_with(name, TEXT(PREFIX)))
		return true;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (text_equals(name, text_of(others[i])))
			return true;
	for (size_t i = 0; i < COUNT_OF(aliases); i++) {
		struct text alias = text_of(aliases[i].variable);

		if (text_starts_with(name, alias) &&
			(name.length == alias.length ||
				text_equals(text_span(name.bytes + alias.length, name.length - alias.length),
					TEXT("_FILE"))))
			return true;
	}
	return false;
}
