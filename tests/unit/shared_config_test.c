/* shared_config_test.c: configuration from file and environment: what wins, and that every fault is found, placed and explained. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/configuration.h"

static const char *const no_environment[] = { NULL };

static const struct configuration_fault *find_fault(const struct configuration *c, const char *part)
{
	for (size_t i = 0; i < c->count; i++)
		if (strstr(c->faults[i].where, part) != NULL || strstr(c->faults[i].problem, part) != NULL)
			return &c->faults[i];
	return NULL;
}

static void expect_fault(const struct configuration *c, const char *where, const char *problem, const char *remedy)
{
	for (size_t i = 0; i < c->count; i++)
		if (strstr(c->faults[i].where, where) && strstr(c->faults[i].problem, problem) &&
			strstr(c->faults[i].remedy, remedy))
			return;
	configuration_print_faults(c, stderr);
	cr_expect(false, "no fault at %s with \"%s\" and \"%s\"", where, problem, remedy);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	cr_assert(file != NULL);
	cr_assert(fputs(text, file) >= 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(chmod(path, mode), 0);
}

Test(config, all_faults_of_a_file_are_found_with_their_lines)
{
	struct configuration c;

	configuration_init(&c);
	configuration_read_text(&c,
		"port = 99999;\nwokers = 3;\nhost = \"::1\";\nlog_level = \"loud\";\ndb_readers = { a = 1; };\n",
		"a.conf");
	cr_expect_eq(c.count, 4);
	expect_fault(&c, "a.conf:1", "port: \"99999\" is not a whole number from 0 to 65535", "");
	expect_fault(&c, "a.conf:2", "unknown option \"wokers\"", "did you mean workers?");
	expect_fault(&c, "a.conf:4", "log_level: \"loud\" is not debug, info, warn, error or fatal", "");
	expect_fault(&c, "a.conf:5", "db_readers: one value was expected", "");
	cr_expect(configuration_has_faults(&c));
	cr_expect_str_eq(c.options.host, "::1");
	cr_expect_str_eq(c.origins[OPTION_host], "a.conf:3");
	configuration_fini(&c);
}

Test(config, a_syntax_error_names_its_line)
{
	struct configuration c;

	configuration_init(&c);
	configuration_read_text(&c, "port = 80;\nhost \"x\";\n", "a.conf");
	expect_fault(&c, "a.conf:2", "syntax error", "name = value;");
	configuration_fini(&c);
}

Test(config, every_type_of_value_is_taken)
{
	struct configuration c;

	configuration_init(&c);
	configuration_read_text(&c,
		"port = 8080;\ngemini_required = false;\nchat_temperature = 0.5;\nchat_timeout_ms = 3600000L;\nworkers "
		"= \"3\";\n",
		"a");
	cr_expect_eq(c.count, 0);
	cr_expect_eq(c.options.port, 8080);
	cr_expect_eq(c.options.gemini_required, false);
	cr_expect_str_eq(c.options.chat_temperature, "0.5");
	cr_expect_eq(c.options.chat_timeout_ms, 3600000);
	cr_expect_eq(c.options.workers, 3);
	configuration_fini(&c);
}

Test(config, the_environment_wins_over_the_file_and_the_long_name_over_the_alias)
{
	static const char *const environment[] = { "PORT=1", "RENOVATIOND_PORT=2", "HOST=", "WORKERS=4", "PATH=/bin",
		NULL };
	struct configuration c;

	configuration_init(&c);
	configuration_read_text(&c, "port = 9;\nhost = \"10.0.0.1\";\nworkers = 9;\n", "a.conf");
	configuration_read_environment(&c, environment);
	cr_expect_eq(c.options.port, 2);
	cr_expect_eq(c.options.workers, 4);
	cr_expect_str_eq(c.options.host, "10.0.0.1", "an empty variable is an unset one");
	cr_expect_str_eq(c.origins[OPTION_port], "environment RENOVATIOND_PORT");
	cr_expect_not(configuration_has_faults(&c));
	cr_expect_not_null(find_fault(&c, "environment PORT"), "the loser is mentioned");
	configuration_fini(&c);
}

Test(config, google_api_key_wins_over_gemini_api_key)
{
	static const char *const environment[] = { "GEMINI_API_KEY=second", "GOOGLE_API_KEY=first", NULL };
	struct configuration c;

	configuration_init(&c);
	configuration_read_environment(&c, environment);
	cr_expect_str_eq(c.options.gemini_api_key, "first");
	configuration_fini(&c);
}

Test(config, a_misspelt_variable_is_a_fault_and_a_foreign_one_a_warning)
{
	static const char *const environment[] = { "RENOVATIOND_DB_READER=3", "RENOVATIOND_SOMETHING_ELSE_ENTIRELY=1",
		"RENOVATIOND_TEST_CLUSTER=x", NULL };
	struct configuration c;

	configuration_init(&c);
	configuration_read_environment(&c, environment);
	cr_expect_eq(c.count, 2);
	expect_fault(&c, "environment RENOVATIOND_DB_READER", "no option", "RENOVATIOND_DB_READERS");
	cr_expect(find_fault(&c, "SOMETHING_ELSE")->is_warning);
	configuration_fini(&c);
}

Test(config, secrets_come_from_files_and_credentials)
{
	char folder[] = "/tmp/renovationd-config-XXXXXX", path[100], variable[200], credentials[200];
	struct configuration c;

	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/gemini-api-key", folder);
	write_file(path, "from-a-file\n", 0600);
	(void)snprintf(variable, sizeof variable, "GOOGLE_API_KEY_FILE=%s", path);
	(void)snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", folder);

	configuration_init(&c);
	configuration_read_environment(&c, (const char *const[]) { variable, NULL });
	cr_expect_str_eq(c.options.gemini_api_key, "from-a-file");
	configuration_fini(&c);

	configuration_init(&c);
	configuration_read_environment(&c, (const char *const[]) { credentials, NULL });
	cr_expect_str_eq(c.options.gemini_api_key, "from-a-file");
	configuration_fini(&c);

	configuration_init(&c);
	configuration_read_environment(&c, (const char *const[]) { variable, "GOOGLE_API_KEY=direct", NULL });
	expect_fault(&c, "GOOGLE_API_KEY_FILE", "both set", "unset");
	configuration_fini(&c);

	configuration_init(&c);
	configuration_read_environment(&c, (const char *const[]) { "DATABASE_URL_FILE=/nonexistent/x", NULL });
	expect_fault(&c, "DATABASE_URL_FILE", "cannot read /nonexistent/x: No such file", "");
	configuration_fini(&c);
	(void)unlink(path);
	(void)rmdir(folder);
}

Test(config, a_secret_is_in_no_fault_and_no_print)
{
	char *printed = NULL, *long_secret;
	size_t length = 0;
	FILE *out = open_memstream(&printed, &length);
	struct configuration c;

	long_secret = must_alloc(9000);
	(void)snprintf(long_secret, 9000, "GOOGLE_API_KEY=hunter2");
	memset(long_secret + 22, 'x', 2000);
	configuration_init(&c);
	configuration_read_environment(
		&c, (const char *const[]) { long_secret, "DATABASE_URL=postgresql://u:hunter2@h/d", NULL });
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	cr_expect(configuration_has_faults(&c), "the key is too long");
	configuration_print(&c, out);
	configuration_print_faults(&c, out);
	cr_assert_eq(fclose(out), 0);
	cr_expect_null(strstr(printed, "hunter2"));
	cr_expect_not_null(strstr(printed, "database_url = \"********\";"));
	free(printed);
	free(long_secret);
	configuration_fini(&c);
}

Test(config, what_does_not_fit_together_is_found)
{
	struct configuration c;

	configuration_init(&c);
	configuration_read_text(&c,
		"shutdown_ms = 8888;\nheartbeat_unhealthy_ms = 15000;\nworkers = 2;\nmin_ready = 3;\n"
		"gemini_base_url = \"http://example.com\";\nchat_checkpoint_ms = 6000;\n",
		"a.conf");
	configuration_read_environment(&c, no_environment);
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	expect_fault(&c, "shutdown_ms (a.conf:1)", "8888 ms leave workers 7999 ms", "raise it");
	expect_fault(&c, "heartbeat_unhealthy_ms (a.conf:2)", "15000", "heartbeat_kill_ms");
	expect_fault(&c, "min_ready (a.conf:4)", "3 ready workers", "");
	expect_fault(&c, "gemini_base_url (a.conf:5)", "unencrypted to example.com", "https");
	expect_fault(&c, "chat_checkpoint_ms (a.conf:6)", "lease", "");
	expect_fault(&c, "database_url", "no database is named", "DATABASE_URL");
	expect_fault(&c, "gemini_api_key", "no Gemini key, which production needs", "GOOGLE_API_KEY");
	configuration_fini(&c);
}

Test(config, exactly_enough_time_to_stop_is_enough)
{
	struct configuration c;

	configuration_init(&c);
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	cr_expect_null(find_fault(&c, "shutdown_ms"), "the defaults fit");
	/* Nine tenths of it are the sockets' 3 s and the database's 5 s. */
	configuration_read_text(&c, "shutdown_ms = 8000;\n", "a.conf");
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	expect_fault(&c, "shutdown_ms (a.conf:1)", "8889 would do", "raise it");
	configuration_fini(&c);
	configuration_init(&c);
	configuration_read_text(&c, "shutdown_ms = 8889;\n", "a.conf");
	configuration_check(&c, CONFIGURATION_FOR_SERVICE);
	cr_expect_null(find_fault(&c, "shutdown_ms"));
	configuration_fini(&c);
}

