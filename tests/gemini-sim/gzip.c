/* Writes gzip members without compressing. Called by reply.c: the real service compresses unary answers when the client accepts gzip,
 * and clients must cope with that. */
#include "tests/gemini-sim/gzip.h"

#define BLOCK_MAX 65535

static uint32_t crc32_of(const char *bytes, size_t length)
{
	uint32_t crc = 0xffffffffu;
	for (size_t i = 0; i < length; i++) {
		crc ^= (unsigned char)bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

static void add_little_endian(struct text *out, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) {
		unsigned char byte = (unsigned char)(value >> (8 * i));
		text_append(out, &byte, 1);
	}
}

void gzip_store(struct text *out, const char *bytes, size_t length)
{
	static const unsigned char head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
	size_t done = 0;
	text_append(out, head, sizeof head);
	do {
		size_t part = length - done < BLOCK_MAX ? length - done : BLOCK_MAX;
		add_little_endian(out, done + part == length, 1); /* last block? type 0 = stored */
		add_little_endian(out, (uint32_t)part, 2);
		add_little_endian(out, ~(uint32_t)part, 2);
		text_append(out, bytes + done, part);
		done += part;
	} while (done < length);
	add_little_endian(out, crc32_of(bytes, length), 4);
	add_little_endian(out, (uint32_t)length, 4);
}
