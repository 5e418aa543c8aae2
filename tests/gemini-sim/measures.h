/* Numbers in free text: areas, sides of rooms, sums of money. */
#ifndef GEMINI_SIM_MEASURES_H
#define GEMINI_SIM_MEASURES_H

#include <stdbool.h>

struct measures {
	double area_m2;  /* 0 = not told */
	double length_m; /* the longer side; 0 = not told */
	double width_m;  /* the shorter side; 0 = not told */
	double height_m; /* 0 = not told */
};

struct sum {
	double amount;      /* whole currency units */
	const char *code;   /* ISO code; static */
	const char *symbol; /* as written before the amount; static */
};

/* Reads both out of `text`. What is not found stays as it was. True if a sum of money was found. */
bool measures_read(const char *text, struct measures *measures, struct sum *sum);
/* Sets code and symbol by a sign, code or word in `text`; they stay when there is none. */
void measures_read_currency(struct sum *sum, const char *text);

#endif
