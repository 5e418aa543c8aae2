/* embedContent and batchEmbedContents. Called by service.c.
 * Each word adds a fixed direction; as with the real service only the full length gives a unit vector. */
#include "tests/gemini-sim/embed.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gemini-sim/conversation.h"

#define FULL_DIMENSIONS 3072

static void add_word(double *vector, const char *word, size_t length)
{
	char lower[64];
	size_t count = length < sizeof lower ? length : sizeof lower;
	for (size_t i = 0; i < count; i++)
		lower[i] = (char)tolower((unsigned char)word[i]);
	uint64_t random = hash_bytes(0, lower, count);
	for (int i = 0; i < FULL_DIMENSIONS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		vector[i] += (double)(int32_t)(random >> 32) / 2147483648.0;
	}
}

static json_object *embed_text(const char *text, int dimensions)
{
	double *vector = memory_take(FULL_DIMENSIONS * sizeof *vector);
	for (const char *at = text; *at != '\0';) {
		size_t length = strcspn(at, " \t\r\n.,;:!?");
		if (length > 0)
			add_word(vector, at, length);
		at += length + (length == 0);
	}
	double square = 0;
	for (int i = 0; i < FULL_DIMENSIONS; i++)
		square += vector[i] * vector[i];
	json_object *values = json_object_new_array();
	for (int i = 0; i < dimensions; i++) {
		char spelling[32];
		double value = square > 0 ? vector[i] / sqrt(square) : 0;
		snprintf(spelling, sizeof spelling, "%.9f", value);
		json_object_array_add(values, json_object_new_double_s(value, spelling));
	}
	free(vector);
	json_object *embedding = json_object_new_object();
	json_put(embedding, "values", values);
	return embedding;
}

static struct refusal *embed(const json_object *request, json_object **embedding_out)
{
	struct text text = { 0 };
	int dimensions = (int)json_find_number(request, "outputDimensionality", FULL_DIMENSIONS);
	content_text(json_find(request, "content"), &text);
	struct refusal *refusal = NULL;
	if (text.length == 0)
		refusal = refusal_create(
			400, "INVALID_ARGUMENT", "* EmbedContentRequest.content: contents is not specified\n");
	else if (dimensions < 1 || dimensions > FULL_DIMENSIONS)
		refusal = refusal_create(
			400, "INVALID_ARGUMENT", "outputDimensionality must be between 1 and %d.", FULL_DIMENSIONS);
	else
		*embedding_out = embed_text(text.bytes, dimensions);
	text_fini(&text);
	return refusal;
}

struct refusal *embed_one(const json_object *request, json_object **body_out)
{
	json_object *embedding = NULL;
	struct refusal *refusal = embed(request, &embedding);
	if (refusal != NULL)
		return refusal;
	*body_out = json_object_new_object();
	json_put(*body_out, "embedding", embedding);
	return NULL;
}

static bool names_model(const json_object *request, const char *model_name)
{
	const char *given = json_find_text(request, "model");
	return given != NULL && strcmp(given + (starts_with(given, "models/") ? 7 : 0), model_name) == 0;
}

struct refusal *embed_batch(const json_object *request, const char *model_name, json_object **body_out)
{
	const json_object *requests = json_find_list(request, "requests");
	if (json_length(requests) == 0)
		return refusal_create(
			400, "INVALID_ARGUMENT", "* BatchEmbedContentsRequest.requests: requests is not specified\n");
	json_object *list = json_object_new_array();
	struct refusal *refusal = NULL;
	for (size_t i = 0; refusal == NULL && i < json_length(requests); i++) {
		json_object *embedding = NULL;
		if (!names_model(json_at(requests, i), model_name))
			refusal = refusal_create(400, "INVALID_ARGUMENT",
				"* BatchEmbedContentsRequest.requests[%zu].model: model must match the model of the "
				"request\n",
				i);
		else
			refusal = embed(json_at(requests, i), &embedding);
		if (refusal == NULL)
			json_object_array_add(list, embedding);
	}
	if (refusal != NULL) {
		json_object_put(list);
		return refusal;
	}
	*body_out = json_object_new_object();
	json_put(*body_out, "embeddings", list);
	return NULL;
}
