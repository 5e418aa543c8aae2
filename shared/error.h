/* error.h: `enum error`, what every function that can fail returns, and how each is shown outside (errors.def). */
#ifndef RENOVATIOND_SHARED_ERROR_H
#define RENOVATIOND_SHARED_ERROR_H

enum error {
#define ERROR(name, status, code, title, remedy) ERROR_##name,
#include "shared/errors.def"
#undef ERROR
	ERROR_COUNT
};

int error_status(enum error e);         /* HTTP status */
const char *error_code(enum error e);   /* stable word for programs, as in /problems/{code} */
const char *error_title(enum error e);  /* one sentence for people */
const char *error_remedy(enum error e); /* what to do next */

#endif
