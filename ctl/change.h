/* change.h: what the commands that change a running service have in common. */
#ifndef RENOVATIOND_CTL_CHANGE_H
#define RENOVATIOND_CTL_CHANGE_H

#include "ctl/wire.h"
#include "shared/log.h"

/* Prints progress lines until the last line of an answer, which it gives out; without `is_wait` a supervisor that is silent is given up. */
enum wire_result change_follow(struct wire *w, bool is_wait, const struct json_value **answer_out);
/* Prints the last line's outcome: to standard output what was done, to standard error what was not, with each fault and its place. Returns its exit code. */
int change_report(const struct json_value *answer);
/* Removes `flag` from the arguments; was it there? */
bool change_take_flag(int *argc, char *argv[], const char *flag);

#endif
