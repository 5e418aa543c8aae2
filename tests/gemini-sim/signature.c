/* Makes and recognises thought signatures. Called by stream.c and rules.c.
 * Layout before base64: 0x12, "sim", 8 bytes model and key, 8 bytes subject, 24 bytes of noise. */
#include "tests/gemini-sim/signature.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE_BYTES 44

static void signature_head(unsigned char *out, const struct model *model, const char *key, const char *subject)
{
	uint64_t maker = hash_string(hash_string(0, model_version_of(model)), key);
	uint64_t about = hash_string(0, subject);
	memcpy(out, "\x12sim", 4);
	memcpy(out + 4, &maker, 8);
	memcpy(out + 12, &about, 8);
}

char *signature_make(const struct model *model, const char *key, const char *subject, uint64_t seed)
{
	unsigned char bytes[SIGNATURE_BYTES];
	struct text t = { 0 };
	signature_head(bytes, model, key, subject);
	for (size_t i = 20; i < SIGNATURE_BYTES; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (unsigned char)(seed >> 56);
	}
	base64_append(&t, bytes, sizeof bytes);
	return text_take(&t);
}

enum signature_verdict signature_check(
	const char *signature, const struct model *model, const char *key, const char *subject)
{
	unsigned char bytes[SIGNATURE_BYTES];
	unsigned char expected[20];
	if (strcmp(signature, "skip_thought_signature_validator") == 0 ||
		strcmp(signature, "context_engineering_is_the_way_to_go") == 0)
		return SIGNATURE_PLACEHOLDER;
	if (base64_decode(signature, strlen(signature), bytes, sizeof bytes) != SIGNATURE_BYTES ||
		memcmp(bytes, "\x12sim", 4) != 0)
		return SIGNATURE_CORRUPT;
	signature_head(expected, model, key, subject);
	return memcmp(bytes, expected, sizeof expected) == 0 ? SIGNATURE_GOOD : SIGNATURE_FOREIGN;
}
