/* error.c: the rows of errors.def as an array. Pure. */
#include "config.h"
#include "shared/error.h"

#include "shared/must.h"

static const struct error_row {
	int status;         /* HTTP */
	const char *code;   /* for programs */
	const char *title;  /* for people */
	const char *remedy; /* what to do next */
} rows[] = {
#define ERROR(name, status, code, title, remedy) [ERROR_##name] = { status, code, title, remedy },
#include "shared/errors.def"
#undef ERROR
};

static const struct error_row *row(enum error e)
{
	must((int)e >= 0 && e < ERROR_COUNT);
	return &rows[e];
}

int error_status(enum error e)
{
	return row(e)->status;
}

const char *error_code(enum error e)
{
	return row(e)->code;
}

const char *error_title(enum error e)
{
	return row(e)->title;
}

const char *error_remedy(enum error e)
{
	return row(e)->remedy;
}