Test(config, a_loopback_address_of_gemini_may_be_plain)
{
	static const char *const urls[] = { "http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:9",
		"http://127.9.9.9" };

	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		struct configuration c;

		configuration_init(&c);
		configuration_take(&c, OPTION_gemini_base_url, text_of(urls[i]), "test");
		configuration_check(&c, CONFIGURATION_FOR_SERVICE);
		cr_expect_null(find_fault(&c, "gemini_base_url"), "%s", urls[i]);
		configuration_fini(&c);
	}
}

Test(config, what_is_printed_can_be_read_again)
{
	char *printed = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&printed, &length);
	struct configuration c, again;

	configuration_init(&c);
	configuration_take(&c, OPTION_host, TEXT("a\"b\\c"), "test");
	configuration_take(&c, OPTION_chat_timeout_ms, TEXT("3600000"), "test");
	configuration_print(&c, out);
	cr_assert_eq(fclose(out), 0);
	configuration_init(&again);
	configuration_read_text(&again, printed, "printed");
	cr_expect_eq(again.count, 0);
	cr_expect_str_eq(again.options.host, "a\"b\\c");
	cr_expect_eq(again.options.chat_timeout_ms, 3600000);
	free(printed);
	configuration_fini(&again);
	configuration_fini(&c);
}

