/* view.c: small things for page.c, top.c and the other commands: values out of the status document, numbers and times in the form that people read.
 * Owns nothing; the strings it returns are overwritten after a while. */
#include "config.h"
#include "ctl/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/must.h"

#define RESULTS      16
#define RESULT_BYTES 200

static char *next_result(void)
{
	static char results[RESULTS][RESULT_BYTES];
	static unsigned turn;

	return results[turn++ % RESULTS];
}

/* ---- out of the document -------------------------------------------------------------------------------------- */

const struct json_value *view_find(const struct json_value *object, const char *path)
{
	char name[64];

	while (object != NULL && *path != '\0') {
		size_t length = strcspn(path, ".");

		(void)snprintf(name, sizeof name, "%.*s", (int)length, path);
		object = json_find(object, name);
		path += length + (path[length] == '.');
	}
	return object;
}

int64_t view_number(const struct json_value *object, const char *path)
{
	const struct json_value *v = view_find(object, path);
	char digits[32];

	if (v == NULL || v->type != JSON_NUMBER || v->raw.length >= sizeof digits)
		return 0;
	(void)snprintf(digits, sizeof digits, "%.*s", TEXT_ARGS(v->raw));
	return strtoll(digits, NULL, 10);
}

struct text view_string(const struct json_value *object, const char *path)
{
	const struct json_value *v = view_find(object, path);

	return v != NULL && v->type == JSON_STRING ? v->string : TEXT("");
}

bool view_is(const struct json_value *object, const char *path, const char *word)
{
	const struct json_value *v = view_find(object, path);

	if (v != NULL && v->type == JSON_BOOL)
		return v->boolean == (strcmp(word, "true") == 0);
	return text_equals(view_string(object, path), text_of(word));
}

/* ---- for people ------------------------------------------------------------------------------------------------ */

const char *view_count(int64_t count)
{
	static const char units[] = " kMGT";
	double rest = (double)count;
	char *out = next_result();
	int unit = 0;

	if (count < 100000) {
		(void)snprintf(out, RESULT_BYTES, "%" PRId64, count);
		return out;
	}
	while (rest >= 1000 && unit < 4) {
		rest /= 1000;
		unit++;
	}
	(void)snprintf(out, RESULT_BYTES, rest < 100 ? "%.1f%c" : "%.0f%c", rest, units[unit]);
	return out;
}

const char *view_duration(int64_t ms)
{
	int64_t s = ms / 1000;
	char *out = next_result();

	if (ms < 0)
		(void)snprintf(out, RESULT_BYTES, "-");
	else if (ms < 1000)
		(void)snprintf(out, RESULT_BYTES, "%d ms", (int)ms);
	else if (s < 120)
		(void)snprintf(out, RESULT_BYTES, "%d s", (int)s);
	else if (s < 7200)
		(void)snprintf(out, RESULT_BYTES, "%d min", (int)(s / 60));
	else if (s < 172800)
		(void)snprintf(out, RESULT_BYTES, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
	else
		(void)snprintf(out, RESULT_BYTES, "%" PRId64 " d %d h", s / 86400, (int)(s / 3600 % 24));
	return out;
}

const char *view_age(int64_t ms)
{
	int64_t s = ms / 1000;
	char *out = next_result();

	if (ms < 1000)
		(void)snprintf(out, RESULT_BYTES, "%d ms", ms < 0 ? 0 : (int)ms);
	else if (s < 100)
		(void)snprintf(out, RESULT_BYTES, "%d s", (int)s);
	else if (s < 6000)
		(void)snprintf(out, RESULT_BYTES, "%d min", (int)(s / 60));
	else if (s < 172800)
		(void)snprintf(out, RESULT_BYTES, "%d h", (int)(s / 3600));
	else
		(void)snprintf(out, RESULT_BYTES, "%" PRId64 " d", s / 86400);
	return out;
}

const char *view_latency(int64_t us)
{
	char *out = next_result();

	if (us < 1000)
		(void)snprintf(out, RESULT_BYTES, "%d us", us < 0 ? 0 : (int)us);
	else if (us < 10000)
		(void)snprintf(out, RESULT_BYTES, "%.1f ms", (double)us / 1e3);
	else if (us < 1000000)
		(void)snprintf(out, RESULT_BYTES, "%d ms", (int)(us / 1000));
	else
		(void)snprintf(out, RESULT_BYTES, us < 100000000 ? "%.1f s" : "%.0f s", (double)us / 1e6);
	return out;
}

/* The strings are UTF-8 already (the reader is strict); a continuation byte takes no column. */
const char *view_clean(struct text string, int width)
{
	char *out = next_result();
	size_t used = 0;
	int columns = 0;

	for (size_t i = 0; i < string.length && used < RESULT_BYTES - 5; i++) {
		unsigned char c = (unsigned char)string.bytes[i];

		if ((c & 0xc0) != 0x80 && ++columns > width)
			break;
		out[used++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
	}
	/* U+0080 to U+009F are control characters too: some terminals obey them. */
	for (size_t i = 0; i + 1 < used; i++)
		if ((unsigned char)out[i] == 0xc2 && (unsigned char)out[i + 1] < 0xa0)
			out[i] = out[i + 1] = '?';
	out[used] = '\0';
	return out;
}

const char *view_colour(bool is_on, enum view_colour colour)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[33m", "\033[32m" };

	return is_on ? codes[colour] : "";
}

bool view_wants_colour(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (none == NULL || none[0] == '\0') && term != NULL && term[0] != '\0' &&
	       strcmp(term, "dumb") != 0;
}
