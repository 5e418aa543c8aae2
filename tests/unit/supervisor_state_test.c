/* supervisor_state_test.c: the lines that cross the exec of an upgrade: what was written is read, what is cut, doubled, foreign or out of range is refused. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisor/state.h"

static struct state *sample(void)
{
	struct state *s = must_alloc(sizeof *s);
	int fd = 200;

	state_init(s);
	s->purpose = STATE_ROLL_BACK;
	s->pid = 4711;
	s->generation = 7;
	s->last_epoch = 30;
	s->wanted = s->quorum = 2;
	s->was_ready = 1;
	s->fds.listener = fd++;
	s->fds.log = fd++;
	s->fds.options = fd++;
	s->fds.scoreboard = fd++;
	s->fds.rings = fd++;
	s->fds.null = fd++;
	s->fds.lifeline_read = fd++;
	s->fds.lifeline_write = fd++;
	for (int i = 0; i < SLOTS_MAX; i++) {
		s->inbox[i] = fd++;
		s->mesh[i] = fd++;
	}
	s->slots[3].pid = 4712;
	s->slots[3].epoch = 29;
	s->slots[3].control = fd++;
	s->slots[3].is_ready = s->slots[3].is_wanted = 1;
	s->slots[63].pid = 4713;
	s->slots[63].epoch = 30;
	s->slots[63].control = fd++;
	s->ends_ms[127] = 99;
	s->deaths[255] = (struct state_death) { .slot = 5, .epoch = 12 };
	(void)snprintf(s->reason, sizeof s->reason, "a line\nend\nand another with 12 words");
	(void)snprintf(s->program_path, sizeof s->program_path, "/usr/sbin/renovationd");
	return s;
}

static char *lines_of(const struct state *s)
{
	struct buffer lines;
	char *text;

	buffer_init(&lines);
	state_write(s, &lines);
	text = must_strndup(buffer_text(&lines).bytes, buffer_length(&lines));
	buffer_fini(&lines);
	return text;
}

static enum error read_text(const char *lines)
{
	struct state *s = must_alloc(sizeof *s);
	const char *where = NULL;
	enum error e = state_read(text_of(lines), s, &where);

	cr_expect((e == ERROR_NONE) == (where == NULL));
	free(s);
	return e;
}

/* The lines with one piece replaced. */
static char *changed(const char *lines, const char *from, const char *to)
{
	const char *at = strstr(lines, from);
	struct buffer out;
	char *text;

	cr_assert_not_null(at, "%s", from);
	buffer_init(&out);
	buffer_append(&out, lines, (size_t)(at - lines));
	buffer_append_string(&out, to);
	buffer_append_string(&out, at + strlen(from));
	text = must_strndup(buffer_text(&out).bytes, buffer_length(&out));
	buffer_fini(&out);
	return text;
}

Test(state, what_was_written_is_read_back)
{
	struct state *s = sample(), *back = must_alloc(sizeof *back);
	char *lines = lines_of(s);
	const char *where = "";

	cr_assert_eq(state_read(text_of(lines), back, &where), ERROR_NONE, "%s", where);
	cr_expect_eq(memcmp(s, back, sizeof *s), 0);
	free(lines);
	free(back);
	free(s);
}

Test(state, every_cut_is_refused)
{
	struct state *s = sample();
	char *lines = lines_of(s);

	for (size_t length = 0; length < strlen(lines); length++) {
		struct state *back = must_alloc(sizeof *back);
		char *part = must_strndup(lines, length);
		const char *where;

		cr_expect_neq(state_read(text_span(part, length), back, &where), ERROR_NONE, "%zu", length);
		free(part);
		free(back);
	}
	free(lines);
	free(s);
}