Test(config, a_missing_file_and_a_folder_are_faults)
{
	struct configuration c;

	configuration_init(&c);
	configuration_read_file(&c, "/nonexistent/renovationd.conf");
	configuration_read_file(&c, "/tmp");
	cr_expect_eq(c.count, 2);
	expect_fault(&c, "/nonexistent/renovationd.conf", "No such file", "-c");
	expect_fault(&c, "/tmp", "not a regular file", "-c");
	configuration_fini(&c);
}

Test(config, the_sample_file_has_every_option_with_its_default)
{
	char *sample = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&sample, &length), *kept;
	char *text = must_alloc(100000);

	configuration_print_sample(out);
	cr_assert_eq(fclose(out), 0);
	kept = fopen(TOP_SRCDIR "/conf/renovationd.conf", "r");
	cr_assert_not_null(kept);
	cr_assert(fread(text, 1, 99999, kept) > 0);
	(void)fclose(kept);
	cr_expect_str_eq(text, sample, "make it anew: renovationctl config --defaults > conf/renovationd.conf");
	free(text);
	free(sample);
}

Test(config, variables_with_options_are_not_for_workers)
{
	static const char *const ours[] = { "DATABASE_URL", "DATABASE_URL_FILE", "RENOVATIOND_X", "GOOGLE_API_KEY",
		"NOTIFY_SOCKET" };
	static const char *const theirs[] = { "PATH", "PORTS", "HOSTNAME", "LANG", "DATABASE_URLS", "PGSSLROOTCERT" };

	for (size_t i = 0; i < COUNT_OF(ours); i++)
		cr_expect(configuration_owns_variable(text_of(ours[i])), "%s", ours[i]);
	for (size_t i = 0; i < COUNT_OF(theirs); i++)
		cr_expect_not(configuration_owns_variable(text_of(theirs[i])), "%s", theirs[i]);
}
