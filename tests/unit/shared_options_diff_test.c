/* shared_options_diff_test.c: what a new configuration changes, by class; what is kept for a restart, and whose storage it is. */
#include "config.h"

#include <criterion/criterion.h>

#include "shared/options_diff.h"

static struct options running, fresh;
static struct options_diff diff;

static void setup(void)
{
	options_init(&running);
	options_init(&fresh);
}

static void teardown(void)
{
	options_fini(&running);
	options_fini(&fresh);
}

TestSuite(options_diff, .init = setup, .fini = teardown);

static void change(enum option_id id, const char *value)
{
	const char *expected;

	cr_assert(options_set(&fresh, id, text_of(value), &expected), "%s", expected);
}

static void expect_names(enum option_class class, const char *names)
{
	struct buffer out;

	buffer_init(&out);
	options_diff_write(&diff, class, &out);
	buffer_append_char(&out, '\0');
	cr_expect_str_eq(buffer_text(&out).bytes, names);
	cr_expect_eq(options_diff_has(&diff, class), names[0] != '\0');
	buffer_fini(&out);
}

Test(options_diff, equal_options_differ_in_nothing)
{
	options_diff(&running, &fresh, &diff);
	expect_names(OPTION_CLASS_LIVE, "");
	expect_names(OPTION_CLASS_WORKERS, "");
	expect_names(OPTION_CLASS_RESTART, "");
}

Test(options_diff, each_kind_of_value_is_compared_and_listed_under_its_class)
{
	change(OPTION_surge, "3");
	change(OPTION_log_level, "debug");
	change(OPTION_chat_continue, "false");
	change(OPTION_gemini_api_key, "another");
	change(OPTION_workers, "7");
	change(OPTION_pid_file, "/run/x.pid");
	options_diff(&running, &fresh, &diff);
	expect_names(OPTION_CLASS_LIVE, "surge, log_level, chat_continue");
	expect_names(OPTION_CLASS_WORKERS, "workers, gemini_api_key");
	expect_names(OPTION_CLASS_RESTART, "pid_file");
}

Test(options_diff, what_is_pinned_needs_a_restart)
{
	change(OPTION_port, "4000");
	options_diff(&running, &fresh, &diff);
	expect_names(OPTION_CLASS_WORKERS, "port");
	options_diff_pin(&diff, OPTION_port);
	options_diff_pin(&diff, OPTION_host);
	expect_names(OPTION_CLASS_WORKERS, "");
	expect_names(OPTION_CLASS_RESTART, "port");
}

Test(options_diff, options_that_need_a_restart_keep_their_running_values)
{
	change(OPTION_pid_file, "/run/x.pid");
	change(OPTION_chat_live_turns, "64");
	change(OPTION_port, "4000");
	change(OPTION_surge, "3");
	options_diff(&running, &fresh, &diff);
	options_diff_pin(&diff, OPTION_port);
	options_diff_keep(&diff, &running, &fresh);
	cr_expect_str_eq(fresh.pid_file, "");
	cr_expect_eq(fresh.chat_live_turns, running.chat_live_turns);
	cr_expect_eq(fresh.port, running.port);
	cr_expect_eq(fresh.surge, 3, "live ones are taken");
	/* They are still listed. */
	expect_names(OPTION_CLASS_RESTART, "port, pid_file, chat_live_turns");
}

Test(options_diff, who_borrowed_a_text_that_needs_a_restart_keeps_it)
{
	const char *borrowed = running.app_env, *key = running.gemini_api_key;

	change(OPTION_app_env, "test");
	options_diff(&running, &fresh, &diff);
	options_diff_keep(&diff, &running, &fresh);
	options_diff_hand_over(&diff, &running, &fresh);
	cr_expect_eq(fresh.app_env, borrowed);
	cr_expect_eq(running.gemini_api_key, key, "others stay where they are");
	cr_expect_str_eq(running.app_env, "production");
}

Test(options_diff, one_value_is_copied_or_exchanged)
{
	change(OPTION_log_level, "warn");
	change(OPTION_gemini_required, "false");
	change(OPTION_port, "1");
	options_copy(&fresh, &running, OPTION_log_level);
	options_exchange(&fresh, &running, OPTION_gemini_required);
	options_exchange(&fresh, &running, OPTION_port);
	cr_expect_str_eq(running.log_level, "warn");
	cr_expect_neq(running.log_level, fresh.log_level);
	cr_expect_not(running.gemini_required);
	cr_expect(fresh.gemini_required);
	cr_expect_eq(running.port, 1);
	cr_expect_eq(fresh.port, 3000);
}
