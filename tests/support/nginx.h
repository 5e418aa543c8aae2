/* nginx.h: Debian's nginx with our conf/nginx/renovationd.conf in front of a server under test, only ports, certificate and folders replaced. */
#ifndef RENOVATIOND_TESTS_SUPPORT_NGINX_H
#define RENOVATIOND_TESTS_SUPPORT_NGINX_H

#include "tests/support/process.h"

struct nginx {
	struct process *process; /* its master */
	int port;                /* plain HTTP, proxied */
	int tls_port;            /* HTTPS, proxied */
	int redirect_port;       /* plain HTTP, only the way to HTTPS */
	char folder[256];        /* prefix: nginx.conf, access.log, error.log */
};

/* In front of 127.0.0.1:`upstream_port`; waits until it answers. */
struct nginx *nginx_start(int upstream_port);
void nginx_reload(struct nginx *n); /* HUP; waits until new workers serve */
/* The whole of its error log; free it. */
char *nginx_errors(const struct nginx *n);
void nginx_end(struct nginx **n);

#endif
