/* ctl_test.c: renovationctl as an operator types it: migrations up and down, the configuration shown, mistakes explained. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/inherit.h"
#include "shared/must.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"

static char *out, *err;

static void free_outputs(void)
{
	free(out);
	free(err);
}

TestSuite(ctl, .fini = free_outputs, .timeout = 300);

static int run(const char *const arguments[], const char *const environment[])
{
	const char *argv[12] = { program_path("renovationctl") };

	free(out);
	free(err);
	for (int i = 0; arguments[i] != NULL; i++)
		argv[i + 1] = arguments[i];
	return process_run(argv, environment, &out, &err, 60000);
}

Test(ctl, migrations_go_up_and_down)
{
	struct cluster *cluster = cluster_shared();
	const char *database = cluster_new_database(cluster);
	char variable[512];
	const char *environment[] = { variable, NULL };

	(void)snprintf(variable, sizeof variable, "DATABASE_URL=%s", cluster_url(cluster, database));
	cr_expect_eq(run((const char *[]) { "migrate", "up", "--dry-run", NULL }, environment), 0, "%s", err);
	cr_expect_eq(
		cluster_count(cluster, database, "select count(*) from pg_class where relname = 'chat_messages'"), 0);
	cr_expect_eq(run((const char *[]) { "migrate", "up", NULL }, environment), 0, "%s", err);
	cr_expect_eq(
		cluster_count(cluster, database, "select count(*) from pg_class where relname = 'chat_messages'"), 1);
	cr_expect_eq(run((const char *[]) { "migrate", "status", NULL }, environment), 0, "%s", err);
	cr_expect_not_null(strstr(out, "0 pending"), "%s", out);
	cr_expect_eq(run((const char *[]) { "migrate", "down", "--to", "0", NULL }, environment), 0, "%s", err);
	cr_expect_eq(
		cluster_count(cluster, database, "select count(*) from pg_class where relname = 'chat_messages'"), 0);
}

Test(ctl, a_database_that_is_not_there_is_69_and_none_at_all_78)
{
	cr_expect_eq(run((const char *[]) { "migrate", "up", NULL },
			     (const char *[]) { "DATABASE_URL=postgresql://nobody@127.0.0.1:1/none", NULL }),
		EXIT_UNAVAILABLE, "%s", err);
	cr_expect_eq(run((const char *[]) { "migrate", "up", NULL }, (const char *[]) { "DATABASE_URL", NULL }),
		EXIT_CONFIG_WRONG);
	cr_expect_not_null(strstr(err, "DATABASE_URL"), "%s", err);
}

Test(ctl, mistakes_are_64_and_say_what_was_expected)
{
	static const struct {
		const char *arguments[5]; /* after the program's name */
		const char *expected;     /* in the message */
	} mistakes[] = {
		{ { NULL }, "a command is missing" },
		{ { "frobnicate", NULL }, "frobnicate" },
		{ { "migrate", NULL }, "up, down or status" },
		{ { "migrate", "sideways", NULL }, "sideways" },
		{ { "migrate", "up", "--to", NULL }, "--to needs" },
		{ { "migrate", "up", "--to", "new", NULL }, "not \"new\"" },
		{ { "migrate", "up", "--fast", NULL }, "--fast" },
		{ { "config", "--all", NULL }, "--all" },
		{ { "-c", NULL }, "needs the name of a file" },
		{ { "status", "-s", NULL }, "needs the name of a socket" },
		{ { "status", "--xml", NULL }, "--xml" },
		{ { "top", "--interval", "0", NULL }, "seconds from 1" },
		{ { "metrics", "now", NULL }, "now" },
		{ { "reload", "--force", NULL }, "--force" },
		{ { "upgrade", "back", NULL }, "back" },
		{ { "stop", "--slow", NULL }, "--slow" },
		{ { "scale", NULL }, "needs a number" },
		{ { "scale", "-1", NULL }, "not \"-1\"" },
		{ { "scale", "2", "3", NULL }, "not \"3\"" },
		{ { "restart-worker", "first", NULL }, "not \"first\"" },
		{ { "logs", NULL }, "reopen, or level" },
		{ { "logs", "level", "loud", NULL }, "loud" },
		{ { "help", "me", NULL }, "\"me\"" },
	};

	for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
		cr_expect_eq(run(mistakes[i].arguments, NULL), EXIT_USAGE_WRONG, "mistake %zu: %s", i, err);
		cr_expect_not_null(strstr(err, mistakes[i].expected), "mistake %zu: %s", i, err);
		cr_expect_not_null(strstr(err, "renovationctl help"), "%s", err);
	}
}

Test(ctl, the_configuration_is_shown_with_origins_and_without_secrets)
{
	const char *environment[] = { "DATABASE_URL=postgresql://u:hunter2@h/d", "GOOGLE_API_KEY=hunter2",
		"APP_ENV=test", "PORT=8080", NULL };

	cr_expect_eq(run((const char *[]) { "config", NULL }, environment), 0, "%s", err);
	cr_expect_not_null(strstr(out, "port = 8080;  # environment PORT"), "%s", out);
	cr_expect_null(strstr(out, "hunter2"));
	cr_expect_eq(run((const char *[]) { "config", "--defaults", NULL }, NULL), 0);
	cr_expect_not_null(strstr(out, "#port = 3000;"));
}

Test(ctl, help_and_version_are_there_in_every_spelling)
{
	static const char *const words[] = { "help", "--help", "-h" };

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		cr_expect_eq(run((const char *[]) { words[i], NULL }, NULL), 0);
		cr_expect_not_null(strstr(out, "migrate"));
	}
	cr_expect_eq(run((const char *[]) { "--version", NULL }, NULL), 0);
	cr_expect_not_null(strstr(out, PACKAGE_VERSION));
}

Test(ctl, every_command_explains_itself)
{
	static const char *const names[] = { "status", "top", "metrics", "reload", "upgrade", "drain", "resume", "stop",
		"scale", "restart-worker", "logs", "check", "config", "migrate", "openapi", "version", "help" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		cr_expect_eq(run((const char *[]) { names[i], "--help", NULL }, NULL), 0);
		cr_expect_not_null(strstr(out, "usage: renovationctl"), "%s", out);
		cr_expect_not_null(strstr(out, names[i]), "%s", out);
	}
}

Test(ctl, options_may_stand_before_and_after_the_command)
{
	const char *path = format("%s/ctl.conf", test_folder());
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	(void)fputs("port = 4711;\n", file);
	(void)fclose(file);
	(void)run((const char *[]) { "-c", path, "config", NULL }, (const char *[]) { "PORT", NULL });
	cr_expect_not_null(strstr(out, "port = 4711;"), "%s", out);
	(void)run((const char *[]) { "config", format("--config=%s", path), NULL }, (const char *[]) { "PORT", NULL });
	cr_expect_not_null(strstr(out, "port = 4711;"), "%s", out);
}

Test(ctl, check_runs_the_preflight)
{
	struct cluster *cluster = cluster_shared();
	char variable[512];
	const char *environment[] = { variable, "APP_ENV=test", "GOOGLE_API_KEY=x", NULL };

	(void)snprintf(
		variable, sizeof variable, "DATABASE_URL=%s", cluster_url(cluster, cluster_new_database(cluster)));
	cr_expect_eq(run((const char *[]) { "check", NULL }, environment), 0, "%s", err);
	cr_expect_not_null(strstr(err, "migrations"), "%s", err);
}
