/* Growable byte strings, substring search without case, FNV hashing and base64 for the simulator.
 * Everybody in this folder calls it; it knows nothing of HTTP, JSON or Gemini. */
#include "tests/gemini-sim/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void memory_exhausted(void)
{
	fputs("gemini-sim: out of memory\n", stderr);
	abort();
}

void *memory_take(size_t bytes)
{
	void *block = calloc(1, bytes ? bytes : 1);
	if (block == NULL)
		memory_exhausted();
	return block;
}

void *memory_resize(void *block, size_t bytes)
{
	void *larger = realloc(block, bytes ? bytes : 1);
	if (larger == NULL)
		memory_exhausted();
	return larger;
}

char *memory_copy_part(const char *bytes, size_t length)
{
	char *copy = memory_take(length + 1);
	if (length > 0)
		memcpy(copy, bytes, length);
	return copy;
}

char *memory_copy(const char *string)
{
	return string == NULL ? NULL : memory_copy_part(string, strlen(string));
}

static void text_reserve(struct text *t, size_t more)
{
	size_t wanted = t->length + more + 1;
	if (wanted <= t->capacity)
		return;
	size_t capacity = t->capacity < 128 ? 128 : t->capacity;
	while (capacity < wanted)
		capacity *= 2;
	t->bytes = memory_resize(t->bytes, capacity);
	t->capacity = capacity;
}

void text_append(struct text *t, const void *bytes, size_t length)
{
	text_reserve(t, length);
	if (length > 0)
		memcpy(t->bytes + t->length, bytes, length);
	t->length += length;
	t->bytes[t->length] = '\0';
}

void text_add(struct text *t, const char *string)
{
	text_append(t, string, strlen(string));
}

void text_format(struct text *t, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int needed = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (needed < 0)
		return;
	text_reserve(t, (size_t)needed);
	va_start(arguments, format);
	vsnprintf(t->bytes + t->length, (size_t)needed + 1, format, arguments);
	va_end(arguments);
	t->length += (size_t)needed;
}

void text_clear(struct text *t)
{
	t->length = 0;
	if (t->bytes != NULL)
		t->bytes[0] = '\0';
}

void text_fini(struct text *t)
{
	free(t->bytes);
	*t = (struct text) { 0 };
}

const char *text_get(const struct text *t)
{
	return t->bytes == NULL ? "" : t->bytes;
}

char *text_take(struct text *t)
{
	char *bytes = t->bytes == NULL ? memory_take(1) : t->bytes;
	*t = (struct text) { 0 };
	return bytes;
}

const char *find_no_case(const char *haystack, const char *needle)
{
	size_t length = strlen(needle);
	for (; *haystack != '\0'; haystack++)
		if (strncasecmp(haystack, needle, length) == 0)
			return haystack;
	return NULL;
}

const char *find_word(const char *haystack, const char *needle)
{
	size_t length = strlen(needle);
	const char *at = haystack;
	while ((at = find_no_case(at, needle)) != NULL) {
		bool begins = at == haystack || !isalnum((unsigned char)at[-1]);
		const char *after = at + length;
		if (*after == 's')
			after++;
		if (begins && !isalnum((unsigned char)*after))
			return at;
		at++;
	}
	return NULL;
}

bool starts_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *string, const char *suffix)
{
	size_t length = strlen(string);
	size_t tail = strlen(suffix);
	return length >= tail && memcmp(string + length - tail, suffix, tail) == 0;
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	if (hash == 0)
		hash = 14695981039346656037u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 1099511628211u;
	return hash;
}

uint64_t hash_string(uint64_t hash, const char *string)
{
	return hash_bytes(hash, string, strlen(string));
}

void base64_append(struct text *t, const unsigned char *bytes, size_t length)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < length; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16;
		group |= i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0;
		group |= i + 2 < length ? bytes[i + 2] : 0;
		char four[4] = { alphabet[group >> 18], alphabet[group >> 12 & 63], alphabet[group >> 6 & 63],
			alphabet[group & 63] };
		if (i + 2 >= length)
			four[3] = '=';
		if (i + 1 >= length)
			four[2] = '=';
		text_append(t, four, 4);
	}
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

long base64_decode(const char *string, size_t length, unsigned char *out, size_t capacity)
{
	size_t digits = length;
	while (digits > 0 && string[digits - 1] == '=' && length - digits < 2)
		digits--;
	if ((digits != length && length % 4 != 0) || digits % 4 == 1)
		return -1;
	uint32_t bits = 0;
	unsigned held = 0;
	size_t count = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = base64_digit(string[i]);
		if (digit < 0)
			return -1;
		bits = bits << 6 | (uint32_t)digit;
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		if (count < capacity)
			out[count] = (unsigned char)(bits >> held);
		count++;
	}
	return (long)count;
}

void text_copy(char *out, size_t capacity, const char *bytes, size_t length)
{
	if (length >= capacity) {
		length = capacity - 1;
		while (length > 0 && ((unsigned char)bytes[length] & 0xC0) == 0x80)
			length--;
	}
	memcpy(out, bytes, length);
	out[length] = '\0';
}

size_t utf8_width(const char *at)
{
	size_t width = 1;
	while (((unsigned char)at[width] & 0xC0) == 0x80)
		width++;
	return width;
}
