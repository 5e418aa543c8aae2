/* Reads areas, sides and money out of sentences as people write them. Called by facts.c.
 * It guesses by the words around a number and knows no grammar. */
#include "tests/gemini-sim/measures.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/gemini-sim/text.h"

/* Reads "15,000", "15.000", "15 000", "15k", "12.5"; returns where reading stopped. */
static const char *read_amount(const char *at, double *value_out)
{
	double value = 0;
	double scale = 0;
	while (isdigit((unsigned char)*at) ||
		((*at == ',' || *at == '.' || *at == ' ' || *at == '\'') && isdigit((unsigned char)at[1]))) {
		if (isdigit((unsigned char)*at)) {
			value = value * 10 + (*at - '0');
			scale /= 10;
		} else if (isdigit((unsigned char)at[2]) && isdigit((unsigned char)at[3]) &&
			   !isdigit((unsigned char)at[4])) {
			scale = 0; /* exactly three digits follow: a thousands separator */
		} else if (*at == ' ') {
			break;
		} else {
			scale = 1;
		}
		at++;
	}
	if (scale > 0 && scale < 1)
		value *= scale;
	if ((*at == 'k' || *at == 'K') && !isalpha((unsigned char)at[1])) {
		value *= 1000;
		at++;
	}
	*value_out = value;
	return at;
}

void measures_read_currency(struct sum *sum, const char *text)
{
	// clang-format off
	static const char *const signs[][3] = {
		{ "€", "EUR", "€" }, { "eur", "EUR", "€" }, { "$", "USD", "$" }, { "usd", "USD", "$" }, { "dollar", "USD", "$" },
		{ "£", "GBP", "£" }, { "gbp", "GBP", "£" }, { "pound", "GBP", "£" }, { "chf", "CHF", "CHF " },
	};
	// clang-format on
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
		if (find_no_case(text, signs[i][0]) != NULL) {
			sum->code = signs[i][1];
			sum->symbol = signs[i][2];
			return;
		}
	}
}

/* Text around a number: up to `width` bytes before and after. */
static void copy_around(const char *text, const char *from, const char *to, size_t width, char *before, char *after)
{
	size_t lead = (size_t)(from - text) < width ? (size_t)(from - text) : width;
	memcpy(before, from - lead, lead);
	before[lead] = '\0';
	snprintf(after, width + 1, "%s", to);
}

static bool is_money(const char *before, const char *after, double value)
{
	static const char *const signs[] = { "€", "$", "£", "eur", "usd", "gbp", "chf", "dollar", "pound" };
	static const char *const others[] = { "m2", "m²", "sqm", "square", "weeks", "days", "months", "years", "cm",
		"mm", "x " };
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
		const char *behind = find_no_case(after, signs[i]);
		if ((behind != NULL && behind - after <= 1) || ends_with(before, signs[i]) ||
			(find_no_case(before, signs[i]) != NULL && strlen(before) < 6))
			return true;
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		const char *behind = find_no_case(after, others[i]);
		if (behind != NULL && behind - after <= 1)
			return false;
	}
	return value >= 500 && (find_no_case(before, "budget") != NULL || find_no_case(before, "spend") != NULL ||
				       find_no_case(after, "budget") != NULL || find_no_case(before, "up to") != NULL);
}

static bool is_area(const char *after)
{
	static const char *const units[] = { "m2", "m²", "sqm", "square met", "sq m", "qm", "m^2" };
	while (*after == ' ')
		after++;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strncasecmp(after, units[i], strlen(units[i])) == 0)
			return true;
	return false;
}

/* "3 x 4 m", "3.5m by 4m", "4 x 3 x 2.5 m" */
static void read_sides(struct measures *m, double first, const char *after)
{
	double second = 0;
	double third = 0;
	after += strspn(after, " m");
	if (*after != 'x' && strncmp(after, "×", 2) != 0 && strncmp(after, "by ", 3) != 0)
		return;
	after += *after == 'x' ? 1 : *after == 'b' ? 3 : 2;
	after += strspn(after, " ");
	if (!isdigit((unsigned char)*after) || first <= 0 || first > 50)
		return;
	after = read_amount(after, &second);
	if (second <= 0 || second > 50)
		return;
	m->length_m = fmax(first, second);
	m->width_m = fmin(first, second);
	m->area_m2 = first * second;
	after += strspn(after, " m");
	if (*after == 'x' && isdigit((unsigned char)after[1 + strspn(after + 1, " ")])) {
		read_amount(after + 1 + strspn(after + 1, " "), &third);
		if (third > 1.5 && third < 6)
			m->height_m = third;
	}
}

bool measures_read(const char *text, struct measures *m, struct sum *sum)
{
	bool found = false;
	for (const char *at = text; *at != '\0';) {
		if (!isdigit((unsigned char)*at) || (at > text && isalnum((unsigned char)at[-1]))) {
			at++;
			continue;
		}
		double value = 0;
		char before[32];
		char after[32];
		const char *end = read_amount(at, &value);
		copy_around(text, at, end, 24, before, after);
		if (m->length_m <= 0)
			read_sides(m, value, end);
		if (is_area(after)) {
			m->area_m2 = value;
		} else if (is_money(before, after, value)) {
			found = true;
			sum->amount = value;
			measures_read_currency(sum, before);
			measures_read_currency(sum, after);
		}
		at = end;
	}
	return found;
}
