/* checks.h: the supervisor's own rows of the preflight: configuration, files, limits. What needs a library of the workers is the checker's part. */
#ifndef RENOVATIOND_SUPERVISOR_CHECKS_H
#define RENOVATIOND_SUPERVISOR_CHECKS_H

#include "shared/report.h"
#include "supervisor/supervisor.h"

void checks_configuration(const struct supervisor *s, struct report *r);
void checks_files(const struct supervisor *s, struct report *r);
void checks_limits(const struct supervisor *s, struct report *r);
/* Asked by a running service that wants to become this program: do we understand what it would hand over? No row otherwise. */
void checks_layouts(const struct supervisor *s, struct report *r);
/* Its answer, over the pipe at INHERIT_REPORT. */
void checks_hand_over(const struct report *r);

#endif
