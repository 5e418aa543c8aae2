/* shared_options_test.c: values of options: what fits, what does not, and the way through the memfd. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/options.h"

struct sample {
	enum option_id id; /* which option */
	const char *text;  /* what someone wrote */
};

static const struct sample good[] = {
	{ OPTION_port, "0" },
	{ OPTION_port, "65535" },
	{ OPTION_gemini_required, "false" },
	{ OPTION_gemini_required, "1" },
	{ OPTION_app_env, "staging" },
	{ OPTION_log_level, "fatal" },
	{ OPTION_chat_temperature, "" },
	{ OPTION_chat_temperature, "0.7" },
	{ OPTION_chat_temperature, "2" },
	{ OPTION_chat_temperature, "2.0" },
	{ OPTION_chat_thinking, "minimal" },
	{ OPTION_chat_thinking, "1024" },
	{ OPTION_database_url, "postgresql://anna:g%C3%BCnther@db/reno" },
	{ OPTION_gemini_base_url, "http://[::1]:9000" },
};

static const struct sample bad[] = {
	{ OPTION_port, "65536" },
	{ OPTION_port, "-1" },
	{ OPTION_port, "" },
	{ OPTION_port, "80 " },
	{ OPTION_port, "0x50" },
	{ OPTION_port, "99999999999999999999999" },
	{ OPTION_gemini_required, "perhaps" },
	{ OPTION_gemini_required, "" },
	{ OPTION_app_env, "prod" },
	{ OPTION_app_env, "" },
	{ OPTION_log_level, "debug info" },
	{ OPTION_chat_temperature, "2.1" },
	{ OPTION_chat_temperature, ".5" },
	{ OPTION_chat_temperature, "1e0" },
	{ OPTION_chat_temperature, "nan" },
	{ OPTION_chat_thinking, "deep" },
	{ OPTION_host, "" },
	{ OPTION_host, "a\nb" },
	{ OPTION_database_url, "postgresql://\xff" },
	{ OPTION_gemini_base_url, "ftp://example.com" },
};

Test(options, good_values_are_taken_and_come_back)
{
	struct options o;
	struct buffer out;

	options_init(&o);
	buffer_init(&out);
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		const char *expected = NULL;

		cr_expect(options_set(&o, good[i].id, text_of(good[i].text), &expected), "%s = %s: %s",
			option_rows[good[i].id].name, good[i].text, expected ? expected : "");
	}
	options_write_value(&o, OPTION_port, &out);
	cr_expect(text_equals(buffer_text(&out), TEXT("65535")));
	cr_expect_eq(o.gemini_required, true);
	buffer_fini(&out);
	options_fini(&o);
}

Test(options, bad_values_are_refused_and_leave_the_old_one)
{
	struct options o;

	options_init(&o);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		const char *expected = NULL;

		cr_expect_not(options_set(&o, bad[i].id, text_of(bad[i].text), &expected), "%s = %s",
			option_rows[bad[i].id].name, bad[i].text);
		cr_expect(expected != NULL && expected[0] != '\0');
	}
	cr_expect_eq(o.port, 3000);
	cr_expect_str_eq(o.app_env, "production");
	options_fini(&o);
}

Test(options, all_values_survive_the_memfd)
{
	struct options before, after;
	const char *expected;
	int fd;

	options_init(&before);
	cr_assert(options_set(&before, OPTION_database_url, TEXT("host=/tmp dbname='a b'"), &expected));
	cr_assert(options_set(&before, OPTION_workers, TEXT("7"), &expected));
	cr_assert(options_set(&before, OPTION_chat_continue, TEXT("false"), &expected));
	cr_assert_eq(options_store(&before, &fd), ERROR_NONE);
	cr_assert_eq(options_load(&after, fd), ERROR_NONE);
	cr_expect_str_eq(after.database_url, "host=/tmp dbname='a b'");
	cr_expect_eq(after.workers, 7);
	cr_expect_eq(after.chat_continue, false);
	options_fini(&after);
	/* A second reader finds the same: the file offset is shared. */
	cr_assert_eq(options_load(&after, fd), ERROR_NONE);
	cr_expect_eq(write(fd, "x", 1), -1, "the memfd is sealed");
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	options_fini(&after);
	options_fini(&before);
}

static enum error load_bytes(const char *bytes)
{
	struct options o;
	int fd;
	char path[] = "/tmp/renovationd-options-XXXXXX";
	enum error e;

	fd = mkstemp(path);
	cr_assert(fd >= 0);
	(void)unlink(path);
	cr_assert_eq(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	e = options_load(&o, fd);
	if (e == ERROR_NONE)
		options_fini(&o);
	close(fd);
	return e;
}

Test(options, a_damaged_memfd_is_a_protocol_error)
{
	static const char *const damaged[] = { "", "hello", "renovationd-options 1\nport",
		"renovationd-options 1\nport 9 80\n", "renovationd-options 1\nport 2 80",
		"renovationd-options 1\nport 2 xx\n", "renovationd-options 1\nport -2 80\n" };

	for (size_t i = 0; i < COUNT_OF(damaged); i++)
		cr_expect_eq(load_bytes(damaged[i]), ERROR_PROTOCOL, "%s", damaged[i]);
	cr_expect_eq(load_bytes("renovationd-options 1\nport 2 80\nfrom_a_newer_program 3 a b\n"), ERROR_NONE);
}

Test(options, derived_values_follow)
{
	struct options o;
	const char *expected;

	options_init(&o);
	cr_expect(options_workers(&o) >= 2);
	cr_assert(options_set(&o, OPTION_workers, TEXT("1"), &expected));
	cr_expect_eq(options_workers(&o), 1);
	cr_expect_eq(options_db_writers(&o), 8);
	cr_assert(options_set(&o, OPTION_workers, TEXT("16"), &expected));
	cr_expect_eq(options_db_writers(&o), 2);
	cr_expect(options_is_strict(&o));
	cr_assert(options_set(&o, OPTION_app_env, TEXT("test"), &expected));
	cr_expect_not(options_is_strict(&o));
	options_fini(&o);
}

Test(options, a_reload_takes_the_live_ones_only)
{
	struct options running, fresh;
	const char *expected;

	options_init(&running);
	options_init(&fresh);
	cr_expect_not(options_take_live(&running, &fresh), "nothing differs");
	cr_assert(options_set(&fresh, OPTION_chat_when_busy, TEXT("reject"), &expected));
	cr_assert(options_set(&fresh, OPTION_http_body_bytes, TEXT("2048"), &expected));
	cr_assert(options_set(&fresh, OPTION_chat_continue, TEXT("false"), &expected));
	cr_assert(options_set(&fresh, OPTION_database_url, TEXT("postgresql:///other"), &expected));
	cr_assert(options_set(&fresh, OPTION_db_readers, TEXT("7"), &expected));
	cr_expect(options_take_live(&running, &fresh));
	cr_expect_str_eq(running.chat_when_busy, "reject");
	cr_expect_eq(running.http_body_bytes, 2048);
	cr_expect_not(running.chat_continue);
	cr_expect_str_eq(running.database_url, "");
	cr_expect_eq(running.db_readers, 2);
	cr_expect_str_eq(fresh.chat_when_busy, "enqueue", "texts are exchanged, so that each has one owner");
	options_fini(&fresh);
	cr_expect_str_eq(running.chat_when_busy, "reject");
	options_fini(&running);
}
