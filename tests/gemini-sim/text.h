/* Growable byte strings and the few string helpers the simulator needs. Everybody here uses them.
 * Memory that cannot be had ends the program: this is a test tool, and a half-working one would only mislead. */
#ifndef GEMINI_SIM_TEXT_H
#define GEMINI_SIM_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *bytes;     /* owned; always followed by a NUL once anything was appended; NULL while empty */
	size_t length;   /* bytes in use, without the NUL */
	size_t capacity; /* bytes allocated */
};

/* Zeroed memory, or the end of the program. Release with free(). */
void *memory_take(size_t bytes);
/* As realloc, or the end of the program. */
void *memory_resize(void *block, size_t bytes);
/* Copies of a string; NULL gives NULL. Release with free(). */
char *memory_copy(const char *string);
char *memory_copy_part(const char *bytes, size_t length);

void text_append(struct text *t, const void *bytes, size_t length);
void text_add(struct text *t, const char *string);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3), nonnull(1, 2)));
/* Keeps the memory, forgets the contents. */
void text_clear(struct text *t);
void text_fini(struct text *t);
/* The string, never NULL; borrowed until the next change. */
const char *text_get(const struct text *t);
/* Ownership of the string moves to the caller (an empty string is allocated too); `t` is empty afterwards. */
char *text_take(struct text *t);

/* Where `needle` begins in `haystack`, ASCII letters compared without case; NULL if nowhere. */
const char *find_no_case(const char *haystack, const char *needle);
/* The same, but only where `needle` stands as a word of its own (a plural "s" after it is allowed). */
const char *find_word(const char *haystack, const char *needle);
bool starts_with(const char *string, const char *prefix);
bool ends_with(const char *string, const char *suffix);

/* FNV-1a over `length` bytes, continuing from `hash` (0 = begin). Everything that looks random comes from this. */
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length);
uint64_t hash_string(uint64_t hash, const char *string);

/* Standard base64 with padding, appended. */
void base64_append(struct text *t, const unsigned char *bytes, size_t length);
/* Standard or URL-safe base64, padding optional. `out` takes up to `capacity` bytes (may be NULL with 0 to check only).
 * Returns the decoded length, or -1 if `string` is not base64. */
long base64_decode(const char *string, size_t length, unsigned char *out, size_t capacity);

/* Copies up to `length` bytes into an array, cut before a character that does not fit whole. */
void text_copy(char *out, size_t capacity, const char *bytes, size_t length);
/* Bytes from `at` to the end of the UTF-8 character there; at least 1. */
size_t utf8_width(const char *at);

#endif
