/* manual.h: renovationd.conf(5), made from the table of options. */
#ifndef RENOVATIOND_CTL_MANUAL_H
#define RENOVATIOND_CTL_MANUAL_H

#include <stdio.h>

/* Writes the page in mdoc(7); returns an exit code. */
int manual_print(FILE *out);

#endif