Test(state, what_does_not_fit_is_refused)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "renovationd-state 1\n", "renovationd-state 2\n" },
		{ "renovationd-state 1\n", "" },
		{ "purpose 1\n", "purpose 2\n" },
		{ "pid 4711\n", "pid 0\n" },
		{ "pid 4711\n", "" },
		{ "pid 4711\n", "pid 4711 1\n" },
		{ "pid 4711\n", "pid  4711\n" },
		{ "pid 4711\n", "pid +4711\n" },
		{ "pid 4711\n", "pid 99999999999999999999\n" },
		{ "generation 7\n", "generation -7\n" },
		{ "wanted 2\n", "wanted 65\n" },
		{ "fd_listener 200\n", "fd_listener 2\n" },
		{ "fd_listener 200\n", "fd_listener -1\n" },
		{ "fd_listener 200\n", "" },
		{ "fd_listener 200\n", "fd_listener 201\n" },
		{ "inbox 0 208\n", "" },
		{ "inbox 0 208\n", "inbox 64 208\n" },
		{ "inbox 0 208\n", "inbox -1 208\n" },
		{ "slot 3 pid 4712\n", "slot 64 pid 4712\n" },
		{ "slot 3 pid 4712\n", "" },
		{ "slot 3 epoch 29\n", "" },
		{ "slot 3 is_ready 1\n", "slot 3 is_ready 2\n" },
		{ "slot 3 is_ready 1\n", "slot 3 is_ready\n" },
		{ "dead 255 5 12\n", "dead 255 5\n" },
		{ "dead 255 5 12\n", "dead 255 64 12\n" },
		{ "ended 127 99\n", "ended 128 99\n" },
		{ "program_path 21 ", "program_path 22 " },
		{ "program_path 21 ", "program_path 20 " },
		{ "program_path 21 ", "program_path 99999 " },
		{ "end\n", "end" },
	};
	struct state *s = sample();
	char *lines;

	/* "end" is a word of the sample's texts too, which the cases must not hit. */
	s->reason[0] = '\0';
	lines = lines_of(s);
	cr_assert_eq(read_text(lines), ERROR_NONE);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *wrong = changed(lines, cases[i].from, cases[i].to);

		cr_expect_neq(read_text(wrong), ERROR_NONE, "%s -> %s", cases[i].from, cases[i].to);
		free(wrong);
	}
	free(lines);
	free(s);
}

Test(state, names_of_a_newer_version_are_passed_over)
{
	struct state *s = sample();
	char *lines = lines_of(s);
	char *newer = changed(lines, "pid 4711\n", "pid 4711\nmood 3 fine weather\nslot 3 mood 5\n");

	cr_expect_eq(read_text(newer), ERROR_NONE);
	free(newer);
	free(lines);
	free(s);
}

Test(state, only_our_own_sealed_memory_is_taken)
{
	struct state *s = sample(), *back = must_alloc(sizeof *back);
	int ours = -1, open = memfd_create("renovationd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING),
	    other = memfd_create("renovationd-options", MFD_CLOEXEC | MFD_ALLOW_SEALING), ends[2];
	const char *where;

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(state_store(s, &ours), ERROR_NONE);
	cr_expect_eq(fcntl(ours, F_GETFD), FD_CLOEXEC);
	cr_expect(state_is_ours(ours));
	cr_expect_neq(write(ours, "x", 1), 1);
	cr_assert_eq(state_load(ours, back, &where), ERROR_NONE);
	cr_expect_eq(memcmp(s, back, sizeof *s), 0);
	cr_expect_not(state_is_ours(open), "it could change under our eyes");
	cr_assert_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
	cr_expect_not(state_is_ours(other));
	cr_expect_not(state_is_ours(ends[0]));
	cr_expect_not(state_is_ours(9999));
	cr_expect_neq(state_load(open, back, &where), ERROR_NONE, "it is empty");
	close(ours);
	close(open);
	close(other);
	close(ends[0]);
	close(ends[1]);
	free(back);
	free(s);
}

Test(state, layouts_are_known_or_named)
{
	static const char *const unknown[] = { "", "state", "state=", "state=0", "state=1x", "state=99", "weather=1",
		"state=1,", "state=1,weather=1", "state=1,scoreboard=0" };
	struct buffer ours;
	char why[200];

	buffer_init(&ours);
	state_write_layouts(&ours);
	cr_expect(state_knows_layouts(buffer_text(&ours), why, sizeof why), "%s", why);
	buffer_fini(&ours);
	for (size_t i = 0; i < COUNT_OF(unknown); i++) {
		why[0] = '\0';
		cr_expect_not(state_knows_layouts(text_of(unknown[i]), why, sizeof why), "%s", unknown[i]);
		cr_expect_not(why[0] == '\0');
	}
}
