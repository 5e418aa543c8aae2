/* shared_addresses_test.c: addresses, ranges of them, and lists that are refused. */
#include "config.h"

#include <criterion/criterion.h>

#include "shared/addresses.h"
#include "shared/must.h"

static bool is_in(const char *list, const char *address)
{
	struct address_ranges ranges;
	struct address a;

	cr_assert(address_ranges_parse(text_of(list), &ranges), "%s", list);
	cr_assert(address_parse(text_of(address), false, &a), "%s", address);
	return address_ranges_contain(&ranges, &a);
}

Test(shared_addresses, lists_contain_what_their_prefixes_say)
{
	static const struct {
		const char *list, *address;
		bool is_in;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1, ::1", "::1", true },
		{ "127.0.0.1 ::1", "::2", false },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.200", true },
		{ "192.0.2.4/31", "192.0.2.5", true },
		{ "192.0.2.4/31", "192.0.2.6", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "203.0.113.9", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "", "127.0.0.1", false },
		{ " , ", "127.0.0.1", false },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		cr_expect_eq(is_in(cases[i].list, cases[i].address), cases[i].is_in, "%s in %s", cases[i].address,
			cases[i].list);
}

Test(shared_addresses, malformed_lists_are_refused)
{
	static const char *const lists[] = { "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "/8",
		"10.0.0", "10.0.0.0/8/8", "1.2.3.4;5.6.7.8", "10.0.0.1, x", "[::1]", "127.0.0.1:80",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000" };
	struct address_ranges ranges;

	for (size_t i = 0; i < COUNT_OF(lists); i++)
		cr_expect_not(address_ranges_parse(text_of(lists[i]), &ranges), "%s", lists[i]);
}

Test(shared_addresses, more_than_64_are_refused)
{
	char list[ADDRESS_RANGES_MAX * 10 + 20] = "";
	struct address_ranges ranges;
	size_t length = 0;

	for (int i = 0; i < ADDRESS_RANGES_MAX; i++, length += strlen("10.0.0.1, "))
		memcpy(list + length, "10.0.0.1, ", strlen("10.0.0.1, ") + 1);
	cr_expect(address_ranges_parse(text_of(list), &ranges));
	cr_expect_eq(ranges.count, ADDRESS_RANGES_MAX);
	memcpy(list + length, "10.0.0.1", strlen("10.0.0.1") + 1);
	cr_expect_not(address_ranges_parse(text_of(list), &ranges));
}

Test(shared_addresses, ports_are_left_out_where_they_may_be)
{
	static const struct {
		const char *text, *address; /* NULL: refused */
	} cases[] = { { "192.0.2.1:8080", "192.0.2.1" }, { "[2001:db8::1]:443", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" }, { "2001:DB8::1", "2001:db8::1" }, { "192.0.2.1", "192.0.2.1" },
		{ "unknown", NULL }, { "_hidden", NULL }, { "", NULL }, { "[", NULL }, { "]", NULL }, { ":", NULL } };
	char out[ADDRESS_TEXT_BYTES];
	struct address a;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool is_good = address_parse(text_of(cases[i].text), true, &a);

		cr_expect_eq(is_good, cases[i].address != NULL, "%s", cases[i].text);
		if (!is_good)
			continue;
		address_format(&a, out);
		cr_expect_str_eq(out, cases[i].address);
	}
	cr_expect_not(address_parse(TEXT("192.0.2.1:80"), false, &a));
}
