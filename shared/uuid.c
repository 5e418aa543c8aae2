/* uuid.c: makes, writes and reads UUIDs. Random bytes are taken from the kernel 1 KiB at a time. */
#include "config.h"
#include "shared/uuid.h"

#include <sys/random.h>

#include "shared/clock.h"
#include "shared/must.h"

static uint8_t pool[1024];
static size_t pool_left;

static void random_bytes(uint8_t *out, size_t length)
{
	if (pool_left < length) {
		must(getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool);
		pool_left = sizeof pool;
	}
	pool_left -= length;
	memcpy(out, pool + pool_left, length);
}

struct uuid uuid_create(void)
{
	struct uuid id;
	uint64_t ms = (uint64_t)(clock_wall_us() / 1000);

	random_bytes(id.bytes + 6, 10);
	for (int i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0F));
	id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
	return id;
}

void uuid_format(const struct uuid *id, char out[UUID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[id->bytes[i] >> 4];
		*out++ = digits[id->bytes[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		return (c | 0x20) - 'a' + 10;
	return -1;
}

bool uuid_parse(struct text t, struct uuid *id_out)
{
	struct uuid id;
	size_t at = 0;

	if (t.length != 36)
		return false;
	for (int i = 0; i < 16; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && t.bytes[at++] != '-')
			return false;

		int high = hex_value(t.bytes[at]), low = hex_value(t.bytes[at + 1]);

		if (high < 0 || low < 0)
			return false;
		id.bytes[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	*id_out = id;
	return true;
}
