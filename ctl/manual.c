/* manual.c: writes the manual page of the configuration file from config.def, so that no option can be missing in it. The build runs it
 * (`renovationctl config --man`); nobody else needs it. */
#include "config.h"
#include "ctl/manual.h"

#include <ctype.h>
#include <inttypes.h>

#include "shared/inherit.h"
#include "shared/options.h"

struct alias {
	const char *name;     /* of the option */
	const char *variable; /* of the environment */
};

static const struct alias aliases[] = {
#define OPTION(name, kind, value, min, max, unit, class, help)
#define ALIAS(name, variable) { #name, variable },
#include "shared/config.def"
#undef OPTION
};

/* Text as it is: neither a backslash nor a dot or quote at a line's start means something to the formatter; a hyphen stays one. */
static void put_text(FILE *out, const char *text)
{
	(void)fputs("\\&", out);
	for (const char *before = text; *text != '\0'; before = text++) {
		/* A sentence in the middle of the text would end in the middle of a line. */
		if (*text == ' ' && (*before == '.' || *before == '?' || *before == '!')) {
			(void)fputc('\n', out);
			continue;
		}
		if (*text == '\\')
			(void)fputs("\\e", out);
		else if (*text == '-')
			(void)fputs("\\-", out);
		else
			(void)fputc(*text, out);
	}
	(void)fputc('\n', out);
}

static void put_kind(FILE *out, const struct option_row *row)
{
	switch (row->kind) {
	case OPTION_KIND_INT:
		(void)fprintf(out, "A whole number from %" PRId64 " to %" PRId64 "%s%s; ", row->min, row->max,
			row->unit[0] ? " " : "", row->unit);
		break;
	case OPTION_KIND_BOOL: (void)fputs("True or false; ", out); break;
	case OPTION_KIND_TEXT: (void)fprintf(out, "Text of at most %" PRId64 " bytes; ", row->max); break;
	case OPTION_KIND_SECRET:
		(void)fprintf(out, "A secret of at most %" PRId64 " bytes, which is never shown; ", row->max);
		break;
	}
	if (row->value[0] == '\0')
		(void)fputs("empty by default.\n", out);
	else
		(void)fprintf(out, "%s by default.\n", row->value);
}

static void put_environment(FILE *out, const struct option_row *row)
{
	(void)fputs("Environment:\n.Ev RENOVATIOND_", out);
	for (const char *c = row->name; *c != '\0'; c++)
		(void)fputc(toupper((unsigned char)*c), out);
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (strcmp(aliases[i].name, row->name) == 0)
			(void)fprintf(out, " ,\n.Ev %s", aliases[i].variable);
	(void)fputs(" .\n", out);
}

static void put_option(FILE *out, const struct option_row *row)
{
	static const char *const classes[] = { "A reload applies it to the running workers.",
		"A reload replaces the workers.", "It needs a restart." };

	(void)fprintf(out, ".It Ic %s\n", row->name);
	put_text(out, row->help);
	(void)fputs(".Pp\n", out);
	put_kind(out, row);
	(void)fprintf(out, "%s\n", classes[row->class]);
	if (row->kind == OPTION_KIND_SECRET)
		(void)fprintf(out,
			"Better kept in a file that only the service can read: name that file with\n.Ic %s_file\n"
			"in the configuration, or use a credential of the service manager that is called\n.Pa %s ,\n"
			"which a restart reads again and a reload does not.\n",
			row->name, row->name);
	put_environment(out, row);
}

static const char head[] =
	".Dd November 21, 2026\n.Dt RENOVATIOND.CONF 5\n.Os\n.Sh NAME\n.Nm renovationd.conf\n"
	".Nd configuration of the renovation chat service\n.Sh DESCRIPTION\n.Xr renovationd 8\n"
	"reads its options from the file named after\n.Fl c ,\nwhich is\n"
	".Pa " RENOVATIOND_SYSCONFDIR "/renovationd/renovationd.conf\n"
	"in an installed service, and then from its environment, which wins.\nAll options have a default; most "
	"services set\n.Ic database_url\nand\n.Ic gemini_api_key\nalone.\n.Pp\n"
	"A line of the file reads\n.Dl name = value;\n"
	"Text stands in double quotes, numbers and\n.Li true\nor\n.Li false\ndo not.\n"
	"What follows\n.Li #\nor\n.Li //\nis a comment.\n.Pp\n"
	"Every fault is reported with its file and line, all of them at once, and nothing starts or changes until "
	"they are gone:\n.Xr renovationctl 8\n.Ic check\nlooks without starting anything, and\n.Ic config\n"
	"shows each value with its origin.\n.Pp\n"
	"A secret also comes from the file that the variable\n.Ev NAME_FILE\nnames, or from a file of the option's "
	"name in\n.Ev CREDENTIALS_DIRECTORY .\n.Sh OPTIONS\n.Bl -tag -width Ds\n";

static const char foot[] = ".El\n.Sh FILES\n.Bl -tag -width Ds\n"
			   ".It Pa " RENOVATIOND_SYSCONFDIR "/renovationd/renovationd.conf\n"
			   "The service's configuration.\nAs installed it has every option with its default, commented "
			   "out.\n.El\n.Sh EXAMPLES\n"
			   ".Bd -literal -offset indent\n"
			   "workers = 8;\n"
			   "log_level = \"info\";\n"
			   "database_url_file = \"/etc/renovationd/database-url\";\n"
			   "gemini_api_key_file = \"/etc/renovationd/gemini-key\";\n"
			   ".Ed\n.Sh SEE ALSO\n.Xr renovationctl 8 ,\n.Xr renovationd 8\n";

int manual_print(FILE *out)
{
	(void)fputs(head, out);
	for (enum option_id id = 0; id < OPTION_COUNT; id++)
		put_option(out, &option_rows[id]);
	(void)fputs(foot, out);
	return fflush(out) == 0 ? EXIT_OK : EXIT_CANNOT_CREATE;
}
