/* Holds one answer. Filled by generate.c (or a script), played by stream.c. */
#include "tests/gemini-sim/answer.h"

#include <stdlib.h>
#include <string.h>

struct answer *answer_create(void)
{
	return memory_take(sizeof(struct answer));
}

static void piece_fini(struct piece *piece)
{
	free(piece->text);
	json_object_put(piece->args);
}

void answer_destroy(struct answer **answer)
{
	if (*answer == NULL)
		return;
	for (size_t i = 0; i < (*answer)->count; i++)
		piece_fini(&(*answer)->pieces[i]);
	free((*answer)->pieces);
	free((*answer)->finish_reason);
	free((*answer)->finish_message);
	free(*answer);
	*answer = NULL;
}

static struct piece *answer_add(struct answer *answer, enum piece_kind kind)
{
	answer->pieces = memory_resize(answer->pieces, (answer->count + 1) * sizeof *answer->pieces);
	struct piece *piece = &answer->pieces[answer->count++];
	*piece = (struct piece) { .kind = kind, .delay_ms = -1 };
	return piece;
}

struct answer *answer_copy(const struct answer *answer)
{
	struct answer *copy = answer_create();
	*copy = *answer;
	copy->pieces = NULL;
	copy->count = 0;
	copy->finish_reason = memory_copy(answer->finish_reason);
	copy->finish_message = memory_copy(answer->finish_message);
	for (size_t i = 0; i < answer->count; i++) {
		struct piece *piece = answer_add(copy, answer->pieces[i].kind);
		*piece = answer->pieces[i];
		piece->text = memory_copy(answer->pieces[i].text);
		piece->args = json_object_get(answer->pieces[i].args);
	}
	return copy;
}

struct piece *answer_add_text(struct answer *answer, const char *text)
{
	struct piece *piece = answer_add(answer, PIECE_TEXT);
	piece->text = memory_copy(text);
	return piece;
}

struct piece *answer_add_call(struct answer *answer, const char *name, json_object *args)
{
	struct piece *piece = answer_add(answer, PIECE_CALL);
	piece->text = memory_copy(name);
	piece->args = args != NULL ? args : json_object_new_object();
	return piece;
}

void answer_insert_thought(struct answer *answer, const char *text)
{
	answer_add(answer, PIECE_THOUGHT)->text = memory_copy(text);
	struct piece thought = answer->pieces[answer->count - 1];
	memmove(answer->pieces + 1, answer->pieces, (answer->count - 1) * sizeof *answer->pieces);
	answer->pieces[0] = thought;
}

bool answer_has_call(const struct answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (answer->pieces[i].kind == PIECE_CALL)
			return true;
	return false;
}

void answer_text(const struct answer *answer, struct text *out)
{
	for (size_t i = 0; i < answer->count; i++)
		if (answer->pieces[i].kind == PIECE_TEXT)
			text_add(out, answer->pieces[i].text);
}

void answer_cut(struct answer *answer, size_t bytes)
{
	size_t kept = 0;
	for (size_t i = 0; i < answer->count; i++) {
		struct piece *piece = &answer->pieces[i];
		if (piece->kind != PIECE_TEXT)
			continue;
		size_t length = strlen(piece->text);
		if (kept + length <= bytes) {
			kept += length;
			continue;
		}
		size_t keep = bytes - kept;
		while (keep > 0 && ((unsigned char)piece->text[keep] & 0xC0) == 0x80)
			keep--;
		piece->text[keep] = '\0';
		for (size_t k = i + 1; k < answer->count; k++)
			piece_fini(&answer->pieces[k]);
		answer->count = i + 1;
		return;
	}
}
