/* installation.h: the programs as an operator has them: in a folder of the test, where a new version takes an old one's name by rename; and upgrades of the
 * service that runs from there. */
#ifndef RENOVATIOND_TESTS_SUPPORT_INSTALLATION_H
#define RENOVATIOND_TESTS_SUPPORT_INSTALLATION_H

#include <sys/types.h>

#include "tests/support/server.h"

#define INSTALLATION_WAIT_MS 60000

/* Copies of the programs into a folder, and a service from there (server_start). Once per test. */
struct server *installation_start(const char *const extra[]);
const char *installation_folder(void);
/* Where the build put a program, whichever build is tested. */
const char *installation_built(const char *name);
/* A fresh copy of what the build made takes the program's name in one step, as a package does it. */
void installation_put(const char *name);
/* A program that is no good, in the way that `mode` names (impostor.c); the good one lies beside it for what must look right. */
void installation_put_impostor(const char *name, const char *mode);
/* The file that a process runs, and the file that has the program's name now. */
ino_t installation_of(pid_t pid);
ino_t installation_file(const char *name);

/* Runs renovationctl, which an installation does not have in its folder, on the service's control socket; the rest as process_run. */
int installation_ctl(struct server *s, const char *const arguments[], char **out, char **err);
/* SIGUSR2, and what the log says of its end: the line as JSON; put it. */
struct json_object *installation_upgrade(struct server *s);

#endif
