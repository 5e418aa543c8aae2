/* program.h: where the other programs of this package are: beside the running one (a build tree, or one folder for all), else in libexecdir. */
#ifndef RENOVATIOND_SHARED_PROGRAM_H
#define RENOVATIOND_SHARED_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Path of program `name` into `out`. `chosen` wins when not empty. False when nothing executable is there; then `out` is what was looked for last. */
bool program_find(const char *chosen, const char *name, char *out, size_t room);

#endif
