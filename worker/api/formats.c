/* formats.c: reads the written forms of values as strictly as PostgreSQL or stricter, so that what passes here never fails there.
 * Called by fields.c; pure. */
#include "config.h"
#include "worker/api/formats.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

#define WHOLE_DIGITS_MAX 12 /* numeric(14,2) */

bool format_parse_decimal(struct text t, int scale, int64_t *scaled_out)
{
	bool is_negative = t.length > 0 && t.bytes[0] == '-';
	size_t at = is_negative, whole = at;
	int64_t value = 0;
	int decimals = 0;

	for (; at < t.length && is_digit(t.bytes[at]) && at - whole < WHOLE_DIGITS_MAX; at++)
		value = value * 10 + (t.bytes[at] - '0');
	if (at == whole || (t.bytes[whole] == '0' && at - whole > 1))
		return false;
	if (at < t.length && t.bytes[at] == '.') {
		for (at++; at < t.length && is_digit(t.bytes[at]) && decimals < scale; at++, decimals++)
			value = value * 10 + (t.bytes[at] - '0');
		if (decimals == 0)
			return false;
	}
	if (at != t.length)
		return false;
	for (; decimals < scale; decimals++)
		value *= 10;
	*scaled_out = is_negative ? -value : value;
	return true;
}

bool format_parse_int(struct text t, int64_t *value_out)
{
	bool is_negative = t.length > 0 && t.bytes[0] == '-';
	uint64_t value;

	if (is_negative)
		t = text_span(t.bytes + 1, t.length - 1);
	if (!text_parse_u64(t, &value) || value > INT64_MAX || (t.bytes[0] == '0' && t.length > 1))
		return false;
	*value_out = is_negative ? -(int64_t)value : (int64_t)value;
	return true;
}

/* Exactly `count` digits at `at`; -1 when there are none. */
static int digits_at(struct text t, size_t at, size_t count)
{
	int value = 0;

	if (t.length < at + count)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!is_digit(t.bytes[at + i]))
			return -1;
		value = value * 10 + (t.bytes[at + i] - '0');
	}
	return value;
}

static int days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : days[month - 1];
}

static bool is_date(struct text t)
{
	int year = digits_at(t, 0, 4), month = digits_at(t, 5, 2), day = digits_at(t, 8, 2);

	return year >= 1 && month >= 1 && month <= 12 && t.bytes[4] == '-' && t.bytes[7] == '-' && day >= 1 &&
	       day <= days_of_month(year, month);
}

static bool is_clock(struct text t)
{
	int hour = digits_at(t, 11, 2), minute = digits_at(t, 14, 2), second = digits_at(t, 17, 2);

	return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 59 &&
	       t.bytes[13] == ':' && t.bytes[16] == ':';
}

static bool is_zone(struct text t)
{
	if (t.length == 1)
		return t.bytes[0] == 'Z';

	int hour = digits_at(t, 1, 2), minute = digits_at(t, 4, 2);

	return t.length == 6 && (t.bytes[0] == '+' || t.bytes[0] == '-') && t.bytes[3] == ':' && hour >= 0 &&
	       hour <= 15 && minute >= 0 && minute <= 59;
}

bool format_is_datetime(struct text t)
{
	size_t at = 19; /* after the seconds */

	if (t.length < 20 || t.length > 35 || t.bytes[10] != 'T' || !is_date(t) || !is_clock(t))
		return false;
	if (t.bytes[at] == '.') {
		size_t first = ++at;

		while (at < t.length && is_digit(t.bytes[at]) && at - first < 9)
			at++;
		if (at == first)
			return false;
	}
	return at < t.length && is_zone(text_span(t.bytes + at, t.length - at));
}

bool format_is_currency(struct text t)
{
	if (t.length != 3)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (t.bytes[i] < 'A' || t.bytes[i] > 'Z')
			return false;
	return true;
}

bool format_is_url(struct text t)
{
	struct text rest;

	if (text_starts_with(t, TEXT("https://")))
		rest = text_span(t.bytes + 8, t.length - 8);
	else if (text_starts_with(t, TEXT("http://")))
		rest = text_span(t.bytes + 7, t.length - 7);
	else
		return false;
	if (rest.length == 0 || memchr("/?#:@", rest.bytes[0], 5) != NULL)
		return false;
	for (size_t i = 0; i < rest.length; i++) {
		unsigned char c = (unsigned char)rest.bytes[i];

		if (c <= 0x20 || c == 0x7F || memchr("\"<>\\^`{|}", c, 9) != NULL)
			return false;
	}
	return true;
}

/* The code point at `at` of valid UTF-8; moves on. */
static unsigned next_code_point(struct text t, size_t *at)
{
	unsigned char first = (unsigned char)t.bytes[(*at)++];
	int more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
	unsigned c = more == 0 ? first : first & (0x3Fu >> more);

	for (; more > 0 && *at < t.length; more--)
		c = c << 6 | ((unsigned char)t.bytes[(*at)++] & 0x3F);
	return c;
}

static bool is_space(unsigned c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200D) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
	       c == 0x2060 || c == 0x3000 || c == 0xFEFF;
}

bool format_is_blank(struct text t)
{
	for (size_t at = 0; at < t.length;)
		if (!is_space(next_code_point(t, &at)))
			return false;
	return true;
}

bool format_has_control(struct text t)
{
	for (size_t at = 0; at < t.length;) {
		unsigned c = next_code_point(t, &at);

		if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029)
			return true;
	}
	return false;
}
