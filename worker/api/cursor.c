/* cursor.c: a keyset position as base64url of id, sort key and a seal. Called by the list handler.
 * The seal is an HMAC keyed with the owner's id, which no client ever sees: an edited cursor, one of another list or of another owner is refused
 * before it reaches the database. It protects from mistakes, not from reading: the statements filter by owner anyway. */
#include "config.h"
#include "worker/api/cursor.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "shared/base64.h"

#define SEAL_BYTES 12
#define ID_BYTES   sizeof(struct uuid)

static void seal(struct arena *a, const struct uuid *owner, struct text list, struct text body, unsigned char out[])
{
	struct text message = arena_printf(a, "%.*s\n", TEXT_ARGS(list));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char *joined = arena_alloc(a, message.length + body.length);
	unsigned length = 0;

	memcpy(joined, message.bytes, message.length);
	memcpy(joined + message.length, body.bytes, body.length);
	must(HMAC(EVP_sha256(), owner->bytes, (int)sizeof owner->bytes, joined, message.length + body.length, digest,
		     &length) != NULL);
	memcpy(out, digest, SEAL_BYTES);
}

struct text cursor_format(struct arena *a, const struct uuid *owner, struct text list, const struct cursor *cursor)
{
	size_t length = ID_BYTES + cursor->key.length;
	unsigned char *bytes = arena_alloc(a, length + SEAL_BYTES);

	must(cursor->key.length <= CURSOR_KEY_MAX);
	memcpy(bytes, cursor->id.bytes, ID_BYTES);
	memcpy(bytes + ID_BYTES, cursor->key.bytes, cursor->key.length);
	seal(a, owner, list, text_span((char *)bytes, length), bytes + length);
	return base64url_format(a, bytes, length + SEAL_BYTES);
}

enum error cursor_parse(
	struct arena *a, const struct uuid *owner, struct text list, struct text encoded, struct cursor *cursor_out)
{
	unsigned char expected[SEAL_BYTES];

	if (encoded.length > (ID_BYTES + CURSOR_KEY_MAX + SEAL_BYTES) * 4 / 3 + 2)
		return ERROR_INVALID_CURSOR;

	struct text bytes = base64url_parse(a, encoded);

	if (bytes.bytes == NULL || bytes.length < ID_BYTES + SEAL_BYTES)
		return ERROR_INVALID_CURSOR;

	struct text body = text_span(bytes.bytes, bytes.length - SEAL_BYTES);

	seal(a, owner, list, body, expected);
	if (CRYPTO_memcmp(expected, body.bytes + body.length, SEAL_BYTES) != 0)
		return ERROR_INVALID_CURSOR;
	memcpy(cursor_out->id.bytes, body.bytes, ID_BYTES);
	cursor_out->key = text_span(body.bytes + ID_BYTES, body.length - ID_BYTES);
	return ERROR_NONE;
}
