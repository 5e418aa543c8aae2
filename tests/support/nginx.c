/* nginx.c: see nginx.h. Used by the tests with a proxy in front. */
#include "config.h"
#include "tests/support/nginx.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/must.h"
#include "tests/support/http.h"

#define WAIT_MS     60000
#define START_TRIES 5

static char *read_whole(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buffer all;
	size_t got;

	cr_assert_not_null(file, "%s", path);
	buffer_init(&all);
	do {
		got = fread(buffer_reserve(&all, 65536), 1, 65536, file);
		buffer_grown(&all, got);
	} while (got > 0);
	buffer_append_char(&all, '\0');
	(void)fclose(file);
	return all.bytes;
}

static void write_whole(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file, "%s", path);
	cr_assert(fputs(text, file) >= 0);
	(void)fclose(file);
}

/* Each occurrence; there must be at least one: a configuration that has changed must not be tested by halves. */
static char *replace(char *text, const char *from, const char *to)
{
	struct buffer out;
	char *at = text, *found;

	cr_assert_not_null(strstr(text, from), "conf/nginx/renovationd.conf has no \"%s\"", from);
	buffer_init(&out);
	while ((found = strstr(at, from)) != NULL) {
		buffer_append(&out, at, (size_t)(found - at));
		buffer_append_string(&out, to);
		at = found + strlen(from);
	}
	buffer_append_string(&out, at);
	buffer_append_char(&out, '\0');
	free(text);
	return out.bytes;
}

static void write_site(const struct nginx *n, int upstream_port)
{
	char *site = read_whole(NGINX_CONF);

	site = replace(site, "127.0.0.1:3000", format("127.0.0.1:%d", upstream_port));
	site = replace(site, "listen [::]:80;", "");
	site = replace(site, "listen [::]:443 ssl http2;", format("listen 127.0.0.1:%d;", n->port));
	site = replace(site, "listen 80;", format("listen 127.0.0.1:%d;", n->redirect_port));
	site = replace(site, "listen 443 ssl http2;", format("listen 127.0.0.1:%d ssl http2;", n->tls_port));
	site = replace(site, "/etc/ssl/renovation.example.com/fullchain.pem", format("%s/certificate.pem", n->folder));
	site = replace(site, "/etc/ssl/renovation.example.com/privkey.pem", format("%s/key.pem", n->folder));
	write_whole(format("%s/site.conf", n->folder), site);
	free(site);
}

static void write_main(const struct nginx *n)
{
	const char *f = n->folder;
	struct buffer main;

	buffer_init(&main);
	if (geteuid() == 0)
		buffer_append_string(&main, "user root root;\n");
	buffer_printf(&main,
		"daemon off;\npid %s/pid;\nerror_log %s/error.log notice;\nworker_processes 2;\n"
		"events { worker_connections 2048; }\nhttp {\n\taccess_log %s/access.log;\n",
		f, f, f);
	for (size_t i = 0; i < 5; i++) {
		static const char *const kinds[] = { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" };

		buffer_printf(&main, "\t%s_temp_path %s/%s;\n", kinds[i], f, kinds[i]);
	}
	buffer_printf(&main, "\tinclude %s/site.conf;\n}\n", f);
	buffer_append_char(&main, '\0');
	write_whole(format("%s/nginx.conf", f), buffer_text(&main).bytes);
	buffer_fini(&main);
}

static void make_certificate(const struct nginx *n)
{
	const char *const argv[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-days", "2", "-subj", "/CN=renovation.example.com", "-keyout",
		format("%s/key.pem", n->folder), "-out", format("%s/certificate.pem", n->folder), NULL };
	char *errors = NULL;

	cr_assert_eq(process_run(argv, NULL, NULL, &errors, WAIT_MS), 0, "no certificate: %s", errors);
	free(errors);
}

static long count_starts(const struct nginx *n)
{
	char *errors = nginx_errors(n);
	long count = 0;

	for (const char *at = errors; (at = strstr(at, "start worker process ")) != NULL; at++)
		count++;
	free(errors);
	return count;
}

/* Workers come when all ports are open. */
static bool has_started_or_ended(void *arg)
{
	struct nginx *n = arg;

	return !process_is_running(n->process) || count_starts(n) >= 2;
}

/* False: it has ended, most likely because somebody else has one of its ports by now. */
static bool try_to_start(struct nginx *n, int upstream_port)
{
	n->port = free_port();
	n->tls_port = free_port();
	n->redirect_port = free_port();
	write_site(n, upstream_port);
	write_main(n);
	write_whole(format("%s/error.log", n->folder), "");
	n->process = process_start(
		(const char *[]) { "/usr/sbin/nginx", "-p", n->folder, "-c", format("%s/nginx.conf", n->folder), NULL },
		NULL);
	wait_until(has_started_or_ended, n, "nginx did not start", WAIT_MS);
	return process_is_running(n->process);
}

struct nginx *nginx_start(int upstream_port)
{
	static int number;
	struct nginx *n = must_alloc(sizeof *n);

	(void)snprintf(n->folder, sizeof n->folder, "%s/nginx-%d", test_folder(), ++number);
	cr_assert_eq(mkdir(n->folder, 0755), 0);
	make_certificate(n);
	for (int i = 1; !try_to_start(n, upstream_port); i++) {
		char *errors = nginx_errors(n);

		cr_assert_lt(i, START_TRIES, "nginx did not start: %s", errors);
		free(errors);
		process_end(&n->process);
	}
	return n;
}

struct reloading {
	struct nginx *nginx;
	long starts; /* of workers before it */
};

static bool has_new_workers(void *arg)
{
	const struct reloading *r = arg;

	return count_starts(r->nginx) >= r->starts + 2;
}

void nginx_reload(struct nginx *n)
{
	struct reloading r = { n, count_starts(n) };

	process_signal(n->process, SIGHUP);
	wait_until(has_new_workers, &r, "nginx did not reload", WAIT_MS);
}

char *nginx_errors(const struct nginx *n)
{
	return read_whole(format("%s/error.log", n->folder));
}

void nginx_end(struct nginx **nginx)
{
	struct nginx *n = *nginx;

	if (n == NULL)
		return;
	process_signal(n->process, SIGTERM);
	(void)process_wait(n->process, WAIT_MS);
	process_end(&n->process);
	free(n);
	*nginx = NULL;
}
