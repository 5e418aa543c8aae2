/* supervisor_reader_test.c: what the supervisor takes from the child that read the configuration, also when that child was not itself any more. */
#include "config.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/must.h"
#include "supervisor/change.h"

static struct proposal p;

static void setup(void)
{
	proposal_init(&p);
}

static void teardown(void)
{
	proposal_fini(&p);
}

TestSuite(reader, .init = setup, .fini = teardown);

static int memfd_with(struct text content)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, content.bytes, content.length) == (ssize_t)content.length);
	return fd;
}

static int whole_options(void)
{
	struct options o;
	int fd;

	options_init(&o);
	must(options_store(&o, &fd) == ERROR_NONE);
	options_fini(&o);
	return fd;
}

static enum error take(int options_fd, struct text report)
{
	int report_fd = memfd_with(report);
	enum error e = reader_take(options_fd, report_fd, &p);

	close(options_fd);
	close(report_fd);
	return e;
}

Test(reader, origins_address_warnings_and_the_first_fault_are_taken)
{
	const struct sockaddr_in *address = (const struct sockaddr_in *)(const void *)&p.address;

	cr_assert_eq(
		take(whole_options(),
			TEXT("origin\tport\tx.conf:3\nwarning\tx.conf:1\told\tmove it\nfault\tx.conf:2\twrong\tmend "
			     "it\nfault\tx.conf:9\tlast\t\naddress\t02000bb87f0000010000000000000000\n")),
		ERROR_NONE);
	cr_expect_str_eq(p.config.origins[OPTION_port], "x.conf:3");
	cr_expect_eq(p.config.count, 3);
	cr_expect_str_eq(p.refusal, "x.conf:2: wrong");
	cr_expect_eq(p.address_length, sizeof *address);
	cr_expect_eq(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
	cr_expect_eq(ntohs(address->sin_port), 3000);
	cr_expect(text_starts_with(buffer_text(&p.faults), TEXT("[")));
}

Test(reader, a_configuration_without_faults_is_not_refused)
{
	cr_assert_eq(take(whole_options(), TEXT("")), ERROR_NONE);
	cr_expect_str_empty(p.refusal);
	cr_expect_eq(p.address_length, 0);
}

Test(reader, what_no_reader_writes_is_refused)
{
	static char long_address[600];
	const char *list[] = { "nonsense\n", "origin\tno_such_option\tx\n", "address\t0\n", "address\t0g\n",
		"address\tAB\n", long_address };

	memset(long_address, '0', sizeof long_address - 1);
	memcpy(long_address, "address\t", 8);
	for (size_t i = 0; i < COUNT_OF(list); i++) {
		cr_expect_eq(take(whole_options(), text_of(list[i])), ERROR_PROTOCOL, "%.40s", list[i]);
		proposal_fini(&p);
	}
	cr_expect_eq(take(memfd_with(TEXT("no options")), TEXT("")), ERROR_PROTOCOL);
}

Test(reader, a_report_above_its_bound_is_refused)
{
	int options = whole_options(), report = memfd_create("test", MFD_CLOEXEC);

	must(report >= 0 && ftruncate(report, 1024 * 1024 + 1) == 0);
	cr_expect_eq(reader_take(options, report, &p), ERROR_PROTOCOL);
	close(options);
	close(report);
}
